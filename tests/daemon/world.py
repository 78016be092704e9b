"""The small world of tests: settings, a fake executor and inspector, and a daemon in one thread."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from inspect import getmembers, isfunction
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from tests.daemon.clock import Clock
from tests.daemon.faults import fill, mounts, replaced, tree

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.child import BOOTSTRAP
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.lanes import Lanes, Post
from stylewatch_daemon.base.model import Attempt, Cause, Job, Picture, Progress, Started, State
from stylewatch_daemon.base.wakeup import Wakeup
from stylewatch_daemon.executors import base
from stylewatch_daemon.files import atomic
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Answer, Question
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.wall_clock import WallClock
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import ExecutionSettings, InboxSettings
from stylewatch_daemon.worker.messages import (
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    AttemptStopped,
    Done,
    Event,
    Failed,
    FileStaged,
    Order,
    Refused,
)

_SECTIONS = ("watch", "pairing", "limits", "executor")
CRASH = Failed("it broke", trace="a trace")
Ending = Done | Refused | Failed | AttemptLost | None


def make_inbox(
    path: Path,
    outbox: Path,
    after: Literal["archive", "keep", "delete"] = "archive",
    finals: Path | None = None,
) -> InboxSettings:
    return InboxSettings(path=path, outbox=outbox, after=after, finals=finals)


def make_settings(inboxes: Sequence[InboxSettings], state: Path, **values: Any) -> ServiceSettings:
    """Settings with `values` as for `changed_settings`."""
    return changed_settings(ServiceSettings(), inboxes=tuple(inboxes), state=state, **values)


def changed_settings(settings: ServiceSettings, **values: Any) -> ServiceSettings:
    """`settings` with other `values`: whole sections, or keys of those in _SECTIONS.

    `state` is a path, `cluster` has the settings of a cluster that runs the jobs.
    """
    if "state" in values:
        values["state"] = settings.state.model_copy(update={"path": values["state"]})
    if (cluster := values.pop("cluster", None)) is not None:
        values["executor"] = ExecutionSettings.model_validate({"kind": "ray", **cluster})
    for name in _SECTIONS:
        section = values.get(name, getattr(settings, name))
        own = {key: values.pop(key) for key in type(section).model_fields if key in values}
        if own:
            values[name] = section.model_copy(update=own)
    assert values.keys() <= ServiceSettings.model_fields.keys(), values
    return settings.model_copy(update=values)


def do_nothing() -> None:
    """Do nothing."""


@dataclass
class FakeExecutor(base.Executor):
    """Makes two stages, a final picture and a receipt, unless `endings` has another end.

    Each order takes the first of `endings`; None is a good one. As a real executor does, it writes
    a checkpoint after the first stage, and continues from there. Each call of `events` returns one
    event of each running order, or all of them if it `is_fast`.
    """

    endings: list[Ending] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    started_at: list[int] = field(default_factory=list)
    at_once: int = 1
    is_fast: bool = False
    going: dict[str, Iterator[Event]] = field(default_factory=dict)
    wanted: dict[str, AttemptRequest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wake: Callable[[], object] = do_nothing

    def __call__(self, *, wake: Callable[[], object]) -> "FakeExecutor":
        """Serve as its own factory."""
        self.wake = wake
        return self

    def submit(self, ticket: str, order: Order) -> None:
        self.going[ticket] = self.paint(order, partial(self._wanted, ticket))
        self.wake()

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        self.wanted[ticket] = wanted

    def drop(self, ticket: str) -> None:
        if ticket in self.going:
            self.going[ticket] = iter([AttemptLost("it was given up")])

    def events(self) -> Iterator[AttemptEvent]:
        for ticket, events in list(self.going.items()):
            for event in events:
                if isinstance(event, get_args(AttemptEnd)):
                    del self.going[ticket]
                self.wake()
                yield AttemptEvent(ticket, event)
                if not self.is_fast:
                    break

    def free(self) -> int:
        return self.at_once - len(self.going)

    def close(self) -> None:
        self.going.clear()

    def _obey(self, command: object) -> None: ...

    def _wait(self) -> None: ...

    def _fail(self, why: str) -> None: ...

    def _leave(self, why: str) -> None: ...

    def _wanted(self, ticket: str) -> AttemptRequest:
        return self.wanted.get(ticket, AttemptRequest.GO_ON)

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        self.orders.append(order)
        checkpoint = order.checkpoint or order.staging / "checkpoint"  # a preview has none
        first = 1 if checkpoint.exists() else 0
        self.started_at.append(first)
        yield Started("fake", "cpu", ((4, 4),), (2,), step=first)
        if first:  # left by an earlier attempt
            yield stage(order, "stages/1.png", 1, write=False)
        for step in range(first + 1, 3):
            if (asked := wanted()) in (AttemptRequest.STOP, AttemptRequest.CANCEL):
                yield AttemptStopped(step - 1)
                return
            if asked is AttemptRequest.FINISH:
                break
            yield Progress(step, 2, (4, 4), loss=1 / step, seconds=step)
            yield stage(order, f"stages/{step}.png", step)
            atomic.write(checkpoint, b"after step 1")
            ending = self.endings.pop(0) if self.endings else None
            if ending is not None:
                yield ending
                return
        yield stage(order, "final.png", 2)
        yield stage(order, "receipt.json", 2)
        if wanted() is AttemptRequest.FINISH:
            yield Done({"state": "stopped early"})
            return
        digest = sha256(order.main.read_bytes()).hexdigest()
        content = {"name": order.main.name, "size": [4, 4], "sha256": digest}
        yield Done({"job": order.name, "inputs": [content]})


def text_of(name: str, pair: str) -> str:
    """Return the text of an output of a pair; a receipt names the final picture."""
    text = f"{name} of {pair}"
    if name != "receipt.json":
        return text
    final = {"file": "final.png", "sha256": sha256(text_of("final.png", pair).encode()).hexdigest()}
    return json.dumps({"about": text, "files": [final]})


def stage(order: Order, name: str, step: int, *, write: bool = True) -> FileStaged:
    """Write a file of a job to its staging folder, unless an attempt before did; announce it."""
    content = text_of(name, f"{order.main.read_text()} and {order.styles[0].read_text()}").encode()
    if write:
        atomic.make_folder((order.staging / name).parent)
        atomic.write(order.staging / name, content)
    return FileStaged(name, sha256(content).hexdigest(), step)


class LanesNow(Lanes):
    """Do all work at once, in the main thread."""

    def do(self, root: Path, work: Any, done: Any, size: int = 0) -> None:
        try:
            result = work(do_nothing)
        except Exception as error:
            result = error
        self._post(partial(done, result))


class FakeInspector(Inspector):
    """Accepts every file; `says` has other verdicts, by the start of a file's text.

    There is no process. While it is `silent` there is no answer.
    """

    def __init__(
        self,
        post: Post = lambda call: None,
        idle_s: float = 0.0,
        *,
        says: dict[str, str] | None = None,
    ) -> None:
        self._post, self.says = post, {} if says is None else says
        self.asked: list[Question] = []
        self._open: list[Callable[[], object]] = []
        self._silent = False

    @property
    def silent(self) -> bool:
        return self._silent

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._silent = silent
        while self._open and not silent:
            self._post(self._open.pop(0))

    def ask(self, question: Question, done: Callable[[Answer | Exception], object]) -> None:
        self.asked.append(question)
        self._open.append(lambda: done(self._verdict(question)))
        self.silent = self._silent

    def end_if_idle(self) -> None:
        """There is no process."""

    def close(self) -> None:
        """There is no process."""

    def _verdict(self, question: Question) -> Answer:
        pictures = []
        for path in question.files:
            text = path.read_text(errors="replace")
            reason = next((self.says[start] for start in self.says if text.startswith(start)), "")
            if reason:
                return Answer(reason=reason, cause=Cause.PICTURE)
            pictures.append(Picture(path.name, sha256(path.read_bytes()).hexdigest(), (4, 4)))
        return Answer(tuple(pictures))


class Record(Reporter):
    """Records what the daemon reports: the name of the hook, and its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        for name, _ in getmembers(Reporter, isfunction):
            setattr(self, name, partial(self._add, name))

    def _add(self, name: str, *args: Any, **more: Any) -> None:
        self.calls.append((name, (*args, *more.values())))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of each call of a hook."""
        return [args for called, args in self.calls if called == name]


COARSE_NS = 10**7
"""Nanoseconds by which the times of files may lag behind the clock."""


class DaemonWorld:
    """Folders, a clock set by hand, and a daemon that starts anew; `record` is of its latest start.

    `values` are settings as for `changed_settings`; with `has_finals` all inboxes have `finals`.
    """

    opened: ClassVar[set["DaemonWorld"]] = set()
    """Worlds that have a ledger open, which the end of each test closes."""

    def __init__(
        self,
        root: Path,
        after: Any = "archive",
        inboxes: Sequence[str] = ("in",),
        *,
        has_finals: bool = False,
        **values: Any,
    ) -> None:
        self.root, self.inbox, self.outbox = root, root / "in", root / "out"
        self.finals = root / "finals" if has_finals else None
        self.executor, self.inspector = FakeExecutor(), FakeInspector()
        self.clock, self.record = Clock(), Record()
        self._waits: list[tuple[int, float]] = []
        """When time passed by that clock, and how much."""
        self.began, self.ahead = datetime.now(UTC), timedelta()
        sections = [make_inbox(root / name, self.outbox, after, self.finals) for name in inboxes]
        values = {"quiet_s": 0, "rescan_s": 1000, "free_bytes": 0, **values}
        self.settings = make_settings(sections, root / "state", **values)
        self.state = StateDir(root / "state")
        self._ledger: LedgerWriter | None = None

    # -- what happens

    def start(self) -> Loop:
        """Start the daemon, for the first time or again."""
        self.executor.close()
        self.close()
        self.state.make()
        self._ledger = LedgerWriter.open(self.state.ledger)
        self.opened.add(self)
        self.record = Record()
        wakeup = Wakeup()
        lanes = LanesNow(wakeup.post)
        jobs = Jobs(self.state, self._ledger, self.record, self.settings, self.clock, lanes)
        self.inspector = FakeInspector(wakeup.post, says=self.inspector.says)
        wall_clock = WallClock(self.now, self.clock)
        self.loop = Loop(jobs, self.executor, self.inspector, wakeup, self.clock, wall_clock)
        self.loop.wakeup.wait(0)
        return self.loop

    def now(self) -> datetime:
        """Return the time of the wall clock, which is `ahead` of the right time."""
        return self.began + timedelta(seconds=self.clock()) + self.ahead

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = None
        self.opened.discard(self)

    def drop(self, *names: str, inbox: str = "in") -> None:
        """Put pairs with these names into an inbox."""
        sides = ("content", "style")
        fill(self.root / inbox, *(f"{name}/{side}.jpg" for name in names for side in sides))

    def work(self, again: bool = False) -> list[str]:
        """Scan twice, and do everything that follows; return the names of the claimed jobs."""
        before = len(self.record.calls)
        scan(self.loop)
        run_jobs(self.loop, again)
        return [str(name[0]) for called, name in self.record.calls[before:] if called == "claimed"]

    def run(self) -> Loop:
        """Start the daemon and run everything in the inbox."""
        self.start()
        self.work()
        return self.loop

    def started(self, *names: str) -> Loop:
        """Start the daemon with these pairs, which are stable."""
        self.drop(*names)
        scan(self.start())
        return self.loop

    def queued(self, *names: str) -> Loop:
        """Start the daemon with these pairs; their jobs are queued, and no worker is free."""
        at_once, self.executor.at_once = self.executor.at_once, 0
        run_jobs(self.started(*names))
        self.executor.at_once = at_once
        return self.loop

    def ask(self, verb: str, name: str = "", **arguments: Any) -> None:
        """Leave a request, for the job with that name if one is given."""
        job = {"job": self.job(name).id} if name else {}
        requests.leave(self.state.root, verb, **job, **arguments)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._waits.append((time.time_ns(), seconds))
        self.clock.now += seconds

    def aging(self) -> AbstractContextManager[None]:
        """Let files be as old as the clock that is set by hand says."""

        def seconds_unchanged(file: BufferedReader, name: str, folder: int) -> float:
            changed = os.fstat(file.fileno()).st_ctime_ns + COARSE_NS
            return sum(seconds for at, seconds in self._waits if at > changed)

        return replaced(atomic, seconds_unchanged=seconds_unchanged)

    def apart(self, are_apart: bool = True) -> AbstractContextManager[None]:
        """Let inbox, state folder and outbox lie on disks of their own, if they are to."""
        return mounts(*([self.inbox, self.state.root, self.outbox] if are_apart else []))

    # -- what is seen

    def job(self, name: str) -> Job:
        """Return the latest job with that name, as the ledger has it."""
        with reading(self.state.ledger) as ledger:
            job = ledger.find(name)
        assert job is not None
        return job

    def attempts(self, name: str) -> tuple[Attempt, ...]:
        """Return the attempts at a job."""
        with reading(self.state.ledger) as ledger:
            return ledger.attempts(self.job(name).id)

    @property
    def jobs(self) -> list[Job]:
        """All jobs of the ledger, in their order."""
        with reading(self.state.ledger) as ledger:
            return ledger.in_state(*State)

    @property
    def states(self) -> dict[str, str]:
        """How far the jobs are, by name: the state, or the end."""
        return {job.name: job.end or job.state for job in self.jobs}

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs people see in each state, without zeros."""
        with reading(self.state.ledger) as ledger:
            return {seen: number for seen, number in ledger.counts().items() if number}

    @property
    def waiting_for(self) -> dict[str, str]:
        """The files that incomplete pairs wait for, by the pairs' names."""
        return {pair.name: pair.waits_for for pair in self.loop.intake.incomplete}

    @property
    def trouble(self) -> Mapping[str, str]:
        """The obstacles of the first inbox, and of jobs."""
        return {**self.loop.intake.inboxes[0].trouble, **self.loop.blocked}

    @property
    def held(self) -> list[dict[str, str]]:
        """The files of each claimed job, in their order."""
        return [tree(folder / "files") for folder in sorted(self.state.jobs.iterdir())]

    @property
    def published(self) -> dict[str, str]:
        """The files in the outbox but the status."""
        return {name: text for name, text in tree(self.outbox).items() if name != "_status.txt"}

    @property
    def status(self) -> str:
        """The text of the status."""
        return (self.outbox / "_status.txt").read_text()

    @property
    def left(self) -> list[str]:
        """The files of jobs that remain in the state folder and in the staging folder."""
        folders = (self.state.claims, self.state.jobs, self.state.uploads, self.outbox / ".staging")
        found = (path.name for folder in folders if folder.exists() for path in folder.iterdir())
        # of no job, like what a kill leaves of a test that one can write
        others = ("trash", ".", "probe-")
        return sorted(name for name in found if not name.startswith(others))


