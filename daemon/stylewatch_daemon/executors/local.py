"""The executor `local`: worker processes on this machine, one for each device.

One thread alone touches the worker processes; calls from other threads reach it as commands. So
nothing here needs a lock, and a slow disk elsewhere in the daemon neither keeps a worker waiting
nor hides one that hangs.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue

from stylewatch_daemon.executors.base import ThreadedExecutor
from stylewatch_daemon.executors.scheduler import Emit, Scheduler
from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.model import Started
from stylewatch_daemon.worker.messages import AttemptEvent, Order, Wanted

WORK = "stylewatch_daemon.worker.batch:work"

MAX_IDLE_MEMORY = 2 << 30
"""Bytes that an idle worker may hold on a machine of any size; torch alone takes half of it."""

POLL_EVERY = 0.2
"""Longest wait for a busy worker, in seconds. Time is counted in pieces no longer than that, so a
machine that slept makes no worker look hung."""


class Local(ThreadedExecutor):
    """Workers for `devices`; by default one, then one for each accelerator that it finds.

    `work` names, as `module:function`, the code that runs in them; `lock` is a file that each
    holds while it lives. Workers are started when they are first needed. One that crashed, or
    that holds more than `most_memory` bytes while idle, is replaced for the next order. One that
    hangs is killed; one that is idle for `idle_s` seconds is ended.
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
        self._lock, self._work, self._idle_s = lock, work, idle_s
        self._most_memory = max_idle_memory() if most_memory is None else most_memory
        self._devices: list[str | None] = list(devices) or [None]
        self._adds_devices = not devices

    def _make_runner(self) -> "WorkerPool":
        return WorkerPool(
            [self._slot(device) for device in self._devices], self._idle_s, self._emit
        )

    def _places(self) -> int:
        return len(self._devices)

    def _received(self) -> list[AttemptEvent]:
        received = super()._received()
        for event in received:
            if isinstance(event.event, Started):
                self._add_devices(event.event)
        return received

    def _add_devices(self, first: Started) -> None:
        """Add workers for the accelerators that the first worker did not choose itself."""
        if self._adds_devices and isinstance(self._runner, WorkerPool) and first.accelerators:
            self._adds_devices = False
            for device in first.accelerators:
                if device != first.device:
                    self._devices.append(device)
                    self._runner.add(self._slot(device))

    def _slot(self, device: str | None) -> Slot:
        return Slot(device, self._lock, self._work, self._most_memory)


class WorkerPool:
    """Worker processes and the thread that serves them; an idle one is ended after `idle_s`."""

    def __init__(self, slots: Collection[Slot], idle_s: float, emit: Emit) -> None:
        self._slots, self._idle_s = list(slots), idle_s
        self._scheduler = Scheduler(emit, self._slots)
        self._commands: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._wakeup, self._waker = Pipe(duplex=False)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, slot: Slot) -> None:
        """Use another worker process."""

        def add() -> None:
            self._slots.append(slot)
            self._scheduler.add(slot)

        self._do(add)

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run attempts, by ticket, as soon as their device is free."""
        self._do(lambda: self._scheduler.submit(orders))

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on to an attempt."""
        self._do(lambda: self._scheduler.ask(ticket, wanted))

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._do(lambda: self._scheduler.drop(ticket))

    def close(self) -> None:
        """End all attempts, all processes and the thread."""

        def close() -> None:
            self._closing = True

        self._do(close)
        self._thread.join()
        self._wakeup.close()
        self._waker.close()

    def _do(self, command: Callable[[], object]) -> None:
        self._commands.put(command)
        self._waker.send_bytes(b"!")

    def _run(self) -> None:
        while not self._closing:
            try:
                self._scheduler.assign()
                self._wait()
            except Exception as error:  # whatever it is, no caller may wait forever
                self._scheduler.end_all(f"a fault of our own, {type(error).__name__}: {error}")
        self._scheduler.end_all("the daemon left")
        for slot in self._slots:
            slot.let_go()

    def _wait(self) -> None:
        """Wait until something happens, and handle it."""
        handles = list(chain.from_iterable(slot.handles for slot in self._slots))
        began = time.monotonic()
        ready = wait([self._wakeup, *handles], self._timeout())
        passed = min(time.monotonic() - began, POLL_EVERY)
        if self._wakeup in ready:
            self._wakeup.recv_bytes()
            self._commands.get()()
        for slot in self._slots:
            if any(handle in ready for handle in slot.handles):
                self._scheduler.emit_all(slot.hear())
            else:
                self._scheduler.emit_all(slot.waited(passed))
            if slot.manned and not slot.tickets and _idle(slot) >= self._idle_s:
                slot.let_go()

    def _timeout(self) -> float | None:
        """Seconds to wait for something to happen; None: without limit."""
        running = [slot for slot in self._slots if slot.manned]
        if any(slot.tickets for slot in running):
            return POLL_EVERY
        return min((max(0.0, self._idle_s - _idle(slot)) for slot in running), default=None)


def _idle(slot: Slot) -> float:
    """Seconds that a slot has been idle."""
    return time.monotonic() - slot.idle_since


def max_idle_memory() -> int:
    """Bytes above which an idle worker is replaced: a quarter of the machine's memory."""
    if not hasattr(os, "sysconf"):
        return MAX_IDLE_MEMORY
    return max(MAX_IDLE_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
