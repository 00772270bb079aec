"""`motemo report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import note, note_console
from motemo.cli.opened_run import check_finalists, opened_run
from motemo.cli.settings import (
    FinalistsName,
    OpenPage,
    Quiet,
    Run,
    RunSpace,
    RunStorage,
    RunStudy,
    run_space,
)
from motemo.errors import SettingsError
from motemo.finalist import FOLDER

if TYPE_CHECKING:
    from motemo.run_folder import RunFolder


def report(
    *,
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", help="The page.  \\[default: RUN/report.html]")
    ] = None,
    open_page: OpenPage = False,
    name: FinalistsName = FOLDER,
    quiet: Quiet = False,
    space: RunSpace = None,
    storage: RunStorage = None,
    study_name: RunStudy = None,
) -> None:
    """Write one HTML page that says all there is to say of a run.

    The front for every pair of objectives, linked with all tables; progress, importance of genes,
    drawn architectures, trained finalists, what was left out and why, how to reproduce it. It
    needs no network, and can be made while the search still runs.

    [bold]Examples[/bold]

      motemo report runs/search --open

      motemo report runs/search --out for-colleagues.html

      motemo report postgresql+psycopg://me@host/db --study-name motemo --out report.html
    """
    import optuna

    from motemo.files import require_writable, write_atomically
    from motemo.finalist import read_finalists
    from motemo.storage import explained, is_storage_url, load_study, without_password

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = opened_run(run, storage=storage, study_name=study_name)
    is_url = is_storage_url(run)
    if out is None and is_url:
        raise SettingsError("Where to? A storage URL has no folder. Give --out FILE.")
    check_finalists(folder, name)
    path = out or folder.path / "report.html"
    require_writable(path)
    with note_console.status("reading the study") as doing, explained():
        from motemo.rendering.report import read_report, report_html

        content = read_report(
            load_study(folder.storage_url, folder.study_name),
            space=run_space(space),
            finalists=() if is_url else read_finalists(folder.path, name=name),
            estimate=_estimate(folder, name),
            storage=without_password(folder.storage_url),
        )
        doing.update("writing the page")
        write_atomically(path, report_html(content))
    note(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if open_page:
        webbrowser.open(path.resolve().as_uri())


def _estimate(folder: RunFolder, name: str) -> str | None:
    """Return which objective trained accuracy has replaced, if any has."""
    from motemo.records import read_settings
    from motemo.storage import load_study, open_storage

    study_name = f"{folder.study_name}-{name}"
    storage = open_storage(folder.storage_url, must_exist=True)
    if study_name not in {study.study_name for study in storage.get_all_studies()}:
        return None
    rescored = (read_settings(load_study(storage, study_name)) or {}).get("rescored")
    return str(rescored["replaces"]) if isinstance(rescored, dict) else None
