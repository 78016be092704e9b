"""Thousands of mixed jobs through one daemon: `python -m tests.e2e.soak [JOBS]`.

It reports whether memory and open files stay flat and the disk bounded, and whether every job
ended as it should, also after kills. A day of retention is some seconds here.
"""

import io
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Literal

from PIL import Image
from tests.daemon.world import child_pids
from tests.e2e.daemon import Daemon

from stylewatch_daemon.cli.main import call

PROGRAM = """
from datetime import timedelta
from stylewatch_daemon.jobs import upkeep
from stylewatch_daemon.outbox import removal
upkeep.DAY = {day}
removal.timedelta = lambda days: timedelta(seconds=days * {day})
from stylewatch_daemon.cli.main import main
main()
"""
SETTINGS = """
inboxes: [{path: inbox, outbox: outbox}]
watch: {quiet_s: 0, rescan_s: 1}
job: {backend: sketch, recipe: gatys, size: 24, steps: 4, save_every: 2}
limits: {free_bytes: 0}
retention: {stages: 1, inputs: 1, ledger: 3}
"""
AHEAD = 60
"""Jobs that are in the inbox or wait at a time."""

SAMPLES = 100
PASSING = ("stages", "inputs")
"""Folders of a job that retention removes."""

QUIET_S = 180.0
"""Seconds without an ended job after which the soak gives up."""

Kind = Literal["good", "album", "bad", "mistake", "unwanted", "long"]
ALBUM = "album"
HUNDRED: tuple[tuple[Kind, int], ...] = (
    ("long", 4), ("good", 75), ("album", 10), ("bad", 5), ("mistake", 4),
    ("unwanted", 2),
)  # fmt: skip
"""How many of a hundred jobs are of each kind."""

JOB_YAML = {
    "mistake": "stepps: 4\n",
    "unwanted": "steps: 1000000\nsave_every: 1000000\n",
    "long": "steps: 1000000\nsave_every: 1000000\npriority: 1\n",
}


@dataclass(frozen=True)
class Job:
    """A job of the workload, by its name in the outbox."""

    kind: Kind
    name: str

    @property
    def end(self) -> str:
        """How the job must end."""
        if self.kind == "unwanted":
            return "canceled"
        return "refused" if self.kind in ("bad", "mistake") else "done"


def workload(jobs: int) -> Iterator[Job]:
    """Yield so many jobs with evenly mixed kinds, the same every time."""
    kinds = [kind for kind, count in HUNDRED for _ in range(count)]
    for number in range(jobs):
        kind = kinds[number * 37 % len(kinds)]
        name = f"{kind}-{number:05}"
        yield Job(kind, f"{ALBUM}/{name}" if kind == ALBUM else name)


