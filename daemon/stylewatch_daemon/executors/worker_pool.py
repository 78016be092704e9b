"""The worker processes of this machine, a Slot for each device, and the thread they live in.

One thread alone touches the slots: what others want done comes to it as a command. So none of
this needs a lock, and a slow disk elsewhere in the daemon keeps no worker waiting, nor hides a
hung one.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from multiprocessing import Pipe
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue

from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.worker.contract import Heard, Lost, Order, Stopped, Wanted

ASK_EVERY = 0.2
"""Seconds that a busy worker is waited for at a stretch; time is counted in no longer pieces, so
that a machine that slept makes no worker look hung."""

Tell = Callable[[Heard], object]
"""Hears of every event."""


class Crew:
    """Workers in `slots`; one that was idle for `idle_s` seconds is let go."""

    def __init__(self, slots: Collection[Slot], idle_s: float, tell: Tell) -> None:
        self._slots, self._idle_s, self._tell = list(slots), idle_s, tell
        self._waiting: list[dict[str, Order]] = []
        """What came together waits together, by ticket."""
        self._wanted: dict[str, Wanted] = {}
        """What is wanted of attempts that wait for their device."""
        self._commands: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._hears, self._knocks = Pipe(duplex=False)
        self._leaving = False
        self._thread = threading.Thread(target=self._go, name="workers", daemon=True)

    def start(self) -> None:
        """Begin to listen to commands."""
        self._thread.start()

    def join(self, slot: Slot) -> None:
        """Work in another slot, too."""
        self._do(lambda: self._slots.append(slot))

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Begin attempts, by ticket, as soon as their device is free."""
        self._do(lambda: self._waiting.append(dict(orders)))

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Tell the worker of an attempt what is wanted."""
        self._do(lambda: self._ask(ticket, wanted))

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._do(lambda: self._drop(ticket))

    def close(self) -> None:
        """End everything, and the thread."""

        def leave() -> None:
            self._leaving = True

        self._do(leave)
        self._thread.join()
        self._hears.close()
        self._knocks.close()

    def _do(self, command: Callable[[], object]) -> None:
        self._commands.put(command)
        self._knocks.send_bytes(b"!")

    def _go(self) -> None:
        while not self._leaving:
            try:
                self._begin_what_can()
                self._listen()
            except Exception as error:  # whatever it is, nobody must wait for ever
                self._drop_all(f"a fault of our own, {type(error).__name__}: {error}")
        self._drop_all("the daemon left")
        for slot in self._slots:
            slot.let_go()

    def _listen(self) -> None:
        """Wait until something happens, and deal with it."""
        handles = list(chain.from_iterable(slot.handles for slot in self._slots))
        began = time.monotonic()
        ready = wait([self._hears, *handles], self._patience(began))
        passed = min(time.monotonic() - began, ASK_EVERY)
        if self._hears in ready:
            self._hears.recv_bytes()
            self._obey()
        for slot in self._slots:
            if any(handle in ready for handle in slot.handles):
                self._pass_on(slot.hear())
            else:
                self._pass_on(slot.waited(passed))
            if slot.manned and not slot.tickets and self._idle(slot) >= self._idle_s:
                slot.let_go()

    def _patience(self, now: float) -> float | None:
        """Seconds to wait for something to happen; None: until it does."""
        manned = [slot for slot in self._slots if slot.manned]
        if any(slot.tickets for slot in manned):
            return ASK_EVERY
        return min((max(0.0, self._idle_s - self._idle(slot)) for slot in manned), default=None)

    def _idle(self, slot: Slot) -> float:
        return time.monotonic() - slot.idle_since

    def _obey(self) -> None:
        while True:
            try:
                self._commands.get_nowait()()
            except Empty:
                return

    def _begin_what_can(self) -> None:
        """Begin what waits and has a free device, first come first served."""
        for orders in list(self._waiting):
            (device, *_) = [one.settings.device for one in orders.values()]
            slot = self._free_for(device)
            if slot is not None:
                self._waiting.remove(orders)
                self._pass_on(slot.begin(orders))
                for ticket in orders.keys() & self._wanted.keys():
                    slot.ask(ticket, self._wanted.pop(ticket))

    def _free_for(self, device: str | None) -> Slot | None:
        """A free slot: the one of the `device`, if that has one of its own."""
        own = [slot for slot in self._slots if device is not None and slot.device == device]
        free = (slot for slot in own or self._slots if not slot.tickets)
        return next(free, None)

    def _pass_on(self, events: Iterable[Heard]) -> None:
        for heard in events:
            self._tell(heard)

    def _ask(self, ticket: str, wanted: Wanted) -> None:
        for slot in self._slots:
            slot.ask(ticket, wanted)
        if any(ticket in orders for orders in self._waiting):
            self._wanted[ticket] = wanted
            if wanted in ("stop", "cancel"):
                self._forget(ticket, Stopped(0))

    def _drop(self, ticket: str) -> None:
        for slot in self._slots:
            if ticket in slot.tickets:
                self._pass_on(slot.drop(ticket, "it was given up"))
        self._forget(ticket, Lost("it was given up"))

    def _drop_all(self, why: str) -> None:
        for slot in self._slots:
            self._pass_on(slot.end(why))
        for ticket in list(chain.from_iterable(self._waiting)):
            self._forget(ticket, Lost(why))

    def _forget(self, ticket: str, end: Lost | Stopped) -> None:
        """End an attempt that waits."""
        self._wanted.pop(ticket, None)
        for orders in self._waiting:
            if orders.pop(ticket, None) is not None:
                self._tell(Heard(ticket, end))
        self._waiting = [orders for orders in self._waiting if orders]
