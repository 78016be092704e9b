"""Thousands of mixed jobs through one daemon: `python -m tests.e2e.soak [JOBS]`.

Says whether memory and open files stay flat and the disk bounded, and whether every job came to
its right end, through kills too. A day of retention is some seconds here.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from itertools import islice
from pathlib import Path

from tests.e2e.daemon import Place
from tests.e2e.samples import Sample, children, look, table, verdict
from tests.e2e.workload import Drop, Dropper, mixture

from stylewatch_daemon.cli.main import call

PROGRAM = """
from stylewatch_daemon.outbox import retention
retention.DAY = {day}
from stylewatch_daemon.cli.main import main
main()
"""
SETTINGS = """
inboxes: [{path: in, outbox: out}]
watch: {quiet_s: 0, rescan_s: 1}
job: {backend: sketch, recipe: gatys, size: 24, steps: 4, save_every: 2}
limits: {attempts: 50, free_bytes: 0}
retention: {stages: 1, inputs: 1, ledger: 0}
"""
AHEAD = 60
"""Jobs that are in the inbox, or wait, at a time."""

SAMPLES = 100
QUIET_S = 180.0
"""Seconds without a job that ends after which nothing more is waited for."""


class Soak:
    """A soak of `jobs` in the folder `root`, in which a day has `day` seconds."""

    def __init__(self, root: Path, jobs: int, day: float) -> None:
        self.jobs = jobs
        self.samples: list[Sample] = []
        self.wrong: list[str] = []
        self.kills = {"daemon": 0, "worker": 0}
        (root / "config.yaml").write_text(SETTINGS)
        self._root, self._outbox = root, root / "out"
        self._place = Place(root, PROGRAM.format(day=day))
        self._dropper = Dropper(root / "in", root / "made")
        self._open: dict[str, Drop] = {}
        self._struck: set[str] = set()
        self._ended = 0
        self._began = time.monotonic()

    def run(self) -> None:
        """Drop, strike, and look, until all is over."""
        self._start()
        try:
            self._go(mixture(self.jobs))
        finally:
            code = self._place.end()
        if code:
            self.wrong.append(f"the daemon ended with {code}")
        left = [path for path in (self._root / "in").rglob("*") if path.name != "style.jpg"]
        self.wrong += [f"{path} was left behind" for path in left if path.is_file()]

    def _go(self, drops: Iterator[Drop]) -> None:
        moved = time.monotonic()
        while True:
            for job in islice(drops, AHEAD - len(self._open)):
                self._open[job.name] = job
                self._dropper.drop(job)
            if not self._open:
                return
            before = self._ended
            self._collect()
            self._cancel()
            self._strike()
            if self._ended * SAMPLES // self.jobs > before * SAMPLES // self.jobs:
                self._sample()
            moved = time.monotonic() if self._ended > before else moved
            if time.monotonic() - moved > QUIET_S:
                self.wrong.append(f"nothing happens any more; open: {sorted(self._open)}")
                return
            time.sleep(0.05)

    def _start(self) -> None:
        self._place.start("--config", "config.yaml")

    def _collect(self) -> None:
        """See which jobs have ended, and whether as they should."""
        for name, job in list(self._open.items()):
            done = (self._outbox / name / "receipt.json").exists()
            reason = self._outbox / "_refused" / name / "reason.txt"
            if done or reason.exists():
                del self._open[name]
                self._ended += 1
                ends = "done" if done else _kind_of(reason.read_text(encoding="utf-8"))
                if ends != job.ends:
                    self.wrong.append(f"{name} was {ends}, not {job.ends}")

    def _cancel(self) -> None:
        """Ask for the end of what is not wanted, as soon as the daemon knows of it."""
        for name, job in self._open.items():
            if job.kind == "unwanted" and name not in self._struck and self._asked(name):
                self._struck.add(name)

    def _asked(self, name: str) -> bool:
        with StringIO() as nobody, redirect_stdout(nobody), redirect_stderr(nobody):
            return call(["cancel", name, "--state", str(self._root / "state")]) == 0

    def _strike(self) -> None:
        """Kill a long job's worker in the first and third quarter, or early on the daemon.

        In the others nothing is struck, so that what is measured has a life to grow in; but each
        is killed once, however few long jobs are seen while they run.
        """
        running = [one["job"] for one in self._place.published.get("running", ())]
        quarter = self._ended * 4 // self.jobs
        for name in running:
            due = quarter in (0, 2) or not all(self.kills.values())
            if name.startswith("long") and name not in self._struck and due:
                self._struck.add(name)
                early = self._ended * 8 < self.jobs and self.kills["daemon"] <= self.kills["worker"]
                if early or not self.kills["daemon"]:
                    self._kill_daemon()
                else:
                    self._kill_worker()

    def _kill_daemon(self) -> None:
        self.kills["daemon"] += 1
        self._place.end(signal.SIGKILL)
        self._start()

    def _kill_worker(self) -> None:
        process = self._place.process
        for child in children(process.pid) if process is not None else ():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                self.kills["worker"] += 1

    def _sample(self) -> None:
        process = self._place.process
        seconds = time.monotonic() - self._began
        if process is None:
            return
        found = look(process.pid, self._root / "state", self._outbox, self._ended, seconds)
        self.samples += [found] if found is not None else []


def _kind_of(reason: str) -> str:
    return "cancelled" if "cancel" in reason else "refused"


def soak(root: Path, jobs: int, day: float, say: Callable[[str], object]) -> list[str]:
    """What was wrong with a soak of `jobs`; its tables are told to `say`."""
    one = Soak(root, jobs, day)
    one.run()
    for row in table(one.samples):
        say(row)
    flat, rows = verdict(one.samples)
    say("\n" + "\n".join(rows) + "\n")
    say(
        f"{jobs} jobs in {time.monotonic() - one._began:.0f} s; killed on the way: "
        f"the daemon {one.kills['daemon']} times, its worker {one.kills['worker']} times"
    )
    return one.wrong if flat else [*one.wrong, "something grows"]


def main() -> int:
    """Soak, and say what came of it; 1 where anything was wrong."""
    jobs = int(sys.argv[1]) if sys.argv[1:] else 5000
    with tempfile.TemporaryDirectory() as folder:
        wrong = soak(Path(folder), jobs, 10.0, lambda text: print(text, flush=True))
    print("\n".join(wrong[:20]) or "All jobs came to their right ends, and nothing grows.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
