"""The ends of jobs: publish them in the mover thread, then remove their folders and notify."""

from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

from stylewatch_daemon.base.model import PICTURES, End, Job, OutputFile
from stylewatch_daemon.base.mover import Mover, Step
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.lifecycle import Effect, Placed, Published, Restarted
from stylewatch_daemon.jobs.waits import MACHINE
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.outbox import ending, staging
from stylewatch_daemon.outbox.ending import Ending
from stylewatch_daemon.outbox.ending import Published as Output
from stylewatch_daemon.outbox.publish import CANCELED, REFUSED, Outbox

STAYS = (
    "the originals could not be removed from the inbox, which cannot be written; they are removed "
    "as soon as it can be"
)
"""Warning of a job whose inbox is read-only."""


class Endings:
    """Publisher of the ends of `jobs`, using `mover`."""

    def __init__(self, jobs: Jobs, mover: Mover) -> None:
        self._jobs, self._mover = jobs, mover
        self.ended: Counter[End] = Counter()
        """Number of jobs that have ended in each way."""
        jobs.handlers |= {Effect.PUBLISH_END: self._publish, Effect.DISCARD: self._discard}

    @property
    def in_work(self) -> bool:
        """True while an end is being published."""
        lives = self._jobs.live.values()
        return any(live.is_busy and not live.is_claiming for live in lives)

    def _publish(self, job: Job, event: object) -> None:
        """Archive the inputs and publish the output, or publish the inputs with the reason.

        Without an output a folder is chosen first, which is recorded before anything is written.
        """
        jobs, settings, path = self._jobs, self._jobs.settings, Path(job.outbox)
        jobs.mount_guard.check(path)
        is_refusal = job.end not in PICTURES
        if is_refusal and job.refused_as is None:
            self._choose(job)
            return
        claim = jobs.claim_to_publish(job)
        finals = {inbox.path: inbox.finals for inbox in settings.inboxes}.get(claim.inbox)
        if finals is not None and not is_refusal:
            jobs.mount_guard.check(finals)
        what = Ending(
            job,
            claim,
            inputs=jobs.state.files(job.id),
            staged_at=staging.place(Outbox(path), job.id, jobs.ledger.attempts(job.id)),
            listed=tuple(jobs.ledger.files(job.id)),
            finals=finals,
            warnings=self._warnings(claim),
        )
        publish = ending.publish_refusal if is_refusal else ending.publish_output
        live = jobs.known(job.id)
        live.is_busy, live.is_claiming, live.reason = True, False, ""

        def work(step: Step) -> Output | None:
            return publish(what, step)

        done = self._jobs.then(job, Effect.PUBLISH_END, partial(self._published, job))
        self._mover.do(work, done, job.bytes)

    def _choose(self, job: Job) -> None:
        """Post the folder in the outbox for the inputs of a job without an output."""
        ledger = self._jobs.ledger
        outbox = Outbox(
            Path(job.outbox), is_reserved=lambda place: ledger.is_reserved(place, job.outbox)
        )
        folder = CANCELED if job.end is End.CANCELED else REFUSED
        self._jobs.post(job.id, Placed(outbox.choose(f"{folder}/{job.title}")))

    def _warnings(self, claim: Claim) -> tuple[str, ...]:
        kept = None
        if claim.files and not claim.is_copy:
            kept = self._jobs.ledger.kept(claim.key)
        return (STAYS,) if kept is not None and kept.doomed else ()

    def _published(self, job: Job, result: Output | Exception | None) -> None:
        """Post that the end of a job is published, or why it could not be."""
        jobs = self._jobs
        live = jobs.known(job.id)
        if isinstance(result, OSError):
            jobs.block(job, result, again=Effect.PUBLISH_END)
            return
        if isinstance(result, Exception):
            jobs.broke(job.id, result)
            return
        if result is None:
            self._choose(job)  # someone else has taken its folder
            return
        for name in sorted(result.changed):
            jobs.reporter.input_changed(shown(job.title), ending.changed_while_running(name))
        for file in result.files:
            if file.part == "finals":
                jobs.reporter.staged(shown(job.title), Path(file.path))
        live.folder = result.folder
        files: tuple[OutputFile, ...] = result.files
        jobs.post(job.id, Published(), lambda ledger: ledger.put_files(job.id, files))

    def _discard(self, job: Job, event: object) -> None:
        """Remove what remains of a job that has ended, and notify."""
        jobs = self._jobs
        folder = jobs.known(job.id).folder or Path(job.outbox)
        with suppress(OSError):  # otherwise the next start does it
            Outbox(Path(job.outbox)).clear(job.id)
        jobs.state.discard(job.id)
        jobs.forget(job.id)
        if isinstance(event, Restarted):
            return
        jobs.waits.passed(job, *((job.needs, MACHINE) if job.end in PICTURES else ()))
        assert job.end is not None
        self.ended[job.end] += 1
        jobs.reporter.ended(job, folder)
