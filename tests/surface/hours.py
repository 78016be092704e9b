"""`executor.hours` around each change of the clock, in every zone that has one.

The time at which jobs run again is compared with the first minute that is open by a plain
definition, which asks another library for the zone; and its computation has to end in time.
`python -m tests.surface hours [PART OF A ZONE ...]`
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from random import Random
from types import FrameType
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import numpy as np

from stylewatch_daemon.settings.sections import parse_hours

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

YEARS = ((2026, 2028), (2011, 2012))
"""Years whose changes are tried; on the last days of 2011 Samoa left out a whole day."""

AROUND = 30 * 60
"""Minutes before and after a change from which the next opening is asked for."""

LONGEST = 5 * 24 * 60
"""Minutes after those in which hours open by the plain definition."""

WITHIN_S = 1.0
"""Seconds within which an answer has to come."""


@dataclass(frozen=True)
class Change:
    """A change of the clock: the first minute with another offset, and the offsets."""

    zone: str
    at: datetime
    before: timedelta
    after: timedelta

    def texts(self) -> Iterator[str]:
        """Yield hours that begin and end before, in and after what the clock skips or repeats."""
        shown = sorted(self.at + offset for offset in (self.before, self.after))
        middle = shown[0] + (shown[1] - shown[0]) / 2
        times = [
            shown[0] - 30 * MINUTE, shown[0], middle - 9 * MINUTE, middle, shown[1],
            shown[1] + 30 * MINUTE, shown[0] + 5 * 60 * MINUTE,
        ]  # fmt: skip
        clocks = dict.fromkeys(f"{each:%H:%M}" for each in times)
        yield from (f"{begin}-{end}" for begin, end in permutations(clocks, 2))


def changes(parts: Sequence[str] = ()) -> Iterator[Change]:
    """Yield the changes in the zones with one of `parts` in their names; alike ones once."""
    known = set()
    for zone in sorted(available_timezones()):
        is_installed = any(Path(folder, zone).exists() for folder in TZPATH)
        if not is_installed or (parts and not any(part in zone for part in parts)):
            continue
        for change in _of_zone(zone):
            if (key := (change.at, change.before, change.after)) not in known:
                known.add(key)
                yield change


def _of_zone(zone: str) -> Iterator[Change]:
    place = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(place).utcoffset() or timedelta()

    for begin, end in YEARS:
        day, last = (datetime(year, 1, 3, tzinfo=UTC) for year in (begin, end))
        while day < last:
            low, day = day, day + DAY
            if offset(low) == offset(day):
                continue
            high = day
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            yield Change(zone, high, offset(low), offset(high))


@contextmanager
def _in_zone(zone: str) -> Iterator[None]:
    """Let this process live in a zone."""
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


@contextmanager
def _limited() -> Iterator[None]:
    """Raise TimeoutError in what takes longer than WITHIN_S."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {WITHIN_S} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, WITHIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def breaches(change: Change, each: int = 1, moments: int = 12) -> Iterator[str]:
    """Yield wrong answers around a change, for every `each`-th hours, at so many moments."""
    place, first = ZoneInfo(change.zone), change.at - AROUND * MINUTE
    minutes = [first + number * MINUTE for number in range(2 * AROUND + LONGEST)]
    local = [minute.astimezone(place) for minute in minutes]
    clock = np.array([minute.hour * 60 + minute.minute for minute in local])
    random = Random(f"{change}")
    with _in_zone(change.zone):
        for text in [*change.texts()][random.randrange(each) :: each]:
            opens = _openings(clock, text)
            near = [AROUND + minute for minute in (-61, -1, 0, 1, 29, 61, 121)]
            for number in random.sample([*near, *random.choices(range(2 * AROUND), k=9)], moments):
                now = minutes[number] + timedelta(seconds=random.randrange(60))
                wanted = None if opens[number] == number else minutes[opens[number]]
                if (answer := _answer(text, now)) != wanted:
                    yield f"{change.zone} {text} at {now.astimezone(place)}: {answer}, not {wanted}"


def _openings(clock: np.ndarray, text: str) -> np.ndarray:
    """Return the number of the first minute from each one on at which hours are open."""
    begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
    length = (end - begin) % (24 * 60)
    is_open = (clock - begin) % (24 * 60) < length
    numbers = np.where(is_open, np.arange(len(clock)), len(clock))
    return np.minimum.accumulate(numbers[::-1])[::-1]


def _answer(text: str, now: datetime) -> datetime | str | None:
    try:
        with _limited():
            return parse_hours(text).opens(now.astimezone())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(parts: Sequence[str]) -> int:
    """Try all changes in some zones, or in all; print wrong answers; return their number."""
    tried = found = 0
    for change in changes(parts):
        tried += 1
        for breach in breaches(change):
            found += 1
            print(breach, flush=True)
    print(f"hours around {tried} changes of the clock; {found} wrong answers")
    return found
