"""The daemon's process on a simulated world: the only module that knows its parts.

`daemon.watch` runs as it is, but for the parts that are threads, processes or signals: lanes, the
first look at folders, the inspection, the executor, the watch of file events, the pipe of requests.
"""

import hashlib
import json
import logging
import os
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

from tests.daemon.faults import replaced
from tests.daemon.world import make_inbox, make_settings
from tests.simulate import seam as seams
from tests.simulate.peers import Inspector, Painter
from tests.simulate.plan import DAY
from tests.simulate.seam import KilledError, Times
from tests.simulate.tasks import Lanes, Post
from tests.simulate.trainings import Ear, Training, Trainings

from stylewatch_daemon.app import commands, daemon, learner, settings_file, tries
from stylewatch_daemon.app.hooks import HookRunner
from stylewatch_daemon.app.learner import Learner
from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.app.settings_file import SettingsFile, loaded, version_of
from stylewatch_daemon.base.errors import DaemonError, Exit, InputError, OutputError, SettingsError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.lanes import SILENT_S
from stylewatch_daemon.base.model import Cause, Job, OutputFile, State
from stylewatch_daemon.base.wakeup import Wakeup
from stylewatch_daemon.cli.submit import STANDS_S, _Submitted
from stylewatch_daemon.client import operations, retries, status_json
from stylewatch_daemon.client import submit as submission
from stylewatch_daemon.files import atomic, disks
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.system import system
from stylewatch_daemon.intake import intake
from stylewatch_daemon.intake.watch import Events
from stylewatch_daemon.jobs import jobs as jobs_module
from stylewatch_daemon.jobs import lifecycle, upkeep, wall_clock
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.lifecycle import ALLOWED, Doing, Kind, Obstacle
from stylewatch_daemon.ledger import favorites, requests, writer
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.memory import BEFORE, Seen
from stylewatch_daemon.ledger.state_dir import TRIES, StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import (
    ExecutionSettings,
    HookSettings,
    PairingSettings,
    RetentionSettings,
    parse_hours,
)

if TYPE_CHECKING:
    from tests.simulate.contents import Content
    from tests.simulate.plan import After, Inbox, Settings
    from tests.simulate.world import World

Verb = Literal["cancel", "finish", "retry", "favorite", "unfavorite", "trash", "restore", "delete"]

CHUNK = 64
"""Number of bytes that the daemon copies at a time, so that a copy has several steps."""

TRANSITIONS = frozenset((state.value, event.__name__) for state, event in lifecycle.TABLE)
"""The lines of the table of the lifecycle: state and event."""

SUSPICIOUS = 3
"""Number of interruptions from which on a job begins after all others."""

MORE_TRIES = 4
"""Number of attempts at a job for which another one with the same obstacle may wait."""

HEARD_WITHIN = 10.0
"""Seconds within which the daemon knows that a worker has begun or ended, or must."""

HUNG_FOR = 2000.0
"""Seconds for which a training may be silent."""

BESIDE_IDLE = 60.0
"""Seconds for which a job that nothing holds may wait beside an idle worker."""

TRIED_WITHIN = 150.0
"""Seconds within which a job tries whether its style was learned."""

FOLLOWING = Jobs.next
"""The real function, which checks nothing."""

NO_PROCESS = 1 << 30
"""Id of a process that cannot exist."""

BUSY, FULL, READ_ONLY, IO_ERROR = 5, 13, 8, 10
"""Codes of SQLite's errors."""

_SQL_ERRORS = {
    BUSY: "database is locked",
    FULL: "database or disk is full",
    READ_ONLY: "attempt to write a readonly database",
    IO_ERROR: "disk I/O error",
}


