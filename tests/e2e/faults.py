"""The fault matrix: real daemons, struck at every named step: `python -m tests.e2e.faults`.

Words behind that choose rows: `python -m tests.e2e.faults series hung`.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests import nodes
from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.e2e import clustered, hostile
from tests.e2e.plan import Plan, remount
from tests.e2e.strike import KEPT, Row, strike

from stylewatch_daemon.settings.job import Artifact

BEFORE_A_WORKER = ("settled", "entered", "claimed", "judged", "let go")
STEPS = {  # and which time it is that one comes to it: in the midst of things
    "settled": 1,
    "entered": 1,
    "claimed": 2,
    "judged": 2,
    "let go": 2,
    "attempt begun": 2,
    "folder made": 2,
    "started": 2,
    "stage staged": 2,
    "stage published": 2,
    "checkpoint kept": 1,
    "final staged": 2,
    "final published": 2,
    "receipt staged": 2,
    "archived": 2,
    "receipt published": 2,
    "end noted": 1,
    "ledger done": 1,
    "job folder removed": 1,
}
IN_INTAKE = {"asked": 1, "decoding": 3, "looked at": 1, "answered": 1}
"""The steps that the intake process makes; the third picture is of the second job."""

AT_ONCE = [("folder made", 3), ("stage staged", 4), ("stage staged", 8), ("receipt staged", 3)]
"""Steps of those that are painted at once, and which time they are, the first job's included."""

OF_A_SERIES = {"member made": 3, "series divided": 2}
OF_ITS_SHEET = ("sheet begun", "sheet staged", "sheet published")
"""Steps of series, each of two jobs; those of the sheet come to a worker."""

OF_KEEPSAKES = {"keepsakes begun": 2, "keepsake staged": 3, "keepsake published": 3}
"""Steps of jobs that keep two things, and which time they are: in the midst of the second job's."""
KEEPSAKES: tuple[Artifact, ...] = ("losses.png", "progress.webp")

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


def _killed(whom: str, plan: Plan, among: str = "", *, series: bool = False) -> Row:
    """Kill -9 as planned, and start again; a child alone is replaced by the daemon itself."""
    plan, ends = replace(plan, fault=f"kill {whom}"), 0 if whom in ("worker", "intake") else -9
    name = f"kill -9: {whom}{among}"
    return Row(
        name, plan.step, KEPT, lambda root: strike(root, plan, ends, lambda: None, series=series)
    )


def killed(whom: str, step: str, nth: int, backend: str = "sketch") -> Row:
    """Kill -9, and start again."""
    among = "" if backend == "sketch" else f", with {backend}"
    return _killed(whom, Plan("", backend=backend, step=step, nth=nth), among)


def killed_at_once(whom: str, step: str, nth: int) -> Row:
    """Kill -9 while three are painted at once, after one alone."""
    return _killed(whom, Plan("", step=step, nth=nth, batch=8), ", with three at once")


def killed_in_a_series(whom: str, step: str, nth: int) -> Row:
    """Kill -9 while a series is divided, or its sheet drawn."""
    return _killed(whom, Plan("", step=step, nth=nth), ", in a series", series=True)


def killed_keeping(whom: str, step: str, nth: int) -> Row:
    """Kill -9 while keepsakes are drawn, which another process does."""
    return _killed(whom, Plan("", step=step, nth=nth, keep=KEEPSAKES), ", with keepsakes")


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


def kills_in_a_series() -> Iterator[Row]:
    """Whoever is killed, at the steps that only a series has."""
    for step, nth in OF_A_SERIES.items():
        yield killed_in_a_series("supervisor", step, nth)
    for whom in ("supervisor", "worker", "both"):
        yield from (killed_in_a_series(whom, step, 1) for step in OF_ITS_SHEET)


def kills_with_keepsakes() -> Iterator[Row]:
    """Whoever is killed, at the steps that only keepsakes bring."""
    for whom in ("supervisor", "worker", "both"):
        yield from (killed_keeping(whom, step, nth) for step, nth in OF_KEEPSAKES.items())


def rows() -> Iterator[Row]:
    """The whole matrix."""
    yield from kills()
    yield from kills_in_a_series()
    yield from kills_with_keepsakes()
    yield from (full(what, disk, step) for what, (disk, step) in FULL.items())
    yield no_checkpoint()
    yield from (read_only(step) for step in ("settled", "stage staged", "archived"))
    yield from CLOCKS
    yield hung()
    for fault, step, checked, try_it in hostile.CASES:
        yield Row(fault, step, checked, try_it)
    if nodes.HERE:
        yield from clustered.rows()


def short() -> list[Row]:
    """A handful, for every run of the tests."""
    return [
        killed("supervisor", "claimed", 2),
        killed("supervisor", "let go", 1),
        killed("intake", "decoding", 3),
        killed("worker", "stage staged", 2),
        killed("both", "receipt published", 2),
        killed_at_once("worker", "stage staged", 8),
        killed_in_a_series("supervisor", "member made", 3),
        killed_in_a_series("both", "sheet staged", 1),
        killed_keeping("both", "keepsake staged", 3),
    ]


def result(row: Row) -> list[str] | None:
    """What was wrong; None where it cannot be tried here."""
    with tempfile.TemporaryDirectory() as root:
        try:
            return row.try_it(Path(root))
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            return [f"{type(error).__name__}: {error}"]


def main(words: Sequence[str]) -> int:
    """Print the table, or the rows that have one of `words` in it; 1 where anything was wrong."""
    print("| fault | step | checked | result |\n| --- | --- | --- | --- |")
    tried = failed = 0
    with tempfile.TemporaryDirectory() as folder, nodes.with_a_token(Path(folder)):
        for row in rows():
            if words and not any(word in f"{row.fault}, {row.step}" for word in words):
                continue
            wrong = result(row)
            said = "not tried: no mounts here" if wrong is None else "; ".join(wrong) or "holds"
            print(f"| {row.fault} | {row.step} | {row.checked} | {said} |", flush=True)
            tried, failed = tried + (wrong is not None), failed + bool(wrong)
    print(f"\n{tried} faults, {failed} of them with something wrong.")
    if not nodes.HERE:
        print("The rows of a cluster are left out: Ray is not installed here.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
