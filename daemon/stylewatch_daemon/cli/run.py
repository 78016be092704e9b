"""`stylewatch run`: the daemon, from its command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.cli import options
from stylewatch_daemon.settings.config import Start


def run(
    context: typer.Context,
    *,
    once: bool = typer.Option(False, "--once", help="Finish all pairs in the inboxes and exit."),
    config_file: options.Config = None,
    inbox: Path | None = typer.Option(
        None, metavar="FOLDER", help="Watch this folder, not those in config.yaml."
    ),
    outbox: Path | None = typer.Option(None, metavar="FOLDER", help="Write the outputs here."),
    state: options.State = None,
    sets: options.Sets = None,
    quiet: options.Quiet = False,
) -> None:
    """Watch the inboxes, and run a job for each pair."""
    from stylewatch_daemon.app.service import Service
    from stylewatch_daemon.cli.report import reporting

    overrides = _overrides(sets, {"inboxes": inbox or outbox, "state": state})
    service = Service(Start(config_file, overrides, inbox, outbox), reporting, quiet=quiet)
    context.obj["debug"] |= service.settings.log.level == "debug"
    if once:
        raise typer.Exit(service.once())
    service.watch()


def _overrides(sets: list[str] | None, folders: Mapping[str, Path | None]) -> dict[str, Any]:
    """Return the settings of `--set` and `--state`; `folders` are those of options, by section.

    Raises UsageError if both set one section.
    """
    overrides = options.parse_sets(sets)
    for section, folder in folders.items():
        if folder is not None and any(key.split(".")[0] == section for key in overrides):
            raise UsageError(f"{section} is given twice, by an option and by --set: leave one out")
    state = folders["state"]
    return overrides if state is None else {**overrides, "state.path": state}
