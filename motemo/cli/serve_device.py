"""`motemo serve-device`."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import note, warn
from motemo.cli.settings import Quiet
from motemo.cli.signals import ended_in_order
from motemo.errors import DeviceError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from motemo.space import Json

_SHOWN = ("name", "provider", "threads", "precision", "batch", "runtime", "host", "processor")


def serve_device(
    *,
    device: Annotated[
        str,
        typer.Option(
            "--device", help="Device of this machine to offer; one that runs ONNX Runtime."
        ),
    ] = "cpu",
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads of one run.  \\[default: 1]")
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; 0.0.0.0 is every network of this machine."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = (
        8765
    ),
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help="File of the token; made if it does not exist.  \\[default: the variable "
            "MOTEMO_DEVICE_TOKEN, else ~/.config/motemo/device_token]",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="PEM file of this machine's certificate, for https."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="PEM file of the certificate's key.")
    ] = None,
    max_mb: Annotated[float, typer.Option("--max-mb", help="Most megabytes of a model.")] = 64.0,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", help="Most seconds of a measurement.")
    ] = 120.0,
    max_memory_mb: Annotated[
        int | None,
        typer.Option(
            "--max-memory-mb",
            help="Most megabytes of memory of the measuring process.  \\[default: no limit]",
        ),
    ] = None,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting", help="Most models that wait while one is measured; each is in memory."
        ),
    ] = 8,
    max_silence: Annotated[
        float,
        typer.Option("--max-silence", help="Most seconds of silence within a request."),
    ] = 10.0,
    quiet: Quiet = False,
) -> None:
    """Let searches on other machines measure on this one.

    Run it on the target: a Raspberry Pi, another server. It needs no torch there. The search
    sends ONNX models; each is measured in a process of its own, one at a time.

    [bold]On the target[/bold]

      motemo serve-device --threads 4

    [bold]Where the search runs[/bold], through an SSH tunnel (first copy the token file)

      scp pi:.config/motemo/device_token ~/.config/motemo/

      ssh -N -L 8765:localhost:8765 pi &

      MOTEMO_DEVICE_ADDRESS=http://localhost:8765 motemo search --device remote

    Without a tunnel: --host 0.0.0.0 with --certificate and --key, and https:// in the address.
    """
    try:
        from motemo.hardware.server.app import Limits, serve
        from motemo.hardware.server.supervisor import Supervisor
    except ImportError as error:
        raise DeviceError(
            f"motemo serve-device needs {error.name}. Install it by: pip install 'motemo[remote]'"
        ) from error
    limits = Limits(
        mb=max_mb,
        seconds=max_seconds,
        waiting=max_waiting,
        memory_mb=max_memory_mb,
        silent_seconds=max_silence,
    )
    token = _token(token_file)
    _check_certificate(certificate, key)
    _show_log()
    options = {} if threads is None else {"threads": threads}
    supervisor = Supervisor(device, options, memory_mb=max_memory_mb, seconds=max_seconds)

    async def run() -> None:
        try:
            await supervisor.start()
            with _listen(host, port) as listener:
                _welcome(supervisor.identity, listener, secure=certificate is not None)
                await serve(
                    supervisor,
                    listener,
                    token=token,
                    limits=limits,
                    certificate=certificate,
                    key=key,
                )
        finally:
            supervisor.stop()

    with ended_in_order():
        try:
            asyncio.run(run())
        except KeyboardInterrupt:
            note("ended")


def _token(file: Path | None) -> str:
    from motemo.hardware.server.credentials import default_file, find_token, make_token

    token = find_token(file)
    if token is None:
        place = file or default_file()
        make_token(place)
        note(
            f"Made a token: {place}. Copy this file to the same place (or give it as token_file) "
            "where the search runs; whoever has it may measure here."
        )
        token = find_token(place)
    if token is None:
        raise SettingsError(f"The token file {file or default_file()} vanished. Start again.")
    return token


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    import ssl

    if certificate is None:
        if key is not None:
            raise SettingsError("--key needs --certificate. Give both, or neither.")
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"Cannot use the certificate {certificate} with the key {key or certificate}: {error}."
        ) from error


def _show_log() -> None:
    """Let the service say on standard error what it does, with the time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("motemo.hardware")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logging.getLogger("uvicorn").addHandler(handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"Cannot listen at {host} port {port}: {error}. Give another --host or --port."
        ) from error


def _welcome(identity: Mapping[str, Json], listener: socket.socket, *, secure: bool) -> None:
    from motemo.hardware.remote_device import is_this_machine

    host, port = listener.getsockname()[:2]
    what = ", ".join(f"{name} {identity[name]}" for name in _SHOWN if name in identity)
    shown = f"[{host}]" if ":" in host else host
    note(f"Serving {what}")
    note(f"at {'https' if secure else 'http'}://{shown}:{port}. Ctrl-C ends it.")
    if not secure and not is_this_machine(host):
        warn(
            "Without --certificate the token travels in the clear. Give one, or listen "
            "on 127.0.0.1 and use an SSH tunnel, unless you trust the network."
        )
