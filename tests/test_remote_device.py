"""A device of another machine: real servers, real clients, and what can happen to both."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from motemo import host_lock
from motemo.device import Timing, TimingProtocol
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.hardware.latency import Latency
from motemo.hardware.onnx_runtime import cpu
from motemo.hardware.profiles import profile
from motemo.hardware.remote_device import RemoteDevice, remote
from motemo.hardware.server import credentials, messages
from motemo.hardware.server.messages import DEVICE_PATH, MEASURE_PATH, MessageError, Settings
from motemo.testing import check_device

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

SHAPE = (3, 8, 8)
QUICK = TimingProtocol(
    loads=1,
    warmup_runs=0,
    warmup_ms=0,
    min_runs=3,
    max_runs=3,
    max_wall_per_cpu=1e9,
    max_relative_width=1e9,
    max_slowdown=1e9,
    correct_drift=False,
)
STEADY = replace(QUICK, warmup_ms=1500)
"""Takes a second and a half."""
SETTINGS = {"settings": Settings(input_shape=SHAPE, protocol=QUICK).to_json()}


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Server:
    """A process of `motemo serve-device`, with a token, a log and locks of its own."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.folder = folder
        self.token_file = folder / "token"
        self.log_file = folder / f"log{time.monotonic_ns()}"
        command = [sys.executable, "-m", "motemo", "serve-device", "--port", str(port)]
        files = {"XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder), "COLUMNS": "1000"}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--token-file", str(self.token_file), *options],
                stderr=log,
                env={**os.environ, **files},
            )
        found = wait_for(self._place)
        self.port = int(found[2])
        self.address = f"{found[1]}://localhost:{self.port}"

    def _place(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.log
        return re.search(r"at (https?)://[0-9.]+:(\d+)\.", self.log)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    def device(self, **options: Any) -> RemoteDevice:
        return RemoteDevice(address=self.address, token_file=self.token_file, **options)

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=30, trust_env=False)

    def send(self, model: bytes) -> dict[str, Any]:
        """Send a model and return the last line of the answer."""
        with self.http() as client:
            response = client.post(MEASURE_PATH, params=SETTINGS, content=model)
            assert response.status_code == 200, response.text
            return messages.read_object(response.text.splitlines()[-1])

    def measuring_process(self) -> int:
        """Return the id of the process that measures."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                command = (path.parent / "cmdline").read_text()
            except OSError:
                continue  # it has just ended
            if parent == self.process.pid and "spawn_main" in command:
                return int(path.parent.name)
        raise LookupError("nothing measures")

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=30)


def wait_for(found: Callable[[], Any], *, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = ("--max-mb", "2", "--max-seconds", "5", "--max-silence", "1", "--max-waiting", "2")
    started = Server(tmp_path_factory.mktemp("server"), *limits)
    yield started
    started.end()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers for one test."""
    started = []

    def start(*options: str, port: int = 0) -> Server:
        started.append(Server(tmp_path, *options, port=port))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def model_of(*nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = ()) -> bytes:
    """Return a model from `images` to `logits`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, *SHAPE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, None])],
        weights,
    )
    opset = [helper.make_opsetid("", 18)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    return model


FLATTEN = helper.make_node("Flatten", ["out"], ["logits"])
GOOD = model_of(helper.make_node("Relu", ["images"], ["out"]), FLATTEN)


OTHER_SHAPE = GOOD.replace(b"\x08\x03\n\x02\x08\x08\n", b"\x08\x04\n\x02\x08\x08\n")


def endless() -> bytes:
    """Return a model that runs for hours."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Relu", ["x"], ["y"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *SHAPE]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, *SHAPE]),
        ],
    )
    times = numpy_helper.from_array(np.array(10**12), "times")
    loop = helper.make_node("Loop", ["times", "", "images"], ["out"], body=body)
    return model_of(loop, FLATTEN, weights=(times,))


def greedy() -> bytes:
    """Return a model that needs 40 GB."""
    size = numpy_helper.from_array(np.array([10**10]), "size")
    zeros = helper.make_node("ConstantOfShape", ["size"], ["zeros"])
    total = helper.make_node("ReduceSum", ["zeros"], ["total"])
    add = helper.make_node("Add", ["total", "images"], ["out"])
    return model_of(zeros, total, add, FLATTEN, weights=(size,))


def outside(path: str) -> onnx.TensorProto:
    """Return a weight that lies in a file."""
    weight = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=path)
    return weight


# It measures


def test_the_contract_of_a_device(own_server: Callable[..., Server]) -> None:
    check_device(own_server().device())