class Dropper:
    """Puts jobs into the folder `inbox`, each whole at once; `made` is beside it."""

    def __init__(self, inbox: Path, made: Path) -> None:
        self._inbox, self._made, self._count = inbox, made, itertools.count()
        for folder in (inbox / ALBUM, made):
            folder.mkdir(parents=True, exist_ok=True)
        (inbox / ALBUM / "style.jpg").write_bytes(self._picture())

    def drop(self, job: Job) -> None:
        """Drop a job."""
        made = self._made / Path(job.name).name
        if job.kind == ALBUM:
            made.write_bytes(self._picture())
            made.rename(self._inbox / f"{job.name}.jpg")
            return
        made.mkdir()
        content = b"this is no picture" if job.kind == "bad" else self._picture()
        (made / "content.jpg").write_bytes(content)
        (made / "style.jpg").write_bytes(self._picture())
        if text := JOB_YAML.get(job.kind):
            (made / "job.yaml").write_text(text)
        made.rename(self._inbox / job.name)

    def _picture(self) -> bytes:
        """Return a picture of 24x18 pixels that differs from all others."""
        number, file = next(self._count), io.BytesIO()
        picture = Image.new("RGB", (24, 18), (90, 120, 60))
        color = (number % 256, number // 256 % 256, number // 65536 % 256)
        picture.paste(color, (0, 0, 12, 18))
        picture.save(file, "JPEG", quality=95)
        return file.getvalue()


Sample = Mapping[str, float]
"""Megabytes, and numbers of open files."""

GROWTH = {
    "daemon, MB": (1.05, 1.0),
    "daemon, open files": (1.0, 2.0),
    "children, MB": (1.1, 2.0),
    "children, open files": (1.0, 2.0),
    "state folder, MB": (1.5, 1.0),
    "stages and inputs, MB": (1.5, 1.0),
    "all else in the outbox, KB per job": (1.1, 1.0),
}
"""For each value of a sample: how large it may be in the last quarter of the jobs, as a factor and
an amount besides, compared with the second quarter. Nothing is killed after the first."""


def sample(pid: int, state: Path, outbox: Path, jobs: int) -> Sample | None:
    """Return a sample of the daemon `pid`; None where it or its children are not there now."""
    try:
        if not (children := child_pids(of=str(pid))):
            return None
        passing = sum(_size(path) for part in PASSING for path in outbox.rglob(part))
        lasting = (_size(outbox) - passing) * 1e3 / max(1, jobs)
        values = (_mb(pid), _files(pid), sum(map(_mb, children)), sum(map(_files, children)),
                  _size(state), passing, lasting)  # fmt: skip
        return dict(zip(GROWTH, values, strict=True))
    except (FileNotFoundError, ProcessLookupError):
        return None


def _mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _size(folder: Path) -> float:
    """Return the megabytes of the files below `folder`, but those that vanish meanwhile."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(top, name).lstat().st_size
    return total / 1e6


def verdict(samples: Sequence[Sample]) -> tuple[bool, list[str]]:
    """Return whether all that should be is flat, and a table of medians."""
    rows = ["| | second quarter | last quarter | at most | |", "| --- | --- | --- | --- | --- |"]
    all_flat, quarter = True, len(samples) // 4
    for what, (factor, amount) in GROWTH.items():
        before = median(values[what] for values in samples[quarter : 2 * quarter])
        after = median(values[what] for values in samples[3 * quarter :])
        most = before * factor + amount
        is_flat = after <= most
        all_flat = all_flat and is_flat
        word = "flat" if is_flat else "GROWS"
        rows.append(f"| {what} | {before:.1f} | {after:.1f} | {most:.1f} | {word} |")
    return all_flat, rows


class Soak:
    """A soak of `jobs` in the folder `root`, with days of `day` seconds."""

    def __init__(self, root: Path, jobs: int, day: float) -> None:
        self.jobs = jobs
        self.samples: list[Sample] = []
        self.wrong: list[str] = []
        self.kills = {"daemon": 0, "worker": 0}
        self.began = time.monotonic()
        (root / "config.yaml").write_text(SETTINGS)
        self._root, self._daemon = root, Daemon(root, PROGRAM.format(day=day))
        self._dropper = Dropper(root / "inbox", root / "made")
        self._open: dict[str, Job] = {}
        self._acted_on: set[str] = set()
        self._finished: set[str] = set()
        self._ended = 0

    def run(self) -> None:
        """Drop, kill and check until all jobs have ended."""
        self._start()
        try:
            self._go(workload(self.jobs))
        finally:
            code = self._daemon.end()
        if code:
            self.wrong.append(f"the daemon ended with {code}")
        left = [path for path in (self._root / "inbox").rglob("*") if path.name != "style.jpg"]
        self.wrong += [f"{path} was left behind" for path in left if path.is_file()]

    def _start(self) -> None:
        self._daemon.start("--config", "config.yaml")

    def _go(self, jobs: Iterator[Job]) -> None:
        moved = time.monotonic()
        while True:
            for job in itertools.islice(jobs, AHEAD - len(self._open)):
                self._open[job.name] = job
                self._dropper.drop(job)
            if not self._open:
                return
            before = self._ended
            self._collect()
            self._cancel()
            self._kill()
            if self._ended * SAMPLES // self.jobs > before * SAMPLES // self.jobs:
                self._sample()
            moved = time.monotonic() if self._ended > before else moved
            if time.monotonic() - moved > QUIET_S:
                self.wrong.append(f"nothing happens any more; open: {sorted(self._open)}")
                return
            time.sleep(0.05)

    def _collect(self) -> None:
        """Check the jobs that have ended."""
        for name, job in list(self._open.items()):
            done = (self._root / "outbox" / name / "receipt.json").exists()
            reason = self._daemon.reason(name)
            if done or reason:
                del self._open[name]
                self._ended += 1
                end = "done" if done else "canceled" if "cancel" in reason else "refused"
                if end != job.end:
                    self.wrong.append(f"{name} was {end}, not {job.end}")

    def _cancel(self) -> None:
        """Cancel the unwanted jobs, as soon as the daemon knows of them."""
        for name, job in self._open.items():
            if job.kind == "unwanted":
                self._ask("cancel", name, self._acted_on)

    def _ask(self, verb: str, name: str, asked: set[str]) -> None:
        """Give the daemon a command for a job, unless the job is among those that were `asked`."""
        if name not in asked:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                if call([verb, name, "--state", str(self._root / "state")]) == 0:
                    asked.add(name)

    def _kill(self) -> None:
        """While a long job runs kill the daemon, then its children; later let it finish.

        After the first quarter of the jobs nothing is killed, unless there was no chance before.
        """
        process, is_early = self._daemon.process, self._ended * 4 < self.jobs
        for entry in self._daemon.published.get("running", ()):
            name = entry["job"]
            if not name.startswith("long"):
                continue
            if all(self.kills.values()) and (name in self._acted_on or not is_early):
                self._ask("finish", name, self._finished)
                continue
            self._acted_on.add(name)
            if self.kills["daemon"] <= self.kills["worker"]:
                self.kills["daemon"] += 1
                self._daemon.end(signal.SIGKILL)
                self._start()
                return
            for child in child_pids(of=str(process.pid)) if process is not None else ():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    self.kills["worker"] += 1

    def _sample(self) -> None:
        if (process := self._daemon.process) is not None:
            folders = self._root / "state", self._root / "outbox"
            taken = sample(process.pid, *folders, self._ended)
            self.samples += [taken] if taken is not None else []


def main() -> int:
    """Run a soak and print its tables; return 1 if anything is wrong."""
    jobs = int(sys.argv[1]) if sys.argv[1:] else 5000
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), jobs, 10.0)
        soak.run()
    flat, rows = verdict(soak.samples)
    print("\n".join([*rows, ""]))
    print(f"{jobs} jobs in {time.monotonic() - soak.began:.0f} s; killed: the daemon "
          f"{soak.kills['daemon']} times, its children {soak.kills['worker']} times")  # fmt: skip
    wrong = soak.wrong if flat else [*soak.wrong, "something grows"]
    print("\n".join(wrong[:20]) or "All jobs ended as they should, and nothing grows.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
