"""Puts the parts together: starts them in order, goes round, stops them in order.

`once` takes what is there and leaves; `watch` does the same whenever something changes. Both may
be told to stop by SIGTERM or SIGINT: what is being painted keeps a checkpoint and goes on at the
next start.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from stylewatch_daemon.errors import DaemonError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.events import Both, Reporter
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.executor import Cluster
from stylewatch_daemon.files import atomic, lock, shortages
from stylewatch_daemon.ingest import submit
from stylewatch_daemon.ingest.inbox import library
from stylewatch_daemon.ingest.inspection.process import QUICK, Intake
from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.retention import daily, sweep
from stylewatch_daemon.processes.wakeup import Bell, reloads_on_signal, stops_on_signals
from stylewatch_daemon.queue.finalize import OUR_FAULT, Outcome
from stylewatch_daemon.service.main_loop import AT_LEAST, Rounds
from stylewatch_daemon.service.metrics import Meters
from stylewatch_daemon.service.pipeline import TELL_EVERY, Line
from stylewatch_daemon.service.systemd import Manager
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import Executor

__all__ = ["Reporter", "ServiceSettings", "Summary", "once", "watch"]

PROBED = 0.5
"""Seconds that the lock is waited for: commands hold it for a moment, to see whether we do."""

ORPHAN_WITHIN = 30.0
"""Seconds that the worker of a killed daemon gets to be gone; it takes a moment."""

PATIENCE = 10.0
"""How many times `quiet_s` a run that does not watch waits for files that keep changing."""

SHORT_FOR = 15.0
"""Seconds for which a run that does not watch waits where pictures cannot be looked at."""

GROWS = 3
"""How many times as long it waits for a picture that is cut off, and grows."""


@dataclass(frozen=True)
class Summary:
    """What became of the jobs of a run; an Outcome has the job's name and the reason."""

    done: tuple[Outcome, ...] = ()
    refused: tuple[Outcome, ...] = ()
    failed: tuple[Outcome, ...] = ()
    paused: tuple[Outcome, ...] = ()
    """What something outside of us stood in the way of; an inbox goes by its path."""
    stopped: tuple[Outcome, ...] = ()
    waiting: tuple[str, ...] = ()
    """Jobs that were not begun, since the run was told to stop."""
    incomplete: tuple[Incomplete, ...] = ()

    @property
    def exit_code(self) -> int:
        """As in sysexits: first what another run may mend, then what went wrong for good."""
        changing = any(one.changing for one in self.incomplete)
        if self.paused or self.stopped or self.waiting or changing:
            return 75
        if self.failed:
            return 70
        return 65 if self.refused else 0


def once(
    settings: ServiceSettings, reporter: Reporter | None = None, executor: Executor | None = None
) -> Summary:
    """Take what lies in the inboxes, finish it, and leave.

    It leaves when a fresh look shows nothing that can be taken and nothing that is waited for.
    Files that still change are waited for, PATIENCE times `quiet_s` at most since a job last ended,
    and so is the rest of one that is cut off, which is refused then.

    Raises SettingsError (another one is at work here, for one), UnavailableError (a worker of one
    that was killed is), OutputError (the state folder cannot be written).
    """
    bell, reporter = Bell(), reporter or Reporter()
    patience = PATIENCE * max(settings.watch.quiet_s, AT_LEAST)
    watch = settings.watch.model_copy(
        update={"truncated_s": min(patience, settings.watch.truncated_s)}
    )
    settings = settings.model_copy(update={"watch": watch})
    with _started(settings, reporter, executor, bell) as line:
        sweep(settings.outboxes, settings.retention, reporter, lambda: bell.stopping)
        _take_all(line, bell, settings.watch.quiet_s, patience)
        return _summary(line)


def _take_all(line: Line, bell: Bell, quiet_s: float, patience: float) -> None:
    """Look, take and finish until nothing is left, or what is left keeps changing."""
    since, ended = time.monotonic(), line.ended
    while not bell.stopping:
        line.look()
        waited = time.monotonic() - since
        if line.front.settled or waited >= patience:
            line.take()
            _finish(line, bell)
            if line.ended != ended:
                since, ended = time.monotonic(), line.ended
                continue
            if line.front.at_rest or waited >= patience * (GROWS if line.front.awaits_rest else 1):
                return
        bell.wait(max(quiet_s / 4, AT_LEAST))


def _finish(line: Line, bell: Bell) -> None:
    """Claim what was entered and paint what is ours; wait for intake, and for jobs that crashed."""
    short_since: float | None = None
    while not bell.stopping:
        line.control.act()
        line.hear()
        # Asked before `fill`, which may come a moment too early for a job that is about to go on.
        crashed = None if line.control.holds else line.queue.crashed_for()
        more = line.fill(again=False)
        more = line.finish() or more
        more = line.claim() or more
        line.tell_news(resting=not more)
        if not more:
            now = time.monotonic()
            short_since = (short_since or now) if line.front.trouble else None
            is_looking = line.front.is_looking and now - (short_since or now) < SHORT_FOR
            if not (line.busy or is_looking) and crashed is None:
                return
            bell.wait(TELL_EVERY if crashed is None else crashed)
    line.see_off()


