"""Latency models: operators, lookup tables, transfer from known devices, files and commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from typer.testing import CliRunner

from motemo.cli.app import app
from motemo.cli.latency_model import CANDIDATES
from motemo.cli.settings import create_device
from motemo.counting import count_operators
from motemo.errors import DataError, DeviceError, SettingsError
from motemo.hardware.cost_samples import CostSample, measure_samples, read_samples
from motemo.hardware.latency import Latency
from motemo.hardware.latency_model import Measured, read_latency_model
from motemo.hardware.likeness import Likeness
from motemo.hardware.lookup import LookupTable
from motemo.hardware.operators import Operator, operators
from motemo.hardware.predicted_latency import PredictedLatency
from motemo.hardware.transfer import KnownDevices, family
from motemo.hardware.transferred_latency import KnownTable, TransferredLatency
from motemo.objective import (
    Direction,
    Failure,
    Measurement,
    Objective,
    Outcome,
    Stage,
    evaluate_each,
)
from motemo.space import Architecture, Json
from motemo.spaces.nasbench201 import NasBench201
from motemo.tables import Floats, Table, read_table

SPACE = NasBench201(cells=1)
SHAPE = (3, 16, 16)


def draw(n: int, *, seed: int = 0, space: NasBench201 = SPACE) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    found: dict[str, Architecture] = {}
    while len(found) < n:
        cell = space.sample(rng)
        if cell.invalid_reason is None:
            found.setdefault(cell.key, cell.canonical)
    return list(found.values())


# Operators


class Twice(nn.Module):
    """Two equal activations of one input, and a fused one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.one, self.two = nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        joined: torch.Tensor = self.one(x) + self.two(x)
        return joined


def test_operators_of_a_network() -> None:
    found = {operator.name.split()[0]: n for operator, n in operators(Twice(), (3, 8, 8)).items()}
    assert found == {"Conv": 1, "Relu+": 1, "Relu": 1, "Add": 1}


def test_operators_count_multiply_adds_and_bytes() -> None:
    found = operators(Twice(), (3, 8, 8))
    [convolution] = [operator for operator in found if operator.multiply_adds]
    assert convolution.multiply_adds == 36 * 4 * 27
    assert convolution.bytes_moved == 4 * (3 * 64 + 4 * 36 + 4 * 27)


def test_operators_of_a_cell_have_its_multiply_adds() -> None:
    network = draw(1)[0].build(input_shape=SHAPE)
    counts = dict(count_operators(network, SHAPE).multiply_adds)
    counts.pop("bias", None)
    found = operators(network, SHAPE)
    assert sum(n * operator.multiply_adds for operator, n in found.items()) == sum(counts.values())


# Samples


@dataclass(frozen=True, kw_only=True)
class Length(Objective):
    """The genotype's length, or what else is asked for, and who asked."""

    name: str = "length_ms"
    unit: str = "ms"
    direction: Direction = Direction.MINIMIZE
    stage: Stage = Stage.MEASURE
    occupies_host: bool = False
    scale: float = 1.0
    asked: list[str] = field(default_factory=list, compare=False)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: Architecture) -> Outcome:
        self.asked.append(architecture.genotype)
        if "avg_pool" in architecture.genotype:
            return Failure("no pooling here")
        return Measurement.exact(self.scale * len(architecture.genotype), self.unit)

    def identity(self) -> dict[str, Json]:
        return {"scale": self.scale}


def test_samples_are_measured_once(tmp_path: Path) -> None:
    cells = [cell for cell in draw(20) if "avg_pool" not in cell.genotype]
    file, objective = tmp_path / "a" / "samples", Length()
    first, _ = measure_samples(objective, cells[:2], file)
    with file.open("a") as torn:
        torn.write('{"genotype": "|nor')
    again, failures = measure_samples(objective, cells, file)
    assert again[:2] == first
    assert objective.asked == [cell.genotype for cell in cells]
    assert read_samples(file) == again
    assert not failures


def test_samples_that_cannot_be_measured(tmp_path: Path) -> None:
    cells = draw(20)
    samples, failures = measure_samples(Length(), cells, tmp_path / "samples")
    assert failures
    assert all("no pooling here" in failure for failure in failures)
    assert len(samples) + len(failures) == len(cells)


