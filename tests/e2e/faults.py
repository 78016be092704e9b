"""The fault matrix: real daemons, with a fault at every named step: `python -m tests.e2e.faults`.

Words select rows: `python -m tests.e2e.faults clips hung`.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from tests import nodes
from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.e2e import changes
from tests.e2e.daemon import until
from tests.e2e.fault_injection import DEADLY, INJECTED, Plan, remount
from tests.e2e.invariants import Bytes, Kind, Workspace

from stylewatch_daemon.base.model import new_id
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.settings.job import Artifact

KEPT = "nothing lost, twice or half; same bytes"
WAITS = f"it waits; then {KEPT}"
GOOD = 300
"""Good jobs besides the poisonous ones."""

FLOOD = 20_000
"""Files: more than the kernel queues events for (fs.inotify.max_queued_events is 16384)."""

WITHIN = 90.0
"""Seconds that anything here may take, many times what it needs."""

DISK_KIB = 4096

STEPS = {  # and how often it is reached before the fault: in the middle of the run
    "stable": 1,
    "entered": 1,
    "claimed": 2,
    "verdict received": 2,
    "originals removed": 2,
    "attempt begun": 2,
    "folder made": 2,
    "started": 2,
    "stage staged": 2,
    "stage published": 2,
    "checkpoint kept": 1,
    "final staged": 2,
    "final published": 2,
    "receipt staged": 2,
    "end decided": 1,
    "archived": 2,
    "receipt published": 2,
    "end noted": 1,
    "ledger done": 1,
    "job folder removed": 1,
}
BEFORE_A_WORKER = ("stable", "entered", "claimed", "verdict received", "originals removed")
IN_INSPECTION = {"asked": 1, "decoding": 3, "inspected": 1, "answered": 1}
IN_A_RETRY = ("retry copied", "retry whole", "retry made", "retried", "entered")
WITH_ARTIFACTS = {"artifacts begun": 2, "artifact staged": 3, "artifact published": 3}
OF_A_CLIP = {"decoding": 3, "frame staged": 4, "segment kept": 2, "checkpoint kept": 3,
             "clip begun": 2, "final published": 1, "archived": 1}  # fmt: skip
ARTIFACTS: tuple[Artifact, ...] = ("losses.png", "progress.webp")
OVER_MOUNTS = [
    ("daemon", "claimed"),
    ("daemon", "decoding"),
    ("daemon", "verdict received"),
    ("daemon", "originals removed"),
    ("inspection", "decoding"),
]
PROCESSES = ("daemon", "worker", "both")
FULL = {  # what cannot be written: which disk is filled, at which step
    "a stage": ("out", "stage staged"),
    "the checkpoint": ("state", "stage staged"),
    "the receipt": ("out", "final staged"),
    "the ledger": ("state", "receipt staged"),
}
FULL_OF_A_CLIP = {
    "a frame": ("out", "frame staged"),
    "a segment": ("out", "segment begun"),
    "the clip": ("out", "clip begun"),
}
CLOCKS = {"back a day": -24, "forward a year": 24 * 365}


@dataclass(frozen=True)
class Row:
    """A row of the table; `run` returns what is wrong, None where this machine cannot try it."""

    fault: str
    step: str
    checked: str
    run: Callable[[Path], list[str] | None]


def nothing() -> None:
    """Do nothing."""


def wait_for(condition: Callable[[], object]) -> None:
    """Wait for `condition`; raises TimeoutError after WITHIN seconds."""
    if not until(condition, WITHIN):
        raise TimeoutError("the expected state was not reached")


def exit_code(process: subprocess.Popen[bytes], during: Callable[[], object] = nothing) -> int:
    """Call `during`, wait for the daemon, and return its exit code."""
    try:
        during()
        return process.wait(timeout=300)
    finally:
        process.kill()


@cache
def undisturbed(
    backend: str,
    jobs: str,
    kind: Kind = "pictures",
    artifacts: tuple[Artifact, ...] = (),
) -> Bytes:
    """Return the pictures of these jobs without faults, each run by itself."""
    with tempfile.TemporaryDirectory() as root:
        space = Workspace(Path(root), kind)
        space.drop(*jobs)
        if exit_code(Plan(root, backend=backend, artifacts=artifacts).start()):
            raise RuntimeError((space.root / "log").read_text())
        return space.pictures()


def inject(
    root: Path,
    plan: Plan,
    expected: int,
    repair: Callable[[], object] = nothing,
    *,
    kind: Kind = "pictures",
    during: Callable[[], object] = nothing,
) -> list[str]:
    """Run as planned, which must end with `expected`; repair, start again; return what is wrong."""
    space = Workspace(root, kind)
    wanted = undisturbed(plan.backend, "ab", kind, artifacts=plan.artifacts)
    space.drop("a", "b")
    plan = replace(plan, root=str(root))
    code, wrong = exit_code(plan.start(), during), []
    if not (root / INJECTED).exists():
        wrong.append("the step was not reached")
    if code != expected:
        wrong.append(f"exit code {code}, not {expected}")
    wrong += space.violations(wanted)
    repair()
    if code := exit_code(plan.start()):
        wrong.append(f"the next start ended with {code}")
    return [*wrong, *space.final_violations(wanted)]


def on_small_disks(
    root: Path,
    plan: Plan,
    repair: Callable[[], object] = nothing,
    expected: int = 75,
    *,
    kind: Kind = "pictures",
) -> list[str] | None:
    """Do the same with outbox and state folder on disks of their own."""
    if not CAN_MOUNT:
        return None
    with ExitStack() as stack:
        for name in ("out", "state"):
            stack.enter_context(small_disk(root / name, DISK_KIB))
        return inject(root, plan, expected, repair, kind=kind)


def killed(
    process: str,
    step: str,
    nth: int,
    where: str = "",
    *,
    kind: Kind = "pictures",
    **more: Any,
) -> Row:
    """Kill -9 and start again; the daemon itself replaces a child that was killed alone."""
    plan = Plan("", step=step, nth=nth, fault=f"kill {process}", **more)
    expected = 0 if process in ("worker", "inspection") else -9
    name = f"kill -9: {process}{where}"
    if where == ", over mounts":
        return Row(name, step, KEPT, lambda r: on_small_disks(r, plan, expected=expected))
    return Row(name, step, KEPT, lambda r: inject(r, plan, expected, kind=kind))


def kills() -> Iterator[Row]:
    """Yield the rows in which a process is killed at a step."""
    for process in PROCESSES:
        for step, nth in STEPS.items():
            if process == "daemon" or step not in BEFORE_A_WORKER:
                yield killed(process, step, nth)
    for process in ("inspection", "daemon"):
        yield from (killed(process, step, nth) for step, nth in IN_INSPECTION.items())
    for process, step in OVER_MOUNTS:
        yield killed(process, step, 1, ", over mounts")
    for step in ("checkpoint kept", "receipt published"):
        yield killed("both", step, 1, ", with torch", backend="torch")


def kills_in_other_jobs() -> Iterator[Row]:
    """Yield the rows in which a process is killed in a clip, a retry, or a job's artifacts."""
    for process, (step, nth) in product(PROCESSES, WITH_ARTIFACTS.items()):
        yield killed(process, step, nth, ", with artifacts", artifacts=ARTIFACTS)
    for process, (step, nth) in product(PROCESSES, OF_A_CLIP.items()):
        if process == "daemon" or step != "decoding":
            yield killed(process, step, nth, ", with clips", kind="clip")
    for step in IN_A_RETRY:
        yield Row("kill -9: daemon, in a retry", step, KEPT, partial(retried, step))


