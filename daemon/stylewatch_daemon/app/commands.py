"""Requests of people, from commands and from the page: the daemon acts on each of them once."""

import logging
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, ValidationError, validate_call

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import DaemonError, InputError
from stylewatch_daemon.base.model import End, Job, is_id
from stylewatch_daemon.base.mover import Mover, Step
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.intake.intake import Intake
from stylewatch_daemon.jobs import actions
from stylewatch_daemon.jobs.jobs import Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import Asked, Deleted, Found
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.ledger import Request
from stylewatch_daemon.ledger.requests import Pause
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import removal
from stylewatch_daemon.outbox.removal import Removed

AGAIN_S = 5.0
"""Seconds until a request that could not be carried out is tried again."""


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("no job has such an id")
    return text


JobId = Annotated[str, AfterValidator(_checked_id)]
"""Id of a job, which is the name of its folder."""


class _LaterError(Exception):
    """A request has to wait: it stays in the ledger, and is tried again."""


class Commands:
    """Acts on the requests in the ledger of `jobs`; `clock` is monotonic, in seconds.

    A request goes in the same transaction as what it changes, so a daemon that is killed in between
    acts on it again.
    """

    def __init__(
        self, jobs: Jobs, intake: Intake, mover: Mover, clock: Callable[[], float]
    ) -> None:
        self._jobs, self._intake, self._mover, self._clock = jobs, intake, mover, clock
        self._state, self._reporter = jobs.state, jobs.reporter
        self.pause = Pause(jobs.state.root)
        self.draining = False
        self.has_news = False
        """True after a request that changed what the status shows; the reader clears it."""
        self._again: dict[int, float] = {}
        """When a request is looked at again, by its id: infinite while the mover works on it."""
        self._told: set[int] = set()
        """The requests that were reported to wait."""
        self._awaited: set[object] = set()
        """The ids of the jobs that requests for a retry are to become."""
        checked = validate_call(config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        self._verbs: Mapping[str, Callable[..., object]] = {
            verb: checked(getattr(self, f"_{verb}"))
            for verb in ("pause_jobs", "resume", "drain", "cancel", "cancel_incomplete", "finish",
                         "dismiss", "retry", "delete", "submitted")
        }  # fmt: skip
        for request in jobs.ledger.requests():  # a drain was meant for a daemon that is gone
            if request.verb == "drain":
                self._remove(request)
        jobs.commit()
        if self.pause:
            self._say_paused()

    @property
    def holds(self) -> bool:
        """True if no job may start now."""
        return self.draining or bool(self.pause)

    @property
    def in_work(self) -> bool:
        """True while the mover works on a request."""
        requests = self._jobs.ledger.requests()
        return any(self._again.get(request.id) == float("inf") for request in requests)

    def act(self) -> None:
        """Act on the requests, in the order they came."""
        requests = self._jobs.ledger.requests()
        known = {request.id for request in requests}
        self._again = {id_: at for id_, at in self._again.items() if id_ in known}
        self._told &= known
        retries = [request.arguments for request in requests if request.verb == "retry"]
        self._awaited = {str(arguments.get("new")) for arguments in retries}
        for request in requests:
            if self._again.get(request.id, 0.0) > self._clock():
                continue
            try:
                self._act(request)
            except _LaterError:
                continue
            except OSError as error:  # a full disk, for one
                self._put_off(request, error)
            except Exception as error:  # whatever is asked, it must not bring the daemon down
                self._give_up(request, error)
        self._jobs.commit()

    def _act(self, request: Request) -> None:
        verb = "pause_jobs" if request.verb == "pause" else request.verb
        if verb not in self._verbs:
            raise InputError("there is no such request")
        try:
            self._verbs[verb](request, **request.arguments)
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False, include_input=False)
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{where}: {first['msg']}") from error
        self.has_news = True

    def _put_off(self, request: Request, error: OSError) -> None:
        if request.id not in self._told:
            self._told.add(request.id)
            self._reporter.waits("a request", shortages.in_words(error))
        self._again[request.id] = self._clock() + AGAIN_S

    def _give_up(self, request: Request, error: Exception) -> None:
        reason = shortened(str(error) or type(error).__name__)
        log = logging.getLogger(__name__)
        is_ours = not isinstance(error, DaemonError | ValueError)
        log.warning(
            "a request to %s cannot be carried out: %s", shortened(request.verb), reason,
            exc_info=error if is_ours else None,
        )  # fmt: skip
        self._remove(request)

    def _remove(self, request: Request) -> None:
        self._again[request.id] = float("inf")
        self._jobs.post("", None, lambda ledger: ledger.remove_request(request.id))

    # -- the daemon

    def _pause_jobs(self, request: Request) -> None:
        """Start no new job; running ones are finished."""
        if not self.pause:
            self.pause.begin()
            self._say_paused()
        self._remove(request)

    def _say_paused(self) -> None:
        self._reporter.requested("paused: no new job is started until `stylewatch resume`")

    def _resume(self, request: Request) -> None:
        """Start jobs again."""
        if self.pause:
            self.pause.end()
            self._reporter.requested("resumed")
        self._remove(request)

    def _drain(self, request: Request) -> None:
        """Finish the running jobs, then stop."""
        self.draining = True
        self._reporter.requested("draining: the running jobs are finished, then stylewatch stops")
        self._remove(request)

    def _submitted(self, request: Request, inbox: str, name: str) -> None:
        """Take the pair in the folder `name` of an inbox without a wait."""
        self._intake.submitted(inbox, name)
        self._remove(request)

    # -- jobs

    def _cancel(self, request: Request, job: JobId) -> None:
        """End the job with this id, whether it waits or runs."""
        known = self._jobs.ledger.get(job)
        if known is None and job in self._awaited:
            raise _LaterError
        self._ask(request, known, End.CANCELED)

    def _finish(self, request: Request, job: JobId) -> None:
        """Make the current picture of the job with this id final; the job has to be begun."""
        known = self._jobs.ledger.get(job)
        has_begun = known is not None and bool(self._jobs.ledger.attempts(job))
        self._ask(request, known if has_begun else None, End.STOPPED_EARLY)

    def _ask(self, request: Request, job: Job | None, end: End) -> None:
        also = partial(LedgerWriter.remove_request, request_id=request.id)
        self._again[request.id] = float("inf")
        if job is None or job.has_ended:
            self._jobs.post("", None, also)
            return
        if job.asked not in (end, End.CANCELED):
            verb = "cancel" if end is End.CANCELED else "finish"
            self._reporter.requested(f"asked to {verb} {shown(job.title)}")
        self._jobs.post(job.id, Asked(end), also)

    def _cancel_incomplete(self, request: Request, name: str) -> None:
        """Claim the incomplete pairs of that name as canceled jobs.

        A pair that is complete by now is canceled as a job.
        """
        found = self._intake.cancel(name)
        if found is None:
            raise _LaterError
        if found:
            self._reporter.requested(f"asked to cancel {shown(name)}, which was incomplete")
            self._remove(request)
        else:
            self._ask(request, self._jobs.ledger.latest_open(name), End.CANCELED)

    def _dismiss(self, request: Request, jobs: list[JobId] | None = None, until: str = "") -> None:
        """Remove refused and failed jobs from the status: these, and all that ended by `until`."""
        ids = jobs or []
        which = "every refused or failed job" if until else ", ".join(ids)
        self._reporter.requested(f"asked to dismiss {which} from the status")

        def write(ledger: LedgerWriter) -> None:
            ledger.dismiss(ids, until)
            ledger.remove_request(request.id)

        self._again[request.id] = float("inf")
        self._jobs.post("", None, write)

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
        """Run the job with the id `job` again, as the job `new`, by `settings` alone.

        The styles with the numbers `without`, from 1, are left out. The files `added` are further
        styles; they are in the folder `new` of the uploads, which is removed afterwards.
        """
        ledger = self._jobs.ledger
        known, old = ledger.get(new), ledger.get(job)
        if known is not None:
            self._retried(request, new, None)
            return
        if old is None or not old.has_ended:
            raise InputError(f"there is no job {shown(job)} that has ended")
        files = [*actions.needed(old, from_stage, without or (), ledger.files(old.id)),
                 *actions.uploaded(self._state, new, added or ())]  # fmt: skip
        daemon = self._jobs.settings
        make = partial(
            actions.make_retry, self._state, old, new, settings, files,
            daemon.after(Path(old.inbox)), daemon.limits,
        )  # fmt: skip
        self._again[request.id] = float("inf")

        def done(result: Claim | Exception) -> None:
            self._finish_later(request, result, lambda claim: self._retried(request, new, claim))

        self._mover.do(make, done, old.bytes)

    def _retried(self, request: Request, new: str, claim: Claim | None) -> None:
        """Enter the job that a retry has made."""
        event = None
        if claim is not None:
            self._reporter.requested(f"{shown(claim.retry_of)} is painted again, as {new}")
            event = Found(job_of(claim))
        self._again[request.id] = float("inf")
        self._jobs.post(
            new if event else "", event, lambda ledger: ledger.remove_request(request.id)
        )
        shutil.rmtree(self._state.uploads / new, ignore_errors=True)

    def _delete(self, request: Request, job: JobId) -> None:
        """Remove the files of a job that has ended, and forget it."""
        known = self._jobs.ledger.get(job)
        if known is None or not known.has_ended:
            self._remove(request)
            return
        files, outbox = self._jobs.ledger.files(job), Path(known.outbox)
        self._again[request.id] = float("inf")

        def work(step: Step) -> Removed:
            return removal.remove(outbox, files, step)

        def done(result: Removed | Exception) -> None:
            self._finish_later(request, result, lambda removed: self._deleted(request, known))

        self._mover.do(work, done, sum(file.size for file in files))

    def _deleted(self, request: Request, job: Job) -> None:
        self._reporter.requested(f"deleted {shown(job.title)}")
        self._jobs.post(job.id, Deleted(), lambda ledger: ledger.remove_request(request.id))
        self._jobs.commit()
        digests = {file.sha256 for file in job.inputs if file.sha256}
        left = self._jobs.ledger.digests()
        thumbs.sweep(self._state.thumbs, left)
        for digest in digests - left:
            for preview in self._state.previews.glob(f"{digest}*"):
                preview.unlink(missing_ok=True)

    def _finish_later(
        self, request: Request, result: Any, succeed: Callable[[Any], object]
    ) -> None:
        """Act on what the mover returned for a request."""
        self.has_news = True
        if isinstance(result, OSError):
            self._put_off(request, result)
        elif isinstance(result, Exception):
            self._give_up(request, result)
        else:
            succeed(result)
