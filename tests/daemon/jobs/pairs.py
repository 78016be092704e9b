"""Pairs for `DaemonWorld`, what becomes of them, and a record of what the daemon reported."""

from collections.abc import Mapping
from functools import partial
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

from tests.daemon.clock import Clock
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld, changed_settings, make_inbox, run_jobs, scan

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.worker.messages import Failed

CRASH = Failed("it broke", trace="a trace")


class Record(Reporter):
    """Records what the daemon reports: the name of the hook, and its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = []
        for name, _ in getmembers(Reporter, isfunction):
            setattr(self, name, partial(self._add, name))

    def _add(self, name: str, *args: Any, **more: Any) -> None:
        self.calls.append((name, args, more))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of a hook."""
        return [(*args, *more.values()) for called, args, more in self.calls if called == name]


class JobsWorld(DaemonWorld):
    """A daemon, its clock set by hand, and `record` of what its latest start reported."""

    def __init__(self, root: Path, after: Any = "archive", **values: Any) -> None:
        super().__init__(root)
        self.root = root
        self.clock: Clock = Clock()
        inboxes = (make_inbox(self.inbox, self.outbox, after),)
        self.settings = changed_settings(self.settings, inboxes=inboxes, free_bytes=0, **values)
        self.record = Record()

    def start(self, reporter: Reporter | None = None) -> Loop:
        """Start the daemon, for the first time or again."""
        self.record = Record()
        return super().start(reporter or self.record)

    def drop(self, *names: str) -> None:
        """Put pairs with these names into the inbox."""
        fill(self.inbox, *(f"{name}/{side}.jpg" for name in names for side in ("content", "style")))

    def started(self, *names: str) -> Loop:
        """Start the daemon with these pairs, which are stable."""
        self.drop(*names)
        loop = self.start()
        scan(loop)
        return loop

    def queued(self, *names: str) -> Loop:
        """Start the daemon with these pairs; their jobs are queued, and no worker is free."""
        at_once, self.executor.at_once = self.executor.at_once, 0
        loop = self.started(*names)
        run_jobs(loop)
        self.executor.at_once = at_once
        return loop

    def job(self, name: str) -> Job:
        """The latest job with that name, as the ledger has it."""
        with reading(self.state.ledger) as ledger:
            job = ledger.find(name)
        assert job is not None
        return job

    @property
    def published(self) -> dict[str, str]:
        """The files in the outbox but the status."""
        return {name: text for name, text in tree(self.outbox).items() if name != "_status.txt"}

    @property
    def left(self) -> list[str]:
        """What is left of jobs in the state folder, and in the staging folder."""
        staging = self.outbox / ".staging"
        folders = (self.state.claims, self.state.jobs, self.state.uploads, staging)
        found = (path for folder in folders if folder.exists() for path in folder.iterdir())
        marks = (
            "trash",
            ".",
            "probe-",
        )  # of no job: a kill may leave what shows that one can write
        return sorted(path.name for path in found if not path.name.startswith(marks))


def step(loop: Loop) -> None:
    """Let the daemon do one round: each worker reports one event."""
    loop.round()
    loop.wakeup.wait(0)


def done(*names: str, archived: bool = True) -> dict[str, str]:
    """The files of pairs that are done."""
    files = {}
    for name in names:
        pair = f"{name}/content.jpg and {name}/style.jpg"
        for file in ("final.png", "receipt.json", "stages/1.png", "stages/2.png"):
            files[f"{name}/{file}"] = f"{file} of {pair}"
        if archived:
            for file in ("content.jpg", "style.jpg"):
                files[f"{name}/inputs/{file}"] = f"{name}/{file}"
    return files


def refused(name: str, reason: str) -> dict[str, str]:
    """The files of a pair that is refused, failed or canceled."""
    folder = f"{'_canceled' if reason == 'canceled' else '_refused'}/{name}"
    inputs = {f"{folder}/{file}": f"{name}/{file}" for file in ("content.jpg", "style.jpg")}
    return {**inputs, f"{folder}/reason.txt": f"{reason}\n"}
