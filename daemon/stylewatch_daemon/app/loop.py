"""The main loop, which carries out the steps of all jobs in turn; no step takes long."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from stylewatch_daemon.app.commands import Commands
from stylewatch_daemon.app.hooks import HookRunner
from stylewatch_daemon.app.learner import Learner
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.app.settings_file import LOOK_EVERY, SettingsFile
from stylewatch_daemon.app.status import Snapshot, StatusFiles
from stylewatch_daemon.app.tries import Tries
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import DamagedError, LedgerError, OutputError, ShortageError
from stylewatch_daemon.base.wakeup import Intent, Wakeup
from stylewatch_daemon.client.condition import DRAINING, PAUSED, outside_hours
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.intake import Intake
from stylewatch_daemon.intake.watch import Watch
from stylewatch_daemon.jobs import recovery
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.endings import Endings
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S, Jobs
from stylewatch_daemon.jobs.upkeep import Upkeep
from stylewatch_daemon.jobs.wall_clock import WallClock
from stylewatch_daemon.worker.messages import AttemptRequest

MIN_INTERVAL = 0.2
"""Minimum interval in seconds between scans, however much happens in an inbox."""

NEWS_EVERY = 0.5
"""Maximum length in seconds of a wait while a job runs, a try is open, or the status needs an
update."""

ALIVE = "alive"
"""Name of the file in the state folder that is touched before each ping to systemd."""

PATIENCE = 10.0
"""Multiple of `quiet_s` for which a run with `--once` waits for files that keep changing, and for
folders that do not answer."""

LEAVE_WITHIN = 4.0
"""Timeout in seconds for each of two waits when the daemon stops: for an outbox in which a worker
stops, and for the ends of jobs. Both, with the wait for the lanes, take at most ten seconds if
folders do not answer (law 9)."""


class AtEnd(Protocol):
    """Function that the main loop calls once, at its end."""

    def __call__(self, *, keeps: bool) -> object:
        """Begin to stop; with `keeps`, keep what the next daemon of this process can use."""


def do_nothing_at_end(*, keeps: bool) -> None:
    """Do nothing at the end of the main loop."""


class _Farewell:
    """Announcement, to systemd and by `at_end`, that the daemon stops or starts anew.

    Call it repeatedly while everything stops, because a signal to stop for good may come until the
    process is replaced. As soon as the daemon stops for good, `at_end` is called, so that the page
    stops early.
    """

    def __init__(self, wakeup: Wakeup, systemd: SystemdNotifier, at_end: AtEnd) -> None:
        self._wakeup = wakeup
        self._systemd = systemd
        self._at_end = at_end
        self._is_said = False

    def __call__(self) -> None:
        """Announce a stop for good; if the daemon is to start anew, only ping systemd."""
        if self._wakeup.intent is Intent.RESTART:
            self._systemd.ping()
        else:
            self._systemd.stopping()
            self._say(keeps=False)

    def say_last(self) -> None:
        """Call `at_end`, unless it was called; nothing delays the stop or the restart any more."""
        self._say(keeps=self._wakeup.intent is Intent.RESTART)

    def _say(self, *, keeps: bool) -> None:
        if not self._is_said:
            self._is_said = True
            self._at_end(keeps=keeps)


class Loop:
    """The main loop and the parts of the daemon, which continue the existing `jobs`.

    `clock` is monotonic, in seconds.
    """

    _events_work = True
    """False if the last scan began while an inbox reports no events of its files."""

    def __init__(
        self,
        jobs: Jobs,
        executor: Executor,
        inspector: Inspector,
        wakeup: Wakeup,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: WallClock | None = None,
        received: Handover | None = None,
    ) -> None:
        received = received or Handover()
        self.jobs = jobs
        self.wakeup = wakeup
        self._clock = clock
        lanes = self._lanes = jobs.lanes
        self.attempts = Attempts(jobs, executor, lambda: wakeup.stopping, self._may_begin)
        self.tries = Tries(jobs, self.attempts, executor, self._may_begin, clock)
        self.learner = Learner(
            jobs, self.attempts, self._may_begin, self._must_end, wakeup.post, clock
        )
        self.intake = Intake(jobs, lanes, inspector, clock)
        wall_clock = self._wall_clock = wall_clock or WallClock()
        wall_clock.restore(jobs.ledger.sight())
        self.endings = Endings(jobs, self.intake.release, wall_clock, clock)
        with shortages.translated("jobs cannot be continued"):
            self.intake.recover()
            recovery.recover(jobs)
            self.commands = Commands(jobs, self.intake.release, self.tries.ask, received)
            self.hooks = HookRunner(jobs, wakeup.post, received.hook)
        jobs.note_mounts()
        self.endings.sweep()
        self._upkeep = Upkeep(jobs, wall_clock)
        self._status = StatusFiles(jobs, lanes, clock)
        self._opens: datetime | None = None
        """Time at which the hours for jobs begin next; None: jobs may run now."""
        self._tidied_at = clock()
        """When the state folder and the outboxes were last tidied up, by `clock`."""
        self._seen_changes = -1
        self._deferred: list[Callable[[], object]] = []
        """Posted calls that met an error of the ledger, to be made again."""
        self._file: SettingsFile | None = None
        wakeup.guard = self._guarded

    @contextmanager
    def _ledger_may_fail(self) -> Iterator[None]:
        """Record an OutputError of the block as trouble with the ledger; pass a DamagedError on."""
        try:
            yield
        except DamagedError:
            raise
        except (OutputError, ShortageError) as error:
            self.jobs.note_trouble(error)

    def _guarded(self, call: Callable[[], object]) -> None:
        """Make a posted call; its errors do not end the daemon, except that of a damaged ledger.

        After any other error of the ledger, the call is made again later; all other errors are
        logged.
        """
        try:
            call()
        except DamagedError:
            raise
        except LedgerError as error:
            self._deferred.append(call)
            self.jobs.note_trouble(error)
        except Exception:
            logging.getLogger(__name__).exception("a fault of stylewatch; please report it")

    # -- watching

    def watch(
        self,
        watch: Watch,
        systemd: SystemdNotifier,
        file: SettingsFile | None = None,
        at_end: AtEnd = do_nothing_at_end,
    ) -> None:
        """Run jobs until told to stop, or to start anew with the settings in `file`.

        `watch` has the file events, `systemd` gets the status. `at_end` is called once: as soon as
        the daemon is told to stop for good, or with `keeps` once nothing prevents a restart. If a
        folder does not answer, the daemon does not restart: jobs go on with the earlier settings.
        """
        wakeup = self.wakeup
        self._file = file
        for inbox in self.intake.inboxes:
            inbox.check_events = watch.check
        farewell = _Farewell(wakeup, systemd, at_end)
        while True:
            self._work(watch, systemd)
            farewell()
            self.stop(farewell)
            if wakeup.intent is Intent.RESTART:
                self._leave_outboxes()
                if not self._lanes.rest(lambda: wakeup.intent is Intent.RESTART):
                    self._stay(systemd)
                    continue
            farewell.say_last()
            return

    def _work(self, watch: Watch, systemd: SystemdNotifier) -> None:
        """Run rounds, scans and updates of the status in turn until told to stop."""
        wakeup = self.wakeup
        while not wakeup.stopping:
            self._look_at_settings(systemd)
            if wakeup.stopping:
                break
            self.round()
            self._scan_due(watch)
            self.update_status()
            self._notify(systemd)
            if self._is_drained:
                wakeup.stop()
                break
            wakeup.wait(self._seconds_to_wait(watch, systemd))

    def _stay(self, systemd: SystemdNotifier) -> None:
        """Go on with the settings in force, because a folder does not answer; try again later."""
        self.wakeup.stay()
        if self._file is not None:
            self._file.ask()
            self._wait_for(self._file, self._lanes.silent(0.0))
        systemd.ready()

    def _wait_for(self, file: SettingsFile, silent: Iterable[Path]) -> None:
        folders = ", ".join(map(shown, silent)) or "a folder"
        file.wait(f"new settings wait until {folders} answers: else stop stylewatch, start it")

    @property
    def _is_drained(self) -> bool:
        """True if the daemon was asked to drain, and all work that has begun is done."""
        if not self.commands.draining or self.attempts.running or self.endings.in_work:
            return False
        return bool(self.jobs.trouble) or not self.hooks.in_work

    def _look_at_settings(self, systemd: SystemdNotifier) -> None:
        """Begin a restart if there are new settings, or if a signal has asked for a restart.

        The restart waits until all folders answer: the kernel replaces the process only when the
        threads that work in a folder have ended. A daemon that drains does not restart.
        """
        file = self._file
        wakeup = self.wakeup
        is_asked = wakeup.reloading
        wakeup.reloading = False
        if file is None or self.commands.draining:
            return
        if is_asked:
            file.ask()
        file.follow(self._lanes)
        if not file.is_read:
            return
        silent = self._lanes.silent()
        if silent and not file.is_wrong:
            self._wait_for(file, silent)
            return
        systemd.reloading()
        if file.accept():
            wakeup.restart()
        else:
            systemd.ready()

    def round(self, retry: bool = True) -> None:
        """Act on everything that has happened, and start jobs and hooks that can run now.

        Without `retry`, jobs that have been blocked continue to wait.
        """
        with self._ledger_may_fail():
            self.jobs.check_state()
            if self.commands.act():
                self.wakeup.wake()  # more requests wait than a round has time for
            self._follow()
            self._keep_hours()
            self.jobs.repeat(retry)
            self.tries.go_on()
            self.learner.go_on()
            self._start_jobs(retry)  # give workers new jobs before their last ones are published
            self.intake.claim()
            if self.jobs.commit():
                self.wakeup.wake()  # a queued job may be able to start now
            if not self.jobs.trouble:
                self.hooks.go_on()

    def _follow(self) -> None:
        """Make the deferred calls, unless the ledger has trouble; act on reports of workers."""
        if not self.jobs.trouble:
            deferred = self._deferred
            self._deferred = []
            for call in deferred:
                self._guarded(call)
        self.tries.follow(self.attempts.follow())
        self.jobs.commit()

    def _may_begin(self) -> bool:
        """Return whether jobs may begin now."""
        return not (self.wakeup.stopping or self.held or self.jobs.trouble)

    def _must_end(self) -> bool:
        """Return whether a training must end: the daemon stops, or `held` lets no job start."""
        return self.wakeup.stopping or bool(self.held)

    @property
    def held(self) -> str:
        """Why no job may start now: a request, or `executor.hours`; empty if jobs may start."""
        if self.commands.draining:
            return DRAINING.sentence
        if self.commands.paused:
            return PAUSED.sentence
        return "" if self._opens is None else outside_hours(self._opens)

    def _keep_hours(self) -> None:
        """Make running jobs write a checkpoint and wait outside of `executor.hours`.

        The begin and the end of the hours are reported. Jobs that are being canceled or finished go
        on.
        """
        opens = self.jobs.settings.executor.opens(self._wall_clock.local())
        if opens != self._opens:
            self._opens = opens
            self.jobs.reporter.requested(
                "Within executor.hours: jobs run." if opens is None else outside_hours(opens)
            )
        if opens is not None:
            spared = (AttemptRequest.CANCEL, AttemptRequest.FINISH)
            self.attempts.stop_workers("the hours in executor.hours ended", but=spared)

    def _start_jobs(self, retry: bool) -> None:
        """Begin a job for each free worker, while jobs may begin.

        If a job fails to start, the next round tries another one.
        """
        for _ in range(self.attempts.free):
            if not self._may_begin():
                return
            job = self.jobs.next(retry)
            if job is None:
                return
            self.attempts.begin(job)

    def scan(self) -> None:
        """Begin a scan of all inboxes, tidy up, and run the daily upkeep if it is due."""
        with self._ledger_may_fail():
            self.jobs.state.tidy()
            self.endings.sweep()
            self.intake.scan()
            self._upkeep.go()

    def _scan_due(self, watch: Watch) -> None:
        """Do the same as `scan`, but only for the inboxes that are due.

        If none is due for `rescan_s`, as while an inbox does not answer, the rest is done alone.
        """
        due = [inbox for inbox in self.intake.inboxes if self._scan_in(inbox, watch) <= 0]
        since = self._clock() - self._tidied_at
        if not due and since < self.jobs.settings.watch.rescan_s:
            return
        self._tidied_at = self._clock()
        self.jobs.state.tidy()
        self.endings.sweep()
        with self._ledger_may_fail():
            if due:
                self.wakeup.scan_requested = False
                self._events_work = all(watch.works(inbox.path) for inbox in self.intake.inboxes)
                self.intake.scan(due)
            self._upkeep.go()

    def _scan_in(self, inbox: Inbox, watch: Watch) -> float:
        """Return the seconds until the next scan of `inbox`, 0 or less if it is due.

        The result is NEWS_EVERY while the lane scans the inbox or checks its pairs. The interval is
        at least a multiple of the duration of the last scan, so that most time is left for other
        work.
        """
        if inbox.is_busy:
            return NEWS_EVERY
        settings = self.jobs.settings.watch
        took = inbox.last.seconds
        interval = watch.seconds_between_scans(inbox.path, settings.rescan_s, took)
        if not inbox.last.is_stable:
            interval = min(interval, max(settings.quiet_s, MIN_INTERVAL))
        if self.wakeup.scan_requested:
            interval = MIN_INTERVAL
        shortest = max(MIN_INTERVAL, watch.seconds_between_scans(inbox.path, 0, took))
        return max(interval, shortest) - (self._clock() - inbox.scanned_at)

    def _seconds_to_wait(self, watch: Watch, systemd: SystemdNotifier) -> float:
        """Return the seconds until something is due, 0 if something is due now."""
        is_busy = bool(self.attempts.running) or self._has_news or self.tries.is_open
        is_busy = is_busy or self.learner.in_work
        due = [
            *(self._scan_in(inbox, watch) for inbox in self.intake.inboxes),
            LOOK_EVERY,
            systemd.ping_every,
            self.jobs.waits.soonest(),
            self.intake.kept.hash_in,
            LEDGER_RETRY_S if self.jobs.trouble else None,
            NEWS_EVERY if is_busy else None,
        ]
        return max(0.0, min(seconds for seconds in due if seconds is not None))

    def _notify(self, systemd: SystemdNotifier) -> None:
        """Send systemd the status and, if one is due, a ping once the state folder responds.

        An error of the folder counts as a response: a full disk is reported elsewhere, and a
        restart would not help.
        """
        if systemd.ping_due():
            entries.attempt_touch(self.jobs.state.root / ALIVE)
            systemd.ping()
        systemd.status(self.summary)

    def stop(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Make all workers save a checkpoint and stop, and publish the ends that are decided.

        Then run the hooks that wait, unless the daemon starts anew. `meanwhile` is called
        repeatedly, because a checkpoint may take some time. A worker whose outbox does not answer
        is abandoned after LEAVE_WITHIN seconds, and so is an end that cannot be published or
        recorded.
        """
        since = self._clock()
        with self._ledger_may_fail():
            self._status.update(self._snapshot(leaving=False))
        self.tries.end()
        self.learner.end()
        self.attempts.stop_workers()
        while True:
            meanwhile()
            with self._ledger_may_fail():
                self.commands.act(drains=self.wakeup.intent is not Intent.RESTART)
                self.attempts.stop_workers()
                self._follow()
            if self.attempts.are_at_work(self._lanes.silent(LEAVE_WITHIN)):
                since = self._clock()
            is_recording = bool(self.attempts.running) and not self.jobs.trouble
            is_done = not (is_recording or self.endings.in_work)
            if is_done or self._clock() - since > LEAVE_WITHIN:
                break
            self.wakeup.wait(NEWS_EVERY)
        self.attempts.leave()
        if self.wakeup.intent is not Intent.RESTART:
            self._finish_hooks(meanwhile)

    def _finish_hooks(self, meanwhile: Callable[[], object]) -> None:
        """Run the hooks that wait, for `hooks.timeout_s` in total; then kill the one that runs.

        The next start runs the others.
        """
        until = self._clock() + self.jobs.settings.hooks.timeout_s
        with self._ledger_may_fail():
            while self.hooks.in_work and self._clock() < until and not self.jobs.trouble:
                meanwhile()
                self.hooks.go_on()
                self.wakeup.wait(NEWS_EVERY)
        if self.hooks.is_running:
            self.hooks.kill()
            self.wakeup.wait(NEWS_EVERY)

    # -- once

    def run_once(self, quiet_s: float, patience: float) -> None:
        """Process the inboxes until nothing can be done any more, or told to stop; then stop.

        The inboxes are scanned only while nothing else happens, with pauses of a quarter of
        `quiet_s`, in seconds. After the last change of a job the run waits at most `patience`
        seconds for files that keep changing, for programs that may write to inputs of jobs that
        have ended, and for folders that do not answer. Time in which work still gives signs of
        life, such as the scan of a slow share, does not count.
        """
        since = self._clock()
        waited = 0.0
        changes = self.jobs.changes
        pause = max(quiet_s / 4, MIN_INTERVAL)
        while not self.wakeup.stopping:
            self.round(retry=False)
            self.update_status()
            if self.jobs.changes != changes:
                since = self._clock()
                waited = 0.0
                changes = self.jobs.changes
            is_idle = self._is_idle
            is_waiting = is_idle or self._is_stuck
            if is_waiting:
                is_done = is_idle and self.intake.is_final and not self.endings.awaits_writers
                is_final = is_done or waited >= patience
                if is_final and self._scanned_at >= since:
                    break
                if self._clock() - self._scanned_at >= pause:
                    self.scan()
                    self.endings.look_at_writers()
            began = self._clock()
            self.wakeup.wait(min(pause, NEWS_EVERY))
            waited += self._clock() - began if is_waiting else 0.0
        self.stop()

    @property
    def _is_idle(self) -> bool:
        """True if no work is under way, and no job can begin, because all that wait are blocked.

        A job that waits after a crash will begin by itself, so it counts as work. While the ledger
        cannot be used, or `held` has a reason, no job can begin.
        """
        if self.attempts.are_at_work() or self.endings.in_work or self._upkeep.in_work:
            return False
        if self.jobs.trouble:
            return True
        if self.attempts.is_busy or self.commands.in_work or self.intake.is_claiming:
            return False
        if self.hooks.in_work or (self.learner.in_work and not self.held):
            return False
        if self.held:
            return True
        return self.jobs.next(retry=False) is None and not self.jobs.waits.awaits_crashed

    @property
    def _is_stuck(self) -> bool:
        """True if a folder does not answer, and no worker has anything to do.

        Other inboxes are scanned meanwhile (law 9).
        """
        return bool(self._lanes.silent()) and not self.attempts.are_at_work()

    @property
    def _scanned_at(self) -> float:
        """Time since which each inbox that answers has been scanned; now if none answers."""
        silent = self._lanes.silent()
        answering = (inbox for inbox in self.intake.inboxes if inbox.path not in silent)
        return min((inbox.scanned_at for inbox in answering), default=self._clock())

    # -- status

    @property
    def _has_news(self) -> bool:
        return self.jobs.changes != self._seen_changes

    @property
    def summary(self) -> str:
        """Current work of the daemon in one line: the job that is painted, or its condition."""
        titles = [worker.title for worker in self.attempts.running.values()]
        if self._status.condition.color == "amber" or not titles:
            return self._status.condition.sentence
        more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
        return f"painting {shown(titles[0])}{more}"

    @property
    def blocked(self) -> dict[str, str]:
        """The reasons why jobs, requests, the settings or the ledger wait, by name.

        They wait for something outside the daemon, such as a folder that does not answer; each such
        folder is an entry, too.
        """
        waiting = {
            self.jobs.title(job_id): live.doing.reason
            for job_id, live in self.jobs.live.items()
            if live.doing.reason
            and self.jobs.waits.knows(live.doing.obstacle)
            and not self.learner.is_awaited(job_id)
        }
        ledger = {"the ledger": self.jobs.trouble} if self.jobs.trouble else {}
        file = self._file
        settings = {"the settings": file.trouble} if file is not None and file.trouble else {}
        silent = {
            shown(folder): f"it has not answered for {seconds:.0f} s; what needs it waits"
            for folder, seconds in self._lanes.silent().items()
        }
        return {**silent, **settings, **waiting, **self.commands.trouble, **ledger}

    def update_status(self, leaving: bool = False) -> None:
        """Update the status files if that is due, if the daemon is `leaving`, or if there is news.

        While a job runs or is being claimed, news waits until an update is due.
        """
        has_news = leaving or self._has_news
        is_resting = not (self.attempts.running or self.intake.is_claiming)
        if not ((has_news and is_resting) or leaving or self._status.due):
            return
        with self._ledger_may_fail():
            self._status.update(self._snapshot(leaving), has_news=has_news)
            self._seen_changes = self.jobs.changes

    def _leave_outboxes(self) -> None:
        """Write a last status into the outboxes that the new settings no longer have."""
        new = None if self._file is None else self._file.accepted
        if new is not None:
            with self._ledger_may_fail():
                left = {*self.jobs.settings.outboxes} - {*new.outboxes}
                self._status.leave(self._snapshot(leaving=True), left)

    def _snapshot(self, leaving: bool) -> Snapshot:
        return Snapshot(
            self.intake.inboxes,
            self.attempts.running,
            self.blocked,
            paused=self.commands.paused,
            trying=self.tries.in_work,
            learning=self.learner.told,
            draining=self.commands.draining and not leaving,
            stopping=self.wakeup.stopping,
            restarting=self.wakeup.intent is Intent.RESTART and not leaving,
            leaving=leaving,
            opens=self._opens,
            old_settings=self._file is not None and bool(self._file.trouble),
            events=self._events_work,
        )
