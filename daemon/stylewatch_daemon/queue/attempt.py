"""One try at a job: the order for it, and the worker's files into the outbox as they come."""

import os
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.files.permissions import OPEN, Sharing
from stylewatch_daemon.model import CHECKPOINT, Job, Progress, Started
from stylewatch_daemon.outbox.disk_need import check_job
from stylewatch_daemon.outbox.publish import RECEIPT, Outbox
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.queue import attempt_dir
from stylewatch_daemon.queue.attempt_files import Announced
from stylewatch_daemon.queue.eta import Pace
from stylewatch_daemon.settings import patterns
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.journal import CUT_OFF, CUT_OFF_ALONE, Attempt, JobState, Journal
from stylewatch_daemon.store.ledger_writer import now
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import (
    Done,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Part,
    Saving,
    Staged,
    Stopped,
    Wanted,
)


class Verdict(Enum):
    """What the earlier attempts at a job mean for the next one."""

    AS_ANY = "it is run as any other job"
    ALONE = "it is run when no other job waits, and alone"
    GIVEN_UP = "there is no next one"


def verdict(attempts: Sequence[Attempt], limit: int) -> Verdict:
    """What `attempts` mean for the next one, if `limit` of them may go wrong.

    A job whose worker died with it so often is given up. One that was cut off so often, with the
    whole daemon, may be innocent: a machine is switched off for many reasons. Only where the daemon
    dies once more while nothing else is painted is it given up as well.
    """
    if crashes(attempts) >= limit or _in_a_row(attempts, CUT_OFF_ALONE):
        return Verdict.GIVEN_UP
    return Verdict.ALONE if cut_offs(attempts) >= limit else Verdict.AS_ANY


def crashes(attempts: Sequence[Attempt]) -> int:
    """How often in a row the job ended by a fault, or its worker with it, and got no further."""
    return _in_a_row(attempts, "failed")


def cut_offs(attempts: Sequence[Attempt]) -> int:
    """How often in a row the job ended with the whole daemon, and got no further."""
    return _in_a_row(attempts, CUT_OFF, CUT_OFF_ALONE)


