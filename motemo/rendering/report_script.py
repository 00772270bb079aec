"""What the script of a report does besides that of every page: further plots and tables."""

from __future__ import annotations

REPORT_SCRIPT = r"""
const still = { ...config, displayModeBar: false };
const range = (count) => Array.from({ length: count }, (_, k) => k);
const byTrial = new Map(points.map((point) => [point.trial, point.index]));
const suffix = (k) => (k ? String(k + 1) : "");

// Every pair of objectives: columns have the first ones across, rows the later ones up.
const PANEL_POINTS = 6000;
const pairs = axes.flatMap((_, y) => range(y).map((x) => [x, y]));
function drawMatrix() {
  const count = axes.length - 1, gap = 0.018;
  const rest = points.filter((p) => !p.front), most = Math.ceil(PANEL_POINTS / pairs.length);
  const every = Math.max(1, Math.ceil(rest.length / most));
  const some = rest.filter((_, k) => k % every === 0);
  byId("thinned").textContent = every > 1
    ? ` Of the others, every ${every}th is drawn here; all are above.` : "";
  const small = (list, [x, y], marker, uid) => ({ ...dots(list, x, y, marker, uid + x + y),
    xaxis: `x${suffix(x)}`, yaxis: `y${suffix(y - 1)}` });
  const traces = pairs.flatMap((pair) => [
    small(some, pair, { size: 3.5, color: tones.faint, opacity: 0.45 }, "rest"),
    small(members, pair, { size: 5.5, color: tones.front, opacity: 0.9 }, "front"),
    { ...small([], pair, { size: 8, color: tones.ink, opacity: 1,
      line: { color: tones.card, width: 1.5 } }, "picked"), hoverinfo: "skip" },
  ]);
  const layout = { ...sheet(), margin: { l: 62, r: 8, t: 8, b: 48 }, bargap: 0 };
  const name = (k) => ({ text: plain(axes[k].label), standoff: 6,
    font: { size: 11, color: tones.ink } });
  const common = (k) => ({ ...frame(), automargin: false, tickfont: { size: 10 }, nticks: 5,
    range: axes[k].view || undefined, title: name(k) });
  for (const k of range(count)) {
    const [left, low] = [k / count, 1 - (k + 1) / count];
    layout[`xaxis${suffix(k)}`] = { ...common(k), anchor: `y${suffix(count - 1)}`,
      domain: [left + gap / 2, left + 1 / count - gap / 2] };
    layout[`yaxis${suffix(k)}`] = { ...common(k + 1), anchor: "x",
      domain: [low + gap / 2, low + 1 / count - gap / 2] };
  }
  const box = byId("matrix");
  box.style.minWidth = `${count * 150}px`;
  box.style.height = `${Math.min(count * 190, 900) + 56}px`;
  return Plotly.react("matrix", traces, layout, still);
}
function markMatrix() {
  const marked = [...selected].map((index) => points[index]);
  return Plotly.restyle("matrix", {
    x: pairs.map(([x]) => marked.map((p) => value(p, x))),
    y: pairs.map(([, y]) => marked.map((p) => value(p, y))),
    customdata: pairs.map(() => [...selected]),
  }, pairs.map((_, k) => 3 * k + 2));
}

// Hypervolume: at each evaluation the share that was reached by then.
function shareAt(evaluations) {
  const { shares } = data.growth;
  const after = data.growth.evaluations.findIndex((count) => count > evaluations);
  return after < 0 ? shares[shares.length - 1] : after === 0 ? 0 : shares[after - 1];
}
function drawGrowth() {
  const { evaluations, shares } = data.growth;
  const at = evaluations.map((count) => points[count - 1]);
  const curve = { type: "scatter", mode: "lines+markers", uid: "growth", x: evaluations, y: shares,
    line: { shape: "hv", color: tones.front, width: 2 }, hoverinfo: "text",
    marker: { size: 5, color: tones.front, opacity: 1 }, customdata: at.map((p) => p.index),
    hovertext: at.map((p, k) => `after ${evaluations[k]} evaluations: ` +
      `<b>${(100 * shares[k]).toFixed(1)} %</b><br>trial ${p.trial}`),
    ...unfaded({}) };
  const mark = { type: "scatter", mode: "markers", uid: "picked", x: [], y: [],
    hoverinfo: "skip", marker: ring(14), ...unfaded({}) };
  const axis = (text, more) => ({ ...frame(), ...more,
    title: { text, font: { color: tones.ink, size: 13 }, standoff: 10 } });
  const layout = { ...sheet(), margin: { l: 54, r: 14, t: 12, b: 46 },
    xaxis: axis("evaluations", { range: [0, points.length * 1.02], rangemode: "tozero" }),
    yaxis: axis("share of the box", { tickformat: ".0%", rangemode: "tozero" }) };
  return Plotly.react("growth-plot", [curve, mark], layout, still);
}
function markGrowth() {
  const at = [...selected].map((index) => index + 1);
  return Plotly.restyle("growth-plot", { x: [at], y: [at.map(shareAt)],
    customdata: [[...selected]] }, [1]);
}

// Estimate and trained accuracy.
const trained = data.trained.filter((one) => one.accuracy !== null && one.estimate !== null);
const percent = (share) => (share === null ? null : 100 * share);
const indexOf = (one) => byTrial.get(one.trial) ?? null;
function drawTrained() {
  const axis = axes.find((one) => one.name === data.estimate);
  const marks = { type: "scatter", mode: "markers", uid: "trained", hoverinfo: "text",
    x: trained.map((one) => one.estimate), y: trained.map((one) => percent(one.accuracy)),
    customdata: trained.map(indexOf), marker: { size: 10, color: tones.front, opacity: 1 },
    hovertext: trained.map((one) => `<b>trial ${one.trial}</b><br>` +
      `${percent(one.accuracy).toFixed(1)} % (${percent(one.low).toFixed(1)} to ` +
      `${percent(one.high).toFixed(1)})`),
    error_y: { type: "data", symmetric: false, color: tones.front, thickness: 1.2, width: 0,
      array: trained.map((one) => percent(one.high - one.accuracy)),
      arrayminus: trained.map((one) => percent(one.accuracy - one.low)) }, ...unfaded({}) };
  const mark = { type: "scatter", mode: "markers", uid: "picked", x: [], y: [], hoverinfo: "skip",
    marker: ring(18), ...unfaded({}) };
  const side = (text) => ({ ...frame(),
    title: { text, font: { color: tones.ink, size: 13 }, standoff: 8 } });
  const layout = { ...sheet(), margin: { l: 54, r: 12, t: 12, b: 46 },
    xaxis: side(plain(`${data.estimate} · ${axis ? axis.better : "higher"} is better`)),
    yaxis: side("validation accuracy (%)") };
  return Plotly.react("trained-plot", [marks, mark], layout, still);
}
function markTrained() {
  const marked = trained.filter((one) => selected.has(indexOf(one)));
  return Plotly.restyle("trained-plot", { x: [marked.map((one) => one.estimate)],
    y: [marked.map((one) => percent(one.accuracy))], customdata: [marked.map(indexOf)] }, [1]);
}
const curves = data.trained.filter((one) => one.curve.length);
function drawCurves() {
  const traces = curves.map((one) => ({ type: "scatter", mode: "lines+markers",
    uid: `curve${one.trial}`, x: one.curve.map(([epoch]) => epoch), hoverinfo: "text",
    y: one.curve.map(([, share]) => percent(share)), customdata: one.curve.map(() => indexOf(one)),
    hovertext: one.curve.map(([epoch, share]) => `<b>trial ${one.trial}</b><br>epoch ${epoch}: ` +
      `${share === null ? "no value" : `${percent(share).toFixed(1)} %`}`),
    line: { color: tones.front, width: 1.8 }, marker: { size: 5, color: tones.front, opacity: 1 },
    ...unfaded({}) }));
  const epochs = Math.max(...curves.map((one) => one.curve.length));
  const side = (text, more) => ({ ...frame(), ...more,
    title: { text, font: { color: tones.ink, size: 13 }, standoff: 8 } });
  const layout = { ...sheet(), margin: { l: 54, r: 12, t: 12, b: 46 },
    xaxis: side("epoch", epochs <= 10 ? { dtick: 1 } : { tickformat: "d" }),
    yaxis: side("validation accuracy (%)") };
  return Plotly.react("curves-plot", traces, layout, still);
}
function markCurves() {
  const isMarked = curves.map((one) => selected.has(indexOf(one)));
  const some = isMarked.includes(true);
  return Plotly.restyle("curves-plot", {
    opacity: isMarked.map((marked) => (!some || marked ? 0.9 : 0.25)),
    "line.width": isMarked.map((marked) => (marked ? 3.5 : 1.8)),
    "line.color": isMarked.map((marked) => (marked ? tones.ink : tones.front)),
  }, range(curves.length));
}

if (points.length && axes.length) {
  plot("matrix", drawMatrix, markMatrix);
  plot("growth-plot", drawGrowth, markGrowth);
  if (trained.length) plot("trained-plot", drawTrained, markTrained);
  else if (byId("trained-plot")) byId("trained-plot").remove();
  if (curves.length) plot("curves-plot", drawCurves, markCurves);
  else if (byId("curves-plot")) byId("curves-plot").remove();
}

const containing = (id, of) => {
  const input = byId(id);
  return { input, keeps: (item) => of(item).toLowerCase().includes(input.value.toLowerCase()) };
};
const PAGE = 12;
laterTables.push(() => {
  if (!byId("evaluated-table")) return;
  const find = containing("evaluated-find", (p) => `${p.trial} ${p.arch}`);
  table("evaluated-table", points,
    { pageSize: PAGE, rowOf: pointRow, content: columnOf, filters: [find] });
}, () => {
  if (!byId("others-table")) return;
  const kind = byId("others-kind");
  const keeps = (item) => kind.value === "" || item.outcome === kind.value;
  const content = (item, column) => (Number(column) === trial ? item.trial : item[column]);
  const rowOf = (item) => element("tr", [element("td", String(item.trial)),
    element("td", item.outcome, { class: "text" }),
    element("td", item.reason, { class: "text reason" }),
    element("td", breakable(item.arch), { class: "text arch" })]);
  table("others-table", data.others,
    { pageSize: PAGE, rowOf, content, filters: [{ input: kind, keeps }] });
}, () => {
  const body = byId("trained-table");
  if (body) tables.push({ body: body.tBodies[0], shown: [], limit: 0 });
});

const drawMore = byId("draw-more");
if (drawMore) {
  drawMore.addEventListener("click", () => {
    for (const figure of document.querySelectorAll("figure.folded")) {
      figure.classList.remove("folded");
    }
    drawMore.remove();
  });
}
"""
