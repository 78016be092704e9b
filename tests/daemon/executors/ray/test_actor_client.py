"""A place in the cluster: files go there once, wishes in their order, and each has its End."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.executors.ray.actors import Here, Told, ended
from tests.daemon.worker import orders
from tests.daemon.worker.listening import order

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray import actor_client as module
from stylewatch_daemon.executors.ray.actor import Program
from stylewatch_daemon.executors.ray.actor_client import Doors, Post
from stylewatch_daemon.executors.ray.messages import PIECE
from stylewatch_daemon.model import Progress
from stylewatch_daemon.worker.contract import Done, Failed, Lost, Order, Refused, Stopped, Wanted


def manned(root: Path, what: Callable[[Post, Here, Told], Awaitable[Any]]) -> None:
    """Do something with a post whose actor is there."""

    async def go() -> None:
        here, told = Here(root), Told()
        post = Post(here, told, Doors(), silent_s=60)
        try:
            await post.come()
            await what(post, here, told)
        finally:
            post.leave("the test ended")

    asyncio.run(go())


def test_each_of_those_that_come_together_has_its_own_events(tmp_path: Path) -> None:
    async def what(post: Post, here: Here, told: Told) -> None:
        await post.paint({"a": order("paint"), "b": order("bad picture")})
        assert not post.going
        assert [type(one).__name__ for one in told.of("a")] == ["Progress", "Done"]
        assert [type(one).__name__ for one in told.of("b")] == ["Progress", "Refused"]

    manned(tmp_path, what)


def test_what_is_wanted_before_it_has_begun_holds(tmp_path: Path) -> None:
    async def what(post: Post, here: Here, told: Told) -> None:
        await post.ask("a", Wanted.FINISH)
        await post.ask("b", Wanted.CANCEL)
        await post.paint({"a": order("until stopped"), "b": order("until stopped")})
        assert told.of("a")[-1] == Done({"state": "finished"})
        assert isinstance(told.of("b")[-1], Stopped)

    manned(tmp_path, what)


@pytest.mark.parametrize("how", ["lost", "nonsense"])
def test_with_its_actor_all_that_it_painted_is_lost(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def what(post: Post, here: Here, told: Told) -> None:
        painting = asyncio.ensure_future(post.paint({"a": order("until stopped")}))
        await told.until("a", Progress)
        if how == "lost":
            here.lost = True
        else:
            monkeypatch.setattr(module, "heard", lambda message: ("another", Lost("")))
        with pytest.raises(UnavailableError):
            await painting
        assert isinstance(told.of("a")[-1], Lost)
        await post.ask("a", Wanted.STOP)

    manned(tmp_path, what)


def test_where_it_cannot_begin_it_is_tried_again(tmp_path: Path) -> None:
    async def what(post: Post, here: Here, told: Told) -> None:
        here.lost = True
        with pytest.raises(UnavailableError):
            await post.paint({"a": order("paint")})
        (end,) = told.of("a")
        assert isinstance(end, Failed)
        assert end.exit_code == 69

    manned(tmp_path, what)


def test_another_program_is_not_worked_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        hello = await here.call("hello")
        other = replace(hello, machine="easel", program=Program("9.9", "3.11"))
        monkeypatch.setattr(here.painter, "hello", lambda: asyncio.sleep(0, other))
        with pytest.raises(UnavailableError, match=r"easel of the cluster has stylewatch 9\.9"):
            await Post(here, Told(), Doors(), 60).come()

    with ended(Here(tmp_path)) as here:
        asyncio.run(go())


def test_a_picture_goes_to_a_machine_once(tmp_path: Path, pictures: Path) -> None:
    async def what(post: Post, here: Here, told: Told) -> None:
        for ticket in "ab":
            given = replace(orders.order(tmp_path, pictures), name="paint")
            await post.paint({ticket: given})
            assert isinstance(told.of(ticket)[-1], Done)
            assert here.asked["take"] == 2, "content and style"

    manned(tmp_path, what)


def test_a_large_order_goes_in_pieces_and_one_that_is_too_large_does_not_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, and names of very many styles, are as long as people like."""

    def said(words: int) -> Order:
        return replace(order("paint"), backend_options={"note": "word " * words})

    async def what(post: Post, here: Here, told: Told) -> None:
        await post.paint({"a": said(100_000), "b": order("paint")})
        assert here.asked["begin"] == 500_000 // PIECE + 1
        assert here.largest <= PIECE
        monkeypatch.setattr(module, "MOST", 5_000_000)
        await post.paint({"c": said(1_100_000), "d": order("paint")})
        await post.paint({"e": said(1_100_000)})
        assert [type(told.of(one)[-1]) for one in "abcde"] == [Done, Done, Refused, Done, Refused]
        assert told.of("e") == [
            Refused(
                "what this job says of itself has 6 MB, and 5 MB can be sent to a machine of the "
                "cluster: say less in its settings"
            )
        ]

    manned(tmp_path, what)


def test_a_large_picture_goes_in_pieces_and_an_empty_one_too(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", 100)
    (pictures / "style.jpg").write_bytes(b"")

    async def what(post: Post, here: Here, told: Told) -> None:
        given = replace(orders.order(tmp_path, pictures), name="paint")
        await post.paint({"a": given})
        pieces = -(-(pictures / "content.jpg").stat().st_size // 100)
        assert here.asked["take"] == pieces + 1
        kept = list(tmp_path.glob("inputs/*/content.jpg"))
        assert [path.read_bytes() for path in kept] == [(pictures / "content.jpg").read_bytes()]

    manned(tmp_path, what)