def watch(
    settings: ServiceSettings,
    reporter: Reporter | None = None,
    executor: Executor | None = None,
    bell: Bell | None = None,
    manager: Manager | None = None,
    reread: Callable[[], ServiceSettings] | None = None,
) -> Summary:
    """Take and paint what comes, until told to stop; raises as `once` does.

    `manager` is told how the daemon is. When SIGHUP asks for it, `reread` reads the settings
    again: the new ones hold from the next job on, and wrong ones not at all.
    """
    bell, reporter = bell or Bell(), reporter or Reporter()
    manager = manager or Manager({})
    now: ServiceSettings | None = settings
    with _started(settings, reporter, executor, bell) as line, reloads_on_signal(bell):
        while now is not None:
            again = partial(_again, reread, now, reporter, manager)
            folders = [one.path for one in now.inboxes]
            with (
                Watcher(folders, now.watch.polling, bell.ring) as watcher,
                Watcher([line.control.folder], "no", bell.ring),
                daily(now.outboxes, now.retention, reporter),
            ):
                manager.ready()
                reporter.watching(folders)
                now = Rounds(line, watcher, now, bell, manager, again).go()
            if now is not None:
                line.renew(now)
        manager.stopping()
        return _summary(line)


def _again(
    reread: Callable[[], ServiceSettings] | None,
    before: ServiceSettings,
    reporter: Reporter,
    manager: Manager,
) -> ServiceSettings | None:
    """The settings, read again; None where they are wrong, or cannot change."""
    if reread is None:
        return None
    manager.reloading()
    try:
        new = reread()
        _prepare(new, State(before.state.path))
    except (DaemonError, OSError) as error:
        reporter.not_reloaded(str(error))
        return None
    finally:
        manager.ready()
    if new.state.path != before.state.path:
        reporter.needs_restart("state.path")
    if _fixed(new) != _fixed(before):
        reporter.needs_restart("executor")
    reporter.reloaded()
    return new.model_copy(update={"state": before.state})


def _fixed(settings: ServiceSettings) -> tuple[object, ...]:
    """What an executor is made with, and keeps."""
    return settings.executor.named_devices, settings.executor.idle_s, settings.executor.cluster


@contextmanager
def _started(
    settings: ServiceSettings, reporter: Reporter, executor: Executor | None, bell: Bell
) -> Iterator[Line]:
    """The line, ready to run: alone on its state folder, what was cut off taken up again."""
    shortages.raise_limit()
    shortages.check_limit()
    meters = Meters()
    told = Both(reporter, meters)
    state = State(settings.state.path, told)
    _prepare(settings, state)
    executor = executor or _executor(settings, state)
    executor.wake = bell.wake
    with _alone(state), stops_on_signals(bell):
        for inbox in settings.inboxes:
            submit.clear(inbox.path)
        intake = Intake(bell.wake, settings.executor.idle_s, quick=QUICK)
        with closing(state), closing(executor), closing(intake):
            state.tidy()
            line = Line(settings, state, executor, told, bell, intake)
            line.teller.publisher.meters = meters.plain
            try:
                yield line
            except KeyboardInterrupt:
                line.leave()
                raise
            finally:
                line.transfers.close()
                line.tell(leaving=True)


def _executor(settings: ServiceSettings, state: State) -> Executor:
    if settings.executor.cluster is None:
        return Local(
            state.worker_lock,
            devices=settings.executor.named_devices,
            idle_s=settings.executor.idle_s,
        )
    return Cluster(state.worker_lock, settings.executor.cluster, idle_s=settings.executor.idle_s)


@contextmanager
def _alone(state: State) -> Iterator[None]:
    """Hold the state folder, once no worker of a killed daemon writes there any more."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(state.lock, PROBED))
        except TimeoutError as error:
            raise SettingsError(
                f"another stylewatch ({state.holder()}) is at work with the state folder "
                f"{state.root}: end it, or give this one a folder of its own with --state"
            ) from error
        try:
            with lock.held(state.worker_lock, ORPHAN_WITHIN):
                state.hold()
        except TimeoutError as error:
            raise UnavailableError(
                f"the worker of a stylewatch that was killed is still at work with {state.root}: "
                "wait until it is gone, or end it"
            ) from error
        yield


def _prepare(settings: ServiceSettings, state: State) -> None:
    """Make the folders that are missing, once `settings` are seen to be right."""
    settings.check()
    if settings.executor.cluster is not None:
        settings.executor.cluster.check()
    wanted = settings.pairing.default_style
    if wanted is not None and not library(settings.pairing.styles, wanted):
        raise SettingsError(
            f"pairing.default_style is {wanted!r}, and there is no such picture in the style "
            f"library {settings.pairing.styles}"
        )
    try:
        state.make()
        for inbox in settings.inboxes:
            atomic.make_folder(inbox.path)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be made: {error.strerror}") from error


def _summary(line: Line) -> Summary:
    kinds: dict[str, tuple[Outcome, ...]] = {
        kind: tuple(one for one in line.outcomes.values() if one.kind == kind)
        for kind in ("done", "refused", "failed", "paused", "stopped")
    }
    trouble = [item for inbox in line.front.inboxes for item in inbox.trouble.items()]
    trouble += line.front.trouble.items()
    kinds["failed"] += tuple(
        Outcome("failed", name, reason, OUR_FAULT)
        for job, (name, reason) in line.set_aside.items()
        if job not in line.outcomes
    )
    blocked = tuple(Outcome("paused", what, why, OutputError.exit_code) for what, why in trouble)
    return Summary(
        **{**kinds, "paused": (*kinds["paused"], *blocked)},
        waiting=line.unbegun(),
        incomplete=tuple(line.front.incomplete()),
    )