def settings_of(
    plan: "Settings",
    ignored: Iterable[str] = (),
    quiet_s: float | None = None,
    after: Mapping[str, "After"] | None = None,
) -> ServiceSettings:
    """Return the daemon's settings in a world, in whose inboxes names are `ignored`.

    `after` are the inboxes that they have, by name, with the `after` of each; None for all.
    """
    if after is None:
        after = {inbox.name: inbox.after for inbox in plan.inboxes}
    command = (sys.executable,) if plan.has_hooks else ()
    inboxes = [
        make_inbox(
            Path(plan.path(inbox.name)),
            Path(plan.path(inbox.outbox)),
            after[inbox.name],
            Path(plan.path("finals")) if plan.has_finals else None,
        )
        for inbox in plan.inboxes
        if inbox.name in after
    ]
    return make_settings(
        inboxes,
        Path(plan.path("state")),
        quiet_s=plan.quiet_s if quiet_s is None else quiet_s,
        rescan_s=plan.rescan_s,
        truncated_s=plan.truncated_s,
        ignore=tuple(ignored),
        free_bytes=1000,
        learn_minutes=plan.learn_minutes,
        executor=ExecutionSettings(hours=plan.hours),
        pairing=PairingSettings(
            default_style=plan.default_style or None, styles=Path(plan.path("styles"))
        ),
        retention=_retention(plan),
        hooks=HookSettings(done=command, failed=command),
    )


def _retention(plan: "Settings") -> RetentionSettings:
    if plan.trash_days:
        return RetentionSettings(trash=plan.trash_days)
    return RetentionSettings(inputs=30) if plan.has_retention else RetentionSettings()


# -- the clocks, the randomness, the ledger


class _Clocks:
    """The clocks of the world that runs in this process."""

    times = Times()


class _Datetime(datetime):
    """A datetime whose `now` is the world's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.fromtimestamp(_Clocks.times.wall(), tz)


class _Connection(sqlite3.Connection):
    """A connection to a ledger; its statements pass through the seam."""

    world: "World"

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self.world.at_statement(sql)
        cursor = super().execute(sql, *args)
        if sql == "COMMIT":
            self.world.at_statement("COMMITTED")
        return cursor


def sql_error(code: int) -> sqlite3.OperationalError:
    """Return SQLite's error with this code."""
    error = sqlite3.OperationalError(_SQL_ERRORS[code])
    error.sqlite_errorcode = code
    return error


@contextmanager
def installed(world: "World") -> Iterator[None]:
    """Let the daemon's modules in this process use the world's disks and clocks."""
    times, random = world.times, Random(f"{world.plan.settings.seed} names")
    ids = Random(f"{world.plan.settings.seed} ledgers")
    _Clocks.times = times
    connect = sqlite3.connect

    def connected(*args: Any, **more: Any) -> sqlite3.Connection:
        connection: _Connection = connect(*args, factory=_Connection, **more)
        connection.world = world
        connection.create_function("randomblob", 1, ids.randbytes)
        if world.seam.active:
            world.connections.append(connection)
        return connection

    logger, handler = logging.getLogger("stylewatch_daemon"), _Log(world)
    with (
        seams.installed(world.seam, system),
        replaced(time, monotonic=lambda: times.now, time=times.wall, sleep=world.pass_time),
        replaced(time, clock_gettime=lambda clock: times.now),
        replaced(os, getpid=world.pid),
        replaced(secrets, token_hex=lambda size=32: random.randbytes(size).hex()),
        replaced(sqlite3, connect=connected),
        replaced(writer, SYNCHRONOUS="OFF"),
        replaced(atomic, CHUNK=CHUNK, SYNCS_AT_ONCE=1, this_process=world.process),
        replaced(jobs_module, advance=_counting(lifecycle.advance, world)),
        replaced(Jobs, turn=_lawful(Jobs.turn), next=_fair(Jobs.next, world.tried)),
        replaced(Jobs, took_turn=_noted(Jobs.took_turn, world.tried)),
        replaced(HookRunner, _start=_hook_started(world), _variables=lambda _, job: {"id": job.id}),
        replaced(learner, Child=partial(Training, world.trainings), Thread=Ear),
        replaced(Learner, _listen=lambda own, training: training.begin(own._pass_on)),
        replaced(logger, propagate=False, handlers=[handler]),
        ExitStack() as stack,
    ):
        if world.plan.settings.trash_days:
            most_off = wall_clock.MAX_OFF / wall_clock.DAY * DAY
            stack.enter_context(replaced(upkeep, DAY=DAY))
            stack.enter_context(replaced(commands, DAY=DAY))
            stack.enter_context(replaced(wall_clock, MAX_OFF=most_off))
        for name, module in list(sys.modules.items()):
            is_ours = name.startswith("stylewatch_daemon")
            if is_ours and vars(module).get("datetime") is datetime:
                stack.enter_context(replaced(module, datetime=_Datetime))
        yield


