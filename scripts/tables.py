#!/usr/bin/env python
"""The tables of the documents, from stored results.

    scripts/tables.py store runs/correlate nasbench201   # keep a run of motemo correlate
    scripts/tables.py write                              # write the tables anew
    scripts/tables.py check                              # fail if they are not as stored

`store` copies what a run found, without the published records that it was compared with, to
benchmarks/results/estimates/NAME. In a document, a table stands between two comments, of which
the first says what it shows:

    <!-- correlate NAME -->            all estimates of a run, by every truth
    <!-- differences NAME AGAINST -->  paired differences to one estimate
    <!-- spaces NAME TRUTH ... -->     the main estimates on one truth of several runs, side by side
    <!-- variants FILE -->             variants of an estimate, by benchmarks/ablations.py
    <!-- figures FILE ... -->          what benchmarks stored under `figures`, side by side
    <!-- nested FILE KEY -->           what a benchmark stored under a key, one line each
    <!-- end -->
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).parent.parent
DOCUMENTS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
KEPT = ("correlate.csv", "costs.csv", "differences.csv")
_MAIN = (
    *("mote", "landscape", "hybrid_quick", "flops", "params"),
    *("naswot", "swap", "synflow", "meco", "jacob_cov", "zen", "zico"),
)
_BLOCK = re.compile(r"(<!-- (?!end)(\w+) (.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

Row: TypeAlias = Mapping[str, str]


def store(run: Path, name: str) -> None:
    """Keep the results of a run; paths and name of this machine stay out."""
    folder = RESULTS / "estimates" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        (folder / file).write_bytes((run / file).read_bytes())
    settings = json.loads((run / "settings.json").read_text())
    settings["tables"] = [Path(table).name for table in settings["tables"]]
    del settings["host"]["host"]  # the name of this machine is nobody's business
    (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")


def render(document: Path) -> str:
    """Return a document with all its tables made anew."""
    return _BLOCK.sub(
        lambda block: f"{block[1]}{TABLES[block[2]](*block[3].split())}{block[5]}",
        document.read_text(),
    )


def correlate_table(name: str) -> str:
    """Return estimates by truths: tau with its interval; inside FLOPs deciles; in the top tenth."""
    rows = _rows(name, "correlate.csv")
    seconds = {row["estimate"]: row["cpu_seconds_mean"] for row in _rows(name, "costs.csv")}
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    by = {(row["estimate"], row["truth"]): row for row in rows}
    first = truths[0]
    estimates = dict.fromkeys(row["estimate"] for row in rows)  # ties stay as stored
    order = sorted(estimates, key=lambda e: -_number(by[e, first]["tau"]))
    header = ["estimate", "n", "CPU s", *(f"tau, {truth}" for truth in truths)]
    header += [f"in FLOPs deciles, {first}", f"in the top tenth, {first}"]
    table = [
        [
            f"`{estimate}`",
            by[estimate, first]["n"],
            _figure(seconds.get(estimate, ""), 2),
            *(_interval(by[estimate, truth], "tau", "tau_low", "tau_high") for truth in truths),
            _figure(by[estimate, first]["tau_in_flops_deciles"]),
            _figure(by[estimate, first]["tau_top_tenth"]),
        ]
        for estimate in order
    ]
    return _markdown(header, table) + _caption(json.loads(_read(name, "settings.json")))


def differences_table(name: str, against: str) -> str:
    """Return tau of every estimate minus that of one, with paired intervals, by truths."""
    rows = [row for row in _rows(name, "differences.csv") if row["against"] == against]
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    by = {(row["estimate"], row["truth"]): row for row in rows}
    estimates = list(dict.fromkeys(row["estimate"] for row in rows))
    table = [
        [
            f"`{estimate}`",
            by[estimate, truths[0]]["n"],
            *(_interval(by[estimate, truth], "difference", "low", "high") for truth in truths),
        ]
        for estimate in estimates
    ]
    return _markdown([f"tau minus that of `{against}`", "n", *truths], table)


def spaces_table(*names_and_truths: str) -> str:
    """Return tau of the main estimates, a column for each pair of a run and a truth."""
    pairs = list(zip(names_and_truths[::2], names_and_truths[1::2], strict=True))
    found = [
        {row["estimate"]: row for row in _rows(name, "correlate.csv") if row["truth"] == truth}
        for name, truth in pairs
    ]
    table = [[f"`{estimate}`", *(_tau(rows.get(estimate)) for rows in found)] for estimate in _MAIN]
    cells = [next(iter(rows.values()))["n"] for rows in found]
    header = [f"{name}, {truth}" for name, truth in pairs]
    return _markdown(["tau", *header], [["n", *cells], *table])


def _tau(row: Row | None) -> str:
    return "" if row is None else _interval(row, "tau", "tau_low", "tau_high")


def variants_table(file: str) -> str:
    """Return variants: tau with its interval, and the paired difference to the first one."""
    stored = json.loads((RESULTS / f"{file}.json").read_text())
    rows = stored["rows"]
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    by = {(row["estimate"], row["truth"]): row for row in rows}
    table = []
    for variant in dict.fromkeys(row["estimate"] for row in rows):
        first = by[variant, truths[0]]
        table.append(
            [
                variant,
                str(first["n"]),
                *(_interval(by[variant, t], "tau", "tau_low", "tau_high") for t in truths),
                *(_change(by[variant, t]) for t in truths),
            ]
        )
    header = ["variant", "n", *(f"tau, {truth}" for truth in truths)]
    header += [f"difference, {truth}" for truth in truths]
    drawn = f"{stored['cells']} cells at random (seed {stored['seed']})"
    where = f"{stored['device']['processor']}, one core"
    return _markdown(header, table) + f"\n{drawn}; {stored['images']}; {where}; {stored['date']}.\n"


def figures_table(*files: str) -> str:
    """Return figures by name, a column per file."""
    stored = [json.loads((RESULTS / f"{file}.json").read_text()) for file in files]
    names = dict.fromkeys(name for one in stored for name in one["figures"])
    table = [[name, *(_shown(one["figures"].get(name)) for one in stored)] for name in names]
    header = ["", *(one.get("title", file) for one, file in zip(stored, files, strict=True))]
    return _markdown(header, table) + _where(stored[0])


def nested_table(file: str, key: str) -> str:
    """Return a line for each group of figures below a key, however deep it lies."""
    stored = json.loads((RESULTS / f"{file}.json").read_text())
    rows = _groups(stored[key.replace("_", " ") if key not in stored else key], "")
    header = list(dict.fromkeys(name for _, figures in rows for name in figures))
    table = [[name, *(_shown(figures.get(column)) for column in header)] for name, figures in rows]
    return _markdown(["", *(name.replace("_", " ") for name in header)], table) + _where(stored)


def _groups(nested: Mapping[str, Any], prefix: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return groups of figures with their names; a group holds no groups."""
    groups: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in nested.items():
        label = f"{prefix}, {name}" if prefix else name
        if any(isinstance(inner, Mapping) for inner in value.values()):
            groups += _groups(value, label)
        else:
            groups.append((label, value))
    return groups


