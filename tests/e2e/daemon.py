"""A daemon in a process of its own, for tests that drive it by files and commands."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PROGRAM = "from stylewatch_daemon.cli.main import main; main()"
FAST = ("--set", "backend=sketch", "--set", "watch.quiet_s=0", "--set", "watch.rescan_s=10",
        "--set", "limits.free_bytes=0")  # fmt: skip
SLOW = ("--set", "backends.sketch={seconds_per_step: 0.02}")
PAIR = ("submit", "sea.jpg", "wave.jpg", "--backend", "sketch")


def until(condition: Callable[[], object], within: float = math.inf) -> bool:
    """Wait for `condition`; return whether it became true within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def read_status(state: Path) -> dict[str, Any]:
    """Return the contents of status.json; empty where it cannot be read."""
    try:
        status = json.loads((state / "status.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def is_running(state: Path, pid: int | None) -> bool:
    """Return True if the daemon `pid` reports that it runs."""
    health = read_status(state).get("health", {})
    return bool(health.get("at_work")) and health.get("pid") == pid


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines printed on stdout since the last time."""
    return capfd.readouterr().out.splitlines()


class Daemon:
    """A folder with pictures (sea.jpg, wave.jpg), and a daemon that runs there."""

    def __init__(self, root: Path, program: str = PROGRAM) -> None:
        self.root, self.program = root, program
        self.environment: Mapping[str, str] = os.environ
        self.process: subprocess.Popen[bytes] | None = None

    def drop(self, job: str, content: bytes | None = None, name: str = "content.jpg") -> Path:
        """Put a pair into the inbox, all at once; return its folder."""
        made = self.root / "inbox" / f".{job.replace('/', '-')}"
        made.mkdir(parents=True)
        (made / "style.jpg").write_bytes((self.root / "wave.jpg").read_bytes())
        (made / name).write_bytes(content or (self.root / "sea.jpg").read_bytes())
        folder = self.root / "inbox" / job
        folder.parent.mkdir(parents=True, exist_ok=True)
        return made.rename(folder)

    def begin(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a daemon."""
        with (self.root / "daemon.log").open("ab") as log:
            command = [sys.executable, "-c", self.program, "run", *FAST, *options]
            self.process = subprocess.Popen(
                command, cwd=self.root, stderr=log, env=self.environment
            )
        return self.process

    def start(self, *options: str) -> None:
        """Start a daemon, and wait until it runs, or has ended."""
        process = self.begin(*options)
        state = self.root / "state"
        until(lambda: process.poll() is not None or is_running(state, process.pid))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the daemon, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)  # which does nothing to one that has ended
        return self.process.wait()

    @property
    def published(self) -> dict[str, Any]:
        """The contents of status.json."""
        return read_status(self.root / "state")

    @property
    def step(self) -> int:
        """The step of the running job."""
        return max((entry["step"] for entry in self.published.get("running", [])), default=0)

    @property
    def painted(self) -> list[str]:
        """The jobs that are done."""
        return sorted(path.parent.name for path in self.root.glob("outbox/*/receipt.json"))

    @property
    def log(self) -> str:
        """The log of all runs."""
        return (self.root / "daemon.log").read_text()

    def receipt(self, job: str) -> dict[str, Any]:
        """Return the receipt of a job that is done."""
        read: dict[str, Any] = json.loads(
            (self.root / "outbox" / job / "receipt.json").read_bytes()
        )
        return read

    def reason(self, job: str) -> str:
        """Return why a job was refused, failed or canceled; an empty string if it was not."""
        paths = self.root.glob(f"outbox/_*/{job}/reason.txt")
        return next((path.read_text() for path in paths), "")
