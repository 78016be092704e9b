"""Somebody who listens to an executor, for tests."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import AttemptEnd, Event, Order

TIMEOUT_S = 150.0
"""Seconds that an attempt gets to begin, and to end, on a busy machine."""


def order(what: str, device: str | None = None, backend: str = "torch") -> Order:
    """An order for `works`, which go by the name."""
    path = Path("nowhere")
    settings = JobSettings(device=device, backend=backend)
    limit = 2 if what == "hang" else None
    return Order(
        what, settings, {}, content=path, styles=(path,), staging=path, step_timeout_s=limit
    )


class Listener:
    """Notes the events of the attempts of `executor`, by ticket."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self._news = executor, threading.Event()
        self.events: defaultdict[str, list[Event]] = defaultdict(list)
        executor.wake = self._news.set

    def submit(self, ticket: str, what: str, **more: str) -> None:
        self.executor.submit(ticket, order(what, **more))

    def run(self, ticket: str, what: str, **more: str) -> list[Event]:
        """All that comes of an attempt."""
        self.submit(ticket, what, **more)
        self.until_ended(ticket)
        return self.events[ticket]

    def until_ended(self, *tickets: str) -> None:
        self._listen_until(lambda: all(self.ends(ticket) for ticket in tickets))

    def until_begun(self, *tickets: str) -> None:
        self._listen_until(lambda: all(self.events[ticket] for ticket in tickets))

    def _listen_until(self, condition: Callable[[], bool]) -> None:
        """Note events until `condition` holds; raises AssertionError after TIMEOUT_S."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, self.events
            self.listen()

    def listen(self) -> None:
        """Wait for news of the executor, and note its events; raises AssertionError likewise."""
        assert self._news.wait(TIMEOUT_S), self.events
        self._news.clear()
        for received in self.executor.events():
            self.events[received.ticket].append(received.event)

    def ends(self, ticket: str) -> list[Event]:
        return [event for event in self.events[ticket] if isinstance(event, AttemptEnd)]
