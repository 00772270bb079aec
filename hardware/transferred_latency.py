"""A latency model of a device of which about ten networks have been measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motemo.errors import DataError
from motemo.hardware.cost_samples import CostSample
from motemo.hardware.latency_model import LatencyModel, Measured, Prediction
from motemo.hardware.transfer import KnownDevices
from motemo.space import Architecture, Json, Space
from motemo.tables import Table, read_table

LEAST_SAMPLES = 5


@dataclass(frozen=True)
class KnownTable:
    """Where the latencies of known devices are.

    Attributes:
        paths: CSV files, joined as `motemo.tables` does.
        devices: Columns of the known devices.
    """

    paths: tuple[str, ...]
    devices: tuple[str, ...]

    def read(self, space: Space) -> Table:
        """Read the table.

        Raises:
            DataError: It cannot be read, or lacks a column.
        """
        return read_table(self.paths, columns=self.devices, space=space)


@dataclass(frozen=True, eq=False)
class TransferredLatency(LatencyModel):
    """Predicts by what a table of known devices and some measured networks teach.

    Attributes:
        measured: What it stands for.
        table: Where the known devices' latencies are; its digest is kept, and the model is only
            read while the table is the same.
        known: What the table teaches.
        samples: The networks that were measured.
    """

    measured: Measured
    table: KnownTable
    sha256: str
    known: KnownDevices = field(repr=False)
    samples: tuple[CostSample, ...] = field(repr=False)
    kind = "transfer"

    @classmethod
    def of(
        cls,
        samples: Sequence[CostSample],
        *,
        table: KnownTable,
        known: KnownDevices,
        objective: Mapping[str, Json],
    ) -> TransferredLatency:
        """Return the model that some measured networks give.

        Args:
            samples: At least 5; 10 that `KnownDevices.choose` names do well.
            table: Where the known devices' latencies are.
            known: What they teach.
            objective: Identity of the objective that measured.

        Raises:
            DataError: There are too few samples.
        """
        if len(samples) < LEAST_SAMPLES:
            raise DataError(
                f"To know a device takes at least {LEAST_SAMPLES} measured networks; got "
                f"{len(samples)}. Measure more; 10 do well."
            )
        digest = _digest(table.read(known.space))
        return cls(
            Measured(known.space.identity(), objective), table, digest, known, tuple(samples)
        )

    @classmethod
    def from_json(
        cls, document: Mapping[str, Any], measured: Measured, space: Space
    ) -> TransferredLatency:
        """Return the model that `to_json` described.

        Raises:
            DataError: The table of known devices is not what it was.
        """
        table = KnownTable(tuple(document["tables"]), tuple(document["devices"]))
        rows = table.read(space)
        digest = _digest(rows)
        if digest != document["sha256"]:
            raise DataError(
                f"The latencies in {', '.join(table.paths)} have changed since the latency model "
                "was made. Make it again."
            )
        samples = tuple(CostSample(arch, ms) for arch, ms in document["samples_ms"].items())
        return cls(measured, table, digest, KnownDevices.fit(rows), samples)

    def to_json(self) -> dict[str, Json]:
        """Return where the table is, its digest, and the measured networks."""
        return {
            "tables": list(self.table.paths),
            "devices": list(self.table.devices),
            "sha256": self.sha256,
            "samples_ms": {sample.genotype: sample.value for sample in self.samples},
        }

    def predict(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        """Predict from the genes alone; no network is built."""
        if not architectures:
            return []
        return self.known.predict(
            architectures,
            samples=[self.known.space.architecture(sample.genotype) for sample in self.samples],
            latencies_ms=np.array([sample.value for sample in self.samples]),
        )


def _digest(table: Table) -> str:
    columns = {name: values.tolist() for name, values in table.columns.items()}
    text = json.dumps([[a.genotype for a in table.architectures], columns])
    return hashlib.sha256(text.encode()).hexdigest()
