"""Work of the daemon's other threads: each task has a thread, but only one thread runs at a time.

A task runs until it ends or pauses at a call, and goes on when the world lets it. So a hung disk
holds up its own task alone, and users act in the middle of a copy.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from threading import Lock, Thread
from typing import Any, ClassVar, TypeVar

from tests.simulate.seam import KilledError

from stylewatch_daemon.base.errors import OutputError

Post = Callable[[Callable[[], object]], object]

_Result = TypeVar("_Result")


class _Worker:
    """A thread that does one piece of work after the other."""

    idle: ClassVar[list["_Worker"]] = []
    """Those without work: to start a thread takes longer than most work."""

    def __init__(self) -> None:
        self._work: Callable[[], object] = lambda: None
        self._go = Lock()
        self._go.acquire()
        Thread(target=self._run, daemon=True).start()

    def begin(self, work: Callable[[], object]) -> None:
        """Let the thread do `work`."""
        self._work = work
        self._go.release()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            self._work()


class Task:
    """A piece of work, which is paused before it begins."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self.result: Any = None
        self.has_ended = self.is_killed = False
        self.calls_left = 0
        """Number of calls until it pauses once; 0 if it does not."""
        self._go, self._back = Lock(), Lock()
        self._go.acquire()
        self._back.acquire()
        self._worker: _Worker | None = None

    def resume(self) -> None:
        """Let it run until it pauses or ends."""
        if self._worker is None:
            self._worker = _Worker.idle.pop() if _Worker.idle else _Worker()
            self._worker.begin(self._run)
        else:
            self._go.release()
        self._back.acquire()
        if self.has_ended:
            _Worker.idle.append(self._worker)

    def pause(self) -> None:
        """Return to whoever resumed it, from its own thread; raises KilledError if it is killed."""
        self._back.release()
        self._go.acquire()
        if self.is_killed:
            raise KilledError

    def kill(self) -> None:
        """End it by a KilledError."""
        self.is_killed = True
        if not self.has_ended:
            self.resume()

    def _run(self) -> None:
        try:
            if not self.is_killed:
                self.result = self._work()
        except BaseException as error:
            self.result = error.with_traceback(None) if isinstance(error, KilledError) else error
        self.has_ended = True
        self._work = lambda: None
        self._back.release()


@dataclass
class _Lane:
    """Work that is done in its order, one piece after the other."""

    queue: deque[tuple[Callable[[], Any], Callable[[Any], object]]] = field(default_factory=deque)
    task: Task | None = None
    done: Callable[[Any], object] = lambda result: None
    heard: float = 0.0
    """When its task last ran."""


class Lanes:
    """All lanes of a daemon; `later` does something after so many seconds."""

    def __init__(
        self,
        later: Callable[[float, Callable[[], object]], object],
        run: Callable[[Task], object],
        clock: Callable[[], float],
        random: Random,
        pace: float,
    ) -> None:
        self._later, self._run, self._clock = later, run, clock
        self._random, self._pace = random, pace
        self._lanes: dict[tuple[Path, bool], _Lane] = {}
        self._looks: list[Task] = []
        """Work outside the lanes, each in a thread of its own."""
        self.post: Post = lambda call: None
        self.is_leaving = self.is_resting = False

    @property
    def tasks(self) -> list[Task]:
        """The tasks that have begun and not ended."""
        return [lane.task for lane in self._lanes.values() if lane.task is not None]

    @property
    def heard(self) -> dict[tuple[Path, bool], float]:
        """When each lane that has work last gave a sign of life."""
        return {key: lane.heard for key, lane in self._lanes.items() if lane.task is not None}

    @property
    def is_idle(self) -> bool:
        """True if there is no work."""
        return not any(lane.task or lane.queue for lane in self._lanes.values())

    def add(
        self,
        key: tuple[Path, bool],
        work: Callable[[Callable[[], None]], Any],
        done: Callable[[Any], object],
    ) -> None:
        """Do `work` in a lane of a folder, perhaps that of its long files; then post `done`."""
        lane = self._lanes.setdefault(key, _Lane())
        lane.queue.append((partial(work, self.step), done))
        if lane.task is None and len(lane.queue) == 1:
            self._begin_soon(lane)

    def step(self) -> None:
        """Raise OutputError if the daemon is stopping; its copies call this."""
        if self.is_leaving or self.is_resting:
            raise OutputError("copying was stopped; the next start continues it")

    def _begin_soon(self, lane: _Lane) -> None:
        delay = self._random.choice([0.0, 0.0, 0.01, 0.3]) * self._pace
        self._later(delay, partial(self._begin, lane))

    def _begin(self, lane: _Lane) -> None:
        if self.is_leaving or not lane.queue:
            return
        work, lane.done = lane.queue.popleft()
        task = lane.task = Task(work)
        if self._random.random() < 0.2 * self._pace:
            task.calls_left = self._random.randint(1, 40)
        self.go_on(task)

    def go_on(self, task: Task) -> None:
        """Let a task run; once it has ended, its lane does the next work."""
        lane = next((lane for lane in self._lanes.values() if lane.task is task), None)
        self._run(task)
        if lane is None or not task.has_ended:
            if lane is not None:
                lane.heard = self._clock()
            return
        lane.task = None
        if isinstance(task.result, KilledError):
            return
        if isinstance(task.result, BaseException) and not isinstance(task.result, Exception):
            raise task.result
        if not self.is_leaving:
            self.post(partial(lane.done, task.result))
        if lane.queue:
            self._begin_soon(lane)

    def bounded(
        self,
        wait: Callable[[float, Callable[[], bool]], object],
        work: Callable[[], _Result],
        seconds: float,
    ) -> _Result | None:
        """Return the result of `work`, or None if a disk does not answer for so many seconds."""
        task = Task(work)
        self._looks.append(task)
        self._run(task)
        if not task.has_ended:
            wait(seconds, lambda: task.has_ended)
        if isinstance(task.result, BaseException):
            raise task.result
        result: _Result | None = task.result
        return result

    def kill(self) -> None:
        """End all tasks, as a kill does."""
        for task in (*self.tasks, *self._looks):
            task.kill()
        self._lanes.clear()
