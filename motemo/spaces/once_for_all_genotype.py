"""Genotypes of the Once-for-All spaces: kernels `ks`, expansions `e` and depths `d`, as JSON.

The lists have room for as many blocks as a stage can have. Kernel and expansion of a block that
the stage does not have are written 0, as in the records of DyNAS-T. Any other value there is a
genotype too, of the same network, except that the first choice is always written 0: so there is
one genotype for each combination of genes. Where the resolution is a choice, a list `r` holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from motemo.space import Choice
from motemo.spaces.gene_lists import read_choice, read_lists, write_lists
from motemo.spaces.once_for_all_families import Family

RESOLUTION = "r"
UNUSED = 0


class Block(NamedTuple):
    """The decisions on one block."""

    kernel: int
    expansion: int


class _Place(NamedTuple):
    """Room for a block: the number of its stage and its own within it, from 1."""

    stage: int
    number: int

    def gene(self, kind: str) -> str:
        return f"{kind}_{self.stage}_{self.number}"


@cache
def decisions(family: Family) -> Mapping[str, tuple[int, ...]]:
    """Return names and choices: resolution, then stage by stage depth and what each block has."""
    found = {RESOLUTION: family.resolutions} if family.resolutions else {}
    for number, stage in enumerate(family.stages, start=1):
        found[f"d_{number}"] = stage.depths
        for place in _places(family):
            if place.stage == number:
                found |= {place.gene(kind): choices for kind, choices in _kinds(family).items()}
    return found


def write(family: Family, values: Mapping[str, Choice]) -> str:
    """Return the genotype; what is not among the values has its first choice."""
    chosen = {name: int(values.get(name, some[0])) for name, some in decisions(family).items()}
    lists = {
        kind: [
            UNUSED
            if place.number > chosen[f"d_{place.stage}"] and chosen[place.gene(kind)] == choices[0]
            else chosen[place.gene(kind)]
            for place in _places(family)
        ]
        for kind, choices in _kinds(family).items()
    }
    lists["d"] = [chosen[f"d_{number}"] for number in range(1, len(family.stages) + 1)]
    if family.resolutions:
        lists[RESOLUTION] = [chosen[RESOLUTION]]
    return write_lists(lists)


def read(family: Family, genotype: str) -> dict[str, int]:
    """Return what was decided; the first choice for what is written as unused.

    Raises:
        GenotypeError: The genotype is malformed.
    """
    places = [*_places(family)]
    form = _form(family)
    lengths = {"ks": len(places), "e": len(places), "d": len(family.stages)}
    lengths |= {RESOLUTION: 1} if family.resolutions else {}
    lists = read_lists(genotype, lengths, form=form)
    written = {f"d_{number}": depth for number, depth in enumerate(lists["d"], start=1)}
    written |= {RESOLUTION: lists[RESOLUTION][0]} if family.resolutions else {}
    for kind, choices in _kinds(family).items():
        for place, value in zip(places, lists[kind], strict=True):
            unused = value == UNUSED and place.number > written[f"d_{place.stage}"]
            written[place.gene(kind)] = choices[0] if unused else value
    chosen = {name: written[name] for name in decisions(family)}
    for name, choices in decisions(family).items():
        read_choice(name, chosen[name], choices, genotype=genotype, form=form)
    return chosen


def used(family: Family, chosen: Mapping[str, int]) -> dict[str, int]:
    """Return what was decided on depths and on blocks that there are."""
    absent = {
        place.gene(kind)
        for place in _places(family)
        for kind in _kinds(family)
        if place.number > chosen[f"d_{place.stage}"]
    }
    return {name: value for name, value in chosen.items() if name not in absent}


def blocks(family: Family, genotype: str) -> list[list[Block]]:
    """Return the blocks of each stage."""
    chosen = read(family, genotype)
    stages: list[list[Block]] = [[] for _ in family.stages]
    for place in _places(family):
        if place.number <= chosen[f"d_{place.stage}"]:
            block = Block(chosen[place.gene("ks")], chosen[place.gene("e")])
            stages[place.stage - 1].append(block)
    return stages


def share_of_resolution(family: Family, genotype: str) -> float:
    """Return the resolution, as a share of the largest."""
    if not family.resolutions:
        return 1.0
    return read(family, genotype)[RESOLUTION] / max(family.resolutions)


def _kinds(family: Family) -> dict[str, tuple[int, ...]]:
    return {"ks": family.kernels, "e": family.expansions}


def _places(family: Family) -> Iterator[_Place]:
    for stage, published in enumerate(family.stages, start=1):
        for number in range(1, max(published.depths) + 1):
            yield _Place(stage, number)


@cache
def _form(family: Family) -> str:
    example = write(family, {})
    resolution = f" and a resolution {RESOLUTION!r}" if family.resolutions else ""
    return (
        "The form is JSON with kernels 'ks' and expansions 'e' of all blocks (0 for those that a "
        f"stage does not have), depths 'd' of all stages{resolution}, for example '{example}'."
    )