def retried(step: str, root: Path) -> list[str]:
    """Kill the daemon while it makes a job of a request to retry another one."""
    space, plan = Workspace(root), Plan(str(root))
    space.drop("a")
    wrong = [f"exit code {code}"] if (code := exit_code(plan.start())) else []
    pictures = space.pictures()
    wanted = pictures | {name.replace("a/", "a-2/"): seen for name, seen in pictures.items()}
    with reading(space.state / FILE_NAME) as ledger:
        job = ledger.find("a")
    assert job is not None
    requests.leave(space.state, "retry", job=job.id, new=new_id(), settings=job.settings)
    if (code := exit_code(replace(plan, step=step, fault="kill daemon").start())) != -9:
        wrong.append(f"exit code {code}, not -9")
    wrong += space.violations(wanted)
    wrong += [f"exit code {code}"] if (code := exit_code(plan.start())) else []
    space.dropped["a-2"] = space.dropped["a"]
    return [*wrong, *space.final_violations(wanted)]


def shortages() -> Iterator[Row]:
    """Yield the rows with full and read-only disks; then the disk is writable again."""

    def full(disk: str, step: str, kind: Kind, root: Path) -> list[str] | None:
        plan = Plan("", step=step, fault=f"fill {disk}")
        return on_small_disks(root, plan, (root / disk / ".filler").unlink, kind=kind)

    def read_only(step: str, root: Path) -> list[str] | None:
        plan = Plan("", step=step, fault="lock out")
        return on_small_disks(root, plan, lambda: remount(root / "out", "rw"))

    for what, (disk, step) in FULL.items():
        yield Row("disk full", f"writing {what}", WAITS, partial(full, disk, step, "pictures"))
    for what, (disk, step) in FULL_OF_A_CLIP.items():
        with_clips = partial(full, disk, step, "clip")
        yield Row("disk full, with clips", f"writing {what}", WAITS, with_clips)
    limited = Plan("", step="checkpoint begun", fault="limit files")
    yield Row("disk full", "writing the checkpoint alone", WAITS, lambda r: inject(r, limited, 75))
    for step in ("stable", "stage staged", "archived"):
        yield Row("outbox read-only", step, WAITS, partial(read_only, step))


