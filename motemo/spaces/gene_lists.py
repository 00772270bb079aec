"""Genotypes that are written as a JSON object of lists of small whole numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from motemo.errors import GenotypeError


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
    try:
        lists = json.loads(genotype)
    except (ValueError, RecursionError):
        lists = None
    if not isinstance(lists, dict) or lists.keys() != lengths.keys():
        raise GenotypeError(f"Malformed genotype {genotype!r}. {form}")
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
