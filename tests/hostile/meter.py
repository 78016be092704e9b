"""Peak memory of a daemon and its children, and the disk they take, sampled from outside."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

EVERY_S = 0.1
"""Seconds between two samples of memory; the disk is sampled every fifth time."""


def allocated(*folders: Path) -> int:
    """Return the bytes that `folders` take on the disk; what goes meanwhile does not count."""
    command = ["du", "--summarize", "--block-size=1", *map(str, folders)]
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return sum(int(line.split()[0]) for line in ran.stdout.splitlines())


def family(pid: int) -> Iterator[int]:
    """Yield `pid` and all its descendants."""
    yield pid
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text("ascii").split():
                yield from family(int(child))


def peak_of(pid: int) -> int:
    """Return the most memory that a process held since `forget_peak`, in bytes."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid: int) -> None:
    """Let the peak of a process begin at what it holds now."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


class Meter:
    """Samples the daemon that `pid` gives, and kills it once `folders` hold `most` bytes.

    `pid` gives None while no daemon runs. The limit keeps a daemon that fills the disk from
    taking the whole of it.
    """

    def __init__(self, pid: Callable[[], int | None], folders: tuple[Path, ...]) -> None:
        self.peak = self.disk = 0
        self.most: int | None = None
        self.overrun = False
        self._pid, self._folders = pid, folders
        self._over = Event()
        self._thread = Thread(target=self._go, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Forget what was measured."""
        for process in self._family():
            forget_peak(process)
        self.peak, self.disk, self.overrun = 0, allocated(*self._folders), False

    def look(self) -> None:
        """Take a sample of memory now."""
        self.peak = max((self.peak, *map(peak_of, self._family())))

    def close(self) -> None:
        """Take no more samples."""
        self._over.set()
        self._thread.join()

    def _family(self) -> list[int]:
        pid = self._pid()
        return [] if pid is None else list(family(pid))

    def _go(self) -> None:
        count = 0
        while not self._over.wait(EVERY_S):
            self.look()
            count += 1
            if count % 5 == 0:
                self.disk = max(self.disk, allocated(*self._folders))
                pid = self._pid()
                if self.most is not None and self.disk > self.most and pid is not None:
                    self.overrun = True
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