def _lawful(real: Callable[[Jobs, str, Doing], None]) -> Callable[[Jobs, str, Doing], None]:
    """Return `Jobs.turn`, which checks that the state of the job allows the activity (law 12)."""

    def turn(jobs: Jobs, job_id: str, doing: Doing) -> None:
        real(jobs, job_id, doing)
        job = jobs.ledger.get(job_id)
        if job is not None and doing.activity not in ALLOWED[job.state]:
            raise AssertionError(f"a job that is {job.state} is {doing.activity}")

    return turn


def _fair(
    real: Callable[..., Job | None], tried: Sequence[str]
) -> Callable[[Jobs, bool], Job | None]:
    """Return `Jobs.next`, which checks that nothing more urgent, or less often tried, waits.

    `tried` are the ids of the jobs that were tried, in order, also those that could not begin.
    """
    seen = dict[tuple[Jobs, str], int]()  # a new start tries everybody anew

    def following(jobs: Jobs, retry: bool = True) -> Job | None:
        job = real(jobs, retry)
        if job is None:
            return None
        held = jobs.waits.held(retry)
        has_met = any(jobs.waits.knows(each) for each in _obstacles(job))
        for other in jobs.ledger.in_state(State.QUEUED):
            since = seen.setdefault((jobs, other.id), len(tried))
            if other.id in tried[since:]:
                since = seen[jobs, other.id] = len(tried)
            is_held = jobs.works_on(other.id) or not held.isdisjoint(
                (*_obstacles(other), Obstacle(Kind.JOB, other.id))
            )
            if is_held or other.interruptions >= SUSPICIOUS or other.inbox != job.inbox:
                continue
            if not has_met and other.priority > job.priority:
                raise AssertionError(f"{job.title} begins before {other.title}, which is urgent")
            is_alike = (other.needs, other.outbox) == (job.needs, job.outbox)
            # a style that is not learned is so for all jobs with it, whoever tries
            is_alike &= other.priority >= job.priority and not (job.settings or {}).get("learn")
            if is_alike and tried[since:].count(job.id) > MORE_TRIES:
                raise AssertionError(f"{other.title} is tried less often than {job.title}")
        return job

    return following


def _noted(real: Callable[[Jobs, Job], None], tried: list[str]) -> Callable[[Jobs, Job], None]:
    """Return `Jobs.took_turn`, which adds the job to `tried`."""

    def noted(jobs: Jobs, job: Job) -> None:
        tried.append(job.id)
        real(jobs, job)

    return noted


def _obstacles(job: Job) -> tuple[Obstacle, ...]:
    return Obstacle(Kind.OUTBOX, job.outbox), Obstacle(Kind.NEEDS, job.needs)


def _hook_started(world: "World") -> Callable[[HookRunner, Any, Any], None]:
    """Return how a hook begins, or goes on in a daemon that was started anew."""

    def start(runner: HookRunner, running: Any, work: Any) -> None:
        runner._running = running
        if work.args and isinstance(work.args[-1], Mapping):
            world.hook_begins(work.args[-1]["id"])
        running.command, running.output = SimpleNamespace(pid=NO_PROCESS), _Output()
        running.has_begun.set()
        wakeup = world.daemon.wakeup

        def end() -> None:
            if world.daemon.wakeup is wakeup:
                runner._post(partial(runner._ended, running, ""))

        world.later(world.random.choice([0.1, 3.0, 20.0]), end)

    return start


class _Output:
    """The file with the output of a hook."""

    def fileno(self) -> int:
        return os.open(os.devnull, os.O_RDONLY)


def _counting(real: Callable[..., Any], world: "World") -> Any:
    """Return the function of the lifecycle, which counts, and tells the world of claims."""

    def counted(job: Job | None, event: object) -> Any:
        world.transitions["" if job is None else job.state.value, type(event).__name__] += 1
        if isinstance(event, lifecycle.Found):
            world.account.claim_begins(event.job.id, (file.source for file in event.job.inputs))
        return real(job, event)

    return counted


class _Log(logging.Handler):
    """Tells the world of errors that the daemon logs as its own faults."""

    def __init__(self, world: "World") -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None or record.levelno >= logging.ERROR:
            trace = getattr(record, "trace", "")
            self._world.logged(record.getMessage(), error, trace)


