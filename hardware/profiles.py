"""Devices under names of one's own, in a TOML file.

    [phone-like]
    kind = "onnxruntime"
    precision = "int8"
    input_shape = [3, 224, 224]

    [pi]
    kind = "remote"
    address = "https://pi.local:8765"

Each table is a device: `kind` is a registered device, `input_shape` (optional) the shape of an
image that costs are taken at, everything else an option of that device. Read are the files that
the environment variable MOTEMO_DEVICES names; without it, `devices.toml` in the working folder,
then in the user's configuration folder. The first table of a name counts. A remote device gets
the user's token, so it does not stand in a working folder's file, which others may have written.
"""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from motemo.device import Device
from motemo.errors import SettingsError, UnknownNameError
from motemo.hardware.deployment import check_deployment
from motemo.registry import DEVICES
from motemo.space import Shape

VARIABLE = "MOTEMO_DEVICES"
FILE = "devices.toml"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A device by name, not created yet.

    Attributes:
        name: What the user calls it.
        kind: The registered device.
        options: What it is created with.
        input_shape: Shape of an image that costs are taken at; None leaves it open.
        file: Where it was found; None for a registered device as it is.
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Shape | None = None
    file: Path | None = None

    def create(
        self,
        *,
        offered: Mapping[str, object] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> Device:
        """Create the device.

        Args:
            offered: Arguments that it gets if it has a parameter of that name.
            options: Arguments that take the place of the profile's own; it must have them all.

        Raises:
            SettingsError: The device has no such option, or it cannot have that value.
            DeviceError: It is not available here.
        """
        self._check()
        try:
            device: Device = DEVICES.create(
                self.kind,
                offered={**(offered or {}), "name": self.name},
                options={**self.options, **(options or {})},
            )
        except SettingsError as error:
            if self.file is None:
                raise
            raise SettingsError(f"The device {self.name!r} of {self.file}: {error}") from error
        return device

    def _check(self) -> None:
        """Raise unless the options of a file are of the right types, and may stand there."""
        if self.file is None:
            return
        what = f"The device {self.name!r} of {self.file}"
        if self.kind == "remote" and self.file == Path(FILE):
            raise SettingsError(
                f"{what} is remote. A remote device gets your token, so it must stand in your own "
                f"{_own_file()}, or in a file that {VARIABLE} names: move it there."
            )
        for name, value in self.options.items():
            if name in _NOT_IN_FILES:
                raise SettingsError(f"{what} sets {name!r}, which is not for files. Remove it.")
            wanted = _TYPES.get(_annotation(self.kind, name).removesuffix(" | None"))
            good = wanted is None or type(value) in wanted
            if not good:
                raise SettingsError(
                    f"{what}: {name} must be of type {_annotation(self.kind, name)}; got {value!r}."
                )


_NOT_IN_FILES = ("name", "calibration")
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "Path": (str,),
}


def _annotation(kind: str, option: str) -> str:
    """Return the type of an option of a device, as it is written; empty if there is none."""
    parameter = inspect.signature(DEVICES.entry(kind).load()).parameters.get(option)
    return "" if parameter is None else str(parameter.annotation)


def profiles() -> dict[str, Profile]:
    """Return all devices by name: the registered ones, then those of the files.

    Raises:
        SettingsError: A file cannot be read, or a table in it is no device.
    """
    found = {entry.name: Profile(name=entry.name, kind=entry.name) for entry in DEVICES}
    for file in files():
        for profile in _read(file):
            if profile.name in found and found[profile.name].file is None:
                raise SettingsError(
                    f"The device {profile.name!r} of {file} has the name of one of motemo's own. "
                    "Give it another name."
                )
            found.setdefault(profile.name, profile)
    return found


def profile(name: str) -> Profile:
    """Return the device of that name.

    Raises:
        UnknownNameError: There is none.
        SettingsError: A file of devices cannot be read.
    """
    found = profiles()
    if name not in found:
        raise UnknownNameError("device", name, found)
    return found[name]


def files() -> list[Path]:
    """Return the files of devices that there are, those that count first.

    Raises:
        SettingsError: The environment variable names one that there is not.
    """
    named = os.environ.get(VARIABLE)
    if named is None:
        places = (Path(FILE), _own_file())
        return [place for place in places if place.is_file()]
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    for path in paths:
        if not path.is_file():
            raise SettingsError(f"{VARIABLE} names {path}, and there is no such file.")
    return paths


def _own_file() -> Path:
    return Path(platformdirs.user_config_dir("motemo")) / FILE


def _read(file: Path) -> list[Profile]:
    try:
        tables = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Cannot read the devices in {file}: {error}.") from error
    return [_profile(name, table, file) for name, table in tables.items()]


def _profile(name: str, table: object, file: Path) -> Profile:
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise SettingsError(
            f"{name!r} in {file} is no device: it must be a table with kind = NAME. Kinds: "
            f"{', '.join(entry.name for entry in DEVICES)}. For example:\n"
            f'[{name}]\nkind = "onnxruntime"\nthreads = 1'
        )
    options = {key: value for key, value in table.items() if key not in ("kind", "input_shape")}
    try:
        DEVICES.entry(table["kind"])
    except UnknownNameError as error:
        raise SettingsError(f"The device {name!r} of {file}: {error}") from error
    shape = table.get("input_shape")
    if shape is not None:
        try:
            check_deployment(tuple(shape) if isinstance(shape, list) else shape, 1)
        except SettingsError as error:
            raise SettingsError(f"The device {name!r} of {file}: {error}") from error
        shape = tuple(shape)
    return Profile(name=name, kind=table["kind"], options=options, input_shape=shape, file=file)
