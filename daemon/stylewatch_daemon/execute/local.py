"""The executor `local`: worker processes on this machine, one for each device."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import get_args

from stylewatch_daemon.execute.contract import End, Heard, Order, Started, Wanted
from stylewatch_daemon.execute.crew import Crew
from stylewatch_daemon.execute.slot import Slot

WORK = "stylewatch_daemon.execute.batch:work"

MUCH_MEMORY = 2 << 30
"""Bytes that an idle worker may hold however small the machine; torch alone takes half of it."""


class Local:
    """Workers for `devices`; for none: one worker, then one for each accelerator that it finds.

    `work` names, as `module:function`, what paints in them; `lock` is a file that each holds
    while it lives. They are started when they are first needed. After a crash the next order
    gets a fresh process, and so it does where the worker, idle, holds more than `most_memory`
    bytes. One that hangs is ended; one that is idle for `idle_s` seconds is let go.
    """

    def __init__(
        self,
        lock: Path,
        work: str = WORK,
        *,
        devices: Sequence[str] = (),
        idle_s: float = 60.0,
        most_memory: int | None = None,
    ) -> None:
        self.wake: Callable[[], object] = lambda: None
        self._lock, self._work = lock, work
        self._most_memory = _much_memory() if most_memory is None else most_memory
        self._devices: list[str | None] = list(devices) or [None]
        self._finds_more = not devices
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._going: dict[str, int] = {}
        """For each attempt the number of those that it came with."""
        self._batches = count()
        self._idle_s = idle_s
        self._crew: Crew | None = None

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made in the first worker that is free."""
        if self._crew is None:  # until there is work, there is not even a thread
            slots = [self._slot(device) for device in self._devices]
            self._crew = Crew(slots, self._idle_s, self._tell)
            self._crew.start()
        self._going |= dict.fromkeys(orders, next(self._batches))
        self._crew.submit(orders)

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on what is wanted of an attempt."""
        if self._crew is not None:
            self._crew.ask(ticket, wanted)

    def drop(self, ticket: str) -> None:
        """Kill the worker that makes this attempt, or stop it there where others have a part."""
        if self._crew is not None:
            self._crew.drop(ticket)

    def heard(self) -> Iterator[Heard]:
        """The events that came since this was last asked."""
        while True:
            try:
                one = self._heard.get_nowait()
            except Empty:
                return
            if isinstance(one.event, Started):
                self._open_more(one.event)
            elif isinstance(one.event, get_args(End)):
                self._going.pop(one.ticket, None)
            yield one

    def free(self) -> int:
        """How many workers have nothing to do."""
        return max(0, len(self._devices) - len(set(self._going.values())))

    def close(self) -> None:
        """End the workers at once, but for idle ones, which may leave by themselves."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def _tell(self, heard: Heard) -> None:
        self._heard.put(heard)
        self.wake()

    def _open_more(self, first: Started) -> None:
        """Have workers for the accelerators beside the one that the first worker chose."""
        more = [one for one in first.accelerators if one != first.device]
        if self._finds_more and self._crew is not None and first.accelerators:
            self._finds_more = False
            for device in more:
                self._devices.append(device)
                self._crew.join(self._slot(device))

    def _slot(self, device: str | None) -> Slot:
        return Slot(device, self._lock, self._work, self._most_memory)


def _much_memory() -> int:
    """Bytes from which on an idle worker is too big: a quarter of the machine's memory."""
    if not hasattr(os, "sysconf"):
        return MUCH_MEMORY
    return max(MUCH_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
