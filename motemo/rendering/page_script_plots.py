"""The part of the script that draws with Plotly: the scatter plot and the parallel coordinates."""

from __future__ import annotations

PLOTS = r"""
// The buttons are listed one by one: Plotly's default bar offers to send the chart to a server.
const config = { displaylogo: false, responsive: false, plotlyServerURL: "",
  modeBarButtons: [["select2d", "lasso2d", "zoom2d", "pan2d"], ["resetScale2d"], ["toImage"]] };
const dragging = byFinger ? false : "select";
const font = () => ({ family: getComputedStyle(document.body).fontFamily, size: 13,
  color: tones.quiet });
const hoverLabel = () => ({ bgcolor: tones.card, bordercolor: tones.edge, align: "left",
  font: { family: font().family, size: 12, color: tones.ink } });
const chosen = (id) => (byId(id).value === "" ? null : Number(byId(id).value));
const title = (k) => (k === trial ? "trial" : plain(axes[k].label) +
  `<span style="font-size:11px"> · ${axes[k].better} is better</span>`);

// Every plot draws itself anew (`draw`), or only what is marked in it (`mark`).
const plots = [];
function plot(id, draw, mark) {
  if (!byId(id)) return;
  const own = { id, mark, drawn: false, draw: () => guarded(id, async () => {
    await draw();
    if (!own.drawn) { own.drawn = true; listen(id); }
    await mark();
  }) };
  plots.push(own);
  return own;
}
const paint = () => Promise.all(plots.filter((own) => !own.later).map((own) => own.draw()));
function markPlots() {
  for (const own of plots) if (own.drawn) guarded(own.id, own.mark);
}

function listen(id) {
  const box = byId(id);
  new ResizeObserver(() => { if (box.clientWidth) Plotly.Plots.resize(id); }).observe(box);
  const known = (event) => (event ? event.points : []).map((point) => point.customdata)
    .filter((index) => index !== undefined && index !== null);
  box.on("plotly_click", (event) => {
    const [index] = known(event);
    if (index !== undefined) pick(index, event.event);
  });
  box.on("plotly_selected", (event) => {
    if (!event) return;
    const found = known(event);
    Plotly.relayout(id, { selections: [] });
    select(found);
  });
}

// Nothing fades when a box is drawn: what is in it is marked, here and everywhere.
const unfaded = (marker) => ({ selected: { marker: { opacity: marker.opacity ?? 1 } },
  unselected: { marker: { opacity: marker.opacity ?? 1 } } });

function hover(point) {
  const rows = axes.map((axis, k) => `${plain(axis.name)}  <b>${plain(full(point, k))}</b>`);
  const code = point.lines.map(plain).join("<br>");
  return `<b>trial ${point.trial}</b>, ${state(point)}<br>${rows.join("<br>")}<br>` +
    `<span style="font-family:${mono};font-size:11px">${code}</span>`;
}

function bars(k, color) {
  const some = k !== trial && members.some((m) => m.above[k] > 0 || m.below[k] > 0);
  return { type: "data", visible: some, symmetric: false, thickness: 1.2, width: 0, color,
    array: some ? members.map((m) => m.above[k]) : [],
    arrayminus: some ? members.map((m) => m.below[k]) : [] };
}

function dots(some, x, y, marker, uid) {
  return { type: "scatter", mode: "markers", uid, marker, cliponaxis: true, ...unfaded(marker),
    x: some.map((p) => value(p, x)), y: some.map((p) => value(p, y)),
    customdata: some.map((p) => p.index), hovertext: some.map(hover), hoverinfo: "text" };
}

const ring = (size) => ({ size, color: "rgba(0,0,0,0)", opacity: 1,
  line: { color: tones.ink, width: 2.5 } });

// The objective that colours the front; none if all members would get the same colour.
function colouring() {
  const k = chosen("colour");
  return k !== null && new Set(members.map((m) => value(m, k))).size > 1 ? k : null;
}

function frontMarker(colour) {
  const marker = { size: 10.5, color: tones.front, opacity: 1,
    line: { color: tones.card, width: 1.5 } };
  if (colour === null) return marker;
  return { ...marker, color: members.map((m) => value(m, colour)), colorscale: tones.scale,
    colorbar: { orientation: "h", thickness: 9, len: 0.6, x: 0, xanchor: "left", y: 1.01,
      yanchor: "bottom", outlinewidth: 0, tickfont: { size: 11 },
      title: { text: title(colour), side: "top", font: { size: 12 } } } };
}

function steps(x, y) {
  const corner = (line[`${x},${y}`] || []).map((index) => points[index]);
  return { type: "scatter", mode: "lines", uid: "steps", hoverinfo: "skip",
    x: corner.map((p) => value(p, x)), y: corner.map((p) => value(p, y)),
    line: { shape: "hv", color: tones.front, width: 1.5 }, opacity: 0.5 };
}

function bounds(x, y) {
  return data.bounds.filter((b) => b.axis === x || b.axis === y).map((b) => {
    const ends = b.axis === x ? { x0: b.value, x1: b.value, yref: "paper", y0: 0, y1: 1 }
      : { y0: b.value, y1: b.value, xref: "paper", x0: 0, x1: 1 };
    return { type: "line", ...ends, opacity: 0.9,
      line: { color: tones.bound, width: 1.5, dash: "dash" } };
  });
}

const frame = () => ({ gridcolor: tones.line, zeroline: false, linecolor: tones.edge,
  ticks: "outside", tickcolor: tones.edge, ticklen: 4, automargin: true });
function axisLayout(k) {
  return { ...frame(),
    title: { text: title(k), font: { color: tones.ink, size: 13 }, standoff: 10 },
    range: k === trial || !axes[k].view ? undefined : axes[k].view,
    autorange: k === trial || !axes[k].view };
}
const sheet = () => ({ font: font(), showlegend: false, hovermode: "closest",
  hoverlabel: hoverLabel(), paper_bgcolor: tones.card, plot_bgcolor: tones.card,
  dragmode: dragging, activeselection: { fillcolor: tones.front, opacity: 0.15 },
  newselection: { line: { color: tones.front, width: 1.5 } } });

function noteOutside(x, y) {
  const seen = (p, k) => k === trial || !axes[k].view || value(p, k) === null ||
    (value(p, k) >= axes[k].view[0] && value(p, k) <= axes[k].view[1]);
  const count = points.filter((p) => !seen(p, x) || !seen(p, y)).length;
  byId("outside").textContent =
    count ? `${count} more outside this view: double-click to see everything` : "";
}

const PICKED = 4;
function drawScatter() {
  const x = chosen("x"), y = chosen("y"), colour = colouring();
  const rest = points.filter((p) => !p.front);
  const tone = colour === null ? tones.front : tones.quiet;
  const cross = { color: tones.faint, width: 1.5 };
  const traces = [
    dots(rest.filter((p) => p.keeps), x, y, { size: 6.5, color: tones.faint, opacity: 0.55 },
      "kept"),
    dots(rest.filter((p) => !p.keeps), x, y,
      { size: 7, color: tones.faint, opacity: 0.7, symbol: "x-thin", line: cross }, "broken"),
    steps(x, y),
    { ...dots(members, x, y, frontMarker(colour), "front"), error_x: bars(x, tone),
      error_y: bars(y, tone) },
    { ...dots([], x, y, ring(19), "picked"), hoverinfo: "skip" },
  ];
  const layout = { ...sheet(), margin: { l: 54, r: 14, t: colour === null ? 30 : 66, b: 46 },
    uirevision: `${x},${y}`, xaxis: axisLayout(x), yaxis: axisLayout(y), shapes: bounds(x, y) };
  noteOutside(x, y);
  return Plotly.react("scatter", traces, layout, config);
}

function markScatter() {
  const x = chosen("x"), y = chosen("y"), marked = [...selected].map((index) => points[index]);
  return Plotly.restyle("scatter", { x: [marked.map((p) => value(p, x))],
    y: [marked.map((p) => value(p, y))], customdata: [[...selected]],
    "marker.size": marked.length > 12 ? 11 : 19,
    "marker.line.width": marked.length > 12 ? 1.5 : 2.5 }, [PICKED]);
}

function heights(k) {
  const all = members.map((m) => value(m, k)).filter((v) => v !== null);
  const low = Math.min(...all), high = Math.max(...all);
  const best = axes[k].better === "higher" ? high : low, worst = low + high - best;
  return (point) => (value(point, k) === null ? null
    : high > low ? (value(point, k) - worst) / (best - worst) : 1);
}

// Members of about the same colour are one trace with gaps, so that hundreds are drawn at once.
const SHADES = 12;
function shadeOf(colour) {
  if (colour === null) return () => 0;
  const all = members.map((m) => value(m, colour)).filter((v) => v !== null);
  const low = Math.min(...all), high = Math.max(...all);
  return (point) => Math.min(SHADES - 1,
    Math.floor(SHADES * (value(point, colour) - low) / (high - low)));
}
function toneOf(colour, shade) {
  if (colour === null) return tones.front;
  const share = (shade + 0.5) / SHADES, scale = tones.scale;
  const upper = Math.max(1, scale.findIndex((stop) => stop[0] >= share));
  const [from, to] = [scale[upper - 1], scale[upper]];
  const part = (share - from[0]) / (to[0] - from[0]);
  const mix = [1, 3, 5].map((at) => {
    const [a, b] = [from, to].map((stop) => parseInt(stop[1].slice(at, at + 2), 16));
    return Math.round(a + (b - a) * part);
  });
  return `rgb(${mix.join(",")})`;
}
function lines(some, height) {
  const gaps = (of) => some.flatMap((point) => [...axes.map((_, k) => of(point, k)), null]);
  return { x: gaps((_, k) => k), y: gaps((point, k) => height[k](point)),
    customdata: gaps((point) => point.index), hovertext: gaps((point) => hover(point)) };
}

function drawParallel() {
  const colour = colouring(), height = axes.map((_, k) => heights(k)), shade = shadeOf(colour);
  const opacity = members.length > 60 ? 0.55 : 0.85;
  const look = { type: "scatter", mode: "lines+markers", hoverinfo: "text", connectgaps: false };
  const traces = Array.from({ length: colour === null ? 1 : SHADES }, (_, which) => {
    const tone = toneOf(colour, which), marker = { size: 6, color: tone, opacity: 1 };
    return { ...look, ...lines(members.filter((m) => shade(m) === which), height),
      uid: `members${which}`, opacity, line: { color: tone, width: 1.8 }, marker,
      ...unfaded(marker) };
  });
  traces.push({ ...look, ...lines([], height), uid: "picked",
    line: { color: tones.ink, width: 3.5 }, marker: { size: 9, color: tones.ink },
    ...unfaded({}) });
  const notes = axes.flatMap((axis, k) => {
    const name = `<b>${plain(axis.short)}</b><br>${plain(axis.unit) || " "}`;
    const at = (y, yanchor, text, size) => ({ x: k, y, yanchor, text, showarrow: false,
      xanchor: "center", font: { size, color: size > 11 ? tones.ink : tones.quiet } });
    return [at(1.13, "bottom", name, 12), at(1.02, "bottom", plain(axis.best), 11),
      at(-0.02, "top", plain(axis.worst), 11)];
  });
  const rails = axes.map((_, k) => ({ type: "line", layer: "below", x0: k, x1: k, y0: 0, y1: 1,
    line: { color: tones.edge, width: 1.2 } }));
  const still = { visible: false, fixedrange: true };
  byId("parallel").style.minWidth = `${axes.length * 112}px`;
  const layout = { ...sheet(), margin: { l: 4, r: 4, t: 4, b: 4 },
    xaxis: { ...still, range: [-0.45, axes.length - 0.55] },
    yaxis: { ...still, range: [-0.13, 1.36] }, shapes: rails, annotations: notes };
  return Plotly.react("parallel", traces, layout, { ...config, displayModeBar: false });
}

function markParallel() {
  const height = axes.map((_, k) => heights(k)), last = byId("parallel").data.length - 1;
  const marked = members.filter((m) => selected.has(m.index));
  const found = lines(marked, height), normal = members.length > 60 ? 0.55 : 0.85;
  const others = Array.from({ length: last }, (_, k) => k);
  return Plotly.restyle("parallel", { opacity: marked.length ? 0.22 : normal }, others).then(() =>
    Plotly.restyle("parallel", Object.fromEntries(
      Object.entries(found).map(([name, array]) => [name, [array]])), [last]));
}

if (points.length && axes.length) {
  const scatter = plot("scatter", drawScatter, markScatter);
  const parallel = plot("parallel", drawParallel, markParallel);
  for (const id of ["x", "y"]) byId(id).addEventListener("change", scatter.draw);
  byId("colour").addEventListener("change", () => {
    scatter.draw();
    if (parallel) parallel.draw();
  });
  byId("scatter").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by && members.length) { event.preventDefault(); step(by); }
  });
}
"""
