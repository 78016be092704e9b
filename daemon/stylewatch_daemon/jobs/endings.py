"""The ends of jobs: publish them, report them, and remove the inputs that are accounted for."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import PICTURES, End, Job, OutputFile, final_of
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs.jobs import Jobs, has_receipt
from stylewatch_daemon.jobs.lifecycle import (
    Activity,
    Displaced,
    Effect,
    InputsChanged,
    Kind,
    LinkChosen,
    Obstacle,
    OutputListed,
    Placed,
    Published,
)
from stylewatch_daemon.jobs.wall_clock import WallClock
from stylewatch_daemon.ledger.schema import sql_value
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import ending, finals, inputs
from stylewatch_daemon.outbox.ending import Ending, Publication, PublishedFiles
from stylewatch_daemon.outbox.finals import Linking
from stylewatch_daemon.outbox.inputs import Account, FirstSights, Removal
from stylewatch_daemon.outbox.publish import CANCELED, REFUSED, Outbox

Release = Callable[[Account, Step], dict[str, Removal]]
"""Function that removes the originals of a job from its inbox; it returns why others stay, by their
names."""


PublishFiles = Callable[[Ending, Step], PublishedFiles | None]
"""Function that publishes an end, except the receipt; it returns None if the job's folder is
taken."""


class Phase(Enum):
    """The next phase of the publication of an end."""

    FOLDER = auto()
    """Choose the folder for inputs without an output."""
    REFUSAL = auto()
    """Publish the inputs, with the reason why there is no output."""
    OUTPUT = auto()
    """Archive the inputs and complete the output."""
    RECEIPT = auto()
    """Publish the receipt of an output that the ledger lists."""


def _phase_of(job: Job, listed: Iterable[OutputFile]) -> Phase:
    """Return the next phase of the end of a job; `listed` are its files in the ledger."""
    if job.end not in PICTURES:
        return Phase.FOLDER if job.refused_as is None else Phase.REFUSAL
    return Phase.RECEIPT if has_receipt(job, listed) else Phase.OUTPUT


_WORK = (Activity.PUBLISHING, Activity.REMOVING, Activity.SEARCHING)


class Endings:
    """Publisher of the ends of `jobs`; `clock` is monotonic, in seconds."""

    def __init__(
        self, jobs: Jobs, release: Release, wall_clock: WallClock, clock: Callable[[], float]
    ) -> None:
        self._jobs = jobs
        self._lanes = jobs.lanes
        self._release = release
        self._wall_clock = wall_clock
        self._first_sights = FirstSights(clock)
        self.ended: Counter[End] = Counter()
        """Number of jobs that have ended in each way since the daemon started."""
        self._unsettled: set[str] = set()
        """Ids of the jobs whose inputs stay only because a program may still write to them."""
        self._unswept = [*jobs.settings.outboxes, *jobs.settings.finals]
        """Outboxes and finals folders that may have leftovers of a kill or a power cut."""
        jobs.handlers |= {
            Effect.PUBLISH_END: self._publish,
            Effect.LINK: self._link,
            Effect.NOTIFY: self._notify,
            Effect.DISCARD: self._discard,
        }

    @property
    def in_work(self) -> bool:
        """True while an end is being published, or inputs are being removed."""
        lives = self._jobs.live.values()
        return any(live.doing.activity in _WORK and not live.doing.is_claiming for live in lives)

    @property
    def awaits_writers(self) -> bool:
        """True while inputs stay only because a program may still write to them."""
        return not self._unsettled.isdisjoint(self._jobs.live)  # others have been deleted

    def look_at_writers(self) -> None:
        """End the waits of jobs whose inputs a program may still write to, to check them again."""
        self._jobs.waits.forget(*(Obstacle(Kind.JOB, job_id) for job_id in self._unsettled))

    def sweep(self) -> None:
        """Have lanes remove leftovers of a kill or a power cut in outboxes and finals folders.

        These are temporary files, and the staged files of jobs that have ended. The next call tries
        the folders again in which that failed.
        """
        unswept = self._unswept
        self._unswept = []
        for outbox in unswept:
            self._lanes.do(outbox, partial(self._sweep, outbox), partial(self._swept, outbox))

    def _sweep(self, outbox: Path, step: Step) -> list[str]:
        with self._jobs.mount_guard.checked(outbox):
            if outbox in self._jobs.settings.finals:
                finals.sweep(outbox)
                return []
            return Outbox(outbox).sweep()

    def _swept(self, outbox: Path, result: list[str] | Exception) -> None:
        if isinstance(result, Exception):
            self._unswept.append(outbox)
            return
        jobs = [job for job_id in result if (job := self._jobs.ledger.get(job_id)) is not None]
        ended = [job.id for job in jobs if job.has_ended and job.outbox == str(outbox)]

        def clear(step: Step) -> list[str]:
            for job_id in ended:
                Outbox(outbox).clear(job_id)
            return []

        if ended:
            self._lanes.do(outbox, clear, partial(self._swept, outbox))

    def _do(
        self,
        job: Job,
        effect: Effect,
        root: Path,
        work: Callable[[Step], Any],
        done: Callable[[Any], object],
    ) -> None:
        """Do `work` for the end of a job in the lane of `root`, then call `done` with the result.

        If a disk, the backend or the machine is the obstacle, the job waits until it is gone, then
        repeats the `effect`. After any other error the job fails, unless it has ended, has failed
        or was canceled: then the `effect` is only repeated later.
        """
        self._jobs.begin(job, effect)

        def finish(result: Any) -> None:
            if isinstance(result, Exception):
                raise result
            done(result)

        self._lanes.do(root, work, self._jobs.then(job, effect, finish, root), job.bytes)

    # -- publishing

    def _publish(self, job: Job, event: object) -> None:
        """Begin the next phase of publishing the end of a job: this effect runs once for each.

        The folder is committed before anything is written there, and the list of the output before
        its receipt, because only the ledger tells which files a job has. The event of each commit
        leads to this effect again, and so does a restart.
        """
        listed = tuple(self._jobs.ledger.files(job.id))
        match _phase_of(job, listed):
            case Phase.FOLDER:
                self._choose_folder(job)
            case Phase.REFUSAL:
                self._publish_files(job, listed, ending.publish_refusal)
            case Phase.OUTPUT:
                self._publish_files(job, listed, ending.publish_output)
            case Phase.RECEIPT:
                self._publish_receipt(job, listed, event)

    def _publish_files(
        self, job: Job, listed: tuple[OutputFile, ...], publish: PublishFiles
    ) -> None:
        """Archive the inputs and publish the output, or publish the inputs with the reason."""
        jobs = self._jobs
        claim = jobs.claim_to_publish(job)
        with jobs.mount_guard.checked(jobs.state.root):  # or a missing file may exist (law 2)
            names = jobs.state.input_names(job.id)
        files = tuple(file for file in claim.files if file.name in names)
        end = Ending(job, replace(claim, files=files), jobs.state.files(job.id), listed)
        outbox = claim.outbox

        def work(step: Step) -> PublishedFiles | None:
            guard = jobs.mount_guard
            with (
                guard.checked(jobs.state.root),
                guard.checked_inside(outbox, job.folder, disk=job.disk),
            ):
                return publish(end, step)

        self._do(job, Effect.PUBLISH_END, outbox, work, partial(self._published, job))

    def _publish_receipt(self, job: Job, listed: tuple[OutputFile, ...], event: object) -> None:
        """Have the lane publish the receipt, which the ledger lists; then link the picture."""
        jobs = self._jobs
        claim = jobs.claim_to_publish(job)
        end = Ending(job, claim, jobs.state.files(job.id), listed)
        outbox = claim.outbox

        def work(step: Step) -> Publication:
            with jobs.mount_guard.checked_inside(outbox, job.place, disk=job.disk):
                return ending.publish_receipt(end, step)

        def done(result: Publication) -> None:
            if result is Publication.TAKEN:
                jobs.post(job.id, Displaced())
            else:
                self._link(job, event)

        self._do(job, Effect.PUBLISH_END, outbox, work, done)

    def _choose_folder(self, job: Job) -> None:
        """Have the lane choose the folder for the inputs of a job without an output; record it.

        If the job's files are on a disk that was replaced since, the ledger forgets these files.
        """
        jobs = self._jobs
        path = Path(job.outbox)
        reserved = jobs.reserved(job.outbox)
        folder = CANCELED if job.end is End.CANCELED else REFUSED

        def work(step: Step) -> tuple[str, str]:
            with jobs.mount_guard.checked(path):
                outbox = Outbox(path, reserved)
                outbox.probe()
                disk = disks.marked(path, jobs.mount_guard)
                return outbox.choose(f"{folder}/{job.title}"), disk

        def done(chosen: tuple[str, str]) -> None:
            place, disk = chosen
            jobs.post(job.id, Placed(place, disk), lambda ledger: forget(ledger, disk))

        def forget(ledger: LedgerWriter, disk: str) -> None:
            """Remove the job's files on a replaced disk from the ledger; the files stay there."""
            if job.disk and disk != job.disk:
                ledger.drop_files(job.id, [file.path for file in ledger.files(job.id)])

        self._do(job, Effect.PUBLISH_END, path, work, done)

    def _published(self, job: Job, result: PublishedFiles | None) -> None:
        """Post that the files of an end are published, or start anew if their folder is taken."""
        jobs = self._jobs
        if result is None:  # someone else has taken the job's folder
            if job.end in PICTURES:
                jobs.post(job.id, Displaced())
            else:
                self._choose_folder(job)
            return
        event = OutputListed if job.end in PICTURES else Published
        self._record(job, event(result.inputs), result)

    def _record(self, job: Job, event: object, result: PublishedFiles) -> None:
        """Post an event together with the published files, and report inputs that changed."""
        for news in result.news:
            self._jobs.reporter.input_changed(shown(job.title), news)
        self._jobs.post(job.id, event, lambda ledger: ledger.put_files(job.id, result.files))

    def _finals_of(self, job: Job) -> Path | None:
        """Return the finals folder that the job's inbox had at the claim; None if it had none.

        If the claim does not record the folder, the present settings count.
        """
        claim = self._jobs.claim_to_publish(job)
        if claim.finals is not None:
            return next(iter(claim.finals), None)
        inbox = self._jobs.settings.inbox(claim.inbox)
        return None if inbox is None else inbox.finals

    def _link(self, job: Job, event: object) -> None:
        """Link the final picture in the finals folder: this effect runs once for each phase.

        The first run chooses the name in that folder. The name is committed before anything is
        written, and the event of that commit leads to this effect again, which links. Without a
        finals folder or a final picture, and after a cancellation, the job ends without a link.
        Only the end of this job waits for that folder, in the lane of the folder (law 9).
        """
        jobs = self._jobs
        folder = self._finals_of(job)
        listed = jobs.ledger.files(job.id)
        picture = final_of(listed)
        if folder is None or picture is None or job.asked is End.CANCELED:
            if folder is not None:
                tidy = partial(finals.tidy, folder, job)
                self._lanes.do(folder, lambda step: tidy(), lambda result: None)
            jobs.post(job.id, Published())
            return
        chosen = finals.chosen(folder, job, listed)
        reserved = jobs.ledger.links_of_others(job.id)

        def work(step: Step) -> OutputFile | Linking:
            guard = jobs.mount_guard
            outbox = Path(job.outbox)
            with guard.checked(folder), guard.checked_inside(outbox, job.place, disk=job.disk):
                if chosen is None:
                    return finals.choose(
                        folder, job, picture, lambda path: sql_value(path) in reserved
                    )
                return finals.add(folder, job, picture, chosen, step)

        def done(result: OutputFile | Linking | Exception) -> None:
            if isinstance(result, OSError):
                self._wait_to_link(job, result)
            elif isinstance(result, Exception):  # a fault of stylewatch; the output is complete
                jobs.log(job.id, f"{folder}: {result}", result)
                jobs.post(job.id, Published())
            else:
                self._linked(job, chosen, result)

        jobs.begin(job, Effect.LINK)
        self._lanes.do(folder, work, jobs.then(job, Effect.LINK, done), job.bytes)

    def _linked(self, job: Job, chosen: OutputFile | None, result: OutputFile | Linking) -> None:
        """Post what follows from a run of `_link`: the next run, or the end of the job.

        A name that was chosen leads to the run that links. A name that is taken is dropped, and the
        next run chooses another. If the picture is linked, or is gone from the outbox, the job
        ends.
        """
        jobs = self._jobs
        listed = self._jobs.ledger.files(job.id)
        if isinstance(result, OutputFile):
            jobs.post(job.id, LinkChosen(), lambda ledger: ledger.put_link(job.id, result))
        elif result is Linking.DONE and chosen in listed:
            jobs.reporter.staged(shown(job.title), Path(chosen.path))
            jobs.post(job.id, Published())
        else:  # another job may have the name by now
            event = Published() if result is Linking.GONE else LinkChosen()
            paths = [chosen.path] if chosen is not None else []
            jobs.post(job.id, event, lambda ledger: ledger.drop_files(job.id, paths))

    def _wait_to_link(self, job: Job, error: OSError) -> None:
        """Make only this job wait for its finals folder, then link; its output is published."""
        reason = shortages.in_words(error)
        self._jobs.reporter.waits(shown(job.title), reason)
        self._jobs.hold(job.id, reason, again=Effect.LINK)

    def _notify(self, job: Job, event: object) -> None:
        """Count and report the end of a job, and forget its waits."""
        jobs = self._jobs
        if job.end in PICTURES:
            jobs.got_past_all(job)
        else:
            jobs.waits.forget(Obstacle(Kind.OUTBOX, job.outbox))
        jobs.waits.forget_job(job.id)
        assert job.end is not None
        self.ended[job.end] += 1
        picture = final_of(jobs.ledger.files(job.id))
        final = None if picture is None else Path(job.outbox, picture.path)
        jobs.reporter.ended(job, Path(job.outbox, job.folder), final)

    # -- removal of the inputs

    def _discard(self, job: Job, event: object) -> None:
        """Remove the inputs of a job that has ended, as far as they are accounted for (law 1).

        Originals that are held in the inbox are removed first, then the copies in the state folder.
        While a file stays, the job waits and tries again.
        """
        jobs = self._jobs
        self._unsettled.discard(job.id)
        claim = jobs.claim_to_publish(job)
        listed = tuple(jobs.ledger.files(job.id))
        end = Ending(job, claim, jobs.state.files(job.id), listed)
        account = Account.of(job, claim, listed, self._settles_in, self._first_sights)
        work = partial(self._remove, end, account)
        done = partial(self._removed, job)

        def released(remains: dict[str, Removal]) -> None:
            if remains:
                self._removed(job, remains)
            else:
                self._do(job, Effect.DISCARD, claim.outbox, work, done)

        with jobs.mount_guard.checked(jobs.state.root):
            is_held = jobs.state.is_held(job.id)
        if is_held:
            release = partial(self._release, account)
            self._do(job, Effect.DISCARD, claim.inbox, release, released)
        else:
            released({})

    def _remove(
        self, end: Ending, account: Account, step: Step
    ) -> dict[str, Removal] | PublishedFiles:
        """Remove a job's staging folder and its inputs; return why other inputs stay, by name.

        If none stays, the job's folder in the state folder is removed, too. If inputs changed after
        the end, they are published, and the result is what was published.
        """
        jobs = self._jobs
        job = end.job
        outbox = Path(job.outbox)
        guard, state = jobs.mount_guard, jobs.state.root
        with guard.checked(state), guard.checked_inside(outbox, disk=job.disk):
            Outbox(outbox).clear(job.id)
            remains = inputs.remove_all(jobs.state, account, step)
            if not remains:
                jobs.state.discard(job.id)
        late = [name for name, why in remains.items() if why is Removal.CHANGED]
        if not late:
            return remains
        with guard.checked(state), guard.checked_inside(outbox, job.folder, disk=job.disk):
            return ending.publish_late(end, late, step)

    def _removed(self, job: Job, result: dict[str, Removal] | PublishedFiles) -> None:
        jobs = self._jobs
        if isinstance(result, PublishedFiles):
            self._record(job, InputsChanged(result.inputs), result)
        elif not result:
            jobs.forget(job.id)
            jobs.waits.forget_job(job.id)
        else:
            if {*result.values()} == {Removal.OPEN}:
                self._unsettled.add(job.id)
            reasons = [f"{shown(name)}: {why}" for name, why in sorted(result.items())]
            jobs.hold(job.id, ", ".join(reasons), again=Effect.DISCARD)

    @property
    def _settles_in(self) -> float:
        """Seconds without a change after which an input counts as complete.

        They count only if it cannot be seen whether a program has the input open. They are infinite
        if the wall clock was set less than that ago: then times of files say nothing.
        """
        wait = self._jobs.settings.watch.truncated_s
        since_set = self._wall_clock.seconds_since_set()
        return inf if since_set is not None and since_set < wait else wait
