"""The lifecycle of a job in two tables: its state, and what the daemon is doing with it.

An event happens to a job; `advance` returns the changed job and the effects that follow, by TABLE.
The change is committed before its effects begin. After a kill the effects of the states found in
the ledger are carried out again (`Restarted`), so each effect must be idempotent.

The activity is lost with the process. FOLLOWS says which activities may follow each activity,
ALLOWED which activities a state allows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from stylewatch_daemon.base.model import (
    PICTURES,
    Attempt,
    Cause,
    End,
    Input,
    Job,
    OutputFile,
    Picture,
    State,
    now,
)


class Effect(StrEnum):
    """Action that follows from a change once it is committed."""

    MOVE = "move or copy the files out of the inbox"
    INSPECT = "inspect the pictures"
    ORDER = "order the job from the executor"
    ASK_WORKER = "pass the request on to the worker"
    DROP_WORKER = "end the attempt"
    PUBLISH_FILE = "publish the file"
    PUBLISH_END = "archive the inputs and publish, the receipt or the reason last"
    LINK = "link the final picture in the finals folder"
    NOTIFY = "report the end of the job"
    DISCARD = "remove the job's inputs, as far as they are accounted for, and its folder"


# Events


@dataclass(frozen=True)
class Found:
    """A new job: a complete, stable pair was found in an inbox, or a retry was created."""

    job: Job


@dataclass(frozen=True)
class Regained:
    """This job, which has ended, is a favorite that the ledger lacks or has in an older state."""

    job: Job


@dataclass(frozen=True)
class Moved:
    """The files are in the state folder as the job's own, whatever stays in the inbox."""


@dataclass(frozen=True)
class Abandoned:
    """The files are left in the inbox or were given back to it, and there is no job."""


@dataclass(frozen=True)
class Inspected:
    """The pictures were decoded; `problem` is empty if all are fine."""

    pictures: tuple[Picture, ...] = ()
    problem: str = ""
    cause: Cause = Cause.PICTURE
    priority: int = 0
    needs: str = ""


@dataclass(frozen=True)
class Resolved:
    """The service has other settings now, which change those of a job that has not begun."""

    priority: int
    needs: str


@dataclass(frozen=True)
class Begun:
    """An attempt begins, because a worker is free; `place` is the job's folder in the outbox."""

    place: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    disk: str = ""


@dataclass(frozen=True)
class Placed:
    """A folder in the outbox was chosen for inputs without an output, or another for an attempt."""

    place: str
    disk: str = ""


@dataclass(frozen=True)
class Staged:
    """The worker has written a file that shows `step`, and its checkpoint."""

    step: int
    path: str = ""
    is_first: bool = False
    """True if the job has not published a file of this name before."""


@dataclass(frozen=True)
class Finished:
    """The output is complete; `digests` are those of the inputs, by name."""

    end: End
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unusable:
    """The input or the settings cannot be used."""

    cause: Cause
    reason: str


@dataclass(frozen=True)
class Stopped:
    """The worker was to stop, and has ended: for the daemon, the hours, or because of `cancel`."""


@dataclass(frozen=True)
class Blocked:
    """Something outside the daemon prevents progress."""

    cause: Cause
    reason: str
    has_output: bool = False
    """True if the ledger lists the output of the job, whose receipt people may have seen."""


@dataclass(frozen=True)
class Lost:
    """The worker died, hung, or reported a bug."""

    cause: Cause
    reason: str
    limit: int
    """Number of such faults in a row at which the job fails."""


@dataclass(frozen=True)
class Asked:
    """The owner wants the job canceled, or stopped early with its current picture."""

    end: End


@dataclass(frozen=True)
class Broke:
    """The job cannot continue because of an unforeseen error or missing files."""

    reason: str
    cause: Cause = Cause.BUG


@dataclass(frozen=True)
class Displaced:
    """Somebody else has files in the folder of the job, which is painted anew in another one."""


@dataclass(frozen=True)
class OutputListed:
    """The ledger lists the output, whose receipt is published next.

    `inputs` are the published inputs, by their names.
    """

    inputs: Mapping[str, OutputFile] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkChosen:
    """The name of the picture in the finals folder was chosen, or is to be chosen anew."""


@dataclass(frozen=True)
class Published:
    """All results of the end are published, the receipt or the reason last."""

    inputs: Mapping[str, OutputFile] = field(default_factory=dict)


