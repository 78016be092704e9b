"""Runs jobs in a worker process on this machine: one that lives long and paints one at a time."""

import os
import signal
from collections.abc import Callable, Generator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.execute.contract import (
    Alive,
    Done,
    Event,
    Failed,
    Order,
    Refused,
    Stopped,
    Wanted,
)
from stylewatch_daemon.execute.patience import Patience

WORK = "stylewatch_daemon.execute.worker:work"
_SERVE = "stylewatch_daemon.execute.child:serve"

ASK_EVERY = 0.2
"""Seconds between two looks at whether to stop, while nothing comes from the worker."""

MUCH_MEMORY = 2 << 30
"""Bytes that an idle worker may hold however small the machine; torch alone takes half of it."""

LEAVE_WITHIN = 2.0
"""Seconds that an idle worker gets to leave before it is killed."""


class Local:
    """An executor of one worker process, which is started when it is first needed.

    `work` names, as `module:function`, what paints in it; `lock` is a file that it holds while
    it lives. After a crash the next order gets a fresh process, and so it does where the worker,
    idle, holds more than `most_memory` bytes. One that is silent for longer than Patience has it
    is ended.
    """

    def __init__(
        self,
        lock: Path,
        work: str = WORK,
        *,
        most_memory: int | None = None,
    ) -> None:
        self._lock = lock
        self._work = work
        self._most_memory = _much_memory() if most_memory is None else most_memory
        self._process: BaseProcess | None = None
        self._orders: Connection | None = None

    def run(self, order: Order, wanted: Callable[[], Wanted]) -> Generator[Event, None, None]:
        """The events of `order` as they come, exactly one End last.

        While the worker is silent, there is an Alive every ASK_EVERY seconds. What is `wanted()`
        is passed on to it when that changes. Whoever closes this generator before its End kills
        the worker.
        """
        process, orders = self._ready()
        patience = Patience(order.step_timeout_s)
        ended = hung = False
        try:
            orders.send(order)
            while not (ended or hung):
                if (now := wanted()) and now != patience.asked:
                    patience.asked = now
                    orders.send(now)
                if not wait([orders, process.sentinel], ASK_EVERY):
                    hung = patience.waited(ASK_EVERY)
                    yield Alive()
                    continue
                event = _receive(orders)
                if event is None:
                    break
                patience.heard(event)
                ended = isinstance(event, Done | Stopped | Refused | Failed)
                yield event
        except BrokenPipeError:
            pass
        finally:
            if not ended:
                self.kill()
        if not ended:
            died = f"the worker process died ({_cause(process)}) while it painted"
            silent = f"the worker hung: there was no sign of life for {patience.silent:.0f} s"
            yield Failed(silent if hung else died)

    def close(self) -> None:
        """Let the worker go; what it holds, a GPU's memory too, is given back."""
        if self._process is not None and self._orders is not None:
            self._orders.close()
            self._process.join(LEAVE_WITHIN)
        self.kill()

    def kill(self) -> None:
        """End the worker at once."""
        if self._process is not None and self._orders is not None:
            self._process.kill()
            self._process.join()
            self._orders.close()
        self._process = self._orders = None

    def _ready(self) -> tuple[BaseProcess, Connection]:
        if self._process is not None and _memory(self._process.pid) > self._most_memory:
            self.close()
        if self._process is None or self._orders is None or not self._process.is_alive():
            self.kill()
            spawn = get_context("spawn")  # CUDA needs it, and it takes nothing of ours along
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_enter, args=(theirs, self._work, self._lock))
            process.start()
            theirs.close()
            self._process, self._orders = process, ours
        return self._process, self._orders


def _enter(orders: Connection, work: str, lock: Path) -> None:
    """The child's door; what lies behind it is heavy, and is loaded there only."""
    resolve_name(_SERVE)(orders, work, lock)


def _much_memory() -> int:
    """Bytes from which on an idle worker is too big: a quarter of the machine's memory."""
    if not hasattr(os, "sysconf"):
        return MUCH_MEMORY
    return max(MUCH_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)


def _memory(pid: int | None) -> int:
    """Bytes of memory that a process holds; 0 where the kernel does not say."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _receive(orders: Connection) -> Event | None:
    """The next event; None where the worker is gone and there is none left."""
    try:
        event: Event | None = orders.recv() if orders.poll() else None
    except (EOFError, OSError):
        return None
    return event


def _cause(process: BaseProcess) -> str:
    code = process.exitcode
    if code == -signal.SIGKILL:
        return "signal 9, often for want of memory; a smaller size needs less"
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
