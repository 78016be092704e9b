"""Orders on other machines: their inputs are copied, and a machine that lacks them says so."""

import asyncio
import errno
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.scheduler import DROPPED, Drop, Submit
from stylewatch_daemon.worker.messages import (
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    Done,
    Event,
    Failed,
    Order,
)
from stylewatch_ray import actor_pool
from stylewatch_ray.actor import WorkerActor
from stylewatch_ray.actor_pool import ActorPool
from stylewatch_ray.demand import Demand, Machine
from stylewatch_ray.messages import ActorOptions, versions


def test_an_order_whose_inputs_the_machine_lacks_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def events() -> list[object]:
        return [event async for event in actor.run(gone)]

    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    gone = replace(order("paint"), content=tmp_path / ".inputs/0/gone.jpg", staging=tmp_path)
    with closing(WorkerActor(WORK, all_cores=False)) as actor:
        (end,) = asyncio.run(events())
    assert isinstance(end, Failed)
    assert end.cause is Cause.DISK
    assert f"{gone.content} does not exist on" in end.reason


# -- actors of a pool


class FakeActor:
    """Actor that runs each order at once, unless its greeting is an error."""

    def __init__(self, machine: str, error: Exception | None = None) -> None:
        self.error = error

    async def hello(self) -> tuple[str, ...]:
        if self.error is not None:
            raise self.error
        return ("here", *versions())

    async def run(self, order: Order, silent_s: float) -> AsyncIterator[Event]:
        yield Done({})

    def ask(self, wanted: AttemptRequest) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class Pool:
    """A pool with one place, whose actors greet with the first of `errors`."""

    def __init__(self, *errors: Exception) -> None:
        self.events: asyncio.Queue[AttemptEvent] = asyncio.Queue()
        self._errors = iter(errors)
        options = ActorOptions("", idle_s=600.0)
        self.pool = ActorPool(Demand(gpus=0), options, self._start, self.events.put_nowait)
        self.pool.look([Machine("here", {})])

    def _start(self, machine: str) -> FakeActor:
        return FakeActor(machine, next(self._errors, None))

    async def run(self, ticket: str) -> AttemptEnd:
        self.pool.obey(Submit(ticket, order("paint")))
        return await self.end(ticket)

    async def end(self, ticket: str) -> AttemptEnd:
        async with asyncio.timeout(60.0):
            event = await self.events.get()
        assert event.ticket == ticket and isinstance(event.event, AttemptEnd)
        return event.event


def test_an_actor_that_cannot_start_for_any_reason_ends_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ends() -> list[AttemptEnd]:
        pool = Pool(UnavailableError("no machine"), ZeroDivisionError("a fault"))
        return [await pool.run(ticket) for ticket in "123"]

    monkeypatch.setattr(actor_pool, "shared", lambda order: order)
    lost, fault, done = asyncio.run(ends())
    assert lost == Failed("no machine", Cause.DEVICE)
    assert isinstance(fault, Failed) and "ZeroDivisionError" in fault.reason
    assert done == Done({})


def test_an_order_that_is_dropped_while_its_inputs_are_copied_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copying, dropped = threading.Event(), threading.Event()

    def copy(order: Order) -> Order:
        if not copying.is_set():
            copying.set()
            assert dropped.wait(60.0)
            raise OSError(errno.ENOENT, "No such file or directory")
        return order

    async def ends() -> list[AttemptEnd]:
        pool = Pool()
        pool.pool.obey(Submit("1", order("paint")))
        await asyncio.to_thread(copying.wait, 60.0)
        pool.pool.obey(Drop("1"))
        dropped.set()
        return [await pool.end("1"), await pool.run("2")]

    monkeypatch.setattr(actor_pool, "shared", copy)
    assert asyncio.run(ends()) == [AttemptLost(DROPPED), Done({})]