@dataclass(frozen=True)
class InputsChanged:
    """A program wrote to inputs after the end; they are published as they are now."""

    inputs: Mapping[str, OutputFile] = field(default_factory=dict)


@dataclass(frozen=True)
class Trashed:
    """The job was moved into the trash at a time; UTC, ISO 8601."""

    at: str


@dataclass(frozen=True)
class Restored:
    """The job was taken out of the trash."""


@dataclass(frozen=True)
class Deleted:
    """The files in the outbox were deleted, and the job is forgotten."""


@dataclass(frozen=True)
class Restarted:
    """The daemon starts and finds the job."""


class Next(NamedTuple):
    """The changed job, None if there is no job, and the effects that follow."""

    job: Job | None
    effects: tuple[Effect, ...] = ()


Rule = Callable[[Job, Any], Next]
"""Function that applies an event to a job."""


def _end(job: Job, end: End, cause: Cause | None = None, reason: str = "") -> Next:
    """Begin the end of a job; a cancellation takes precedence unless its picture is complete."""
    if end not in PICTURES and _is_canceled(job):
        end = End.CANCELED
        cause = None
        reason = "canceled"
    refused_as = job.refused_as if job.end in (None, end) else None  # it is named for the end
    ending = replace(
        job, state=State.ENDING, end=end, cause=cause, reason=reason, refused_as=refused_as
    )
    return Next(ending, (Effect.PUBLISH_END,))


def _queue(job: Job, **changes: Any) -> Next:
    """Put a job into the queue, or begin its end if it is being canceled."""
    if _is_canceled(job):
        return _end(job, End.CANCELED)
    return Next(replace(job, state=State.QUEUED, **changes))


def _is_canceled(job: Job) -> bool:
    return job.asked is End.CANCELED


def _inspected(job: Job, event: Inspected) -> Next:
    pictures = {picture.name: picture for picture in event.pictures}
    inputs = tuple(_with(file, pictures.get(file.name)) for file in job.inputs)
    job = replace(job, inputs=inputs, priority=event.priority, needs=event.needs)
    if event.problem:
        return _end(job, End.REFUSED, event.cause, event.problem)
    return _queue(job, cause=None, reason="")


def _with(file: Input, picture: Picture | None) -> Input:
    if picture is None:
        return file
    return replace(file, sha256=picture.sha256, pixels=picture.size, frames=picture.frames)


def _resolved(job: Job, event: Resolved) -> Next:
    return Next(replace(job, priority=event.priority, needs=event.needs))


def _begun(job: Job, event: Begun) -> Next:
    if job.place not in (None, event.place):  # it starts over: there is no picture to finish with
        job = replace(job, step=0, asked=None)
    job = replace(job, state=State.RUNNING, cause=None, reason="")
    job = replace(job, place=event.place, disk=event.disk, settings=event.settings)
    return Next(job, (Effect.ORDER,))


def _staged(job: Job, event: Staged) -> Next:
    if event.step > job.step:
        job = replace(job, step=event.step, faults=0, interruptions=0)
    return Next(job, (Effect.PUBLISH_FILE,))


def _finished(job: Job, event: Finished) -> Next:
    inputs = tuple(
        replace(file, sha256=event.digests.get(file.name, file.sha256)) for file in job.inputs
    )
    return _end(replace(job, inputs=inputs), event.end)


def _unusable(job: Job, event: Unusable) -> Next:
    return _end(job, End.REFUSED, event.cause, event.reason)


def _stopped(job: Job, event: Stopped) -> Next:
    return _queue(job, interruptions=0)


def _waits(job: Job, event: Blocked) -> Next:
    return Next(replace(job, cause=event.cause, reason=event.reason))


def _blocked(job: Job, event: Blocked) -> Next:
    return _queue(job, cause=event.cause, reason=event.reason)


def _end_blocked(job: Job, event: Blocked) -> Next:
    # a canceled job may end without its disk; but if its output is listed, the receipt may exist,
    # whatever the error (law 2)
    if _is_canceled(job) and job.end is not End.CANCELED and not event.has_output:
        return _end(job, End.CANCELED)
    return Next(job)


def _lost(job: Job, event: Lost) -> Next:
    job = replace(job, faults=job.faults + 1, interruptions=0)
    if job.faults >= event.limit:
        times = f"tried {job.faults} times, the last time: " if job.faults > 1 else ""
        return _end(job, End.FAILED, event.cause, f"{times}{event.reason}")
    return _queue(job, cause=event.cause, reason=event.reason)


