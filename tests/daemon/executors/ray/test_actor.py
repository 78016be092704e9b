"""An actor has a worker process of its own, and tells what that does in small pieces."""

import asyncio
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.daemon.executors.ray.actors import Here, ended
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.ray import actor
from stylewatch_daemon.executors.ray.actor import Painter, Program
from stylewatch_daemon.executors.ray.messages import Stream, Word, heard
from stylewatch_daemon.worker.contract import Done, Stopped


async def words(here: Here, ticket: str) -> list[Word]:
    """All that it tells of an attempt, up to its end."""
    stream, found = Stream(), list[Word]()
    while not any(isinstance(one, Done | Stopped) for one in found):
        for message in stream.feed(await here.call("heard")):
            assert heard(message)[0] == ticket
            found.append(heard(message)[1])
    return found


def test_what_it_is_sent_is_painted_by_a_process_of_its_own(tmp_path: Path) -> None:
    async def go() -> None:
        hello = await here.call("hello")
        assert (hello.program, hello.pid) == (Program.ours(), os.getpid())
        await here.call("begin", pickle.dumps({"1": order("paint")}), True)
        done = (await words(here, "1"))[-1]
        assert isinstance(done, Done)
        assert done.receipt["pid"] != os.getpid()
        orders = pickle.dumps({"2": order("until stopped")})
        await here.call("begin", orders[:100], False)
        await here.call("begin", orders[100:], True)
        await here.call("ask", "2", "stop")
        assert isinstance((await words(here, "2"))[-1], Stopped)

    with ended(Here(tmp_path)) as here:
        asyncio.run(go())


def test_nothing_is_sent_in_large_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "PIECE", 10)

    async def go() -> None:
        await here.call("hello")
        await here.call("begin", pickle.dumps({"1": order("paint")}), True)
        pieces = [await here.call("heard") for _ in range(12)]
        assert max(map(len, pieces)) == 10

    with ended(Here(tmp_path)) as here:
        asyncio.run(go())


def test_one_that_has_nothing_to_say_says_that_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "PULSE", 0.01)
    with ended(Here(tmp_path)) as here:
        assert asyncio.run(here.call("heard")) == b""


def test_its_processes_do_not_begin_with_the_script_of_whoever_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    main.__file__ = "default_worker.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Painter(WORK, str(tmp_path), all_cores=True).close()
    assert not hasattr(main, "__file__")
    assert "OMP_NUM_THREADS" not in os.environ
