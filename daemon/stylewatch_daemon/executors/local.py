"""The executor `local`: worker processes on this machine, one for each device."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylewatch_daemon.executors.base import Desk
from stylewatch_daemon.executors.worker_pool import Crew
from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.model import Started
from stylewatch_daemon.worker.contract import Heard

WORK = "stylewatch_daemon.worker.batch:work"

MUCH_MEMORY = 2 << 30
"""Bytes that an idle worker may hold however small the machine; torch alone takes half of it."""


class Local(Desk):
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
        super().__init__()
        self._lock, self._work = lock, work
        self._most_memory = much_memory() if most_memory is None else most_memory
        self._devices: list[str | None] = list(devices) or [None]
        self._finds_more = not devices
        self._idle_s = idle_s

    def _hire(self) -> Crew:
        slots = [self._slot(device) for device in self._devices]
        return Crew(slots, self._idle_s, self._tell)

    def _places(self) -> int:
        return len(self._devices)

    def heard(self) -> Iterator[Heard]:
        """The events that came since this was last asked."""
        for one in super().heard():
            if isinstance(one.event, Started):
                self._open_more(one.event)
            yield one

    def _open_more(self, first: Started) -> None:
        """Have workers for the accelerators beside the one that the first worker chose."""
        more = [one for one in first.accelerators if one != first.device]
        if self._finds_more and isinstance(self._hands, Crew) and first.accelerators:
            self._finds_more = False
            for device in more:
                self._devices.append(device)
                self._hands.join(self._slot(device))

    def _slot(self, device: str | None) -> Slot:
        return Slot(device, self._lock, self._work, self._most_memory)


def much_memory() -> int:
    """Bytes from which on an idle worker is too big: a quarter of the machine's memory."""
    if not hasattr(os, "sysconf"):
        return MUCH_MEMORY
    return max(MUCH_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
