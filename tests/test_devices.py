"""Devices under names of one's own, and the commands that use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Run

from motemo.errors import SettingsError, UnknownNameError
from motemo.hardware.onnx_runtime import OnnxRuntimeDevice
from motemo.hardware.profiles import files, profile, profiles

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"
OTHER = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
DEVICES = """
[two]
kind = "cpu"
threads = 2
input_shape = [3, 16, 16]

[pair]
kind = "cpu"
batch = 2
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with devices, and an empty configuration folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MOTEMO_DEVICES", raising=False)
    (tmp_path / "devices.toml").write_text(DEVICES)
    return tmp_path


def write_devices(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "devices.toml"
    file.write_text(text)
    return file


# Files


@pytest.mark.usefixtures("here")
def test_a_device_of_a_file() -> None:
    found = profile("two")
    device = found.create()
    assert isinstance(device, OnnxRuntimeDevice)
    assert (device.name, device.threads, found.input_shape) == ("two", 2, (3, 16, 16))
    assert device.identity()["name"] == "two"


@pytest.mark.usefixtures("here")
def test_what_the_command_line_says_goes_before_the_file() -> None:
    device = profile("two").create(options={"threads": 1})
    assert isinstance(device, OnnxRuntimeDevice)
    assert device.threads == 1


def test_the_working_folder_goes_before_the_configuration_folder(here: Path) -> None:
    write_devices(here / "config" / "motemo", '[two]\nkind = "cpu"\n[far]\nkind = "cpu"\n')
    assert profile("two").options == {"threads": 2}
    assert profile("far").file == here / "config" / "motemo" / "devices.toml"


def test_the_environment_names_other_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_devices(here / "elsewhere", '[only]\nkind = "cpu"\n')
    monkeypatch.setenv("MOTEMO_DEVICES", str(file))
    assert "two" not in profiles()
    assert profile("only").file == file
    monkeypatch.setenv("MOTEMO_DEVICES", str(here / "missing.toml"))
    with pytest.raises(SettingsError, match=r"MOTEMO_DEVICES names .*missing\.toml"):
        files()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "Cannot read the devices in devices.toml"),
        ("a = 1", "'a' in devices.toml is no device: it must be a table with kind"),
        ("[a]\nthreads = 2", "'a' in devices.toml is no device: it must be a table with kind"),
        ('[cpu]\nkind = "cpu"', "has the name of one of motemo's own"),
        ('[a]\nkind = "cpu"\ninput_shape = [3, 0, 8]', "device 'a' of .*three positive numbers"),
        ('[a]\nkind = "cpu"\ninput_shape = 32', "device 'a' of .*three positive numbers"),
    ],
)
def test_files_that_cannot_be_read(here: Path, text: str, message: str) -> None:
    write_devices(here, text)
    with pytest.raises(SettingsError, match=message):
        profiles()


def test_a_kind_that_there_is_not(here: Path) -> None:
    write_devices(here, '[a]\nkind = "cqu"')
    with pytest.raises(SettingsError, match=r"'a' of devices.toml: Unknown device 'cqu'. Did you"):
        profiles()


def test_a_remote_device_is_for_the_users_own_file(here: Path) -> None:
    table = '[a]\nkind = "remote"\naddress = "http://127.0.0.1:9"'
    write_devices(here, table)
    with pytest.raises(SettingsError, match="gets your token, so it must stand in your own"):
        profile("a").create()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("thread = 2", "device 'a' of devices.toml: .*no option 'thread'.*threads"),
        ("threads = 0", "device 'a' of devices.toml: .*at least one thread"),
        ("threads = true", "device 'a' of devices.toml: threads must be of type int; got True"),
        ('batch = "2"', "device 'a' of devices.toml: batch must be of type int; got '2'"),
        ("batch = 1.5", "device 'a' of devices.toml: batch must be of type int; got 1.5"),
        ("precision = 2020-01-01", "precision must be of type str; got datetime"),
        ('calibration = "digits"', "sets 'calibration', which is not for files"),
    ],
)
def test_options_that_cannot_be(here: Path, options: str, message: str) -> None:
    write_devices(here, f'[a]\nkind = "cpu"\n{options}')
    with pytest.raises(SettingsError, match=message):
        profile("a").create()


@pytest.mark.usefixtures("here")
def test_an_unknown_device() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown device 'too'. Did you mean 'two'"):
        profile("too")


# Commands


