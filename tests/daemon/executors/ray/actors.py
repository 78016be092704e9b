"""Actors without a cluster, for tests: each in this process, or lost."""

import asyncio
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from tests.daemon.worker.works import WORK

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor import WorkerActor
from stylewatch_daemon.worker.messages import AttemptEvent, Event


class FakeActor:
    """A WorkerActor that is called without Ray.

    `calls` counts calls by method; `largest` is the most bytes sent at once. One that is `lost`
    does not answer any more.
    """

    def __init__(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
            patch.setenv("OMP_NUM_THREADS", "1")
            self.actor = WorkerActor(WORK, all_cores=False)
        self.calls: Counter[str] = Counter()
        self.largest = 0
        self.lost = self.ended = False

    async def call(self, name: str, *args: Any, within: float | None = None, **more: Any) -> Any:
        self.calls[name] += 1
        self.largest = max([self.largest, *(len(arg) for arg in args if isinstance(arg, bytes))])
        if self.lost:
            raise UnavailableError("the machine of the cluster is lost")
        answer = asyncio.ensure_future(getattr(self.actor, name)(*args, **more))
        while not answer.done():
            if self.lost:
                answer.cancel()
                raise UnavailableError("the machine of the cluster is lost")
            await asyncio.wait({answer}, timeout=0.01)
        return answer.result()

    def end(self) -> None:
        if not self.ended:
            self.ended = self.lost = True
            self.actor.close()


class Recorder:
    """The events of all attempts, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def __call__(self, event: AttemptEvent) -> None:
        self.events.append((event.ticket, event.event))

    def of(self, ticket: str) -> list[Event]:
        return [event for its, event in self.events if its == ticket]

    async def until(self, ticket: str, *kinds: type) -> Event:
        """The first event of such a kind."""
        async with asyncio.timeout(300):
            while not (events := [event for event in self.of(ticket) if isinstance(event, kinds)]):
                await asyncio.sleep(0.01)
        return events[0]
