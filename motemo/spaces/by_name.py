"""Spaces by name: registered ones, and one's own in a file, as `my_space.py:SPACE`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from motemo.errors import MotemoError, SettingsError, UnknownNameError
from motemo.options import parse_option, with_option
from motemo.registry import OBJECTIVES, SPACES
from motemo.space import Json, Space
from motemo.spaces.builder import BuilderSpace

OPTION_LABEL = "space"
_FIXED = ("name", "genes")
_COSTS = ("params", "flops", "latency_ms")


def is_file(name: str) -> bool:
    """Return whether the name of a space is that of a file."""
    return ".py:" in name or name.endswith(".py")


def space_by_name(name: str, options: Sequence[str] = ()) -> Space:
    """Return a registered space, or one's own: `FILE.py:NAME`, a space or a builder function.

    The file is run as a module, once in a process: give only what you would run yourself.

    Args:
        name: The name.
        options: Fields of the space that are set anew, as in `space.width=32`.

    Raises:
        UnknownNameError: No space is registered under the name.
        SettingsError: The file cannot be run or has no such space, or an option cannot be set.
    """
    space: Space = _in_file(name) if is_file(name) else SPACES.create(name)
    for text in options:
        label, path, value = parse_option(text)
        allowed = settable(space)
        if label != OPTION_LABEL or path[0] not in allowed:
            raise SettingsError(
                f"The option {text!r} names nothing that can be set of the space {space.name!r}. "
                f"Options: {', '.join(f'space.{option}' for option in allowed) or 'none'}."
            )
        space = with_option(space, path, value, shown=text)
    return space


def settable(space: Space) -> dict[str, Json]:
    """Return the options of a space with their values."""
    identity = space.identity()
    given = {field.name for field in fields(cast("Any", space)) if field.init} - {*_FIXED}
    return {name: value for name, value in identity.items() if name in given}


def default_objectives(space: Space) -> tuple[str, ...]:
    """Return what a search of a space evaluates if it is told nothing else: estimate, then costs.

    Raises:
        SettingsError: What the space names as its estimate is not registered, or one of the costs.
    """
    wrong = "It is one of the costs"
    try:
        if OBJECTIVES.entry(space.estimate).name not in _COSTS:
            return space.estimate, *_COSTS
    except UnknownNameError:
        wrong = "No objective has this name"
    raise SettingsError(
        f"The space {space.name!r} has estimate={space.estimate!r}, by which a search cannot judge "
        f"accuracy. {wrong}. Give the space the name of an estimate from 'motemo list', such as "
        "'synflow' or 'mote', or the search --objective."
    )


def _in_file(name: str) -> Space:
    file, _, wanted = name.rpartition(":") if ".py:" in name else (name, "", "")
    path = Path(file)
    found: Any = vars(_module(path)).get(wanted)
    if isinstance(found, Space):
        return found
    if callable(found) and not isinstance(found, type):
        return BuilderSpace(name=wanted, build_network=found)
    spaces = [key for key, value in vars(_module(path)).items() if isinstance(value, Space)]
    wrong = (
        f"{wanted!r} in {path} is neither a space nor a function that builds a network from a "
        "trial, an input shape and a number of classes"
        if wanted
        else "which one in the file is not said"
    )
    raise SettingsError(
        f"There is no space {name!r}: {wrong}. Write FILE.py:NAME; spaces in it: "
        f"{', '.join(spaces) or 'none'}."
    )


def _module(path: Path) -> ModuleType:
    """Run a file as a module; it can import what lies beside it, and other processes import it."""
    place = path.resolve()
    if not place.is_file():
        raise SettingsError(
            f"There is no file {path} with a space, in {Path.cwd()}. Write FILE.py:NAME, or a name "
            "of 'motemo list'."
        )
    if str(place.parent) not in sys.path:
        sys.path.append(str(place.parent))
    try:
        return _imported(place)
    except MotemoError:
        raise
    except (Exception, SystemExit) as error:  # a script may end the process
        raise SettingsError(
            f"The file {path} cannot be run: {type(error).__name__}: {error}{_line(error, place)}."
        ) from error


def _imported(place: Path) -> ModuleType:
    """Import a file by its own name, or by another one where that is taken."""
    importlib.invalidate_caches()  # the file may have been written a moment ago
    own = importlib.util.find_spec(place.stem) if place.stem.isidentifier() else None
    if own is not None and own.origin == str(place):
        return importlib.import_module(place.stem)
    name = f"motemo_space_file {place}"
    if name not in sys.modules:
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = str(place)
        try:
            SourceFileLoader(name, str(place)).exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _line(error: BaseException, place: Path) -> str:
    """Say where in the file it happened."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(place):
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f", in line {line}"
