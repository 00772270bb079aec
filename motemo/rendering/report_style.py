"""What the style sheet of a report has besides that of every page."""

from __future__ import annotations

REPORT_STYLE = """
.bests { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 24px 0 0; padding: 0; list-style: none; }
.bests button { display: block; width: 100%; height: 100%; padding: 14px 16px; text-align: left;
  border: 1px solid var(--line); border-radius: 12px; background: var(--card); color: var(--ink); }
.bests button:hover { border-color: var(--front); }
.bests span { display: block; color: var(--quiet); font-size: 12px; overflow-wrap: anywhere; }
.bests strong { display: block; font-size: 21px; line-height: 1.35; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.bests strong small { font-size: 13px; font-weight: 500; }
nav { position: sticky; z-index: 4; top: 0; margin: 20px -24px 0; padding: 9px 24px;
  overflow-x: auto; background: var(--ground); white-space: nowrap; scrollbar-width: none;
  border-bottom: 1px solid var(--line); }
nav a { margin-right: 18px; color: var(--quiet); font-size: 13px; text-decoration: none; }
nav a:hover { color: var(--front); text-decoration: underline; }
#matrix { height: 200px; }
#growth-plot { height: 300px; margin-top: 8px; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr));
  gap: 16px; margin-top: 8px; }
#trained-plot, #curves-plot { height: 320px; min-width: 0; }
.share { position: relative; min-width: 96px; }
.share i { position: absolute; inset: 5px 8px 5px auto; border-radius: 3px;
  background: var(--bar); }
.share b { position: relative; font-weight: 400; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr));
  gap: 12px; margin-top: 14px; grid-auto-flow: dense; }
figure { display: flex; flex-direction: column; margin: 0; padding: 12px; cursor: pointer;
  border: 1px solid var(--line); border-radius: 10px; }
figure.large { grid-column: 1 / -1; }
figure.folded:not(.large) { display: none; }
figure:hover { border-color: var(--edge); }
figure.marked { border-color: var(--front); box-shadow: 0 0 0 1px var(--front); }
figure img { display: block; width: 100%; max-height: 300px; margin: auto; border-radius: 6px;
  object-fit: contain; }
figure.large img { max-height: 75vh; }
figcaption { margin-top: 8px; color: var(--quiet); font-size: 12px;
  font-variant-numeric: tabular-nums; }
figcaption button { padding: 0; border: 0; background: none; color: var(--ink);
  font: 600 13px var(--sans); }
.fates { margin: 12px 0 0; padding: 0; list-style: none; }
.fates li { display: grid; grid-template-columns: 56px 108px minmax(0, 1fr); gap: 12px;
  padding: 5px 0; border-top: 1px solid var(--line); align-items: baseline; }
.fates li:first-child { border-top: 0; }
.fates b { text-align: right; font-variant-numeric: tabular-nums; }
.fates span { color: var(--quiet); font-size: 13px; }
.split { display: flex; height: 12px; margin-top: 14px; overflow: hidden; border-radius: 6px;
  background: var(--line); gap: 2px; }
.split i { background: var(--edge); opacity: .75; }
.split i.evaluated { background: var(--front); opacity: 1; }
.split i.failed, .split i.abandoned { background: var(--bound); opacity: 1; }
.reasons { margin: 8px 0 0; padding-left: 22px; font-size: 13px; overflow-wrap: anywhere; }
.reasons li { margin: 2px 0; }
td.reason { min-width: 220px; }
.more { margin: 14px 0; }
.scroll + .more { margin: 32px 0 0; }
pre { margin: 10px 0 0; padding: 12px 14px; border-radius: 8px; background: var(--ground);
  font: 12.5px/1.6 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
.versions { margin: 12px 0 0; padding: 0; color: var(--quiet); font-size: 13px; }
@media (max-width: 640px) {
  nav { margin: 16px -12px 0; padding: 9px 12px; }
  .bests { grid-template-columns: 1fr 1fr; gap: 8px; }
  .bests button { padding: 10px 12px; }
  .bests strong { font-size: 17px; }
  .beside { grid-template-columns: minmax(0, 1fr); }
  .fates li { grid-template-columns: 40px 92px minmax(0, 1fr); gap: 10px; }
}
@media print {
  .bests button { padding: 6px 10px; }
  .bests strong { font-size: 14px; }
  .gallery { grid-template-columns: repeat(4, 1fr); }
  figure { padding: 6px; }
  figure img { max-height: 130px; }
  .share i { print-color-adjust: exact; }
  .split i { print-color-adjust: exact; }
}
"""
