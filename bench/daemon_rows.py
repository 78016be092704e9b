"""Measures of the daemon itself: how soon a pair is claimed, long queues, what it costs at rest."""

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import rmtree

from bench.common import STYLEWATCH, cpu_seconds, probe, timed
from bench.rows import Measure, Reading, Row, Setting

QUIET_S = 2.0
"""The default of `watch.quiet_s`."""

CLAIM = Row("claim_s", "from the drop of a pair to its claim, by an idle daemon", "s", QUIET_S + 1)
SCAN = Row("claim_without_events_s", "the same without file events", "s", QUIET_S + 1)
FLOOD = Row("flood_s", "5,000 pairs at once, from the drop to the last claim", "s", 60)
ROUND = Row("round_ms", "a round of the main loop with 100,000 queued jobs", "ms", 50)
STATUS = Row("status_s", "`stylewatch status` with 100,000 queued jobs", "s", 1)
IDLE = Row("idle_cpu_s", "processor time of an idle daemon in 20 s", "s", 0)
RESIDENT = Row("idle_mb", "memory of an idle daemon", "MB", 48.2)  # 47,000 kB
JOBS = Row("jobs_per_s", "small jobs by `sketch`, one worker", "1/s", 3, higher=True)
GROWTH = Row("growth_mb", "growth of the daemon's memory over the second 1,000 jobs", "MB", 2)
DESCRIPTORS = Row("growth_fds", "growth of its file descriptors", "", 0)
THREADS = Row("growth_threads", "growth of its threads", "", 0)

PAIRS, QUEUED, PAINTED, WARM = 5_000, 100_000, 1_000, 100
IDLE_FOR = 20.0
WITHIN = 600.0
"""Seconds after which a daemon counts as stuck."""

OPTIONS = ("--set", "backend=sketch", "--set", "size=16", "--set", "steps=1",
           "--set", "limits.free_bytes=0", "--quiet")  # fmt: skip


@contextmanager
def daemon_in(root: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon with its folders below `root`, from when it watches."""
    rmtree(root, ignore_errors=True)
    root.mkdir()
    places = [word for name in ("inbox", "outbox", "state") for word in (f"--{name}", root / name)]
    process = subprocess.Popen([str(word) for word in (STYLEWATCH, "run", *places, *options)])
    try:
        until((root / "state/status.json").exists)
        yield process
    finally:
        process.terminate()
        process.wait()


def until(condition: Callable[[], object]) -> float:
    """Wait for `condition`; return when it was true, monotonic, in seconds."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the daemon is stuck")
        time.sleep(0.02)
    return time.monotonic()


def count(root: Path, which: str) -> int:
    """Return the number of jobs in the ledger that SQL selects."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{root}/state/ledger.sqlite3?mode=ro", uri=True)) as ledger,
    ):
        return int(ledger.execute(f"SELECT count(*) FROM jobs WHERE {which}").fetchone()[0])
    return 0


def has_ended(root: Path, jobs: int) -> bool:
    """Return whether so many jobs have ended."""
    return count(root, "state = 'ended'") >= jobs


def make_pairs(folder: Path, pairs: int, setting: Setting) -> None:
    """Make folders with a small pair each; no two contents are the same."""
    from PIL import Image

    small = {}
    for name, source in (("content", setting.content), ("style", setting.style)):
        picture = Image.open(source).convert("RGB").resize((48, 32))
        picture.save(path := setting.scratch / f"small-{name}.jpg")
        small[name] = path.read_bytes()
    for number in range(pairs):
        job = folder / f"{number:05}"
        job.mkdir(parents=True)
        (job / "content.jpg").write_bytes(small["content"] + number.to_bytes(4, "big"))
        (job / "style.jpg").write_bytes(small["style"])


def claims(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds until a pair is claimed, with file events and without."""
    for row, events in ((CLAIM, "yes"), (SCAN, "no")):
        root = setting.scratch / "claim"
        with daemon_in(root, *OPTIONS, "--set", f"watch.events={events}"):
            time.sleep(1)  # idle
            make_pairs(setting.scratch / "made", 1, setting)
            dropped = time.monotonic()
            (setting.scratch / "made").rename(root / "inbox/dropped")
            yield row.key, until(lambda: count(setting.scratch / "claim", "true")) - dropped


