"""`motemo dashboard`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import note, warn
from motemo.cli.opened_run import opened_run
from motemo.cli.settings import OpenPage, Quiet, Run, RunSpace, RunStorage, RunStudy, run_space
from motemo.cli.signals import ended_in_order
from motemo.errors import SettingsError

if TYPE_CHECKING:
    from motemo.dashboard.server import DashboardApp, DashboardServer
    from motemo.space import Space

_NICENESS = 5


def dashboard(
    *,
    run: Run,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; 0.0.0.0 is every network of this machine."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = (
        8080
    ),
    open_page: OpenPage = False,
    storage: RunStorage = None,
    study_name: RunStudy = None,
    space: RunSpace = None,
    quiet: Quiet = False,
) -> None:
    """Show a run in Optuna Dashboard, while it searches or later, with everything in place.

    Each trial has a note (its values, where it stands, why it was pruned), its drawn architecture,
    the curve of its training and its models; the study has the front with its spreads and the
    hypervolume. The study is only read: a search is not disturbed, and nothing can be changed.

    [bold]Examples[/bold]

      motemo dashboard runs/search --open

      motemo dashboard postgresql+psycopg://me@host/db --study-name motemo --port 8081
    """
    app, page = _application(run, storage, study_name, run_space(space))
    server = _listening(app, host, port)
    _yield_to_searches()
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{server.server_port}{page}"
    with ended_in_order():
        try:
            _welcome(address, host)
            if open_page:
                typer.launch(address)
            server.serve_forever()
        except KeyboardInterrupt:
            note("ended")
        finally:
            server.server_close()


def _application(
    run: str, storage: str | None, study_name: str | None, space: Space | None
) -> tuple[DashboardApp, str]:
    """Return the application on the study of a run, and the path of the study's page."""
    import optuna

    from motemo.records import read_front
    from motemo.storage import explained, is_storage_url, load_study, open_storage

    try:
        from motemo.dashboard.server import DashboardApp
    except ImportError as error:
        raise SettingsError(
            f"motemo dashboard needs {error.name}. Install it by: pip install 'motemo[dashboard]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = opened_run(run, storage=storage, study_name=study_name)
    source = open_storage(opened.storage_url, must_exist=True)
    with explained():
        study = load_study(source, opened.study_name)
        read_front(study, space=space)  # now, so that what is wrong is said at once
    folder = None if is_storage_url(run) else opened.path
    app = DashboardApp.of(source, opened.study_name, space=space, folder=folder)
    return app, f"/dashboard/studies/{study._study_id}"


def _listening(app: DashboardApp, host: str, port: int) -> DashboardServer:
    from motemo.dashboard.server import DashboardServer

    return DashboardServer.listening(app, host, port)


def _yield_to_searches() -> None:
    """Let searches on this machine have the processor first."""
    if sys.platform != "win32":
        given = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(given, _NICENESS))


def _welcome(address: str, host: str) -> None:
    from motemo.hardware.remote_device import is_this_machine

    note(f"The dashboard is at {address} and follows the search. Ctrl-C ends it.")
    if not is_this_machine(host):
        warn(
            f"Warning: whoever reaches port {address} sees this study; there is no password. "
            "Listen on 127.0.0.1 and use an SSH tunnel, unless you trust the network."
        )
