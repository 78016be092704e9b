"""Estimate of the time of a job, which forms show beside their button, and `submit` prints.

The page and the command do not load torch, which a forecast needs. Instead, the estimate comes from
earlier jobs with the same settings, in proportion to the sizes and steps of the paintings.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.base.eta import OVERHEAD_PIXELS
from stylewatch_daemon.base.model import Attempt, End, Job
from stylewatch_daemon.base.words import duration
from stylewatch_daemon.client.operations import open_ledger
from stylewatch_daemon.ledger.ledger import Ledger, Search
from stylewatch_daemon.settings.job import JobSettings, fields_with
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.scene.scales import painted_levels
from stylewatch_painter.size import Size

LOOKED_AT, COUNTED = 50, 5
"""Maximum numbers of the latest jobs with the recipe that are examined, and of similar jobs that
count."""

NEAR = 2.0
"""Largest ratio of the work of two paintings at which the time of one tells that of the other
reliably; jobs that differ more count only if there are no others."""

WARM_S = 2.0
"""Maximum time in seconds that counts of an earlier job besides its painting. A job for which a
worker had to start took longer; this is left out, because a worker usually runs when the next job
begins."""

ALIKE, EXACT_S = 1.5, 90
"""Largest ratio of two times that are shown as one time, and the time in seconds from which times
are rounded to minutes."""

_MEASURED = ("size", "enlarge", "steps", "preview")
"""Settings that affect the time only through the sizes and steps of a painting."""

_COMPARED = set(JobSettings.model_fields) - fields_with("is_timeless") - {*_MEASURED}
_DEFAULTS = JobSettings().model_dump(mode="json")

_Work = Callable[[tuple[Any, ...], Size], float]
"""Function that returns the work for the values of _MEASURED and the size of a photograph."""


class _Past(NamedTuple):
    """A job that is done: its settings, and the seconds of its painting and of the rest."""

    measured: tuple[Any, ...]
    """Values of _MEASURED."""
    photograph: Size | None
    painted_s: float
    rest_s: float


def in_words(
    state: Path,
    wanted: JobSettings,
    recipes: Sequence[Path],
    content: Size | None = None,
    *,
    is_each: bool = False,
) -> str:
    """Return a phrase on the time that a still with the settings `wanted` takes.

    `recipes` are the folders of recipes. `content` is the size of the photograph, None if it is
    unknown; `is_each` says that there are several photographs. The time is derived from the latest
    jobs in the ledger of the folder `state` that had the same settings, apart from those on which
    time hardly depends, ran on the same device, and succeeded at the first attempt. The phrase is
    empty if there are none, or if the ledger cannot be read.
    """
    past = list[_Past]()
    with suppress(DaemonError), open_ledger(state) as ledger:
        if ledger is not None:
            past += _past(ledger, wanted)

    @cache
    def work(measured: tuple[Any, ...], photograph: Size) -> float:
        settings = wanted.model_copy(update=dict(zip(_MEASURED, measured, strict=True)))
        return _work(settings, photograph, recipes)

    now = tuple(getattr(wanted, name) for name in _MEASURED)
    ratios = [_ratio(work, now, content, each) for each in past]
    times = [
        (ratio, each.painted_s * ratio + min(WARM_S, each.rest_s))
        for each, ratio in zip(past, ratios, strict=True)
        if ratio
    ]
    near = [seconds for ratio, seconds in times if 1 / NEAR <= ratio <= NEAR]
    return _phrase((near or [seconds for _, seconds in times])[:COUNTED], is_each=is_each)


def of_job(state: Path, wanted: JobSettings, recipes: Sequence[Path], job: Job) -> str:
    """Return a phrase on the time to paint a job again; empty for a clip. See `in_words`."""
    return "" if job.frames > 1 else in_words(state, wanted, recipes, _photograph(job))


def _photograph(job: Job) -> Size | None:
    content = job.input_as("content")
    return Size(*content.pixels) if content is not None and content.pixels else None


def _past(ledger: Ledger, wanted: JobSettings) -> Iterator[_Past]:
    """Yield the earlier jobs that `in_words` compares, the latest first."""
    compared = wanted.model_dump(mode="json", include=_COMPARED)
    device = None
    for job in ledger.ended([End.DONE], LOOKED_AT, Search(recipe=wanted.recipe)):
        had = {**_DEFAULTS, **(job.settings or {})}
        attempts = ledger.attempts(job.id)
        is_alike = job.frames == 1 and all(had[name] == value for name, value in compared.items())
        if not is_alike or [attempt.how for attempt in attempts] != [End.DONE]:
            continue
        (attempt,) = attempts
        device = device or attempt.device
        if attempt.device == device:
            yield _seen(job, attempt, tuple(had[name] for name in _MEASURED))


def _seen(job: Job, attempt: Attempt, measured: tuple[Any, ...]) -> _Past:
    began = datetime.fromisoformat(attempt.started)
    ended = datetime.fromisoformat(attempt.ended or attempt.started)
    whole_s = (ended - began).total_seconds()
    painted_s = whole_s if attempt.painted_s is None else attempt.painted_s
    return _Past(measured, _photograph(job), painted_s, max(0.0, whole_s - painted_s))


def _ratio(work: _Work, now: tuple[Any, ...], content: Size | None, past: _Past) -> float:
    """Return the time of a painting divided by that of an earlier one; 0 if this is unknown.

    If the size of only one photograph is known, the other counts as equal. If neither is known, the
    ratio is 1 for equal values of _MEASURED.
    """
    wanted, had = content or past.photograph, past.photograph or content
    if wanted is None or had is None:
        return float(now == past.measured)
    try:
        return work(now, wanted) / work(past.measured, had)
    except (RecipeError, PictureError, OSError):
        return 0.0


def _work(settings: JobSettings, content: Size, recipes: Sequence[Path]) -> float:
    """Return the number of pixels of all steps of a painting, as `base.eta` counts them.

    Raises as `JobSettings.resolve` and `scales.painted_levels` do.
    """
    levels = painted_levels(settings.resolve(*recipes), content)
    return sum(level.steps * (level.size.area + OVERHEAD_PIXELS) for level in levels)


def _phrase(seconds: Sequence[float], *, is_each: bool) -> str:
    if not seconds:
        return ""
    low, high = _rounded(min(seconds)), _rounded(max(seconds))
    is_one_time = low == high or max(seconds) <= ALIKE * min(seconds)
    time = f"about {_rounded(median(seconds))}" if is_one_time else f"{low} to {high}"
    time += " for each photograph" if is_each else ""
    return f"{time}, by the last {f'{len(seconds)} jobs' if len(seconds) > 1 else 'job'} like this"


def _rounded(seconds: float) -> str:
    """Return a time as text, in whole minutes from EXACT_S on, and of one second at least."""
    whole = max(1.0, seconds) if seconds < EXACT_S else 60 * round(seconds / 60)
    return duration(whole).removesuffix(" 0 s")
