"""One try at a job: the order for it, and the worker's files into the outbox as they come."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from stylewatch_daemon import space
from stylewatch_daemon.execute.contract import (
    Done,
    End,
    Event,
    Failed,
    Order,
    Progress,
    Saving,
    Staged,
    Started,
    Wanted,
)
from stylewatch_daemon.job import Job
from stylewatch_daemon.journal import Attempt, JobState, Journal
from stylewatch_daemon.ledger_writer import now
from stylewatch_daemon.names import fill
from stylewatch_daemon.outbox import RECEIPT, Outbox
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.settings import JobSettings
from stylewatch_daemon.sharing import OPEN, Sharing
from stylewatch_daemon.state import State

CHECKPOINT = "checkpoint.npz"


def crashes(attempts: Sequence[Attempt]) -> int:
    """How often in a row the job ended by a fault, or its process with it, and got no further.

    What went wrong while others were painted with it may be the fault of one of these, and counts
    for none: it is tried again by itself.
    """
    count = furthest = 0
    for attempt in attempts:
        if attempt.step > furthest:  # what went wrong before did not stand in the way
            count, furthest = 0, attempt.step
        count += attempt.how in ("cut off", "failed") and attempt.together == 1
    return count


def _without_repetition(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Attempts without the last, if it was paused as the one before: that may go on for days."""
    paused = [attempt.how == "paused" for attempt in attempts[-2:]]
    return attempts[:-1] if paused == [True, True] else attempts


