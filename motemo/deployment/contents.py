"""What the folder of one model holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from motemo.deployment.card import Card
from motemo.deployment.knowledge import known
from motemo.deployment.owned_folder import FACTS
from motemo.deployment.script import SCRIPT
from motemo.deployment.weights import Network
from motemo.errors import EvaluationError
from motemo.export import TRAINED, UNTRAINED, checked_onnx, described
from motemo.finalist import Finalist
from motemo.front import Front, Member
from motemo.records import stored_deployment
from motemo.rendering.drawing import architecture_svg
from motemo.space import Json

if TYPE_CHECKING:
    import onnx

    from motemo.data.dataset import ImageData

_FORMAT_VERSION = 1
_ONNX, _INT8 = "model.onnx", "model_int8.onnx"
_WEIGHTS, _PROGRAM = "weights.safetensors", "program.pt2"
_CARD, _PICTURE, _RUN = "MODEL_CARD.md", "architecture.svg", "run.py"
_MARK = ".untrained"
_WHAT = {
    _ONNX: "ONNX, float32, batches of any size; equals the torch network",
    _INT8: "ONNX, int8, see below",
    _WEIGHTS: "state of the torch network",
    _PROGRAM: "program of torch.export, batches of any size",
    FACTS: "genotype, space, preprocessing, classes, measurements, digests of the files",
    _PICTURE: "the architecture, drawn",
    _RUN: "runs the model; needs onnxruntime and numpy",
}


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a folder is to hold.

    Attributes:
        facts: What `architecture.json` says.
        files: The other files, by name.
        int8: How the int8 model differs from float32, or why there is none.
    """

    facts: Mapping[str, Json]
    files: Mapping[str, bytes]
    int8: Mapping[str, Json] | str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One model to write.

    Attributes:
        member: The model.
        front: The front of its search.
        data: Images for the int8 model, or None.
        program: Whether a program of `torch.export` is wanted.
        finalists: The trained finalists of the run.
        elsewhere: Fronts of the same search, measured on other devices.
        commands: Shell commands that repeat the search.
    """

    member: Member
    front: Front
    data: ImageData | None
    program: bool
    finalists: Sequence[Finalist]
    elsewhere: Sequence[Front]
    commands: Sequence[str]

    @cached_property
    def finalist(self) -> Finalist | None:
        """Its training, if there was one."""
        return next((f for f in self.finalists if f.trial == self.member.trial), None)

    def contents(self) -> Contents:
        """Build the network, and return all that is to be written of it.

        Raises:
            EvaluationError: The network cannot be built, exported or loaded.
        """
        network = self._network()
        files, int8 = self._files_with_weights(network)
        facts = self._facts(network, onnx=next(iter(files)))
        card = self._card(facts, [*files, FACTS, _PICTURE, _RUN], int8)
        picture = architecture_svg(self.member.architecture)
        texts = {_PICTURE: picture, _RUN: SCRIPT, _CARD: card}
        return Contents(
            facts=facts,
            files={**files, **{name: text.encode() for name, text in texts.items()}},
            int8=int8,
        )

    def _files_with_weights(
        self, network: Network
    ) -> tuple[dict[str, bytes], Mapping[str, Json] | str]:
        """Return the files that hold weights, float32 ONNX first, and what is to say of int8."""
        metadata = described(self.member) | (TRAINED if network.trained else UNTRAINED)
        model = checked_onnx(network.module, network.input_shape, metadata=metadata)
        reduced, int8 = self._int8(network, model, metadata)
        files = {
            _ONNX: model.SerializeToString(),
            _INT8: reduced,
            _WEIGHTS: network.safetensors(metadata),
            _PROGRAM: network.program() if self.program else None,
        }
        named = {
            name if network.trained else _untrained(name): content
            for name, content in files.items()
            if content is not None
        }
        return named, int8

    def _int8(
        self, network: Network, model: onnx.ModelProto, metadata: Mapping[str, str]
    ) -> tuple[bytes | None, Mapping[str, Json] | str]:
        """Return the int8 model and how it differs, or None and why there is none."""
        if self.data is None:
            return (
                None,
                "No int8 model: no images of this search were at hand to fix its scales by.",
            )
        try:
            content, difference = network.int8(model, self.data, metadata)
        except EvaluationError as error:
            return None, f"No int8 model: {error}"
        return content, {"calibration": f"images of {self.data.name}", **difference}

    def _network(self) -> Network:
        if self.finalist is not None:
            return Network.of_finalist(self.member, self.finalist)
        shape, classes = stored_deployment(self.front.settings)
        return Network.untrained(self.member, input_shape=shape, classes=classes)

    def _facts(self, network: Network, *, onnx: str) -> dict[str, Json]:
        architecture = self.member.architecture
        return {
            "format_version": _FORMAT_VERSION,
            "space": architecture.space.identity(),
            "genotype": architecture.genotype,
            "trial": self.member.trial,
            "weights": "trained" if network.trained else "untrained",
            "onnx": onnx,
            "input_shape": [*network.input_shape],
            "mean": [*network.mean],
            "std": [*network.std],
            "counts": network.counts(),
            "class_names": [*self._class_names()],
            "measurements": {
                name: {"value": m.value, "unit": m.unit, "low": m.low, "high": m.high}
                for name, m in self.member.measurements.items()
            },
        }

    def _class_names(self) -> Sequence[str]:
        if self.finalist is not None:
            return self.finalist.class_names
        _, classes = stored_deployment(self.front.settings)
        if self.data is not None and self.data.classes == classes:
            return self.data.class_names
        return [f"class {index}" for index in range(classes)]

    def _card(
        self, facts: Mapping[str, Json], files: Sequence[str], int8: Mapping[str, Json] | str
    ) -> str:
        return Card(
            member=self.member,
            front=self.front,
            known=known(self.member, self.front, self.elsewhere),
            finalist=self.finalist,
            finalists=self.finalists,
            facts=facts,
            files={name: _WHAT[name.replace(_MARK, "")] for name in files},
            int8=int8,
            commands=self.commands,
        ).markdown()


def _untrained(name: str) -> str:
    """Return the name of a file whose weights are initial: `model.untrained.onnx`."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}{_MARK}.{suffix}"
