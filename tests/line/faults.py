"""The fault matrix: real daemons, struck at every named step: `python -m tests.line.faults`."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.line import hostile
from tests.line.promises import Bytes, Place
from tests.line.stricken import Plan, remount

BEFORE_A_WORKER = ("settled", "entered", "claimed", "judged", "let go")
STEPS = {  # and which time it is that one comes to it: in the midst of things
    "settled": 1,
    "entered": 1,
    "claimed": 2,
    "judged": 2,
    "let go": 2,
    "attempt begun": 2,
    "started": 2,
    "stage staged": 2,
    "stage published": 2,
    "checkpoint kept": 1,
    "final staged": 2,
    "final published": 2,
    "receipt staged": 2,
    "archived": 2,
    "receipt published": 2,
    "ledger done": 1,
    "job folder removed": 1,
}
IN_INTAKE = {"asked": 1, "decoding": 3, "looked at": 1, "answered": 1}
"""The steps that the intake process makes; the third picture is of the second job."""

AT_ONCE = [("attempt begun", 3), ("stage staged", 4), ("stage staged", 8), ("receipt staged", 3)]
"""Steps of those that are painted at once, and which time they are, the first job's included."""

FULL = {  # what cannot be written, which disk is filled up, and when
    "a stage": ("out", "stage staged"),
    "the checkpoint": ("state", "stage staged"),
    "the receipt": ("out", "final staged"),
    "the ledger": ("state", "receipt staged"),
}
OVER_MOUNTS = [
    ("supervisor", "claimed"),
    ("supervisor", "decoding"),
    ("supervisor", "judged"),
    ("supervisor", "let go"),
    ("intake", "decoding"),
]
KEPT = "nothing lost, twice or half; same bytes"


@dataclass(frozen=True)
class Row:
    """A fault, when it comes, what is looked at, and how that is done: what was wrong."""

    fault: str
    step: str
    checked: str
    try_it: Callable[[Path], list[str] | None]
    """None: cannot be tried on this machine."""


def ended(process: subprocess.Popen[bytes]) -> int:
    """How a daemon ends."""
    try:
        return process.wait(timeout=100)
    finally:
        process.kill()


@cache
def undisturbed(backend: str, jobs: str) -> Bytes:
    """What these jobs come to when nothing happens, each by itself."""
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        place.drop(*jobs)
        if ended(Plan(root, backend=backend).start()):
            raise RuntimeError((place.root / "said").read_text())
        return place.pictures()


def strike(root: Path, plan: Plan, ends: int, mend: Callable[[], object]) -> list[str]:
    """Run as planned, which must end with `ends`; `mend` it, start again; what was wrong."""
    jobs = "ab" if plan.batch == 1 else "abcd"
    place, wanted = Place(root), undisturbed(plan.backend, jobs)
    place.drop(*jobs)
    plan = replace(plan, root=str(root))
    code, wrong = ended(plan.start()), []
    if not (root / "struck").exists():
        wrong.append("it did not come to that step")
    if code != ends:
        wrong.append(f"it ended with {code}, not {ends}")
    wrong += place.wrong_now(wanted)
    mend()
    if code := ended(plan.start()):
        wrong.append(f"the next start ended with {code}")
    wrong += place.wrong_at_the_end(wanted)
    if place.most_at_once() != len(jobs[1:]) and plan.batch > 1:  # the first tells that it can be
        wrong.append(f"{place.most_at_once()} were painted at once")
    return wrong


def killed(whom: str, step: str, nth: int, backend: str = "sketch") -> Row:
    """Kill -9, and start again; a child alone is replaced by the daemon itself."""
    plan = Plan("", backend=backend, step=step, nth=nth, fault=f"kill {whom}")
    ends = 0 if whom in ("worker", "intake") else -9
    name = f"kill -9: {whom}" if backend == "sketch" else f"kill -9: {whom}, with {backend}"
    return Row(name, step, KEPT, lambda root: strike(root, plan, ends, lambda: None))


def killed_at_once(whom: str, step: str, nth: int) -> Row:
    """Kill -9 while three are painted at once, after one alone."""
    plan = Plan("", step=step, nth=nth, fault=f"kill {whom}", batch=8)
    ends = 0 if whom == "worker" else -9
    name = f"kill -9: {whom}, with three at once"
    return Row(name, step, KEPT, lambda root: strike(root, plan, ends, lambda: None))


def on_small_disks(
    root: Path, plan: Plan, mend: Callable[[], object], ends: int = 75
) -> list[str] | None:
    """A run with an outbox and a state folder on disks of their own."""
    if not CAN_MOUNT:
        return None
    with ExitStack() as stack:
        for name in ("out", "state"):
            stack.enter_context(small_disk(root / name, 4096))
        return strike(root, plan, ends, mend)