# -- parts of the daemon


class _Wakeup(Wakeup):
    """A wakeup that waits in the world's time."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def wait(self, seconds: float) -> bool:
        self._world.wait(seconds, lambda: not self._calls.empty())
        return super().wait(0)


class _Watch:
    """Events of files, which the world sends, or frequent scans."""

    def __init__(self, world: "World", wake: Callable[[], object], enabled: Events) -> None:
        self._settings = world.plan.settings
        if self._settings.has_events:
            world.daemon.file_event = wake

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to end."""

    def works(self, folder: Path) -> bool:
        return self._settings.has_events

    def check(self, folder: Path) -> None:
        """There is nothing to check."""

    def seconds_between_scans(self, folder: Path, rescan_s: float, last_scan_s: float) -> float:
        return rescan_s if self.works(folder) else min(rescan_s, self._settings.scan_s)


class _Lanes:
    """The daemon's lanes: one for each folder."""

    def __init__(self, lanes: Lanes, world: "World", post: Post) -> None:
        self._lanes, self._world, lanes.post = lanes, world, post

    def do(self, root: Path, work: Any, done: Any, size: int = 0) -> None:
        self._lanes.add((root, size > self._world.plan.settings.long_bytes), work, done)

    def silent(self, least_s: float | None = None) -> dict[Path, float]:
        return {
            root: seconds
            for (root, _), since in self._lanes.heard.items()
            if (seconds := self._world.times.now - since)
            >= (SILENT_S if least_s is None else least_s)
        }

    def rest(self, is_wanted: Callable[[], bool] = lambda: True, within: float = SILENT_S) -> bool:
        self._lanes.is_resting = True
        self._world.wait(within, lambda: self._lanes.is_idle or not is_wanted())
        self._lanes.is_resting = self._lanes.is_idle
        return self._lanes.is_resting

    def close(self, within: float = 2.0) -> bool:
        self._lanes.is_leaving = True
        return self._world.wait(within, lambda: not self._lanes.tasks)


class _Reporter(Reporter):
    """Writes what the daemon reports into the history."""

    def __init__(self, world: "World") -> None:
        self._note, self._daemon, self._times = world.note, world.daemon, world.times

    def requested(self, what: str) -> None:
        self._note(f"daemon: {what}")

    def claimed(self, job: str) -> None:
        self._note(f"daemon: claimed {job}")

    def input_changed(self, job: str, what: str) -> None:
        self._note(f"daemon: {job}: {what}")

    def blocked(self, trouble: Mapping[str, str]) -> None:
        self._daemon.blocked = {**trouble}

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
        self._note(f"daemon: {job.title} ended: {job.end} {job.reason}")

    def attempt_failed(self, job: str, reason: str, trace: str) -> None:
        self._note(f"daemon: an attempt at {job} failed: {reason}")

    def waits(self, what: str, reason: str) -> None:
        self._daemon.waited[what] = self._times.now, reason
        self._note(f"daemon: {what} waits: {reason}")

    def ignored(self, path: Path, why: str) -> None:
        self._note(f"daemon: ignores {path.name}: {why}")

    def pruned(self, files: int, bytes_: int) -> None:
        self._note(f"daemon: retention removed {files} files")


