"""The daemon: it is built from its parts, runs its main loop, and stops the parts in order.

SIGTERM and SIGINT stop it: running jobs write a checkpoint and continue at the next start. SIGHUP
does the same, and then the process starts anew with the current settings.
"""

import os
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stylewatch_daemon.app.loop import MIN_INTERVAL, PATIENCE, AtEnd, Loop, do_nothing_at_end
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.app.settings_file import SettingsFile, check
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import EXIT_OF_END, Exit, SettingsError, UnavailableError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.lanes import Lanes, Step
from stylewatch_daemon.base.model import End, Pair
from stylewatch_daemon.base.wakeup import Intent, Wakeup, woken_by_signals
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files import atomic, entries, lock
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.files.pipes import waking
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.watch import Watch
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.config import ServiceSettings

ExecutorFactory = Callable[..., Executor]
"""Function that creates an executor, which calls the argument `wake`, in any thread, when there are
new events."""

LOCK_WITHIN = 0.5
"""Timeout in seconds for the lock; commands hold it briefly to find out whether a daemon holds it.
"""

ORPHAN_WITHIN = 30.0
"""Timeout in seconds for the worker of a killed daemon to end, which usually takes a moment."""


@dataclass(frozen=True)
class Summary:
    """Results of a run: how its jobs ended, and what remains for the next run."""

    ended: Mapping[End, int] = field(default_factory=dict)
    """Number of jobs that ended in each way."""
    waiting: tuple[str, ...] = ()
    """Titles of the jobs that have not ended, and names of the complete pairs without a job."""
    blocked: Mapping[str, str] = field(default_factory=dict)
    """The reasons why jobs, requests, folders and other things wait for something outside the
    daemon, by name."""
    incomplete: tuple[Pair, ...] = ()
    held: str = ""
    """Why no job may start now: a request, or `executor.hours`; empty if jobs may start."""

    @property
    def exit_code(self) -> int:
        """Exit code of sysexits.h; unfinished work takes precedence over final failures."""
        if self.waiting or self.blocked or any(pair.changing for pair in self.incomplete):
            return Exit.LATER
        if self.ended.get(End.FAILED):
            return EXIT_OF_END[End.FAILED]
        return EXIT_OF_END[End.REFUSED] if self.ended.get(End.REFUSED) else 0


def once(
    settings: ServiceSettings,
    reporter: Reporter | None = None,
    executor: ExecutorFactory | None = None,
    wakeup: Wakeup | None = None,
) -> Summary:
    """Process the files in the inboxes until nothing remains to be done, and stop.

    The run ends when a new scan finds nothing to claim and nothing to wait for. It waits for
    changing files and for folders that do not answer at most PATIENCE times `quiet_s` since the
    last change of a job; the time that scans take does not count. It waits at most half as long for
    the rest of an incomplete file, which is then refused, and for programs that may still write to
    a claimed file, which is then removed.

    Raises SettingsError (for example, if another daemon uses the state folder), UnavailableError
    (if a worker of a killed daemon uses it), OutputError (if the state folder cannot be written),
    and ShortageError.
    """
    patience = PATIENCE * max(settings.watch.quiet_s, MIN_INTERVAL)
    truncated_s = min(patience / 2, settings.watch.truncated_s)
    # a file that two scans miss is gone: there is no later scan to wait for
    rescan_s = min(settings.watch.quiet_s, settings.watch.rescan_s)
    watch = settings.watch.model_copy(update={"truncated_s": truncated_s, "rescan_s": rescan_s})
    settings = settings.model_copy(update={"watch": watch})
    wakeup = wakeup or Wakeup()
    state, guard = StateDir(settings.state.path), MountGuard()
    reporter = reporter or Reporter()
    with (
        _locked(state, settings),
        woken_by_signals(wakeup),
        _running(state, settings, reporter, executor, wakeup, guard, Handover()) as loop,
    ):
        loop.scan()
        loop.run_once(settings.watch.quiet_s, patience)
        return _summary(loop)


def watch(
    settings: ServiceSettings,
    reporter: Reporter | None = None,
    executor: ExecutorFactory | None = None,
    wakeup: Wakeup | None = None,
    systemd: SystemdNotifier | None = None,
    file: SettingsFile | None = None,
    at_work: Callable[[], object] = lambda: None,
    at_end: AtEnd = do_nothing_at_end,
    received: Handover | None = None,
    mount_guard: MountGuard | None = None,
) -> Handover | None:
    """Process files that arrive in the inboxes until told to stop; return the handover, if any.

    The daemon calls `at_work` once the inboxes are watched, and `at_end` as `Loop.watch` says.
    `systemd` gets the daemon's status. `received` is the handover of the previous daemon.

    On SIGHUP, or if the `file` of the settings has other settings, everything stops, and the
    handover for the next daemon is returned: the state folder stays locked, and signals stay
    blocked (law 15). If the daemon is told to stop for good, None is returned. Raises as `once`
    does.
    """
    wakeup = wakeup or Wakeup()
    reporter = reporter or Reporter()
    systemd = systemd or SystemdNotifier({})
    folders = [inbox.path for inbox in settings.inboxes]
    received = received or Handover()
    guard = mount_guard or MountGuard()
    guard.roots |= {*received.mounts}
    state = StateDir(settings.state.path)
    with _locked(state, settings, received.lock) as lock_handle:
        with (
            woken_by_signals(wakeup, received.terminals),
            _running(state, settings, reporter, executor, wakeup, guard, received) as loop,
            Watch(wakeup.request_scan, settings.watch.events) as events,
        ):
            systemd.ready()
            reporter.watching(folders)
            at_work()
            loop.watch(events, systemd, file, at_end)
            hook = loop.hooks.left() if wakeup.intent is Intent.RESTART else None
        if wakeup.intent is not Intent.RESTART:  # a signal to stop may have come since
            return None
        kept = os.dup(lock_handle)  # the lock lasts until both descriptors are closed
        return Handover(os.getpid(), kept, mounts=tuple(guard.roots), hook=hook)


