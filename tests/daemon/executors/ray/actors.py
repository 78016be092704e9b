"""Painters without a cluster, for tests: each in this very process, or lost."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.daemon.worker.works import WORK

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor import Painter
from stylewatch_daemon.worker.contract import Event


class Here:
    """A Painter that is called without Ray; `asked` counts by method, `largest` counts bytes."""

    def __init__(self, root: Path, work: str = WORK) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
            patch.setenv("OMP_NUM_THREADS", "1")
            self.painter = Painter(work, str(root), all_cores=False)
        self.asked: Counter[str] = Counter()
        self.largest = 0
        self.lost = self.ended = False
        """Whether no answer comes any more; whether it was ended."""

    async def call(self, name: str, *args: Any, within: float | None = None, **more: Any) -> Any:
        self.asked[name] += 1
        self.largest = max([self.largest, *(len(one) for one in args if isinstance(one, bytes))])
        if self.lost:
            raise UnavailableError("the machine of the cluster is lost")
        answer = asyncio.ensure_future(getattr(self.painter, name)(*args, **more))
        while not answer.done():
            if self.lost:
                answer.cancel()
                raise UnavailableError("the machine of the cluster is lost")
            await asyncio.wait({answer}, timeout=0.01)
        return answer.result()

    def end(self) -> None:
        if not self.ended:
            self.ended = self.lost = True
            self.painter.close()


@contextmanager
def ended(here: Here) -> Iterator[Here]:
    """An actor that is ended, however the test does."""
    try:
        yield here
    finally:
        here.end()


class Told:
    """What is told of attempts, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def __call__(self, ticket: str, event: Event) -> None:
        self.events.append((ticket, event))

    def of(self, ticket: str) -> list[Event]:
        return [event for one, event in self.events if one == ticket]

    async def until(self, ticket: str, *kinds: type) -> Event:
        """The first such event of the attempt."""
        async with asyncio.timeout(300):
            while not (found := [one for one in self.of(ticket) if isinstance(one, kinds)]):
                await asyncio.sleep(0.01)
        return found[0]
