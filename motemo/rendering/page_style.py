"""The style sheet of the pages: one accent colour, light and dark, phone and paper."""

from __future__ import annotations

_LIGHT = """
  color-scheme: light;
  --ground: #f6f8fa; --card: #ffffff; --ink: #1f2933; --quiet: #56616b; --line: #e3e8ed;
  --edge: #8a959f; --faint: #8b96a1; --front: #0072b2; --tint: #e9f3fa; --bound: #c24f00;
  --warn: #8a4b00; --warn-tint: #fff5e6; --code: #3b4650; --bar: #cfe4f2;
"""
_DARK = """
  color-scheme: dark;
  --ground: #11161b; --card: #182027; --ink: #e6ebf0; --quiet: #a7b3bd; --line: #2b353f;
  --edge: #75828e; --faint: #7d8a96; --front: #62b5e8; --tint: #1b3141; --bound: #ff9a57;
  --warn: #ffc680; --warn-tint: #33270f; --code: #c9d3dc; --bar: #264a61;
"""

STYLE = (
    f"""
:root {{{_LIGHT}
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}}
@media screen and (prefers-color-scheme: dark) {{ :root {{{_DARK}}} }}
:root.paper {{{_LIGHT}}}
"""
    + """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding: 64px 0 120px; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 var(--sans); }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 56px; }
a { color: var(--front); }
.eyebrow { margin: 0; color: var(--front); font-size: 12px; font-weight: 600;
  letter-spacing: .09em; text-transform: uppercase; }
h1 { margin: 4px 0 4px; font-size: 28px; line-height: 1.2; letter-spacing: -.015em;
  overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 17px; line-height: 1.3; }
h3 { margin: 20px 0 4px; font-size: 14px; }
.lead { margin: 0; color: var(--quiet); overflow-wrap: anywhere; }
.warning { margin: 16px 0 0; padding: 10px 14px; border-radius: 8px; color: var(--warn);
  background: var(--warn-tint); }
.facts { display: flex; flex-wrap: wrap; gap: 12px 32px; margin: 20px 0 0; }
.facts dt, .controls label { color: var(--quiet); font-size: 12px; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
section { margin-top: 20px; padding: 20px; border: 1px solid var(--line); border-radius: 12px;
  background: var(--card); }
.hint { margin: 2px 0 0; color: var(--quiet); font-size: 13px; max-width: 92ch; }
.undrawn { height: auto !important; padding: 14px; border-radius: 8px; color: var(--warn);
  background: var(--warn-tint); font-size: 14px; }
.controls { display: flex; flex-wrap: wrap; gap: 12px 16px; margin-bottom: 12px; }
h2 + .controls, .hint + .controls { margin-top: 12px; }
.controls label { display: flex; flex: 1 1 150px; flex-direction: column; gap: 3px;
  max-width: 260px; }
select, input[type=search] { width: 100%; padding: 7px 10px; border: 1px solid var(--edge);
  border-radius: 7px; background: var(--card); color: var(--ink); font: 14px var(--sans); }
:focus-visible { outline: 2px solid var(--front); outline-offset: 2px; border-radius: 4px; }
.plot:focus-visible { outline-offset: 4px; }
.wide { overflow-x: auto; }
#scatter { height: 500px; }
#parallel { height: 360px; margin-top: 8px; }
.key { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 0; padding: 0;
  color: var(--quiet); font-size: 13px; list-style: none; }
.key li::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 7px;
  border-radius: 50%; background: var(--faint); }
.key li.front::before { background: var(--front); }
.key li.broken::before { content: "\\00d7"; width: auto; height: auto; background: none;
  color: var(--faint); font-weight: 700; line-height: 1; }
.key li.bound::before { width: 16px; height: 0; border-top: 2px dashed var(--bound);
  border-radius: 0; background: none; vertical-align: middle; }
.key li.outside { margin-left: auto; }
.key li.outside::before { display: none; }
#picked { position: sticky; z-index: 5; bottom: 12px; display: flex; align-items: center; gap: 14px;
  margin: 20px 0 0; padding: 12px 14px; border: 1px solid var(--front); border-radius: 12px;
  background: var(--tint); font-size: 14px; overflow-wrap: anywhere;
  box-shadow: 0 6px 24px rgb(0 0 0 / 18%); }
#picked[hidden] { display: none; }
#picked > div:first-child { flex: 1; min-width: 0; max-height: 30vh; overflow-y: auto; }
#picked code { display: block; margin-top: 3px; }
#picked img { flex: none; width: auto; max-width: 190px; max-height: 92px; }
#picked .buttons { display: flex; flex: none; gap: 6px; }
button { font: 13px var(--sans); color: inherit; cursor: pointer; }
.buttons button, .more { padding: 6px 11px; border: 1px solid var(--edge); border-radius: 7px;
  background: var(--card); color: var(--ink); }
.buttons button:hover, .more:hover { border-color: var(--front); color: var(--front); }
code { font: 12.5px/1.5 var(--mono); }
.scroll { margin: 12px -20px -20px; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { padding: 0 20px 6px; color: var(--quiet); font-size: 13px; text-align: left; }
th, td { padding: 8px 12px; border-top: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 20px; }
th:last-child, td:last-child { padding-right: 20px; }
th.text, td.text { text-align: left; white-space: normal; }
td.arch { min-width: 300px; overflow-wrap: anywhere; }
thead th { border-top: 0; border-bottom: 1px solid var(--edge); vertical-align: bottom;
  font-size: 13px; }
th button { padding: 0; border: 0; background: none; color: inherit; font: 600 13px var(--sans);
  text-align: inherit; }
th small { display: block; color: var(--quiet); font-weight: 400; font-size: 12px; }
th .arrow { display: inline-block; width: 12px; color: var(--quiet); }
th .arrow::after { content: "\\2195"; opacity: .55; }
th[aria-sort=ascending] .arrow::after { content: "\\2191"; color: var(--front); opacity: 1; }
th[aria-sort=descending] .arrow::after { content: "\\2193"; color: var(--front); opacity: 1; }
td .pick { padding: 0 2px; border: 0; background: none; color: var(--front); font: inherit;
  text-decoration: underline; text-decoration-color: transparent; text-underline-offset: 3px; }
td .pick:hover { text-decoration-color: currentColor; }
tr[data-index] { cursor: pointer; }
tr[data-index]:hover { background: var(--ground); }
tr.marked, tr.marked:hover { background: var(--tint); box-shadow: inset 3px 0 var(--front); }
td small { color: var(--quiet); font-size: 12px; }
td.best { color: var(--front); font-weight: 700; }
td.best small { font-weight: 400; }
td code { color: var(--code); }
details { margin-top: 20px; color: var(--quiet); font-size: 13px; }
section > details { margin-top: 16px; }
summary { width: fit-content; cursor: pointer; }
details dl { display: grid; grid-template-columns: minmax(90px, max-content) 1fr; gap: 3px 20px;
  margin: 10px 0 0; }
details dd { margin: 0; color: var(--ink); overflow-wrap: anywhere; }
@media (max-width: 640px) {
  main { padding: 24px 12px 40px; }
  h1 { font-size: 23px; }
  section { padding: 16px 14px; }
  .facts { gap: 10px 24px; }
  .controls label { flex-basis: 100%; max-width: none; flex-direction: row; align-items: center; }
  .controls label span { flex: 0 0 64px; }
  #scatter { height: 400px; margin: 0 -8px; }
  #parallel { height: 320px; margin: 8px -8px 0; }
  .scroll { margin: 12px -14px -16px; }
  caption { padding: 0 14px 6px; }
  th:first-child, td:first-child { padding-left: 14px; }
  td.arch { white-space: nowrap; overflow-wrap: normal; }
  td wbr { display: none; }
  #picked { flex-wrap: wrap; gap: 8px; padding: 10px 12px; }
  #picked > div:first-child { flex-basis: 100%; max-height: 22vh; }
  #picked img { display: none; }
}
@media (pointer: coarse) { .mouse { display: none; } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print {
  body { background: #fff; font-size: 11px; }
  main { max-width: none; padding: 0; }
  section, figure, tr { break-inside: avoid; }
  section { padding: 10px 0; border: 0; border-top: 1px solid var(--line); border-radius: 0; }
  section:has(tbody) { break-inside: auto; }
  .controls, #picked, .modebar, .more, .arrow, nav, .screen { display: none !important; }
  .scroll { margin: 8px 0 0; overflow: visible; }
  td, th { padding: 4px 6px !important; font-size: 10px; }
  td.arch { min-width: 0; }
  td code { font-size: 8.5px; }
}
@page { margin: 14mm; }
"""
)
