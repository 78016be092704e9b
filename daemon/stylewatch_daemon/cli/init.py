"""`stylewatch init`: make a config.yaml, an inbox and an outbox for this user."""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.base.errors import OutputError, UsageError
from stylewatch_daemon.cli import service
from stylewatch_daemon.cli.exit_codes import echo
from stylewatch_daemon.cli.output_target import reporting_write_errors
from stylewatch_daemon.cli.status import places, plain_inboxes
from stylewatch_daemon.files.names import abbreviated, shown
from stylewatch_daemon.settings import config
from stylewatch_daemon.views.formatting import columns
from stylewatch_painter.validation import refusing

SYSTEMD = Path("/run/systemd/system")
"""Exists where systemd is the service manager."""


def init(
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Make inbox, outbox and styles in this folder; by default in `stylewatch` in your"
            " pictures folder.",
        ),
    ] = None,
    with_service: Annotated[
        bool | None,
        typer.Option("--service/--no-service", help="Install the service of your account, or not."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: the pictures folder, no service.")
    ] = False,
) -> None:
    """Make your config.yaml, inbox and outbox, and a service."""
    path = config.user_file()
    if path.exists() or path.is_symlink():
        raise OutputError(
            f"{path} is already there, and is never replaced: edit it, or move it away first"
        )
    has_options = yes or pictures is not None or with_service is not None
    if sys.stdin.isatty() and sys.stderr.isatty() and not has_options:
        pictures, with_service = _ask()
    with refusing(UsageError, "the folder of the pictures"):
        settings = service.user_settings(pictures)
    config.service_settings(settings, {})
    (inbox,), state = settings.inboxes, settings.state.path
    folders = (inbox.path, inbox.outbox, settings.pairing.styles, state)
    if odd := next((folder for folder in folders if shown(folder) != str(folder)), None):
        raise UsageError(
            f"{shown(odd)} has characters that config.yaml can't have: name another folder"
        )
    with ExitStack() as undo:
        _make_folders((*folders, path.parent), undo)
        with reporting_write_errors(path), path.open("x", encoding="utf-8") as file:
            undo.callback(path.unlink)
            file.write(service.as_yaml(settings))
        undo.pop_all()
    made = {"config": str(path), "inboxes": plain_inboxes(settings), "state": str(state)}
    echo(f"{places(made)}\n")
    if with_service:
        service.write_files(service.files_of(user=True))
    first = "systemctl --user enable --now stylewatch" if with_service else "stylewatch run"
    steps = (
        (first, "paint what comes into the inbox"),
        ("stylewatch submit photo.jpg painting.jpg --wait", "put a pair there, from any folder"),
        ("stylewatch status", "see what runs, what waits, and where the folders are"),
    )
    echo("What to try next:\n\n{}".format(columns((f"  {step}", why) for step, why in steps)))


def _ask() -> tuple[Path, bool]:
    (inbox,) = service.user_settings().inboxes
    default = abbreviated(inbox.path.parent)
    pictures = typer.prompt("Folder for inbox and outbox", default, err=True)
    question = "Install a service that runs stylewatch in the background?"
    return Path(pictures), SYSTEMD.is_dir() and typer.confirm(question, err=True)


def _make_folders(folders: Iterable[Path], undo: ExitStack) -> None:
    """Make each folder and those above it; `undo` removes what was made. Raises OutputError."""
    for folder in folders:
        for path in reversed((folder, *folder.parents)):
            with reporting_write_errors(path):
                if path.is_dir():
                    continue
                if path.exists() or path.is_symlink():
                    raise OutputError(
                        f"{path} is not a folder, and stylewatch needs one there: move it away"
                    )
                path.mkdir()
                undo.callback(path.rmdir)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder} cannot be written: change its permissions")