def test_it_says_what_the_device_there_says(server: Server) -> None:
    device = server.device()
    assert device.identity() == cpu().identity()
    assert not Latency(device=device).occupies_host


def test_all_of_a_timing_arrives(server: Server) -> None:
    timing = server.device().time(network(), input_shape=SHAPE, protocol=QUICK)
    assert len(timing.wall_ms) == len(timing.cpu_ms) == 3
    assert timing.reference_ms
    assert timing.export_ms is not None
    assert timing.load_ms is not None


def test_each_measurement_has_a_line_in_the_log(server: Server) -> None:
    before = len(server.log)
    server.send(GOOD)
    assert re.search(r"127\.0\.0\.1 sent 0\.00 MB: \S+ ms, 3 runs", server.log[before:])


def test_neither_process_of_the_server_loads_torch(server: Server) -> None:
    assert "timing" in server.send(GOOD)
    for process in (server.process.pid, server.measuring_process()):
        assert "libtorch" not in Path(f"/proc/{process}/maps").read_text()
    assert "onnxruntime" in Path(f"/proc/{server.measuring_process()}/maps").read_text()


def test_it_waits_for_what_trains_there(
    server: Server, monkeypatch: pytest.MonkeyPatch, background: ThreadPoolExecutor
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(server.folder))
    with host_lock.training():
        answer = background.submit(server.send, GOOD)
        time.sleep(0.5)
        assert not answer.done()
    assert "timing" in answer.result(timeout=30)


def test_a_profile_that_is_served_and_one_that_names_it(
    own_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "devices.toml"
    monkeypatch.setenv("MOTEMO_DEVICES", str(file))
    file.write_text('[quick]\nkind = "cpu"\nprecision = "int8"\nbatch = 2')
    server = own_server("--device", "quick")
    remote_table = f'kind = "remote"\naddress = "{server.address}"'
    file.write_text(f'[pi]\n{remote_table}\ntoken_file = "{server.token_file}"')
    device = profile("pi").create()
    identity = device.identity()
    assert (device.name, device.batch, identity["precision"]) == ("pi", 2, "int8")
    timing = device.time(network(), input_shape=SHAPE, protocol=QUICK)
    assert "output_difference" in timing.notes


def test_measured_from_the_command_line(server: Server, tmp_path: Path) -> None:
    genotype = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    options = ["--objective", "latency_ms", "--device", "remote", "--input-shape", "3x8x8"]
    environment = {
        **os.environ,
        "MOTEMO_DEVICE_ADDRESS": server.address,
        credentials.VARIABLE: server.token,
    }
    done = subprocess.run(
        [sys.executable, "-m", "motemo", "measure", "--arch", genotype, "--json", *options],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    [record] = json.loads(done.stdout)
    assert record["value"] > 0
    assert server.token not in done.stdout + done.stderr


# Models that are none, or too much


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"", "no ONNX model"),
        (b"\x00garbage" * 100, "no ONNX model"),
        (onnx.ModelProto(ir_version=10).SerializeToString(), "no graph"),
        (
            model_of(
                helper.make_node("Add", ["images", "w"], ["logits"]),
                weights=(outside("/etc/passwd"),),
            ),
            "'w' lies outside",
        ),
        (
            model_of(
                helper.make_node("Constant", [], ["c"], value=outside("weights.bin")),
                helper.make_node("Add", ["images", "c"], ["logits"]),
            ),
            "'w' lies outside",
        ),
        (
            model_of(helper.make_node("EPContext", ["images"], ["logits"], domain="com.microsoft")),
            "EPContext is of the domain 'com.microsoft'",
        ),
        (model_of(helper.make_node("Nonsense", ["images"], ["logits"])), "cannot load"),
        (GOOD.replace(b"images", b"sounds"), "needs a network from images"),
        (OTHER_SHAPE, "does not run"),
    ],
)
def test_a_model_that_is_none(server: Server, model: bytes, reason: str) -> None:
    answer = server.send(model)
    assert answer["error"] == "evaluation"
    assert reason in answer["message"]
    assert "timing" in server.send(GOOD)


def test_a_network_that_is_too_large_is_not_sent(server: Server) -> None:
    large = nn.Sequential(nn.Flatten(), nn.Linear(192, 4000))
    with pytest.raises(EvaluationError, match=r"has 3\.1 MB; the device accepts 2 MB"):
        server.device().time(large, input_shape=SHAPE, protocol=QUICK)


