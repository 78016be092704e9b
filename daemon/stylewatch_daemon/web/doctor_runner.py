"""Checks of `doctor` for the page, which run in a child process when a visitor asks for them."""

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from time import monotonic

from stylewatch_daemon.base.child import Child, send
from stylewatch_daemon.base.errors import Exit
from stylewatch_daemon.base.model import now
from stylewatch_daemon.doctor.finding import Finding, Verdict, problem
from stylewatch_daemon.settings.config import Start

RECENT_S, AT_MOST_EVERY_S = 300.0, 10.0
"""Ages in seconds from which the next visit replaces a report: usually RECENT_S; AT_MOST_EVERY_S if
the report may be wrong now, or if a person asks for new checks."""

TIMEOUT_S = 120.0
"""Timeout in seconds for all checks."""

VISITOR_TIMEOUT_S = 3.0
"""Seconds that a visitor waits for findings; then the page says that the checks run."""

CHECK = "stylewatch_daemon.web.doctor_runner:check"


@dataclass(frozen=True)
class Report:
    """Findings, and the time at which they were complete (UTC, ISO 8601)."""

    findings: tuple[Finding, ...]
    at: str = field(default_factory=now)

    @property
    def has_problem(self) -> bool:
        """True if anything has to be repaired."""
        return any(finding.verdict is Verdict.PROBLEM for finding in self.findings)


class DoctorRunner:
    """Runner of the checks of a daemon that was started with the options `start`."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._ended_at = -float("inf")
        self._trouble: Sequence[str] = ()
        """The problems of the daemon when the checks were started."""
        self._checks: asyncio.Task[Report] | None = None

    async def report(
        self, trouble: Sequence[str] = (), *, anew: bool = False, patiently: bool = False
    ) -> Report | None:
        """Return the latest report; None if the checks do not finish within VISITOR_TIMEOUT_S.

        The checks are started unless they are running, or ended less than RECENT_S seconds ago
        (AT_MOST_EVERY_S with `anew`, if they found a problem, or if the daemon's `trouble` has
        changed). With `patiently`, wait for them for TIMEOUT_S at most.
        """
        age = monotonic() - self._ended_at
        latest = self._checks
        if latest is None or latest.done():
            is_old = latest is None or latest.result().has_problem or trouble != self._trouble
            if age >= (AT_MOST_EVERY_S if anew or is_old else RECENT_S):
                self._trouble = trouble
                self._checks = asyncio.create_task(self._check())
        assert self._checks is not None
        await asyncio.wait({self._checks}, timeout=None if patiently else VISITOR_TIMEOUT_S)
        return self._checks.result() if self._checks.done() else None

    async def _check(self) -> Report:
        try:
            return await _found(self._start)
        except (EOFError, OSError, ValueError):  # a TimeoutError is an OSError
            words = "the checks did not finish: run `stylewatch doctor` for details"
            return Report((problem("doctor", words, Exit.FAULT),))
        finally:
            self._ended_at = monotonic()


async def _found(start: Start) -> Report:
    child = Child(CHECK, start, name="doctor", isolated=True)
    try:
        return await asyncio.to_thread(lambda: child.receive(Report, timeout=TIMEOUT_S))
    finally:
        child.kill()


def check(pipe: Connection, start: Start) -> None:
    """Run the checks in the child process, and send a Report through `pipe`.

    Some checks read secrets of the settings, which the page's process must not have.
    """
    from stylewatch_daemon.doctor.diagnose import diagnose

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # backends need more memory
    send(pipe, Report(tuple(diagnose(start))))
