"""Work that is done once for all viewers: live updates, and the checks of the doctor."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.daemon.web.world import settings
from tests.daemon.world import child_pids

from stylewatch_daemon.base.child import send
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.doctor.finding import Verdict, ok
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web import doctor_runner, live_updates
from stylewatch_daemon.web.doctor_runner import DoctorRunner, Report
from stylewatch_daemon.web.live_updates import Hub, Parts

# Live updates


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "POLL_EVERY_S", 0.005)
    monkeypatch.setattr(live_updates, "BEAT_EVERY_S", 600.0)


class Page:
    """A page whose parts a test changes."""

    def __init__(self, **parts: str) -> None:
        self.parts, self.looks = dict(parts), 0
        self.fails = False
        self.hub = Hub(self.look, self.render)

    def look(self) -> object:
        self.looks += 1
        return tuple(self.parts.items())

    def render(self, page: str) -> Parts:
        if self.fails:
            raise OutputError("the ledger cannot be read")
        return dict(self.parts)

    async def change(self, **parts: str) -> None:
        """Change parts, and wait until the hub has looked."""
        self.parts |= parts
        until = self.looks + 3
        while self.looks < until:
            await asyncio.sleep(0.001)


def parts_in(message: bytes) -> dict[str, str]:
    lines = [line for line in message.decode().splitlines() if line.startswith("data: ")]
    data = [json.loads(line.removeprefix("data: ")) for line in lines]
    return {part["part"]: part["html"] for part in data}


async def first(viewer: AsyncGenerator[bytes, None]) -> bytes:
    """The first message behind the one with the time to reconnect."""
    assert (await anext(viewer)).startswith(b"retry: ")
    return await anext(viewer)


def test_viewers_get_the_page_and_then_the_newest_changes_also_after_an_unreadable_ledger() -> None:
    async def body() -> None:
        page = Page(a="0", b="0")
        async with aclosing(page.hub.watch("now")) as viewer:
            assert parts_in(await first(viewer)) == {"a": "0", "b": "0"}
            page.parts["b"] = "3\n"
            assert parts_in(await anext(viewer)) == {"b": "3\n"}
            async with aclosing(page.hub.watch("now")) as later:
                assert parts_in(await first(later)) == {"a": "0", "b": "3\n"}
            for change in ({"a": "1"}, {"b": "1"}, {"a": "5"}):
                await page.change(**change)
            assert (await anext(viewer)).count(b"event: part") == 2
            page.fails = True
            await page.change(a="1")
            page.fails = False
            page.parts["a"] = "2"
            assert parts_in(await anext(viewer)) == {"a": "2"}

    asyncio.run(body())


# The checks of the doctor


def check(pipe: Connection, settings: Config) -> None:
    """Find something."""
    send(pipe, Report((ok("disk", "has room"),)))


def hangs(pipe: Connection, settings: Config) -> None:
    time.sleep(600)


def test_checks_that_hang_are_a_finding_and_nobody_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a visitor, nor the end of the page, which ends them."""
    monkeypatch.setattr(doctor_runner, "CHECK", f"{__name__}:hangs")
    monkeypatch.setattr(doctor_runner, "TIMEOUT_S", 0.5)
    report = asyncio.run(DoctorRunner(settings(tmp_path)).report())
    assert report is not None and report.findings[0].verdict == Verdict.PROBLEM
    monkeypatch.setattr(doctor_runner, "TIMEOUT_S", 600.0)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.01)
    assert asyncio.run(DoctorRunner(settings(tmp_path)).report()) is None
    assert child_pids("doctor") == []