def test_a_model_that_is_too_large(server: Server) -> None:
    with server.http() as client:
        declared = client.post(MEASURE_PATH, params=SETTINGS, content=b"x" * 2_000_001)
        streamed = client.post(MEASURE_PATH, params=SETTINGS, content=iter([b"x" * 10_000] * 201))
    for response in (declared, streamed):
        assert (response.status_code, response.text) == (413, "This device accepts models of 2 MB.")
    assert "timing" in server.send(GOOD)


def test_a_model_that_takes_too_long(server: Server) -> None:
    answer = server.send(endless())
    assert answer["error"] == "evaluation"
    assert "took longer than 5 s" in answer["message"]
    assert "timing" in server.send(GOOD)


def test_a_host_that_is_too_busy_says_so_in_time(server: Server) -> None:
    never = replace(QUICK, max_relative_width=1e-9, patience_seconds=1000)
    with pytest.raises(EvaluationError, match=r"too busy for a figure.* within 2\.5 s"):
        server.device().time(network(), input_shape=SHAPE, protocol=never)


def test_a_model_that_needs_too_much_memory(own_server: Callable[..., Server]) -> None:
    server = own_server("--max-memory-mb", "2000")
    answer = server.send(greedy())
    assert answer["error"] == "evaluation"
    assert "timing" in server.send(GOOD)


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "[]",
        "{}",
        "[" * 3000,
        SETTINGS["settings"].replace("8,8", "8"),
        SETTINGS["settings"].replace('"max_runs":3', '"max_runs":3.5'),
        SETTINGS["settings"].replace('"max_runs":3', '"max_runs":0'),
        SETTINGS["settings"].replace('"max_runs":3', '"max_runs":NaN'),
        SETTINGS["settings"].replace('"max_runs":3', '"most_runs":3'),
    ],
)
def test_malformed_settings(server: Server, settings: str) -> None:
    with server.http() as client:
        response = client.post(MEASURE_PATH, params={"settings": settings}, content=GOOD)
    assert response.status_code == 400
    assert response.text.startswith("Malformed request: ")


def test_something_else_is_asked_for(server: Server) -> None:
    with server.http() as client:
        assert client.get("/").status_code == 404
        assert client.get(MEASURE_PATH).status_code == 405
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    assert "timing" in server.send(GOOD)


# Who may


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer x", "Basic {token}", "Bearer {token}x", "Bearer é"]
)
def test_wrong_credentials(server: Server, header: str | None) -> None:
    given = "" if header is None else header.format(token=server.token)
    coded = {} if header is None else {b"Authorization": given.encode("latin-1")}
    with server.http() as client:
        client.headers.pop("Authorization")
        about = client.get(DEVICE_PATH, headers=coded)
        answer = client.post(MEASURE_PATH, params=SETTINGS, content=GOOD, headers=coded)
    for response in (about, answer):
        assert (response.status_code, response.text) == (401, "Wrong token.")


def test_a_client_with_a_wrong_token(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.VARIABLE, "not-the-right-token")
    with pytest.raises(DeviceError, match="refuses the token") as caught:
        RemoteDevice(address=server.address)
    assert "not-the-right-token" not in str(caught.value)


def test_a_client_without_a_token(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No token for the device"):
        RemoteDevice(address=server.address, token_file=tmp_path / "none")


def test_the_token_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.VARIABLE, server.token)
    monkeypatch.setenv("MOTEMO_DEVICE_ADDRESS", server.address)
    device = remote()
    assert device.time(network(), input_shape=SHAPE, protocol=QUICK).wall_ms
    assert server.token not in repr(device) + repr(vars(device)) + str(device.identity())


def test_the_token_is_made_for_its_owner_alone(server: Server) -> None:
    assert server.token_file.stat().st_mode & 0o777 == 0o600
    assert len(server.token) >= 40
    assert f"Made a token: {server.token_file}" in server.log
    assert server.token not in server.log


def test_a_token_that_others_can_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    credentials.make_token(file)
    assert credentials.find_token(file)
    assert not caplog.records
    file.chmod(0o644)
    credentials.find_token(file)
    assert "chmod 600" in caplog.text


@pytest.mark.parametrize("content", ["", "too-brief", "two words of some length", "é" * 20])
def test_a_malformed_token(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(SettingsError, match="must be one line of at least 16") as caught:
        credentials.find_token(file)
    assert not content or content not in str(caught.value)


def certificate(folder: Path) -> tuple[Path, Path]:
    made = folder / "cert.pem", folder / "key.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", str(made[0]), "-keyout", str(made[1])]
    try:
        subprocess.run(["openssl", *options.split(), *subject, *files], check=True, stderr=-3)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return made


