"""Runs jobs in a worker process on this machine: one that lives long and paints one at a time."""

import signal
from collections.abc import Callable, Generator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.execute.contract import Done, Event, Failed, Order, Refused, Stopped

WORK = "stylewatch_daemon.execute.worker:work"
_SERVE = "stylewatch_daemon.execute.child:serve"

ASK_EVERY = 0.2
"""Seconds between two looks at whether to stop, while nothing comes from the worker."""

LEAVE_WITHIN = 2.0
"""Seconds that an idle worker gets to leave before it is killed."""


class Local:
    """An executor of one worker process, which is started when it is first needed.

    `work` names, as `module:function`, what paints in it; `lock` is a file that it holds while
    it lives. After a crash the next order gets a fresh process.
    """

    def __init__(self, lock: Path, work: str = WORK) -> None:
        self._lock = lock
        self._work = work
        self._process: BaseProcess | None = None
        self._orders: Connection | None = None

    def run(self, order: Order, stopping: Callable[[], bool]) -> Generator[Event, None, None]:
        """The events of `order` as they come, exactly one End last.

        Once `stopping()` says so, the worker is asked to keep a checkpoint and stop. Whoever
        closes this generator before its End kills the worker.
        """
        process, orders = self._ready()
        ended = asked = False
        try:
            orders.send(order)
            while not ended:
                if stopping() and not asked:
                    asked = True
                    orders.send("stop")
                if not wait([orders, process.sentinel], ASK_EVERY):
                    continue
                event = _receive(orders)
                if event is None:
                    break
                ended = isinstance(event, Done | Stopped | Refused | Failed)
                yield event
        except BrokenPipeError:
            pass
        finally:
            if not ended:
                self.kill()
        if not ended:
            yield Failed(f"the worker process died ({_cause(process)}) while it painted")

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
