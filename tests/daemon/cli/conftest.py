"""Fixtures for tests of the commands."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.states import publish
from tests.daemon.web.world import a_job, enter, requested

from stylewatch_daemon.base.model import Attempt
from stylewatch_daemon.cli.main import call


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ended]


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run_(*words: object) -> Ended:
        capsys.readouterr()
        code = call([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return run_


@pytest.fixture
def here(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with content.jpg and style.jpg in it."""
    monkeypatch.chdir(pictures)
    return pictures


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Terminal]:
    """Make `stdout` or `stderr` a terminal."""

    def make(stream: str) -> Terminal:
        terminal = Terminal()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, stream, terminal)
        return terminal

    return make


class Place:
    """A state folder as a daemon would leave it, and commands that are told of it."""

    def __init__(self, root: Path, run: Run) -> None:
        self.root, self.state, self._run = root, root / "state", run
        self.state.mkdir(exist_ok=True)

    def run(self, *words: object) -> Ended:
        return self._run(*words, "--state", self.state)

    def enter(self, name: str, seen: str, *attempts: Attempt, **more: Any) -> None:
        """Put a job into the ledger."""
        enter(self.state, a_job(name, seen, **more), attempts=attempts)

    def publish(self, counts: Any = None, health: Any = None, **status: Any) -> None:
        """Publish a status as a daemon does."""
        publish(self.state, counts, health, **status)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return requested(self.root)


@pytest.fixture
def place(tmp_path: Path, run: Run) -> Place:
    return Place(tmp_path, run)


def files(folder: Path) -> set[str]:
    """The files below `folder`."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
