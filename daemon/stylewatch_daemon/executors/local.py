"""The executor `local`: worker processes on this machine, one or more for each device."""

import os
import time
from collections.abc import Callable, Sequence
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path

from stylewatch_daemon.base.model import Started
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.scheduler import Command, Scheduler
from stylewatch_daemon.executors.worker_process import WorkerProcess
from stylewatch_daemon.worker.messages import AttemptEvent

WORK = "stylewatch_daemon.worker.run_job:work"

MAX_IDLE_MEMORY = max(2 << 30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
"""Maximum bytes that an idle worker may hold: a quarter of the machine's memory, but at least 2
GiB, because torch alone needs half of that."""

POLL_EVERY = 0.2
"""Maximum wait for a busy worker, in seconds. Time is counted in pieces of at most this length, so
that no worker looks hung after the machine was asleep."""


class Local(Executor):
    """Executor with `workers` processes for each of `devices`.

    The device None is the one that the backend prefers. By default it is the only device; once a
    job has started on an accelerator, each accelerator is a device. `work` names, as
    `module:function`, the code that workers run; `lock` is a file that all workers lock, shared,
    while they live.

    A worker is started when it is first needed. If it crashed, or holds more than MAX_IDLE_MEMORY
    bytes while idle, it is replaced for the next order. A worker that hangs is killed; after
    `idle_s` seconds without work it is ended.
    """

    def __init__(
        self,
        lock: Path,
        work: str = WORK,
        *,
        devices: Sequence[str | None] = (),
        workers: int = 1,
        idle_s: float = 60.0,
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__("workers", wake)
        self._lock = lock
        self._work = work
        self._idle_s = idle_s
        self._each = workers
        self._adds_devices = not devices
        self._workers = [
            self._worker(device) for device in devices or (None,) for _ in range(workers)
        ]
        self._scheduler = Scheduler(self._emit, self._workers)
        self.capacity = len(self._workers)

    def _worker(self, device: str | None) -> WorkerProcess:
        return WorkerProcess(self._emit, device, self._lock, self._work, MAX_IDLE_MEMORY)

    def _emit(self, event: AttemptEvent) -> None:
        first = event.event
        if self._adds_devices and isinstance(first, Started):
            kind, _, number = first.device.partition(":")
            names = (device for device in first.accelerators if kind == device.partition(":")[0])
            used = next((name for name in names if name == first.device or not number), None)
            if used is not None:
                self._adds_devices = False
                for worker in self._workers:
                    worker.device = used
                for device in first.accelerators:
                    for _ in range(self._each if device != used else 0):
                        self._workers.append(self._worker(device))
                        self._scheduler.add(self._workers[-1])
                self.capacity = len(self._workers)
        super()._emit(event)

    def _obey(self, command: Command) -> None:
        self._scheduler.obey(command)

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
            self._obey_next()
        for worker in list(self._workers):
            if any(handle in ready for handle in worker.handles):
                worker.receive()
            else:
                worker.add_silence(passed)
            if worker.is_running and not worker.ticket and worker.idle_s >= self._idle_s:
                worker.stop()

    def _timeout(self) -> float | None:
        """Return the seconds to wait for an event; None: without limit."""
        running = [worker for worker in self._workers if worker.is_running]
        if any(worker.ticket for worker in running):
            return POLL_EVERY
        return min((max(0.0, self._idle_s - worker.idle_s) for worker in running), default=None)
