"""Setting single fields of a frozen dataclass by a path and a text, as the command line does."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from motemo.errors import SettingsError

_SIMPLE = {bool: "bool", int: "int", float: "float", str: "str", NoneType: "null"}
_LISTS = {int: "[160, 224]", float: "[0.5, 1.0]", str: '["a", "b"]'}


def parse_option(text: str) -> tuple[str, tuple[str, ...], object]:
    """Read `NAME.FIELD=VALUE`, where FIELD may be a path and VALUE is JSON or plain text.

    Returns:
        The name, the path of the field, and the value.

    Raises:
        SettingsError: The text has another form.
    """
    place, equals, value = text.partition("=")
    name, *path = place.strip().split(".")
    if not (equals and path and all((name, *path))):
        raise SettingsError(
            f"Malformed option {text!r}. Write NAME.FIELD=VALUE, as in 'mote.recipe.epochs=8'."
        )
    try:
        return name, tuple(path), json.loads(value)
    except json.JSONDecodeError:
        return name, tuple(path), value.strip()


def with_option(value: Any, path: Sequence[str], new: object, *, shown: str) -> Any:  # noqa: ANN401
    """Return a frozen dataclass with one field, at the end of a path of fields, set anew.

    Args:
        value: The dataclass.
        path: Names of fields, from the outside in.
        new: The new value, of the kind that the field holds.
        shown: The option as given, for messages.

    Raises:
        SettingsError: There is no such field, or it holds another kind of value.
    """
    settable = {f.name for f in fields(value) if f.init} if is_dataclass(value) else set()
    name, *rest = path
    if name not in settable:
        raise SettingsError(
            f"The option {shown!r} names no field: {type(value).__name__} has no {name!r}. "
            f"Fields: {', '.join(sorted(settable)) or 'none'}."
        )
    old = getattr(value, name)
    if rest:
        return replace(value, **{name: with_option(old, rest, new, shown=shown)})
    if isinstance(old, tuple):
        return replace(value, **{name: _as_tuple(value, name, new, shown)})
    hint = _hint(value, name)
    allowed = get_args(hint) if isinstance(hint, UnionType) else (type(old),)
    if float in allowed and type(new) is int:
        new = float(str(new))  # a huge one becomes infinite
    kinds = [_SIMPLE[kind] for kind in allowed if kind in _SIMPLE]
    if not set(kinds) - {"null"}:
        raise _not_by_text(shown)
    if type(new) not in allowed:
        raise SettingsError(
            f"The option {shown!r} needs a value of type {' or '.join(kinds)}, such as "
            f"{json.dumps(old)}; got {json.dumps(new)}."
        )
    _check_finite(new, shown)
    return replace(value, **{name: new})


def _hint(value: object, name: str) -> Any:  # noqa: ANN401  (a type)
    try:
        return get_type_hints(type(value))[name]
    except NameError:  # another field's type is imported for type checkers only
        return type(getattr(value, name))


def _as_tuple(value: object, name: str, new: object, shown: str) -> tuple[object, ...]:
    """Return a list for a field that holds a tuple, if its items are of the right kinds."""
    kinds = get_args(_hint(value, name)) or tuple({type(item) for item in getattr(value, name)})
    allowed = [kind for kind in kinds if kind in _LISTS]
    if not allowed:
        raise _not_by_text(shown)
    if not isinstance(new, list) or any(type(item) not in allowed for item in new):
        raise SettingsError(
            f"The option {shown!r} needs a list of values of type "
            f"{' or '.join(_SIMPLE[kind] for kind in allowed)}, written as in "
            f"{_LISTS[allowed[0]]}; got {json.dumps(new)}."
        )
    for item in new:
        _check_finite(item, shown)
    return tuple(new)


def _not_by_text(shown: str) -> SettingsError:
    return SettingsError(
        f"The option {shown!r} cannot be set by a text. Set one of its own fields, or use Python."
    )


def _check_finite(new: object, shown: str) -> None:
    if isinstance(new, float) and not math.isfinite(new):
        raise SettingsError(f"The option {shown!r} needs a finite number; got {new}.")
