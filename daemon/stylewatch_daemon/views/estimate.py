"""Estimate of the time of a job, which forms show beside their button, and `submit` prints.

Neither loads torch, so they cannot forecast. They look at earlier jobs with the same settings
instead, and compare the sizes and steps of the paintings.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from math import log
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import NamedTuple

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

LOOKED_AT, COUNTED = 100, 5
"""How many of the latest jobs with the recipe are compared, and how many similar ones count: those
whose paintings are closest in sizes and steps."""

ALIKE, EXACT_S = 1.5, 90
"""Largest ratio of two times that are shown as one time, and the time in seconds from which times
are rounded to minutes."""

_MEASURED = {"size", "enlarge", "steps", "preview"}
"""Settings on which time depends only by the sizes and steps of a painting."""

_COMPARED = set(JobSettings.model_fields) - fields_with("is_timeless") - _MEASURED
_DEFAULTS = JobSettings().model_dump(mode="json")


class _Past(NamedTuple):
    """The time in seconds that a painting takes, by that of an earlier job.

    `distance` is 0 if both have the same sizes and steps.
    """

    distance: float
    seconds: float


def in_words(
    state: Path, wanted: JobSettings, recipes: Sequence[Path], content: Size | None = None
) -> str:
    """Return a phrase on the time that a picture with the settings `wanted` takes.

    `recipes` are the folders of recipes, and `content` is the size of the photograph, or None if it
    is unknown. The time is derived from the latest jobs in the ledger of the folder `state` that
    had the same settings, apart from those on which time hardly depends, and succeeded at the first
    attempt. The phrase is empty if there are none, or if the ledger cannot be read.
    """
    with suppress(DaemonError), open_ledger(state) as ledger:
        if ledger is not None:
            past = sorted(_past(ledger, wanted, recipes, content), key=attrgetter("distance"))
            return _phrase([each.seconds for each in past[:COUNTED]])
    return ""


def photograph(job: Job) -> Size | None:
    """Return the size of the photograph of a job; None if it has none, or if it is unknown."""
    sizes = [file.pixels for file in job.inputs if file.role == "content" and file.pixels]
    return Size(*sizes[0]) if sizes else None


def _past(
    ledger: Ledger, wanted: JobSettings, recipes: Sequence[Path], content: Size | None
) -> Iterator[_Past]:
    """Yield the time of a painting by each similar job, the latest first."""
    compared = wanted.model_dump(mode="json", include=_COMPARED)
    for job in ledger.ended([End.DONE], LOOKED_AT, Search(recipe=wanted.recipe)):
        had = {**_DEFAULTS, **(job.settings or {})}
        if job.frames > 1 or any(had[name] != value for name, value in compared.items()):
            continue
        settings = wanted.model_copy(update={name: had[name] for name in _MEASURED})
        ratio = _ratio(wanted, content, settings, photograph(job), recipes)
        for seconds in _times(ledger.attempts(job.id)) if ratio else ():
            yield _Past(abs(log(ratio)), seconds * ratio)


def _ratio(
    wanted: JobSettings,
    content: Size | None,
    had: JobSettings,
    seen: Size | None,
    recipes: Sequence[Path],
) -> float:
    """Return how much longer `content` takes with the settings `wanted` than `seen` did.

    Of two sizes one may be unknown, and then counts as equal. Returns 0 if that cannot be said.
    """
    content, seen = content or seen, seen or content
    if content is None or seen is None:
        return float(had == wanted)
    try:
        return _work(wanted, content, recipes) / _work(had, seen, recipes)
    except (RecipeError, PictureError, OSError):
        return 0.0


def _work(settings: JobSettings, content: Size, recipes: Sequence[Path]) -> float:
    """Return the number of pixels of all steps of a painting, as `base.eta` counts them.

    Raises as `JobSettings.resolve` and `scales.painted_levels` do.
    """
    levels = painted_levels(settings.resolve(*recipes), content)
    return sum(level.steps * (level.size.area + OVERHEAD_PIXELS) for level in levels)


def _phrase(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    low, high = min(seconds), max(seconds)
    if high <= ALIKE * low:
        time = f"about {_rounded(median(seconds))}"
    else:
        time = f"{_rounded(low)} to {_rounded(high)}"
    return f"{time}, by the last {f'{len(seconds)} jobs' if len(seconds) > 1 else 'job'} like this"


def _times(attempts: Sequence[Attempt]) -> list[float]:
    """Return the seconds that a job took; an empty list unless its first attempt succeeded."""
    if [attempt.how for attempt in attempts] != [End.DONE]:
        return []
    began = datetime.fromisoformat(attempts[0].started)
    ended = datetime.fromisoformat(attempts[0].ended or attempts[0].started)
    return [(ended - began).total_seconds()]


def _rounded(seconds: float) -> str:
    """Return a time as text, in whole minutes from EXACT_S on, and of one second at least."""
    whole = max(1.0, seconds) if seconds < EXACT_S else 60 * round(seconds / 60)
    return duration(whole).removesuffix(" 0 s")
