"""An estimate of the time of a job from earlier jobs, which forms show beside their button.

The page loads no torch, so it cannot forecast; jobs with the same settings take about as long.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.base.model import Attempt, End
from stylewatch_daemon.base.words import duration
from stylewatch_daemon.ledger.ledger import Search
from stylewatch_daemon.settings.job import JobSettings, fields_with
from stylewatch_daemon.web.http import Context

LOOKED_AT, COUNTED = 100, 5
"""Number of the latest jobs with the recipe that are compared, and of similar ones that count."""

ALIKE, EXACT_S = 1.5, 90
"""Factor up to which two times are shown as one, and seconds from which minutes are shown."""

_DEFAULTS = JobSettings().model_dump(mode="json", exclude=fields_with("is_timeless"))


def in_words(site: Context, wanted: JobSettings) -> str:
    """Return the time that a picture with these settings takes; empty if no job had them.

    It is also empty if the ledger cannot be read.
    """
    plain = wanted.model_dump(mode="json", include={*_DEFAULTS})
    seconds: list[float] = []
    with suppress(DaemonError), site.ledger() as ledger:
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
    """Return the seconds of a job that was painted in one attempt; none for others."""
    if [attempt.how for attempt in attempts] != [End.DONE]:
        return []
    began = datetime.fromisoformat(attempts[0].started)
    ended = datetime.fromisoformat(attempts[0].ended or attempts[0].started)
    return [(ended - began).total_seconds()]


def _rounded(seconds: float) -> str:
    return duration(seconds if seconds < EXACT_S else 60 * round(seconds / 60)).removesuffix(" 0 s")
