"""A daemon in a process of its own, for tests that speak with it by commands."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.store.ledger import reading

PROGRAM = "from stylewatch_daemon.cli.main import main; main()"
FAST = ("--set", "backend=sketch", "--set", "watch.quiet_s=0", "--set", "watch.rescan_s=1000",
        "--set", "limits.free_bytes=0")  # fmt: skip
SLOW = ("--set", "backends.sketch={seconds_per_step: 0.02}")
PAIR = ("submit", "sea.jpg", "wave.jpg", "--backend", "sketch")


def until(condition: Callable[[], object]) -> None:
    """Wait for `condition`; that it never comes is for the test's time limit."""
    while not condition():
        time.sleep(0.01)


class Place:
    """A folder with pictures, and a daemon that is started and ended there."""

    def __init__(self, root: Path, program: str = PROGRAM) -> None:
        self.root, self.program = root, program
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Start a daemon, and wait until it is at work."""
        with (self.root / "daemon.log").open("ab") as log:
            command = [sys.executable, "-c", self.program, "run", *FAST, *more]
            self.process = process = subprocess.Popen(command, cwd=self.root, stderr=log)
        until(lambda: process.poll() is not None or self.at_work)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)  # which does nothing to one that has ended
        return self.process.wait()

    @property
    def published(self) -> dict[str, Any]:
        try:
            read: dict[str, Any] = json.loads((self.root / "state/status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return read

    @property
    def at_work(self) -> bool:
        health = self.published.get("health", {"at_work": False})
        return bool(health["at_work"]) and self.process is not None and (
            health["pid"] == self.process.pid
        )  # fmt: skip

    def is_held(self, job: str) -> bool:
        """Whether a job is still being taken, or looked at."""
        with reading(self.root / "state/ledger.sqlite3") as ledger:
            entry = ledger.find(job)
        return entry is not None and entry.state == "claimed"

    @property
    def step(self) -> int:
        """How far the job that is being painted is."""
        return max((one["step"] for one in self.published.get("running", [])), default=0)

    @property
    def painted(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("outbox/*/receipt.json"))


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed on stdout since the last time."""
    return capfd.readouterr().out.splitlines()
