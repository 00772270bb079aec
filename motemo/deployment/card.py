"""The model card: what a model is, how good and how dear, how it was found, and its limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from motemo.deployment.knowledge import Known
from motemo.deployment.owned_folder import FACTS
from motemo.finalist import Finalist
from motemo.front import Front, Member
from motemo.objective import Direction
from motemo.records import stored_deployment
from motemo.rendering.summary import all_settings
from motemo.rendering.summary import facts as named_settings
from motemo.rendering.wording import percent
from motemo.space import Json

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~!])")
_MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model card tells.

    Attributes:
        member: The model.
        front: The front that it is from.
        known: Its measurements.
        finalist: Its training; None if the weights are initial.
        finalists: All finalists of the run.
        facts: What `architecture.json` says: input shape, mean, std, class names.
        files: What each file of the folder is, by name.
        int8: How the int8 model differs from float32, or why there is none.
        commands: Shell commands that make it again, if they are known.
    """

    member: Member
    front: Front
    known: Sequence[Known]
    finalist: Finalist | None
    finalists: Sequence[Finalist]
    facts: Mapping[str, Json]
    files: Mapping[str, str]
    int8: Mapping[str, Json] | str
    commands: Sequence[str]

    def markdown(self) -> str:
        """Return the card."""
        sections = (
            self._head(),
            self._use(),
            self._architecture(),
            self._measured(),
            self._training(),
            self._int8(),
            self._origin(),
            self._limits(),
        )
        return "\n\n".join(paragraph for section in sections for paragraph in section) + "\n"

    def _head(self) -> Iterator[str]:
        space = self.member.architecture.space.name
        yield f"# {_plain(space)}, trial {self.member.trial}"
        if self.finalist is None:
            yield (
                "> **UNTRAINED.** The weights in this folder are initial ones: what the model "
                "answers means nothing. It can be timed and built into a program; train it before "
                "use."
            )
        yield _table(("file", "what"), [(f"`{n}`", text) for n, text in self.files.items()])

    def _use(self) -> Iterator[str]:
        shape = _shape(_list(self.facts["input_shape"]))
        yield "## Use"
        yield "```bash\npip install onnxruntime numpy pillow\npython run.py photo.png\n```"
        yield (
            f"Input `images`: float32 (N, {shape.replace(' x ', ', ')}), N images of channels x "
            f"height x width = {shape}: pixel values in [0, 1], less "
            f"{_numbers(self.facts['mean'])}, divided by {_numbers(self.facts['std'])} (per "
            "channel). Image files are scaled to that size, bilinear with antialiasing."
        )
        names = [_plain(str(name)) for name in _list(self.facts["class_names"])]
        more = "" if len(names) <= _MOST_CLASSES else f", ... (all are in `{FACTS}`)"
        yield (
            f"Output `logits`: float32 (N, {len(names)}), one per class: "
            f"{', '.join(names[:_MOST_CLASSES])}{more}."
        )

    def _architecture(self) -> Iterator[str]:
        architecture = self.member.architecture
        yield "## Architecture"
        yield f"Search space {_plain(architecture.space.name)}; genotype:"
        yield _code(architecture.genotype)
        yield "![The architecture](architecture.svg)"

    def _measured(self) -> Iterator[str]:
        yield "## Measured in the search"
        rows = [
            (
                _plain(row.axis.name),
                "higher" if row.axis.direction is Direction.MAXIMIZE else "lower",
                _plain(row.scale.full(row.measurement)),
                f"{row.rank} of {row.count}",
                _plain(row.source) or "computed",
            )
            for row in self.known
        ]
        yield _table(("objective", "better", "value", "rank among evaluated", "where"), rows)
        yield (
            "A spread is where a repetition may fall (95 %). An estimate of quality, such as "
            "`mote`, is a score of a short training or of none, and no accuracy: compare it within "
            "this search only."
        )
        shape, classes = stored_deployment(self.front.settings)
        own = (_list(self.facts["input_shape"]), len(_list(self.facts["class_names"])))
        if own != ([*shape], classes):
            yield (
                f"**Costs are those of another input:** they were taken at {_shape([*shape])} and "
                f"{classes} classes, and this model takes {_shape(own[0])} and has {own[1]}: "
                f"{_counts(self.facts['counts'])}."
            )

    def _training(self) -> Iterator[str]:
        yield "## Accuracy"
        finalist = self.finalist
        if finalist is None or finalist.val_accuracy is None:
            yield "Unknown: this model was not trained."
            return
        accuracies = [f.val_accuracy for f in self.finalists if f.val_accuracy is not None]
        rank = 1 + sum(accuracy > finalist.val_accuracy for accuracy in accuracies)
        low, high = finalist.val_low or 0.0, finalist.val_high or 1.0
        yield (
            f"**{100 * finalist.val_accuracy:.2f} %** of {finalist.val_images} held-out validation "
            f"images are named right (95 % interval {100 * low:.2f} to {100 * high:.2f} %), after "
            f"{finalist.epochs} epochs; rank {rank} of {len(accuracies)} trained finalists. The "
            "best of several was chosen by the same images, so expect a little less on new ones."
        )
        yield _table(
            ("recipe", ""), [(_plain(k), _plain(v)) for k, v in all_settings(finalist.recipe)]
        )

    def _int8(self) -> Iterator[str]:
        yield "## int8"
        if isinstance(self.int8, str):
            yield _plain(self.int8)
            return
        mean, same = self.int8.get("mean"), float(str(self.int8["same_class"]))
        apart = ""
        if isinstance(mean, int | float):
            apart = f"; a logit is off by {percent(mean)} of its spread on average"
        yield (
            "Weights in int8, activations in uint8, with scales fixed on "
            f"{_plain(str(self.int8['calibration']))}. On {self.int8['images']} more of them it "
            f"names the same class as float32 for {percent(same)}{apart}."
        )
        if self.finalist is None:
            yield (
                "That is of initial weights, with the statistics of these images in the batch "
                "normalisation, and says nothing of what training will make of it."
            )

    def _origin(self) -> Iterator[str]:
        front = self.front
        yield "## How it was found"
        bounds = ", ".join(str(bound) for bound in front.constraints) or "none"
        found = [*named_settings(front.settings), ("bounds", bounds)]
        found.append(("evaluated architectures", str(len(front.evaluated))))
        found.append(("on the front", str(len(front))))
        versions = (front.settings or {}).get("versions")
        if isinstance(versions, dict):
            found.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items())))
        yield _table(("setting", ""), [(_plain(k), _plain(v)) for k, v in found])
        if self.commands:
            yield "To make it again:"
            yield _code("\n".join(self.commands), language="bash")
            if self.finalist is not None:
                yield "Then `motemo train` with the recipe above."

    def _limits(self) -> Iterator[str]:
        yield "## Limits and licence"
        yield (
            "Costs hold for the devices and input shape above. The accuracy, if any, is that on "
            "images like those of the training; nothing is known of others, of fairness or of "
            "robustness. Intended use, licence of the weights and of the training images: *to be "
            "filled in by whoever publishes this model*."
        )


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _shape(sizes: Sequence[Json]) -> str:
    return " x ".join(str(size) for size in sizes)


def _counts(counts: Json) -> str:
    known = counts.items() if isinstance(counts, dict) else ()
    return ", ".join(
        f"{name} {value / 1e6:.3g} M" for name, value in known if isinstance(value, int)
    )


def _numbers(values: Json) -> str:
    return ", ".join(f"{value:.4g}" for value in _list(values) if isinstance(value, int | float))


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in a paragraph or a table."""
    return escape(_SPECIAL.sub(r"\\\1", " ".join(text.split())), quote=False)


def _code(text: str, *, language: str = "text") -> str:
    """Return a block of code, fenced by more backticks than it has."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