class _Guard(MountGuard):
    """Tells the world which disks the daemon has met."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._met = world.snapshot.meet

    def check(self, folder: Path, inner: str = "") -> Path:
        root = super().check(folder, inner)
        self._met(str(root))
        return root


@dataclass(frozen=True)
class Heart:
    """Comparison of what the daemon believes about its workers with what they do."""

    loop: Loop
    painter: Painter
    trainings: Trainings

    @property
    def _previews(self) -> set[str]:
        """The ticket of the preview that a worker paints; previews are no jobs."""
        painting = self.loop.tries._painting
        return set() if painting is None else {painting.ticket}

    @property
    def is_disturbed(self) -> bool:
        """True while the ledger cannot be used, or the daemon is stopping."""
        return bool(self.loop.jobs.trouble) or self.loop.wakeup.stopping

    def amiss(self) -> Iterator[tuple[str, str]]:
        """Yield workers without a job and jobs without a worker: the kind, and which.

        Either may be so for a moment, until the main loop has heard of it.
        """
        hours = self.loop.jobs.settings.executor.hours
        clock = datetime.fromtimestamp(_Clocks.times.wall()).astimezone()
        if hours is not None and not parse_hours(hours).is_open(clock):
            kind = "a worker outside of the hours"
            working = self.painter.unasked - self._previews  # these take seconds
            yield from ((kind, ticket) for ticket in working)
            yield from (("a training outside of the hours", "") for _ in self.trainings.running)
        believed = {worker.ticket: job for job, worker in self.loop.attempts.running.items()}
        tickets = self.painter.tickets - self._previews
        yield from (("a worker without a job", ticket) for ticket in tickets - believed.keys())
        for job in self.loop.jobs.ledger.in_state(State.RUNNING):
            if job.id not in self.loop.attempts.running:
                yield "a running job without a worker", job.title
        for ticket, job_id in believed.items():
            is_over = self.loop.attempts.running[job_id].has_ended
            if ticket and not is_over and ticket not in tickets:
                yield "a job whose worker has ended", job_id

    @property
    def is_crowded(self) -> bool:
        """True if more is at work than there are places: a training has one of a worker."""
        number = len(self.trainings.running)
        return number > 1 or len(self.painter.tickets) + number > self.painter.capacity

    def amiss_in_learning(self) -> Iterator[tuple[str, str, float]]:
        """Yield what is wrong with trainings, if it lasts: the kind, which, and for how long."""
        loop, learning, own = self.loop, self.loop.learner, self.trainings
        jobs, group = loop.jobs, learning._group
        running = bool(own.running)
        if loop.attempts.lent != running or (learning._training is None) is running:
            yield "the place of a training", str(loop.attempts.lent), 1.0
        if running and loop.held:
            yield "a training while no job may begin", loop.held, HEARD_WITHIN
        if running and loop.attempts.kept:
            yield "a preview waits for a training", "", HEARD_WITHIN
        is_in_work = running or learning.in_work
        if is_in_work and not (group and jobs.ledger.queued_with(group.lead.needs, 1)[1]):
            yield "a training for which no job waits", "", HEARD_WITHIN
        yield from (("a training begins again at once", name, 0.0) for name in own.hasty)
        yield from (("a training hangs", "", HUNG_FOR) for each in own.running if each.is_hung)
        if self.painter.free() - running - loop.attempts.kept > 0 and loop._may_begin():
            yield from self._waiting_in_vain()

    def _waiting_in_vain(self) -> Iterator[tuple[str, str, float]]:
        """Yield the jobs that wait beside an idle worker: the kind, which, and for how long."""
        jobs = self.loop.jobs
        if (job := FOLLOWING(jobs)) is not None:
            yield "a job waits beside an idle worker", job.title, BESIDE_IDLE
        for job in jobs.ledger.queued_for(Cause.LEARNING):
            obstacles = {Obstacle(Kind.NEEDS, job.needs), Obstacle(Kind.JOB, job.id)}
            styles = {file.sha256 for file in job.inputs if file.role == "style"}
            if styles <= self.trainings.learned and obstacles & jobs.waits.held():
                yield "a job waits for a style that is learned", job.title, TRIED_WITHIN

    def requests(self) -> list[tuple[int, str, str]]:
        """Return the requests that wait: id, verb, and the job's id, if it concerns one."""
        asked = self.loop.jobs.ledger.requests()
        return [(each.id, each.verb, str(each.arguments.get("job", ""))) for each in asked]

    @property
    def notes(self) -> list[str]:
        """Notes about the inboxes in the status."""
        return [note for inbox in self.loop.intake.inboxes for note in inbox.notes]

    @property
    def says_all_is_well(self) -> bool:
        """True if the status names nothing that is in the way of jobs."""
        return self.loop._status.condition.is_ready

    @property
    def has_hooks(self) -> bool:
        """True while a hook runs or waits."""
        return self.loop.hooks.in_work

    @property
    def has_trainings(self) -> bool:
        """True while a style is learned, or will be."""
        return self.loop.learner.in_work

    @property
    def quiet_s(self) -> float:
        """The setting that people change."""
        return self.loop.jobs.settings.watch.quiet_s

    @property
    def problem(self) -> str:
        """Why other settings are in force than the file has."""
        file = self.loop._file
        return "" if file is None else file.trouble


