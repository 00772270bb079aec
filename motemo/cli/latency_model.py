"""`motemo latency-model`: make and check files that predict latencies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import note, out_console, write_json
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import (
    AsJson,
    Classes,
    DeviceName,
    InputShape,
    Options,
    Quiet,
    Seed,
    SpaceName,
    Threads,
    create_device,
    create_objectives,
    create_space,
    deployment_shape,
)
from motemo.errors import EvaluationError, SettingsError
from motemo.files import require_writable

if TYPE_CHECKING:
    from motemo.hardware.cost_samples import CostSample
    from motemo.hardware.latency_model import LatencyModel
    from motemo.objective import Objective
    from motemo.space import Architecture, Shape, Space

CANDIDATES = 400

latency_model = typer.Typer(
    help="Predict latencies instead of measuring them: make and check latency models.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        help="The file to write. What is measured is kept in OUT.samples, so that the same "
        "command continues where it stopped.",
    ),
]
ModelFile = Annotated[Path, typer.Argument(help="A file that 'motemo latency-model' wrote.")]


@latency_model.command()
def lookup(
    *,
    out: Out,
    networks: Annotated[
        int, typer.Option("--networks", help="Random networks to measure; at least 8.")
    ] = 40,
    space: SpaceName = "nasbench201",
    device: DeviceName = "cpu",
    threads: Threads = None,
    input_shape: InputShape = None,
    classes: Classes = None,
    seed: Seed = 0,
    option: Options = None,
    quiet: Quiet = False,
) -> None:
    r"""Make a table of what each operator costs, from measured networks.

    A network's latency is the sum over its operators. The file can be read: it lists the
    milliseconds of every operator.

    [bold]Examples[/bold]

      motemo latency-model lookup --device cpu --out cpu.json

      motemo search --objective mote --objective predicted_latency_ms \
        --set predicted_latency_ms.model=cpu.json
    """
    from motemo.hardware.lookup import LEAST_NETWORKS, LookupTable

    if networks < LEAST_NETWORKS:
        raise SettingsError(f"--networks must be at least {LEAST_NETWORKS}; got {networks}.")
    require_writable(out)
    found = create_space(space, option or ())
    shape = deployment_shape(input_shape, device)
    objective = _latency(device, threads, shape, classes, option)
    samples = _measured(objective, _drawn(found, networks, seed), _beside(out))
    with progress_bar("taking networks apart") as on_progress:
        model = LookupTable.fit(
            samples,
            space=found,
            objective=objective.identity(),
            input_shape=shape,
            classes=_classes(classes),
            on_progress=on_progress,
        )
    _finish(model, out, f"{len(samples)} networks, {len(model.operators)} operators")


@latency_model.command()
def transfer(
    *,
    out: Out,
    table: Annotated[
        list[Path],
        typer.Option(
            "--table",
            help="CSV file of latencies on known devices, with a column arch; repeat it for more, "
            "joined on arch or index.",
        ),
    ],
    known: Annotated[
        list[str],
        typer.Option("--known", help="Column of one known device; repeat it."),
    ],
    networks: Annotated[
        int, typer.Option("--networks", help="Networks to measure; at least 5.")
    ] = 10,
    space: SpaceName = "nasbench201",
    device: DeviceName = "cpu",
    threads: Threads = None,
    input_shape: InputShape = None,
    classes: Classes = None,
    seed: Seed = 0,
    option: Options = None,
    quiet: Quiet = False,
) -> None:
    r"""Carry what is known of other devices to a new one, by about ten measurements there.

    Which networks are measured is chosen so that they tell most. Keep the table: the model refers
    to it.

    [bold]Example[/bold]

      motemo latency-model transfer --table latencies.csv --known gold \
        --known pixel3 --known raspi4 --device pi --out pi.json
    """
    from motemo.hardware.transfer import KnownDevices
    from motemo.hardware.transferred_latency import (
        LEAST_SAMPLES,
        KnownTable,
        TransferredLatency,
    )

    if networks < LEAST_SAMPLES:
        raise SettingsError(f"--networks must be at least {LEAST_SAMPLES}; got {networks}.")
    require_writable(out)
    found = create_space(space, option or ())
    kept = KnownTable(tuple(str(path.resolve()) for path in table), tuple(known))
    devices = KnownDevices.fit(kept.read(found))
    candidates = _drawn(found, CANDIDATES, seed)
    chosen = [candidates[row] for row in devices.choose(candidates, networks)]
    shape = deployment_shape(input_shape, device)
    objective = _latency(device, threads, shape, classes, option)
    samples = _measured(objective, chosen, _beside(out))
    model = TransferredLatency.of(
        samples, table=kept, known=devices, objective=objective.identity()
    )
    _finish(model, out, f"{len(samples)} networks, {len(known)} known devices")


@latency_model.command()
def check(
    *,
    model: ModelFile,
    networks: Annotated[int, typer.Option("--networks", help="Random networks to measure.")] = 40,
    space: SpaceName = "nasbench201",
    device: DeviceName = "cpu",
    threads: Threads = None,
    input_shape: InputShape = None,
    classes: Classes = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the networks; take another than the model's.")
    ] = 1,
    option: Options = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure random networks that the model has not seen, and compare.

    It prints Spearman's rank correlation, the error, and how many measurements fall into the
    interval of their prediction.

    [bold]Example[/bold]

      motemo latency-model check cpu.json --device cpu
    """
    import numpy as np
    from scipy.stats import spearmanr

    from motemo.hardware.latency_model import read_latency_model

    if networks < 3:
        raise SettingsError(f"--networks must be at least 3; got {networks}.")
    found = create_space(space, option or ())
    predictor = read_latency_model(model, found)
    objective = _latency(device, threads, deployment_shape(input_shape, device), classes, option)
    predictor.measured.require(space=found, objective=objective.identity())
    seen = _seen(_beside(model))
    drawn = [a for a in _drawn(found, networks + len(seen), seed) if a.genotype not in seen]
    samples = _measured(
        objective, drawn[:networks], model.with_name(f"{model.name}.check-{seed}.samples")
    )
    predictions = predictor.predict([found.architecture(s.genotype) for s in samples])
    values = np.array([sample.value for sample in samples])
    predicted = np.array([prediction.value for prediction in predictions])
    inside = [p.low <= v <= p.high for p, v in zip(predictions, values, strict=True)]
    width = np.median([(p.high - p.low) / p.value for p in predictions])
    figures = {
        "networks": len(values),
        "spearman": float(spearmanr(predicted, values).statistic),
        "median_error": float(np.median(np.abs(predicted / values - 1))),
        "inside_intervals": float(np.mean(inside)),
        "median_width": float(width),
    }
    if as_json:
        write_json(figures)
        return
    out_console.print(
        "{networks} networks: Spearman {spearman:.3f}, median error {median_error:.1%}, "
        "{inside_intervals:.0%} inside the 95 % intervals "
        "(median width {median_width:.0%})".format_map(figures),
        highlight=False,
        soft_wrap=True,
    )


