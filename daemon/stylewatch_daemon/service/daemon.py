"""Build the daemon from its parts, run its main loop, and stop the parts in order.

SIGTERM and SIGINT stop it: running jobs write a checkpoint and continue at the next start.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from stylewatch_daemon.errors import DaemonError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.events import Both, Reporter
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.driver_client import Cluster
from stylewatch_daemon.files import atomic, lock, shortages
from stylewatch_daemon.ingest import submit
from stylewatch_daemon.ingest.inspection.client import QUICK, InspectionClient
from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.outbox.retention import daily, prune
from stylewatch_daemon.processes.wakeup import Wakeup, reloads_on_signal, stops_on_signals
from stylewatch_daemon.queue.states import OUR_FAULT, Outcome, OutcomeKind
from stylewatch_daemon.service.main_loop import MIN_INTERVAL, PATIENCE, MainLoop, run_once
from stylewatch_daemon.service.monitoring import Metrics, SystemdNotifier
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.style_library import check_default_style
from stylewatch_daemon.store.state_dir import State

ExecutorFactory = Callable[..., Executor]
"""Makes an executor that calls the argument `wake`, in any thread, when there are new events."""

LOCK_WITHIN = 0.5
"""Seconds to wait for the lock: commands hold it for a moment, to see whether the daemon does."""

ORPHAN_WITHIN = 30.0
"""Seconds that the worker of a killed daemon gets to end; it takes a moment."""


@dataclass(frozen=True)
class Summary:
    """The jobs of a run by how they ended; an Outcome has the job's name and the reason."""

    done: tuple[Outcome, ...] = ()
    refused: tuple[Outcome, ...] = ()
    failed: tuple[Outcome, ...] = ()
    paused: tuple[Outcome, ...] = ()
    """Stopped by something outside the daemon; an inbox is named by its path."""
    stopped: tuple[Outcome, ...] = ()
    waiting: tuple[str, ...] = ()
    """Jobs that were not begun, since the run was told to stop."""
    incomplete: tuple[Incomplete, ...] = ()

    @property
    def exit_code(self) -> int:
        """As in sysexits: first what another run may finish, then what failed for good."""
        changing = any(waiting.changing for waiting in self.incomplete)
        if self.paused or self.stopped or self.waiting or changing:
            return 75
        if self.failed:
            return 70
        return 65 if self.refused else 0


def once(
    settings: ServiceSettings,
    reporter: Reporter | None = None,
    executor: ExecutorFactory | None = None,
) -> Summary:
    """Process what is in the inboxes, and stop.

    The run ends when a fresh scan shows nothing that can be claimed and nothing to wait for. Files
    that still change are waited for, at most PATIENCE times `quiet_s` since a job last ended. So is
    the rest of a truncated file, which is refused then.

    Raises SettingsError (another daemon uses the state folder, for example), UnavailableError (a
    worker of a killed one does), OutputError (the state folder cannot be written).
    """
    wakeup, reporter = Wakeup(), reporter or Reporter()
    patience = PATIENCE * max(settings.watch.quiet_s, MIN_INTERVAL)
    watch = settings.watch.model_copy(
        update={"truncated_s": min(patience, settings.watch.truncated_s)}
    )
    settings = settings.model_copy(update={"watch": watch})
    with _running(settings, reporter, executor, wakeup) as pipeline:
        prune(settings.outboxes, settings.retention, reporter, lambda: wakeup.stopping)
        run_once(pipeline, wakeup, settings.watch.quiet_s, patience)
        return _summary(pipeline)


def watch(
    settings: ServiceSettings,
    reporter: Reporter | None = None,
    executor: ExecutorFactory | None = None,
    wakeup: Wakeup | None = None,
    systemd: SystemdNotifier | None = None,
    reread: Callable[[], ServiceSettings] | None = None,
) -> Summary:
    """Process what lands in the inboxes until told to stop; raises as `once` does.

    `systemd` gets the daemon's status. On SIGHUP `reread` reads the settings again: the new ones
    apply from the next job on, and wrong ones not at all.
    """
    wakeup, reporter = wakeup or Wakeup(), reporter or Reporter()
    systemd = systemd or SystemdNotifier({})
    now: ServiceSettings | None = settings
    with _running(settings, reporter, executor, wakeup) as pipeline, reloads_on_signal(wakeup):
        while now is not None:
            folders = [inbox.path for inbox in now.inboxes]
            with (
                Watcher(folders, now.watch.polling, wakeup.request_scan) as watcher,
                Watcher([pipeline.control.folder], "no", wakeup.request_scan),
                daily(now.outboxes, now.retention, reporter),
            ):
                systemd.ready()
                reporter.watching(folders)
                reload = partial(_reload, reread, now, reporter, systemd)
                now = MainLoop(pipeline, watcher, now, wakeup, systemd, reload).run()
            if now is not None:
                pipeline.apply_settings(now)
        systemd.stopping()
        return _summary(pipeline)