def _asked(job: Job, event: Asked) -> Next:
    if not _is_canceled(job):
        job = replace(job, asked=event.end)
    if job.state is State.QUEUED:
        return _queue(job)
    return Next(job, (Effect.ASK_WORKER,) if job.state is State.RUNNING else ())


def _broke(job: Job, event: Broke) -> Next:
    following = _end(job, End.FAILED, event.cause, event.reason)
    dropped = (Effect.DROP_WORKER,) if job.state is State.RUNNING else ()
    return Next(following.job, (*dropped, *following.effects))


def _end_broke(job: Job, event: Broke) -> Next:
    if job.end in (End.FAILED, End.CANCELED):
        return Next(job)  # publishing is tried again: no other end would help
    return _broke(job, event)


def _placed(job: Job, event: Placed) -> Next:
    # the attempt goes on, on the disk that `Begun` named
    return Next(replace(job, place=event.place), (Effect.ORDER,))


def _end_placed(job: Job, event: Placed) -> Next:
    return Next(replace(job, refused_as=event.place, disk=event.disk), (Effect.PUBLISH_END,))


def _ending_displaced(job: Job, event: Displaced) -> Next:
    # its folder is known to have the receipt of another job: the next attempt chooses another one
    return _queue(job, end=None)


def _running_displaced(job: Job, event: Displaced) -> Next:
    request = job.asked if _is_canceled(job) else None  # there is no picture to finish with
    return _queue(replace(job, place=None, step=0, asked=request))


def _output_listed(job: Job, event: OutputListed) -> Next:
    return Next(_with_published(job, event.inputs), (Effect.PUBLISH_END,))


def _published(job: Job, event: Published) -> Next:
    job = _with_published(job, event.inputs)
    ended = replace(job, state=State.ENDED, finished=now())
    return Next(ended, (Effect.NOTIFY, Effect.DISCARD))


def _inputs_changed(job: Job, event: InputsChanged) -> Next:
    return Next(_with_published(job, event.inputs), (Effect.DISCARD,))


def _with_published(job: Job, published: Mapping[str, OutputFile]) -> Job:
    """Return the job; its inputs get the size, digest and path of the files `published` for them.

    The daemon may remove its own copies of these bytes, and a retry reads the published files. An
    input that was not decoded keeps an empty digest.
    """
    inputs = tuple(
        file
        if (copy := published.get(file.name)) is None
        else replace(
            file,
            size=copy.size,
            sha256=file.sha256 and copy.sha256,
            published=copy.path,
        )
        for file in job.inputs
    )
    return replace(job, inputs=inputs)


def _interrupted(job: Job, event: Restarted) -> Next:
    return _queue(job, interruptions=job.interruptions + 1)


def _same(*effects: Effect) -> Rule:
    return lambda job, event: Next(job, effects)


def _trashed(job: Job, event: Trashed) -> Next:
    return Next(replace(job, trashed=event.at))


def _restored(job: Job, event: Restored) -> Next:
    return Next(replace(job, trashed=None))


def _gone(job: Job, event: object) -> Next:
    return Next(None)


