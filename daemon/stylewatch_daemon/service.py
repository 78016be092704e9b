"""Puts the parts together: starts them in order, goes round, stops them in order.

`once` takes what is there and leaves; `watch` does the same whenever something changes. Both may
be told to stop by SIGTERM or SIGINT: what is being painted keeps a checkpoint and goes on at the
next start.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from stylewatch_daemon import durable
from stylewatch_daemon.bell import Bell, stops_on_signals
from stylewatch_daemon.dispatch import Executor, Outcome
from stylewatch_daemon.errors import OutputError, SettingsError, UnavailableError
from stylewatch_daemon.execute.local import Local
from stylewatch_daemon.inbox import library
from stylewatch_daemon.job import Incomplete
from stylewatch_daemon.line import Line
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings
from stylewatch_daemon.state import State
from stylewatch_daemon.watch import Watcher

__all__ = ["InboxSettings", "Reporter", "ServiceSettings", "Summary", "once", "watch"]

AT_LEAST = 0.2
"""Seconds between two looks at an inbox, however much goes on in it."""

ORPHAN_WITHIN = 30.0
"""Seconds that the worker of a killed daemon gets to be gone; it takes a moment."""

LONGEST = 3600.0
"""Seconds that are slept at a stretch; longer waits overflow on some systems."""

PATIENCE = 10.0
"""How many times `quiet_s` the first look waits for files that keep changing."""


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
        if self.paused or self.stopped or self.waiting:
            return 75
        if self.failed:
            return 70
        return 65 if self.refused else 0


def once(
    settings: ServiceSettings, reporter: Reporter | None = None, executor: Executor | None = None
) -> Summary:
    """Take what lies in the inboxes, finish it, and leave.

    Files that still change are waited for, PATIENCE times `quiet_s` at most. Raises
    SettingsError, UnavailableError (another one is at work here), OutputError (the state folder
    cannot be written).
    """
    bell = Bell()
    with _started(settings, reporter or Reporter(), executor, bell) as line:
        deadline = time.monotonic() + PATIENCE * max(settings.quiet_s, AT_LEAST)
        line.look()
        while not line.settled and time.monotonic() < deadline and not bell.stopping:
            bell.wait(max(settings.quiet_s / 4, AT_LEAST))
            line.look()
        line.take()
        while not bell.stopping and (job := line.next(again=False)):
            line.paint(job, lambda: None)
        return _summary(line)


def watch(
    settings: ServiceSettings,
    reporter: Reporter | None = None,
    executor: Executor | None = None,
    bell: Bell | None = None,
) -> Summary:
    """Take and paint what comes, until told to stop; raises as `once` does."""
    bell = bell or Bell()
    reporter = reporter or Reporter()
    folders = [one.path for one in settings.inboxes]
    with (
        _started(settings, reporter, executor, bell) as line,
        Watcher(folders, settings.polling, bell.ring) as watcher,
    ):
        reporter.watching(folders)
        rounds = _Rounds(line, watcher, settings, bell)
        while not bell.stopping:
            rounds.look()
            if job := line.next():
                line.paint(job, rounds.look_if_due)
            else:
                rounds.rest()
        return _summary(line)


@dataclass
class _Rounds:
    """When to look, and how long to wait; `idle_since` is None once the worker was let go."""

    line: Line
    watcher: Watcher
    settings: ServiceSettings
    bell: Bell
    idle_since: float | None = None

    def look(self) -> None:
        """Look and take, a moment after the last look at the earliest."""
        time.sleep(max(0.0, AT_LEAST - self.line.looked_for()))
        self.watcher.check()
        self.line.look()
        self.line.take()

    def look_if_due(self) -> None:
        """Look while a job is being painted: something happened, or it is time."""
        if self.bell.wait(0) or self.line.looked_for() >= self._until_look():
            self.look()
        self.idle_since = time.monotonic()

    def rest(self) -> None:
        """Wait until something happens or it is time; an idle worker is let go meanwhile."""
        patience = self._until_look() - self.line.looked_for()
        if self.idle_since is not None:
            idle_for = time.monotonic() - self.idle_since
            if idle_for >= self.settings.idle_s:
                self.line.release()
                self.idle_since = None
            else:
                patience = min(patience, self.settings.idle_s - idle_for)
        self.bell.wait(min(patience, LONGEST))

    def _until_look(self) -> float:
        """Seconds between two looks as things stand."""
        interval = self.watcher.interval(self.settings.rescan_s)
        return (
            interval if self.line.settled else min(interval, max(self.settings.quiet_s, AT_LEAST))
        )


@contextmanager
def _started(
    settings: ServiceSettings, reporter: Reporter, executor: Executor | None, bell: Bell
) -> Iterator[Line]:
    """The line, ready to run: alone on its state folder, what was cut off taken up again."""
    settings.check()
    _check_default_style(settings)
    state = State(settings.state)
    try:
        state.make()
        for inbox in settings.inboxes:
            durable.make_folder(inbox.path)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be made: {error.strerror}") from error
    executor = executor or Local(state.worker_lock)
    with _alone(state), stops_on_signals(bell):
        for folder in state.tidy():
            reporter.left_alone(folder, "a job whose journal is damaged; its inputs are in there")
        line = Line(settings, state, executor, reporter, bell)
        try:
            yield line
        finally:
            executor.close()
            line.tell(leaving=True)


@contextmanager
def _alone(state: State) -> Iterator[None]:
    """Hold the state folder, once no worker of a killed daemon writes there any more."""
    try:
        with FileLock(state.lock, timeout=0):
            with FileLock(state.worker_lock, timeout=ORPHAN_WITHIN):
                pass
            yield
    except Timeout as error:
        raise UnavailableError(
            f"another stylewatch is at work with the state folder {state.root}: "
            "wait for it, or give this one a folder of its own with --state"
        ) from error


def _check_default_style(settings: ServiceSettings) -> None:
    wanted = settings.default_style
    if wanted is not None and not library(settings.styles, wanted):
        raise SettingsError(
            f"pairing.default_style is {wanted!r}, and there is no such picture in the style "
            f"library {settings.styles}"
        )


def _summary(line: Line) -> Summary:
    kinds: dict[str, tuple[Outcome, ...]] = {
        kind: tuple(one for one in line.outcomes.values() if one.kind == kind)
        for kind in ("done", "refused", "failed", "paused", "stopped")
    }
    trouble = [item for inbox in line.inboxes for item in inbox.trouble.items()]
    blocked = tuple(Outcome("paused", what, why, OutputError.exit_code) for what, why in trouble)
    return Summary(
        **{**kinds, "paused": (*kinds["paused"], *blocked)},
        waiting=line.unbegun(),
        incomplete=tuple(line.incomplete()),
    )
