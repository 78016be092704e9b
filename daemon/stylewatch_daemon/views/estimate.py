"""Estimate of the time of a job, which forms show beside their button, and `submit` prints.

Neither loads torch, so they cannot forecast. They look at earlier jobs with the same settings
instead.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.base.model import Attempt, End
from stylewatch_daemon.base.words import duration
from stylewatch_daemon.client.operations import open_ledger
from stylewatch_daemon.ledger.ledger import Search
from stylewatch_daemon.settings.job import JobSettings, fields_with

LOOKED_AT, COUNTED = 100, 5
"""How many of the latest jobs with the recipe are compared, and how many similar ones count."""

ALIKE, EXACT_S = 1.5, 90
"""Largest ratio of two times that are shown as one time, and the time in seconds from which times
are rounded to minutes."""

_DEFAULTS = JobSettings().model_dump(mode="json", exclude=fields_with("is_timeless"))


def in_words(state: Path, wanted: JobSettings) -> str:
    """Return a phrase on the time that a picture with the settings `wanted` takes.

    It tells the times of the latest jobs in the ledger of the folder `state` that had the same
    settings, apart from those on which time hardly depends, and succeeded at the first attempt. The
    phrase is empty if there are none, or if the ledger cannot be read.
    """
    plain = wanted.model_dump(mode="json", include={*_DEFAULTS})
    seconds: list[float] = []
    with suppress(DaemonError), open_ledger(state) as ledger:
        if ledger is None:
            return ""
        for job in ledger.ended([End.DONE], LOOKED_AT, Search(recipe=wanted.recipe)):
            had = {key: (job.settings or {}).get(key, _DEFAULTS[key]) for key in plain}
            if had == plain and job.frames == 1 and len(seconds) < COUNTED:
                seconds += _times(ledger.attempts(job.id))
    if not seconds:
        return ""
    low, high = _rounded(min(seconds)), _rounded(max(seconds))
    time = f"about {high}" if max(seconds) <= ALIKE * min(seconds) else f"{low} to {high}"
    return f"{time}, as the last {f'{len(seconds)} jobs' if len(seconds) > 1 else 'job'} like this"


def _times(attempts: Sequence[Attempt]) -> list[float]:
    """Return the seconds that a job took; an empty list unless its first attempt succeeded."""
    if [attempt.how for attempt in attempts] != [End.DONE]:
        return []
    began = datetime.fromisoformat(attempts[0].started)
    ended = datetime.fromisoformat(attempts[0].ended or attempts[0].started)
    return [(ended - began).total_seconds()]


def _rounded(seconds: float) -> str:
    return duration(seconds if seconds < EXACT_S else 60 * round(seconds / 60)).removesuffix(" 0 s")
