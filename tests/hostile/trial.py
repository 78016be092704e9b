"""Tries cases: several beside one daemon, and alone each one with which something is wrong."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.hostile.cases import CASES, Case
from tests.hostile.meter import allocated
from tests.hostile.world import DISK, MB, MOST_LOG, MOST_MEMORY, Options, World

FAMILIES = ("settings", "files", "pictures", "state", "outbox")
"""The modules with cases: `files` stands for files_cases.py."""

TOGETHER = 6
"""Cases that share a daemon, unless they are to be alone."""

RUNAWAY = 1000 * MB
"""Bytes beyond the limit at which a daemon that fills the disk is killed."""

MOST_BLAMED = 3
MOST_READ = 4 * MB
SHOWN = 160


@dataclass(frozen=True)
class Result:
    """What a case came to: `seconds` until the good pair was painted, bytes, and what was wrong."""

    case: Case
    seconds: float | None = None
    input: int = 0
    grown: int = 0
    peak: int = 0
    wrong: tuple[str, ...] = ()
    tried: bool = True


@dataclass
class _Batch:
    """What several cases beside one daemon came to; `after` is wrong with the next start."""

    results: list[Result] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    examples: list[Any] = field(default_factory=list)


def all_cases() -> list[Case]:
    """Return the cases of every family."""
    for family in FAMILIES:
        import_module(f"tests.hostile.{family}_cases")
    return CASES


def results(cases: Sequence[Case], options: Options) -> Iterator[Result]:
    """Try the cases, and yield what each came to."""
    for batch in _batches(cases):
        left = batch
        while left:
            if not left[0].can_be_tried:
                yield Result(left[0], tried=False)
                left = left[1:]
                continue
            tried = _try([one for one in left if one.can_be_tried], options)
            yield from _judged(tried, options)
            left = left[left.index(tried.results[-1].case) + 1 :]


def _batches(cases: Sequence[Case]) -> Iterator[list[Case]]:
    for alone, group in groupby(cases, lambda one: one.is_alone or one.family):
        found = list(group)
        step = 1 if alone is True else TOGETHER
        yield from (found[at : at + step] for at in range(0, len(found), step))


def _judged(tried: _Batch, options: Options) -> Iterator[Result]:
    """Yield the results of a batch; those that may be to blame are tried again, alone."""
    if len(tried.results) == 1:
        yield _narrowed(tried, options)
        return
    for result in tried.results:
        if not result.wrong and not tried.after:
            yield result
            continue
        alone = _try([result.case], options)
        if not result.wrong or alone.results[0].wrong or alone.after:
            yield _narrowed(alone, options)
        else:
            earlier = "; ".join(one.case.name for one in tried.results if one is not result)
            yield replace(result, wrong=(*result.wrong, f"(alone it holds; here with: {earlier})"))
    if tried.after and not any(one.wrong for one in tried.results):
        yield _of_the_restart(tried)


def _of_the_restart(tried: _Batch) -> Result:
    names = "; ".join(one.case.name for one in tried.results)
    last = tried.results[-1].case
    return Result(replace(last, name=f"a restart after: {names}"), wrong=tuple(tried.after))


def _narrowed(alone: _Batch, options: Options) -> Result:
    """Return the result of a case by itself, with those of its examples that are to blame."""
    result = alone.results[0]
    wrong = [*result.wrong, *alone.after]
    if wrong and len(alone.examples) > 1:
        wrong = _blamed(result.case, options, alone.examples) or wrong
    return replace(result, wrong=tuple(wrong))


def _blamed(case: Case, options: Options, examples: Sequence[Any]) -> list[str]:
    """Return what is wrong with which of the examples, each by itself as far as that goes.

    Once MOST_BLAMED are found it looks no further.
    """
    half, blamed = len(examples) // 2, list[str]()
    for part in (examples[:half], examples[half:]):
        if len(blamed) >= MOST_BLAMED:
            return [*blamed, "and maybe more"]
        again = _try([case], options, part)
        if wrong := [*again.results[0].wrong, *again.after]:
            finer = _blamed(case, options, part) if len(part) > 1 else []
            blamed += finer or [f"{_shown(part)}: {', '.join(wrong)}"]
    return blamed


def _shown(examples: Sequence[Any]) -> str:
    text = ", ".join(map(repr, examples))
    return f"`{text[:SHOWN]}{' ...' if len(text) > SHOWN else ''}`"


@contextmanager
def world(
    options: Options, examples: Sequence[Any] | None = None, *, own_disk: bool = False
) -> Iterator[World]:
    """Yield a world in a folder that the system gives, which goes however deep it became."""
    root = Path(tempfile.mkdtemp(prefix="hostile-"))
    try:
        here = World(root, options, examples, own_disk=own_disk)
        try:
            yield here
        finally:
            here.close()
    finally:
        subprocess.run(["rm", "--recursive", "--force", str(root)], check=True)


def _try(cases: Sequence[Case], options: Options, examples: Sequence[Any] | None = None) -> _Batch:
    """Try cases one after the other beside one daemon, up to the first with something wrong."""
    with world(options, examples, own_disk=cases[0].over_mounts) as here:
        return tried(here, cases)


def tried(here: World, cases: Sequence[Case]) -> _Batch:
    """Try the cases in this world, and start its daemon again at the end."""
    batch = _Batch()
    if wrong := here.start():
        raise RuntimeError(wrong)
    if here.good(STARTED_WITHIN) is None:
        raise RuntimeError("a good pair with nothing hostile beside it is not painted")
    for case in cases:
        batch.results.append(_measured(here, case))
        if batch.results[-1].wrong:
            break
    batch.examples = list(here.drew)
    if not (len(cases) > 1 and batch.results[-1].wrong):  # else it is tried again, alone
        batch.after = list(_wrong_after(here))
    return batch


STARTED_WITHIN = 60.0


def _measured(here: World, case: Case) -> Result:
    """Place what is hostile, and a good pair beside it; what came of both."""
    wrong: list[str] = []
    exits = case.how.get("exits", ())
    if case.is_stopped and (code := here.end()):
        wrong.append(f"the daemon before ended with {code}")
    spoken = here.log.stat().st_size
    folders = (here.inbox, here.outbox, here.state)
    before, ours = allocated(*folders), allocated(*folders[1:])
    here.meter.begin()
    try:
        case.place(here)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Result(case, wrong=(*wrong, f"it cannot be placed: {error!r}"))
    size = max(0, allocated(*folders) - before)
    here.meter.most = ours + 2 * size + DISK + RUNAWAY
    seconds, told = _painted(here, case)
    wrong += told
    here.meter.look()
    if exits:
        here.end()
    size = max(size, allocated(here.inbox) - before + ours)
    here.forget()
    grown = max(here.meter.disk, allocated(*folders[1:])) - ours
    wrong += [*_beyond(here, size, grown), *_wrong_in_log(here, spoken)]
    if exits and not wrong:
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


def _painted(here: World, case: Case) -> tuple[float | None, list[str]]:
    """Drop a good pair; the seconds until it is painted, and what is wrong with the daemon."""
    if case.is_stopped and (trouble := here.start()):
        code = None if here.process is None else here.process.poll()
        return None, [] if code in case.how.get("exits", ()) else [trouble]
    within = case.how.get("within", here.options.within)
    seconds = here.good(within)
    if here.is_dead:
        return seconds, [f"the daemon ended: {here.last_words()}"]
    wrong = [] if seconds is not None else [f"the good pair was not painted within {within:.0f} s"]
    wrong += here.unmet()
    if here.is_dead:
        wrong.append(f"the daemon ended: {here.last_words()}")
    return seconds, wrong


def _wrong_in_log(here: World, spoken: int) -> Iterator[str]:
    grown = here.log.stat().st_size - spoken
    if grown > MOST_LOG:
        yield f"the log grew by {grown / MB:.1f} MB"
    if "Traceback (most recent call last)" in (text := _text(here, spoken)):
        trace = text.rpartition("Traceback (most recent call last)")[2]
        yield f"a trace in the log: {_last_of_trace(trace)}"


def _wrong_after(here: World) -> Iterator[str]:
    """Yield what is wrong with the end of the daemon, with its next start, and outside."""
    if not here.is_dead and (code := here.end()):
        yield f"it ended with {code} when it was asked to"
    spoken = here.log.stat().st_size
    if wrong := here.start():
        yield f"at the next start {wrong}"
    elif here.good(here.options.within) is None:
        yield "after the next start no good pair is painted"
    elif code := here.end():
        yield f"the next one ended with {code} when it was asked to"
    yield from _wrong_in_log(here, spoken)
    yield from here.wrong_outside()


def _text(here: World, start: int) -> str:
    with here.log.open("rb") as log:
        log.seek(max(start, here.log.stat().st_size - MOST_READ))
        return log.read().decode(errors="replace")


def _last_of_trace(text: str) -> str:
    ended = (line for line in text.splitlines()[1:] if line and not line.startswith(" "))
    return next(ended, "")[:SHOWN]