def flood(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds until the last of many pairs is claimed; none of them is painted."""
    root = setting.scratch / "flood"
    with daemon_in(root, *OPTIONS):
        subprocess.run([STYLEWATCH, "pause", "--state", root / "state"], check=True)
        make_pairs(setting.scratch / "many", PAIRS, setting)
        dropped = time.monotonic()
        (setting.scratch / "many").rename(root / "inbox/dropped")
        yield FLOOD.key, until(lambda: count(root, "state = 'queued'") == PAIRS) - dropped


def long_queue(setting: Setting) -> Iterator[Reading]:
    """Yield what a long queue costs the main loop, and `status`."""
    root = setting.scratch / "queue"
    found = probe("daemon_rows", root)
    yield ROUND.key, found["round_ms"]
    seconds = [
        timed("bash", "-c", f"{STYLEWATCH} status --state {root}/state > /dev/null; true")
        for _ in range(3)
    ]
    yield STATUS.key, statistics.median(seconds)


def rounds(root: Path) -> float:
    """Fill a ledger, and return the milliseconds of a round, with a scan and the status."""
    from tests.daemon.world import DaemonWorld

    from stylewatch_daemon.base.model import Input, Job, State, now
    from stylewatch_daemon.ledger.writer import LedgerWriter

    rmtree(root, ignore_errors=True)
    root.mkdir()
    world = DaemonWorld(root)
    world.executor.at_once = 0  # all workers are busy
    world.state.make()
    world.inbox.mkdir()
    with closing(LedgerWriter.open(world.state.ledger)) as ledger, ledger.transaction():
        for number in range(QUEUED):
            job_id, source = f"20260101T{number:06}", str(world.inbox / f"{number}.jpg")
            inputs = (Input("content", "content.jpg", source, 1, "ab" * 32, (48, 32)),)
            ledger.put(Job(job_id, f"album/{number}", str(world.inbox), str(world.outbox), now(),
                           state=State.QUEUED, inputs=inputs))  # fmt: skip
            (world.state.jobs / job_id).mkdir()
    loop = world.start()
    times = []
    for _ in range(20):
        began = time.perf_counter()
        loop.scan()
        loop.round()
        loop.jobs.next()
        loop.update_status()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def at_rest(setting: Setting) -> Iterator[Reading]:
    """Yield what an idle daemon costs."""
    with daemon_in(setting.scratch / "idle", *OPTIONS) as process:
        time.sleep(3)
        before = cpu_seconds(process.pid)
        time.sleep(IDLE_FOR)
        yield IDLE.key, cpu_seconds(process.pid) - before
        yield RESIDENT.key, resources(process.pid)[0]


def many_jobs(setting: Setting) -> Iterator[Reading]:
    """Yield jobs a second, and what the daemon holds more after many of them."""
    root = setting.scratch / "jobs"
    with daemon_in(root, *OPTIONS) as process:
        make_pairs(setting.scratch / "first", WARM, setting)
        (setting.scratch / "first").rename(root / "inbox/first")
        until(partial(has_ended, root, WARM))
        held, took = list[tuple[float, int, int]](), list[float]()
        for number in (1, 2):
            make_pairs(setting.scratch / f"{number}", PAINTED, setting)
            began, ended = time.monotonic(), WARM + number * PAINTED
            (setting.scratch / f"{number}").rename(root / f"inbox/{number}")
            took.append(until(partial(has_ended, root, ended)) - began)
            time.sleep(2)
            held.append(resources(process.pid))
    before, after = held
    yield JOBS.key, PAINTED / min(took)
    for row, less, more in zip((GROWTH, DESCRIPTORS, THREADS), before, after, strict=True):
        yield row.key, more - less


def resources(pid: int) -> tuple[float, int, int]:
    """Return the megabytes, the file descriptors and the threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    folder = Path(f"/proc/{pid}")
    return (
        kilobytes * 1024 / 1e6,
        len(list((folder / "fd").iterdir())),
        len(list((folder / "task").iterdir())),
    )


DAEMON: tuple[Measure[Setting], ...] = (
    Measure((CLAIM, SCAN), claims),
    Measure((FLOOD,), flood, once=True),
    Measure((ROUND, STATUS), long_queue, once=True),
    Measure((IDLE, RESIDENT), at_rest, once=True),
    Measure((JOBS, GROWTH, DESCRIPTORS, THREADS), many_jobs, once=True),
)


if __name__ == "__main__":
    print(json.dumps({"round_ms": rounds(Path(sys.argv[1]))}))