def _shown(value: object) -> str:
    if isinstance(value, list) and len(value) == 3:  # a figure with its interval
        return "{} [{}, {}]".format(*map(_shown, value))
    if isinstance(value, list):
        return " to ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _where(stored: Mapping[str, Any]) -> str:
    n = next((stored[name] for name in ("cells", "architectures", "n") if name in stored), None)
    drawn = f"{n} networks at random (seed {stored.get('seed', 0)})" if n else ""
    parts = [stored.get("drawn", drawn), stored["device"]["processor"]]
    versions = stored["versions"]
    parts += [f"{name} {versions[name]}" for name in ("onnxruntime", "torch") if name in versions]
    return f"\n{'; '.join(part for part in (*parts, stored['date']) if part)}.\n"


TABLES: dict[str, Callable[..., str]] = {
    "correlate": correlate_table,
    "differences": differences_table,
    "spaces": spaces_table,
    "variants": variants_table,
    "figures": figures_table,
    "nested": nested_table,
}


def _caption(settings: Mapping[str, Any]) -> str:
    data = ", ".join(one["name"] for one in settings["data"]) or "none"
    return (
        f"\n{settings['cells']} cells at random (seed {settings['seed']}), "
        f"{settings['networks']} networks; images: {data}; {settings['host']['processor']}, "
        f"torch {settings['versions']['torch']}; {settings['date'][:10]}.\n"
    )


def _read(name: str, file: str) -> str:
    return (RESULTS / "estimates" / name / file).read_text()


def _rows(name: str, file: str) -> list[Row]:
    return list(csv.DictReader(_read(name, file).splitlines()))


def _number(figure: object) -> float:
    return math.nan if figure in ("", None) else float(str(figure))


def _figure(figure: object, digits: int = 3) -> str:
    number = _number(figure)
    return "" if math.isnan(number) else f"{number:.{digits}f}"


def _interval(row: Mapping[str, Any], middle: str, low: str, high: str) -> str:
    return f"{_figure(row[middle])} [{_figure(row[low])}, {_figure(row[high])}]"


def _change(row: Mapping[str, Any]) -> str:
    return "" if row["difference"] is None else _interval(row, "difference", "low", "high")


def _markdown(header: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *table]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    storing = commands.add_parser("store", help="keep the results of a run")
    storing.add_argument("run", type=Path)
    storing.add_argument("name")
    commands.add_parser("write", help="write the tables anew")
    commands.add_parser("check", help="fail if they are not as stored")
    arguments = parser.parse_args()
    if arguments.command == "store":
        store(arguments.run, arguments.name)
        return
    for document in sorted(DOCUMENTS.glob("*.md")):
        rendered = render(document)
        if arguments.command == "write":
            document.write_text(rendered)
        elif rendered != document.read_text():
            sys.exit(f"{document.name} is not as stored; run scripts/tables.py write")


if __name__ == "__main__":
    main()