def test_encrypted_and_verified(own_server: Callable[..., Server], tmp_path: Path) -> None:
    public, private = certificate(tmp_path)
    server = own_server("--certificate", str(public), "--key", str(private))
    assert server.address.startswith("https")
    assert server.device(ca_file=public).time(network(), input_shape=SHAPE, protocol=QUICK).wall_ms
    with pytest.raises(DeviceError, match="certificate that is not trusted: self-signed"):
        server.device()
    with pytest.raises(DeviceError, match="cannot be reached"):
        RemoteDevice(address=f"http://localhost:{server.port}", token_file=server.token_file)


def test_a_warning_where_the_token_travels_in_the_clear(
    server: Server, own_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DeviceError, match="cannot be reached"):
        RemoteDevice(address="http://host.invalid:1", token_file=server.token_file)
    assert "travels to host.invalid in the clear" in caplog.text
    assert "in the clear" not in server.log
    assert "the token travels in the clear" in own_server("--host", "0.0.0.0").log  # noqa: S104


# Several at once, and those who leave


def head(server: Server, length: int) -> str:
    """Return the head of a request to measure a model of so many bytes."""
    path = httpx.URL(MEASURE_PATH, params=SETTINGS).raw_path.decode()
    token = f"Authorization: Bearer {server.token}"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{token}\r\nContent-Length: {length}\r\n\r\n"


