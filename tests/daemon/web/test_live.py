"""Work that is done once for all viewers: live updates, and the checks of the doctor."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.daemon.web.world import Clock, settings
from tests.daemon.world import child_pids

from stylewatch_daemon.base.child import send
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.doctor.finding import Verdict, ok
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web import doctor_runner, live_updates
from stylewatch_daemon.web.doctor_runner import AT_MOST_EVERY_S, RECENT_S, DoctorRunner, Report
from stylewatch_daemon.web.live_updates import BEAT, Hub, Parts

# Live updates


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "POLL_EVERY_S", 0.005)
    monkeypatch.setattr(live_updates, "BEAT_EVERY_S", 600.0)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 60.0)


class Page:
    """A page whose parts a test changes."""

    def __init__(self, **parts: str) -> None:
        self.parts, self.renders, self.looks = dict(parts), 0, 0
        self.fails = False
        self.hub = Hub(self.look, self.render)

    def look(self) -> object:
        self.looks += 1
        return tuple(self.parts.items())

    def render(self, page: str) -> Parts:
        if self.fails:
            raise OutputError("the ledger cannot be read")
        self.renders += 1
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


def test_a_page_is_rendered_once_for_all_and_the_disk_left_alone_without_viewers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        page = Page(a="0")
        viewers = [page.hub.watch("now") for _ in range(20)]
        for viewer in viewers:
            await first(viewer)
        await page.change()  # nothing, but the hub has looked
        renders = page.renders
        await page.change()
        assert page.renders == renders
        page.parts["a"] = "2"
        messages = {await anext(viewer) for viewer in viewers}
        assert (len(messages), page.renders, page.hub.viewers) == (1, renders + 1, 20)
        for viewer in viewers:
            await viewer.aclose()
        assert page.hub.viewers == 0
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) > 1:  # the one that looks at the disk ends
                await asyncio.sleep(0.001)
        monkeypatch.setattr(live_updates, "BEAT_EVERY_S", 0.01)
        async with aclosing(Page(a="0").hub.watch("now")) as silent:
            await first(silent)
            assert await anext(silent) == BEAT

    asyncio.run(body())


# The checks of the doctor


def check(pipe: Connection, settings: Config) -> None:
    """Find something, and record the call in the folder of the state folder."""
    with (settings.state.path.parent / "log").open("a") as log:
        print(settings.job.backend, file=log)
    send(pipe, Report((ok("disk", "has room"),)))


def exits(pipe: Connection, settings: Config) -> None:
    """Find nothing."""


def hangs(pipe: Connection, settings: Config) -> None:
    time.sleep(600)


def replace_check(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", f"{__name__}:{name}")


def test_findings_are_kept_for_a_time_and_new_ones_come_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    replace_check(monkeypatch, "check")
    report = asyncio.run(body())
    assert report is not None and report.findings[0].words == "has room"
    assert report.at.endswith("+00:00")


def test_checks_that_fail_are_a_finding_and_nobody_waits_for_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a visitor, nor the end of the page, which ends them."""
    for name, seconds in (("exits", doctor_runner.TIMEOUT_S), ("hangs", 0.5)):
        replace_check(monkeypatch, name)
        monkeypatch.setattr(doctor_runner, "TIMEOUT_S", seconds)
        report = asyncio.run(DoctorRunner(settings(tmp_path)).report())
        assert report is not None and report.findings[0].verdict == Verdict.PROBLEM
    monkeypatch.setattr(doctor_runner, "TIMEOUT_S", 600.0)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.01)
    assert asyncio.run(DoctorRunner(settings(tmp_path)).report()) is None
    assert child_pids("doctor") == []
