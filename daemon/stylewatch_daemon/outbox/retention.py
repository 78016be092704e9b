"""Retention: remove old stages and inputs of finished jobs, and forget old jobs.

Only what we wrote is removed: a job's receipt names each file with its checksum (where it was
canceled or failed, a note does). A file that is not named there, or that was changed since, stays.
Until a job is deleted, so do the final picture, the receipt itself, and what was refused.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic, identity, safe_dirs
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import Spot
from stylewatch_daemon.outbox.publish import RECEIPT, REFUSED, Outbox
from stylewatch_daemon.settings.sections import Keep, Retention
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.ledger_writer import LedgerWriter

DAY = 86400.0
"""Seconds."""

DEPTH = identity.DEPTH + 8
"""Levels of folders in an outbox that are searched; jobs are named as in the inbox."""


@dataclass(frozen=True)
class Outlived(Spot):
    """A file whose retention is over, and its bytes."""

    bytes: int


def outlived(
    outbox: Path,
    retention: Retention,
    now: float,
    leaving: Callable[[], bool] = lambda: False,
) -> Iterator[Outlived]:
    """Yield the files under `outbox` that `retention` would remove at `now` (Unix time, seconds).

    Files in use are hashed; what cannot be read is skipped. The search ends when `leaving`.
    """
    if not retention.of_files:
        return
    days: dict[job_files.Part, Keep] = {"stages": retention.stages, "inputs": retention.inputs}
    for place in _jobs(outbox, leaving):
        for part, kept in days.items():
            if kept == "keep" or not (outbox / place / part).is_dir():
                continue
            with suppress(OSError):
                with safe_dirs.opened(outbox, place) as folder:
                    digests = job_files.digests(folder, part, now - kept * DAY)
                with safe_dirs.opened(outbox, f"{place}/{part}") as folder:
                    for name, digest in sorted(digests.items()):
                        size = job_files.size_if(name, folder, digest)
                        if size is not None:
                            yield Outlived(outbox, f"{place}/{part}", name, size)


def remove(file: Outlived) -> None:
    """Remove the file, and its folder if that is empty then; raises OutputError."""
    job, _, part = file.folder.rpartition("/")
    _unlink(file)
    with suppress(OSError), safe_dirs.opened(file.root, job) as folder:
        os.rmdir(part, dir_fd=folder)


def _unlink(file: Spot) -> None:
    try:
        with safe_dirs.opened(file.root, file.folder) as folder:
            os.unlink(file.name, dir_fd=folder)
    except OSError as error:
        raise OutputError(f"{file.path} cannot be removed: {error.strerror or error}") from error


def prune(
    outboxes: Iterable[Path],
    retention: Retention,
    reporter: Reporter | None = None,
    leaving: Callable[[], bool] = lambda: False,
) -> list[Outlived]:
    """Remove the files whose retention is over, until `leaving`, and return and report them.

    Of the files that cannot be removed, the first is reported.
    """
    reporter = reporter or Reporter()
    removed: list[Outlived] = []
    errors: list[OutputError] = []
    now = time.time()
    files = (file for outbox in outboxes for file in outlived(outbox, retention, now, leaving))
    for file in files:
        if leaving():
            break
        try:
            remove(file)
            removed.append(file)
        except OutputError as error:
            errors.append(error)
    if errors:
        reporter.paused("prune", str(errors[0]))
    if removed:
        reporter.pruned(len(removed), sum(file.bytes for file in removed))
    return removed


@contextmanager
def daily(outboxes: Iterable[Path], retention: Retention, reporter: Reporter) -> Iterator[None]:
    """Prune now and once a day, in a thread of its own, as long as this is open."""
    left, places = threading.Event(), tuple(outboxes)

    def prune_daily() -> None:
        prune(places, retention, reporter, left.is_set)
        while not left.wait(DAY):
            prune(places, retention, reporter, left.is_set)

    thread = threading.Thread(target=prune_daily, name="prune")
    if retention.of_files:
        thread.start()
    try:
        yield
    finally:
        left.set()
        if retention.of_files:
            thread.join()


class Expiry:
    """Forgets old jobs in the `ledger`, at first and then once a day by `clock` (seconds).

    Files in the folder `thumbnails` that no job needs any more are removed as well. This runs in
    the daemon's main loop, since the ledger has one writer.
    """

    def __init__(
        self, ledger: Callable[[], LedgerWriter], clock: Callable[[], float], thumbnails: Path
    ) -> None:
        self._ledger, self._clock, self._thumbnails = ledger, clock, thumbnails
        self._last = -float("inf")

    def go(self, retention: Retention) -> None:
        """Forget what `retention` says, if a day is over; a full disk has until the next day."""
        if retention.ledger == "keep" or self._clock() - self._last < DAY:
            return
        self._last = self._clock()
        with suppress(OutputError):
            self._ledger().expire(forgotten_before(retention.ledger))
            thumbs.sweep(self._thumbnails, self._ledger().digests())


def bytes_of(entry: Entry) -> int:
    """Return the bytes of the files that `remove_job` reads."""
    total = 0
    for file in job_files.written(entry):
        for spot in file.spots:
            with suppress(OSError, ValueError):
                total += spot.path.lstat().st_size
    return total


def remove_job(entry: Entry, step: atomic.Step = lambda: None) -> set[str]:
    """Remove the files of a job that has ended from its outbox; return the pictures' digests.

    What others put there or have changed stays, and so do files in an inbox. Raises OutputError.
    """
    outbox = Path(entry.outbox)
    if not outbox.is_dir():  # a mount that comes back, perhaps
        raise OutputError(f"the outbox {outbox} is not there")
    digests = {record.get("sha256", "") for record in entry.inputs}
    folders = set[str]()
    # The receipt goes last: it names the others, if this is cut off.
    for file in list(job_files.written(entry)):
        digests.add(file.sha256)
        folders |= {spot.folder for spot in file.spots}
        with suppress(InputError):  # gone or changed
            _unlink(file.find(step))
    for folder in folders:
        Outbox(outbox).drop_empty(folder)
    return {digest for digest in digests if digest.isalnum()}  # a receipt may say anything


def forgotten_before(days: int) -> str:
    """Return the time, as the ledger has it, before which jobs ended that it forgets."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def _jobs(outbox: Path, leaving: Callable[[], bool]) -> Iterator[str]:
    """Yield the folders in `outbox` with a receipt or a note, until `leaving`; follow no link."""
    places = [""]
    while places and not leaving():
        place = places.pop()
        try:
            with safe_dirs.opened(outbox, place) as handle, os.scandir(handle) as entries:
                inside = list(entries)
                files = {entry.name for entry in inside if entry.is_file(follow_symlinks=False)}
                deeper = sorted(
                    entry.name
                    for entry in inside
                    if not (entry.name == REFUSED or entry.name.startswith("."))
                    and entry.is_dir(follow_symlinks=False)
                )
        except OSError:
            continue
        if files & {RECEIPT, job_files.NOTE}:
            yield place
        if place.count("/") + 1 < DEPTH:
            places += (f"{place}/{name}" if place else name for name in reversed(deeper))