def killed_over_mounts(whom: str, step: str) -> Row:
    """Kill -9 where inbox, outbox and state folder lie on disks of their own, and start again."""
    plan, ends = Plan("", step=step, fault=f"kill {whom}"), 0 if whom == "intake" else -9
    return Row(
        f"kill -9: {whom}, over mounts",
        step,
        KEPT,
        lambda root: on_small_disks(root, plan, lambda: None, ends),
    )


def full(what: str, disk: str, step: str) -> Row:
    """The disk is full from `step` on; then there is room again."""
    plan = Plan("", step=step, fault=f"fill {disk}")
    return Row(
        "disk full",
        f"writing {what}",
        f"it waits; then {KEPT}",
        lambda root: on_small_disks(root, plan, (root / disk / ".filler").unlink),
    )


def no_checkpoint() -> Row:
    """The worker cannot write as much as a checkpoint is long, while all else finds its place."""
    plan = Plan("", step="checkpoint begun", fault="limit files")
    checked = f"it waits; then {KEPT}"
    return Row(
        "disk full", "writing the checkpoint alone", checked,
        lambda root: strike(root, plan, 75, lambda: None),
    )  # fmt: skip


def clock(said: str, hours: int, step: str) -> Row:
    """Somebody sets the clock; at the next start it is right again."""
    plan = Plan("", step=step, fault=f"clock {3600 * hours}")
    return Row(f"clock {said}", step, KEPT, lambda root: strike(root, plan, 0, lambda: None))


def read_only(step: str) -> Row:
    """The outbox cannot be written from `step` on; then it can."""
    plan = Plan("", step=step, fault="lock out")
    return Row(
        "outbox read-only",
        step,
        f"it waits; then {KEPT}",
        lambda root: on_small_disks(root, plan, lambda: remount(root / "out", "rw")),
    )


def hung() -> Row:
    """The worker is stopped, and says nothing any more."""
    plan = Plan("", step="stage published", fault="stop worker", step_timeout_s=1.0)
    checked = f"it is ended, the job tried again; {KEPT}"
    return Row("hung worker", plan.step, checked, lambda r: strike(r, plan, 0, lambda: None))


CLOCKS = tuple(
    clock(said, hours, step)
    for step in ("settled", "stage published")
    for said, hours in (("set back a day", -24), ("set forward a year", 24 * 365))
)


def kills() -> Iterator[Row]:
    """Whoever is killed, at each step."""
    for whom in ("supervisor", "worker", "both"):
        for step, nth in STEPS.items():
            if whom == "supervisor" or step not in BEFORE_A_WORKER:
                yield killed(whom, step, nth)
    for whom in ("intake", "supervisor"):
        yield from (killed(whom, step, nth) for step, nth in IN_INTAKE.items())
    for whom, step in OVER_MOUNTS:
        yield killed_over_mounts(whom, step)
    for step in ("checkpoint kept", "receipt published"):
        yield killed("both", step, 1, "torch")
    for whom in ("supervisor", "worker", "both"):
        yield from (killed_at_once(whom, step, nth) for step, nth in AT_ONCE)


def rows() -> Iterator[Row]:
    """The whole matrix."""
    yield from kills()
    yield from (full(what, disk, step) for what, (disk, step) in FULL.items())
    yield no_checkpoint()
    yield from (read_only(step) for step in ("settled", "stage staged", "archived"))
    yield from CLOCKS
    yield hung()
    for fault, step, checked, try_it in hostile.CASES:
        yield Row(fault, step, checked, try_it)


def short() -> list[Row]:
    """A handful, for every run of the tests."""
    return [
        killed("supervisor", "claimed", 2),
        killed("supervisor", "let go", 1),
        killed("intake", "decoding", 3),
        killed("worker", "stage staged", 2),
        killed("both", "receipt published", 2),
        killed_at_once("worker", "stage staged", 8),
    ]


def result(row: Row) -> list[str] | None:
    """What was wrong; None where it cannot be tried here."""
    with tempfile.TemporaryDirectory() as root:
        try:
            return row.try_it(Path(root))
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            return [f"{type(error).__name__}: {error}"]


def main() -> int:
    """Print the table, row by row; 1 where anything was wrong."""
    print("| fault | step | checked | result |\n| --- | --- | --- | --- |")
    tried = failed = 0
    for row in rows():
        wrong = result(row)
        said = "not tried: no mounts here" if wrong is None else "; ".join(wrong) or "holds"
        print(f"| {row.fault} | {row.step} | {row.checked} | {said} |", flush=True)
        tried, failed = tried + (wrong is not None), failed + bool(wrong)
    print(f"\n{tried} faults, {failed} of them with something wrong.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