def _in_a_row(attempts: Sequence[Attempt], *ends: str) -> int:
    """How many of the `attempts` since the last progress ended like one of `ends`.

    What went wrong while others were painted with it may be the fault of one of these, and counts
    for none: it is tried again by itself.
    """
    count = furthest = 0
    for attempt in attempts:
        if attempt.step > furthest:  # what went wrong before did not stand in the way
            count, furthest = 0, attempt.step
        count += attempt.how in ends and attempt.together == 1
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
        self._outbox, where = Outbox(journal.outbox, sharing), str(journal.outbox)
        self._outbox.reserved = lambda place: state.ledger.is_reserved(place, where)
        self._folder = journal.outbox
        self._announced = Announced(self._outbox, journal.id, elsewhere=False)
        """What it tells of, and where below `.staging` it leaves that."""
        self.asked: Wanted = ""
        """What the executor was asked of it."""
        self._pace = Pace()
        self.given_up: OSError | None = None
        """What stood in the way of its files; then nothing that it does counts any more."""
        self.alone = False
        """Whether nothing else may be painted meanwhile."""
        self._keeps = False
        """Whether a checkpoint was announced."""
        self._is_new = journal.place is None
        """Whether nobody has made its folder in the outbox yet."""

    def reserve(self, settings: JobSettings) -> None:
        """Reserve the folder in the outbox; raises as `begin` does."""
        self._outbox.probe()
        self._names = _Names(self._state.job(self.journal), settings)
        self._reserve()

    def begin(self, settings: JobSettings, service: ServiceSettings, together: int = 1) -> None:
        """Choose the folder in the outbox, and write it and the attempt down.

        As many as `together` says are to be painted at once, this one with them.

        Raises OutputError where the disk has no room.
        """
        self._job = job = self._state.job(self.journal)
        self._names = _Names(job, settings)
        check_job(job, self.journal.place, settings, service)
        place = self.journal.place or self._outbox.choose(self._names.folder)
        earlier = _without_repetition(self.journal.attempts)
        self.alone = verdict(earlier, service.limits.attempts) is Verdict.ALONE
        this = Attempt(
            started=now(),
            how=CUT_OFF_ALONE if self.alone else CUT_OFF,
            backend=settings.backend,
            boot=_boot(),
            pid=os.getpid(),
            together=together,
        )
        self.journal = self._state.begin(self.journal, place, (*earlier, this), settings.text)

    def order(
        self, settings: JobSettings, service: ServiceSettings, parts: tuple[Part, ...] = ()
    ) -> Order:
        """The order for what was begun, and what it needs in the outbox, the folder first.

        What `begin` wrote down is on the disk by now. Raises OutputError where the outbox cannot
        be written.
        """
        job, (*earlier, this) = self._job, self.journal.attempts
        self._reserve()
        # The last try starts from the beginning: the checkpoint may be what it dies of.
        afresh = crashes(earlier) == service.limits.attempts - 1
        own = attempt_dir.name((*earlier, this)) if service.executor.cluster is not None else ""
        checkpoint = self._take_over(job, own, afresh=afresh)
        return Order(
            name=self.name,
            settings=settings,
            content=job.content,
            styles=job.styles,
            init=job.init,
            masks=job.masks,
            # by its folder, as settings may change meanwhile
            final=FINAL if flat_layout.is_flat(self.name) else self._names.final,
            staging=self._outbox.staging(self._announced.place),
            place=self._folder,
            checkpoint=checkpoint,
            backend_options=service.backends.get(settings.backend, {}),
            recipe_folders=service.recipes,
            max_pixels=service.limits.max_pixels,
            step_timeout_s=service.limits.step_timeout_s,
            memory=service.limits.memory,
            out_of_memory=service.limits.out_of_memory,
            attempts=tuple(_as_record(attempt) for attempt in earlier),
            retry_of=self.journal.retry_of or None,
            parts=parts,
        )

    def hear(self, event: Event) -> End | None:
        """Publish what comes, the receipt apart; the End, once it is there."""
        self._pace.hear(event)
        if isinstance(event, Progress):
            self._note_progress()
            self._reporter.progress(self.name, event)
        elif isinstance(event, Started):
            self._note(
                {},
                backend=event.backend,
                device=event.device,
                step=event.step,
                together=event.together,
            )
            self._reporter.job_started(self.name, event)
        elif isinstance(event, Staged):
            self._take(event)
        elif isinstance(event, Saving):
            self._keeps = True
        else:
            return self._checked(event)
        return None

    def _note_progress(self) -> None:
        """Note that the attempt has got further, if that is what its job is judged by.

        A step that comes after a Saving shows that the checkpoint is written.
        """
        if self._keeps and self.journal.attempts[-1].how == CUT_OFF_ALONE:
            self._note({}, how=CUT_OFF)

    def end(self, how: str, reason: str = "", state: JobState = "queued") -> None:
        """Write down how the try ended, and with it, in one go, what is to be done next."""
        self._note({"state": state, "reason": reason}, ended=now(), how=how, reason=reason)

    @property
    def name(self) -> str:
        """What the job is called in the outbox."""
        return self.journal.place or self.journal.name

    @property
    def running(self) -> Running:
        """How far it is."""
        return self._pace.running(self.name, self.journal.id)

    @property
    def ticket(self) -> str:
        """What the executor knows the attempt by."""
        this = self.journal.attempts[-1]
        return f"{self.journal.id}#{len(self.journal.attempts)} of {this.started} by {this.pid}"

    def _reserve(self) -> None:
        """Make the folder that was chosen, or another where someone was quicker."""
        chosen = self.journal.place
        if chosen is not None and not self._is_new:
            self._folder = self._outbox.again(chosen)
            return
        self._folder = self._outbox.reserve(self._names.folder, self._remember, chosen)

    def _remember(self, place: str) -> None:
        self.journal = self._state.save(self.journal, place=place)

    def _take_over(self, job: Job, own: str, *, afresh: bool) -> Path:
        """Let it have what earlier attempts finished, and were killed before we heard of it.

        The attempt gets a folder of its `own` if it is made elsewhere; its checkpoint's place.
        """
        fences, checkpoint = attempt_dir.Fences(self._outbox, job.id), job.folder / CHECKPOINT
        if afresh:
            self._forget()
        if own:  # first of all: what it tells of was published, or lies here to be
            checkpoint = fences.begin(own)
            self._announced = Announced(self._outbox, f"{job.id}/{own}", elsewhere=True)
        fences.hand_on(own)
        return checkpoint

    def _forget(self) -> None:
        """Let the next attempt begin at the beginning."""
        (self._state.jobs / self.journal.id / CHECKPOINT).unlink(missing_ok=True)
        attempt_dir.Fences(self._outbox, self.journal.id).forget()

    def _take(self, staged: Staged) -> None:
        """Publish a file that was announced, the receipt apart, if it is that one."""
        found = self._announced.look(staged)
        again = 0 < staged.step <= self.journal.attempts[-1].step
        if found == "another" or staged.path == RECEIPT or (found == "nothing" and again):
            return  # what is told of again is published, but where nobody heard the first time
        published = self._outbox.publish(self._announced.place, self._folder, staged.path)
        self._reporter.staged(self.name, published)

    def _checked(self, end: End) -> End:
        if isinstance(end, Done | Stopped) and self._announced.unlike:
            self._forget()  # which tells of that file, too
            told = ", ".join(sorted(self._announced.unlike))
            return Lost(f"what lies in .staging is not what was announced: {told}")
        if isinstance(end, Done) and not self._outbox.has_receipt(self._announced.place):
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


class _Names:
    """What a job and its picture are to be called by its settings."""

    def __init__(self, job: Job, settings: JobSettings) -> None:
        values = patterns.values(
            job.name, job.main, job.styles, recipe=settings.recipe, seed=settings.seed
        )
        name = patterns.folder(settings.name, values)
        # A series has no painting; those of its jobs lie beside its sheet.
        self.folder = flat_layout.folder(name) if settings.flat and not settings.sweep else name
        """In the outbox, unless that is taken."""
        self.final = patterns.file(settings.final, values)


def _as_record(attempt: Attempt) -> dict[str, Any]:
    """An earlier attempt as the receipt has it."""
    ended = f"{attempt.how}: {attempt.reason}" if attempt.reason else attempt.how
    decided = {"batch": attempt.together} if attempt.together > 1 else {}
    record = {"backend": attempt.backend, "device": attempt.device, "decided": decided,
              "ended": ended}  # fmt: skip
    return {key: value for key, value in record.items() if value}


@cache
def _boot() -> str:
    """The kernel's id of the machine's start; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
