"""The part of the script that fills, sorts, narrows and marks the tables."""

from __future__ import annotations

TABLES = r"""
const tables = [];

// A table of rows; those of the front stand in the document, the others are made a page at a time.
function table(id, items, { pageSize = Infinity, rowOf, content, filters = [] }) {
  const root = byId(id);
  if (!root) return;
  const body = root.tBodies[0], made = new Map();
  const grid = { root, body, items, shown: items, limit: pageSize, pageSize, content, filters };
  for (const row of body.rows) made.set(Number(row.dataset.index), row);
  grid.row = (item) => {
    const key = item.index ?? item.trial;
    if (!made.has(key)) made.set(key, rowOf(item));
    return made.get(key);
  };
  grid.more = byId(`${id}-more`);
  grid.count = byId(`${id}-count`);
  if (grid.more) {
    grid.more.addEventListener("click", () => { grid.limit += 4 * pageSize; fill(grid); });
  }
  for (const header of root.querySelectorAll("thead th[data-column]")) {
    header.querySelector("button").addEventListener("click", () => sort(grid, header));
  }
  for (const { input } of filters) input.addEventListener("input", () => narrow(grid));
  body.addEventListener("keydown", (event) => walk(event));
  tables.push(grid);
  fill(grid);
}

function walk(event) {
  const row = event.target.closest("tr");
  const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  const button = to && to.querySelector("button");
  if (button) { event.preventDefault(); button.focus(); }
}

// Selected rows that the page does not reach stand first.
function fill(grid) {
  const visible = grid.shown.slice(0, grid.limit);
  const beyond = grid.shown.slice(grid.limit).filter((item) => selected.has(item.index));
  grid.body.replaceChildren(...[...beyond, ...visible].map(grid.row));
  const left = grid.shown.length - visible.length;
  if (grid.more) {
    grid.more.hidden = left <= 0;
    grid.more.textContent = `Show ${Math.min(left, 4 * grid.pageSize)} more of ${left}`;
  }
  if (grid.count) {
    grid.count.textContent = grid.shown.length === grid.items.length ? `${grid.items.length}`
      : `${grid.shown.length} of ${grid.items.length}`;
  }
  markRows(grid);
}

function markRows(grid) {
  for (const row of grid.body.rows) {
    const isMarked = row.dataset.index !== undefined && selected.has(Number(row.dataset.index));
    row.classList.toggle("marked", isMarked);
    const button = row.querySelector(".pick");
    if (button) button.setAttribute("aria-pressed", String(isMarked));
  }
}
function markTables() {
  for (const grid of tables) (grid.limit < grid.shown.length ? fill : markRows)(grid);
}

function sort(grid, header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of grid.root.querySelectorAll("th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const of = (item) => grid.content(item, header.dataset.column);
  const order = (a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0);
  const compare = down ? (a, b) => order(b, a) : order;
  grid.items = [...grid.items].sort(compare);
  grid.shown = [...grid.shown].sort(compare);
  fill(grid);
}

function narrow(grid) {
  grid.shown = grid.items.filter((item) => grid.filters.every(({ keeps }) => keeps(item)));
  grid.limit = grid.pageSize;
  fill(grid);
}

const columnOf = (point, column) => (column === "arch" ? point.arch : value(point, Number(column)));

function pointRow(point) {
  const pickIt = element("button", String(point.trial),
    { type: "button", class: "pick", "aria-pressed": "false" });
  const cells = axes.map((_, k) => {
    const [text, spread] = point.texts[k];
    return element("td", spread ? [text, " ", element("small", spread)] : text);
  });
  return element("tr", [element("td", pickIt), ...cells,
    element("td", breakable(point.arch), { class: "text arch" })], { "data-index": point.index });
}

function startTables() {
  table("members-table", members, { content: columnOf, rowOf: pointRow });
  for (const start of laterTables) start();
}
const laterTables = [];
"""
