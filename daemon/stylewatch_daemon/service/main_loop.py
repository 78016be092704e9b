"""The two main loops of the daemon: watch inboxes until told to stop, or process them once."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.outbox.status_json import AT_MOST_EVERY
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.service.monitoring import SystemdNotifier
from stylewatch_daemon.service.pipeline import STATUS_EVERY, Pipeline
from stylewatch_daemon.settings.config import ServiceSettings

MIN_INTERVAL = 0.2
"""Seconds between two scans at least, however much happens in an inbox."""

SHARE = 5.0
"""At least so many times the duration of the last scan is left to other work before the next."""

LONGEST = 3600.0
"""Seconds of one wait at most; longer ones overflow on some systems."""

SIGN = "alive"
"""The file in the state folder that is touched before systemd gets its ping."""

PATIENCE = 10.0
"""How many times `quiet_s` a run with `--once` waits for files that keep changing."""

SHORTAGE_S = 15.0
"""Seconds that a run with `--once` waits where pictures cannot be inspected."""

GROWS = 3
"""How many times as long such a run waits for a truncated picture that grows."""


@dataclass(frozen=True, eq=False, repr=False)
class MainLoop:
    """The loop that watches inboxes, by `settings`.

    `reread` reads the settings again, when asked for; it returns None where they are wrong.
    """

    pipeline: Pipeline
    watcher: Watcher
    settings: ServiceSettings
    wakeup: Wakeup
    systemd: SystemdNotifier
    reread: Callable[[], ServiceSettings | None]

    def run(self) -> ServiceSettings | None:
        """Run jobs until told to stop (returns None), or until there are new settings."""
        pipeline, wakeup = self.pipeline, self.wakeup
        wakeup.scan_requested = True
        pipeline.handle_worker_events()
        while not wakeup.stopping:
            # 1. Requests: commands, a reload, drain.
            pipeline.control.act()
            if wakeup.reloading:
                wakeup.reloading = False
                if (new := self.reread()) is not None:
                    return new
            self._notify_systemd()
            if self._is_drained:
                wakeup.stop()
                break
            # 2. Jobs: workers get new ones before their last ones are finished.
            more = pipeline.start_jobs()
            more = pipeline.finish_jobs() or more
            # 3. Inboxes.
            if pipeline.ingest.since_scan >= self._until_scan():
                self._scan()
            more = pipeline.claim() or more
            # 4. Status, and wait if there is nothing to do.
            pipeline.update_status_if_changed(resting=not more)
            if not more and not self._is_drained:
                self._wait()
            pipeline.handle_worker_events()

        def extend_stop() -> None:  # a checkpoint may take some time
            pipeline.control.act()
            self._notify_systemd()
            self.systemd.stopping()

        pipeline.stop_workers(extend_stop)
        return None

    @property
    def _is_drained(self) -> bool:
        """True if all jobs that had to finish before the daemon stops are finished."""
        return self.pipeline.control.draining and not self.pipeline.busy

    def _scan(self) -> None:
        """Scan the inboxes, and enter the pairs that are complete."""
        pipeline, watcher = self.pipeline, self.watcher
        self.wakeup.scan_requested = False
        watcher.check()
        for _ in range(watcher.take_lost()):
            pipeline.reporter.events_lost()
        pipeline.scan()
        if watcher.follow(pipeline.ingest.folders):
            self.wakeup.request_scan()  # events in a new folder were missed
        pipeline.status.note_file_events(watcher.threads_alive, watcher.polled)
        pipeline.enter()
        pipeline.control.act()  # a request may have waited for files to settle

    def _wait(self) -> None:
        """Wait until something happens, or until a scan or a job is due."""
        pipeline = self.pipeline
        pipeline.publish_status(at_once=not pipeline.busy)
        seconds = self._until_scan() - pipeline.ingest.since_scan
        job_due = pipeline.queue.soonest()
        if job_due is not None:
            seconds = min(seconds, job_due)
        if pipeline.busy:
            seconds = min(seconds, AT_MOST_EVERY)
        self.wakeup.wait(min(seconds, self.systemd.ping_every or LONGEST))

    def _until_scan(self) -> float:
        """Return the seconds between two scans as things are; most time is for other work."""
        shortest = max(MIN_INTERVAL, SHARE * self.pipeline.ingest.scan_seconds)
        if self.wakeup.scan_requested:
            return shortest
        interval = self.watcher.interval(self.settings.watch.rescan_s)
        if not self.pipeline.ingest.settled:
            interval = min(interval, max(self.settings.watch.quiet_s, MIN_INTERVAL))
        return max(interval, shortest)

    def _notify_systemd(self) -> None:
        """Send systemd the status, and a ping where events come in and the state folder answers.

        An error of the folder is an answer: a full disk is reported, and a restart would not help.
        Hung workers are ended by the daemon itself.
        """
        self.systemd.status(self.pipeline.summary)
        if not self.systemd.ping_due():
            return
        if self.watcher.check():
            self.wakeup.request_scan()  # events were missed meanwhile
        with suppress(OSError):
            (self.settings.state.path / SIGN).touch()
        if self.watcher.threads_alive:
            self.systemd.ping()


def run_once(pipeline: Pipeline, wakeup: Wakeup, quiet_s: float, patience: float) -> None:
    """Process the inboxes until nothing is left, or what is left keeps changing.

    `patience` is the time in seconds that changing files are waited for since a job last ended.
    """
    since, ended = time.monotonic(), pipeline.ended
    while not wakeup.stopping:
        pipeline.scan()
        waited = time.monotonic() - since
        if pipeline.ingest.settled or waited >= patience:
            pipeline.enter()
            _finish_claimed(pipeline, wakeup)
            if pipeline.ended != ended:
                since, ended = time.monotonic(), pipeline.ended
                continue
            longest = patience * (GROWS if pipeline.ingest.awaits_rest else 1)
            if pipeline.ingest.is_final or waited >= longest:
                return
        wakeup.wait(max(quiet_s / 4, MIN_INTERVAL))


def _finish_claimed(pipeline: Pipeline, wakeup: Wakeup) -> None:
    """Claim what was entered and run all jobs; wait for inspection, and for jobs that crashed."""
    short_since: float | None = None
    while not wakeup.stopping:
        pipeline.control.act()
        pipeline.handle_worker_events()
        # Asked before `start_jobs`, which may be a moment too early for a job that is almost due.
        retry_in = None if pipeline.control.holds else pipeline.queue.seconds_to_retry()
        more = pipeline.start_jobs(retry=False)
        more = pipeline.finish_jobs() or more
        more = pipeline.claim() or more
        pipeline.update_status_if_changed(resting=not more)
        if not more:
            now = time.monotonic()
            short_since = (short_since or now) if pipeline.ingest.trouble else None
            is_inspecting = (
                pipeline.ingest.is_inspecting and now - (short_since or now) < SHORTAGE_S
            )
            if not (pipeline.busy or is_inspecting) and retry_in is None:
                return
            wakeup.wait(STATUS_EVERY if retry_in is None else retry_in)
    pipeline.stop_workers()
