"""What is kept of finished jobs, and for how long: older stages and inputs are removed.

Only what we wrote goes: a job's receipt names each file with its digest (where it was cancelled
or failed, a note does), and a file that is not named there, or that was changed since, stays, as do
the final picture and the receipt itself. What was refused are people's own pictures, and stays.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import identity, safe_dirs
from stylewatch_daemon.outbox import manifest
from stylewatch_daemon.outbox.publish import RECEIPT, REFUSED
from stylewatch_daemon.settings.sections import Keep, Retention
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.ledger_writer import LedgerWriter

DAY = 86400.0
"""Seconds."""

DEPTH = identity.DEPTH + 8
"""Levels of folders in an outbox that are looked through; jobs are named as in the inbox."""


@dataclass(frozen=True)
class Outlived:
    """A file that is kept no longer: where, and its bytes."""

    outbox: Path
    folder: str
    name: str
    bytes: int

    @property
    def path(self) -> Path:
        """The file."""
        return self.outbox / self.folder / self.name


def outlived(outbox: Path, retention: Retention, now: float) -> Iterator[Outlived]:
    """The files under `outbox` that `retention` would remove at the time `now` (Unix, seconds).

    Files in use are hashed; what cannot be read is left alone.
    """
    if not retention.of_files:
        return
    days: dict[manifest.Part, Keep] = {"stages": retention.stages, "inputs": retention.inputs}
    for place in _jobs(outbox):
        for part, kept in days.items():
            if kept == "keep" or not (outbox / place / part).is_dir():
                continue
            with suppress(OSError, OutputError):
                yield from _in_part(outbox, place, part, now - kept * DAY)


def remove(file: Outlived) -> None:
    """Remove the file, and its folder with the last one; raises OutputError where we may not."""
    inner = PurePosixPath(file.folder) / PurePosixPath(file.name).parent
    try:
        with safe_dirs.opened(file.outbox, str(inner)) as folder:
            os.unlink(PurePosixPath(file.name).name, dir_fd=folder)
        with suppress(OSError), safe_dirs.opened(file.outbox, file.folder) as folder:
            os.rmdir(PurePosixPath(file.name).parts[0], dir_fd=folder)
    except OSError as error:
        raise OutputError(f"{file.path} cannot be removed: {error.strerror or error}") from error


def prune(
    outboxes: Iterable[Path], retention: Retention, leaving: Callable[[], bool] = lambda: False
) -> Iterator[Outlived]:
    """Remove what is kept no longer, until `leaving`; each file, once it is gone."""
    for outbox in outboxes:
        for file in outlived(outbox, retention, time.time()):
            if leaving():
                return
            remove(file)
            yield file


class Expiry:
    """Has the `ledger` forget jobs, when first asked to and then once a day by `clock` (seconds).

    Thumbnails that none of its jobs has go with them, from the folder `small`. Only the daemon's
    own loop does that: the ledger has one writer.
    """

    def __init__(
        self, ledger: Callable[[], LedgerWriter], clock: Callable[[], float], small: Path
    ) -> None:
        self._ledger, self._clock, self._small = ledger, clock, small
        self._last = -float("inf")

    def go(self, retention: Retention) -> None:
        """Forget what `retention` keeps no longer, if a day is over; a full disk has until then."""
        if retention.ledger == "keep" or self._clock() - self._last < DAY:
            return
        self._last = self._clock()
        with suppress(OutputError):
            self._ledger().expire(forgotten_before(retention.ledger))
            thumbs.sweep(self._small, self._ledger().digests())


def forgotten_before(days: int) -> str:
    """The time, as the ledger has it, before which jobs ended that it keeps so many days."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def sweep(
    outboxes: Iterable[Path],
    retention: Retention,
    reporter: Reporter,
    leaving: Callable[[], bool],
) -> None:
    """Prune until `leaving`, and tell the `reporter` what came of it."""
    sizes: list[int] = []
    try:
        sizes.extend(file.bytes for file in prune(outboxes, retention, leaving))
    except OutputError as error:
        reporter.paused("prune", str(error))
    if sizes:
        reporter.pruned(len(sizes), sum(sizes))


@contextmanager
def daily(outboxes: Iterable[Path], retention: Retention, reporter: Reporter) -> Iterator[None]:
    """Sweep now and once a day, in a thread of its own, as long as this is open."""
    left, places = threading.Event(), tuple(outboxes)

    def go_on() -> None:
        sweep(places, retention, reporter, left.is_set)
        while not left.wait(DAY):
            sweep(places, retention, reporter, left.is_set)

    thread = threading.Thread(target=go_on, name="prune")
    if retention.of_files:
        thread.start()
    try:
        yield
    finally:
        left.set()
        if retention.of_files:
            thread.join()


def _jobs(outbox: Path) -> Iterator[str]:
    """The folders in `outbox` with a receipt or a note in them; no link is followed."""
    places = [""]
    while places:
        place = places.pop()
        try:
            with safe_dirs.opened(outbox, place) as handle, os.scandir(handle) as entries:
                inside = list(entries)
                ours = any(map(_is_receipt, inside))
                deeper = sorted((one.name for one in inside if _may_hold_jobs(one)), reverse=True)
        except (OSError, OutputError):
            continue
        if ours:
            yield place
        if place.count("/") + 1 < DEPTH:
            places += (f"{place}/{name}" if place else name for name in deeper)


def _is_receipt(entry: os.DirEntry[str]) -> bool:
    return entry.name in (RECEIPT, manifest.NOTE) and entry.is_file(follow_symlinks=False)


def _may_hold_jobs(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name == REFUSED or entry.name.startswith(".")
    return not hidden and entry.is_dir(follow_symlinks=False)


def _in_part(outbox: Path, place: str, part: manifest.Part, before: float) -> Iterator[Outlived]:
    """What the receipt of a job that ended `before` names in its folder `part`."""
    with safe_dirs.opened(outbox, place) as folder:
        digests = manifest.digests(folder, part, before)
    if not digests:
        return
    with safe_dirs.opened(outbox, f"{place}/{part}") as folder:
        for name, digest in sorted(digests.items()):
            size = manifest.size_if(folder, name, digest)
            if size is not None:
                yield Outlived(outbox, place, f"{part}/{name}", size)