def _latency(
    device: str,
    threads: int | None,
    shape: Shape,
    classes: int | None,
    options: Sequence[str] | None,
) -> Objective:
    [objective] = create_objectives(
        ["latency_ms"],
        options or [],
        device=create_device(device, threads),
        input_shape=shape,
        classes=_classes(classes),
    )
    return objective


def _classes(given: int | None) -> int:
    return 10 if given is None else given


def _drawn(space: Space, n: int, seed: int) -> list[Architecture]:
    """Return random valid networks, no two alike; fewer if the space has not so many."""
    import numpy as np

    rng = np.random.default_rng(seed)
    found: dict[str, Architecture] = {}
    for _ in range(100 * n):
        drawn = space.sample(rng)
        if len(found) < n and drawn.invalid_reason is None:
            found.setdefault(drawn.key, drawn.canonical)
    return list(found.values())


def _measured(
    objective: Objective, architectures: Sequence[Architecture], path: Path
) -> list[CostSample]:
    from motemo.hardware.cost_samples import measure_samples

    with progress_bar("measuring") as on_progress:
        samples, failures = measure_samples(objective, architectures, path, on_progress=on_progress)
    for failure in failures:
        note(f"not measured: {failure}")
    if not samples:
        raise EvaluationError("No network could be measured; the reasons stand above.")
    return samples


def _seen(path: Path) -> set[str]:
    """Return the networks that a model was made from, as far as they are known."""
    from motemo.hardware.cost_samples import read_samples

    return {sample.genotype for sample in read_samples(path)} if path.exists() else set()


def _beside(model: Path) -> Path:
    return model.with_name(f"{model.name}.samples")


def _finish(model: LatencyModel, out: Path, made_of: str) -> None:
    model.write(out)
    note(f"wrote {out}: {made_of}; check it with 'motemo latency-model check {out}'")
