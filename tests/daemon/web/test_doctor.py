"""The checks of the doctor, which the page runs in a process of their own."""

import asyncio
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.daemon.world import child_pids

from stylewatch_daemon.base.child import send
from stylewatch_daemon.doctor.finding import Finding, Verdict, ok
from stylewatch_daemon.settings.config import Start
from stylewatch_daemon.web import doctor_runner
from stylewatch_daemon.web.doctor_runner import DoctorRunner, Report


def check(pipe: Connection, start: Start) -> None:
    """Send a report, in place of the checks of the doctor."""
    send(pipe, Report((ok("disk", "has room"),)))


def hangs(pipe: Connection, start: Start) -> None:
    time.sleep(600)


def test_old_findings_are_not_returned_while_new_checks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reports() -> list[Report | None]:
        runner = DoctorRunner(Start())
        first = await runner.report(patiently=True)
        monkeypatch.setattr(doctor_runner, "CHECK", f"{__name__}:hangs")
        recent = [await runner.report(), await runner.report(anew=True)]
        monkeypatch.setattr(doctor_runner, "AT_MOST_EVERY_S", 0.0)
        return [first, *recent, await runner.report(anew=True), await runner.report()]

    monkeypatch.setattr(doctor_runner, "CHECK", f"{__name__}:check")
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.0)
    first, *later = asyncio.run(reports())
    assert first is not None and later == [first, first, None, None]


@pytest.mark.parametrize("verdict", [Verdict.OK, Verdict.PROBLEM])
def test_findings_are_looked_for_again_once_they_may_be_wrong(
    verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visitor sees neither a problem that is repaired, nor that all is well where it is not."""

    async def found(start: Start) -> Report:
        return Report((Finding(verdict, "disk", "is looked at"),))

    async def reports() -> list[Report | None]:
        runner, same, other = DoctorRunner(Start()), ("it is full",), ("it is away",)
        return [await runner.report(trouble) for trouble in (same, same, other, other)]

    monkeypatch.setattr(doctor_runner, "_found", found)
    first, again, *later = asyncio.run(reports())
    assert again is first and later == [first, first], "they have just been found"
    monkeypatch.setattr(doctor_runner, "AT_MOST_EVERY_S", 0.0)
    first, again, other, last = asyncio.run(reports())
    assert (first is again, other is last) == (verdict is Verdict.OK, verdict is Verdict.OK)
    assert other is not again


def test_checks_that_hang_are_a_finding_and_nobody_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the page ends the checks, and does not wait for them either."""
    monkeypatch.setattr(doctor_runner, "CHECK", f"{__name__}:hangs")
    monkeypatch.setattr(doctor_runner, "TIMEOUT_S", 0.5)
    report = asyncio.run(DoctorRunner(Start()).report())
    assert report is not None and report.findings[0].verdict == Verdict.PROBLEM
    monkeypatch.setattr(doctor_runner, "TIMEOUT_S", 600.0)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.01)
    assert asyncio.run(DoctorRunner(Start()).report()) is None
    assert child_pids("doctor") == []