@contextmanager
def _running(
    settings: ServiceSettings,
    reporter: Reporter,
    executor_factory: ExecutorFactory | None,
    wakeup: Wakeup,
) -> Iterator[Pipeline]:
    """Start the parts in order, yield the pipeline, and stop them in reverse order."""
    shortages.raise_limit()
    shortages.check_limit()
    metrics = Metrics()
    reporters = Both(reporter, metrics)
    state = State(settings.state.path, reporters)
    _prepare(settings, state)
    executor = (executor_factory or partial(_executor, settings, state))(wake=wakeup.wake)
    with _locked(state), stops_on_signals(wakeup):
        for inbox in settings.inboxes:
            submit.clear(inbox.path)
        inspector = InspectionClient(wakeup.wake, settings.executor.idle_s, quick=QUICK)
        with closing(state), closing(executor), closing(inspector):
            state.check_jobs()
            for outbox in settings.outboxes:
                Outbox(outbox).empty_trash()
            pipeline = Pipeline(
                settings, state, executor, reporters, wakeup, inspector, metrics.plain
            )
            with closing(pipeline):
                try:
                    yield pipeline
                except KeyboardInterrupt:
                    pipeline.dispatcher.leave()  # without counting that as a crash
                    raise


def _executor(settings: ServiceSettings, state: State, wake: Callable[[], object]) -> Executor:
    lock_file, how = state.worker_lock, settings.executor
    if how.cluster is None:
        return Local(lock_file, devices=how.named_devices, idle_s=how.idle_s, wake=wake)
    return Cluster(lock_file, how.cluster, idle_s=how.idle_s, wake=wake)


@contextmanager
def _locked(state: State) -> Iterator[None]:
    """Lock the state folder, once no worker of a killed daemon writes there any more."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(state.lock, LOCK_WITHIN))
        except TimeoutError as error:
            raise SettingsError(
                f"another stylewatch ({state.holder()}) is at work with the state folder "
                f"{state.root}: end it, or give this one a folder of its own with --state"
            ) from error
        try:
            with lock.held(state.worker_lock, ORPHAN_WITHIN):
                state.write_holder()
        except TimeoutError as error:
            raise UnavailableError(
                f"the worker of a stylewatch that was killed is still at work with {state.root}: "
                "wait until it is gone, or end it"
            ) from error
        yield


def _prepare(settings: ServiceSettings, state: State) -> None:
    """Check `settings`, and make the folders that are missing."""
    settings.check()
    if settings.executor.cluster is not None:
        settings.executor.cluster.check()
    check_default_style(settings.pairing)
    try:
        state.make()
        for inbox in settings.inboxes:
            atomic.make_folder(inbox.path)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be made: {error.strerror}") from error


def _reload(
    reread: Callable[[], ServiceSettings] | None,
    before: ServiceSettings,
    reporter: Reporter,
    systemd: SystemdNotifier,
) -> ServiceSettings | None:
    """Read the settings again; return None where they are wrong, or cannot change."""
    if reread is None:
        return None
    systemd.reloading()
    try:
        new = reread()
        _prepare(new, State(before.state.path))
    except (DaemonError, OSError) as error:
        reporter.not_reloaded(str(error))
        return None
    finally:
        systemd.ready()
    if new.state.path != before.state.path:
        reporter.needs_restart("state.path")
    kept = ("named_devices", "idle_s", "cluster")  # an executor is made with these
    if any(getattr(new.executor, key) != getattr(before.executor, key) for key in kept):
        reporter.needs_restart("executor")
    reporter.reloaded()
    executor = before.executor.model_copy(update={"batch": new.executor.batch})
    return new.model_copy(update={"state": before.state, "executor": executor})


def _summary(pipeline: Pipeline) -> Summary:
    outcomes: dict[str, tuple[Outcome, ...]] = {
        kind: tuple(outcome for outcome in pipeline.outcomes.values() if outcome.kind == kind)
        for kind in ("done", "refused", "failed", "paused", "stopped")
    }
    outcomes["failed"] += tuple(
        Outcome(OutcomeKind.FAILED, name, reason, OUR_FAULT)
        for job, (name, reason) in pipeline.state.quarantined.items()
        if job not in pipeline.outcomes
    )
    trouble = [item for inbox in pipeline.ingest.inboxes for item in inbox.trouble.items()]
    trouble += pipeline.ingest.trouble.items()
    outcomes["paused"] += tuple(
        Outcome(OutcomeKind.PAUSED, what, reason, OutputError.exit_code) for what, reason in trouble
    )
    return Summary(
        **outcomes,
        waiting=pipeline.not_begun,
        incomplete=tuple(pipeline.ingest.incomplete),
    )
