"""The daemon as other commands reach it: by the state folder it works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.outbox import status_json as published
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.ledger import FILE_NAME, Ledger, reading

StateFolder = Annotated[
    Path | None,
    typer.Option("--state", help="The daemon's state folder, if it is not that of config.yaml."),
]


@dataclass(frozen=True)
class Daemon:
    """The daemon that works, or will work, with the folder `state`."""

    state: Path

    def is_at_work(self) -> bool:
        """True if the daemon runs; OutputError if that is unknown."""
        return published.is_at_work(self.state)

    def published(self) -> dict[str, Any] | None:
        """Latest published status; None if there is none yet."""
        return published.read(self.state)

    def ask(self, verb: str, **arguments: Any) -> Path:
        """Leave a request, which goes once it is acted on; its file. Raises OutputError."""
        return requests.leave(self.state, verb, **arguments)

    @contextmanager
    def ledger(self) -> Iterator[Ledger | None]:
        """The ledger, to be read; None where there is none yet. Raises OutputError."""
        path = self.state / FILE_NAME
        if not path.exists():
            yield None
            return
        with reading(path) as ledger:
            yield ledger


def daemon(config_file: Path | None, state: Path | None) -> Daemon:
    """The daemon by the settings in force, or by its folder `state`; raises SettingsError."""
    return reach(config.load(config_file), state)


def reach(settings: Config, state: Path | None) -> Daemon:
    """As `daemon`, by settings that are read already."""
    return Daemon(state.expanduser().absolute() if state else settings.state.path)
