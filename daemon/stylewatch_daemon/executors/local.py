"""The executor `local`: worker processes on this machine, one for each device."""

import os
import time
from collections.abc import Callable, Sequence
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from stylewatch_daemon.executors.base import ThreadedExecutor
from stylewatch_daemon.executors.scheduler import Scheduler
from stylewatch_daemon.executors.worker_process import WorkerProcess
from stylewatch_daemon.model import Started
from stylewatch_daemon.worker.messages import AttemptEvent

WORK = "stylewatch_daemon.worker.batch:work"

MAX_IDLE_MEMORY = 2 << 30
"""Bytes that an idle worker may hold on a machine of any size; torch alone takes half of it."""

POLL_EVERY = 0.2
"""Longest wait for a busy worker, in seconds. Time is counted in pieces no longer than that, so a
machine that slept makes no worker look hung."""


class Local(ThreadedExecutor):
    """Workers for `devices` (None: the one that the backend prefers).

    By default there is one, then one for each accelerator that it finds. `work` names, as
    `module:function`, the code that runs in them; `lock` is a file that each holds while it lives.
    Workers are started when they are first needed. One that crashed, or that holds more than
    `most_memory` bytes while idle, is replaced for the next order. One that hangs is killed; one
    that is idle for `idle_s` seconds is ended.
    """

    def __init__(
        self,
        lock: Path,
        work: str = WORK,
        *,
        devices: Sequence[str | None] = (),
        idle_s: float = 60.0,
        most_memory: int | None = None,
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__("workers", wake)
        self._lock, self._work, self._idle_s = lock, work, idle_s
        self._most_memory = max_idle_memory() if most_memory is None else most_memory
        self._adds_devices = not devices
        self._workers = [self._worker(device) for device in devices or (None,)]
        self._scheduler = Scheduler(self._emit, self._workers)
        self.capacity = len(self._workers)

    def _worker(self, device: str | None) -> WorkerProcess:
        return WorkerProcess(device, self._lock, self._work, self._most_memory)

    def _emit(self, event: AttemptEvent) -> None:
        if isinstance(event.event, Started):
            self._add_devices(event.event)
        super()._emit(event)

    def _add_devices(self, first: Started) -> None:
        """Add workers for the accelerators that the first worker did not choose itself."""
        if self._adds_devices and first.accelerators:
            self._adds_devices = False
            for device in first.accelerators:
                if device != first.device:
                    self._workers.append(self._worker(device))
                    self._scheduler.add(self._workers[-1])
            self.capacity = len(self._workers)

    def _call(self, method: str, *args: Any) -> None:
        getattr(self._scheduler, method)(*args)

    def _fail(self, why: str) -> None:
        self._scheduler.end_all(why)

    def _leave(self, why: str) -> None:
        self._scheduler.end_all(why)
        for worker in self._workers:
            worker.stop()

    def _wait(self) -> None:
        self._scheduler.assign()
        handles = list(chain.from_iterable(worker.handles for worker in self._workers))
        began = time.monotonic()
        ready = wait([self._wakeup, *handles], self._timeout())
        passed = min(time.monotonic() - began, POLL_EVERY)
        if self._wakeup in ready:
            self._obey()
        for worker in list(self._workers):
            if any(handle in ready for handle in worker.handles):
                self._scheduler.emit_all(worker.receive())
            else:
                self._scheduler.emit_all(worker.add_silence(passed))
            if worker.is_running and not worker.tickets and _idle(worker) >= self._idle_s:
                worker.stop()

    def _timeout(self) -> float | None:
        """Return the seconds to wait for something to happen; None: without limit."""
        running = [worker for worker in self._workers if worker.is_running]
        if any(worker.tickets for worker in running):
            return POLL_EVERY
        return min((max(0.0, self._idle_s - _idle(worker)) for worker in running), default=None)


def _idle(worker: WorkerProcess) -> float:
    """Return the seconds that a worker has been idle."""
    return time.monotonic() - worker.idle_since


def max_idle_memory() -> int:
    """Return the bytes above which an idle worker is replaced: a quarter of the memory."""
    return max(MAX_IDLE_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