def test_samples_measured_otherwise(tmp_path: Path) -> None:
    measure_samples(Length(), draw(1), tmp_path / "samples")
    with pytest.raises(DataError, match=r"scale was 1\.0 and is 2\.0"):
        measure_samples(Length(scale=2.0), draw(1), tmp_path / "samples")


def test_samples_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("arch,ms\n")
    with pytest.raises(DataError, match="holds no samples"):
        read_samples(tmp_path / "samples")


# Lookup table


def true_cost(operator: Operator) -> float:
    kind = 1.5 if operator.name.startswith("Conv") else 0.5
    return kind * (operator.multiply_adds * 1e-7 + operator.bytes_moved * 1e-6) + 1e-3


def true_latency(architecture: Architecture) -> float:
    found = operators(architecture.build(input_shape=SHAPE), SHAPE)
    return 0.05 + sum(n * true_cost(operator) for operator, n in found.items())


def measured_cells(n: int, *, seed: int, noise: float = 0.01) -> list[CostSample]:
    rng = np.random.default_rng(seed)
    cells = draw(n, seed=seed)
    return [CostSample(c.genotype, true_latency(c) * np.exp(noise * rng.normal())) for c in cells]


IDENTITY: dict[str, Json] = {
    "input_shape": list(SHAPE),
    "classes": 10,
    "device": {"name": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def lookup() -> LookupTable:
    return LookupTable.fit(
        measured_cells(25, seed=0),
        space=SPACE,
        objective=IDENTITY,
        input_shape=SHAPE,
        classes=10,
    )


def test_lookup_predicts_other_networks(lookup: LookupTable) -> None:
    cells = draw(40, seed=1)
    true = np.array([true_latency(cell) for cell in cells])
    found = lookup.predict(cells)
    predicted = np.array([p.value for p in found])
    assert spearmanr(predicted, true).statistic > 0.98
    assert np.median(np.abs(predicted / true - 1)) < 0.02
    inside = [p.low <= t <= p.high for p, t in zip(found, true, strict=True)]
    assert np.mean(inside) >= 0.9
    assert np.median([(p.high - p.low) / p.value for p in found]) < 0.2


def test_lookup_costs_are_not_negative(lookup: LookupTable) -> None:
    assert min(*lookup.costs, lookup.fixed) >= 0
    assert sum(lookup.costs) > 0


def test_lookup_expects_of_a_new_operator_what_its_size_says(lookup: LookupTable) -> None:
    [known] = [
        op
        for op in lookup.operators
        if "16x16x16->1x16x16x16" in op.name and op.name.startswith("Conv") and "3x3" in op.name
    ]
    other = replace(known, name="Conv of another shape")
    same, new = (lookup.predict_counts({op: 10}) for op in (known, other))
    assert 0.3 * same.value < new.value < 3 * same.value
    assert new.high - new.low > same.high - same.low


def test_lookup_of_too_few_networks() -> None:
    with pytest.raises(DataError, match="at least 8 measured networks; got 3"):
        LookupTable.fit(
            measured_cells(3, seed=0),
            space=SPACE,
            objective=IDENTITY,
            input_shape=SHAPE,
            classes=10,
        )


def test_lookup_in_a_file(lookup: LookupTable, tmp_path: Path) -> None:
    lookup.write(tmp_path / "table.json")
    again = read_latency_model(tmp_path / "table.json", SPACE)
    cells = draw(3, seed=2)
    assert again.predict(cells) == lookup.predict(cells)
    assert again.measured == lookup.measured


# Transfer


def made_up(cells: Sequence[Architecture], devices: Sequence[str], *, seed: int = 0) -> Table:
    """Devices with costs of their own for each operation, two kinds of hardware."""
    rng = np.random.default_rng(seed)
    operations = SPACE.genes[0].choices
    kinds = np.exp(rng.normal(0, 1.0, (2, len(operations))))
    columns: dict[str, Floats] = {}
    for device in devices:
        share = rng.random()
        own = kinds.T @ [share, 1 - share] * np.exp(rng.normal(0, 0.1, len(operations)))
        cost = dict(zip(operations, own, strict=True))
        sums = [sum(cost[o] for o in SPACE.read(c.genotype).values()) for c in cells]
        scale, noise = np.exp(rng.normal(0, 2)), np.exp(rng.normal(0, 0.02, len(cells)))
        columns[device] = scale * (np.array(sums) + 1) * noise
    return Table(tuple(cells), columns)


DEVICES = tuple(f"d{letter}" for letter in "abcdefg")
CELLS = draw(400, seed=3)
WHOLE = made_up(CELLS, [*DEVICES, "new"])


def part(rows: slice, devices: Sequence[str]) -> Table:
    return Table(WHOLE.architectures[rows], {d: WHOLE.columns[d][rows] for d in devices})


@pytest.fixture(scope="module")
def known() -> KnownDevices:
    return KnownDevices.fit(part(slice(0, 200), DEVICES))


def test_transfer_by_ten_samples(known: KnownDevices) -> None:
    pool, tested = CELLS[200:300], CELLS[300:]
    new = WHOLE.columns["new"]
    chosen = known.choose(pool)
    assert len(set(chosen)) == 10
    samples = [pool[row] for row in chosen]
    found = known.predict(tested, samples=samples, latencies_ms=new[200:300][chosen])
    predicted, true = np.array([p.value for p in found]), new[300:]
    assert spearmanr(predicted, true).statistic > 0.95
    assert np.median(np.abs(predicted / true - 1)) < 0.05
    inside = np.mean([p.low <= t <= p.high for p, t in zip(found, true, strict=True)])
    assert inside >= 0.9


def test_transfer_does_not_depend_on_the_unit(known: KnownDevices) -> None:
    samples, latencies = CELLS[200:210], WHOLE.columns["new"][200:210]
    ms, us = (
        known.predict(CELLS[300:305], samples=samples, latencies_ms=scale * latencies)
        for scale in (1.0, 1e3)
    )
    assert [p.value for p in us] == pytest.approx([1e3 * p.value for p in ms])
    assert [p.low for p in us] == pytest.approx([1e3 * p.low for p in ms])


def test_more_samples_make_predictions_surer(known: KnownDevices) -> None:
    def width(n: int) -> float:
        found = known.predict(
            CELLS[300:],
            samples=CELLS[200 : 200 + n],
            latencies_ms=WHOLE.columns["new"][200 : 200 + n],
        )
        return float(np.mean([np.log(p.high / p.low) for p in found]))

    assert max(width(20), width(80)) < width(5)


def test_chosen_samples_tell_more_than_equal_ones(known: KnownDevices) -> None:
    genotypes = [cell.genotype for cell in CELLS[200:300]]
    latents, genes = known.latents(genotypes), known.genes(genotypes)

    def width(rows: Sequence[int]) -> float:
        values = np.log(WHOLE.columns["new"][200:300][rows])
        _, halves = known.likeness.predict(
            latents[rows], genes[rows], (values - values.mean()), latents=latents, genes=genes
        )
        return float(np.mean(halves) / values.std())

    near = np.argsort(((latents - latents.mean(0)) ** 2).sum(1))[:10]
    assert width(known.choose(CELLS[200:300])) < width(near.tolist())


def test_likeness_doubts_what_does_not_follow_from_the_known() -> None:
    rng = np.random.default_rng(0)
    z, genes = rng.normal(size=(200, 4)), rng.normal(size=(200, 3))
    likeness = Likeness(mean=1.0, devices=1.0, genes=0.01, noise=0.01, shape=2.0)

    def width(values: Floats) -> float:
        _, halves = likeness.predict(
            z[:12], genes[:12], values[:12], latents=z[12:], genes=genes[12:]
        )
        return float(np.mean(halves))

    assert width(rng.normal(size=200)) > 2 * width(z.mean(1) * 2)


def test_family_is_the_name_without_batch_and_unit() -> None:
    names = ("titan_rtx_32_latency_ms", "titan_rtx_1_latency_ms", "pixel3", "samsung_a50")
    assert [family(name) for name in names] == ["titan_rtx", "titan_rtx", "pixel3", "samsung_a50"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (part(slice(0, 20), DEVICES), "at least 50 valid architectures"),
        (part(slice(0, 200), DEVICES[:1]), "2 devices that are not of one family; got 200 and da"),
        (
            Table(
                WHOLE.architectures, {"one": WHOLE.columns["da"], "two": 0 * WHOLE.columns["db"]}
            ),
            "not above 0",
        ),
    ],
)
def test_known_devices_that_teach_nothing(table: Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        KnownDevices.fit(table)


def test_choosing_more_than_there_are(known: KnownDevices) -> None:
    with pytest.raises(SettingsError, match="between 1 and 3 of 3 candidates; got 4"):
        known.choose(CELLS[:3], 4)


@pytest.fixture(scope="module")
def table_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pandas as pd

    path = tmp_path_factory.mktemp("known") / "latencies.csv"
    rows = part(slice(0, 200), DEVICES)
    frame = {"arch": [a.genotype for a in rows.architectures], **rows.columns}
    pd.DataFrame(frame).to_csv(path, index=False)
    return path


def test_transfer_in_a_file(known: KnownDevices, table_file: Path, tmp_path: Path) -> None:
    samples = [CostSample(CELLS[r].genotype, WHOLE.columns["new"][r]) for r in range(200, 210)]
    table = KnownTable((str(table_file),), DEVICES)
    model = TransferredLatency.of(samples, table=table, known=known, objective={})
    model.write(tmp_path / "new.json")
    again = read_latency_model(tmp_path / "new.json", SPACE)
    first, second = (m.predict(CELLS[300:303]) for m in (model, again))
    assert [p.value for p in first] == pytest.approx([p.value for p in second])
    assert again.predict([]) == []
    copy = tmp_path / "copy.csv"
    copy.write_text(table_file.read_text().replace("0.", "1.", 1))
    document = json.loads((tmp_path / "new.json").read_text()) | {"tables": [str(copy)]}
    (tmp_path / "new.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="have changed since the latency model was made"):
        read_latency_model(tmp_path / "new.json", SPACE)
    with pytest.raises(DataError, match="at least 5 measured networks; got 2"):
        TransferredLatency.of(samples[:2], table=table, known=known, objective={})


def test_transfer_to_published_devices(shared_data: Path) -> None:
    files = [
        shared_data / f"{name}.csv.gz"
        for name in ("nasbench201_half", "nasbench201_latency_ms_half")
    ]
    names = ["1080ti_1", "1080ti_256", "2080ti_1", "titan_rtx_32", "gold_6240", "silver_4114"]
    names += ["pixel3", "samsung_a50", "raspi4", "eyeriss"]
    table = read_table(files, columns=names, space=NasBench201()).valid()
    scores = []
    for unknown in ("gold_6240", "pixel3", "eyeriss"):
        columns = {d: table.columns[d][:800] for d in names if d != unknown}
        known = KnownDevices.fit(Table(table.architectures[:800], columns))
        pool, tested = table.architectures[800:1100], table.architectures[1100:2000]
        new = table.columns[unknown]
        chosen = known.choose(pool)
        found = known.predict(
            tested, samples=[pool[row] for row in chosen], latencies_ms=new[800:1100][chosen]
        )
        scores.append(spearmanr([p.value for p in found], new[1100:2000]).statistic)
    assert np.mean(scores) > 0.93


# Files and the objective


def test_a_model_of_another_space(lookup: LookupTable, tmp_path: Path) -> None:
    lookup.write(tmp_path / "table.json")
    with pytest.raises(SettingsError, match="another space: cells was 1 and is 5"):
        read_latency_model(tmp_path / "table.json", NasBench201())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"latency_model": "lookup", "version": 1}'])
def test_a_file_that_holds_no_model(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(DataError, match="Cannot read a latency model"):
        read_latency_model(tmp_path / "table.json", SPACE)


def test_a_model_of_another_version(lookup: LookupTable, tmp_path: Path) -> None:
    lookup.write(tmp_path / "table.json")
    document = json.loads((tmp_path / "table.json").read_text()) | {"version": 0}
    (tmp_path / "table.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="version 0"):
        read_latency_model(tmp_path / "table.json", SPACE)


def test_a_model_of_another_device_or_deployment() -> None:
    measured = Measured(SPACE.identity(), IDENTITY)
    measured.require(space=SPACE, objective=IDENTITY | {"device": None})
    with pytest.raises(DeviceError, match="threads was 1 and is 2"):
        measured.require(
            space=SPACE, objective=IDENTITY | {"device": {"name": "cpu", "threads": 2}}
        )
    with pytest.raises(SettingsError, match="classes 10 and cannot predict for 100"):
        measured.require(space=SPACE, objective=IDENTITY | {"classes": 100})
    Measured(SPACE.identity(), {}).require(space=SPACE, objective=IDENTITY)


def test_predicted_latency(lookup: LookupTable, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    lookup.write(file)
    objective = PredictedLatency(model=str(file), input_shape=SHAPE)
    cells = draw(3, seed=4)
    for outcome, expected in zip(objective.evaluate(cells), lookup.predict(cells), strict=True):
        assert isinstance(outcome, Measurement)
        assert (outcome.low, outcome.value, outcome.high) == (
            expected.low,
            expected.value,
            expected.high,
        )
    before = objective.identity()
    replace(lookup, fixed=lookup.fixed + 1).write(file)
    assert objective.identity() != before
    [slower] = objective.evaluate(cells[:1])
    assert isinstance(slower, Measurement)
    assert slower.value == pytest.approx(lookup.predict(cells[:1])[0].value + 1)


def test_predicted_latency_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--set predicted_latency_ms\.model=FILE"):
        PredictedLatency().evaluate(draw(1))
    with pytest.raises(DataError, match="Cannot read the latency model"):
        PredictedLatency(model=str(tmp_path / "none.json")).evaluate(draw(1))


# Commands


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["latency-model", *map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def measured_already(
    file: Path,
    cells: Sequence[Architecture],
    latency: Callable[[Architecture], float] = true_latency,
) -> None:
    """Write the file of samples that the command would continue."""
    device = create_device("cpu", None)
    header = {"measured": Latency(device=device, input_shape=SHAPE).identity()}
    rows = [{"genotype": cell.genotype, "value": latency(cell)} for cell in cells]
    file.write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))


def test_lookup_by_command(tmp_path: Path) -> None:
    out, shape = tmp_path / "cpu.json", "3x16x16"
    cells = draw(10, space=NasBench201())
    measured_already(tmp_path / "cpu.json.samples", cells)
    run("lookup", "--out", out, "--networks", 10, "--input-shape", shape)
    model = read_latency_model(out, NasBench201())
    found = np.array([p.value for p in model.predict(cells)])
    assert found == pytest.approx([true_latency(cell) for cell in cells], rel=0.2)
    others = [c for c in draw(15, seed=1, space=NasBench201()) if c not in cells][:5]
    measured_already(tmp_path / "cpu.json.check-1.samples", others)
    assert "5 networks: Spearman" in run("check", out, "--networks", 5, "--input-shape", shape)


def test_transfer_by_command(table_file: Path, tmp_path: Path) -> None:
    def latency(cell: Architecture) -> float:
        return 2.0 + cell.genotype.count("3x3") + 0.2 * cell.genotype.count("1x1")

    out = tmp_path / "new.json"
    candidates = draw(CANDIDATES, space=NasBench201())
    measured_already(tmp_path / "new.json.samples", candidates, latency)
    known = [option for device in DEVICES for option in ("--known", device)]
    run("transfer", "--table", table_file, *known, "--out", out, "--input-shape", "3x16x16")
    model = read_latency_model(out, NasBench201())
    assert isinstance(model, TransferredLatency)
    assert len(model.samples) == 10
    predicted = [p.value for p in model.predict(candidates)]
    assert spearmanr(predicted, [latency(cell) for cell in candidates]).statistic > 0.8


def test_commands_with_too_few_networks(table_file: Path, tmp_path: Path) -> None:
    for arguments in (
        ("lookup", "--networks", "7"),
        ("transfer", "--table", str(table_file), "--known", "da", "--networks", "4"),
    ):
        command = ["latency-model", *arguments, "--out", str(tmp_path / "out.json")]
        result = CliRunner().invoke(app, command)
        assert isinstance(result.exception, SettingsError)
