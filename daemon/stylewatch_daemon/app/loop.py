"""The main loop: every step of all jobs, one after the other; each returns soon."""

import time
from collections.abc import Callable
from contextlib import suppress

from stylewatch_daemon.app.commands import Commands
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.app.status import InboxStatus, Running, Snapshot, StatusFiles
from stylewatch_daemon.base.errors import DamagedError, OutputError
from stylewatch_daemon.base.wakeup import Wakeup
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake.intake import Intake
from stylewatch_daemon.intake.watch import Watch
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.endings import Endings
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S, Jobs
from stylewatch_daemon.jobs.upkeep import Upkeep
from stylewatch_daemon.settings.config import ServiceSettings

MIN_INTERVAL = 0.2
"""Seconds between two scans at least, however much happens in an inbox."""

CLAIMING_INTERVAL = 3.0
"""Seconds between two scans at least while more pairs are to be claimed than can be at a time."""

MAX_WAIT = 3600.0
"""Seconds of one wait at most; longer ones overflow on some systems."""

START_FOR = 0.1
"""Seconds for which jobs are started before other work gets its turn."""

TEXT_EVERY = 5.0
"""Seconds between two updates of `_status.txt` while jobs make progress."""

NEWS_EVERY = 0.5
"""Seconds between two updates of the status while jobs come, start and end."""

ALIVE = "alive"
"""The file in the state folder that is touched before systemd gets its ping."""

PATIENCE = 10.0
"""Multiple of `quiet_s` for which a run with `--once` waits for files that keep changing."""

GROWING_PATIENCE = 3
"""Multiple of that time for which it waits for an incomplete picture that grows."""

SHORTAGE_S = 15.0
"""Seconds for which it waits if pictures cannot be inspected, or the ledger not written."""

LEAVE_WITHIN = 10.0
"""Seconds for which the ends of jobs may still be published when the daemon stops."""


