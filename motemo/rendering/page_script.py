"""The script of the page: it draws with Plotly, marks what is clicked and sorts the table.

It reads the payload of `motemo.rendering.html`, writes text as text only (what goes into Plotly,
which reads a little HTML, passes `plain`), and sets `data-ready` on the root when all is drawn.
The address `page.html#trial=48` opens the page with that trial marked.
"""

from __future__ import annotations

SCRIPT = r"""
"use strict";
(() => {
const data = JSON.parse(document.getElementById("payload").textContent);
const { axes, points, line, trial } = data;
const byId = (id) => document.getElementById(id);
const members = data.members.map((index) => points[index]);
const onFront = new Set(data.members);
const colours = [[0, "#440154"], [0.25, "#3b528b"], [0.5, "#21918c"], [0.75, "#4fb765"],
                 [1, "#c8d62b"]];
const ink = "#1f2933", quiet = "#5b6670", faint = "#b3bbc3", strong = "#0072b2";
const config = { displaylogo: false, responsive: false, plotlyServerURL: "",
  modeBarButtons: [["zoom2d", "pan2d"], ["autoScale2d", "resetScale2d"], ["toImage"]] };
// The buttons are listed one by one: Plotly's default bar offers to send the chart to a server.
const font = { family: getComputedStyle(document.body).fontFamily, size: 13, color: quiet };
const mono = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace";
let marked = null;

const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;")
  .replace(/>/g, "&gt;");
const value = (point, k) => (k === trial ? point.trial : point.values[k]);
const title = (k) => (k === trial ? "trial" : plain(axes[k].label) +
  `<span style="font-size:11px"> · ${axes[k].better} is better</span>`);
const chosen = (id) => (byId(id).value === "" ? null : Number(byId(id).value));

// The objective that colours the front; none if all members would get the same colour.
function colouring() {
  const k = chosen("colour");
  return k !== null && new Set(members.map((m) => value(m, k))).size > 1 ? k : null;
}

function hover(point) {
  const rows = axes.map((axis, k) => `${plain(axis.name)}  <b>${plain(point.texts[k])}</b>`);
  const code = point.lines.map(plain).join("<br>");
  const state = point.front ? "on the front" : point.keeps ? "evaluated" : "breaks a constraint";
  return `<b>trial ${point.trial}</b>, ${state}<br>${rows.join("<br>")}<br>` +
    `<span style="font-family:${mono};font-size:11px">${code}</span>`;
}

function bars(k, color) {
  const some = k !== trial && members.some((m) => m.above[k] > 0 || m.below[k] > 0);
  return { type: "data", visible: some, symmetric: false, thickness: 1.2, width: 0, color,
    array: some ? members.map((m) => m.above[k]) : [],
    arrayminus: some ? members.map((m) => m.below[k]) : [] };
}

function dots(some, x, y, marker, uid) {
  return { type: "scatter", mode: "markers", uid, marker, cliponaxis: true,
    x: some.map((p) => value(p, x)), y: some.map((p) => value(p, y)),
    customdata: some.map((p) => p.index), hovertext: some.map(hover), hoverinfo: "text" };
}

function frontMarker(colour) {
  const marker = { size: 11, color: strong, opacity: 1, line: { color: "#fff", width: 1.5 } };
  if (colour === null) return marker;
  return { ...marker, color: members.map((m) => value(m, colour)), colorscale: colours,
    colorbar: { orientation: "h", thickness: 9, len: 0.6, x: 0, xanchor: "left", y: 1.01,
      yanchor: "bottom", outlinewidth: 0, tickfont: { size: 11 },
      title: { text: title(colour), side: "top", font: { size: 12 } } } };
}

function steps(x, y) {
  const key = `${x},${y}`;
  const corner = (line[key] || []).map((index) => points[index]);
  return { type: "scatter", mode: "lines", uid: "steps", hoverinfo: "skip",
    x: corner.map((p) => value(p, x)), y: corner.map((p) => value(p, y)),
    line: { shape: "hv", color: strong, width: 1.5 }, opacity: 0.45 };
}

function bounds(x, y) {
  return data.bounds.filter((b) => b.axis === x || b.axis === y).map((b) => {
    const ends = b.axis === x ? { x0: b.value, x1: b.value, yref: "paper", y0: 0, y1: 1 }
      : { y0: b.value, y1: b.value, xref: "paper", x0: 0, x1: 1 };
    return { type: "line", ...ends, opacity: 0.8,
      line: { color: "#d55e00", width: 1.5, dash: "dash" } };
  });
}

function axisLayout(k) {
  return { title: { text: title(k), font: { color: ink, size: 13 }, standoff: 10 },
    gridcolor: "#eef1f4", zeroline: false, linecolor: "#c5ccd3", ticks: "outside",
    tickcolor: "#c5ccd3", ticklen: 4, automargin: true,
    range: k === trial || !axes[k].view ? undefined : axes[k].view,
    autorange: k === trial || !axes[k].view };
}

const hoverLabel = { bgcolor: "#fff", bordercolor: "#cbd3da", align: "left",
  font: { family: font.family, size: 12, color: ink } };

function noteOutside(x, y) {
  const seen = (p, k) => k === trial || !axes[k].view || value(p, k) === null ||
    (value(p, k) >= axes[k].view[0] && value(p, k) <= axes[k].view[1]);
  const count = points.filter((p) => !seen(p, x) || !seen(p, y)).length;
  byId("outside").textContent =
    count ? `${count} more outside this view: double-click to see everything` : "";
}

function drawScatter() {
  const x = chosen("x"), y = chosen("y"), colour = colouring();
  const rest = points.filter((p) => !p.front);
  const picked = marked === null ? [] : [points[marked]];
  const tone = colour === null ? strong : quiet;
  const traces = [
    dots(rest.filter((p) => p.keeps), x, y, { size: 7, color: faint, opacity: 0.6 }, "kept"),
    dots(rest.filter((p) => !p.keeps), x, y,
      { size: 7, color: faint, opacity: 0.7, symbol: "x-thin", line: { color: faint, width: 1.5 } },
      "broken"),
    steps(x, y),
    { ...dots(members, x, y, frontMarker(colour), "front"), error_x: bars(x, tone),
      error_y: bars(y, tone) },
    { ...dots(picked, x, y, { size: 19, color: "rgba(0,0,0,0)", line: { color: ink, width: 2 } },
      "picked"), hoverinfo: "skip" },
  ];
  const layout = { font, showlegend: false, hovermode: "closest", hoverlabel: hoverLabel,
    margin: { l: 54, r: 14, t: colour === null ? 30 : 66, b: 46 }, dragmode: "pan",
    paper_bgcolor: "#fff", plot_bgcolor: "#fff", uirevision: `${x},${y}`,
    xaxis: axisLayout(x), yaxis: axisLayout(y), shapes: bounds(x, y) };
  noteOutside(x, y);
  return Plotly.react("scatter", traces, layout, config);
}

function shade(colour, point) {
  const all = members.map((m) => value(m, colour)).filter((v) => v !== null);
  const low = Math.min(...all), high = Math.max(...all);
  const share = high > low ? (value(point, colour) - low) / (high - low) : 0.5;
  const upper = Math.max(1, colours.findIndex((stop) => stop[0] >= share));
  const [from, to] = [colours[upper - 1], colours[upper]];
  const part = (share - from[0]) / (to[0] - from[0]);
  const mix = [1, 3, 5].map((at) => {
    const [a, b] = [from, to].map((stop) => parseInt(stop[1].slice(at, at + 2), 16));
    return Math.round(a + (b - a) * part);
  });
  return `rgb(${mix.join(",")})`;
}

function heights(k) {
  const all = members.map((m) => value(m, k)).filter((v) => v !== null);
  const low = Math.min(...all), high = Math.max(...all);
  const best = axes[k].better === "higher" ? high : low, worst = low + high - best;
  return (point) => (value(point, k) === null ? null
    : high > low ? (value(point, k) - worst) / (best - worst) : 1);
}

function drawParallel() {
  const colour = colouring(), height = axes.map((_, k) => heights(k));
  const ordered = [...members].sort((a, b) => (a.index === marked) - (b.index === marked));
  const traces = ordered.map((point) => {
    const isMarked = point.index === marked;
    const tone = colour === null ? strong : shade(colour, point);
    return { type: "scatter", mode: "lines+markers", uid: `member${point.index}`,
      x: axes.map((_, k) => k), y: height.map((of) => of(point)),
      customdata: axes.map(() => point.index), hovertext: axes.map(() => hover(point)),
      hoverinfo: "text", opacity: marked === null || isMarked ? 0.85 : 0.25,
      line: { color: isMarked ? ink : tone, width: isMarked ? 3.5 : 1.8 },
      marker: { size: isMarked ? 9 : 6, color: isMarked ? ink : tone } };
  });
  const notes = axes.flatMap((axis, k) => {
    const name = `<b>${plain(axis.short)}</b><br>${plain(axis.unit) || " "}`;
    const at = (y, yanchor, text, size) => ({ x: k, y, yanchor, text, showarrow: false,
      xanchor: "center", font: { size, color: size > 11 ? ink : quiet } });
    return [at(1.13, "bottom", name, 12), at(1.02, "bottom", plain(axis.best), 11),
      at(-0.02, "top", plain(axis.worst), 11)];
  });
  const rails = axes.map((_, k) => ({ type: "line", layer: "below", x0: k, x1: k, y0: 0, y1: 1,
    line: { color: "#c5ccd3", width: 1.2 } }));
  const still = { visible: false, fixedrange: true };
  const layout = { font, showlegend: false, hovermode: "closest", hoverlabel: hoverLabel,
    margin: { l: 4, r: 4, t: 4, b: 4 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    xaxis: { ...still, range: [-0.45, axes.length - 0.55] },
    yaxis: { ...still, range: [-0.13, 1.36] }, shapes: rails, annotations: notes };
  return Plotly.react("parallel", traces, layout, { ...config, displayModeBar: false });
}

function showPicked() {
  const box = byId("picked");
  box.replaceChildren();
  box.classList.toggle("some", marked !== null);
  for (const row of document.querySelectorAll("tbody tr")) {
    const isMarked = Number(row.dataset.index) === marked;
    row.classList.toggle("marked", isMarked);
    row.setAttribute("aria-selected", String(isMarked));
  }
  if (marked === null) { box.textContent = "Click a point, a line or a row to mark it."; return; }
  const point = points[marked], head = document.createElement("strong");
  head.textContent = `trial ${point.trial}`;
  const code = document.createElement("code");
  for (const part of point.arch.split(/(?<=[|+,;/])(?=\w)/)) {
    code.append(part, document.createElement("wbr"));
  }
  const texts = axes.map((axis, k) => ` · ${axis.name} ${point.texts[k]}`).join("");
  box.append(head, texts, code);
}

function mark(index) {
  marked = index === marked ? null : index;
  const hash = marked === null ? "#" : `#trial=${points[marked].trial}`;
  history.replaceState(null, "", hash);
  showPicked();
  return draw();
}

const many = axes.length > 2 && members.length > 0;
const draw = () => Promise.all([drawScatter(), ...(many ? [drawParallel()] : [])]);

function sortBy(header, column) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of document.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = document.querySelector("tbody"), k = Number(column);
  const content = (row) => {
    const point = points[Number(row.dataset.index)];
    return column === "arch" ? point.arch : value(point, k);
  };
  const order = (a, b) => (content(a) < content(b) ? -1 : content(a) > content(b) ? 1 : 0);
  body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
}

function listen() {
  for (const id of ["x", "y", "colour"]) byId(id).addEventListener("change", draw);
  for (const header of document.querySelectorAll("thead th")) {
    header.querySelector("button").addEventListener("click",
      () => sortBy(header, header.dataset.column));
  }
  for (const row of document.querySelectorAll("tbody tr")) {
    const pick = () => mark(Number(row.dataset.index));
    row.addEventListener("click", pick);
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); }
    });
  }
  for (const id of many ? ["scatter", "parallel"] : ["scatter"]) {
    new ResizeObserver(() => Plotly.Plots.resize(id)).observe(byId(id));
    byId(id).on("plotly_click", (event) => {
      const index = event.points[0].customdata;
      if (index !== undefined) mark(index);
    });
  }
}

const asked = /^#trial=(\d+)$/.exec(location.hash);
if (points.length && axes.length) {
  const found = asked ? points.findIndex((p) => p.trial === Number(asked[1])) : -1;
  marked = found < 0 ? null : found;
  showPicked();
  draw().then(listen).then(() => { document.documentElement.dataset.ready = "true"; });
} else {
  document.documentElement.dataset.ready = "true";
}
})();
"""
