"""A space of one's own, defined by running: a function that asks for its decisions and builds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from motemo.errors import GenotypeError, InvalidArchitectureError
from motemo.seeds import seeded_torch
from motemo.space import Choice, Gene, Json, Shape
from motemo.spaces.decision_space import Answer, Builder, Decided, DecisionSpace
from motemo.spaces.dry_run import DryRun, reason_of
from motemo.spaces.fingerprint import fingerprint
from motemo.spaces.lazy_modules import with_sizes
from motemo.spaces.questions import Questions
from motemo.spaces.suggestions import Suggestions

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class BuilderSpace(DecisionSpace):
    """A space that a function defines by what it asks for while it builds.

        def build(trial, input_shape, classes):
            depth = trial.suggest_int("depth", 1, 3)
            widths = [trial.suggest_categorical(f"width_{i}", (8, 16, 32)) for i in range(depth)]
            ...
            return network

        space = motemo.BuilderSpace(name="mine", build_network=build)

    The decisions are found by running the builder: with all choices of each gene, then at random
    until nothing new is asked for. What it asks for may depend on what was decided; it must not
    depend on anything else, such as chance, the input shape or the classes. An architecture for
    which it raises ValueError or optuna.TrialPruned is invalid for this reason.

    The builder runs once for each architecture that is looked at, some hundred at each step of
    most samplers, on torch's device `meta` (where weights have a shape and no values) if it can,
    else on the CPU. If that takes too long, let `choose` ask for everything first.

    Attributes:
        name: Name of the space.
        build_network: Builds the full network.
        build_reduced_network: Builds the network that MOTE trains, asking for the same decisions;
            None makes it from the full one by the general rule.
        choose: Asks for all decisions and builds nothing, or None. The builders then get what it
            returns in place of the trial.
        version: Change it whenever one of the builders changes in a way that is not noticed, so
            that old measurements are not taken for new ones. Noticed are the layers in their order,
            what they are set to, and their weights' shapes; how they are connected, what is
            computed apart from them, and the values of weights are not.
        estimate: Registered name of the estimate of accuracy that `motemo search` takes if it is
            told nothing else.
        example_shape: Shape of the image that the decisions are asked for with.
        example_classes: Number of classes that they are asked for with.
        genes: Everything that it asks for anywhere.

    Raises:
        GenotypeError: The builder asks for what cannot be a gene, for nothing at all, for one name
            with different choices, or not for the same every time.
        SettingsError: It can build nothing.
    """

    name: str
    build_network: Builder = field(repr=False)
    build_reduced_network: Builder | None = field(default=None, repr=False)
    choose: Callable[[Any], Any] | None = field(default=None, repr=False)
    version: str = "1"
    estimate: str = DecisionSpace.estimate
    example_shape: Shape = DecisionSpace.example_shape
    example_classes: int = DecisionSpace.example_classes
    genes: tuple[Gene, ...] = field(init=False, repr=False)
    _questions: Questions = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ask = self.build_network if self.choose is None else _Choosing(self.choose)
        questions = Questions(DryRun(ask, self.example_shape, self.example_classes))
        questions.discover()
        if not questions.genes:
            raise GenotypeError(
                f"The builder of {self.name!r} asks for nothing, so that there is nothing to "
                'search. Let it ask, as in trial.suggest_categorical("width", (8, 16)).'
            )
        object.__setattr__(self, "_questions", questions)
        object.__setattr__(self, "genes", questions.in_order)

    def decide(self, answer: Answer) -> Decided:
        """Ask for what the builder asks for, running it where its questions are not known yet."""
        return self._questions.decide(answer)

    @property
    def size(self) -> int:
        """Number of written genotypes, or an upper bound if `size_is_bound`.

        The bound is the product of the numbers of choices.
        """
        return self._questions.size

    @property
    def size_is_bound(self) -> bool:
        """Whether the builder's answer to some genotypes is not known yet."""
        return not self._questions.is_known

    def identity(self) -> dict[str, Json]:
        """Name, genes, version, how networks are reduced, and a digest of some networks."""
        return {**super().identity(), "networks": self._networks}

    @cached_property
    def _networks(self) -> str:
        """A digest of the networks of all first choices, all last ones, and some in between.

        Those that MOTE trains are in it if a function of one's own builds them.
        """
        some = [self.write(_choices(self.genes, share)) for share in (0, 0.5, 1)]
        own = [build for build in (self.build_network, self.build_reduced_network) if build]
        built = [self._built(build, genotype) for build in own for genotype in some]
        return fingerprint([network for network in built if network is not None])

    def _built(self, build: Builder, genotype: str) -> nn.Module | None:
        """Return a network, without values of weights if that works; None if it fails."""
        import torch

        for device in ("meta", "cpu"):
            try:
                with seeded_torch(0), torch.device(device):
                    return self._run(
                        build,
                        genotype,
                        input_shape=self.example_shape,
                        classes=self.example_classes,
                    )
            except Exception:  # noqa: BLE001, S112  (a user's own builder may raise anything)
                continue
        return None

    def _run(
        self, builder: Builder, genotype: str, *, input_shape: Shape, classes: int
    ) -> nn.Module:
        """Run one of the builders with what a genotype decides.

        Raises:
            InvalidArchitectureError: The builder refuses it.
            GenotypeError: It does not ask for the same as it did before.
        """
        from optuna import TrialPruned

        values = self.decided(genotype).values
        at = f"{genotype!r} at input shape {input_shape}, {classes} classes"

        def answer(gene: Gene) -> Choice:
            if gene.name not in values:
                raise self._asks_otherwise(f"asks for {gene.name!r} for {at}, and did not before")
            return values[gene.name]

        trial = Suggestions(answer)
        try:
            given = trial if self.choose is None else self.choose(trial)
            network = with_sizes(builder(given, input_shape, classes), input_shape)
        except TrialPruned as error:
            raise InvalidArchitectureError(
                f"The builder of {self.name!r} refuses {at}: {reason_of(error)}."
            ) from error
        if missing := [name for name in values if name not in trial.params]:
            raise self._asks_otherwise(f"does not ask for {missing[0]!r} for {at}, and did before")
        return network

    def _asks_otherwise(self, what: str) -> GenotypeError:
        return GenotypeError(
            f"The builder of {self.name!r} {what}. What it asks for may depend on earlier "
            "decisions only, and a builder of reduced networks must ask for the same."
        )


def _choices(genes: Sequence[Gene], share: float) -> dict[str, Choice]:
    return {gene.name: gene.choices[round(share * (len(gene.choices) - 1))] for gene in genes}


@dataclass(frozen=True)
class _Choosing:
    """Asks like a builder, and builds nothing."""

    choose: Callable[[Any], Any]

    def __call__(self, trial: Any, input_shape: Shape, classes: int) -> nn.Module:  # noqa: ANN401
        from torch import nn

        self.choose(trial)
        return nn.Sequential()