def occupy(server: Server) -> socket.socket:
    """Have an endless model measured, or let it wait, and return its connection."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    model = endless()
    connection.sendall(head(server, len(model)).encode() + model)
    received = b""
    while b'"state"' not in received:
        received += connection.recv(1000)
    return connection


def test_two_clients_at_once(server: Server, background: ThreadPoolExecutor) -> None:
    device = server.device()
    others = [background.submit(server.send, GOOD) for _ in range(2)]
    assert len(device.time(network(), input_shape=SHAPE, protocol=QUICK).wall_ms) == 3
    assert all("timing" in other.result(timeout=60) for other in others)


def test_more_clients_than_may_wait(
    server: Server, background: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    connections = [occupy(server) for _ in range(3)]
    with server.http() as client:
        response = client.post(MEASURE_PATH, params=SETTINGS, content=GOOD)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    device = server.device()
    patient = background.submit(device.time, network(), input_shape=SHAPE, protocol=QUICK)
    wait_for(lambda: "2 models are waiting already" in caplog.text)
    for connection in connections:
        connection.close()
    assert len(patient.result(timeout=60).wall_ms) == 3


def test_a_client_that_leaves_in_the_middle_of_a_measurement(
    own_server: Callable[..., Server],
) -> None:
    server = own_server()
    connection = occupy(server)
    before = server.measuring_process()
    connection.close()
    wait_for(lambda: "left before its model was measured" in server.log)
    assert "timing" in server.send(GOOD)
    assert server.measuring_process() != before


def test_a_client_that_leaves_in_the_middle_of_its_model(server: Server) -> None:
    for _ in range(4):  # more than may wait
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head(server, 900_000).encode() + b"x" * 1000)
    assert "timing" in server.send(GOOD)


@pytest.mark.parametrize(
    ("sent", "status"), [("", b"400"), ("POST / HTT", b"400"), ("{head}x", b"408")]
)
def test_a_client_that_falls_silent(server: Server, sent: str, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent.format(head=head(server, 9)).encode())
        assert "timing" in server.send(GOOD)
        assert connection.recv(1000).split()[1] == status


# What is killed


def test_the_measuring_process_is_killed(
    own_server: Callable[..., Server],
    background: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = own_server()
    device = server.device()
    answer = background.submit(device.time, network(), input_shape=SHAPE, protocol=STEADY)
    time.sleep(0.4)
    os.kill(server.measuring_process(), signal.SIGKILL)
    assert len(answer.result(timeout=60).wall_ms) == 3
    assert "the measuring process was ended by signal 9. Trying again in" in caplog.text


def test_a_network_that_kills_the_measuring_process_each_time(
    own_server: Callable[..., Server], background: ThreadPoolExecutor
) -> None:
    server = own_server()
    device = server.device(patience_seconds=60)
    slow = replace(QUICK, warmup_ms=60_000)
    answer = background.submit(device.time, network(), input_shape=SHAPE, protocol=slow)
    killed = 0
    while not answer.done():
        process = wait_for(lambda: busy_process(server, answer), seconds=30)
        if not answer.done():
            os.kill(process, signal.SIGKILL)
            killed += 1
            time.sleep(0.3)
    with pytest.raises(EvaluationError, match="signal 9, 3 times in a row: the network may crash"):
        answer.result()
    assert killed == 3
    assert "timing" in server.send(GOOD)


def busy_process(server: Server, answer: Future[Timing]) -> int | bool:
    """Return the measuring process once it has measured for a while, or True if all is over."""
    if answer.done():
        return True
    try:
        process = server.measuring_process()
        ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11]
    except (LookupError, OSError):
        return False
    return process if int(ticks) > 20 else False


def test_the_server_is_killed_and_comes_back(
    own_server: Callable[..., Server],
    background: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = own_server()
    device = server.device()
    answer = background.submit(device.time, network(), input_shape=SHAPE, protocol=STEADY)
    time.sleep(0.4)
    process = server.measuring_process()
    server.end(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{process}").exists(), seconds=10)
    wait_for(lambda: "cannot be reached" in caplog.text)
    own_server(port=server.port)
    assert len(answer.result(timeout=60).wall_ms) == 3
    assert re.search(r"cannot be reached: .*Trying again in", caplog.text)


def test_the_server_is_killed_and_stays_away(
    own_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server()
    device = server.device(patience_seconds=1)
    server.end(signal.SIGKILL)
    with pytest.raises(DeviceError, match=r"cannot be reached.* for 1 s\. Look after"):
        device.time(network(), input_shape=SHAPE, protocol=QUICK)
    assert "Trying again" in caplog.text


def test_another_device_comes_back(own_server: Callable[..., Server]) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two cores")
    server = own_server()
    device = server.device()
    server.end()
    own_server("--threads", "2", port=server.port)
    with pytest.raises(DeviceError, match="not the one that it was: threads was 1 and is 2"):
        device.time(network(), input_shape=SHAPE, protocol=QUICK)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_server_is_ended(own_server: Callable[..., Server], number: int, status: int) -> None:
    server = own_server()
    process = server.measuring_process()
    connection = occupy(server)
    server.end(number)
    connection.settimeout(30)
    assert b'"error":"ending"' in connection.recv(10_000)
    assert server.process.returncode == status
    assert not Path(f"/proc/{process}").exists()
    assert "Traceback" not in server.log
    connection.close()


# Settings


@pytest.mark.parametrize(
    "address",
    ["", "pi", "pi:8765", "ftp://pi", "http://", "http://me:word@pi", "http://pi/a", "http://pi:x"],
)
def test_a_malformed_address(address: str) -> None:
    with pytest.raises(SettingsError, match="Malformed address") as caught:
        RemoteDevice(address=address)
    assert "word" not in str(caught.value)


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOTEMO_DEVICE_ADDRESS", raising=False)
    with pytest.raises(DeviceError, match="needs an address"):
        remote()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(DeviceError, match=r"pip install 'motemo\[remote\]'"):
        server.device()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "remote"], "needs an address"),
        (["--device", "nothing"], "Unknown device 'nothing'"),
        (["--threads", "10000"], "at most one per core"),
        (["--host", "host.invalid"], "Cannot listen at host.invalid"),
        (["--key", "key.pem"], "--key needs --certificate"),
        (["--certificate", "none.pem"], "Cannot use the certificate none.pem"),
        (["--max-mb", "0"], "must be positive"),
    ],
)
def test_a_server_that_cannot_start(tmp_path: Path, options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "motemo", "serve-device", "--port", "0", *options]
    environment = {**os.environ, "COLUMNS": "1000", credentials.VARIABLE: "x" * 20}
    environment.pop("MOTEMO_DEVICE_ADDRESS", None)
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# Messages


def test_what_is_written_is_read() -> None:
    timing = Timing(wall_ms=(1.5, 2.0), reference_ms=(0.25,), load_ms=3.0, notes={"a": [1]})
    assert messages.read(Timing, messages.write(timing)) == timing
    assert messages.read(TimingProtocol, messages.write(QUICK)) == QUICK


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wall_ms": [1.0], "novel": 1}, "no novel in this version of motemo; install the same"),
        ({"wall_ms": [1.0, "2"]}, "malformed Timing: '2' is not of type"),
        ({"wall_ms": 1.0}, "malformed Timing"),
        ({"wall_ms": [True]}, "malformed Timing"),
        ({}, "malformed Timing"),
        ([], "must be an object"),
    ],
)
def test_a_timing_of_another_version(given: object, message: str) -> None:
    with pytest.raises(MessageError, match=message):
        messages.read(Timing, given)