class Try:
    """A try at the job of `journal`, which is kept up to date in `state`."""

    def __init__(
        self, journal: Journal, state: State, reporter: Reporter, sharing: Sharing = OPEN
    ) -> None:
        self.journal = journal
        self._state = state
        self._reporter = reporter
        self._outbox = Outbox(journal.outbox, sharing)
        self._folder = journal.outbox
        self.asked: Wanted = ""
        """What the executor was asked of it."""
        self.given_up: OSError | None = None
        """What stood in the way of its files; then nothing that it does counts any more."""

    def reserve(self, settings: JobSettings) -> None:
        """Reserve the folder in the outbox; raises as `begin` does."""
        self._outbox.probe()
        self._reserve(self._state.job(self.journal), settings)

    def begin(self, settings: JobSettings, service: ServiceSettings, together: int = 1) -> Order:
        """Reserve the folder in the outbox, write the attempt down, and make the order.

        As many as `together` says are to be painted at once, this one with them.

        Raises SettingsError for a bad name pattern, OutputError where the outbox cannot be written.
        """
        job = self._state.job(self.journal)
        self._outbox.probe()
        space.check_job(job, self.journal.place, settings, service)
        self._reserve(job, settings)
        earlier = _without_repetition(self.journal.attempts)
        if crashes(earlier) == service.attempts - 1:
            # The last try starts from the beginning: the checkpoint may be what it dies of.
            (job.folder / CHECKPOINT).unlink(missing_ok=True)
        self._publish_left_over()
        this = Attempt(
            started=now(),
            backend=settings.backend,
            boot=_boot(),
            pid=os.getpid(),
            together=together,
        )
        with self._state.ledger.together():
            self._state.ledger.change(job.id, settings=settings.model_dump(mode="json"))
            attempts = (*earlier, this)
            self.journal = self._state.save(self.journal, state="running", attempts=attempts)
        return self._order(job, settings, service, earlier)

    def hear(self, event: Event) -> End | None:
        """Publish what comes, the receipt apart; the End, once it is there."""
        if isinstance(event, Started):
            self._note(
                {},
                backend=event.backend,
                device=event.device,
                step=event.step,
                together=event.together,
            )
            self._reporter.job_started(self.name, event)
        elif isinstance(event, Progress):
            self._reporter.progress(self.name, event)
        elif isinstance(event, Staged):
            if event.path != RECEIPT:
                self._publish(event.path)
        elif not isinstance(event, Saving):
            return self._checked(event)
        return None

    def end(self, how: str, reason: str = "", state: JobState = "queued") -> None:
        """Write down how the try ended, and with it, in one go, what is to be done next."""
        self._note({"state": state, "reason": reason}, ended=now(), how=how, reason=reason)

    @property
    def name(self) -> str:
        """What the job is called in the outbox."""
        return self.journal.place or self.journal.name

    @property
    def ticket(self) -> str:
        """What the executor knows the attempt by."""
        this = self.journal.attempts[-1]
        return f"{self.journal.id}#{len(self.journal.attempts)} of {this.started} by {this.pid}"

    def _order(
        self,
        job: Job,
        settings: JobSettings,
        service: ServiceSettings,
        earlier: tuple[Attempt, ...],
    ) -> Order:
        return Order(
            name=self.journal.place or job.name,
            settings=settings,
            content=job.content,
            styles=job.styles,
            init=job.init,
            masks=job.masks,
            staging=self._outbox.staging(job.id),
            checkpoint=job.folder / CHECKPOINT,
            backend_options=service.backends.get(settings.backend, {}),
            recipe_folders=service.recipe_folders,
            max_pixels=service.max_pixels,
            step_timeout_s=service.step_timeout_s,
            memory=service.memory,
            out_of_memory=service.out_of_memory,
            attempts=tuple(_as_record(attempt) for attempt in earlier),
            retry_of=self.journal.retry_of or None,
        )

    def _reserve(self, job: Job, settings: JobSettings) -> None:
        if self.journal.place is not None:
            self._folder = self._outbox.again(self.journal.place)
            return
        self._folder = self._outbox.reserve(
            fill(settings.name, _values(job, settings)),
            lambda place: self._state.save(self.journal, place=place),
        )
        place = self._folder.relative_to(self.journal.outbox).as_posix()
        self.journal = replace(self.journal, place=place)

    def _publish_left_over(self) -> None:
        """What an earlier attempt finished, and was killed before we heard of it."""
        for path in list(self._outbox.staged(self.journal.id)):
            self._publish(path)

    def _publish(self, path: str) -> None:
        published = self._outbox.publish(self.journal.id, self._folder, path)
        self._reporter.staged(self.name, published)

    def _checked(self, end: End) -> End:
        if isinstance(end, Done) and not self._outbox.has_receipt(self.journal.id):
            return Failed("a fault of our own: the worker was done without a receipt")
        if isinstance(end, Done) and "stages" in end.receipt:
            painted = {stage["file"] for stage in end.receipt["stages"]}
            self._outbox.drop_stages(self._folder, painted)
        return end

    def _note(self, changes: dict[str, Any], **noted: Any) -> None:
        """Write down `noted` of this attempt, and `changes` to the journal."""
        *earlier, this = self.journal.attempts
        attempts = (*earlier, replace(this, **noted))
        self.journal = self._state.save(self.journal, attempts=attempts, **changes)


def _values(job: Job, settings: JobSettings) -> dict[str, str]:
    """What the places in a name pattern stand for."""
    folder = PurePosixPath(job.name).parent.as_posix()
    return {
        "name": job.name,
        "folder": "" if folder == "." else folder,
        "stem": job.main.stem,
        "content": job.main.stem,
        "style": job.styles[0].stem if job.styles else "",
        "recipe": Path(settings.recipe).stem,
        "seed": str(settings.seed),
    }


def _as_record(attempt: Attempt) -> dict[str, Any]:
    """An earlier attempt as the receipt has it."""
    ended = f"{attempt.how}: {attempt.reason}" if attempt.reason else attempt.how
    decided = {"batch": attempt.together} if attempt.together > 1 else {}
    record = {"backend": attempt.backend, "device": attempt.device, "decided": decided,
              "ended": ended}  # fmt: skip
    return {key: value for key, value in record.items() if value}


def _boot() -> str:
    """The kernel's id of the machine's start; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