@dataclass(frozen=True)
class Life:
    """How a run of the daemon ended: by a request, a kill, or an error."""

    error: BaseException | None = None
    was_killed: bool = False
    handover: Handover | None = None
    """Data that it hands to the next daemon if it starts anew."""
    says_all_is_done: bool | None = None
    """True if a run with `--once` ends with the exit code for that; None for any other run."""


class _File(SettingsFile):
    """The file of the settings of a world, as the service reads it at the start and while it runs.

    All that people change there is `watch.quiet_s`, and the inboxes, of which each has a line.
    """

    def __init__(self, world: "World", received: Handover | None) -> None:
        self._world, path = world, Path(world.config)
        versions = received.versions if received else (version_of(path), None, None)
        content = yaml_lines.content_of((received and received.settings) or path)
        now = loaded(content, self.load(content))
        super().__init__(path, self.load, now, versions, clock=lambda: world.times.now)
        self.settings = now.settings

    def load(self, content: bytes) -> ServiceSettings:
        first, *inboxes = content.decode().splitlines()
        try:
            quiet_s = float(first.partition("#")[0].removeprefix("quiet_s:"))
        except ValueError as error:
            raise SettingsError(f"config.yaml: {first!r} is no number") from error
        after = cast("dict[str, After]", dict(line.split(": ") for line in inboxes))
        plan, ignored = self._world.plan.settings, self._world.account.names_ignored
        return settings_of(plan, ignored, quiet_s, after)


def live(world: "World", received: Handover | None = None, *, is_once: bool = False) -> Life:
    """Run the daemon until it ends; it takes the place of another one if it has `received` that.

    With `is_once` it ends by itself, once it has painted all that is there.
    """
    clock, pace = (lambda: world.times.now), world.plan.settings.pace
    lanes = Lanes(world.later, world.run_task, clock, world.random, pace)
    wakeup = _Wakeup(world)
    painter = Painter(world, world.plan.settings.workers)
    inspector = Inspector(world, wakeup.post)
    world.daemon_starts(wakeup, lanes)
    world.daemon.crash = painter.crash

    def bounded(work: Callable[[], Any], seconds: float) -> Any:
        """Look at folders in a thread of its own, unless this is one."""
        return work() if world.is_in_task else lanes.bounded(world.wait, work, seconds)

    def make_loop(*parts: Any, **more: Any) -> Loop:
        loop: Loop = partial(Loop, clock=clock)(*parts, **more)
        world.daemon.heart = Heart(loop, painter, world.trainings)
        return loop

    parts: dict[str, Any] = {
        "Inspector": lambda post, *_: inspector,
        "Watch": partial(_Watch, world),
        "waking": lambda *_: nullcontext(),
        "woken_by_signals": lambda *_: nullcontext(),
        "Loop": make_loop,
        "Lanes": partial(_Lanes, lanes, world),
        "MountGuard": partial(_Guard, world),
    }
    with (
        replaced(daemon, **parts),
        replaced(settings_file, bounded=bounded),
        replaced(intake, LONG=world.plan.settings.long_bytes),
        world.seam.acting(),
    ):
        try:
            file = _File(world, received)
            with world.seam.outside():
                inboxes = file.settings.inboxes
                world.account.come_into_force({str(each.path): each.after for each in inboxes})
            if is_once:
                summary = daemon.once(file.settings, _Reporter(world), painter.bind, wakeup)
                return Life(says_all_is_done=summary.exit_code != Exit.LATER)
            handover = daemon.watch(
                file.settings,
                _Reporter(world),
                executor=painter.bind,
                wakeup=wakeup,
                file=file,
                received=received,
                at_work=world.daemon_is_at_work,
            )
        except KilledError:
            return Life(was_killed=True)
        except Exception as error:
            return Life(error=error)
        if handover is not None and handover.lock is not None:
            os.close(handover.lock)
            copy = StateDir(Path(world.path("state"))).root / settings_file.COPY
            handover = replace(handover, lock=None, settings=copy, versions=file.versions)
        return Life(handover=handover)


# -- what commands and the page do


