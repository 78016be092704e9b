"""Live updates are made once for all viewers; a slow viewer gets only the newest."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.web import live_updates
from stylewatch_daemon.web.live_updates import BEAT, Hub, Parts


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "POLL_EVERY_S", 0.005)
    monkeypatch.setattr(live_updates, "BEAT_EVERY_S", 600.0)


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
