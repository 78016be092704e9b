"""Many pairs at once, and many that are done: `python -m bench.intake [PAIRS] [FOLDER]`.

Says how long it takes until all pairs are in the ledger, and until all were claimed and looked at,
both with every sync in place; how long a pair of one megapixel takes from settled to queued; and
what a daemon costs that idles with as many finished jobs in its ledger. The folder's disk counts:
the default is the system's for temporary files.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from bench.common import cpu_seconds
from bench.flow import settings
from PIL import Image
from tests.daemon.world import child_pids

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.ingest.inspection.client import NAME, InspectionClient
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.service.daemon import watch
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.store.state_dir import State
from stylewatch_painter.process_memory import resident

IDLE_FOR = 20.0
"""Seconds for which an idle daemon is watched."""


def drop(inbox: Path, pairs: int) -> None:
    """Files side by side, with small pictures in them, each content its own."""
    inbox.mkdir(parents=True)
    style = picture(64)
    for number in range(pairs):
        (inbox / f"{number:06}.content.jpg").write_bytes(style + number.to_bytes(4))
        (inbox / f"{number:06}.style.jpg").write_bytes(style)


def picture(side: int) -> bytes:
    """A JPEG of noise."""
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=90)
    return file.getvalue()


@contextmanager
def line_of(root: Path) -> Iterator[tuple[Pipeline, Wakeup]]:
    """The line, with a real intake."""
    state, bell = State(root / "state"), Wakeup()
    state.make()
    with closing(state), closing(InspectionClient(bell.request_scan)) as intake:
        worker = Local(state.worker_lock)
        yield Pipeline(settings(root), state, worker, Reporter(), bell, intake), bell


def take(root: Path) -> tuple[float, float]:
    """Seconds until all pairs are entered, and until all were claimed and looked at."""
    with line_of(root) as (line, bell):
        began = time.perf_counter()
        line.scan()
        line.scan()
        for inbox in line.ingest.inboxes:
            inbox.enter()
        entered = time.perf_counter() - began
        until_looked_at(line, bell)
        return entered, time.perf_counter() - began


def until_looked_at(line: Pipeline, bell: Wakeup) -> None:
    """Claim, and hear what intake says, to the end."""
    while line.claim() or (line.ingest.is_inspecting and bell.wait(1)):
        pass


def look_at(root: Path) -> tuple[float, float]:
    """Seconds from settled to queued for a pair of 1-megapixel JPEGs, and the child's megabytes.

    The child is warm; the best of ten, as others may be at work on this machine.
    """
    took, content, style = [], picture(1000), picture(1001)
    with line_of(root) as (line, bell):
        for number in range(11):
            (root / "in" / f"m{number}.content.jpg").write_bytes(content + number.to_bytes(4))
            (root / "in" / f"m{number}.style.jpg").write_bytes(style + number.to_bytes(4))
            line.scan()
            line.scan()
            began = time.perf_counter()
            line.enter()
            until_looked_at(line, bell)
            took.append(time.perf_counter() - began)
        (child,) = child_pids(NAME)
        return min(took[1:]), resident(child) / 1e6


def finish(root: Path) -> None:
    """Let every job be done, without its painting."""
    state = State(root / "state")
    with state.ledger.transaction():
        for job_id in state.ledger.open_jobs():
            state.ledger.change(job_id, state="done")
    state.enter_missing()
    state.close()


def idle(root: Path) -> tuple[float, float]:
    """Megabytes that an idle daemon holds, and the per cent of a core that it takes."""
    daemon = subprocess.Popen([sys.executable, "-m", "bench.intake", "--idle", str(root)])
    try:
        time.sleep(IDLE_FOR / 4)  # it starts
        before, began = cpu_seconds(daemon.pid), time.monotonic()
        time.sleep(IDLE_FOR)
        share = (cpu_seconds(daemon.pid) - before) / (time.monotonic() - began)
        return resident(daemon.pid) / 1e6, share * 100
    finally:
        daemon.terminate()
        daemon.wait()


def main(pairs: int, above: Path | None) -> None:
    """Measure, and say so."""
    with tempfile.TemporaryDirectory(dir=above) as folder:
        root = Path(folder)
        drop(root / "in", pairs)
        entered, claimed = take(root)
        print(
            f"{pairs} pairs: in the ledger after {entered:.1f} s, looked at after {claimed:.1f} s"
        )
        seconds, megabytes = look_at(root)
        print(f"1-megapixel pair: queued after {seconds:.3f} s; intake holds {megabytes:.0f} MB")
        finish(root)
        megabytes, share = idle(root)
        print(f"idle with {pairs} finished jobs: {megabytes:.0f} MB, {share:.2f} % of a core")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--idle"]:
        watch(settings(Path(sys.argv[2])))
    else:
        arguments = sys.argv[1:]
        main(
            int(arguments[0]) if arguments else 10_000,
            Path(arguments[1]) if arguments[1:] else None,
        )
