"""The last steps of a job: its files to where people look, then the ledger, then it is forgotten.

How a job ends is in the ledger before that begins (`ending` and the like), so that a start after a
crash takes up what was cut off: inputs archived, then the receipt, then the job's last state. What
is done in one round is done in the ledger for several jobs at once, and only then do they go.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from stylewatch_daemon.errors import (
    FullError,
    InProgressError,
    InputError,
    OutputError,
    QuarantinedError,
    ShortageError,
)
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic, disk_space, flat_layout, shortages
from stylewatch_daemon.files.atomic import Step
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.files.permissions import OPEN, Sharing
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.outbox import manifest
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING, Outbox, RefusedAs, stage
from stylewatch_daemon.queue import attempt_dir, late_changes
from stylewatch_daemon.store import transfer
from stylewatch_daemon.store.journal import CUT_OFF_ALONE, JobState, Journal
from stylewatch_daemon.store.state import State

_BLOCK = 512
"""Bytes of a block, as `st_blocks` counts them on Linux."""

OUR_FAULT = 70
CANCELLED = "cancelled"
"""The reason that is left beside the pictures of a job that people ended."""


@dataclass(frozen=True)
class Outcome:
    """How a job stands now; `paused` by something outside of us, `exit_code` as in sysexits.

    `again`: it crashed, and is to be tried again after a time. `divided`: it is a series, whose
    jobs come first.
    """

    kind: Literal["done", "refused", "failed", "cancelled", "paused", "stopped", "again", "divided"]
    job: str
    reason: str = ""
    exit_code: int = 0
    lacks: tuple[Path, int] | None = None
    """The folder whose disk is too full for it, and how many bytes have to be free there."""


@dataclass(frozen=True)
class _Closed:
    """A job whose files are where they belong; `tell` is to be called once it is forgotten."""

    job: Journal
    state: JobState
    outcome: Outcome
    tell: Callable[[], None]


@dataclass
class Closing:
    """Brings jobs of `state` to their ends, once these are `settled`; for whom is in `sharing`."""

    state: State
    reporter: Reporter
    sharing: Sharing = OPEN
    settled: list[Journal] = field(default_factory=list)
    free_bytes: int = 0
    """Bytes that copies of refused files leave free in the outbox."""
    transfers: Transfers = field(default_factory=Transfers)

    def settle(self, journal: Journal, state: JobState, reason: str) -> None:
        """Write down how a job is to end, and why."""
        self.settled.append(self.state.save(journal, state=state, reason=reason))

    def give_up(self, journal: Journal) -> None:
        """Settle that a job has failed for good."""
        count, last = len(journal.attempts), journal.attempts[-1]
        if last.how == CUT_OFF_ALONE:
            reason = (
                f"the daemon was killed again and again while it painted this job (tried {count} "
                "times), the last time while it painted nothing else: paint it smaller, or with "
                "another backend"
            )
        else:
            reason = f"tried {count} times, the last time: {last.reason or 'it was killed'}"
        self.settle(journal, "failing", reason)

    def drop(self, job_ids: Container[str]) -> None:
        """Nothing is settled of these after all."""
        self.settled = [job for job in self.settled if job.id not in job_ids]

    def close(self) -> Iterator[tuple[Journal, Outcome]]:
        """Bring those to their ends of which these are settled; each, and what came of it."""
        closed, settled, self.settled = [], self.settled, []
        for job in settled:
            try:
                with self.state.guard(job.id, "closing it"):
                    closed.append(self._closed(job))
            except InProgressError:
                self.settled.append(job)
            except OSError as error:
                yield job, self.paused(job, error)
            except QuarantinedError as error:
                yield job, quarantined(job, error)
        if not closed:
            return
        try:
            self.state.finish(*((one.job, one.state) for one in closed))
        except OSError as error:
            yield from ((one.job, self.paused(one.job, error)) for one in closed)
            return
        for one in closed:
            one.tell()
            yield one.job, one.outcome

    def paused(self, journal: Journal, error: OSError) -> Outcome:
        """The job waits, as something is in its way."""
        name, reason = journal.place or journal.name, shortages.in_words(error)
        self.reporter.paused(name, reason)
        kind = OutputError if shortages.shortage(error) is None else ShortageError
        lacks = (error.folder, error.wanted) if isinstance(error, FullError) else None
        return Outcome("paused", name, reason, kind.exit_code, lacks)

    def is_cancelled(self, journal: Journal) -> bool:
        """Whether nobody wants it any more."""
        return self.state.ledger.wish(journal.id) == "cancel"

    def _closed(self, journal: Journal) -> _Closed:
        self.state.moorings.check(journal.outbox)
        return self._finish(journal) if journal.state == "ending" else self._refuse(journal)

    def _finish(self, journal: Journal) -> _Closed:
        """Archive the inputs and publish the receipt, each only if not yet done."""
        outbox, name = Outbox(journal.outbox, self.sharing), journal.place or journal.name
        folder, place = outbox.root / name, attempt_dir.place(outbox, journal)
        staged = outbox.has_receipt(place)
        if not staged and not (folder / RECEIPT).exists():
            if self.is_cancelled(journal):
                return self._refuse(self.state.save(journal, state="refusing", reason=CANCELLED))
            raise OutputError(
                f"{name} is painted, and {outbox.root} has nothing of it: mount the disk that "
                "it was painted on, or cancel it"
            )
        if staged:
            self._archive(outbox, journal, folder, place)
            for path in outbox.finish(place, folder):
                self.reporter.staged(name, path)
        outbox.clear(journal.id)
        shown = (outbox.root / flat_layout.painting(name, RECEIPT)).parent
        tell = partial(self.reporter.done, name, shown)
        return _Closed(journal, "done", Outcome("done", name), tell)

    def _check_copy(self, outbox: Path, path: Path) -> None:
        """Raise OutputError where a refused file is too large to be copied, or lacks the room."""
        status = path.lstat()
        if status.st_size > transfer.LARGEST:
            size = disk_space.amount(status.st_size)
            raise OutputError(
                f"{shown(path.name)} is {size}, too large to be copied to "
                f"{outbox}: it stays in {shown(path.parent)}; move it away, or cancel the job"
            )
        disk_space.check([(outbox, status.st_blocks * _BLOCK)], self.free_bytes)

    def _archive(self, outbox: Outbox, journal: Journal, folder: Path, place: str) -> None:
        """Archive the inputs, and note in the staged receipt which of them have changed.

        A program may go on writing into a file that was renamed here. Then the file is kept,
        whatever becomes of the others.
        """
        receipt, inputs = outbox.receipt(place), self.state.moved(journal)
        work = partial(self._archived, outbox, journal, folder, late_changes.digests(receipt))
        size = sum(path.lstat().st_size for path in inputs)
        changed = self.transfers.run(f"archive {journal.id}", size, partial(work, inputs))
        if changed or journal.changed:
            staging = outbox.root / STAGING / place
            stage(staging, RECEIPT, late_changes.noted(receipt, changed, journal.changed))
        for file in sorted(changed):
            self.reporter.input_changed(journal.place or journal.name, late_changes.kept(file))

    def _archived(
        self,
        outbox: Outbox,
        journal: Journal,
        folder: Path,
        digests: Mapping[str, str],
        inputs: Sequence[Path],
    ) -> dict[str, str]:
        """Archive `inputs`, where that is wanted; the SHA-256 of those that changed since."""
        step, kept = self.transfers.step, inputs
        if journal.after != "archive":
            kept = [
                path
                for path in inputs
                if self._differs(journal, path.name, atomic.digest(path), digests)
            ]
        archived = outbox.archive(journal.id, folder, kept, step)
        return {
            path.name: archived[path.name]
            for path in kept
            if self._differs(journal, path.name, archived[path.name], digests)
        }

    def _differs(
        self, journal: Journal, name: str, digest: str, digests: Mapping[str, str]
    ) -> bool:
        """Whether an input with that `digest` is another than the worker read."""
        if name in digests:
            return digests[name] != digest
        return not self.state.is_as_taken(journal, name)

    def _refuse(self, journal: Journal) -> _Closed:
        """Put the inputs and the reason where the user looks."""
        outbox = Outbox(journal.outbox, self.sharing, partial(self._check_copy, journal.outbox))
        name = journal.place or journal.name
        where = RefusedAs(
            name, journal.refused_as, lambda place: self.state.save(journal, refused_as=place)
        )
        inputs, key = self.state.own_files(journal), f"refuse {journal.id}"
        size = sum(path.lstat().st_size for path in inputs)

        def run(work: Callable[[Step], None]) -> None:
            self.transfers.run(key, size, partial(work, self.transfers.step))

        folder = outbox.refuse(journal.id, inputs, journal.reason, where, run)
        self.transfers.forget(key)
        outbox.clear(journal.id)
        if journal.place is not None:
            outbox.drop_empty(journal.place)
            manifest.note(outbox.root, journal.place)
        tell: Callable[[], None]
        if journal.state == "failing":
            tell = partial(self.reporter.failed, name, journal.reason, "", for_good=True)
            outcome = Outcome("failed", name, journal.reason, OUR_FAULT)
            return _Closed(journal, "failed", outcome, tell)
        if self.is_cancelled(journal):
            tell = partial(self.reporter.cancelled, name, folder)
            return _Closed(journal, "cancelled", Outcome("cancelled", name), tell)
        tell = partial(self.reporter.refused, name, journal.reason, folder)
        outcome = Outcome("refused", name, journal.reason, InputError.exit_code)
        return _Closed(journal, "refused", outcome, tell)


def quarantined(job: Journal, error: QuarantinedError) -> Outcome:
    """Return the outcome of a job that was set aside."""
    return Outcome("failed", job.place or job.name, str(error), error.exit_code)
