"""One strike at a daemon, and what is wrong after the next start: a row of the fault matrix."""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.e2e.invariants import Bytes, Place
from tests.e2e.plan import Plan

from stylewatch_daemon.settings.job import Artifact

KEPT = "nothing lost, twice or half; same bytes"


@dataclass(frozen=True)
class Row:
    """A fault, when it comes, what is looked at, and how that is done: what was wrong."""

    fault: str
    step: str
    checked: str
    try_it: Callable[[Path], list[str] | None]
    """None: cannot be tried on this machine."""


def ended(process: subprocess.Popen[bytes], meanwhile: Callable[[], object] = lambda: None) -> int:
    """How a daemon ends; something more may be done meanwhile."""
    try:
        meanwhile()
        return process.wait(timeout=300)
    finally:
        process.kill()


@cache
def undisturbed(
    backend: str, jobs: str, *, series: bool = False, keep: tuple[Artifact, ...] = ()
) -> Bytes:
    """What these jobs come to when nothing happens, each by itself."""
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root), series=series)
        place.drop(*jobs)
        if ended(Plan(root, backend=backend, keep=keep).start()):
            raise RuntimeError((place.root / "said").read_text())
        return place.pictures()


def strike(
    root: Path,
    plan: Plan,
    ends: int,
    mend: Callable[[], object],
    *,
    series: bool = False,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[str]:
    """Run as planned, which must end with `ends`; `mend` it, start again; what was wrong.

    Something more may be done `meanwhile`.
    """
    jobs = "ab" if plan.batch == 1 else "abcd"
    place = Place(root, series=series)
    wanted = undisturbed(plan.backend, jobs, series=series, keep=plan.keep)
    place.drop(*jobs)
    plan = replace(plan, root=str(root))
    code, wrong = ended(plan.start(), meanwhile), []
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