TABLE: Mapping[tuple[State, type], Rule] = {
    (State.CLAIMED, Moved): _same(Effect.INSPECT),
    (State.CLAIMED, Abandoned): _gone,
    (State.CLAIMED, Inspected): _inspected,
    (State.CLAIMED, Asked): _asked,
    (State.CLAIMED, Blocked): _waits,
    (State.CLAIMED, Broke): _broke,
    (State.CLAIMED, Restarted): _same(Effect.MOVE),
    (State.QUEUED, Resolved): _resolved,
    (State.QUEUED, Begun): _begun,
    (State.QUEUED, Unusable): _unusable,
    (State.QUEUED, Blocked): _waits,
    (State.QUEUED, Asked): _asked,
    (State.QUEUED, Broke): _broke,
    (State.RUNNING, Placed): _placed,
    (State.RUNNING, Staged): _staged,
    (State.RUNNING, Asked): _asked,
    (State.RUNNING, Finished): _finished,
    (State.RUNNING, Unusable): _unusable,
    (State.RUNNING, Stopped): _stopped,
    (State.RUNNING, Blocked): _blocked,
    (State.RUNNING, Displaced): _running_displaced,
    (State.RUNNING, Lost): _lost,
    (State.RUNNING, Broke): _broke,
    (State.RUNNING, Restarted): _interrupted,
    (State.ENDING, Asked): _asked,
    (State.ENDING, Blocked): _end_blocked,
    (State.ENDING, Broke): _end_broke,
    (State.ENDING, Placed): _end_placed,
    (State.ENDING, Displaced): _ending_displaced,
    (State.ENDING, OutputListed): _output_listed,
    (State.ENDING, LinkChosen): _same(Effect.LINK),
    (State.ENDING, Published): _published,
    (State.ENDING, Restarted): _same(Effect.PUBLISH_END),
    (State.ENDED, Trashed): _trashed,
    (State.ENDED, Restored): _restored,
    (State.ENDED, Deleted): _gone,
    (State.ENDED, InputsChanged): _inputs_changed,
    (State.ENDED, Restarted): _same(Effect.DISCARD),
}
"""Rules for events, by the state of the job and the type of the event.

A rule changes the job, causes effects, or both; docs/architecture.md shows the results. An event
without a rule for the state is ignored: it comes too late, or the job only waits, for example after
`Blocked` for a job that has ended and whose inputs cannot be removed. `Restarted` has no rule for a
queued job, because nothing was interrupted."""


def advance(job: Job | None, event: object) -> Next:
    """Return `job` as `event` changes it, and the effects that follow.

    If `job` is None, only Found and Regained create a job. Regained replaces any job. Another event
    that TABLE does not list for the state of the job changes nothing.
    """
    if isinstance(event, Regained):
        return Next(event.job)
    if job is None:
        return Next(event.job, (Effect.MOVE,)) if isinstance(event, Found) else Next(None)
    rule = TABLE.get((job.state, type(event)))
    return Next(job) if rule is None else rule(job, event)


_FAULTS = (Cause.WORKER, Cause.BUG)
"""Causes for which an attempt counts as a fault."""

OUTSIDE = (Cause.DISK, Cause.DEVICE, Cause.LEARNING, Cause.MEMORY, Cause.MACHINE)
"""Causes for which a job waits; the attempt does not count as a fault."""


def may_resume(job: Job, earlier: Sequence[Attempt], limit: int) -> bool:
    """Return whether the next attempt at a job continues from the checkpoint of `earlier` ones.

    The last attempt before the job would fail, after `limit` faults in a row, starts from the
    beginning: the checkpoint may be the cause of these faults. Once that attempt has begun, any
    checkpoint is its own.
    """
    if job.faults == 0 or job.faults != limit - 1:
        return True
    if job.asked is End.STOPPED_EARLY:
        return True  # it ends with the picture of the checkpoint
    begun = [attempt for attempt in earlier if attempt.device or attempt.how in _FAULTS]
    return not begun or begun[-1].how not in _FAULTS


def numbered(earlier: Sequence[Attempt]) -> Sequence[Attempt]:
    """Return the `earlier` attempts that stay on record when the next attempt begins.

    If the last two attempts met obstacles, the next attempt gets the number of the last attempt,
    and replaces it: an obstacle may last for days, and would otherwise fill the ledger and the
    receipt. An attempt that had a device stays unless the one before it had a device, too: it shows
    that the job has begun.
    """
    if len(earlier) > 1:
        before, last = earlier[-2:]
        has_repeated = before.how in OUTSIDE and last.how in OUTSIDE
        if has_repeated and (before.device or not last.device):
            return earlier[:-1]
    return earlier


# Activities


class Kind(StrEnum):
    """Kind of an obstacle: one job, what jobs need, a folder, the machine, or one request."""

    JOB = "job"
    NEEDS = "needs"
    OUTBOX = "outbox"
    INBOX = "inbox"
    MACHINE = "machine"
    REQUEST = "request"


class Obstacle(NamedTuple):
    """Something outside the daemon for which jobs wait.

    `name` is the id of the job or the request, the needs, or the path of the folder. It is empty
    for the machine, which includes the state folder.
    """

    kind: Kind
    name: str = ""


MACHINE = Obstacle(Kind.MACHINE)


