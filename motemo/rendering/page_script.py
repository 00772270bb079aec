"""The script of the pages: one selection that every plot and table shows, and that any can change.

It reads the payload of `motemo.rendering.page_payload`, writes text as text only (what goes into
Plotly, which reads a little HTML, passes `plain`), and sets `data-ready` on the root when all is
drawn. A plot that fails says so in its place and leaves the others alone. The address
`page.html#trial=48` opens the page with that trial marked, `#trial=48,52` with both.
"""

from __future__ import annotations

from motemo.rendering.page_script_plots import PLOTS
from motemo.rendering.page_script_tables import TABLES

_START = r"""
"use strict";
(() => {
const data = JSON.parse(document.getElementById("payload").textContent);
const { axes, points, line, trial } = data;
const byId = (id) => document.getElementById(id);
const members = data.members.map((index) => points[index]);
const mono = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace";
const byFinger = matchMedia("(pointer: coarse)").matches;

// Colours follow the style sheet, which follows what the reader prefers; paper is always light.
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let printing = false, tones = {};
function readTones() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["card", "ink", "quiet", "line", "edge", "faint", "front", "bound"]) {
    tones[name] = style.getPropertyValue(`--${name}`).trim();
  }
  const dark = prefersDark.matches && !printing;
  tones.scale = dark
    ? [[0, "#7f78e0"], [0.25, "#4aa3d0"], [0.5, "#35b99a"], [0.75, "#8fd35a"], [1, "#f3e55a"]]
    : [[0, "#440154"], [0.25, "#3b528b"], [0.5, "#21918c"], [0.75, "#4fb765"], [1, "#b8c41f"]];
}

const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;")
  .replace(/>/g, "&gt;");
const value = (point, k) => (k === trial ? point.trial : point.values[k]);
const full = (point, k) => [point.texts[k][0], axes[k].unit, point.texts[k][1]].filter(Boolean)
  .join(" ");
const state = (point) => (point.front ? "on the front"
  : point.keeps ? "evaluated" : "breaks a constraint");

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  made.append(...[content].flat());
  for (const [name, text] of Object.entries(attributes)) made.setAttribute(name, text);
  return made;
}

// A genotype as text that may break after its punctuation.
function breakable(text) {
  const parts = text.split(/(?<=[|+,;/])(?=\w)/);
  return element("code", parts.flatMap((part) => [part, document.createElement("wbr")]));
}

// What is selected: indices of points, the last one last.
let selected = new Set();
const watchers = [];
function select(indices) {
  selected = new Set(indices);
  const trials = [...selected].map((index) => points[index].trial);
  const hash = trials.length && trials.length <= 50 ? `#trial=${trials.join(",")}` : "";
  try { history.replaceState(null, "", hash || location.pathname + location.search); }
  catch { /* an address that may not be changed, as of a page in a frame */ }
  for (const watcher of watchers) watcher();
}
function pick(index, event) {
  const several = event && (event.shiftKey || event.ctrlKey || event.metaKey);
  const others = several ? [...selected].filter((other) => other !== index) : [];
  select(selected.has(index) && (several || selected.size === 1) ? others : [...others, index]);
}
function step(by) {
  const last = [...selected].pop();
  const at = data.members.indexOf(last);
  const next = at < 0 ? (by > 0 ? 0 : members.length - 1)
    : (at + by + members.length) % members.length;
  select([data.members[next]]);
}

function guarded(id, action) {
  return Promise.resolve().then(action).catch((error) => {
    const box = byId(id);
    box.replaceChildren(`This could not be drawn: ${error.message}`);
    box.classList.add("undrawn");
  });
}

// The bar that tells of what is selected.
function tellSelected() {
  const box = byId("picked");
  box.hidden = selected.size === 0;
  box.replaceChildren();
  if (box.hidden) return;
  const text = element("div", selected.size === 1 ? one([...selected][0]) : several());
  const buttons = [["←", "previous on the front", () => step(-1)],
    ["→", "next on the front", () => step(1)], ["✕", "clear the selection", () => select([])]]
    .map(([sign, label, action]) => {
      const button = element("button", sign, { type: "button", "aria-label": label, title: label });
      button.addEventListener("click", action);
      return button;
    });
  const drawn = selected.size === 1 ? document.querySelector(
    `figure[data-index="${[...selected][0]}"] img`) : null;
  box.append(text, ...(drawn ? [drawn.cloneNode()] : []),
    element("div", buttons, { class: "buttons" }));
}
function one(index) {
  const point = points[index];
  const texts = axes.map((axis, k) => ` · ${axis.name} ${full(point, k)}`).join("");
  return [element("strong", `trial ${point.trial}`), ` · ${state(point)}${texts}`,
    breakable(point.arch)];
}
function several() {
  const chosen = [...selected].map((index) => points[index]);
  const count = chosen.filter((point) => point.front).length;
  const ranges = axes.map((axis, k) => {
    const ordered = chosen.filter((p) => p.values[k] !== null)
      .sort((a, b) => a.values[k] - b.values[k]);
    return ordered.length ? ` · ${axis.name} ${ordered[0].texts[k][0]} to ` +
      [ordered[ordered.length - 1].texts[k][0], axis.unit].filter(Boolean).join(" ") : "";
  });
  return [element("strong", `${chosen.length} marked`),
    `, ${count} on the front${ranges.join("")}`];
}
"""

_END = r"""
function markFigures() {
  for (const figure of document.querySelectorAll("figure[data-index]")) {
    const isMarked = selected.has(Number(figure.dataset.index));
    figure.classList.toggle("marked", isMarked);
    figure.classList.toggle("large", isMarked && selected.size === 1);
  }
}

// Any element with data-pick marks that point; those inside of a row have the row's index.
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-pick], tr[data-index], figure[data-index]");
  const copying = !getSelection().isCollapsed && !event.target.closest("button");
  if (target && !copying) pick(Number(target.dataset.pick ?? target.dataset.index), event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected.size) select([]);
});

function repaint() { readTones(); return paint(); }
prefersDark.addEventListener("change", repaint);
let opened = [];
addEventListener("beforeprint", () => {
  printing = true;
  document.documentElement.classList.add("paper");
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const folded of opened) folded.open = true;
  repaint();
});
addEventListener("afterprint", () => {
  printing = false;
  document.documentElement.classList.remove("paper");
  for (const folded of opened) folded.open = false;
  repaint();
});

watchers.push(tellSelected, markTables, markPlots, markFigures);
const ready = () => { document.documentElement.dataset.ready = "true"; };
readTones();
if (points.length && axes.length) {
  const asked = /^#trial=([\d,]+)$/.exec(location.hash);
  const trials = new Set(asked ? asked[1].split(",").map(Number) : []);
  selected = new Set(points.filter((p) => trials.has(p.trial)).map((p) => p.index));
}
tellSelected();
markFigures();
startTables();
paint().then(ready);
})();
"""


def script(*more: str) -> str:
    """Return the script of a page.

    Args:
        more: Further parts, which may use what the common parts define.
    """
    return "\n".join((_START, PLOTS, TABLES, *more, _END))