def clocks() -> Iterator[Row]:
    """Yield the rows in which someone sets the clock; at the next start it is right again."""
    for step in ("stable", "stage published"):
        for name, hours in CLOCKS.items():
            plan = Plan("", step=step, fault=f"clock {3600 * hours}")
            yield Row(f"clock set {name}", step, KEPT, partial(inject, plan=plan, expected=0))


def hung() -> Row:
    """Stop the worker, which then sends no more events."""
    plan = Plan("", step="stage published", fault="stop worker", step_timeout_s=1.0)
    checked = f"it is ended, the job tried again; {KEPT}"
    return Row("hung worker", plan.step, checked, lambda r: inject(r, plan, 0))


# Faults around a daemon, not at a step of a job.


@contextmanager
def watching(space: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that watches, and has completed the job `first`."""
    space.drop("first")
    daemon = Plan(str(space.root), mode="watch").start()
    try:
        wait_for(lambda: space.done() == ["first"])
        yield daemon
    finally:
        daemon.send_signal(signal.SIGCONT)
        daemon.terminate()
        daemon.wait(WITHIN)


def wrong_at_the_end(space: Workspace, daemon: subprocess.Popen[bytes]) -> list[str]:
    """Wait until all jobs are done, stop the daemon, and return what is wrong."""
    wait_for(lambda: space.done() == sorted(space.dropped))
    daemon.terminate()
    code = daemon.wait(WITHIN)
    wrong = [f"exit code {code}"] if code else []
    return [*wrong, *space.final_violations(space.pictures())]


def truncated(root: Path) -> list[str]:
    """Write half of a picture, wait until it is claimed and given back, and write the rest."""
    space = Workspace(root)

    def is_awaited() -> bool:
        status = (space.state / "status.json").read_text(encoding="utf-8")
        return "the rest of content.jpg" in status

    with watching(space) as daemon:
        space.drop_slowly("second", lambda: wait_for(is_awaited))
        return wrong_at_the_end(space, daemon)


def truncated_over_mounts(root: Path) -> list[str] | None:
    """Do the same where pairs are claimed by a copy."""
    if not CAN_MOUNT:
        return None
    with small_disk(root / "state", DISK_KIB):
        return truncated(root)


def inbox_renamed(root: Path) -> list[str]:
    """Rename the inbox under a daemon, and make a new one with a pair in it."""
    space = Workspace(root)
    with watching(space) as daemon:
        space.inbox.rename(root / "away")
        time.sleep(2)
        space.inbox.mkdir()
        space.drop("second")
        return wrong_at_the_end(space, daemon)


def flood(root: Path) -> list[str]:
    """Have the kernel drop events while the daemon does not read them; one is of a pair."""
    space = Workspace(root)
    with watching(space) as daemon:
        daemon.send_signal(signal.SIGSTOP)
        for number in range(FLOOD):
            (space.inbox / f"{number}.txt").touch()
        space.drop("second")
        daemon.send_signal(signal.SIGCONT)
        wait_for(lambda: space.done() == ["first", "second"])
        for number in range(FLOOD):
            (space.inbox / f"{number}.txt").unlink()
        return wrong_at_the_end(space, daemon)


def poison(root: Path) -> list[str]:
    """Run jobs that are refused or kill every worker among many good ones."""
    space = Workspace(root)
    good = [f"good-{number:03}" for number in range(GOOD)]
    bad = {
        DEADLY: "the worker process died",
        "broken": "content.jpg",
        "typo": "job.yaml",
    }
    space.drop(*good[: GOOD // 2], *bad, *good[GOOD // 2 :])
    (space.inbox / "broken/content.jpg").write_text("this is no picture")
    (space.inbox / "typo/job.yaml").write_text("stepps: 10\n")
    del space.dropped["broken"]
    code = exit_code(Plan(str(root)).start())
    wrong = [] if code == 70 else [f"exit code {code}"]
    if space.done() != good:
        wrong.append(f"done are {space.done()}")
    reasons = {
        path.parent.name: path.read_text() for path in space.outbox.glob("_refused/*/reason.txt")
    }
    if reasons.keys() != bad.keys():
        wrong.append(f"refused are {sorted(reasons)}")
    wrong += [f"{job}: {text}" for job, text in reasons.items() if bad.get(job, "") not in text]
    return [*wrong, *space.violations({})]


def two_daemons(root: Path) -> list[str]:
    """Start a second daemon on the same state folder while the first one runs a job."""
    space = Workspace(root)
    with watching(space) as daemon:
        space.drop("second")
        code = exit_code(Plan(str(root)).start())
        wrong = [] if code == 78 else [f"the second one ended with {code}"]
        return [*wrong, *wrong_at_the_end(space, daemon)]


def around_the_daemon() -> Iterator[Row]:
    """Yield the rows with faults around a daemon."""
    complete = "it is painted whole, all once"
    yield Row("half a photograph, then the rest", "watching", complete, truncated)
    yield Row("the same, over mounts", "watching", complete, truncated_over_mounts)
    next_pair = "the next pair is painted, all once"
    yield Row("inbox removed, and back", "watching", next_pair, inbox_renamed)
    found = f"the scan finds what was lost: a pair behind {FLOOD} files is painted"
    yield Row("a flood of events", "watching", found, flood)
    refused = "the good ones are done, 3 refused or failed, with the reason"
    yield Row(f"poison: 3 jobs among {GOOD} good ones", "whole run", refused, poison)
    second = "the second refused, all painted once"
    yield Row("two daemons, one state", "watching", second, two_daemons)


def rows() -> Iterator[Row]:
    """Yield the whole matrix."""
    for family in (kills, kills_in_other_jobs, shortages, clocks):
        yield from family()
    yield hung()
    yield from around_the_daemon()
    every_change = "nothing lost, twice or half"
    yield Row("kill -9: daemon", "every change of the disk", every_change, changes.kill_at_all)
    if nodes.HERE:
        from tests.e2e import cluster_faults

        yield from cluster_faults.rows()


def short() -> list[Row]:
    """Return the rows that are part of every run of the tests."""
    return [
        killed("inspection", "decoding", 3),
        killed("both", "final staged", 2),
        killed("both", "frame staged", 4, ", with clips", kind="clip"),
    ]


def result(row: Row) -> list[str] | None:
    """Run a row; return what is wrong, None where it cannot be tried here."""
    with tempfile.TemporaryDirectory() as root:
        try:
            return row.run(Path(root))
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            return [f"{type(error).__name__}: {error}"]


def main(words: Sequence[str]) -> int:
    """Print the table, or the rows with one of `words`; return 1 if anything is wrong."""
    print("| fault | step | checked | result |\n| --- | --- | --- | --- |")
    tried = failed = 0
    with tempfile.TemporaryDirectory() as folder, nodes.with_a_token(Path(folder)):
        for row in rows():
            if words and not any(word in f"{row.fault}, {row.step}" for word in words):
                continue
            wrong = result(row)
            text = "not tried: no mounts here" if wrong is None else "; ".join(wrong) or "holds"
            print(f"| {row.fault} | {row.step} | {row.checked} | {text} |", flush=True)
            tried, failed = tried + (wrong is not None), failed + bool(wrong)
    print(f"\n{tried} faults, {failed} of them with something wrong.")
    if not nodes.HERE:
        print("The rows of a cluster are left out: Ray is not installed here.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
