"""Throughput of a daemon in jobs per second: `python -m bench.flow [JOBS] [FOLDER]`.

A daemon with the backend `sketch` runs JOBS small pairs, with every sync in place. Printed are jobs
per second, syncs per job, and the syncs per second that the disk can do. Their quotient is the
throughput of a daemon that waits only for the disk. Then single large pairs are dropped, to measure
how soon a warm worker starts. FOLDER is on the disk to measure; default: the temporary folder.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.common import ROOT
from PIL import Image
from pydantic import ByteSize

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.model import Started
from stylewatch_daemon.service.daemon import watch
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Inbox, Limits, State, Watch
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.ledger import FILE_NAME, reading
from stylewatch_daemon.worker import batch
from stylewatch_daemon.worker.messages import Event, Order
from stylewatch_plugins.contract import Wish

SMALL, LARGE = 24, 1000
"""Pixels of the sides of pictures: of many, and of single ones."""

SINGLES = 9
"""How many single pairs are dropped."""

SYNCS = 1000
"""Files that are synced, and their folder after each, to learn what the disk does."""

COUNTS = "STYLEWATCH_BENCH_COUNTS"  # names the folder whose files grow by a byte a sync


def settings(root: Path) -> ServiceSettings:
    """An inbox, an outbox and a state folder under `root`; sketches of one stage."""
    job = JobSettings(backend="sketch", recipe="gatys", size=str(SMALL), steps=2, save_every=2)
    inbox = Inbox(path=root / "in", outbox=root / "out")
    return ServiceSettings(
        inboxes=(inbox,),
        state=State(path=root / "state"),
        watch=Watch(quiet_s=0.0),
        job=job,
        limits=Limits(free_bytes=ByteSize(0)),
    )


def count_syncs(who: str) -> None:
    """Count each sync of this process from now on; a commit of the ledger is one too."""
    counts = os.open(Path(os.environ[COUNTS], who), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def counted(real: Callable[[Any], None]) -> Callable[[Any], None]:
        def sync(what: Any) -> None:
            os.write(counts, b".")
            real(what)

        return sync

    for owner, name in ((os, "fsync"), (ledger_writer, "commit")):
        setattr(owner, name, counted(getattr(owner, name)))


def work(
    orders: Sequence[Order], wishes: Sequence[Callable[[], Wish]]
) -> Iterator[tuple[int, Event]]:
    """Do a worker's work, and count its syncs."""
    if os.fsync.__module__ != __name__:
        count_syncs("worker")
    yield from batch.work(orders, wishes)


class Starts(Reporter):
    """Writes down when a job was started."""

    def __init__(self, root: Path) -> None:
        self._starts = root / "starts"

    def job_started(self, job: str, started: Started) -> None:
        with self._starts.open("a", encoding="ascii") as file:
            file.write(f"{time.monotonic()}\n")


def serve(root: Path) -> None:
    """Run the daemon until it is stopped."""
    count_syncs("daemon")
    own = settings(root)
    executor = partial(Local, own.state.path / "worker.lock", f"{__spec__.name}:work")
    watch(own, Starts(root), executor)


def make(folder: Path, side: int) -> Path:
    """A job folder with a pair of pictures of so many pixels a side."""
    folder.mkdir(parents=True)
    for seed, half in enumerate(("content", "style")):
        noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{half}.png")
    return folder


def until_done(root: Path, jobs: int) -> None:
    """Wait until so many jobs are done."""
    with reading(root / "state" / FILE_NAME) as ledger:
        while ledger.counts()["done"] < jobs:
            time.sleep(0.05)


def flow(root: Path, jobs: int) -> tuple[float, float]:
    """Jobs a second of a warm daemon, and the syncs that each took."""
    dropped = [make(root / "made" / f"{number:06}", SMALL) for number in range(jobs)]
    (make(root / "made" / "first", SMALL)).rename(root / "in" / "first")
    until_done(root, 1)
    before, began = synced(root), time.perf_counter()
    for folder in dropped:
        folder.rename(root / "in" / folder.name)
    until_done(root, jobs + 1)
    return jobs / (time.perf_counter() - began), (synced(root) - before) / jobs


def synced(root: Path) -> int:
    """The syncs so far."""
    return sum(path.stat().st_size for path in (root / "counts").iterdir())


def starts(root: Path, done: int) -> list[float]:
    """Seconds from the drop of a large pair to its start, `done` jobs having been done before."""
    taken = []
    for number in range(SINGLES):
        folder = make(root / "made" / f"large{number}", LARGE)
        time.sleep(0.5)  # the daemon comes to rest
        began = time.monotonic()
        folder.rename(root / "in" / folder.name)
        until_done(root, done + number + 1)
        taken.append(float((root / "starts").read_text("ascii").splitlines()[-1]) - began)
    return taken


def disk(folder: Path) -> float:
    """Syncs a second: of small files, and of the folder after each."""
    folder.mkdir()
    above = os.open(folder, os.O_RDONLY)
    began = time.perf_counter()
    for number in range(SYNCS):
        handle = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT)
        os.write(handle, b"some bytes")
        os.fsync(handle)
        os.close(handle)
        os.fsync(above)
    os.close(above)
    return 2 * SYNCS / (time.perf_counter() - began)


def main(jobs: int, above: Path | None) -> None:
    """Measure, and say so."""
    with tempfile.TemporaryDirectory(dir=above) as name:
        root = Path(name)
        for folder in ("in", "counts"):
            (root / folder).mkdir()
        command = [sys.executable, "-m", __spec__.name, "--serve", name]
        daemon = subprocess.Popen(command, env={**os.environ, COUNTS: name + "/counts"}, cwd=ROOT)
        try:
            while not (root / "state" / FILE_NAME).exists():
                time.sleep(0.1)
            rate = disk(root / "before")
            jobs_a_second, syncs = flow(root, jobs)
            rate = (rate + disk(root / "after")) / 2
            taken = starts(root, jobs + 1)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
    print(f"{jobs} jobs: {jobs_a_second:.1f} jobs/s, {syncs:.1f} syncs a job")
    print(f"the disk: {rate:.0f} syncs/s, so {rate / syncs:.1f} jobs/s if there were nothing else")
    print(f"that is {jobs_a_second / min(100, rate / syncs):.2f} of the lower of that and 100")
    median, most = statistics.median(taken), max(taken)
    print(f"dropped to started, {LARGE}x{LARGE}, warm: {median:.2f} s ({most:.2f} s at most)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        arguments = sys.argv[1:]
        main(
            int(arguments[0]) if arguments else 500,
            Path(arguments[1]) if arguments[1:] else None,
        )
