"""MOTE-NAS's search replayed on published records, beside the table of the paper.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024, Table 1.

Written cells are taken as the table has them, twins and cells without a path included, as the paper
did. A cell is not scored twice. The paper does not say how many rounds its evaluation-free form
(EF) has; 20, as with k = 20, gives the cost that it states. RS scores as many random cells as the
evolution did with the same seed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motemo.benchmark.statistics import Mean, mean_of
from motemo.seeds import derive_seed
from motemo.space import Space
from motemo.tables import Floats, Table, read_table

SCORE, SCORE_SECONDS = "published_mote", "published_train_seconds"
FIRST_RANDOM, LEAST_ROUNDS, EF_ROUNDS = 10, 10, 20
BEST_SHARE, CLOSE_GENES = 0.01, 2

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class DataSet:
    """The columns of one data set.

    Attributes:
        name: Its name.
        truth: Accuracy after 200 epochs, in percent.
        selects: Accuracy after 12 epochs, by which the final architecture is chosen.
        seconds: Seconds of 12 epochs of training.
        honest: Whether the choice is made on validation data; else it is made on test data.
    """

    name: str
    truth: str
    selects: str
    seconds: str
    honest: bool


DATA_SETS = tuple(
    DataSet(
        name,
        f"{name}_test_acc_200",
        f"{name}_{split}_acc_12",
        f"{name}_train_seconds_12",
        honest=split == "val",
    )
    for name, split in (("cifar10", "test"), ("cifar100", "val"), ("imagenet16_120", "test"))
)


@dataclass(frozen=True)
class Form:
    """One form of the search.

    Attributes:
        name: As in the paper.
        top_k: How many are trained in the end; 0: none, the best score is handed over.
        evolve: Whether cells are drawn close to the best, or at random (RS).
        paper: Accuracy and thousands of V100 seconds in the paper, by data set, if it states them.
    """

    name: str
    top_k: int
    evolve: bool = True
    paper: tuple[tuple[float, float], ...] = ()

    @property
    def rounds(self) -> int:
        """Rounds after the first ten cells."""
        return max(self.top_k, LEAST_ROUNDS) if self.top_k else EF_ROUNDS


FORMS = (
    Form("k=5", 5, paper=((93.97, 2.2), (71.89, 2.4), (46.10, 5.8))),
    Form("k=10", 10, paper=((94.15, 4.2), (72.54, 4.3), (46.38, 11.3))),
    Form("k=20", 20, paper=((94.32, 8.5), (72.81, 8.5), (46.34, 22.7))),
    Form("EF", 0, paper=((93.54, 0.5), (71.59, 0.6), (44.73, 0.6))),
    Form("RS k=5", 5, evolve=False),
    Form("RS k=10", 10, evolve=False),
    Form("RS k=20", 20, evolve=False),
    Form("RS EF", 0, evolve=False),
)


@dataclass(frozen=True)
class Row:
    """One form on one data set.

    Attributes:
        form: The form.
        data: The data set.
        accuracy: Test accuracy after 200 epochs of what is handed over, in percent, over seeds.
        seconds: Cost in V100 seconds: scoring, and training the k best for 12 epochs.
        scored: How many cells are scored.
        paper: Accuracy and thousands of V100 seconds in the paper, or None.
    """

    form: Form
    data: DataSet
    accuracy: Mean
    seconds: Mean
    scored: Mean
    paper: tuple[float, float] | None

    @property
    def selected_on(self) -> str:
        """On what the final architecture is chosen: the score, or accuracy of a split."""
        if not self.form.top_k:
            return "score"
        return "validation" if self.data.honest else "test"


def read_cells(paths: Sequence[Path], space: Space) -> Table:
    """Read the written cells that have all columns of the replay.

    Raises:
        DataError: The tables cannot be read or lack a column.
    """
    own = [c for data in DATA_SETS for c in (data.truth, data.selects, data.seconds)]
    return read_table(paths, columns=[SCORE, SCORE_SECONDS, *own], space=space).complete()


def replay(cells: Table, seeds: Sequence[int]) -> Iterator[Row]:
    """Replay every form on every data set with every seed."""
    genes = _genes(cells)
    scores = cells.columns[SCORE]
    for form in FORMS:
        pools = [_pool(genes, scores, form, seed) for seed in seeds]
        for place, data in enumerate(DATA_SETS):
            ends = [_hand_over(cells.columns, pool, form, data) for pool in pools]
            yield Row(
                form=form,
                data=data,
                accuracy=mean_of([accuracy for accuracy, _ in ends]),
                seconds=mean_of([seconds for _, seconds in ends]),
                scored=mean_of([len(pool) for pool in pools]),
                paper=form.paper[place] if form.paper else None,
            )


def _pool(genes: Rows, scores: Floats, form: Form, seed: int) -> Rows:
    """Return the cells that a form scores."""
    rng = np.random.default_rng(derive_seed("mote_nas replay", seed, form.rounds))
    pool = evolve(genes, scores, rounds=form.rounds, rng=rng)
    if form.evolve:
        return pool
    return rng.choice(len(genes), len(pool), replace=False)


def evolve(genes: Rows, scores: Floats, *, rounds: int, rng: np.random.Generator) -> Rows:
    """Run the evolution; return the cells that it scores, in order.

    Ten random cells come first. Round i of `rounds` draws 10 B random cells, B = 10 (i // 10) + 10,
    and scores those that differ in at most two genes from one of the best 1 % (at least one) of
    the pool.

    Args:
        genes: `(n, g)` value of each gene of each cell, as a number that stands for it.
        scores: `(n,)` scores of the cells, higher is better.
        rounds: Rounds after the first cells.
        rng: Where randomness comes from.
    """
    pool = rng.choice(len(genes), min(FIRST_RANDOM, len(genes)), replace=False).tolist()
    for number in range(rounds):
        draws = 10 * (10 * (number // 10) + 10)
        best = sorted(pool, key=lambda row: -scores[row])[: max(1, int(BEST_SHARE * len(pool)))]
        drawn = rng.choice(len(genes), min(draws, len(genes)), replace=False)
        differ = (genes[drawn][:, None, :] != genes[best][None, :, :]).sum(axis=2).min(axis=1)
        known = set(pool)
        pool += [row for row in drawn[differ <= CLOSE_GENES].tolist() if row not in known]
    return np.array(pool, dtype=np.intp)


def _hand_over(
    columns: Mapping[str, Floats], pool: Rows, form: Form, data: DataSet
) -> tuple[float, float]:
    """Return the accuracy of the final architecture, and the cost of finding it in seconds."""
    scoring = float(columns[SCORE_SECONDS][pool].sum())
    order = pool[np.argsort(-columns[SCORE][pool], kind="stable")]
    trained = order[: form.top_k]
    if not len(trained):
        return float(columns[data.truth][order[0]]), scoring
    final = trained[np.argmax(columns[data.selects][trained])]
    return float(columns[data.truth][final]), scoring + float(columns[data.seconds][trained].sum())


def _genes(cells: Table) -> Rows:
    """Return `(n, g)` the position of each gene's value among its choices."""
    space = cells.architectures[0].space
    place = {g.name: {choice: i for i, choice in enumerate(g.choices)} for g in space.genes}
    values = (space.read(architecture.genotype) for architecture in cells.architectures)
    return np.array([[place[name][v] for name, v in value.items()] for value in values])


_COLUMNS = (
    "form",
    "data_set",
    "accuracy",
    "accuracy_sd",
    "seeds",
    "seconds",
    "scored",
    "selected_on",
    "paper_accuracy",
    "paper_seconds",
)


def replay_csv(rows: Sequence[Row]) -> str:
    """Return one line per form and data set."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        accuracy, kiloseconds = row.paper or ("", "")
        writer.writerow(
            [
                row.form.name,
                row.data.name,
                round(row.accuracy.value, 4),
                round(row.accuracy.sd, 4),
                row.accuracy.n,
                round(row.seconds.value, 1),
                round(row.scored.value, 1),
                row.selected_on,
                accuracy,
                kiloseconds if kiloseconds == "" else round(1000 * float(kiloseconds)),
            ]
        )
    return text.getvalue()