def claiming_world(root: Path, after: Any = "archive", **settings: Any) -> DaemonWorld:
    """Return a started daemon with the inboxes `in` and `other` and no worker that is free."""
    world = DaemonWorld(root, after, ("in", "other"), **settings)
    for inbox in world.settings.inboxes:
        inbox.path.mkdir(parents=True)
    world.executor.at_once = 0
    world.start()
    return world


def scan(loop: Loop) -> None:
    """Scan until all files are stable, and find the pairs."""
    for _ in range(2):
        loop.intake.scan()
        loop.wakeup.wait(0)


def step(loop: Loop) -> None:
    """Let the daemon do one round: each worker reports one event."""
    loop.round()
    loop.wakeup.wait(0)


def run_jobs(loop: Loop, again: bool = True) -> None:
    """Run all jobs that may be run now."""
    more = True
    while more:
        before = loop.jobs.changes
        loop.round(again)
        came = loop.wakeup.wait(0)
        more = came or bool(loop.attempts.running) or loop.jobs.changes != before
    loop.update_status()


def done(*names: str) -> dict[str, str]:
    """Return the files of pairs that are done."""
    files = {}
    for name in names:
        pair = f"{name}/content.jpg and {name}/style.jpg"
        for file in ("final.png", "receipt.json", "stages/1.png", "stages/2.png"):
            files[f"{name}/{file}"] = text_of(file, pair)
        for file in ("content.jpg", "style.jpg"):
            files[f"{name}/inputs/{file}"] = f"{name}/{file}"
    return files


def refused(name: str, reason: str) -> dict[str, str]:
    """Return the files of a pair that is refused, failed or canceled."""
    folder = f"{'_canceled' if reason == 'canceled' else '_refused'}/{name}"
    inputs = {f"{folder}/{file}": f"{name}/{file}" for file in ("content.jpg", "style.jpg")}
    return {**inputs, f"{folder}/reason.txt": f"{reason}\n"}


def children(pid: int | str) -> Iterator[int]:
    """Yield the processes that a process has started."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            yield from map(int, path.read_text().split())


def descendants(pid: int | str) -> Iterator[int]:
    """Yield the processes that a process has started, and theirs."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def child_name(pid: int) -> str:
    """Return the name of a process that was started as a Child; empty if it was not."""
    with suppress(OSError, ValueError):  # it has ended, or is no Child
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return arguments[arguments.index(BOOTSTRAP.encode()) + 1].decode()
    return ""


def child_pids(*names: str, of: str = "self") -> list[int]:
    """Return the PIDs of the live children that were started as a Child, with those `names`."""
    named = ((pid, child_name(pid)) for pid in children(of))
    return [pid for pid, name in named if name and (not names or name in names)]
