"""`stylewatch init` and `stylewatch sample`: settings, folders and pictures to start with."""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from stylewatch_daemon.base.errors import OutputError, UnavailableError, UsageError
from stylewatch_daemon.base.words import columns
from stylewatch_daemon.cli import service
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.output_target import reporting_write_errors
from stylewatch_daemon.cli.status import inboxes_of, places
from stylewatch_daemon.doctor import addresses
from stylewatch_daemon.files import account, atomic, entries
from stylewatch_daemon.files.names import abbreviated, shown
from stylewatch_daemon.ledger import state_dir
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.sections import Address, WebSettings, parse_address
from stylewatch_daemon.settings.style_library import add_shipped
from stylewatch_painter.installation import install_command
from stylewatch_painter.sample import CONTENT, STYLE

SYSTEMD = Path("/run/systemd/system")
"""Folder that exists only if systemd is the service manager."""

TOKEN = "token"
"""Name of the file with the token, beside config.yaml."""

FIREWALLS: Mapping[str, str] = {
    "ufw": "sudo ufw allow proto tcp to {host} port {port}",
    "firewall-cmd": "sudo firewall-cmd --permanent --add-port={port}/tcp && "
    "sudo firewall-cmd --reload",
}
"""Programs that set up a firewall, with the command that lets phones through."""


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
    with_phones: bool | None = typer.Option(
        None,
        "--phone/--no-phone",
        help="Let phones in the local network reach the page, or not; by default not.",
    ),
    address: str | None = typer.Option(
        None, metavar="IP", help="The address for phones, if this machine has several."
    ),
    yes: bool = typer.Option(
        False, "--yes", "-y", help="Ask nothing: the pictures folder, no service."
    ),
) -> None:
    """Make your config.yaml, inbox, outbox and styles and, if you choose, a service."""
    path = config.user_file()
    if entries.exists(path):
        raise OutputError(
            f"{path} is already there, and is never replaced: edit it, or move it away first"
        )
    can_serve = config.has_page_packages()
    given = (pictures, with_service, with_page, with_phones, address)
    has_options = yes or any(option is not None for option in given)
    if sys.stdin.isatty() and sys.stderr.isatty() and not has_options:
        pictures, with_service, with_page = _ask(can_serve=can_serve)
        if with_page and addresses.private():
            address = _ask_for_phones()
    if (with_page or with_phones or address) and not can_serve:
        raise UnavailableError(
            f"the packages of the page are not installed: {install_command('web')}"
        )
    web = WebSettings(listen=service.PAGE if can_serve and with_page is not False else None)
    if with_phones or address:
        if with_page is False or with_phones is False:
            raise UsageError("phones need the page: leave out --no-page and --no-phone")
        if has_options:
            note(addresses.IN_THE_CLEAR)
        web = _for_phones(address or "", path.with_name(TOKEN))
    settings = service.user_settings(pictures, web)
    settings.check()
    _write(path, settings, with_service=bool(with_service))
    made = {"inboxes": inboxes_of(settings), "state": str(settings.state.path)}
    echo(f"{places({'config': str(path), **made})}\n")
    steps = _next_steps(web, with_service=bool(with_service))
    echo("What to try next:\n\n{}".format(columns((f"  {step}", why) for step, why in steps)))


def _write(path: Path, settings: config.Config, *, with_service: bool) -> None:
    """Make the folders and, with `with_service`, the files of the service; write config.yaml last.

    So a failed `init` can be repeated. Raises UsageError for a folder that config.yaml cannot name,
    and OutputError if something cannot be written.
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
    token = settings.web.token_file
    with reporting_write_errors(path), account.owning(path):
        if token is not None and not entries.exists(token):
            with atomic.replacing(token) as file:
                os.fchmod(file.fileno(), 0o600)  # before there is anything to read
                file.write(f"{secrets.token_urlsafe(32)}\n".encode())
        atomic.write(path, service.as_yaml(settings).encode())


def _for_phones(address: str, token: Path) -> WebSettings:
    """Return the settings of a page for phones at a private address, by default the only one.

    `token` is the path of the file for the token. If a firewall is installed, print the command
    that opens it. Raises UsageError as `_checked` does.
    """
    chosen = Address(_checked(address), parse_address(service.PAGE).port)
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # not in every account's PATH
    for program, command in FIREWALLS.items():
        if shutil.which(program, path=path):
            words = command.format(host=chosen.host, port=chosen.port)
            note(f"if the firewall is on, this lets phones through: {words}")
    return WebSettings(listen=str(chosen), token_file=token)


def _checked(address: str) -> str:
    """Return `address` if it is a private address of this machine; if empty, the only one.

    Raises UsageError for any other address, and for an empty one unless there is exactly one.
    """
    found = addresses.private()
    if address in found:
        return address
    if address or not found:
        raise UsageError(
            f"phones need a private address, and this machine has {', '.join(found) or 'none'}; on "
            "a public one everybody could read what they send, unless a proxy with TLS is in front "
            "of the page (docs/web.md)"
        )
    if len(found) > 1:
        raise UsageError(f"choose one of its addresses by --address: {', '.join(found)}")
    return found[0]


def _next_steps(web: WebSettings, *, with_service: bool) -> Iterator[tuple[str, str]]:
    """Yield commands and addresses to try, each with its purpose."""
    run = "systemctl --user enable --now stylewatch" if with_service else "stylewatch run"
    yield run, "paint what comes into the inbox"
    if web.listen is not None:
        page = "the page, once it runs"
        if web.token_file is not None:
            page += f"; each browser needs a code, or the token in {abbreviated(web.token_file)}"
        yield f"http://{web.listen}/", page
    if web.token_file is not None:
        yield "stylewatch phone", "a code that lets a phone, or this browser, use the page"
    if not config.has_page_packages():
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


def _ask_for_phones() -> str | None:
    """Ask whether phones may reach the page, and at which address.

    Return the address, or None if they may not.
    """
    question = f"{addresses.IN_THE_CLEAR}\nMay phones in the local network reach the page?"
    if not typer.confirm(question, err=True):
        return None
    found = addresses.private()
    question = f"Its address there, {' or '.join(found)}"
    return found[0] if len(found) == 1 else str(typer.prompt(question, found[0], err=True))


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