class Activity(StrEnum):
    """Activity of the daemon with one job; `ACTIVITIES` describes each."""

    IDLE = "idle"
    MOVING = "moving"
    INSPECTING = "inspecting"
    PREPARING = "preparing"
    PAINTING = "painting"
    PUBLISHING = "publishing"
    REMOVING = "removing"
    SEARCHING = "searching"
    WAITING = "waiting"


ACTIVITIES: Mapping[Activity, str] = {
    Activity.IDLE: "nothing, or recording what was done",
    Activity.MOVING: "moving or copying its files out of the inbox",
    Activity.INSPECTING: "inspecting its pictures",
    Activity.PREPARING: "preparing the outbox for an attempt",
    Activity.PAINTING: "painting it with a worker",
    Activity.PUBLISHING: "publishing its end",
    Activity.REMOVING: "removing its inputs",
    Activity.SEARCHING: "finding out which disk is the obstacle",
    Activity.WAITING: "nothing, because of an obstacle",
}

BEGINS: Mapping[Effect, Activity] = {
    Effect.MOVE: Activity.MOVING,
    Effect.INSPECT: Activity.INSPECTING,
    Effect.ORDER: Activity.PAINTING,
    Effect.PUBLISH_END: Activity.PUBLISHING,
    Effect.LINK: Activity.PUBLISHING,
    Effect.DISCARD: Activity.REMOVING,
}
"""The activity that an effect begins."""

_AFTER_WORK = frozenset({Activity.IDLE, Activity.SEARCHING, Activity.WAITING})
_WORK = frozenset({*BEGINS.values(), Activity.PREPARING})

FOLLOWS: Mapping[Activity, frozenset[Activity]] = {
    Activity.IDLE: _AFTER_WORK | _WORK,
    Activity.MOVING: _AFTER_WORK | {Activity.MOVING},
    Activity.INSPECTING: _AFTER_WORK,
    # a job that is canceled meanwhile ends at once; what comes back from the lane is too late
    Activity.PREPARING: _AFTER_WORK | {Activity.PUBLISHING},
    Activity.PAINTING: _AFTER_WORK | {Activity.PAINTING},
    Activity.PUBLISHING: _AFTER_WORK | {Activity.PUBLISHING},
    Activity.REMOVING: _AFTER_WORK,
    Activity.SEARCHING: _AFTER_WORK | {Activity.PUBLISHING},  # as after PREPARING
    # also painting: a job may be held while the ledger cannot record that its attempt has begun
    Activity.WAITING: _AFTER_WORK | _WORK,
}
"""The activities that may follow each activity; `Jobs.turn` enforces it."""

ALLOWED: Mapping[State, frozenset[Activity]] = {
    State.CLAIMED: _AFTER_WORK | {Activity.MOVING, Activity.INSPECTING},
    State.QUEUED: _AFTER_WORK | {Activity.PREPARING},
    State.RUNNING: _AFTER_WORK | {Activity.PAINTING},
    State.ENDING: _AFTER_WORK | {Activity.PUBLISHING},
    State.ENDED: _AFTER_WORK | {Activity.REMOVING},
}
"""The activities that each state allows; `make simulate` checks it.

A job searches and waits in every state, because its activity changes before the event that says why
it is blocked is committed."""


@dataclass(frozen=True)
class Doing:
    """An activity of the daemon with a job.

    `effect` is the effect in work. For an idle job it is the last effect, for a waiting job the
    effect to repeat. `obstacle`, and `reason` for people, say why a job waits; without an obstacle
    it goes on at once.
    """

    activity: Activity = Activity.IDLE
    effect: Effect | None = None
    obstacle: Obstacle | None = None
    reason: str = ""

    def __str__(self) -> str:
        preposition = "after" if self.activity is Activity.IDLE else "to"
        effect = (
            f" {preposition} {self.effect.name.lower().replace('_', ' ')}" if self.effect else ""
        )
        scope = ""
        if self.obstacle is not None:
            is_own = self.obstacle.kind is Kind.JOB
            scope = " alone" if is_own else f" for {' '.join(filter(None, self.obstacle))}"
        return f"{self.activity}{effect}{scope}{f': {self.reason}' if self.reason else ''}"

    @property
    def is_work(self) -> bool:
        """True while a lane, the inspection or a worker works on the job."""
        return self.activity not in (Activity.IDLE, Activity.WAITING)

    @property
    def is_claiming(self) -> bool:
        """True while a job is moved or inspected, or waits for that."""
        return self.effect in (Effect.MOVE, Effect.INSPECT)
