"""A real daemon among hostile things: where a case puts them, and what is measured meanwhile."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread, Timer

from tests.daemon.world import descendants
from tests.e2e.daemon import PROGRAM, is_running, read_status, until
from tests.e2e.invariants import Workspace
from tests.e2e.swaps import snapshot

from stylewatch_daemon.ledger.state_dir import LEDGER

MB = 1_000_000
ENDS_WITHIN = 20.0
"""Seconds in which a hostile job comes to its end, and the daemon starts and stops."""

SHOWN = 160
"""Characters that are shown of a line of the log."""

QUIET_S = 0.5
CANARY = "canary-d1f7c0de"
"""A word in the files outside: it may turn up nowhere else."""

CONFIG = f"""
inboxes: [{{path: in, outbox: out, finals: finals}}]
state: {{path: state}}
watch: {{quiet_s: {QUIET_S}, truncated_s: 5}}
job: {{backend: sketch, recipe: gatys, size: 24, steps: 4, save_every: 4}}
"""


Place = Callable[["World"], object]


@dataclass(frozen=True)
class Case:
    """Something hostile, put there by `place`; the options say how it is tried."""

    family: str
    name: str
    place: Place
    stopped: bool = False
    """True if the daemon is stopped while the hostile file is put in place."""
    alone: bool = False
    """True if no other case uses the same daemon."""
    exits: tuple[int, ...] = ()
    """The daemon may refuse to start with one of these codes, until the case is undone."""
    within: float | None = None
    """Seconds within which the good pair must be done; None for the usual limit."""
    needs_mounts: bool = False
    """True if the case mounts a file system, which needs root."""

    def __str__(self) -> str:
        return f"{self.family} | {self.name}"


@dataclass(frozen=True)
class Options:
    """How cases are tried: seed and number of generated examples, seconds for the good pair."""

    seed: int = 0
    examples: int = 25
    within: float = 15.0


def allocated(*folders: Path) -> int:
    """Return the bytes that `folders` take on the disk; what goes meanwhile does not count."""
    command = ["du", "--summarize", "--block-size=1", *map(str, folders)]
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return sum(int(line.split()[0]) for line in ran.stdout.splitlines())


class World(Workspace):
    """The folders of a daemon, the daemon, and what a case may do there.

    `elsewhere` is outside; nothing of it may be read or written. `spare` has a content.jpg and a
    style.jpg, to take from.
    """

    def __init__(self, root: Path, options: Options) -> None:
        super().__init__(root)
        self.finals, self.elsewhere, self.options = root / "finals", root / "elsewhere", options
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root / "daemon.log"
        self.log.touch()
        (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
        self._acts, self._expected = ExitStack(), list[tuple[str, Callable[[], object], float]]()
        self._goods = self._hostiles = 0
        self.spare = self.make("spare")
        self.peak = self.disk = 0
        """The most bytes that a process has held, and that outbox and state folder have taken."""
        self._fill_elsewhere()

    # -- what a case may use

    def drop_hostile(self, files: Mapping[str, bytes], within: float = ENDS_WITHIN) -> Path:
        """Drop a pair with `files` in place of its own, and expect its end; return its folder.

        With `within` 0 no end is expected.
        """
        self._hostiles += 1
        made = self.make(f"hostile-{self._hostiles}")
        for name, content in files.items():
            path = made / name
            if path.suffix != ".yaml" and path.stem in ("content", "style"):
                (made / f"{path.stem}.jpg").unlink(missing_ok=True)
            path.write_bytes(content)
        folder = made.rename(self.inbox / made.name)
        if within:
            self.expect_end(folder, within)
        return folder

    def drop_open(self, job: str, *without: str) -> Path:
        """Drop a pair but for the pictures `without`, for a case to add; return its folder."""
        made = self.make(job)
        for name in without:
            (made / name).unlink(missing_ok=True)
        return made.rename(self.inbox / job)

    def expect(self, wrong: str, holds: Callable[[], object], within: float = ENDS_WITHIN) -> None:
        """Report `wrong` unless `holds` becomes true in so many seconds."""
        self._expected.append((wrong, holds, within))

    def expect_end(self, path: Path, within: float = ENDS_WITHIN) -> None:
        """Expect that what lies at `path` is painted, refused, or named as too large or empty."""
        reason = self.outbox / "_refused" / path.name / "reason.txt"

        def has_ended() -> bool:
            counts = read_status(self.state).get("counts", {})
            is_idle = not (counts.get("waiting") or counts.get("running"))
            is_taken = not os.path.lexists(path) or os.path.lexists(reason)
            return (is_taken and is_idle) or self.is_left(path)

        name = ascii(path.name)[:SHOWN]
        self.expect(f"{name} is neither painted, nor refused, nor left", has_ended, within)

    def is_left(self, path: Path) -> bool:
        """Return whether the status says that `path` is empty, or too large for a limit or disk."""
        status = read_status(self.state)
        return any(
            line.startswith(f"{path.name}: ") and line.endswith(" more must be free")
            for line in status.get("health", {}).get("trouble", [])
        ) or any(
            (pair["waits_for"].startswith("a smaller ") or "is empty so far" in pair["waits_for"])
            and any(Path(file).is_relative_to(path) for file in pair["files"])
            for pair in status.get("incomplete", [])
        )

    def meanwhile(self, act: Callable[[], object], every_s: float = 0.02) -> None:
        """Repeat `act` until the case is over; its errors are ignored."""

        def go() -> None:
            while not over.wait(every_s):
                with suppress(OSError):
                    act()

        over = Event()
        thread = Thread(target=go, daemon=True)
        thread.start()
        self._acts.callback(thread.join)
        self._acts.callback(over.set)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do `act` once, after `seconds`."""
        timer = Timer(seconds, act)
        timer.start()
        self._acts.callback(timer.join)

    def undo(self, act: Callable[[], object]) -> None:
        """Do `act` when the case is over."""
        self._acts.callback(act)

    def settled_job(self, name: str = "waiting") -> Path:
        """Return the folder of a job that is claimed and waits; the daemon is not running then."""
        self.end()
        before = set(self.state.glob("jobs/*"))
        (self.state / "paused").touch()
        if wrong := self.start():
            raise RuntimeError(wrong)
        self.drop(name)
        until(lambda: self.count("jobs WHERE state = 'queued'"), ENDS_WITHIN)
        if code := self.end():
            raise RuntimeError(f"the daemon ended with {code} when it was stopped")
        (self.state / "paused").unlink()
        (job,) = {*self.state.glob("jobs/*")} - before
        return job

    def count(self, what: str) -> int:
        """Return how many rows of the ledger there are of a table, or of a part of one."""
        with closing(sqlite3.connect(self.state / LEDGER)) as ledger:
            return int(ledger.execute(f"SELECT count(*) FROM {what}").fetchone()[0])

    @property
    def next_good(self) -> str:
        """The name of the good pair that is dropped next; it sorts behind what is hostile."""
        return f"z-good-{self._goods}"

    def is_painted(self, job: str) -> bool:
        """Return True if `job` is done, under its own name or with a number behind it."""
        return any(map(_is_receipt, (self.outbox / name for name in (job, f"{job}-2"))))

    # -- what tries a case

    def begin_to_measure(self) -> int:
        """Measure memory and disk until the case is over; return the bytes on the disk now."""
        for process in self._processes():
            with suppress(OSError):
                (process / "clear_refs").write_text("5", "ascii")
        self.peak = self.disk = 0
        self.measure()
        self.meanwhile(self.measure, 0.2)
        return self.disk

    def measure(self) -> None:
        """Measure once."""
        for process in self._processes():
            with suppress(OSError):
                for line in (process / "status").read_text("ascii", "replace").splitlines():
                    if line.startswith("VmHWM:"):
                        self.peak = max(self.peak, int(line.split()[1]) * 1024)
        self.disk = max(self.disk, allocated(self.outbox, self.state))

    def start(self) -> str:
        """Start a daemon and wait until it runs; return why it does not, or an empty string."""
        environment = {**os.environ, "HOME": str(self.root / "home"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PROGRAM, "run", "--config", str(self.root / "config.yaml")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=log, stderr=log
            )
        within = max(ENDS_WITHIN, self.options.within)
        if not until(lambda: self.is_dead or is_running(self.state, self._pid()), within):
            return f"the daemon does not run after {within:.0f} s"
        return f"the daemon does not start: {self.last_words()}" if self.is_dead else ""

    def last_words(self) -> str:
        """Return how the daemon ended by itself, with the last line of its log."""
        code = "none" if self.process is None else self.process.poll()
        lines = self.log.read_bytes()[-20 * SHOWN :].decode(errors="replace").strip().splitlines()
        return f"exit code {code}, {lines[-1][:SHOWN] if lines else 'not a word'}"

    def end(self) -> int:
        """End the daemon by SIGTERM; return its exit code, -9 if it had to be killed."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(max(ENDS_WITHIN, self.options.within))
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def forget(self) -> None:
        """End what the last case does, undo what it wants undone, and expect nothing."""
        self._expected.clear()
        self._acts.close()

    def close(self) -> None:
        """End everything; the folder may go then."""
        self.end()
        self.forget()

    def good(self, within: float) -> float | None:
        """Drop a good pair; return the seconds until it is painted, None if it takes too long."""
        name = self.next_good
        self._goods += 1
        self.drop(name)
        began = time.monotonic()
        until(lambda: self.is_painted(name) or self.is_dead, within)
        return time.monotonic() - began if self.is_painted(name) else None

    @property
    def is_dead(self) -> bool:
        """Return True if the daemon has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def unmet(self) -> Iterator[str]:
        """Yield what was expected and did not come, counted from the good pair's end."""
        began = time.monotonic()
        for wrong, holds, seconds in self._expected:
            left = max(seconds, self.options.within) + began - time.monotonic()
            if not self.is_dead and not until(holds, max(0.0, left)):
                yield wrong

    def wrong_outside(self) -> Iterator[str]:
        """Yield whether files outside were changed, and which files hold text from outside."""
        if snapshot(self.elsewhere) != self._before:
            yield "something outside was changed"
        command = ["find", "out", "finals", "state", "daemon.log", "-type", "f", "-size", "-2000k",
                   "-exec", "grep", "-l", "--text", CANARY, "{}", "+"]  # fmt: skip
        ran = subprocess.run(command, cwd=self.root, capture_output=True, check=False)
        found = ran.stdout.decode(errors="replace").splitlines()
        yield from (f"{path} holds what lies outside" for path in found)

    def _pid(self) -> int | None:
        process = self.process
        return None if process is None or process.poll() is not None else process.pid

    def _processes(self) -> list[Path]:
        pid = self._pid()
        pids = [] if pid is None else [pid, *descendants(pid)]
        return [Path(f"/proc/{each}") for each in pids]

    def _fill_elsewhere(self) -> None:
        made = self.make("made-elsewhere").rename(self.elsewhere)
        for name in ("secret.txt", "job.yaml"):
            (made / name).write_text(f"# {CANARY}\n", encoding="utf-8")
        for name in ("content.jpg", "style.jpg"):
            with (made / name).open("ab") as picture:
                picture.write(CANARY.encode())
        self._before = snapshot(self.elsewhere)


def cleared(path: Path) -> Path:
    """Return `path`, with nothing there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def dig(top: Path, name: bytes, levels: int) -> int:
    """Make folders of that name in one another, deeper than a path can be; the last, open."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    return here


def _is_receipt(folder: Path) -> bool:
    try:
        return "job" in json.loads((folder / "receipt.json").read_bytes())
    except (OSError, ValueError, TypeError):
        return False
