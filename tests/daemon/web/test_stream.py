"""News of a page are made once for all, newest first, and cost a slow viewer no memory."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.web.stream import BEAT, Hub, Parts


class Paper:
    """A page that changes when it is told to."""

    def __init__(self, **shown: str) -> None:
        self.shown, self.made, self.looked = dict(shown), 0, 0
        self.fails = False
        self.hub = Hub(self.look, self.render, every=0.005, beat=5.0)

    def look(self) -> object:
        self.looked += 1
        return tuple(self.shown.items())

    def render(self, page: str) -> Parts:
        if self.fails:
            raise OutputError("the ledger cannot be read")
        self.made += 1
        return dict(self.shown)


async def nothing(paper: Paper) -> None:
    """Wait until it has looked some times more."""
    until = paper.looked + 3
    while paper.looked < until:
        await asyncio.sleep(0.001)


def told(message: bytes) -> dict[str, str]:
    """The parts in what was sent, by name."""
    lines = [line for line in message.decode().splitlines() if line.startswith("data: ")]
    found: list[dict[str, Any]] = [json.loads(line.removeprefix("data: ")) for line in lines]
    return {one["part"]: one["html"] for one in found}


async def first(news: AsyncGenerator[bytes, None]) -> bytes:
    """What comes first, behind the word on when to try again."""
    assert (await anext(news)).startswith(b"retry: ")
    return await anext(news)


def test_at_first_comes_all_of_it_and_then_what_changes() -> None:
    async def body() -> None:
        paper = Paper(a="1", b="<p>2\n3</p>")
        async with aclosing(paper.hub.watch("now")) as news:
            assert told(await first(news)) == {"a": "1", "b": "<p>2\n3</p>"}
            paper.shown["b"] = "4"
            assert told(await anext(news)) == {"b": "4"}

    asyncio.run(body())


def test_who_was_away_hears_only_what_is_new() -> None:
    async def body() -> None:
        paper = Paper(a="1")
        async with aclosing(paper.hub.watch("now")) as news:
            message = (await first(news)).decode()
            last = message.split("\n")[0].removeprefix("id: ")
            async with aclosing(paper.hub.watch("now", last)) as again:
                assert await anext(again)
                paper.shown["b"] = "2"
                assert told(await anext(again)) == {"b": "2"}
            async with aclosing(paper.hub.watch("now", last)) as later:
                assert told(await first(later)) == {"a": "1", "b": "2"}

    asyncio.run(body())


def test_a_page_is_made_once_for_all_who_look_on() -> None:
    async def body() -> None:
        paper = Paper(a="1")
        viewers = [paper.hub.watch("now") for _ in range(20)]
        for one in viewers:
            await first(one)
        made = paper.made
        paper.shown["a"] = "2"
        messages = [await anext(one) for one in viewers]
        assert paper.made == made + 1
        assert len(set(messages)) == 1
        for one in viewers:
            await one.aclose()

    asyncio.run(body())


def test_a_slow_viewer_gets_the_newest_alone() -> None:
    async def body() -> None:
        paper = Paper(a="0")
        async with aclosing(paper.hub.watch("now")) as news:
            await first(news)
            for number in range(1, 6):
                paper.shown["a"] = str(number)
                await nothing(paper)
            message = await anext(news)
            assert message.count(b"event: part") == 1
            assert told(message) == {"a": "5"}

    asyncio.run(body())


def test_nobody_looks_at_the_disk_while_nobody_looks_on() -> None:
    async def body() -> None:
        paper = Paper(a="0")
        async with aclosing(paper.hub.watch("now")) as news:
            await first(news)
            await nothing(paper)
            assert paper.hub.viewers == 1
        await asyncio.sleep(0.02)
        looked = paper.looked
        await asyncio.sleep(0.05)
        assert (paper.looked, paper.hub.viewers) == (looked, 0)

    asyncio.run(body())


def test_silence_is_filled_with_signs_of_life() -> None:
    async def body() -> None:
        paper = Paper(a="0")
        paper.hub = Hub(paper.look, paper.render, every=0.005, beat=0.01)
        async with aclosing(paper.hub.watch("now")) as news:
            await first(news)
            assert await anext(news) == BEAT

    asyncio.run(body())


def test_a_ledger_that_cannot_be_read_for_a_moment_ends_nothing() -> None:
    async def body() -> None:
        paper = Paper(a="0")
        async with aclosing(paper.hub.watch("now")) as news:
            await first(news)
            paper.fails = True
            paper.shown["a"] = "1"
            await nothing(paper)
            paper.fails = False
            paper.shown["a"] = "2"
            assert told(await anext(news)) == {"a": "2"}

    asyncio.run(body())


def test_the_last_id_that_somebody_gets_is_the_newest() -> None:
    async def body() -> None:
        paper = Paper(a="0", b="0")
        async with aclosing(paper.hub.watch("now")) as news:
            await first(news)
            paper.shown["a"] = "1"
            await nothing(paper)
            paper.shown["b"] = "1"
            await nothing(paper)
            paper.shown["a"] = "2"
            await nothing(paper)
            assert list(told(await anext(news))) == ["b", "a"]

    asyncio.run(body())
