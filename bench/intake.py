"""Many pairs at once, and many finished jobs: `python -m bench.intake [PAIRS] [FOLDER]`.

Measures the time until all pairs are in the ledger, and until all are claimed and inspected, both
with every sync in place; the time of a pair of one megapixel from settled to queued; and the cost
of an idle daemon with as many finished jobs in its ledger. The results depend on the disk of
FOLDER, by default the system's folder for temporary files.
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


def fill_inbox(inbox: Path, pairs: int) -> None:
    """Write small pairs, as files in one folder; no two contents are the same."""
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
def pipeline_in(root: Path) -> Iterator[tuple[Pipeline, Wakeup]]:
    """Yield a pipeline with a real process for inspection, and its wakeup."""
    state, wakeup = State(root / "state"), Wakeup()
    state.make()
    with closing(state), closing(InspectionClient(wakeup.request_scan)) as inspection:
        worker = Local(state.worker_lock)
        yield Pipeline(settings(root), state, worker, Reporter(), wakeup, inspection), wakeup


def time_all_pairs(root: Path) -> tuple[float, float]:
    """Return the seconds until all pairs are entered, and until all are claimed and inspected."""
    with pipeline_in(root) as (pipeline, wakeup):
        began = time.perf_counter()
        pipeline.scan()
        pipeline.scan()
        for inbox in pipeline.ingest.inboxes:
            inbox.enter()
        entered = time.perf_counter() - began
        inspect_all(pipeline, wakeup)
        return entered, time.perf_counter() - began


def inspect_all(pipeline: Pipeline, wakeup: Wakeup) -> None:
    """Claim and inspect all pairs."""
    while pipeline.claim() or (pipeline.ingest.is_inspecting and wakeup.wait(1)):
        pass


def time_one_pair(root: Path) -> tuple[float, float]:
    """Return the seconds from settled to queued of a pair of 1 megapixel, and the child's MB.

    The child is warm; the best of ten, as others may be at work on this machine.
    """
    took, content, style = [], picture(1000), picture(1001)
    with pipeline_in(root) as (pipeline, wakeup):
        for number in range(11):
            (root / "in" / f"m{number}.content.jpg").write_bytes(content + number.to_bytes(4))
            (root / "in" / f"m{number}.style.jpg").write_bytes(style + number.to_bytes(4))
            pipeline.scan()
            pipeline.scan()
            began = time.perf_counter()
            pipeline.enter()
            inspect_all(pipeline, wakeup)
            took.append(time.perf_counter() - began)
        (child,) = child_pids(NAME)
        return min(took[1:]), resident(child) / 1e6


def mark_done(root: Path) -> None:
    """Set all jobs to done, without painting them."""
    state = State(root / "state")
    with state.ledger.transaction():
        for job_id in state.ledger.open_jobs():
            state.ledger.change(job_id, state="done")
    state.enter_missing()
    state.close()


def measure_idle(root: Path) -> tuple[float, float]:
    """Return the megabytes of an idle daemon, and its percent of a core."""
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
    """Measure, and print the results."""
    with tempfile.TemporaryDirectory(dir=above) as folder:
        root = Path(folder)
        fill_inbox(root / "in", pairs)
        entered, claimed = time_all_pairs(root)
        print(
            f"{pairs} pairs: in the ledger after {entered:.1f} s, inspected after {claimed:.1f} s"
        )
        seconds, megabytes = time_one_pair(root)
        print(
            f"1-megapixel pair: queued after {seconds:.3f} s; inspection holds {megabytes:.0f} MB"
        )
        mark_done(root)
        megabytes, share = measure_idle(root)
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
