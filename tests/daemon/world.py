"""Settings, a fake executor and inspector, and a daemon without child processes, for tests."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from stylewatch_daemon.app.daemon import assemble
from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.child import BOOTSTRAP
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Cause, Picture, Progress, Started
from stylewatch_daemon.base.mover import Mover, Post
from stylewatch_daemon.base.wakeup import Wakeup
from stylewatch_daemon.files import atomic
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Inspected, Question
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Executor, Inbox
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    AttemptRequest,
    Done,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
    Staged,
    Stopped,
)

_SECTIONS = ("watch", "pairing", "limits", "executor")


def make_inbox(
    path: Path,
    outbox: Path,
    after: Literal["archive", "keep", "delete"] = "archive",
) -> Inbox:
    return Inbox(path=path, outbox=outbox, after=after)


def make_settings(inboxes: Sequence[Inbox], state: Path, **values: Any) -> ServiceSettings:
    """Settings with `values` as for `changed_settings`."""
    return changed_settings(ServiceSettings(), inboxes=tuple(inboxes), state=state, **values)


def changed_settings(settings: ServiceSettings, **values: Any) -> ServiceSettings:
    """`settings` with other `values`: whole sections, or keys of those in _SECTIONS.

    `state` is a path, `cluster` a Demand.
    """
    if "state" in values:
        values["state"] = settings.state.model_copy(update={"path": values["state"]})
    if (demand := values.pop("cluster", None)) is not None:
        values["executor"] = Executor(
            kind="ray",
            address=demand.address,
            gpus_per_job=demand.gpus,
            resources=dict(demand.resources),
        )
    for name in _SECTIONS:
        section = values.get(name, getattr(settings, name))
        own = {key: values.pop(key) for key in type(section).model_fields if key in values}
        if own:
            values[name] = section.model_copy(update=own)
    assert values.keys() <= ServiceSettings.model_fields.keys(), values
    return settings.model_copy(update=values)


Ending = Done | Refused | Failed | Lost | None


def do_nothing() -> None:
    """Do nothing."""


@dataclass
class FakeExecutor:
    """Makes two stages, a final picture and a receipt, unless `endings` has another end.

    Each order takes the first of `endings`; None is a good one. As a real executor does, it writes
    a checkpoint after the first stage, and continues from there. Each call of `events` returns one
    event of each running order.
    """

    endings: list[Ending] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    started_at: list[int] = field(default_factory=list)
    at_once: int = 1
    device: str = "cpu"
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
        self.going[ticket] = iter([Lost("it was given up")])

    def events(self) -> Iterator[AttemptEvent]:
        for ticket, events in list(self.going.items()):
            event = next(events)
            if isinstance(event, get_args(End)):
                del self.going[ticket]
            self.wake()
            yield AttemptEvent(ticket, event)

    def free(self) -> int:
        return self.at_once - len(self.going)

    def close(self) -> None:
        self.going.clear()

    def _wanted(self, ticket: str) -> AttemptRequest:
        return self.wanted.get(ticket, AttemptRequest.GO_ON)

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        self.orders.append(order)
        assert order.checkpoint is not None
        first = 1 if order.checkpoint.exists() else 0
        self.started_at.append(first)
        yield Started("fake", self.device, ((4, 4),), (2,), step=first)
        if first:  # left by an earlier attempt
            yield stage(order, "stages/1.png", 1, write=False)
        for step in range(first + 1, 3):
            if (asked := wanted()) in (AttemptRequest.STOP, AttemptRequest.CANCEL):
                yield Stopped(step - 1)
                return
            if asked is AttemptRequest.FINISH:
                break
            yield Progress(step, 2, (4, 4), loss=1 / step, seconds=step)
            yield stage(order, f"stages/{step}.png", step)
            atomic.write(order.checkpoint, b"after step 1")
            ending = self.endings.pop(0) if self.endings else None
            if ending is not None:
                yield ending
                return
        yield stage(order, "final.png", 2)
        yield stage(order, "receipt.json", 2)
        digest = sha256(order.main.read_bytes()).hexdigest()
        content = {"name": order.main.name, "size": [4, 4], "sha256": digest}
        yield Done({"job": order.name, "inputs": [content]})


class EventExecutor(FakeExecutor):
    """Calls `on_event` after each event of a job."""

    on_event: Callable[[], object] = do_nothing

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            yield event
            self.on_event()


def stage(order: Order, name: str, step: int, *, write: bool = True) -> Staged:
    """Write a file of a job to its staging folder, unless an attempt before did; announce it."""
    content = f"{name} of {order.main.read_text()} and {order.styles[0].read_text()}".encode()
    if write:
        atomic.make_folder((order.staging / name).parent)
        atomic.write(order.staging / name, content)
    return Staged(name, sha256(content).hexdigest(), step)


def run_jobs(loop: Loop, again: bool = True) -> None:
    """Run all jobs that may be run now."""
    more = True
    while more:
        before = loop.jobs.changes
        loop.round(again)
        came = loop.wakeup.wait(0)
        more = came or bool(loop.attempts.running) or loop.jobs.changes != before
    loop.update_status()


class MoverNow(Mover):
    """Does all work at once, in the main thread."""

    def do(self, work: Any, done: Any, size: int = 0) -> None:
        try:
            result = work(self._step)
        except Exception as error:
            result = error
        self._post(partial(done, result))


class FakeInspector(Inspector):
    """Accepts every file; `says` has other verdicts, by the start of a file's text.

    There is no process. An `error` is the answer if there is one; while it is `silent` there is
    none.
    """

    def __init__(
        self,
        post: Post = lambda call: None,
        idle_s: float = 0.0,
        *,
        says: dict[str, str] | None = None,
    ) -> None:
        self._post, self.says = post, {} if says is None else says
        self.error: Exception | None = None
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

    def ask(self, question: Question, done: Callable[[Inspected | Exception], object]) -> None:
        self.asked.append(question)
        self._open.append(lambda: done(self.error or self._verdict(question)))
        self.silent = self._silent

    def end_if_idle(self) -> None:
        """There is no process."""

    def close(self) -> None:
        """There is no process."""

    def _verdict(self, question: Question) -> Inspected:
        pictures = []
        for path in question.files:
            text = path.read_text(errors="replace")
            reason = next((self.says[start] for start in self.says if text.startswith(start)), "")
            if reason:
                return Inspected(reason=reason, cause=Cause.PICTURE)
            pictures.append(Picture(path.name, sha256(path.read_bytes()).hexdigest(), (4, 4)))
        return Inspected(tuple(pictures))


class DaemonWorld:
    """An inbox, an outbox, a state folder and a daemon that can start anew."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.executor = root / "in", root / "out", FakeExecutor()
        self.inspector = FakeInspector()
        inboxes = (make_inbox(self.inbox, self.outbox),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0, rescan_s=1000)
        self.state = StateDir(root / "state")
        self.clock: Callable[[], float] = time.monotonic
        self._ledger: LedgerWriter | None = None

    def start(self, reporter: Reporter | None = None) -> Loop:
        """Start the daemon, for the first time or again."""
        self.executor.close()
        self.close()
        self.state.make()
        self._ledger = ledger = LedgerWriter.open(self.state.ledger)
        jobs = Jobs(self.state, ledger, reporter or Reporter(), self.settings, self.clock)
        wakeup = Wakeup()
        self.inspector = FakeInspector(wakeup.post, says=self.inspector.says)
        return assemble(
            jobs, self.executor, self.inspector, MoverNow(wakeup.post), wakeup, self.clock
        )

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = None

    def run(self) -> Loop:
        """Start the daemon and run everything in the inbox."""
        loop = self.start()
        scan(loop)
        run_jobs(loop, again=False)
        return loop

    @property
    def status(self) -> str:
        return (self.outbox / "_status.txt").read_text()


