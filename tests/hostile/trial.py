"""Tries cases: several beside one daemon, and each that may be to blame again by itself."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import groupby
from pathlib import Path

from tests.hostile.cases import CASES, Case
from tests.hostile.meter import allocated
from tests.hostile.world import DISK, MB, MOST_LOG, MOST_MEMORY, Options, World

FAMILIES = ("settings", "files", "pictures", "clips", "state", "outbox")
"""The modules with cases: `files` means files_cases.py."""

TOGETHER = 6
"""Cases that share a daemon, unless they must be alone."""

RUNAWAY = 1000 * MB
"""Bytes beyond the limit at which a daemon that fills the disk is killed."""

STARTED_WITHIN = 60.0
MOST_READ = 4 * MB
SHOWN = 160


@dataclass(frozen=True)
class Result:
    """Result of a case: seconds until the good pair was done, bytes, and what was wrong."""

    case: Case
    seconds: float | None = None
    input: int = 0
    grown: int = 0
    peak: int = 0
    wrong: tuple[str, ...] = ()
    tried: bool = True


@dataclass
class Batch:
    """Results of cases beside one daemon; `after` is what was wrong with the next start."""

    results: list[Result] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def all_cases() -> list[Case]:
    """Return the cases of every family."""
    for family in FAMILIES:
        import_module(f"tests.hostile.{family}_cases")
    return CASES


def results(cases: Sequence[Case], options: Options) -> Iterator[Result]:
    """Try the cases, and yield their results."""
    for batch in _batches(cases):
        left = [case for case in batch if case.can_be_tried]
        yield from (Result(case, tried=False) for case in batch if not case.can_be_tried)
        while left:
            tried = _try(left, options)
            yield from _judged(tried, options)
            left = left[left.index(tried.results[-1].case) + 1 :]


def _batches(cases: Sequence[Case]) -> Iterator[list[Case]]:
    for alone, group in groupby(cases, lambda case: case.alone or case.over_mounts or case.family):
        found = list(group)
        step = 1 if alone is True else TOGETHER
        yield from (found[at : at + step] for at in range(0, len(found), step))


def _judged(tried: Batch, options: Options) -> Iterator[Result]:
    """Yield the results of a batch; those that may be to blame are tried again by themselves."""
    for result in tried.results:
        wrong = (*result.wrong, *tried.after)
        if len(tried.results) == 1 or not wrong:
            yield replace(result, wrong=wrong)
            continue
        alone = _try([result.case], options)
        again = (*alone.results[0].wrong, *alone.after)
        others = "; ".join(other.case.name for other in tried.results if other is not result)
        note = f"(by itself it holds; here with: {others})"
        yield replace(alone.results[0], wrong=again or (*wrong, note))


@contextmanager
def world(options: Options, *, own_disk: bool = False) -> Iterator[World]:
    """Yield a world in a temporary folder, which is removed however deep it became."""
    root = Path(tempfile.mkdtemp(prefix="hostile-"))
    try:
        here = World(root, options, own_disk=own_disk)
        try:
            yield here
        finally:
            here.close()
    finally:
        subprocess.run(["rm", "--recursive", "--force", str(root)], check=True)


def _try(cases: Sequence[Case], options: Options) -> Batch:
    """Try cases one after the other beside one daemon, up to the first with something wrong."""
    with world(options, own_disk=cases[0].over_mounts) as here:
        return try_in(here, cases)


def try_in(here: World, cases: Sequence[Case]) -> Batch:
    """Try the cases in this world, and start its daemon again at the end."""
    batch = Batch()
    if wrong := here.start():
        raise RuntimeError(wrong)
    if here.good(STARTED_WITHIN) is None:
        raise RuntimeError("a good pair with nothing hostile beside it is not done")
    for case in cases:
        batch.results.append(_measured(here, case))
        if batch.results[-1].wrong:
            break
    if not (len(cases) > 1 and batch.results[-1].wrong):  # else it is tried again, alone
        batch.after = list(_wrong_after(here))
    return batch


def _measured(here: World, case: Case) -> Result:
    """Place what is hostile, and a good pair beside it; return the result."""
    wrong: list[str] = []
    if case.stopped and (code := here.end()):
        wrong.append(f"the daemon before ended with {code}")
    logged = here.log.stat().st_size
    folders = (here.inbox, here.outbox, here.state)
    before, own = allocated(*folders), allocated(*folders[1:])
    here.meter.begin()
    try:
        case.place(here)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Result(case, wrong=(*wrong, f"it cannot be placed: {error!r}"))
    size = max(0, allocated(*folders) - before)
    here.meter.most = own + 2 * size + DISK + RUNAWAY
    seconds, trouble = _done(here, case)
    wrong += trouble
    here.meter.look()
    if case.exits:
        here.end()
    size = max(size, allocated(here.inbox) - before + own)
    here.forget()
    grown = max(here.meter.disk, allocated(*folders[1:])) - own
    wrong += [*_beyond(here, size, grown), *_wrong_in_log(here, logged)]
    if case.exits and not wrong:
        here.start()
    return Result(case, seconds, size, grown, here.meter.peak, tuple(wrong))


def _beyond(here: World, size: int, grown: int) -> Iterator[str]:
    """Yield which limits were exceeded beside an input that takes `size` bytes on the disk."""
    if here.meter.overrun:
        yield "the daemon was killed, as it filled the disk"
    if grown > 2 * size + DISK:
        yield f"the disk grew by {grown / MB:.0f} MB over an input of {size / MB:.0f} MB"
    if here.meter.peak > MOST_MEMORY:
        yield f"a process held {here.meter.peak / MB:.0f} MB"


def _done(here: World, case: Case) -> tuple[float | None, list[str]]:
    """Drop a good pair; return the seconds until it is done, and what is wrong."""
    if case.stopped and (trouble := here.start()):
        code = None if here.process is None else here.process.poll()
        is_explained = code in case.exits and str(here.root) in trouble
        return None, [] if is_explained else [trouble]
    within = case.within or here.options.within
    seconds = here.good(within)
    wrong = []
    if not here.is_dead:
        if seconds is None:
            wrong.append(f"the good pair was not done within {within:.0f} s")
        wrong += here.unmet()
    if here.is_dead:
        wrong.append(f"the daemon ended: {here.last_words()}")
    return seconds, wrong


def _wrong_in_log(here: World, start: int) -> Iterator[str]:
    grown = here.log.stat().st_size - start
    if grown > MOST_LOG:
        yield f"the log grew by {grown / MB:.1f} MB"
    with here.log.open("rb") as log:
        log.seek(max(start, here.log.stat().st_size - MOST_READ))
        _, trace, text = log.read().decode(errors="replace").rpartition("Traceback (most recent")
    if trace:
        ends = (line for line in text.splitlines()[1:] if line and not line.startswith(" "))
        yield f"a trace in the log: {next(ends, '')[:SHOWN]}"


def _wrong_after(here: World) -> Iterator[str]:
    """Yield what is wrong with the end of the daemon, with its next start, and outside."""
    if not here.is_dead and (code := here.end()):
        yield f"it ended with {code} when it was stopped"
    logged = here.log.stat().st_size
    if wrong := here.start():
        yield f"at the next start {wrong}"
    elif here.good(here.options.within) is None:
        yield "after the next start no good pair is done"
    elif code := here.end():
        yield f"the next one ended with {code} when it was stopped"
    yield from _wrong_in_log(here, logged)
    yield from here.wrong_outside()
