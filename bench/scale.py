"""Cost of a job for the dispatcher, among a million: `python -m bench.scale --help`.

The real pipeline of a daemon, with simulated workers (fleet.py) and a queue that was entered in
bulk (stock.py). For each part it prints how long a core was busy (meter.py), which does not depend
on other work of the machine. The time of the simulation is left out.
"""

import argparse
import os
import random
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest
from bench.fleet import Fleet, Script
from bench.flow import disk
from bench.meter import REST, Meter
from bench.stock import Stock
from pydantic import ByteSize
from tests.daemon.world import FakeInspector

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Identity
from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.outbox import disk_need
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.outbox.status_json import FILE_NAME as STATUS
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.queue.dispatcher import Dispatcher
from stylewatch_daemon.queue.job_queue import JobQueue
from stylewatch_daemon.service.main_loop import MainLoop
from stylewatch_daemon.service.monitoring import SystemdNotifier
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import SettingsResolver
from stylewatch_daemon.store import journal, ledger_writer
from stylewatch_daemon.store.ledger import FILE_NAME
from stylewatch_daemon.store.ledger_writer import LedgerWriter

INBOXES = 4
SIMULATION, COMMITS, SYNCS = "simulation", "commits, and syncs in them", "other syncs"
OWN = ("choosing", "ordering", "settings", "room on the disks", "events", "ends", "ledger",
       "reporting", REST)  # fmt: skip
"""The dispatcher's own parts: from the queue to the end in the ledger."""

FILES = ("files of the outbox", "files of the state folder")
OUTBOX = ("probe", "choose", "reserve", "reopen", "staging", "staged", "publish", "has_receipt",
          "finish", "archive", "clear", "drop_stages")  # fmt: skip

WHERE: Mapping[str, Sequence[tuple[object, Sequence[str]]]] = {
    SIMULATION: ((Fleet, ("submit", "events", "free")), (Stock, ("provide",))),
    "choosing": ((JobQueue, ("next", "companions", "begun", "ended")),),
    "ordering": ((Dispatcher, ("begin",)),),
    "settings": ((SettingsResolver, ("resolve",)), (JobSettings, ("resolve",))),
    "room on the disks": ((disk_need, ("check_job",)),),
    "events": ((Dispatcher, ("ask", "handle_events")),),
    "ends": ((Dispatcher, ("finalize",)),),
    "ledger": ((LedgerWriter, ("_rows", "_write")),),
    "reporting": ((Pipeline, ("update_status", "publish_status", "update_status_if_changed")),),
    FILES[0]: ((Outbox, OUTBOX),),
    FILES[1]: ((atomic, ("discard",)), (journal, ("load",))),
    COMMITS: ((ledger_writer, ("commit",)),),
    SYNCS: ((os, ("fsync",)),),
}


class Counting(Reporter):
    """Stops `bell` once so many jobs are done."""

    def __init__(self, bell: Wakeup, jobs: int) -> None:
        self.done_by_now = 0
        self._bell, self._jobs = bell, jobs

    def done(self, job: str, folder: Path) -> None:
        self.done_by_now += 1
        if self.done_by_now == self._jobs:
            self._bell.stop()


class Still:
    """A watcher of inboxes in which nothing happens."""

    threads_alive = True
    polled: Mapping[Path, str] = MappingProxyType({})

    def check(self) -> bool:
        return False

    def follow(self, folders: Mapping[Path, Mapping[Path, Identity]]) -> bool:
        return False

    def interval(self, rescan_s: float) -> float:
        return rescan_s

    def take_lost(self) -> int:
        return 0


@dataclass(frozen=True)
class Plan:
    """How many jobs are `queued`, and how many of them go through so many `devices`."""

    queued: int
    jobs: int
    devices: int = 1000
    batch: int = 1
    script: Script = field(default_factory=Script)

    def settings(self, root: Path) -> ServiceSettings:
        """INBOXES inboxes, each with its outbox, below `root`."""
        inboxes = tuple(
            sections.Inbox(path=root / f"in-{number}", outbox=root / f"out-{number}")
            for number in range(INBOXES)
        )
        return ServiceSettings(
            inboxes=inboxes,
            state=sections.State(path=root / "state"),
            limits=sections.Limits(free_bytes=ByteSize(0)),
            executor=sections.Executor(batch=self.batch),
        )