def test_devices_lists_and_describes(here: Path, run: Run) -> None:
    (here / "devices.toml").write_text(DEVICES)
    shown = run("devices")
    assert shown.status == 0
    assert "two" in shown.out
    assert "threads 2" in shown.out
    assert "devices.toml" in shown.err
    rows = {row["name"]: row for row in json.loads(run("devices", "--json").out)}
    assert rows["two"]["problem"] is None
    assert rows["two"]["identity"]["threads"] == 2
    assert "CUDAExecutionProvider" in rows["cuda"]["problem"] or rows["cuda"]["identity"]
    described = run("devices", "pair", "--check")
    assert described.status == 0
    assert "reference network, ms" in described.out
    assert run("devices", "nine").status == 2


def test_the_template_is_a_file_of_devices(here: Path, run: Run) -> None:
    (here / "devices.toml").write_text(run("devices", "--template").out)
    assert json.loads(run("devices", "cpu-int8", "--json").out)[0]["problem"] is None


@pytest.mark.usefixtures("here")
def test_measuring_on_several_devices(run: Run) -> None:
    result = run("measure", "--arch", CELL, "--device", "cpu", "--device", "pair", "--json")
    records: list[dict[str, Any]] = json.loads(result.out)
    figures = {(record["objective"], record["device"]): record["value"] for record in records}
    assert list(figures) == [
        ("params", None),
        ("flops", None),
        ("latency_ms", "cpu"),
        ("latency_ms", "pair"),
    ]
    table = run("measure", "--arch", CELL, "--arch", OTHER, "--device", "pair", "--details").out
    assert f"1  {CELL}" in table
    assert f"2  {OTHER}" in table
    assert "±" in table
    assert "multiply_adds conv" in table
    assert "wall_ms" in table
    assert run("measure", "--arch", CELL, "--device", "pair", "--device", "pair").status == 2


@pytest.mark.usefixtures("here")
def test_costs_are_taken_at_the_shape_of_the_device(run: Run) -> None:
    flops = ["measure", "--arch", CELL, "--objective", "flops", "--json"]
    small = json.loads(run(*flops, "--device", "two").out)[0]["value"]
    full = json.loads(run(*flops, "--device", "two", "--input-shape", "3x32x32").out)[0]["value"]
    assert full == json.loads(run(*flops).out)[0]["value"]
    assert small < full / 3


@pytest.mark.slow
def test_a_finished_front_on_another_device(here: Path, run: Run) -> None:
    search = ["search", "--objective", "params", "--objective", "flops", "--trials", "6"]
    subprocess.run(
        [sys.executable, "-m", "motemo", *search, "--objective", "naswot", "--out", "runs/a"],
        cwd=here,
        check=True,
        capture_output=True,
    )
    before = run("front", "runs/a", "--json").out
    first = run("front", "runs/a", "--device", "pair", "--out", "runs/pair", "--csv")
    assert first.status == 0, first.err
    assert "latency_ms on pair in place of flops" in first.err
    assert "latency_ms" in first.out.splitlines()[0]
    assert (here / "runs" / "pair" / "front.csv").exists()
    again = run("front", "runs/a", "--device", "pair", "--csv")
    assert again.out == first.out, "what was measured is kept"
    assert run("front", "runs/a", "--json").out == before, "the run's own front stays"
    assert run("front", "runs/a", "--replaces", "flops").status == 2
    unknown = run("front", "runs/a", "--device", "pair", "--replaces", "naswot")
    assert unknown.status == 2
    assert "naswot" in unknown.err


@pytest.mark.slow
def test_a_search_by_predicted_latency_ends_with_measurements(here: Path, run: Run) -> None:
    quick = ["--set", "latency_ms.protocol.max_seconds=0.1"]
    assert (
        run("latency-model", "lookup", "--networks", "8", "--out", "cpu.json", *quick).status == 0
    )
    model = ["--set", "predicted_latency_ms.model=cpu.json"]
    objectives = ["--objective", "naswot", "--objective", "predicted_latency_ms"]
    bound = ["--constraint", "predicted_latency_ms<=1k"]
    found = run("search", *objectives, *model, *bound, "--trials", "5", "--out", "runs/a")
    assert found.status == 0, found.err
    assert "latency_ms on cpu in place of predicted_latency_ms" in found.err
    assert "Constraints: latency_ms<=1000" in " ".join(found.out.split())
    header, *members = (here / "runs" / "a" / "front.csv").read_text().splitlines()
    assert "latency_ms" in header
    assert "predicted" not in header
    assert members
    assert "predicted_latency_ms" in run("front", "runs/a", "--csv").out.splitlines()[0]
