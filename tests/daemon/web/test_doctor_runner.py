"""The doctor's checks run now and then, however many visitors want to see the findings."""

import asyncio
from pathlib import Path

import pytest
from tests.daemon.web import doctors
from tests.daemon.web.world import settings
from tests.daemon.world import child_pids

from stylewatch_daemon.web import doctor_runner
from stylewatch_daemon.web.doctor_runner import AT_MOST_EVERY, RECENT_S, Checkup, Device, Report


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def checkup(
    root: Path, monkeypatch: pytest.MonkeyPatch, check: str = "check"
) -> tuple[Checkup, Clock]:
    monkeypatch.setattr(doctor_runner, "CHECK", f"{doctors.__name__}:{check}")
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 60.0)
    clock = Clock()
    return Checkup(settings(root), clock), clock


def calls(root: Path) -> list[str]:
    return (root / "log").read_text().split()


def test_findings_are_kept_for_a_time_and_new_ones_come_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, clock = checkup(tmp_path, monkeypatch)

    async def look() -> Report | None:
        assert runner.latest() is None
        await asyncio.gather(*(runner.look() for _ in range(9)))
        for anew in (False, True):
            await runner.look(anew=anew)
        assert len(calls(tmp_path)) == 1
        clock.now += AT_MOST_EVERY
        await runner.look()
        assert len(calls(tmp_path)) == 1
        await runner.look(anew=True)
        assert len(calls(tmp_path)) == 2
        clock.now += RECENT_S
        return await runner.look()

    report = asyncio.run(look())
    assert calls(tmp_path) == ["sketch"] * 3
    assert report is not None and report.findings[0].words == "has room"
    assert report.devices == (Device("cuda:0", 9),) and report == runner.latest()


@pytest.mark.parametrize("check", ["exits", "invalid", "missing"])
def test_checks_that_fail_are_a_finding(
    check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, _ = checkup(tmp_path, monkeypatch, check)
    report = asyncio.run(runner.look())
    assert report is not None and report.findings[0].verdict == "mend"


def test_no_visitor_waits_for_checks_that_take_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, _ = checkup(tmp_path, monkeypatch, "hangs")
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 0.01)
    monkeypatch.setattr(doctor_runner, "TIMEOUT", 0.2)

    async def look() -> Report | None:
        assert await runner.look() is None and runner.is_looking
        while runner.is_looking:
            await asyncio.sleep(0.01)
        return runner.latest()

    report = asyncio.run(look())
    assert report is not None and "come to an end" in report.findings[0].words


def test_checks_that_run_when_the_page_stops_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, _ = checkup(tmp_path, monkeypatch, "hangs")
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 0.1)
    asyncio.run(runner.look())  # which cancels what still runs at its end
    assert child_pids("doctor") == []


def test_the_checks_are_those_of_the_doctor_for_these_settings(tmp_path: Path) -> None:
    for name in ("in", "out", "state"):
        (tmp_path / name).mkdir()
    runner = Checkup(settings(tmp_path))

    async def look() -> Report | None:
        while runner.latest() is None:
            await runner.look()
        return runner.latest()

    report = asyncio.run(look())
    assert report is not None
    verdicts = {finding.what: finding.verdict for finding in report.findings}
    assert verdicts["backend sketch"] == "ok" and f"inbox {tmp_path / 'in'}" in verdicts
    assert all(isinstance(device.memory, int) for device in report.devices)
