"""A real daemon among hostile things: where a case puts them, and what is measured meanwhile."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

from hypothesis.strategies import SearchStrategy
from tests.daemon.disks import small_disk
from tests.e2e.daemon import PROGRAM, is_running, read_status, until
from tests.e2e.invariants import Workspace
from tests.e2e.swaps import snapshot
from tests.hostile.meter import Meter
from tests.hostile.strategies import drawn

from stylewatch_daemon.files.names import shown

Example = TypeVar("Example")

MB = 1_000_000
MOST_MEMORY = 1500 * MB
"""Bytes that the daemon and each of its children may hold."""

DISK = 50 * MB
"""Bytes by which the disk may grow beyond twice what the input takes there."""

MOST_LOG = 2 * MB
ENDS_WITHIN = 20.0
"""Seconds in which a hostile job comes to its end, once the good pair beside it is painted."""

STARTS_WITHIN = STOPS_WITHIN = 20.0
MOST_SHOWN = 160
"""Characters of a line of the log."""

STATE_DISK_KIB = 512 * 1024

QUIET_S, TRUNCATED_S = 0.5, 5.0
CANARY = "canary-d1f7c0de"
"""A word in the files outside: it may turn up nowhere else."""

CONFIG = f"""
inboxes: [{{path: in, outbox: out, finals: finals}}]
state: {{path: state}}
watch: {{quiet_s: {QUIET_S}, truncated_s: {TRUNCATED_S}}}
job: {{recipe: gatys, size: 24, steps: 4, save_every: 4}}
"""


@dataclass(frozen=True)
class Options:
    """How cases are tried: seed and number of generated examples, seconds for the good pair."""

    seed: int = 0
    examples: int = 25
    within: float = 15.0


@dataclass
class Expectation:
    """A condition that must come true; `sentence` is what is wrong otherwise."""

    sentence: str
    holds: Callable[[], object]
    within: float


class World(Workspace):
    """The folders of a daemon, the daemon, and what a case may do there.

    `elsewhere` is outside; nothing of it may be read or written. With `own_disk` the state folder
    is a disk of its own.
    """

    def __init__(self, root: Path, options: Options, *, own_disk: bool = False) -> None:
        super().__init__(root)
        self.outbox, self.state, self.elsewhere = root / "out", root / "state", root / "elsewhere"
        self.finals = root / "finals"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root / "daemon.log"
        self.log.touch()
        (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
        self._stack, self._acts, self._expected = ExitStack(), ExitStack(), list[Expectation]()
        self._goods = self._hostiles = 0
        self.spare = self.make("spare")
        """A folder with a content.jpg and a style.jpg, to take from."""
        if own_disk:
            self.state.rmdir()
            self._stack.enter_context(small_disk(self.state, STATE_DISK_KIB))
        self.meter = Meter(self._pid, (self.outbox, self.state))
        self._fill_elsewhere()

    # What a case may use.

    def drop_hostile(self, files: Mapping[str, bytes], ends_within: float = ENDS_WITHIN) -> Path:
        """Drop a pair with `files` in place of its own, and expect its end, by default; its folder.

        With `ends_within` 0 no end is expected.
        """
        self._hostiles += 1
        made = self.make(f"hostile-{self._hostiles}")
        for name, content in files.items():
            path = made / name
            if path.suffix != ".yaml" and path.stem in ("content", "style"):
                (made / f"{path.stem}.jpg").unlink(missing_ok=True)
            path.write_bytes(content)
        folder = made.rename(self.inbox / made.name)
        if ends_within:
            self.expect_end(folder, ends_within)
        return folder

    def drop_open(self, job: str, *without: str) -> Path:
        """Drop a pair but for the files `without`, for a case to add; the folder."""
        made = self.make(job)
        for name in without:
            (made / name).unlink()
        return made.rename(self.inbox / job)

    def expect_end(self, path: Path, within: float = ENDS_WITHIN) -> None:
        """Expect that what lies at `path` is painted, refused, or named as too large to take."""
        reason = self.outbox / "_refused" / path.name / "reason.txt"

        def has_ended() -> bool:
            is_taken = not os.path.lexists(path) or os.path.lexists(reason)
            return (is_taken and self.is_idle) or self.is_too_large(path)

        wrong = f"{shown(path.name)} is neither painted, nor refused, nor named as too large"
        self.expect(wrong, has_ended, within)

    def is_too_large(self, path: Path) -> bool:
        """Return whether the status says that `path` is too large, for the limits or for a disk."""
        status = read_status(self.state)
        lacks = [
            line
            for line in status.get("health", {}).get("trouble", [])
            if line.startswith(f"{path.name}: ") and line.endswith(" more must be free")
        ]
        return bool(lacks) or any(
            pair["waits_for"].startswith("a smaller ")
            and any(Path(file).is_relative_to(path) for file in pair["files"])
            for pair in status.get("incomplete", [])
        )

    def expect(
        self, sentence: str, holds: Callable[[], object], within: float = ENDS_WITHIN
    ) -> None:
        """Have `sentence` reported unless `holds` becomes true in so many seconds."""
        self._expected.append(Expectation(sentence, holds, within))

    def meanwhile(self, act: Callable[[], object], every_s: float = 0.02) -> None:
        """Repeat `act` until the case is over; its errors are ignored."""
        over = Event()

        def go() -> None:
            while not over.wait(every_s):
                with suppress(OSError):
                    act()

        self._run(go, over)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do `act` once, after `seconds`, or when the case is over."""
        over = Event()

        def go() -> None:
            over.wait(seconds)
            act()

        self._run(go, over)

    def undo(self, act: Callable[[], object]) -> None:
        """Do `act` when the case is over."""
        self._acts.callback(act)

    def examples(self, strategy: SearchStrategy[Example]) -> Sequence[Example]:
        """Return examples of `strategy`, by the seed."""
        return drawn(strategy, self.options.examples, self.options.seed)

    def settled_job(self, name: str = "waiting") -> Path:
        """Return the folder of a job that is claimed and waits; the daemon is not running then."""
        self.end()
        (self.state / "paused").touch()
        if wrong := self.start():
            raise RuntimeError(wrong)
        before = set(self.state.glob("jobs/*"))
        self.drop(name)
        within = max(ENDS_WITHIN, self.options.within)
        until(lambda: self._are_queued(set(self.state.glob("jobs/*")) - before), within)
        if code := self.end():
            raise RuntimeError(f"the daemon ended with {code} when it was stopped")
        (self.state / "paused").unlink()
        found = set(self.state.glob("jobs/*")) - before
        if len(found) != 1:
            raise RuntimeError("no job was claimed that waits")
        return found.pop()

    def _are_queued(self, jobs: set[Path]) -> bool:
        """Return True if the ledger has all of `jobs`, in the queue."""
        with closing(sqlite3.connect(self.state / "ledger.sqlite3")) as ledger:
            rows = ledger.execute("SELECT id FROM jobs WHERE state = 'queued'").fetchall()
        return bool(jobs) and {job.name for job in jobs} <= {name for (name,) in rows}

    @property
    def next_good(self) -> str:
        """The name of the good pair that is dropped next; it sorts behind what is hostile."""
        return f"z-good-{self._goods}"

    @property
    def is_idle(self) -> bool:
        """Return True if the daemon says that nothing runs or waits to run."""
        counts = read_status(self.state).get("counts", {})
        return not (counts.get("waiting") or counts.get("running"))

    # What tries a case.

    def start(self) -> str:
        """Start a daemon and wait until it runs; return why it does not, or an empty string."""
        environment = {**os.environ, "HOME": str(self.root / "home"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PROGRAM, "run", "--config", str(self.root / "config.yaml"),
                   "--set", "job.backend=sketch"]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=log, stderr=log
            )
        within = max(STARTS_WITHIN, self.options.within)
        is_there = until(lambda: self.is_dead or is_running(self.state, self._pid()), within)
        if not is_there:
            return f"the daemon does not run after {within:.0f} s"
        return f"the daemon does not start: {self.last_words()}" if self.is_dead else ""

    def last_words(self) -> str:
        """Return how the daemon ended by itself, with the last line of its log."""
        code = "none" if self.process is None else self.process.poll()
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 20 * MOST_SHOWN))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return f"exit code {code}, {lines[-1][:MOST_SHOWN] if lines else 'not a word'}"

    def end(self) -> int:
        """End the daemon by SIGTERM; its exit code, -9 if it had to be killed."""
        if self.process is None:
            return 0
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(max(STOPS_WITHIN, self.options.within))
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def close(self) -> None:
        """End everything; the folder may go then."""
        self.end()
        self._acts.close()
        self.meter.close()
        self._stack.close()

    def forget(self) -> None:
        """End what the last case does, undo what it wants undone, and expect nothing."""
        self._expected = []
        self._acts.close()

    def good(self, within: float) -> float | None:
        """Drop a good pair; the seconds until it is painted, None if that takes too long."""
        name = self.next_good
        self._goods += 1
        self.drop(name)
        began = time.monotonic()
        painted = until(lambda: self.is_painted(name) or self.is_dead, within)
        return time.monotonic() - began if painted and self.is_painted(name) else None

    def is_painted(self, job: str) -> bool:
        """Return True if `job` is done, under its own name or with a number behind it."""
        return any(map(_is_receipt, (self.outbox / name for name in (job, f"{job}-2"))))

    @property
    def is_dead(self) -> bool:
        """Return True if the daemon has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def unmet(self) -> Iterator[str]:
        """Yield the expectations that were not met, counted from the good pair's end."""
        began = time.monotonic()
        for expected in self._expected:
            if self.is_dead:
                return
            within = max(expected.within, self.options.within)
            left = max(0.0, within + began - time.monotonic())
            if not until(expected.holds, left):
                yield expected.sentence

    def wrong_outside(self) -> Iterator[str]:
        """Yield whether files outside were changed, and which files hold text from outside."""
        if snapshot(self.elsewhere) != self._before:
            yield "something outside was changed"
        places = ["out", "finals", "state", "daemon.log"]
        command = ["find", *places, "-type", "f", "-size", "-2000k", "-exec",
                   "grep", "--files-with-matches", "--text", CANARY, "{}", "+"]  # fmt: skip
        ran = subprocess.run(command, cwd=self.root, capture_output=True, check=False)
        found = ran.stdout.decode(errors="replace").splitlines()
        yield from (f"{path} holds what lies outside" for path in found)

    def _pid(self) -> int | None:
        process = self.process
        return None if process is None or process.poll() is not None else process.pid

    def _run(self, go: Callable[[], None], over: Event) -> None:
        thread = Thread(target=go, daemon=True)
        thread.start()
        self._acts.callback(thread.join)
        self._acts.callback(over.set)

    def _fill_elsewhere(self) -> None:
        made = self.make("made-elsewhere").rename(self.elsewhere)
        (made / "secret.txt").write_text(f"{CANARY}\n", encoding="utf-8")
        (made / "job.yaml").write_text(f"# {CANARY}\n", encoding="utf-8")
        for name in ("content.jpg", "style.jpg"):
            with (made / name).open("ab") as picture:
                picture.write(CANARY.encode())
        self._before = snapshot(self.elsewhere)


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
