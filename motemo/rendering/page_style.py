"""The style sheet of the page."""

from __future__ import annotations

STYLE = """
:root {
  --ink: #1f2933; --quiet: #5b6670; --line: #e3e8ed; --front: #0072b2; --tint: #eef6fb;
  --warn: #8a4b00; --warn-tint: #fff5e6;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
* { box-sizing: border-box; }
body { margin: 0; background: #f6f8fa; color: var(--ink); font: 15px/1.5 var(--sans); }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 56px; }
.eyebrow { margin: 0; color: var(--front); font-size: 12px; font-weight: 600;
  letter-spacing: .09em; text-transform: uppercase; }
h1 { margin: 4px 0 4px; font-size: 28px; line-height: 1.2; letter-spacing: -.015em;
  overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 16px; }
.lead { margin: 0; color: var(--quiet); }
.warning { margin: 16px 0 0; padding: 10px 14px; border-radius: 8px; color: var(--warn);
  background: var(--warn-tint); }
.facts { display: flex; flex-wrap: wrap; gap: 12px 32px; margin: 20px 0 0; }
.facts dt, .controls label { color: var(--quiet); font-size: 12px; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
section { margin-top: 20px; padding: 20px; border: 1px solid var(--line); border-radius: 12px;
  background: #fff; }
.hint { margin: 2px 0 0; color: var(--quiet); font-size: 13px; }
.controls { display: flex; flex-wrap: wrap; gap: 12px 16px; margin-bottom: 12px; }
.controls label { display: flex; flex: 1 1 150px; flex-direction: column; gap: 3px;
  max-width: 260px; }
select { width: 100%; padding: 7px 10px; border: 1px solid #cbd3da; border-radius: 7px;
  background: #fff; color: var(--ink); font: 14px var(--sans); }
select:focus-visible, th button:focus-visible, tbody tr:focus-visible, summary:focus-visible {
  outline: 2px solid var(--front); outline-offset: 1px; }
#scatter { height: 500px; }
#parallel { height: 360px; margin-top: 8px; }
.key { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 0; padding: 0;
  color: var(--quiet); font-size: 13px; list-style: none; }
.key li::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 7px;
  border-radius: 50%; background: #b3bbc3; }
.key li.front::before { background: var(--front); }
.key li.broken::before { content: "\\00d7"; width: auto; height: auto; background: none;
  color: #8b949d; font-weight: 700; line-height: 1; }
.key li.bound::before { width: 16px; height: 0; border-top: 2px dashed #d55e00; border-radius: 0;
  background: none; vertical-align: middle; }
.key li.outside { margin-left: auto; }
.key li.outside::before { display: none; }
#picked { min-height: 48px; margin: 14px 0 0; padding: 12px 14px; border-radius: 8px;
  background: #f6f8fa; font-size: 14px; overflow-wrap: anywhere; }
#picked.some { background: var(--tint); }
#picked code { display: block; margin-top: 3px; }
code { font: 12.5px/1.5 var(--mono); }
.scroll { margin: 12px -20px -20px; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 9px 12px; border-top: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 20px; }
th:last-child, td:last-child { padding-right: 20px; text-align: left; white-space: normal; }
td:last-child { min-width: 300px; }
thead th { border-top: 0; border-bottom: 1px solid #cbd3da; vertical-align: bottom; }
th button { padding: 0; border: 0; background: none; color: inherit; font: 600 13px var(--sans);
  text-align: inherit; cursor: pointer; }
th button small { display: block; color: var(--quiet); font-weight: 400; font-size: 12px; }
th .arrow { display: inline-block; width: 12px; color: #b3bbc3; }
th .arrow::after { content: "\\2195"; }
th[aria-sort=ascending] .arrow::after { content: "\\2191"; color: var(--front); }
th[aria-sort=descending] .arrow::after { content: "\\2193"; color: var(--front); }
tbody tr { cursor: pointer; }
tbody tr:hover { background: #f8fafb; }
tbody tr.marked { background: var(--tint); box-shadow: inset 3px 0 var(--front); }
td small { color: var(--quiet); font-size: 12px; }
td.best { color: var(--front); font-weight: 700; }
td.best small { font-weight: 400; }
td code { color: #3b4650; }
details { margin-top: 20px; color: var(--quiet); font-size: 13px; }
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
  th:first-child, td:first-child { padding-left: 14px; }
  td:last-child { white-space: nowrap; }
  td wbr { display: none; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
