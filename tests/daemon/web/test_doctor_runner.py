"""The doctor's checks run now and then, however many visitors want to see the findings."""

import asyncio
from multiprocessing import Pipe
from pathlib import Path

import pytest
from tests.daemon.web import doctors
from tests.daemon.web.world import Clock, settings
from tests.daemon.world import child_pids

from stylewatch_daemon.doctor import backends, diagnose
from stylewatch_daemon.doctor.finding import Verdict, ok
from stylewatch_daemon.processes.child import decode
from stylewatch_daemon.web import doctor_runner
from stylewatch_daemon.web.doctor_runner import (
    AT_MOST_EVERY,
    RECENT_S,
    DoctorRunner,
    Report,
)

DEVICE = backends.Device("cuda:0", memory=9)


@pytest.fixture(autouse=True)
def _substitute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", doctors.CHECK)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 60.0)


def test_findings_are_kept_for_a_time_and_new_ones_come_on_request(tmp_path: Path) -> None:
    clock = Clock()
    runner = DoctorRunner(settings(tmp_path), clock)

    async def body() -> Report | None:
        await asyncio.gather(*(runner.report() for _ in range(9)))
        for anew, seconds, count in (
            (True, 0.0, 1), (False, AT_MOST_EVERY, 1), (True, 0.0, 2), (False, RECENT_S, 3),
        ):  # fmt: skip
            clock.now += seconds
            await runner.report(anew=anew)
            assert (tmp_path / "log").read_text().split() == ["sketch"] * count
        return runner.latest

    assert runner.latest is None
    report = asyncio.run(body())
    assert report is not None and report.findings[0].words == "has room"
    assert report.devices == (DEVICE,) and report.at.endswith("+00:00")


def test_checks_that_fail_are_a_finding_and_no_visitor_waits_for_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", f"{doctors.__name__}:exits")
    report = asyncio.run(DoctorRunner(settings(tmp_path)).report())
    assert report is not None and report.findings[0].verdict == Verdict.MEND
    monkeypatch.setattr(doctor_runner, "CHECK", f"{doctors.__name__}:hangs")
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.01)
    assert asyncio.run(DoctorRunner(settings(tmp_path)).report()) is None
    assert child_pids("doctor") == []


def test_the_checks_are_those_of_the_doctor_for_these_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = backends.Status("sketch", devices=(DEVICE,))
    monkeypatch.setattr(doctor_runner, "check_backend", lambda name, options: status)
    monkeypatch.setattr(
        diagnose, "diagnose", lambda service: [ok("state", str(service.state.path))]
    )
    ours, theirs = Pipe()
    doctor_runner.check(theirs, settings(tmp_path))
    report = decode(ours.recv_bytes(), Report)
    assert report.devices == (DEVICE,)
    assert report.findings[0].words == str(tmp_path / "state")