@contextmanager
def _running(
    state: StateDir,
    settings: ServiceSettings,
    reporter: Reporter,
    executor_factory: ExecutorFactory | None,
    wakeup: Wakeup,
    mount_guard: MountGuard,
    received: Handover,
) -> Iterator[Loop]:
    """Start the parts in order, yield the loop, and stop the parts in reverse order."""
    with ExitStack() as stack:
        with shortages.translated(f"the state folder {state.root} cannot be read"):
            is_first_start = not entries.exists(state.ledger)
        ledger = stack.enter_context(closing(LedgerWriter.open(state.ledger)))
        start = executor_factory or partial(settings.executor.own.start, state.worker_lock)
        executor = start(wake=wakeup.wake)
        stack.enter_context(closing(executor))
        inspector = Inspector(wakeup.post)
        stack.enter_context(closing(inspector))
        lanes = stack.enter_context(closing(Lanes(wakeup.post)))
        jobs = Jobs(state, ledger, reporter, settings, time.monotonic, lanes, mount_guard)
        _prepare(settings, lanes, mount_guard, makes_outboxes=is_first_start)
        loop = Loop(jobs, executor, inspector, wakeup, received=received)
        stack.enter_context(waking(state.wake, wakeup.wake))
        try:
            yield loop
        except KeyboardInterrupt:
            loop.attempts.leave()  # an interrupt by a person does not count as a crash
            raise
        finally:
            if wakeup.intent is not Intent.RESTART:
                loop.update_status(leaving=True)


@contextmanager
def _locked(
    state: StateDir, settings: ServiceSettings, inherited: int | None = None
) -> Iterator[int]:
    """Lock the state folder, once no worker of a killed daemon writes there; yield its descriptor.

    If `inherited` is given, it is the descriptor of the lock, which is held already. The settings
    are checked before. Raises as `check` and `_lock` do.
    """
    shortages.raise_limit()
    check(settings)
    with ExitStack() as stack:
        with shortages.translated(f"the state folder {state.root} cannot be written"):
            handle = _lock(state, stack, inherited)
        yield handle


def _lock(state: StateDir, stack: ExitStack, inherited: int | None) -> int:
    """Lock the state folder for as long as `stack` lasts, and create it; return the descriptor.

    Raises SettingsError if another daemon holds the lock, UnavailableError if a worker of a killed
    daemon does.
    """
    atomic.make_folder(state.root)
    try:
        handle = stack.enter_context(lock.held(state.lock, LOCK_WITHIN, inherited))
    except lock.HeldError as error:
        raise SettingsError(
            f"another stylewatch is at work with the state folder {state.root}: end it, or "
            "give this one a folder of its own with --state"
        ) from error
    try:
        with lock.held(state.worker_lock, ORPHAN_WITHIN):
            state.make()
    except lock.HeldError as error:
        raise UnavailableError(
            f"the worker of a stylewatch that was killed is still at work with {state.root}: "
            "wait until it has ended, or end it"
        ) from error
    return handle


def _prepare(
    settings: ServiceSettings, lanes: Lanes, guard: MountGuard, *, makes_outboxes: bool
) -> None:
    """Create missing inboxes, and outboxes if `makes_outboxes`, without waiting for a disk.

    None is created below a missing mount. Errors are dropped: the next use of a folder reports
    whether it can be used (law 16).
    """

    def work(folder: Path, step: Step) -> None:
        guard.check(folder)
        atomic.make_folder(folder)

    inboxes = [inbox.path for inbox in settings.inboxes]
    outboxes = (
        settings.outboxes if makes_outboxes else ()
    )  # at a later start an outbox may be missing because its disk is not mounted yet
    for folder in (*inboxes, *outboxes):
        lanes.do(folder, partial(work, folder), lambda result: None)


def _summary(loop: Loop) -> Summary:
    inboxes = loop.intake.inboxes
    pending = [pair.name for inbox in inboxes for group in inbox.pending for pair in group]
    troubles = [inbox.trouble for inbox in inboxes]
    return Summary(
        loop.endings.ended,
        waiting=(*map(shown, loop.jobs.ledger.open_jobs().values()), *pending),
        blocked=dict(ChainMap(loop.blocked, *map(dict, troubles))),
        incomplete=tuple(loop.intake.incomplete),
        held=loop.held,
    )