@dataclass(frozen=True)
class Found:
    """Milliseconds of a core and calls by part, each per job."""

    plan: Plan
    spent: Mapping[str, float]
    calls: Mapping[str, float]
    meter: float
    """Milliseconds per job of the meter itself, which are in none of these."""
    ledger: float
    """Bytes a job that was entered."""
    memory: float
    """Bytes."""
    status: int
    """Bytes of status.json."""

    @property
    def own(self) -> float:
        """The dispatcher's own milliseconds a job."""
        return sum(self.spent.get(part, 0.0) for part in OWN)


def measure(plan: Plan, root: Path) -> Found:
    """Send jobs through, below `root`."""
    settings = plan.settings(root)
    for inbox in settings.inboxes:
        inbox.path.mkdir()
        inbox.outbox.mkdir()
    with closing(Stock(settings)) as stock:
        stock.make()
        stock.fill(plan.queued)
        bell = Wakeup()
        counting = Counting(bell, plan.jobs)
        fleet = Fleet(plan.devices, plan.script, random.Random(0), many=plan.batch > 1)
        fleet.wake = bell.wake
        line = Pipeline(settings, stock, fleet, counting, bell, FakeInspector())
        watcher = cast(Watcher, Still())
        main_loop = MainLoop(line, watcher, settings, bell, SystemdNotifier({}), lambda: None)
        meter = Meter()
        with pytest.MonkeyPatch.context() as patch:
            for part, owners in WHERE.items():
                for owner, names in owners:
                    for name in names:
                        meter.wrap(patch, owner, name, part)
            patch.setattr(line, "stop_workers", lambda meanwhile: None)
            meter.reset()
            main_loop.run()
        done = counting.done_by_now
        return Found(
            plan,
            {part: (taken - meter.own(part)) / done / 1e6 for part, taken in meter.spent.items()},
            {part: calls / done for part, calls in meter.calls.items()},
            sum(map(meter.own, meter.spent)) / done / 1e6,
            _size(stock.root) / plan.queued,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            (stock.root / STATUS).stat().st_size,
        )


def _size(state: Path) -> int:
    """Bytes of the ledger, with the log beside it."""
    return sum(path.stat().st_size for path in state.glob(f"{FILE_NAME}*"))


def table(found: Sequence[Found]) -> list[str]:
    """A row for each part, a column for each run, as Markdown."""
    rows: list[tuple[str, list[str]]] = [
        ("jobs in the ledger", [f"{run.plan.queued:,}" for run in found]),
        ("of which went through", [f"{run.plan.jobs:,}" for run in found]),
    ]
    for part in (*OWN, *FILES, COMMITS, SYNCS):
        rows.append((f"{part}, ms", [f"{run.spent.get(part, 0.0):.3f}" for run in found]))
        if part == OWN[-1]:
            rows.append(("**the dispatcher's own, ms**", [f"**{run.own:.3f}**" for run in found]))
    rows += [
        ("the meter itself, beside all these, ms", [f"{run.meter:.3f}" for run in found]),
        ("commits a job", [f"{run.calls.get(COMMITS, 0.0):.2f}" for run in found]),
        ("other syncs a job", [f"{run.calls.get(SYNCS, 0.0):.1f}" for run in found]),
        ("ledger, bytes a job", [f"{run.ledger:.0f}" for run in found]),
        ("memory, MB", [f"{run.memory / 1e6:.0f}" for run in found]),
        ("status.json, kB", [f"{run.status / 1e3:.0f}" for run in found]),
    ]
    (_, heads), *rest = rows
    lines = [f"| jobs in the ledger | {' | '.join(heads)} |", "| --- |" + " --- |" * len(found)]
    return lines + [f"| {title} | {' | '.join(values)} |" for title, values in rest]


def main() -> None:
    """Measure, and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--jobs", type=int, default=10_000, help="that go through")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1, help="painted at once by a device")
    parser.add_argument("--at", type=Path, help="folder to work in, best one without a disk")
    options: Any = parser.parse_args()
    found = []
    for queued in options.queued:
        plan = Plan(queued, min(queued, options.jobs), options.devices, options.batch)
        with tempfile.TemporaryDirectory(dir=options.at) as folder:
            began = time.monotonic()
            found.append(measure(plan, Path(folder)))
            took = time.monotonic() - began
            print(f"{queued} queued, {took:.0f} s:", *table(found[-1:]), sep="\n", flush=True)
    if len(found) > 1:
        print("all:", *table(found), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        print(f"a sync here takes {1000 / disk(Path(folder) / 'syncs'):.2f} ms")


if __name__ == "__main__":
    main()