@dataclass(frozen=True)
class JobSeen:
    """A job as people see it."""

    id: str
    name: str
    title: str
    place: str
    inbox: str
    state: str
    end: str
    faults: int
    sources: tuple[str, ...]
    digests: tuple[str, ...]
    retry_of: str
    reason: str
    finals: tuple[str, ...]
    """Paths in a finals folder that are the job's by the ledger."""
    is_trashed: bool
    is_favorite: bool

    @property
    def has_ended(self) -> bool:
        return self.state == State.ENDED


def jobs(state: Path) -> list[JobSeen]:
    """Return all jobs of the ledger."""
    path = StateDir(state).ledger
    if not path.exists():
        return []
    with reading(path) as ledger:
        return [
            JobSeen(
                job.id,
                job.name,
                job.title,
                job.place or "",
                job.inbox,
                job.state.value,
                str(job.end or ""),
                job.faults,
                tuple(file.source for file in job.inputs),
                tuple(file.sha256 for file in job.inputs),
                job.retry_of,
                job.reason,
                tuple(file.path for file in ledger.files(job.id) if file.part == "finals"),
                job.trashed is not None,
                favorites.is_marked(state, job.id),
            )
            for job in ledger.in_state(*State)
        ]


def held(state: Path) -> set[str]:
    """Return the ids of the jobs whose inbox has, or may have, files of theirs."""
    folder = StateDir(state)
    ids = {job.id for job in jobs(state) if job.state == State.CLAIMED}
    return ids | {job_id for job_id in folder.claimed() if folder.is_held(job_id)}


def ledger_id(state: str) -> str:
    """Return the id of the ledger, which is in the names of folders."""
    with reading(StateDir(Path(state)).ledger) as ledger:
        return ledger.own_id


def published(state: Path) -> list[tuple[Job, dict[str, str]]]:
    """Return the jobs that have ended, with the parts of their published files that are there."""
    with reading(StateDir(state).ledger) as ledger:
        jobs = [job for job in ledger.in_state(*State) if job.has_ended]
        listed = [(job, ledger.files(job.id)) for job in jobs]
    return [
        (job, {each.path: each.part for each in files if _is_there(Path(job.outbox), each)})
        for job, files in listed
    ]


def _is_there(outbox: Path, file: OutputFile) -> bool:
    path = outbox / file.path
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def unknown_inputs(job: Job, files: dict[str, str]) -> str:
    """Return why a retry would not find an input that is published under its own name."""
    inputs = {Path(path).name for path, part in files.items() if part in ("inputs", "refused")}
    for file in job_files.inputs(job):
        if file.name in inputs:
            try:
                file.find(MountGuard())
            except InputError as error:
                return str(error)
    return ""


def leave(state: Path, verb: Literal["pause", "resume"]) -> None:
    """Leave a request that concerns all jobs, as a command does."""
    requests.leave(state, verb)


def ask(state: Path, verb: Verb, job_id: str) -> bool:
    """Leave a request as a command does; return False if the job's state does not allow it."""
    with reading(StateDir(state).ledger) as ledger:
        job = ledger.get(job_id)
    if job is None:
        return False
    with suppress(ValueError, OSError):
        if verb == "retry":
            wanted = retries.previous(job, ServiceSettings(), {})
            new = f"{datetime.fromtimestamp(_Clocks.times.wall(), UTC):%Y%m%dT%H%M%S}-{job.id[-6:]}"
            operations.retry(state, job, new, wanted)
        else:
            operations.ask(verb, state, job)
        return True
    return False


