"""The doctor is called now and then, however many want to see what it says."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.daemon.web.world import settings

from stylewatch_daemon.web import doctor_runner
from stylewatch_daemon.web.doctor_runner import AT_MOST_EVERY, RECENT_S, Checkup, Device, Report

CHILD = """
import json, pathlib, sys
asked = json.load(sys.stdin)
with open({log!r}, "a") as log:
    print(asked["settings"]["job"]["backend"], file=log)
print({told!r})
"""
TOLD = {"findings": [{"verdict": "ok", "what": "disk", "words": "has room", "exit_code": 0}],
        "devices": [{"name": "cuda:0", "memory": 9}]}  # fmt: skip


class Clock:
    """One that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def called(
    root: Path, monkeypatch: pytest.MonkeyPatch, told: str = json.dumps(TOLD)
) -> tuple[Checkup, Clock]:
    """A checkup whose child tells that, and writes down that it was called."""
    program = CHILD.format(log=str(root / "log"), told=told)
    monkeypatch.setattr(doctor_runner, "_CHILD", ("-c", program))
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 60.0)
    clock = Clock()
    return Checkup(settings(root), clock), clock


def calls(root: Path) -> list[str]:
    return (root / "log").read_text().split()


def test_what_is_found_is_remembered_and_looked_for_again_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, clock = called(tmp_path, monkeypatch)

    async def go() -> Report | None:
        assert found.latest() is None
        await asyncio.gather(*(found.look() for _ in range(9)))
        await found.look()
        assert len(calls(tmp_path)) == 1
        clock.now += RECENT_S
        return await found.look()

    report = asyncio.run(go())
    assert calls(tmp_path) == ["sketch", "sketch"]
    assert report is not None and report.findings[0].words == "has room"
    assert report.devices == (Device("cuda:0", 9),) and report == found.latest()


def test_who_asks_for_it_gets_it_looked_at_anew_but_not_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, clock = called(tmp_path, monkeypatch)

    async def go() -> None:
        for _ in range(3):
            await found.look(anew=True)
        assert len(calls(tmp_path)) == 1
        clock.now += AT_MOST_EVERY
        await found.look(anew=True)

    asyncio.run(go())
    assert len(calls(tmp_path)) == 2


@pytest.mark.parametrize("told", ["", "no JSON", "[]", '{"findings": [{"x": 1}], "devices": []}'])
def test_a_doctor_who_fails_is_a_finding(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = called(tmp_path, monkeypatch, told)
    report = asyncio.run(found.look())
    assert report is not None and report.findings[0].verdict == "mend"


def test_nobody_waits_long_for_a_doctor_who_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "_CHILD", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 0.01)
    monkeypatch.setattr(doctor_runner, "WITHIN", 0.2)
    found = Checkup(settings(tmp_path))

    async def go() -> Report | None:
        assert await found.look() is None and found.is_looking
        while found.is_looking:
            await asyncio.sleep(0.01)
        return found.latest()

    report = asyncio.run(go())
    assert report is not None and "come to an end" in report.findings[0].words
