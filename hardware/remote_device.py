"""A device of another machine, where `motemo serve-device` runs. The one file that imports httpx.

Nothing of the answers is executed or unpickled: they are JSON.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from motemo.device import Device, Timing, TimingProtocol
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.hardware.server import messages
from motemo.hardware.server.credentials import VARIABLE, default_file, find_token
from motemo.hardware.server.messages import MessageError, Problem, Settings
from motemo.space import Json, Shape

if TYPE_CHECKING:
    import httpx
    from torch import nn

ADDRESS_VARIABLE = "MOTEMO_DEVICE_ADDRESS"
_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 6 * messages.HEARTBEAT_SECONDS
_PATIENT_LINES = 12
"""After so many signs of life from a device that is not free, say why it takes long."""
_MOST_DEATHS = 3
_LONGEST_WAIT_SECONDS = 30.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RemoteDevice(Device):
    """A device that another machine offers by `motemo serve-device`.

    What the other machine says of itself, when this is created, is the identity; a figure of a
    machine that says something else later is refused. The token is read from its file or from
    the environment variable MOTEMO_DEVICE_TOKEN whenever it is needed, and kept nowhere.

    Attributes:
        address: Where the other machine serves, as in `https://pi.local:8765`.
        name: Name of the device.
        token_file: File of the token; else the environment variable, else the user's own file.
        ca_file: PEM file of the authority that signed the other machine's certificate, or of the
            certificate itself; else the authorities that this machine trusts.
        patience_seconds: How long to try again, for one network, while the other machine cannot
            be reached or too many others wait there.
        batch: Images of one run, as the other machine is set.

    Raises:
        SettingsError: The address is malformed, or there is no token.
        DeviceError: The device cannot be reached or refuses the token.
    """

    address: str
    name: str = "remote"
    token_file: Path | None = None
    ca_file: Path | None = None
    patience_seconds: float = 300.0
    batch: int = field(init=False, default=1)
    occupies_host: bool = field(init=False, default=False)
    _about: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _checked(self.address))
        object.__setattr__(self, "_about", self._describe())
        object.__setattr__(self, "batch", self._about["identity"].get("batch", 1))

    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        """Send the network as an ONNX model, and return what the other machine measured.

        Raises:
            DeviceError: The other machine is not reached, refuses the token, or is another one.
            EvaluationError: The network cannot be measured there.
        """
        from motemo.hardware.calibration import calibration_images, settled
        from motemo.onnx.graph import build_onnx

        start = time.perf_counter()
        if self._about["identity"].get("precision") != "float32":
            network = settled(network, calibration_images(None, input_shape, batch=self.batch))
        model = build_onnx(network, input_shape, batch=self.batch).SerializeToString()
        export_ms = (time.perf_counter() - start) * 1e3
        messages.require_network(model, self._about["max_mb"])
        settings = Settings(input_shape=input_shape, protocol=protocol)
        return replace(self._measure_patiently(model, settings), export_ms=export_ms)

    def identity(self) -> dict[str, Json]:
        """Return what the other machine says of itself: host, processor, runtime, versions."""
        identity: dict[str, Json] = json.loads(json.dumps(self._about["identity"]))
        return identity

    def _measure_patiently(self, model: bytes, settings: Settings) -> Timing:
        deadline = time.monotonic() + self.patience_seconds
        deaths = 0
        for attempt in count():
            try:
                return self._measure(model, settings)
            except _NotNowError as error:
                deaths += error.died
                if deaths == _MOST_DEATHS:
                    raise EvaluationError(
                        f"{error}, {deaths} times in a row: the network may crash the runtime "
                        "there, or need too much memory"
                    ) from error
                wait = error.wait_seconds or min(0.5 * 2**attempt, _LONGEST_WAIT_SECONDS)
                if time.monotonic() + wait > deadline:
                    raise DeviceError(
                        f"{error}, for {self.patience_seconds:g} s. Look after 'motemo "
                        "serve-device' there, then continue; `patience_seconds` waits longer."
                    ) from error
                _logger.warning("%s. Trying again in %.1f s.", error, wait)
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _measure(self, model: bytes, settings: Settings) -> Timing:
        """Send a model once.

        Raises:
            _NotNowError: It may work later.
        """
        with self._errors(), self._client() as client:
            parameters = {"settings": settings.to_json()}
            with client.stream(
                "POST", messages.MEASURE_PATH, params=parameters, content=model
            ) as response:
                self._require_success(response)
                outcome = self._outcome(response)
            if "timing" in outcome:
                self._require_same(outcome.get("identity"))
                return messages.read(Timing, outcome["timing"])
        match outcome.get("error"):
            case Problem.EVALUATION:
                raise EvaluationError(f"{outcome['message']} (on {self.address})")
            case Problem.DEVICE:
                raise DeviceError(f"{self._here} cannot measure: {outcome['message']}")
            case Problem.DIED:
                raise _NotNowError(f"{self._here}: {outcome['message']}", died=True)
            case Problem.ENDING:
                raise _NotNowError(f"{self._here}: {outcome['message']}")
        raise _NotNowError(f"{self._here} broke off its answer")

    def _outcome(self, response: httpx.Response) -> dict[str, Any]:
        """Read an answer until the last line, or until it breaks off."""
        for number, text in enumerate(filter(None, response.iter_lines())):
            told = messages.read_object(text)
            if "state" not in told:
                return told
            if number == _PATIENT_LINES and told["state"] == "waiting":
                _logger.warning(
                    "%s measures others, or something trains there. Waiting.", self._here
                )
        return {}

    def _describe(self) -> dict[str, Any]:
        try:
            with self._errors(), self._client() as client:
                response = client.get(messages.DEVICE_PATH)
                self._require_success(response)
                about = messages.read_object(response.content)
        except _NotNowError as error:
            raise DeviceError(
                f"{error}. Is 'motemo serve-device' running there, and the address right?"
            ) from error
        if not isinstance(about.get("identity"), dict) or "max_mb" not in about:
            raise DeviceError(f"{self._here} does not say what it is. Is it another service?")
        return about

    @property
    def _here(self) -> str:
        return f"The device at {self.address}"

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        httpx = _httpx()
        token = find_token(self.token_file)
        if token is None:
            raise SettingsError(
                f"No token for the device at {self.address}. Copy the token file that 'motemo "
                f"serve-device' made to {self.token_file or default_file()}, or set {VARIABLE}."
            )
        with httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
            verify=_trusted(self.ca_file),
            trust_env=False,  # neither proxies nor .netrc: the token is for the device alone
        ) as client:
            yield client

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what can go wrong on the way into errors of ours.

        Raises:
            DeviceError: It will not work later either.
            _NotNowError: It may.
        """
        httpx = _httpx()
        try:
            yield
        except httpx.TransportError as error:
            distrust = _distrust(error)
            if distrust:
                raise DeviceError(
                    f"{self._here} shows a certificate that is not trusted: {distrust}. Give the "
                    "file of the certificate, or of who signed it, by `ca_file`."
                ) from error
            said = str(error) or type(error).__name__
            raise _NotNowError(f"{self._here} cannot be reached: {said}") from error
        except MessageError as error:
            raise DeviceError(f"{self._here} answers what cannot be read: {error}.") from error

    def _require_success(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        said = response.read()[:500].decode(errors="replace").strip().rstrip(".")
        match response.status_code:
            case 401:
                raise DeviceError(
                    f"{self._here} refuses the token. Copy the token file from there again, or "
                    f"set {VARIABLE}."
                )
            case 413:
                raise EvaluationError(f"{said} (the device at {self.address})")
            case 408 | 502 | 503 | 504:
                later = response.headers.get("retry-after", "")
                wait = float(later[:4]) if later.isdecimal() else None
                raise _NotNowError(f"{self._here} is busy: {said}", wait_seconds=wait)
        raise DeviceError(f"{self._here} answers {response.status_code}: {said}")

    def _require_same(self, identity: object) -> None:
        expected = self._about["identity"]
        if identity == expected:
            return
        now = identity if isinstance(identity, dict) else {}
        changes = [
            f"{name} was {expected.get(name)!r} and is {now.get(name)!r}"
            for name in sorted(expected.keys() | now.keys())
            if expected.get(name) != now.get(name)
        ]
        raise DeviceError(
            f"{self._here} is not the one that it was: {'; '.join(changes)}. Figures of both "
            "cannot be compared: set it up as it was, or begin a new study."
        )


def remote(
    *,
    address: str | None = None,
    token_file: str | None = None,
    ca_file: str | None = None,
    patience_seconds: float = 300.0,
    name: str = "remote",
) -> RemoteDevice:
    """Return the device at an address, or at that of the variable MOTEMO_DEVICE_ADDRESS.

    Raises:
        SettingsError: The address is malformed, or there is no token.
        DeviceError: No address is given, or nothing is reached there.
    """
    import os

    found = address or os.environ.get(ADDRESS_VARIABLE)
    if not found:
        raise DeviceError(
            "The remote device needs an address. Start 'motemo serve-device' on the target, then "
            f"set {ADDRESS_VARIABLE}=http://HOST:{messages.DEFAULT_PORT}, or write a device "
            "profile with `address`."
        )
    return RemoteDevice(
        address=found,
        name=name,
        token_file=None if token_file is None else Path(token_file).expanduser(),
        ca_file=None if ca_file is None else Path(ca_file).expanduser(),
        patience_seconds=patience_seconds,
    )


class _NotNowError(Exception):
    """Something that may work later."""

    def __init__(
        self, message: str, *, wait_seconds: float | None = None, died: bool = False
    ) -> None:
        self.wait_seconds = wait_seconds
        self.died = died
        super().__init__(message)


def _httpx() -> Any:  # noqa: ANN401  (a module)
    try:
        import httpx
    except ImportError as error:
        raise DeviceError(
            "A remote device needs httpx. Install it by: pip install 'motemo[remote]'"
        ) from error
    return httpx


@lru_cache(maxsize=4)
def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"Cannot read the certificates in {ca_file}: {error}.") from error


def _distrust(error: BaseException) -> str | None:
    """Return why a certificate was refused, if that is what an error is about."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return None


def _checked(address: str) -> str:
    """Return an address in its plain form, and warn where the token would travel in the clear."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or messages.DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if (
        host is None
        or parts.scheme not in ("http", "https")
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or parts.username is not None
    ):
        raise SettingsError(
            "Malformed address of a remote device. Write http://HOST:PORT or https://HOST:PORT, "
            "and nothing else; the token comes from a file or the environment."
        )
    if parts.scheme == "http" and not is_this_machine(host):
        _logger.warning(
            "The token travels to %s in the clear: use https (a certificate there), or an SSH "
            "tunnel, unless you trust the network.",
            host,
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}"


def is_this_machine(host: str) -> bool:
    """Return whether what is sent to a host does not leave this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
