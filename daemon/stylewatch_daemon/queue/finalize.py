"""Finalizing jobs: publish their files in the outbox, then write the last state, then forget them.

How a job ends is in the ledger before that begins (ending, refusing, failing), so a start after a
crash goes on with what was cut off. All jobs of a round are written into the ledger at once, and
their files in the state folder go after that.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

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
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.files.permissions import OPEN, Sharing
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.model import AttemptEnd, JobState
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING, Outbox, stage
from stylewatch_daemon.queue import attempt_dir
from stylewatch_daemon.queue.states import (
    OUR_FAULT,
    Outcome,
    OutcomeKind,
    Result,
    check_transition,
    quarantined,
)
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Limits
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state_dir import State

CANCELED = "cancelled"
"""Reason of a job that a person canceled."""

_BLOCK = 512
"""Bytes of a block, as `st_blocks` counts them on Linux."""


_Report = Callable[[], None]
"""Reports the result of a job; called once its last state is in the ledger."""


@dataclass
class Finalizer:
    """Finalizes the `settled` jobs of `state`: those whose end is decided and in the ledger."""

    state: State
    reporter: Reporter
    sharing: Sharing = OPEN
    """Permissions of what is published."""
    limits: Limits = field(default_factory=Limits)
    """Limits of refused files that are copied to the outbox."""
    transfers: Transfers = field(default_factory=Transfers)
    settled: list[Journal] = field(default_factory=list)

    def settle(self, job: Journal, state: JobState, reason: str) -> None:
        """Write down how a job is to end, and why."""
        check_transition(job, state)
        self.settled.append(self.state.save(job, state=state, reason=reason))

    def give_up(self, job: Journal) -> None:
        """Settle that a job has failed for good."""
        count, last = len(job.attempts), job.attempts[-1]
        if last.how == AttemptEnd.CUT_OFF_ALONE:
            reason = (
                f"the daemon was killed again and again while it painted this job (tried {count} "
                "times), the last time while it painted nothing else: paint it smaller, or with "
                "another backend"
            )
        else:
            reason = f"tried {count} times, the last time: {last.reason or 'it was killed'}"
        self.settle(job, JobState.FAILING, reason)

    def drop(self, job_ids: Container[str]) -> None:
        """Take back that these jobs are settled: the ledger could not be written."""
        self.settled = [job for job in self.settled if job.id not in job_ids]

    def pause(self, job: Journal, error: OSError) -> Outcome:
        """Report that `error` keeps a job waiting, and return that outcome."""
        reason = shortages.in_words(error)
        self.reporter.paused(job.title, reason)
        kind = OutputError if shortages.shortage(error) is None else ShortageError
        full = error if isinstance(error, FullError) else None
        return Outcome(OutcomeKind.PAUSED, job.title, reason, kind.exit_code, full)

    def is_canceled(self, job: Journal) -> bool:
        """Return whether a person canceled the job."""
        return self.state.ledger.wish(job.id) == "cancel"

    def finalize(self) -> list[Result]:
        """Finalize the settled jobs, and return what became of each.

        A job whose files are still being copied stays settled, and is not among them.
        """
        results: list[Result] = []
        finalized: list[tuple[Journal, Outcome, _Report]] = []
        settled, self.settled = self.settled, []
        # 1. publish the files of each job
        for job in settled:
            try:
                with self.state.guard(job.id, "finalizing it"):
                    self.state.mount_guard.check(job.outbox)
                    publish = self._finish if job.state == JobState.ENDING else self._refuse
                    finalized.append((job, *publish(job)))
            except InProgressError:
                self.settled.append(job)
            except OSError as error:
                results.append((job, self.pause(job, error)))
            except QuarantinedError as error:
                results.append((job, quarantined(job, error)))
        if not finalized:
            return results
        # 2. write the last state of all of them; then their files in the state folder go
        try:
            self.state.finish(*((job, JobState(result.kind)) for job, result, _ in finalized))
        except OSError as error:
            return results + [(job, self.pause(job, error)) for job, *_ in finalized]
        # 3. report
        for job, result, report in finalized:
            report()
            results.append((job, result))
        return results

    def _finish(self, job: Journal) -> tuple[Outcome, _Report]:
        """Archive the inputs, then publish the receipt; what is done already is not repeated."""
        outbox = Outbox(job.outbox, self.sharing)
        folder, staged_at = outbox.root / job.title, attempt_dir.place(outbox, job)
        is_staged = outbox.has_receipt(staged_at)
        if not is_staged and not (folder / RECEIPT).exists():
            if self.is_canceled(job):
                check_transition(job, JobState.REFUSING)
                canceled = self.state.save(job, state=JobState.REFUSING, reason=CANCELED)
                return self._refuse(canceled)
            raise OutputError(
                f"{job.title} is painted, and {outbox.root} has nothing of it: mount the disk that "
                "it was painted on, or cancel it"
            )
        if is_staged:
            # 1. archive the inputs
            receipt = outbox.receipt(staged_at)
            inputs = (_parsed(receipt) or {}).get("inputs", ())
            digests = {entry["name"]: entry["sha256"] for entry in inputs}
            changed = self._archive(outbox, job, folder, digests)
            # 2. note in the staged receipt which of them have changed
            if changed or job.changed:
                staging = outbox.root / STAGING / staged_at
                stage(staging, RECEIPT, with_changes(receipt, changed, job.changed))
            for name in sorted(changed):
                self.reporter.input_changed(job.title, changed_while_running(name))
            # 3. publish the picture of a flat job, then the receipt
            for path in outbox.finish(staged_at, folder):
                self.reporter.staged(job.title, path)
        # 4. remove the staging folder
        outbox.clear(job.id)
        visible = (outbox.root / flat_layout.painting(job.title, RECEIPT)).parent
        done = partial(self.reporter.done, job.title, visible)
        return Outcome(OutcomeKind.DONE, job.title), done

    def _refuse(self, job: Journal) -> tuple[Outcome, _Report]:
        """Publish the inputs of a refused, failed or canceled job, with the reason."""
        outbox = Outbox(job.outbox, self.sharing, check_copy=partial(self._check_copy, job.outbox))
        # 1. lay out the folder in staging, 2. choose its place, and move it there
        folder = self._publish_refused(outbox, job)
        # 3. remove the staging folder
        outbox.clear(job.id)
        # 4. name the stages that are there, as no receipt will
        if job.place is not None:
            outbox.drop_empty(job.place)
            job_files.write_note(outbox.root, job.place)
        title, reason = job.title, job.reason
        if job.state == JobState.FAILING:
            failed = partial(self.reporter.failed, title, reason, "", for_good=True)
            return Outcome(OutcomeKind.FAILED, title, reason, OUR_FAULT), failed
        if reason == CANCELED:
            canceled = partial(self.reporter.canceled, title, folder)
            return Outcome(OutcomeKind.CANCELED, title), canceled
        refused = partial(self.reporter.refused, title, reason, folder)
        return Outcome(OutcomeKind.REFUSED, title, reason, InputError.exit_code), refused

    def _publish_refused(self, outbox: Outbox, job: Journal) -> Path:
        """Put the inputs and the reason into a folder under `_refused`, and return its path.

        The folder appears as a whole, and only once, however often this is begun. Its name is in
        the ledger before it is moved there; that it is in staging no more shows that it was moved.
        """
        chosen, key = job.refused_as, f"refuse {job.id}"
        if chosen is None or not outbox.has_refused(job.id):
            if chosen is not None and (outbox.root / chosen).exists():
                return outbox.root / chosen
            inputs, step = self.state.own_files(job), self.transfers.step
            size = sum(path.lstat().st_size for path in inputs)
            stage_refused = partial(outbox.stage_refused, job.id, inputs, job.reason, step)
            self.transfers.run(key, size, stage_refused)
            if chosen is not None:  # it was on another disk, which is gone
                self.state.save(job, refused_as=None)
        place = outbox.choose_refused(job.title)
        self.state.save(job, refused_as=place)
        folder = outbox.publish_refused(job.id, place)
        self.transfers.forget(key)
        return folder

    def _check_copy(self, outbox: Path, path: Path) -> None:
        """Raise OutputError where a refused file is too large to be copied, or lacks the room."""
        status = path.lstat()
        if status.st_size > max(self.limits.max_bytes, LARGEST_PICTURE):
            size = disk_space.amount(status.st_size)
            raise OutputError(
                f"{shown(path.name)} is {size}, too large to be copied to "
                f"{outbox}: it stays in {shown(path.parent)}; move it away, or cancel the job"
            )
        disk_space.check([(outbox, status.st_blocks * _BLOCK)], self.limits.free_bytes)

    def _archive(
        self, outbox: Outbox, job: Journal, folder: Path, digests: Mapping[str, str]
    ) -> dict[str, str]:
        """Archive the inputs, if wanted, and return the SHA-256 of those that have changed.

        A program may go on writing into a file after it was claimed. Such a file is archived in
        any case. `digests` are those that the worker read, by name.
        """

        def differs(name: str, digest: str) -> bool:
            if name in digests:
                return digests[name] != digest
            return not self.state.is_as_taken(job, name)

        def work() -> dict[str, str]:
            kept, step = inputs, self.transfers.step
            if job.after != "archive":
                digests_now = ((path, atomic.digest(path, step=step)) for path in inputs)
                kept = tuple(path for path, digest in digests_now if differs(path.name, digest))
            archived = outbox.archive(job.id, folder, kept, step)
            return {name: digest for name, digest in archived.items() if differs(name, digest)}

        inputs = self.state.only_copies(job)
        size = sum(path.lstat().st_size for path in inputs)
        return self.transfers.run(f"archive {job.id}", size, work)


def changed_after_copy(name: str) -> str:
    """Return the sentence about a file that was copied, and whose original changed afterwards."""
    return (
        f"{shown(name)} changed after it was copied: this job uses the copy, and the changed pair "
        "stays in the inbox"
    )


def changed_while_running(name: str) -> str:
    """Return the sentence about a file that a program wrote to while the job ran."""
    return (
        f"{shown(name)} changed while the job ran: the job used what it held before, and "
        f"inputs/{shown(name)} holds what was written since"
    )


def with_changes(receipt: bytes, changed: Mapping[str, str], copied: Iterable[str]) -> bytes:
    """Return a receipt that says which inputs have `changed`, each with its SHA-256 now.

    `copied` are the names of copies whose originals changed in the inbox. Repeating this changes
    nothing. What is no receipt is returned as it is.
    """
    record = _parsed(receipt)
    if record is None:
        return receipt
    for entry in record["inputs"]:
        if (digest := changed.get(entry["name"])) is not None:
            entry["changed"] = {"sha256": digest}
    warnings = (
        *record.get("warnings", ()),
        *map(changed_while_running, sorted(changed)),
        *map(changed_after_copy, sorted(copied)),
    )
    record["warnings"] = list(dict.fromkeys(warnings))
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def _parsed(receipt: bytes) -> dict[str, Any] | None:
    """Return the receipt, if it has the form of one: others may write in an outbox too."""
    try:
        record = json.loads(receipt)
        named = all({"name", "sha256"} <= entry.keys() for entry in record["inputs"])
        return record if named and isinstance(record.get("warnings", []), list) else None
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
