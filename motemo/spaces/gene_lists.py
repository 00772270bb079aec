"""Genotypes that are written as a JSON object, most of them of lists of small whole numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from motemo.errors import GenotypeError
from motemo.space import Choice


def write_lists(lists: Mapping[str, Sequence[int]]) -> str:
    """Return compact JSON, such as `{"k":[3,5],"l":[1,2]}`."""
    return json.dumps({name: [*numbers] for name, numbers in lists.items()}, separators=(",", ":"))


def read_lists(genotype: str, lengths: Mapping[str, int], *, form: str) -> dict[str, list[int]]:
    """Return the lists of a genotype; the inverse of `write_lists`.

    Args:
        genotype: What was written; blanks and the order of the lists do not matter.
        lengths: Names of the lists, and how many numbers each has.
        form: Description of the form, for the error.

    Raises:
        GenotypeError: It is not JSON, or not of these lists.
    """
    lists = read_object(genotype, lengths, form=form)
    for name, length in lengths.items():
        numbers = lists[name]
        if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
            raise GenotypeError(
                f"Malformed genotype {genotype!r}: {name!r} is no list of whole numbers. {form}"
            )
        if len(numbers) != length:
            raise GenotypeError(
                f"Malformed genotype {genotype!r}: {name!r} has {len(numbers)} numbers, not "
                f"{length}. {form}"
            )
    return {name: lists[name] for name in lengths}


def read_object(genotype: str, names: Collection[str], *, form: str) -> dict[str, Any]:
    """Return the JSON object that a genotype is, with exactly these names.

    Raises:
        GenotypeError: It is none, or has other names.
    """
    try:
        written = json.loads(genotype)
    except (ValueError, RecursionError):
        written = None
    if not isinstance(written, dict) or written.keys() != {*names}:
        raise GenotypeError(f"Malformed genotype {genotype!r}. {form}")
    return written


def read_choice(
    name: str, written: object, choices: Sequence[Choice], *, genotype: str, form: str
) -> Choice:
    """Return what is written of a decision, as it stands among the choices.

    Raises:
        GenotypeError: It is none of them.
    """
    for choice in choices:
        kinds = (int, float) if isinstance(choice, float) else (type(choice),)
        if type(written) in kinds and written == choice:
            return choice
    raise GenotypeError(
        f"Malformed genotype {genotype!r}: {name} is {written!r}, not one of {choices}. {form}"
    )
