"""Settings, a fake executor and inspector, and a daemon without child processes, for tests."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.ingest.inspection.messages import CutOff, Fine, Question, Verdict
from stylewatch_daemon.ingest.inspection.messages import Refused as InputRefused
from stylewatch_daemon.model import Picture, Progress, Started
from stylewatch_daemon.processes.child import BOOTSTRAP
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Executor, Inbox, Outbox
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
    Staged,
    Stopped,
    Wanted,
)

_SECTIONS = ("watch", "pairing", "limits", "executor")


def make_inbox(
    path: Path,
    outbox: Path,
    after: Literal["archive", "keep", "delete"] = "archive",
    weight: float = 1.0,
) -> Inbox:
    return Inbox(path=path, outbox=outbox, after=after, weight=weight)


def make_settings(inboxes: Sequence[Inbox], state: Path, **values: Any) -> ServiceSettings:
    """Settings with `values` as for `changed_settings`."""
    return changed_settings(ServiceSettings(), inboxes=tuple(inboxes), state=state, **values)


def changed_settings(settings: ServiceSettings, **values: Any) -> ServiceSettings:
    """`settings` with other `values`: whole sections, or keys of those in _SECTIONS.

    `state` is a path, `cluster` a Demand, `sharing` a Sharing, `recipe_folders` are `recipes`.
    """
    if "state" in values:
        values["state"] = settings.state.model_copy(update={"path": values["state"]})
    if "recipe_folders" in values:
        values["recipes"] = values.pop("recipe_folders")
    if (sharing := values.pop("sharing", None)) is not None:
        mode = None if sharing.mode is None else f"{sharing.mode:04o}"
        values["outbox"] = Outbox(mode=mode, group=sharing.group)
    if "cluster" in values:
        demand = values.pop("cluster")
        values["executor"] = (
            Executor()
            if demand is None
            else Executor(
                kind="ray",
                address=demand.address,
                gpus_per_job=demand.gpus,
                labels=dict(demand.labels),
                resources=dict(demand.resources),
            )
        )
    for name in _SECTIONS:
        section = values.get(name, getattr(settings, name))
        own = {key: values.pop(key) for key in type(section).model_fields if key in values}
        if own:
            values[name] = section.model_copy(update=own)
    assert values.keys() <= ServiceSettings.model_fields.keys(), values
    return settings.model_copy(update=values)


Ending = Refused | Failed | Lost | None


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
    closed: int = 0
    at_once: int = 1
    many: bool = False
    """Whether it can run batches."""
    device: str = "cpu"
    going: dict[str, Iterator[Event]] = field(default_factory=dict)
    submitted: list[list[str]] = field(default_factory=list)
    """The tickets of each batch."""
    wanted: dict[str, Wanted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None

    def __call__(self, *, wake: Callable[[], object]) -> "FakeExecutor":
        """Serve as its own factory."""
        self.wake = wake
        return self

    def submit(self, orders: Mapping[str, Order]) -> None:
        self.submitted.append(list(orders))
        for ticket, order in orders.items():
            self.going[ticket] = self.paint(order, partial(self._wanted, ticket))
        self.wake()

    def ask(self, ticket: str, wanted: Wanted) -> None:
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
        return self.at_once - sum(bool(self.going.keys() & batch) for batch in self.submitted)

    def close(self) -> None:
        self.going.clear()
        self.closed += 1

    def _wanted(self, ticket: str) -> Wanted:
        return self.wanted.get(ticket, Wanted.GO_ON)

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        self.orders.append(order)
        assert order.checkpoint is not None
        first = 1 if order.checkpoint.exists() else 0
        self.started_at.append(first)
        together = next(len(batch) for batch in self.submitted if self.going.keys() & batch)
        yield Started(
            *("fake", self.device, ((4, 4),), (2,)),
            step=first, paints_many=self.many, together=together,
        )  # fmt: skip
        if first:  # left by an earlier attempt
            yield staged_event(order, "stages/1.png", 1)
        for step in range(first + 1, 3):
            if (asked := wanted()) in (Wanted.STOP, Wanted.CANCEL):
                yield Stopped(step - 1)
                return
            if asked is Wanted.FINISH:
                break
            yield Progress(step, 2, (4, 4), loss=1 / step, seconds=step)
            yield self.leave(order, f"stages/{step}.png", step)
            atomic.write(order.checkpoint, b"after step 1")
            ending = self.endings.pop(0) if self.endings else None
            if ending is not None:
                yield ending
                return
        yield self.leave(order, "final.png", 2)
        yield self.leave(order, "receipt.json", 2)
        content = {"name": order.main.name, "size": [4, 4], "sha256": "12ab"}
        yield Done({"job": order.name, "inputs": [content]})

    def leave(self, order: Order, name: str, step: int) -> Staged:
        atomic.make_folder((order.staging / name).parent)
        atomic.write(order.staging / name, content_of(order, name))
        return staged_event(order, name, step)


class EventExecutor(FakeExecutor):
    """Calls `on_event` after each event of a job."""

    on_event: Callable[[], object] = staticmethod(lambda: None)

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            yield event
            self.on_event()


def content_of(order: Order, name: str) -> bytes:
    """Return the content of a file of a job."""
    return f"{name} of {order.main.read_text()} and {order.styles[0].read_text()}".encode()


def staged_event(order: Order, name: str, step: int) -> Staged:
    return Staged(name, hashlib.sha256(content_of(order, name)).hexdigest(), step)


def run_jobs(pipeline: Pipeline, again: bool = True) -> None:
    """Run all jobs that may be run now."""
    more = True
    while more or pipeline.busy:
        pipeline.handle_worker_events()
        more = pipeline.start_jobs(again)
        more = pipeline.finish_jobs() or more
        more = pipeline.claim() or more
    pipeline.update_status_if_changed(resting=True)


@dataclass
class FakeInspector:
    """Accepts every file; `says` has other verdicts, by the start of a file's text.

    While it is `silent` it returns no verdicts.
    """

    says: dict[str, str] = field(default_factory=dict)
    """`cut off`, or the reason of a refusal."""
    silent: bool = False
    asked: list[Question] = field(default_factory=list)
    closed: int = 0
    answered: int = 0
    trouble: str = ""

    def __post_init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None

    def ask(self, question: Question) -> None:
        self.asked.append(question)
        self.wake()

    def verdicts(self) -> list[Verdict]:
        if self.silent:
            return []
        answered, self.answered = self.answered, len(self.asked)
        return [self._verdict(question) for question in self.asked[answered:]]

    def close(self) -> None:
        self.closed += 1

    def _verdict(self, question: Question) -> Verdict:
        for path in question.files:
            text = path.read_text(errors="replace")
            reason = next((self.says[start] for start in self.says if text.startswith(start)), "")
            if reason:
                cut_off = CutOff(question.job, path.name, f"{path.name} is cut off")
                return cut_off if reason == "cut off" else InputRefused(question.job, reason)
        return Fine(
            question.job,
            tuple(
                Picture(path.name, sha256(path.read_bytes()).hexdigest(), (4, 4))
                for path in question.files
            ),
        )


def make_inspector(wake: Callable[[], object], *_: Any, **__: Any) -> FakeInspector:
    """Replace the class of the real inspector."""
    inspector = FakeInspector()
    inspector.wake = wake
    return inspector


class DaemonWorld:
    """An inbox, an outbox, a state folder and a daemon that can start anew."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.executor = root / "in", root / "out", FakeExecutor()
        self.inspector = FakeInspector()
        inboxes = (make_inbox(self.inbox, self.outbox),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0, rescan_s=1000)
        self.state = State(root / "state")

    def start(self, reporter: Reporter | None = None) -> Pipeline:
        """Start the daemon, for the first time or again."""
        self.executor.close()
        self.state.close()
        self.state.make()
        self.state.check_jobs()
        self.inspector = FakeInspector(self.inspector.says)
        return Pipeline(
            *(self.settings, self.state, self.executor, reporter or Reporter()),
            *(Wakeup(), self.inspector),
        )

    def run(self) -> Pipeline:
        """Start the daemon and run everything in the inbox."""
        pipeline = self.start()
        pipeline.scan()
        pipeline.scan()
        pipeline.enter()
        run_jobs(pipeline, again=False)
        return pipeline

    @property
    def status(self) -> str:
        return (self.outbox / "_status.txt").read_text()


