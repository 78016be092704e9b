"""The doctor's checks run now and then, however many visitors want to see the findings."""

import asyncio
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.daemon.web.world import CHECK, Clock, settings
from tests.daemon.world import child_pids

from stylewatch_daemon.base.child import send
from stylewatch_daemon.doctor.finding import Verdict, ok
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web import doctor_runner
from stylewatch_daemon.web.doctor_runner import AT_MOST_EVERY_S, RECENT_S, DoctorRunner, Report


def check(pipe: Connection, settings: Config) -> None:
    """Find something, and record the call in the folder of the state folder."""
    with (settings.state.path.parent / "log").open("a") as log:
        print(settings.job.backend, file=log)
    send(pipe, Report((ok("disk", "has room"),)))


def exits(pipe: Connection, settings: Config) -> None:
    """Find nothing."""


def hangs(pipe: Connection, settings: Config) -> None:
    time.sleep(600)


def test_findings_are_kept_for_a_time_and_new_ones_come_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 60.0)
    clock = Clock()
    runner = DoctorRunner(settings(tmp_path), clock)

    async def body() -> Report | None:
        await asyncio.gather(*(runner.report() for _ in range(9)))
        for anew, seconds, count in (
            (True, 0.0, 1), (False, AT_MOST_EVERY_S, 1), (True, 0.0, 2), (False, RECENT_S, 3),
        ):  # fmt: skip
            clock.now += seconds
            await runner.report(anew=anew)
            assert (tmp_path / "log").read_text().split() == ["sketch"] * count
        return await runner.report()

    report = asyncio.run(body())
    assert report is not None and report.findings[0].words == "has room"
    assert report.at.endswith("+00:00")


def test_checks_that_fail_are_a_finding_and_no_visitor_waits_for_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK.replace(":check", ":exits"))
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 60.0)
    report = asyncio.run(DoctorRunner(settings(tmp_path)).report())
    assert report is not None and report.findings[0].verdict == Verdict.PROBLEM
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK.replace(":check", ":hangs"))
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.01)
    assert asyncio.run(DoctorRunner(settings(tmp_path)).report()) is None
    assert child_pids("doctor") == []
