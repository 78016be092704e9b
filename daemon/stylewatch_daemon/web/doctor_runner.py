"""Runs the checks of `doctor` in a child process when a visitor wants to see them."""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from time import monotonic

from stylewatch_daemon.base.child import Child, send
from stylewatch_daemon.base.model import now
from stylewatch_daemon.doctor.backends import Device, check_backend
from stylewatch_daemon.doctor.finding import Finding, problem
from stylewatch_daemon.settings.config import Config, service_settings

RECENT_S = 300.0
"""Seconds for which the last findings are shown, unless a visitor asks for new ones."""

AT_MOST_EVERY = 10.0
"""Seconds between two checks, whoever asks."""

TIMEOUT = 120.0
"""Seconds that the checks may take."""

VISITOR_TIMEOUT_S = 3.0
"""Seconds that a visitor waits for new findings; then the page shows the last ones."""

CHECK = "stylewatch_daemon.web.doctor_runner:check"


@dataclass(frozen=True)
class Report:
    """Findings, devices of the backend whose memory is known, and the time (UTC, ISO 8601)."""

    findings: tuple[Finding, ...]
    devices: tuple[Device, ...] = ()
    at: str = field(default_factory=now)


class DoctorRunner:
    """Runs the checks for `settings`; `clock` is monotonic, in seconds."""

    def __init__(self, settings: Config, clock: Callable[[], float] = monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._ended_at = -float("inf")
        self._run: asyncio.Task[None] | None = None
        self.latest: Report | None = None
        """The last report."""

    async def report(self, *, anew: bool = False) -> Report | None:
        """Return the new report if it comes before long, else the last one, if any.

        The checks begin unless they run, or ran lately; with `anew`, a moment ago.
        """
        wait = AT_MOST_EVERY if anew else RECENT_S
        is_running = self._run is not None and not self._run.done()
        if not is_running and self._clock() - self._ended_at >= wait:
            self._run = asyncio.create_task(self._check())
        if self._run is not None:
            await asyncio.wait({self._run}, timeout=VISITOR_TIMEOUT_S)
        return self.latest

    async def _check(self) -> None:
        try:
            child = Child(CHECK, self._settings, name="doctor", isolated=True)
            try:
                report = await asyncio.to_thread(lambda: child.receive(Report, timeout=TIMEOUT))
            finally:
                child.kill()
        except (EOFError, OSError, ValueError):
            words = "the checks did not finish: run `stylewatch doctor` for details"
            report = Report((problem("doctor", words, 70),))
        self._ended_at = self._clock()
        self.latest = report


def check(pipe: Connection, settings: Config) -> None:
    """In the child: send a Report for `settings`."""
    from stylewatch_daemon.doctor.diagnose import diagnose

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # backends are larger than the page
    name = settings.job.backend
    status = check_backend(name, settings.backends.get(name, {}))
    devices = tuple(device for device in status.devices if device.memory is not None)
    send(pipe, Report(tuple(diagnose(service_settings(settings, {}))), devices))