class Loop:
    """Runs the parts of the daemon; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        jobs: Jobs,
        intake: Intake,
        attempts: Attempts,
        endings: Endings,
        commands: Commands,
        upkeep: Upkeep,
        status: StatusFiles,
        wakeup: Wakeup,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.jobs, self.intake, self.attempts, self.endings = jobs, intake, attempts, endings
        self.commands, self._upkeep, self._status = commands, upkeep, status
        self.wakeup, self._clock = wakeup, clock
        self._events_work = True
        self._seen_changes = -1
        self.apply_settings(jobs.settings)

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Continue with other `settings`, from the next job on."""
        self._settings = settings
        self.jobs.apply_settings(settings)
        self.attempts.apply_settings(settings)
        self.intake.apply_settings(settings)
        self._status.apply(settings.outboxes, settings.outbox.sharing)

    # -- watching

    def watch(
        self,
        watch: Watch,
        systemd: SystemdNotifier,
        reread: Callable[[], ServiceSettings | None],
    ) -> ServiceSettings | None:
        """Run jobs until told to stop (returns None), or until there are new settings."""
        wakeup = self.wakeup
        wakeup.scan_requested = True
        while not wakeup.stopping:
            if wakeup.reloading:
                wakeup.reloading = False
                if (new := reread()) is not None:
                    return new
            self.round()
            if self._scan_in(watch) <= 0:
                self._scan(watch)
            self.update_status()
            self._notify(systemd)
            if self.commands.draining and not self.attempts.running and not self.endings.in_work:
                wakeup.stop()
                break
            wakeup.wait(self._seconds_to_wait(watch, systemd))
        self.stop(lambda: self._extend_stop(systemd))
        return None

    def round(self, retry: bool = True) -> None:
        """Act on everything that happened, and start what can be started.

        Without `retry` jobs that had to wait for something outside the daemon wait on.
        """
        try:
            self.commands.act()
            self.attempts.follow()
            self.jobs.commit()
            self.jobs.repeat(retry)
            self._start_jobs(retry)  # workers get new jobs before their last ones are published
            self.intake.claim()
            if self.jobs.commit():
                self.wakeup.wake()  # a job may be queued now that can start
        except DamagedError:
            raise
        except OutputError as error:  # the ledger cannot even be read
            self.jobs.note_trouble(error)

    def _start_jobs(self, retry: bool) -> None:
        """Start jobs on free workers for START_FOR seconds."""
        until = self._clock() + START_FOR
        while self.attempts.free > 0 and not (self.commands.holds or self.jobs.trouble):
            job = self.jobs.next(retry)
            if job is None:
                return
            self.attempts.begin(job)
            self.jobs.commit()
            if self._clock() >= until:
                self.wakeup.wake()
                return

    def _scan(self, watch: Watch) -> None:
        """Scan the inboxes, and claim the pairs that are complete."""
        self.wakeup.scan_requested = False
        watch.check()
        self._events_work = watch.works
        self.scan()
        self.round()

    def scan(self) -> None:
        """Scan the inboxes, find pairs, and do what is due once a day."""
        self.intake.scan()
        self.intake.find_pairs()
        self.jobs.reporter.scanned(self.intake.scan_seconds)
        self._upkeep.go()

    def _scan_in(self, watch: Watch) -> float:
        """Return the seconds until the next scan as things are; most time is for other work."""
        settings, took = self._settings.watch, self.intake.scan_seconds
        interval = watch.seconds_between_scans(settings.rescan_s, took)
        if not self.intake.stable:
            interval = min(interval, max(settings.quiet_s, MIN_INTERVAL))
        if self.wakeup.scan_requested:
            interval = MIN_INTERVAL
        # each claim brings events, and a scan shows the same pairs again
        least = CLAIMING_INTERVAL if self.intake.has_more else MIN_INTERVAL
        shortest = max(least, watch.seconds_between_scans(0, took))
        return max(interval, shortest) - self.intake.since_scan

    def _seconds_to_wait(self, watch: Watch, systemd: SystemdNotifier) -> float:
        """Return the seconds until something is due."""
        seconds = [self._scan_in(watch), systemd.ping_every or MAX_WAIT, MAX_WAIT]
        if (job_due := self.jobs.waits.soonest()) is not None:
            seconds.append(job_due)
        if self.jobs.trouble:
            seconds.append(LEDGER_RETRY_S)
        if self.attempts.running or self._has_news:
            seconds.append(NEWS_EVERY)
        return max(0.0, min(seconds))

    def _notify(self, systemd: SystemdNotifier) -> None:
        """Send systemd a ping, if the state folder answers.

        An error of the folder is an answer: a full disk is reported, and a restart would not help.
        """
        if systemd.ping_due():
            with suppress(OSError):
                (self._settings.state.path / ALIVE).touch()
            systemd.ping()
        systemd.status(self.summary)

    def _extend_stop(self, systemd: SystemdNotifier) -> None:
        self.commands.act()
        systemd.stopping()  # a checkpoint may take some time

    def stop(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let all workers keep a checkpoint and stop; publish the ends that are decided.

        `meanwhile` is called again and again.
        """
        since = self._clock()
        self.attempts.stop_workers()
        while self.attempts.in_work or self.endings.in_work:
            if self.attempts.in_work:
                since = self._clock()
            elif self._clock() - since > LEAVE_WITHIN:
                return
            meanwhile()
            self.wakeup.wait(NEWS_EVERY)
            self.attempts.stop_workers()
            self.attempts.follow()
            self.jobs.commit()

    # -- once

    def run_once(self, quiet_s: float, patience: float) -> None:
        """Process the inboxes until nothing is left, or what is left keeps changing.

        `patience` is the time in seconds that changing files are waited for since a job last ended.
        """
        since = self._clock()
        while not self.wakeup.stopping:
            self.intake.scan()
            waited = self._clock() - since
            if self.intake.stable or waited >= patience:
                before = self.jobs.changes
                self.intake.find_pairs()
                self._finish_all()
                if self.jobs.changes != before:
                    since = self._clock()
                    continue
                longest = patience * (GROWING_PATIENCE if self.intake.awaits_rest else 1)
                if self.intake.is_final or waited >= longest:
                    return
            self.wakeup.wait(max(quiet_s / 4, MIN_INTERVAL))

    def _finish_all(self) -> None:
        """Claim the pairs and run all jobs; wait for inspection, and for jobs that crashed."""
        short_since: float | None = None
        while not self.wakeup.stopping:
            self.round(retry=False)
            self.update_status()
            now = self._clock()
            trouble = self.intake.trouble or self.jobs.trouble
            short_since = (short_since or now) if trouble else None
            is_short = now - (short_since or now) >= SHORTAGE_S
            crashed = None if self.commands.holds else self.jobs.waits.crashed.soonest()
            is_idle = not self._in_work and (is_short or not self.intake.is_claiming)
            if is_idle and crashed is None and self._nothing_to_start:
                return
            self.wakeup.wait(NEWS_EVERY if crashed is None else min(crashed, NEWS_EVERY))
        self.stop()

    @property
    def _in_work(self) -> bool:
        """True while workers or the mover are at work, apart from claiming."""
        parts = (self.attempts, self.endings, self.commands, self._upkeep)
        return any(part.in_work for part in parts)

    @property
    def _nothing_to_start(self) -> bool:
        return bool(self.commands.holds or self.jobs.trouble) or self.jobs.next(False) is None

    # -- status

    @property
    def _has_news(self) -> bool:
        return self.jobs.changes != self._seen_changes or self.commands.has_news

    @property
    def summary(self) -> str:
        """Current work of the daemon, in one line."""
        titles = [worker.title for worker in self.attempts.running.values()]
        more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
        return f"painting {shown(titles[0])}{more}" if titles else "nothing to paint"

    @property
    def blocked(self) -> dict[str, str]:
        """What waits for something outside the daemon, with the reason; inboxes have their own."""
        waiting = {
            self.jobs.title(job_id): live.reason
            for job_id, live in self.jobs.live.items()
            if live.reason
        }
        ledger = {"the ledger": self.jobs.trouble} if self.jobs.trouble else {}
        return {**waiting, **self.intake.trouble, **ledger}

    def update_status(self, leaving: bool = False) -> None:
        """Update the status files, if it is time."""
        is_resting = not (self.attempts.running or self.intake.is_claiming)
        if leaving or (self._has_news and (is_resting or self._status.due(NEWS_EVERY))):
            self._seen_changes, self.commands.has_news = self.jobs.changes, False
            self._status.update(self._snapshot(leaving), self.jobs.ledger)
        elif self.attempts.running and self._status.due(TEXT_EVERY):
            self._status.update(self._snapshot(leaving), self.jobs.ledger)
        elif self._status.publish_due():
            self._status.publish(self._snapshot(leaving), self.jobs.ledger)

    def _snapshot(self, leaving: bool) -> Snapshot:
        running = {
            job_id: (worker.outbox.root, Running(
                worker.title, worker.step, worker.steps, worker.loss, worker.size,
                worker.seconds_left, worker.device, job_id, worker.unit,
            ))
            for job_id, worker in self.attempts.running.items()
        }  # fmt: skip
        inboxes = [
            InboxStatus(inbox.path, inbox.outbox, inbox.incomplete, inbox.trouble, inbox.notes)
            for inbox in self.intake.inboxes
        ]
        return Snapshot(
            inboxes,
            running,
            self.blocked,
            paused=bool(self.commands.pause),
            leaving=leaving,
            events=self._events_work,
        )
