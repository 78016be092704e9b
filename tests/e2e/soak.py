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

AHEAD = 40
"""Jobs that are in the inbox or wait at a time."""

SAMPLES = 100
KINDS = ("good",) * 8 + ("bad", "mistake")

Sample = Mapping[str, float]
GROWTH = {"MB": (1.05, 2.0), "open files": (1.0, 2.0), "threads": (1.0, 2.0)}
"""For each value of a sample: how large it may be in the last quarter of the jobs, as a factor and
an amount besides, compared with the second quarter."""


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
    todo, ended = list(enumerate(names(jobs))), 0
    daemon.start("--config", "config.yaml", *FAST)
    try:
        while ended < jobs:
            while todo and todo[0][0] < ended + AHEAD:
                number, job = todo.pop(0)
                drop(space, f"{KINDS[number % len(KINDS)]}-{job}")
            before = ended
            wait_for(partial(has_ended, space, before + 1))
            ended = count(space)
            if ended * SAMPLES // jobs > before * SAMPLES // jobs:
                with suppress(OSError):  # a child has just ended
                    samples.append(dict(sample(daemon)))
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


def count(space: Workspace) -> int:
    """Return how many jobs have ended."""
    return len(space.done()) + len([*space.outbox.glob("_refused/*/reason.txt")])


def has_ended(space: Workspace, jobs: int) -> bool:
    """Return True once so many jobs have ended."""
    return count(space) >= jobs


def verdict(samples: Sequence[Sample]) -> tuple[bool, list[str]]:
    """Return whether all that should be is flat, and a table of medians."""
    rows = ["| | second quarter | last quarter | at most | |", "| --- | --- | --- | --- | --- |"]
    all_flat, quarter = True, len(samples) // 4
    for what in samples[0]:
        factor, amount = GROWTH[what.partition(", ")[2]]
        before = median(values[what] for values in samples[quarter : 2 * quarter])
        after = median(values[what] for values in samples[3 * quarter :])
        most = before * factor + amount
        all_flat = all_flat and after <= most
        word = "flat" if after <= most else "GROWS"
        rows.append(f"| {what} | {before:.1f} | {after:.1f} | {most:.1f} | {word} |")
    return all_flat, rows


def main() -> int:
    """Run both and print the table; return 1 if anything is wrong."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        wrong = killed(Path(first), 200, 40)
        print("\n".join(wrong[:20]) or "200 jobs, 40 kills: the same bytes, all once.", flush=True)
        misdone, samples = grown(Path(second), 1000)
    flat, rows = verdict(samples)
    print("\n".join(["", *rows, "", *misdone[:20]]))
    print("1,000 jobs: nothing grows." if flat else "1,000 jobs: something grows.")
    return 1 if wrong or misdone or not flat else 0


if __name__ == "__main__":
    sys.exit(main())