def make_finished_job(outbox: Path, place: str, days: float) -> Path:
    """Make the folder of a job that ended so many `days` ago, with two stages and two inputs."""
    folder = outbox / place
    ended = datetime.now(UTC) - timedelta(days=days)
    files = ["stages/0001.png", "stages/0002.png", "inputs/content.jpg", "inputs/style.jpg"]
    apart = ["final.png", "losses.csv"]
    for name in (*files, *apart, "inputs/job.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{place} {name}")
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (*files, *apart)
    }
    stages = [{"file": name, "sha256": digests[name]} for name in files[:2]]
    inputs = [{"name": Path(name).name, "sha256": digests[name]} for name in files[2:]]
    receipt = {"stages": stages, "inputs": inputs, "final": "final.png",
               "files": [{"file": name, "sha256": digests[name]} for name in apart],
               "finished": ended.isoformat()}  # fmt: skip
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
        for pid in path.read_text().split():
            name = child_name(pid)
            if name is not None and (not names or name in names):
                pids.append(int(pid))
    return pids


def child_name(pid: str | int) -> str | None:
    """Return the name of a Child; None if the process is none, or has ended."""
    with suppress(OSError, ValueError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # empty for a zombie
        return arguments[arguments.index(BOOTSTRAP.encode()) + 1].decode()
    return None