class Try:
    """The page's side of a try: a photograph in every style of the library."""

    def __init__(self, world: "World", name: str) -> None:
        self._world, self._name = world, name
        self._state = Path(world.path("state"))
        self._folder = self._state / TRIES / name

    def ask(self, styles: Mapping[str, str], content: str = "") -> None:
        """Begin the try with a photograph, or ask for more styles."""
        job = settings_of(self._world.plan.settings).job
        more = {"content": content, "settings": job.model_dump(mode="json")} if content else {}
        with self._world.seam.acting("client"), suppress(OSError):
            if content:
                atomic.make_folder(self._folder)
                (self._folder / content).write_bytes(b"a photograph")
                (self._folder / tries.ALIVE).touch()
                for name in (content, tries.ALIVE):
                    self._world.seam.user_wrote(str(self._folder / name))
            requests.leave(self._state, tries.VERB, name=self._name, styles=styles, **more)

    def has_begun(self) -> bool:
        """Return whether the daemon has answered; the page gives up a try if it does not."""
        if any(each.asks(tries.VERB, name=self._name) for each in requests.waiting(self._state)):
            shutil.rmtree(self._folder, ignore_errors=True)
            return False
        return True

    def beat(self) -> list[Mapping[str, Any]] | None:
        """Give a sign of life; return the previews, or None if the try has ended."""
        # after a power cut its page is not there, and the file may be empty
        with self._world.seam.acting("client"), suppress(OSError, ValueError):
            alive = self._folder / tries.ALIVE
            if alive.exists():
                alive.touch()
                self._world.seam.user_wrote(str(alive))
            plain = json.loads((self._folder / tries.RESULT).read_bytes())
            if "previews" in plain:
                return list(plain["previews"])
            shutil.rmtree(self._folder)  # the try was refused
        return None

    def end(self) -> None:
        """End the try."""
        (self._folder / tries.ALIVE).unlink(missing_ok=True)


def tries_left(state: Path) -> list[str]:
    """Return the tries that have left a folder."""
    folder = StateDir(state).tries
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def submit(
    world: "World",
    inbox: "Inbox",
    name: str,
    files: Mapping[str, "Content"],
    times: int = 1,
    *,
    is_kept: bool,
) -> list[str]:
    """Put a pair into an inbox, where files stay if `is_kept`, several times at once.

    Returns the names of those that are there, also if it fails.
    """
    state, names = Path(world.path("state")), list[str]()
    folder, outbox = (Path(world.path(role)) for role in (inbox.name, inbox.outbox))
    with TemporaryDirectory() as uploads, world.seam.acting("client"):
        pictures = {name: Path(uploads, name) for name in files}
        for path, content in zip(pictures.values(), files.values(), strict=True):
            path.write_bytes(content.data)
        jobs = [submission.NewJob(name, {}, pictures)] * times
        with suppress(OutputError):
            names.extend(submission.put_all(state, jobs, folder, outbox, is_kept=is_kept))
    return names


class Follower:
    """A command that waits for the end of a pair that it has put into an inbox."""

    def __init__(self, world: "World", inbox: str, name: str) -> None:
        self._world, self._state = world, Path(world.path("state"))
        self._pair = _Submitted(self._state, Path(world.path(inbox)), name)
        self._why, self._since = "", 0.0

    @property
    def job(self) -> str:
        """Id of the job that it follows; empty if it has found none."""
        return self._pair.job.id if self._pair.job else ""

    def look(self) -> str:
        """Return what it says at last; empty as long as it waits, or knows nothing now."""
        pair, now = self._pair, self._world.times.now
        with self._world.seam.acting("follower"):
            try:
                pair.look()
                why = pair.why_over(status_json.current(self._state))
            except DaemonError:  # it ends with this message, and people wait anew
                return ""
        if pair.job is not None and pair.job.has_ended:
            return str(pair.job.end)
        if why != self._why:
            self._why, self._since = why, now
        return why if pair.gone or now - self._since >= STANDS_S else ""


def leave_out(world: "World", inbox: "Inbox", path: str, *, is_marked: bool) -> None:
    """Let a picture in an inbox be one that an earlier version has painted and left there.

    That version has given its disk a mark if `is_marked`.
    """
    folder, state = Path(world.path(inbox.name)), StateDir(Path(world.path("state")))
    with world.seam.acting("client"):
        state.make()
        if is_marked:
            disks.mark(folder, MountGuard())
        looked, ledger = look(path), LedgerWriter.open(state.ledger)
        assert looked is not None
        seen = Seen(path, str(folder), disks.disk_of(folder), looked.size, looked.mtime_ns)
        ledger.remember([seen._replace(left_out=BEFORE)])
        ledger.close()


def release(world: "World") -> None:
    """Release what a daemon had open."""
    for connection in world.connections:
        with suppress(sqlite3.Error):
            connection.close()
    world.connections.clear()
    world.seam.bury()


def temporary_names(plan: "Settings") -> list[str]:
    """Return the folders in which nothing may be left once all jobs have ended."""
    state = plan.path("state")
    return [f"{state}/{name}" for name in ("claims", "jobs", "trash", "uploads")]
