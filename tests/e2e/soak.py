"""Many jobs through one daemon: `make soak`.

After 40 kills, 200 jobs have the same bytes as without; in 1,000 jobs nothing grows.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

from tests.daemon.world import child_pids
from tests.e2e.daemon import Daemon
from tests.e2e.faults import daemon_at, undisturbed, wait_for, wrong_at_the_end
from tests.e2e.invariants import Workspace, files_under

OPTIONS = ("--set", "artifacts=[]")
FAST = (*OPTIONS, "--set", "steps=2", "--set", "backends.sketch={seconds_per_step: 0}")
DOOMED = ("daemon", "children", "both")
"""The processes to kill, in turn."""

AHEAD = 10
"""Jobs that are in the inbox or wait at a time."""

SAMPLES = 100
KINDS = ("good",) * 8 + ("bad", "mistake")

Sample = Mapping[str, float]
GROWS, MORE = 1.05, 2.0
"""How large a value of a sample may be in the last quarter of the jobs, compared with the second
quarter: as a factor, and an amount besides."""


def names(jobs: int) -> tuple[str, ...]:
    """Return the names of so many jobs."""
    return tuple(f"job-{number:04}" for number in range(jobs))


def kill(daemon: Daemon, doomed: str) -> None:
    """Kill -9 the daemon, its children or both; start it again if needed."""
    assert daemon.process is not None
    if doomed != "daemon":
        for pid in child_pids(of=str(daemon.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if doomed != "children":
        daemon.end(signal.SIGKILL)
        daemon.start("--config", "config.yaml", *OPTIONS)


def killed(root: Path, jobs: int, kills: int) -> list[str]:
    """Run jobs with evenly spread kills; return what differs from a run without."""
    wanted = undisturbed(OPTIONS, names(jobs)).pictures
    space, daemon = Workspace(root), daemon_at(root)
    space.drop(*names(jobs))
    daemon.start("--config", "config.yaml", *OPTIONS)
    try:
        for number in range(kills):
            wait_for(partial(has_ended, space, jobs * number // kills))
            kill(daemon, DOOMED[number % len(DOOMED)])
        return [*wrong_at_the_end(space, daemon), *space.final_violations(wanted)]
    finally:
        daemon.end(signal.SIGKILL)


def sample(daemon: Daemon) -> Iterator[tuple[str, float]]:
    """Yield megabytes, open files and threads of a daemon and of its children."""
    assert daemon.process is not None
    pid = daemon.process.pid
    for who, pids in {"daemon": [pid], "children": child_pids(of=str(pid))}.items():
        status = [Path(f"/proc/{each}/status").read_text() for each in pids]
        fields = [dict(line.split(":", 1) for line in text.splitlines()) for text in status]
        yield f"{who}, MB", sum(int(each["VmRSS"].split()[0]) for each in fields) / 1e3
        files = [len([*Path(f"/proc/{each}/fd").iterdir()]) for each in pids]
        yield f"{who}, open files", sum(files)
        yield f"{who}, threads", sum(int(each["Threads"]) for each in fields)


def grown(root: Path, jobs: int) -> tuple[list[str], list[Sample]]:
    """Run good, bad and mistaken jobs; return what is wrong with their ends, and samples."""
    space, daemon, samples = Workspace(root), daemon_at(root), list[Sample]()
    daemon.start("--config", "config.yaml", *FAST)
    try:
        for number, job in enumerate(names(jobs)):
            drop(space, f"{KINDS[number % len(KINDS)]}-{job}")
            wait_for(partial(has_ended, space, number - AHEAD))
            if number * SAMPLES // jobs > (number - 1) * SAMPLES // jobs:
                with suppress(OSError):  # a child has just ended
                    samples.append(dict(sample(daemon)))
        wait_for(partial(has_ended, space, jobs))
        wrong = [f"exit code {code}"] if (code := daemon.end()) else []
    finally:
        daemon.end(signal.SIGKILL)
    refused = {path.parent.name for path in space.outbox.glob("_refused/*/reason.txt")}
    strange = [
        job for job in [*refused, *space.done()] if job.startswith("good") == (job in refused)
    ]
    left = [f"{path} was left behind" for path in files_under(space.inbox)]
    return [*wrong, *(f"{job} came to a wrong end" for job in strange), *left], samples


def drop(space: Workspace, job: str) -> None:
    """Drop a job of the kind with which its name begins."""
    made = space.make(job)
    if job.startswith("bad"):
        (made / "content.jpg").write_text("this is no picture")
    if job.startswith("mistake"):
        (made / "job.yaml").write_text("stepps: 4\n")
    made.rename(space.inbox / job)


def has_ended(space: Workspace, jobs: int) -> bool:
    """Return True once so many jobs have ended."""
    return len(space.done()) + len([*space.outbox.glob("_refused/*/reason.txt")]) >= jobs


def growth(samples: Sequence[Sample]) -> Iterator[str]:
    """Print the medians of all values; yield what has grown."""
    quarter = len(samples) // 4
    for what in samples[0]:
        before = median(values[what] for values in samples[quarter : 2 * quarter])
        after = median(values[what] for values in samples[3 * quarter :])
        print(f"{what}: {before:.1f} in the second quarter, {after:.1f} in the last one")
        if after > before * GROWS + MORE:
            yield f"{what} has grown from {before:.1f} to {after:.1f}"


def main() -> int:
    """Run both; return 1 if anything is wrong."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        wrong = killed(Path(first), 200, 40)
        print("\n".join(wrong[:20]) or "200 jobs, 40 kills: the same bytes, all once.", flush=True)
        misdone, samples = grown(Path(second), 1000)
    misdone += growth(samples)
    print("\n".join(misdone[:20]) or "1,000 jobs: nothing grows.")
    return 1 if wrong or misdone else 0


if __name__ == "__main__":
    sys.exit(main())
