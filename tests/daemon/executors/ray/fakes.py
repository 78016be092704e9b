"""A pool whose actors run without Ray, in this process."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from types import ModuleType
from typing import Any

import pytest
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.ray.actor import WorkerActor
from stylewatch_daemon.executors.ray.actor_pool import ActorPool
from stylewatch_daemon.executors.ray.demand import Demand, Machine
from stylewatch_daemon.executors.ray.messages import ActorOptions
from stylewatch_daemon.executors.scheduler import Submit
from stylewatch_daemon.worker.messages import AttemptEvent, AttemptRequest, Event, Order

FIRST, SECOND = (Machine(name, {"GPU": 1.0}) for name in "12")


class FakeActor:
    """A WorkerActor that is called without Ray."""

    def __init__(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
            patch.setenv("OMP_NUM_THREADS", "1")
            self.actor = WorkerActor(WORK, all_cores=False)
        self.ended = False

    async def hello(self) -> tuple[str, ...]:
        return await self.actor.hello()

    async def run(self, order: Order, silent_s: float) -> AsyncIterator[Event]:
        async for event in self.actor.run(order):
            if event is not None:
                yield event

    def ask(self, wanted: AttemptRequest) -> None:
        self._asking = asyncio.ensure_future(self.actor.ask(wanted))

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.actor.close()


class World:
    """A pool, the actors that it started, and its events."""

    def __init__(self) -> None:
        self.actors: list[FakeActor] = []
        self.events: list[AttemptEvent] = []
        self.pool = ActorPool(Demand(), ActorOptions(""), self._start, self.events.append)

    def _start(self, machine: str) -> FakeActor:
        self.actors.append(FakeActor())
        return self.actors[-1]

    def submit(self, **whats: str) -> None:
        """Submit orders, by ticket."""
        for ticket, what in whats.items():
            self.pool.obey(Submit(ticket, order(what)))

    def of(self, ticket: str) -> list[Event]:
        return [event.event for event in self.events if event.ticket == ticket]

    async def until(self, ticket: str, *kinds: type, step: int = 0) -> Event:
        """The first event of such a kind; of Progress the first one from `step` on."""
        async with asyncio.timeout(100):
            while True:
                for event in self.of(ticket):
                    if isinstance(event, kinds) and getattr(event, "step", step) >= step:
                        return event
                await asyncio.sleep(0.01)


def run(scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def go() -> World:
        world = World()
        try:
            await scenario(world)
        finally:
            world.pool.close()
        return world

    world = asyncio.run(go())
    assert all(fake.ended for fake in world.actors), "an actor was started while the pool closed"
