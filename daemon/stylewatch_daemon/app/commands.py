"""Handling of requests, which commands, the page and the daemon itself put into the ledger."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, validate_call

from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.app.tries import NAME as TRY_NAME
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import (
    DaemonError,
    DamagedError,
    InputError,
    LedgerError,
    OutputError,
)
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import PICTURES, End, Job, OutputFile, State, is_id, now
from stylewatch_daemon.client.condition import DRAINING
from stylewatch_daemon.client.condition import PAUSED as PAUSED_NOW
from stylewatch_daemon.client.operations import TOGGLES
from stylewatch_daemon.client.retries import needed
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.jobs.endings import Release
from stylewatch_daemon.jobs.jobs import Also, Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import (
    Activity,
    Asked,
    Deleted,
    Doing,
    Found,
    Kind,
    Obstacle,
    Restored,
    Trashed,
)
from stylewatch_daemon.jobs.wall_clock import DAY
from stylewatch_daemon.ledger import favorites, thumbs
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.ledger import EXPIRE, Request
from stylewatch_daemon.ledger.requests import PAUSED, PAUSING
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import finals, inputs, removal
from stylewatch_daemon.outbox.inputs import Account
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.sections import InboxSettings
from stylewatch_painter.validation import sentence_of

ROUND_S = 1.0
"""Time in seconds that a round of the main loop has for requests: the other steps of the loop wait
meanwhile."""

COMMIT_EVERY = 200
"""Maximum number of requests that one transaction records, so that a daemon that is killed during
thousands of requests has carried out some of them."""


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("no job has such an id")
    return text


JobId = Annotated[str, AfterValidator(_checked_id)]
"""Id of a job, checked to be a valid name of its folder."""


class _Phase(Enum):
    """Progress of a deletion on which this daemon has acted."""

    LOOKING = "lanes look at its folders: it can be given up"
    LOOKED = "all folders have answered"
    BEGUN = "something may have been removed"


_REVOKING = ("restore", "cancel")
"""Verbs of the requests that make the daemon give up the deletion of a job."""


class Commands:
    """Handler of the requests in the ledger of `jobs`.

    A request is removed in the same transaction that makes its changes: if the daemon is killed
    before, the next daemon acts on the request again. A daemon that a person has started first
    drops requests to drain, which were meant for an earlier daemon. `received` is the handover of
    the previous daemon.
    """

    def __init__(
        self, jobs: Jobs, release: Release, try_styles: Callable[..., object], received: Handover
    ) -> None:
        self._jobs = jobs
        self._release = release
        self._try_styles = try_styles
        self._state = jobs.state
        self._reporter = jobs.reporter
        self._paused = jobs.state.root / PAUSED
        self.paused = entries.exists(self._paused)
        """True while people have paused the jobs, which a file remembers across restarts."""
        self.draining = False
        self._waiting: dict[int, tuple[Request, str]] = {}
        """Requests that wait for something outside the daemon, each with the reason, by id."""
        self._phases: dict[int, _Phase] = {}
        """Progress of the deletions on which this daemon has acted, by the ids of the requests."""
        self._put_off_for = ""
        """Last reported reason for putting off the deletion of a job whose days in the trash are
        over."""
        self._requests: Sequence[Request] = ()
        """The requests in the ledger when it was last read."""
        self._latest = 0
        """Id of the last request for which a round had time; 0 if it had time for all."""
        self._retried_stems: dict[int, str] = {}
        """Stems of the names of the jobs that are being retried, by the ids of the requests."""
        self._busy: set[int] = set()
        """Ids of the requests that the lanes work on, or that are part of the next commit."""
        checked = validate_call(config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        self._verbs: dict[str, Callable[..., object]] = {
            "pause": checked(self._pause_jobs),
            "resume": checked(self._resume),
            "drain": checked(self._drain),
            "cancel": checked(self._cancel),
            "finish": checked(self._finish),
            "dismiss": checked(self._dismiss),
            "retry": checked(self._retry),
            "favorite": checked(self._favorite),
            "unfavorite": checked(self._unfavorite),
            "trash": checked(self._trash),
            "restore": checked(self._restore),
            "delete": checked(self._delete),
            EXPIRE: checked(self._expire),
            "try": checked(self._try),
        }
        for request in jobs.ledger.requests():
            # whoever started this daemon wants it to work, whatever an earlier one was asked
            if request.verb == "drain" and not received.is_restart:
                self._carried_out(request)
        jobs.commit()
        if self.paused:
            self._say_paused()

    @property
    def in_work(self) -> bool:
        """True while a request is carried out, or was carried out and is still in the ledger.

        A deletion that has begun, and waits for a disk, does not count.
        """
        phases = self._phases.values()
        return bool(self._busy) or any(phase is not _Phase.BEGUN for phase in phases)

    def act(self, *, drains: bool = True) -> bool:
        """Act on the requests, in the order of their arrival; return whether ROUND_S was over.

        In that case the remaining requests wait for the next round, which begins with them. Of the
        requests to pause and to resume, only the last one has an effect. If `drains` is False,
        requests to drain are left for the next daemon. Raises OutputError if the ledger cannot be
        used.
        """
        until = time.monotonic() + ROUND_S
        requests = self._jobs.ledger.requests()
        waits = self._jobs.waits
        self._requests = requests
        self._busy &= {request.id for request in requests}
        pausing = [
            request
            for request in requests
            if request.verb in PAUSING and request.id not in self._busy
        ]
        for request in pausing[:-1]:  # an earlier request may wait, and must not undo a later one
            self._carried_out(request)
        later = [request for request in requests if request.id > self._latest]
        for number, request in enumerate([*later, *requests[: len(requests) - len(later)]], 1):
            is_left = request.verb == "drain" and not drains
            is_in_work = request.id in self._busy or self._is_looking(request)
            if is_left or is_in_work or waits.is_paused(_obstacle(request)):
                continue
            try:
                self._act(request)
            except Exception as error:  # no request may stop the daemon
                self._failed(request, error)
            if number % COMMIT_EVERY == 0:
                self._jobs.commit()
            if time.monotonic() >= until:
                self._latest = request.id
                break
        else:
            self._latest = 0
        self._jobs.commit()
        return self._latest > 0

    def _act(self, request: Request) -> None:
        if request.verb not in self._verbs:
            raise InputError("there is no such request")
        try:
            self._verbs[request.verb](request, **request.arguments)
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False, include_input=False)
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{where}: {sentence_of(first)}") from error

    def _failed(self, request: Request, error: Exception) -> None:
        """Handle the `error` of a request: after an OSError try again later, else log and drop it.

        If the request is to delete a job whose days in the trash are over, an OSError puts that off
        instead, unless the deletion has begun. Raises `error` if it is a DamagedError.
        """
        if isinstance(error, DamagedError):
            raise error
        if isinstance(error, OSError):
            reason = shortages.in_words(error)
            has_begun = request.has_begun or self._phases.get(request.id) is _Phase.BEGUN
            if request.verb == EXPIRE and not has_begun:
                self._put_off(request, reason)
            else:
                self._wait(request, reason)
            return
        is_ours = not isinstance(error, DaemonError)
        logging.getLogger(__name__).warning(
            "a request to %s cannot be carried out: %s",
            shortened(request.verb),
            shortened(str(error) or type(error).__name__),
            exc_info=error if is_ours else None,
        )
        self._carried_out(request)

    def _wait(self, request: Request, reason: str) -> None:
        """Report that a request waits, with the `reason`, and try it again later.

        Only the first wait of a request is reported.
        """
        _debug(request, f"waits: {reason}")
        if request.id not in self._waiting:  # else it was reported at an earlier try
            self._reporter.waits(self._name(request), reason)
        self._waiting[request.id] = request, reason
        if self._is_looking(request):
            del self._phases[request.id]  # it looks again
        self._jobs.waits.begin(_obstacle(request))
        self._busy.discard(request.id)

    def _put_off(self, request: Request, reason: str) -> None:
        """Report the `reason`, and drop a request to delete a job whose days in the trash are over.

        `Upkeep` requests the deletion again a day later. The same reason is not reported twice in a
        row.
        """
        if reason != self._put_off_for:
            self._put_off_for = reason
            self._reporter.waits("retention", reason)
        self._carried_out(request)

    @property
    def trouble(self) -> dict[str, str]:
        """The reasons why requests wait for something outside the daemon, by name."""
        return {self._name(request): reason for request, reason in self._waiting.values()}

    def _name(self, request: Request) -> str:
        """Return the name that people read for a request, in `trouble`."""
        job = request.arguments.get("job")
        title = f" {shortened(self._jobs.title(job))}" if isinstance(job, str) else ""
        return f"{_key(request)}{title}"

    def _carried_out(
        self,
        request: Request,
        job_id: str = "",
        event: object = None,
        write: Also | None = None,
    ) -> None:
        """Post that a request was carried out or given up, which removes it from the ledger.

        In the same transaction, `event` happens to the job `job_id`, and `write` changes the
        ledger. If one of them raises an error, the job fails, and the request is removed all the
        same.
        """
        _debug(request, "carried out")
        self._busy.add(request.id)
        self._phases.pop(request.id, None)
        self._jobs.waits.forget(_obstacle(request))
        self._waiting.pop(request.id, None)
        self._jobs.post(job_id, event, write)
        self._jobs.post("", None, partial(LedgerWriter.remove_request, request_id=request.id))

    def _move(
        self,
        request: Request,
        root: Path,
        work: Callable[[Step], Any],
        succeed: Callable[[Any], object],
        size: int,
        removed: str = "",
        *,
        looks: bool = False,
    ) -> None:
        """Queue the `work` of a request on `size` bytes in the lane of `root`; act on the result.

        `succeed` is called with the result. After an error of `work` or of `succeed`, the request
        is tried again later or dropped. `removed` is the id of the job whose files the work
        removes, empty if none: nothing else works on that job meanwhile. While the work only
        `looks`, the request can be given up.
        """
        doing = self._jobs.known(removed).doing if removed else Doing()

        def done(result: Any) -> None:
            if removed:
                self._jobs.turn(removed, doing)
            if looks and not self._is_looking(request):
                return  # it was given up meanwhile
            try:
                if isinstance(result, Exception):
                    raise result
                succeed(result)
            except Exception as error:
                self._failed(request, error)

        _debug(request, f"works in {shown(root)}")
        if looks:
            self._phases[request.id] = _Phase.LOOKING
        else:
            self._busy.add(request.id)
        if removed:
            self._jobs.turn(removed, Doing(Activity.REMOVING, doing.effect))
        self._jobs.lanes.do(root, work, done, size)

    # -- the daemon

    def _pause_jobs(self, request: Request) -> None:
        """Start no new job; running jobs are finished."""
        atomic.write(
            self._paused, b""
        )  # even if jobs are paused: an earlier try may have done half of it
        if not self.paused:
            self.paused = True
            self._say_paused()
        self._carried_out(request)

    def _say_paused(self) -> None:
        self._reporter.requested(PAUSED_NOW.sentence)

    def _resume(self, request: Request) -> None:
        """Start jobs again."""
        entries.unlink(self._paused)
        atomic.sync_folder(self._state.root)
        if self.paused:
            self.paused = False
            self._reporter.requested("resumed")
        self._carried_out(request)

    def _drain(self, request: Request) -> None:
        """Finish the running jobs, then stop."""
        self.draining = True
        self._reporter.requested(DRAINING.sentence)
        self._carried_out(request)

    def _try(
        self,
        request: Request,
        name: Annotated[str, Field(pattern=TRY_NAME)],
        styles: dict[str, str],
        content: Annotated[str, Field(pattern=r"^content\.[a-z0-9]+$|^$")] = "",
        settings: dict[str, Any] | None = None,
    ) -> None:
        """Begin the try `name` of the page with the photograph `content`, or add `styles` to it.

        Styles are added if `content` is empty. `styles` are paths by name.
        """
        self._try_styles(name, styles, content, settings or {})
        self._carried_out(request)

    # -- jobs

    def _cancel(self, request: Request, job: JobId) -> None:
        """Cancel the job with this id: a job that waits or runs, or the new job of a retry.

        If the job is in the trash or waits to be deleted, it is restored, and its deletion is given
        up, because its disk may be gone for good. The request waits while files of the job are
        removed or, for a retry, copied. Raises InputError if there is no such job, or if its
        deletion has begun and waits for a disk.
        """
        if not self._give_up_deletions(request, job):
            return
        record = self._jobs.ledger.get(job)
        if record is not None and record.trashed:
            self._restored(request, job)  # else the daemon would request its deletion again
            return
        waiting = self._waiting_before(request, "retry", new=job)
        if record is not None and record.has_ended:  # a deletion of it may have been given up
            self._follow(request, job, record.trashed)
            self._carried_out(request)
        elif record is not None:
            self._ask(request, record, End.CANCELED)
        elif not waiting:
            raise InputError(f"there is no job {shown(job)}")
        elif waiting[0].id not in self._busy:
            retries.abandon(self._state, job)
            self._reporter.requested(f"asked to cancel {job}, which a retry was to make")
            self._carried_out(waiting[0])
            self._carried_out(request)

    def _give_up_deletions(self, request: Request, job: str) -> bool:
        """Give up the deletions of a job that have not begun, if `request` may revoke them.

        Returns False if lanes are at work for other deletions of the job, so that `request` must
        wait. Raises InputError if a deletion has begun and waits for a disk: it is too late to
        revoke it.
        """
        deletions = [
            each for each in self._requests if each.deletes(job) and _is_revocable(each, request)
        ]
        given_up = [each for each in deletions if not (each.has_begun or each.id in self._busy)]
        for deletion in given_up:
            self._reporter.requested(f"asked not to delete {self._jobs.title(job)}")
            self._carried_out(deletion)
        left = [each for each in deletions if each not in given_up]
        if left and not any(each.id in self._busy for each in left):
            raise InputError(f"{shown(self._jobs.title(job))}: its deletion has begun")
        return not left

    def _waiting_before(self, request: Request, verb: str, **arguments: str) -> list[Request]:
        """Return the requests before `request` with this `verb` and at least these `arguments`.

        They wait, are in work, or are removed by the next commit.
        """
        earlier = (
            former for former in self._requests if former.verb == verb and former.id < request.id
        )
        return [former for former in earlier if former.asks(verb, **arguments)]

    def _is_retried(self, job: Job) -> bool:
        """Return whether a retry is in work whose job may get the same name as a retry of `job`."""
        self._retried_stems = {
            id_: stem for id_, stem in self._retried_stems.items() if id_ in self._busy
        }
        return retries.stem_of(job) in self._retried_stems.values()

    def _finish(self, request: Request, job: JobId) -> None:
        """End the job with this id early, with its current picture, if it runs or has a stage."""
        record = self._jobs.ledger.get(job)
        has_picture = record is not None and (record.step > 0 or record.state is State.RUNNING)
        self._ask(request, record if has_picture else None, End.STOPPED_EARLY)

    def _ask(self, request: Request, job: Job | None, end: End) -> None:
        if job is None or job.has_ended:
            self._carried_out(request)
            return
        if job.asked not in (end, End.CANCELED):
            verb = "cancel" if end is End.CANCELED else "finish"
            self._reporter.requested(f"asked to {verb} {shown(job.title)}")
        self._jobs.go_on(job.id)
        self._carried_out(request, job.id, Asked(end))

    def _dismiss(self, request: Request, jobs: list[JobId]) -> None:
        """Remove those of `jobs` that were refused or failed from the status."""
        self._reporter.requested(
            f"asked to dismiss {shortened(', '.join(jobs)) or 'nothing'} from the status"
        )
        self._carried_out(request, write=lambda ledger: ledger.dismiss(jobs))

    def _retry(
        self,
        request: Request,
        job: JobId,
        new: JobId,
        settings: dict[str, Any],
        from_stage: int | None = None,
        without: list[int] | None = None,
        added: list[str] | None = None,
    ) -> None:
        """Run the job with the id `job` again, as the job `new`, with exactly these `settings`.

        The painting starts from the stage after the step `from_stage`, if given. The styles with
        the numbers `without`, from 1, are left out. The files `added` are additional styles in the
        folder `new` of the uploads, which is removed afterwards. While a retry of a job with the
        same name is in work, this request waits. Raises InputError if there is no such job that has
        ended.
        """
        ledger = self._jobs.ledger
        old = ledger.get(job)
        if ledger.get(new) is not None:
            self._retried(request, new, None)
            return
        if old is None or not old.has_ended:
            retries.abandon(self._state, new)
            raise InputError(f"there is no job {shown(job)} that has ended")
        if self._is_retried(old):  # both new jobs would get one name
            return
        self._retried_stems[request.id] = retries.stem_of(old)
        listed = ledger.files(old.id)
        names = ledger.names_like(retries.stem_of(old))
        limits = self._jobs.settings.limits
        watched = self._jobs.settings.inbox(Path(old.inbox))
        inbox = watched or InboxSettings(path=Path(old.inbox), outbox=Path(old.outbox))
        own_finals = _finals_of(old, watched, listed)
        outbox = Path(old.outbox)

        def make(step: Step) -> Claim:
            guard = self._jobs.mount_guard
            with (
                guard.checked(self._state.root),
                guard.checked_inside(outbox, old.place, disk=old.disk),
            ):
                try:
                    files = needed(old, from_stage, without or (), listed)
                    uploads = retries.uploaded(self._state, new, added or ())
                    return retries.make_retry(
                        self._state,
                        old,
                        new,
                        retries.free_name(old, names),
                        settings,
                        [*files, *uploads],
                        inbox,
                        own_finals,
                        limits,
                        guard,
                        step,
                    )
                except InputError as error:
                    if not entries.is_folder(outbox):  # its disk may be mounted later
                        raise OutputError(f"the outbox {old.outbox} is not there") from error
                    retries.abandon(self._state, new)
                    raise

        self._move(request, outbox, make, partial(self._retried, request, new), old.bytes)

    def _retried(self, request: Request, new: str, claim: Claim | None) -> None:
        """Post the job that a retry has created, and remove its uploads.

        `claim` is None if the job was posted before.
        """
        if claim is None:
            self._carried_out(request)
        else:
            self._reporter.requested(f"{shown(claim.retry_of)} is painted again, as {new}")
            self._carried_out(request, new, Found(job_of(claim)))
        entries.attempt_removal(self._state.uploads / new)

    def _favorite(self, request: Request, job: JobId) -> None:
        """Make a job that has ended with a picture a favorite.

        The mark of a favorite says whether the job is in the trash. Therefore this request waits
        for earlier requests to move the job into the trash or out of it. Raises InputError if there
        is no such job.
        """
        if any(self._waiting_before(request, verb, job=job) for verb in ("trash", "restore")):
            return
        record = self._jobs.ledger.get(job)
        if record is None or not (record.has_ended and record.end in PICTURES):
            raise InputError(f"there is no job {shown(job)} with a picture")
        favorites.mark(self._state.root, self._jobs.ledger, record, request)
        self._toggled(request, job)

    def _unfavorite(self, request: Request, job: JobId) -> None:
        """Remove the mark of a favorite from a job."""
        favorites.unmark(self._state.root, job)
        self._toggled(request, job)

    def _toggled(self, request: Request, job: str) -> None:
        """Post that a mark was set or removed, and drop earlier requests, which would undo that."""
        for verb in TOGGLES:
            for earlier in self._waiting_before(request, verb, job=job):
                self._carried_out(earlier)
        self._carried_out(request)

    def _trash(self, request: Request, job: JobId) -> None:
        """Move a job that has ended into the trash.

        Its files stay as long as `retention.trash` says. Raises OSError if the mark of a favorite
        cannot be written.
        """
        self._reporter.requested(f"moved {shown(self._jobs.title(job))} into the trash")
        trashed = now()
        self._follow(request, job, trashed)
        self._carried_out(request, job, Trashed(trashed))

    def _restore(self, request: Request, job: JobId) -> None:
        """Take a job out of the trash, and give up its deletion.

        While files of the job are removed, this request waits. Raises InputError if the job was
        deleted, or if its deletion has begun and waits for a disk.
        """
        if self._jobs.ledger.get(job) is None:
            raise InputError(f"there is no job {shown(job)}: it was deleted for good")
        if self._give_up_deletions(request, job):
            self._restored(request, job)

    def _restored(self, request: Request, job: str) -> None:
        self._reporter.requested(f"restored {shown(self._jobs.title(job))} from the trash")
        self._follow(request, job, None)
        forget = partial(LedgerWriter.forget_age, job_id=job)
        self._carried_out(request, job, Restored(), forget)

    def _follow(self, request: Request, job: str, trashed: str | None) -> None:
        """Write the mark of a favorite as of the time `trashed`; raises OSError.

        `trashed` is None if the job is not in the trash. The ledger follows later: if the daemon is
        killed in between, the request is still there, and is carried out again.
        """
        record = self._jobs.ledger.get(job)
        if record is not None and record.has_ended and favorites.is_marked(self._state.root, job):
            moved = replace(record, trashed=trashed)
            favorites.mark(self._state.root, self._jobs.ledger, moved, request)

    def _expire(self, request: Request, job: JobId, at: float, *, begun: bool = False) -> None:
        """Delete a job whose days in the trash are over; the daemon itself requests this.

        `at` is the value of `Sight.counted_s` at the request. If the settings now keep the job, or
        if it was restored, the request is dropped, unless the deletion has `begun`.
        """
        days = self._jobs.settings.retention.trash
        since = self._jobs.ledger.trashed_since(job)
        is_over = days != "keep" and since is not None and since < at - days * DAY
        if begun or is_over:
            self._delete(request, job, begun=begun)
        else:
            self._carried_out(request)

    def _delete(self, request: Request, job: JobId, *, begun: bool = False) -> None:
        """Remove the files of a job that has ended, and forget the job; each call takes one step.

        The first step looks at all folders of the job. The second one records that the deletion
        begins, removes the files, and forgets the job. `begun` says that an earlier daemon or call
        has recorded it already. Before the record, the deletion can be given up or put off.

        While the job is ending, or anything else works on it, a call does nothing. A request about
        a job that is missing or has not ended is dropped.
        """
        phase = self._phases.pop(request.id, None)
        record = self._jobs.ledger.get(job)
        if record is None or not (record.has_ended or record.state is State.ENDING):
            self._carried_out(request)
        elif self._must_wait(request, record) or (not begun and self._is_revoked(request, job)):
            pass  # a later call tries again
        elif begun:
            self._remove_files(request, record)
        elif phase is _Phase.LOOKED:
            self._begin(request)
            self._remove_files(request, record)
        else:
            self._look_at(request, record)

    def _must_wait(self, deletion: Request, job: Job) -> bool:
        """Return whether a deletion must wait: the job is ending, in work, or being retried."""
        is_ending = job.state is State.ENDING or self._jobs.works_on(job.id)
        return is_ending or bool(self._waiting_before(deletion, "retry", job=job.id))

    def _is_revoked(self, deletion: Request, job: str) -> bool:
        """Return whether a waiting request to restore or cancel a job gives up its deletion."""
        return any(
            each.verb in _REVOKING
            and each.arguments.get("job") == job
            and _is_revocable(deletion, each)
            for each in self._requests
        )

    def _look_at(self, deletion: Request, job: Job) -> None:
        """Look at the folders of a job, one after the other, in their lanes.

        The deletion can be given up meanwhile.
        """
        removals = self._removals(job, self._jobs.ledger.files(job.id))
        folders = [folder for folder, _ in removals]

        def look(result: None) -> None:
            if not folders:
                self._phases[deletion.id] = _Phase.LOOKED
                return
            folder = folders.pop(0)
            work = partial(self._look, job, folder)
            self._move(deletion, folder, work, look, 0, job.id, looks=True)

        look(None)

    def _is_looking(self, request: Request) -> bool:
        return self._phases.get(request.id) is _Phase.LOOKING

    def _begin(self, request: Request) -> None:
        """Record that a deletion begins; raises LedgerError if that is not possible now."""
        self._phases[request.id] = _Phase.BEGUN
        self._jobs.post("", None, partial(LedgerWriter.begin_request, request_id=request.id))
        self._jobs.commit()
        if self._jobs.trouble:
            raise LedgerError(self._jobs.trouble)

    def _look(self, job: Job, folder: Path, step: Step) -> None:
        """Raise OSError if files of a job cannot be removed from a folder now."""
        outbox = Path(job.outbox)
        is_outbox = folder == outbox
        inner = (job.place, job.refused_as) if is_outbox else ()
        disk = job.disk if is_outbox else ""
        guard = self._jobs.mount_guard
        with guard.checked(self._state.root), guard.checked_inside(folder, *inner, disk=disk):
            if entries.is_folder(folder):
                disks.check_access(folder)
            elif is_outbox:
                raise OutputError(f"the folder {outbox} is not there")

    def _remove_files(self, deletion: Request, job: Job) -> None:
        """Remove the files of a job in the lanes of their folders, then forget the job."""
        files = self._jobs.ledger.files(job.id)
        removals = self._removals(job, files)

        def remove(result: None) -> None:
            if removals:
                self._move(deletion, *removals.pop(0), remove, job.bytes, job.id)
            else:
                self._deleted(deletion, job, files)

        remove(None)

    def _removals(
        self, job: Job, files: Iterable[OutputFile]
    ) -> list[tuple[Path, Callable[[Step], None]]]:
        """Return functions that remove the files of a job, each with the folder whose lane runs it.

        If a folder is away, this deletion alone waits for it, even for a finals folder that the
        settings no longer name (laws 2 and 9).
        """
        state = self._state
        guard = self._jobs.mount_guard
        outbox = Path(job.outbox)
        claim = self._jobs.claim_to_publish(job)
        account = Account(claim, {}, is_deleted=True)
        links = defaultdict[Path, list[OutputFile]](list)
        published = list[OutputFile]()
        for file in files:
            is_linked = file.part == "finals"
            of = links[finals.root_of(job, Path(file.path))] if is_linked else published
            of.append(file)

        def release(step: Step) -> None:
            self._release(account, step)

        def unlink(folder: Path, step: Step) -> None:
            with guard.checked(folder):
                if entries.is_folder(folder):
                    removal.remove(folder, links[folder], step)

        def remove(step: Step) -> None:
            inner = job.place, job.refused_as
            with guard.checked(state.root), guard.checked_inside(outbox, *inner, disk=job.disk):
                removal.remove(outbox, published, step, place=job.place, listed=published)
                # its inputs may have waited to be removed; a power cut must not bring a job back
                # that the ledger has forgotten
                Outbox(outbox).clear(job.id, durable=True)
                inputs.remove_all(state, account, step)
                state.discard(job.id, durable=True)

        # only the lane of its inbox looks there
        released = [(claim.inbox, release)] if state.is_held(job.id) else []
        unlinked = [(folder, partial(unlink, folder)) for folder in links]
        return [*released, *unlinked, (outbox, remove)]

    def _deleted(self, request: Request, job: Job, files: Sequence[OutputFile]) -> None:
        favorites.unmark(self._state.root, job.id)  # before: a start would enter it again
        self._reporter.requested(f"deleted {shown(job.title)}")
        for other in self._requests:  # others may wait longer for the same disk
            if other.deletes(job.id) and other.id != request.id:
                self._carried_out(other)
        self._carried_out(request, job.id, Deleted())
        self._jobs.commit()
        self._jobs.forget(job.id)
        digests = {file.sha256 for file in job.inputs} | {file.sha256 for file in files}
        for digest in digests - {""}:
            if not self._jobs.ledger.has_picture(digest):
                thumbs.remove(self._state.thumbs, digest)
                thumbs.remove(self._state.previews, digest)


def _finals_of(
    job: Job, inbox: InboxSettings | None, listed: Iterable[OutputFile]
) -> tuple[Path, ...] | None:
    """Return the finals folder for a retry of a job, in the form of `Claim.finals`.

    `inbox` is None if the settings have none for the job now. Then the folder is taken from a link
    in the finals folder among the `listed` files; without such a link the result is None, for
    unknown.
    """
    if inbox is not None:
        return () if inbox.finals is None else (inbox.finals,)
    links = (Path(file.path) for file in listed if file.part == "finals")
    return tuple(finals.root_of(job, link) for link in islice(links, 1)) or None


def _debug(request: Request, text: str) -> None:
    """Log at the level debug what happens with a request, described by `text`."""
    log = logging.getLogger(__name__)
    if log.isEnabledFor(logging.DEBUG):
        asked = {name: value for name, value in request.arguments.items() if name != "settings"}
        log.debug("%s %s: %s", _key(request), shortened(str(asked)), text)


def _obstacle(request: Request) -> Obstacle:
    """Return the obstacle that makes this request alone wait after an error of a disk."""
    return Obstacle(Kind.REQUEST, str(request.id))


def _is_revocable(deletion: Request, wish: Request) -> bool:
    """Return whether `wish` may give up a deletion.

    It may if the deletion was requested earlier, or by the daemon itself.
    """
    return deletion.verb == EXPIRE or deletion.id < wish.id


def _key(request: Request) -> str:
    """Return a text that identifies a request by its id and verb, without the name of its job."""
    return f"request {request.id} to {shortened(request.verb)}"
