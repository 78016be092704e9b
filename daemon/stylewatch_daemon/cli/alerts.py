"""`stylewatch alerts`: tries the URLs that alerts go to."""

import socket

import typer

from stylewatch_daemon.alerts.sender import IN_WORDS, Message, place, send
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.console import say
from stylewatch_daemon.errors import SettingsError, UnavailableError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings import config

app = typer.Typer(no_args_is_help=True, help="Try the URLs that alerts go to.")

WITHIN = 60.0
"""Seconds."""


@app.callback()
def alerts() -> None:
    """Try the URLs that alerts go to."""


@app.command()
def test(config_file: options.Config = None) -> None:
    """Send a message to each URL in `alerts`, and tell which it reached."""
    path = config_file or config.find()
    urls = config.load(path).alerts.targets().urls
    if not urls:
        raise SettingsError(f"{path}: alerts name nobody; urls, or urls_file, says where to")
    here = shown(socket.gethostname())
    ends = send(urls, Message("stylewatch: a try", f"Alerts of {here} arrive here."), WITHIN)
    for number, end in enumerate(ends):
        say(f"{place(number, len(urls))}: {IN_WORDS[end]}")
    if (missed := sum(end != "sent" for end in ends)) > 0:
        raise UnavailableError(f"{missed} of {len(urls)} URLs were not reached")
