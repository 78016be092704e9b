"""`stylewatch init` and `stylewatch sample`: settings, folders and pictures to start with."""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from stylewatch_daemon.base.errors import OutputError, UnavailableError, UsageError
from stylewatch_daemon.base.words import columns
from stylewatch_daemon.cli import service
from stylewatch_daemon.cli.exit_codes import echo
from stylewatch_daemon.cli.output_target import reporting_write_errors
from stylewatch_daemon.cli.status import inboxes_of, places
from stylewatch_daemon.files import account, atomic, entries
from stylewatch_daemon.files.names import abbreviated, shown
from stylewatch_daemon.ledger import state_dir
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.style_library import add_shipped
from stylewatch_painter.installation import install_command
from stylewatch_painter.sample import CONTENT, STYLE

SYSTEMD = Path("/run/systemd/system")
"""Folder that exists only if systemd is the service manager."""


def init(
    pictures: Path | None = typer.Option(
        None,
        metavar="FOLDER",
        help="Make inbox, outbox and styles in this folder; by default in `stylewatch` in your"
        " pictures folder.",
    ),
    with_service: bool | None = typer.Option(
        None, "--service/--no-service", help="Install the service of your account, or not."
    ),
    with_page: bool | None = typer.Option(
        None,
        "--page/--no-page",
        help="Serve a page to this machine, or not; by default if its packages are installed.",
    ),
    yes: bool = typer.Option(
        False, "--yes", "-y", help="Ask nothing: the pictures folder, no service."
    ),
) -> None:
    """Make your config.yaml, inbox and outbox, and a service."""
    path = config.user_file()
    if entries.exists(path):
        raise OutputError(
            f"{path} is already there, and is never replaced: edit it, or move it away first"
        )
    can_serve = config.has_page_packages()
    given = (pictures, with_service, with_page)
    has_options = yes or any(option is not None for option in given)
    if sys.stdin.isatty() and sys.stderr.isatty() and not has_options:
        pictures, with_service, with_page = _ask(can_serve=can_serve)
    if with_page and not can_serve:
        raise UnavailableError(
            f"the packages of the page are not installed: {install_command('web')}"
        )
    listen = service.PAGE if can_serve and with_page is not False else None
    settings = service.user_settings(pictures, listen)
    settings.check()
    _write(path, settings, with_service=bool(with_service))
    made = {"inboxes": inboxes_of(settings), "state": str(settings.state.path)}
    echo(f"{places({'config': str(path), **made})}\n")
    steps = _next_steps(with_service=bool(with_service), with_page=settings.web.listen is not None)
    echo("What to try next:\n\n{}".format(columns((f"  {step}", why) for step, why in steps)))


def _write(path: Path, settings: config.Config, *, with_service: bool) -> None:
    """Make the folders and the service, and write the settings last.

    A failed `init` can then be repeated.
    """
    (inbox,) = settings.inboxes
    folders = (inbox.path, inbox.outbox, settings.pairing.styles, settings.state.path)
    for folder in (*folders, path.parent):
        if shown(folder) != str(folder):
            raise UsageError(
                f"{shown(folder)} has characters that config.yaml can't have: name another folder"
            )
        with reporting_write_errors(folder), account.owning(folder):
            make = state_dir.make_root if folder == settings.state.path else atomic.make_folder
            make(folder)
            if not entries.is_writable(folder):
                raise OutputError(f"{folder} cannot be written: change its permissions")
            if folder == settings.pairing.styles:
                add_shipped(folder)
    if with_service:
        files = service.files_of(user=True)
        service.write_files({name: text for name, text in files.items() if name != path})
    with reporting_write_errors(path), account.owning(path):
        atomic.write(path, service.as_yaml(settings).encode())


def _next_steps(*, with_service: bool, with_page: bool) -> Iterator[tuple[str, str]]:
    """Yield commands and addresses to try, each with its purpose."""
    run = "systemctl --user enable --now stylewatch" if with_service else "stylewatch run"
    yield run, "paint what comes into the inbox"
    if with_page:
        yield f"http://{service.PAGE}/", "the page, once it runs"
    elif not config.has_page_packages():
        yield install_command("web").strip("`"), "for the page; then set web.listen"
    yield "stylewatch submit photo.jpg painting.jpg --wait", "put a pair there, from any folder"
    yield "stylewatch status", "see what runs, what waits, and where the folders are"


def _ask(*, can_serve: bool) -> tuple[Path, bool, bool]:
    (inbox,) = service.user_settings().inboxes
    default = abbreviated(inbox.path.parent)
    pictures = typer.prompt("Folder for inbox and outbox", default, err=True)
    question = "Install a service that runs stylewatch in the background?"
    with_service = entries.is_folder(SYSTEMD) and typer.confirm(question, err=True)
    question = f"Serve a page to this machine, at http://{service.PAGE}/?"
    with_page = can_serve and typer.confirm(question, default=True, err=True)
    return Path(pictures), with_service, with_page


def sample(
    folder: Path = typer.Argument(
        Path("sample"), metavar="FOLDER", help="Where to write them.", show_default=True
    ),
) -> None:
    """Write a photograph and a painting to try things with.

    Both are in the public domain. Another file of the same name is never replaced.
    """
    for name, picture in (("content.jpg", CONTENT), ("style.jpg", STYLE)):
        path = folder / name
        content = picture.read_bytes()
        with reporting_write_errors(path), account.owning(folder.absolute()):
            if entries.exists(path) and path.read_bytes() != content:
                raise OutputError(f"{path} is another picture, and is not replaced")
            atomic.make_folder(folder)
            atomic.write(path, content)
        echo(str(path))
