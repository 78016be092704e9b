"""Runs the checks of `doctor` in a child process when a visitor wants to see them."""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from time import monotonic

from stylewatch_daemon.doctor.finding import Finding, mend
from stylewatch_daemon.processes.child import Child, send
from stylewatch_daemon.settings.config import Config

RECENT_S = 300.0
"""Seconds for which the last findings are shown, unless a visitor asks for new ones."""

AT_MOST_EVERY = 10.0
"""Seconds between two checks, whoever asks."""

TIMEOUT = 120.0
"""Seconds that the checks may take."""

PATIENCE_S = 3.0
"""Seconds that a visitor waits for new findings; then the page shows the last ones."""

CHECK = "stylewatch_daemon.web.doctor_runner:check"


@dataclass(frozen=True)
class Device:
    """A device of the settings' backend, with so many bytes of memory."""

    name: str
    memory: int


@dataclass(frozen=True)
class Checks:
    """From the child: the findings, and the devices whose memory is known."""

    findings: tuple[Finding, ...]
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True)
class Report:
    """The findings, and their time (UTC)."""

    at: datetime
    findings: tuple[Finding, ...]
    devices: tuple[Device, ...] = ()


class Checkup:
    """Has the checks made for `settings`; `clock` is monotonic, in seconds."""

    def __init__(self, settings: Config, clock: Callable[[], float] = monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._looked = -float("inf")
        self._latest: Report | None = None
        self._looking: asyncio.Task[None] | None = None

    def latest(self) -> Report | None:
        """Return the last report; None if there is none yet."""
        return self._latest

    @property
    def is_looking(self) -> bool:
        """True while the checks run."""
        return self._looking is not None and not self._looking.done()

    def begin(self, *, anew: bool = False) -> None:
        """Begin the checks, unless they run, or ran lately; `anew`: a moment ago."""
        wait = AT_MOST_EVERY if anew else RECENT_S
        if not self.is_looking and self._clock() - self._looked >= wait:
            self._looking = asyncio.create_task(self._look())

    async def look(self, *, anew: bool = False) -> Report | None:
        """Begin the checks; return the new report if it comes before long, else the last one."""
        self.begin(anew=anew)
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=PATIENCE_S)
        return self._latest

    async def _look(self) -> None:
        try:
            checks = await self._check()
        except (EOFError, OSError, ValueError):
            words = "it did not come to an end: `stylewatch doctor` tells more"
            checks = Checks((mend("doctor", words, 70),))
        self._looked = self._clock()
        self._latest = Report(datetime.now(UTC), checks.findings, checks.devices)

    async def _check(self) -> Checks:
        child = Child(CHECK, self._settings, name="doctor", isolated=True)
        try:
            return await asyncio.to_thread(lambda: child.receive(Checks, timeout=TIMEOUT))
        finally:
            child.kill()


def check(pipe: Connection, settings: Config) -> None:
    """In the child: send the Checks of `settings`."""
    from stylewatch_daemon.doctor.backends import check_backend
    from stylewatch_daemon.doctor.diagnose import diagnose
    from stylewatch_daemon.settings.config import service_settings

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # backends are larger than the page
    name = settings.job.backend
    status = check_backend(name, settings.backends.get(name, {}))
    devices = tuple(
        Device(device.name, device.memory) for device in status.devices if device.memory is not None
    )
    send(pipe, Checks(tuple(diagnose(service_settings(settings, {}))), devices))