def scan(loop: Loop) -> None:
    """Scan until all files are stable, and find the pairs."""
    loop.intake.scan()
    loop.intake.scan()
    loop.intake.find_pairs()


def make_finished_job(outbox: Path, place: str, days: float) -> Path:
    """Make the folder of a job that ended so many `days` ago, with two stages and two inputs."""
    folder = outbox / place
    ended = datetime.now(UTC) - timedelta(days=days)
    digests = {}
    for name in ("stages/0001.png", "stages/0002.png", "inputs/content.jpg", "inputs/style.jpg",
                 "final.png", "losses.csv", "inputs/job.yaml"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{place} {name}")
        digests[name] = sha256((folder / name).read_bytes()).hexdigest()
    records = [{"file": name, "sha256": digest} for name, digest in digests.items()]
    inputs = [{"name": Path(name).name, "sha256": digests[name]} for name in list(digests)[2:4]]
    receipt = {"stages": records[:2], "inputs": inputs, "final": "final.png",
               "files": records[4:6], "finished": ended.isoformat()}  # fmt: skip
    write_receipt(folder, receipt, ended)
    return folder


def write_receipt(folder: Path, receipt: object, ended: datetime | None = None) -> None:
    """Replace the receipt of a job, with the time `ended` or that of the old one."""
    path = folder / "receipt.json"
    when = ended.timestamp() if ended else path.stat().st_mtime
    path.write_text(json.dumps(receipt))
    os.utime(path, (when, when))


def child_pids(*names: str, of: str = "self") -> list[int]:
    """Return the PIDs of the live children that were started as a Child, with those `names`."""
    pids = []
    for path in Path(f"/proc/{of}/task").glob("*/children"):
        children: list[str] = []
        with suppress(OSError):  # the thread has ended
            children = path.read_text().split()
        for pid in children:
            with suppress(OSError, ValueError):  # it has ended, or is no Child
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                name = arguments[arguments.index(BOOTSTRAP.encode()) + 1].decode()
                if not names or name in names:
                    pids.append(int(pid))
    return pids
