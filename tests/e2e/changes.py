"""A daemon killed by SIGKILL at a change of the disk or the ledger: `python -m tests.e2e.changes`.

It runs pairs of every kind with a fake worker, starts again, and must end as if nothing had
happened; also if the power was cut. Each run is a fork of this process, which has everything
imported. Syncs and new folders are left out: the kill before the next change covers both.
"""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copy, copytree, rmtree
from tempfile import TemporaryDirectory
from typing import Any

from tests.daemon.faults import CUT_POWER, KILL, Fault, fill, in_fork, tree
from tests.daemon.world import DaemonWorld, FakeExecutor

from stylewatch_daemon.base.model import new_id
from stylewatch_daemon.files import atomic
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.ledger.requests import leave
from stylewatch_daemon.outbox.publish import RECEIPT, STAGES
from stylewatch_daemon.worker.messages import AttemptRequest, Done, Event, FileStaged, Order

BEFORE = ("old/content.jpg", "old/style.jpg", "gone/content.jpg", "gone/style.jpg")
"""Pairs that are done before: one is run again, the other deleted."""

PAIRS = ("a/content.jpg", "a/style.jpg", "album/one.jpg", "album/style.jpg", "bad/content.jpg",
         "bad/style.jpg", "typo/content.jpg", "typo/style.jpg", "typo/job.yaml",
         "stop/content.jpg", "stop/style.jpg", "lone/content.jpg")  # fmt: skip
"""Pairs that are done, refused, or canceled while they run; the last one is incomplete."""

ANSWERS = {"bad/style": "style.jpg is no picture"}
STATE = ("jobs", "claims", "trash", "uploads")
"""Folders of the state folder in which nothing is left."""


class Painter(FakeExecutor):
    """A fake worker whose receipts are those of a real one, as far as the daemon reads them."""

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        files = [order.main, *order.styles]
        stages, others = list[dict[str, str]](), list[dict[str, str]]()
        receipt = {
            "text": [path.read_text() for path in files],
            "inputs": [{"name": path.name, "sha256": atomic.digest(path)} for path in files],
            "final": "final.png",
            STAGES: stages,
            "files": others,
        }
        if order.name == "stop" and order.checkpoint is not None:
            job = order.checkpoint.parent
            leave(job.parents[1], "cancel", job=job.name)
        for event in super().paint(order, wanted):
            if isinstance(event, Done):
                yield Done(receipt)
                return
            if isinstance(event, FileStaged):
                if event.path == RECEIPT:
                    atomic.write(order.staging / RECEIPT, json.dumps(receipt).encode())
                else:
                    listed = stages if event.path.startswith(STAGES) else others
                    listed.append({"file": event.path, "sha256": event.sha256})
            yield event


@dataclass(frozen=True)
class Setting:
    """How many mounts there are, what is done with the inputs, and how the daemon ends."""

    apart: bool
    after: Any
    action: str = KILL

    def world(self, root: Path) -> DaemonWorld:
        """Return the folders of a daemon below `root`, as the next start finds them."""
        place = DaemonWorld(root, self.after, has_finals=True)
        place.inspector.says, place.executor = ANSWERS, Painter()
        return place

    def run(self, fault: Fault) -> int:
        """Run all there is to do in a fork with a fault; return its exit code."""

        def act() -> None:
            place = self.world(fault.root)
            with place.apart(self.apart):
                place.run()

        return in_fork(act, fault)


SETTINGS = [
    Setting(apart=False, after="archive"),
    Setting(apart=True, after="archive"),
    Setting(apart=False, after="keep"),
    Setting(apart=True, after="delete"),
    Setting(apart=False, after="archive", action=CUT_POWER),
]


def prepare(root: Path, setting: Setting) -> None:
    """Fill the folder `prepared` below `root`: run some pairs, drop others, and leave requests."""
    for name in ("space", "prepared"):
        rmtree(root / name, ignore_errors=True)
    place = setting.world(root / "space")
    fill(place.inbox, *BEFORE)
    if code := setting.run(Fault(root / "space")):
        raise RuntimeError(f"exit code {code}")
    fill(place.inbox, *PAIRS)
    with reading(place.state.ledger) as ledger:
        old, gone = ledger.find("old"), ledger.find("gone")
    assert old is not None and gone is not None
    leave(place.state.root, "retry", job=old.id, new=new_id(), settings=old.settings)
    leave(place.state.root, "delete", job=gone.id)
    (root / "space/changes").unlink()
    (root / "space").rename(root / "prepared")


def space(root: Path) -> Path:
    """Return the folder `space` as it was prepared, with the same files under the same inodes."""
    rmtree(root / "space", ignore_errors=True)
    copytree(root / "prepared", root / "space", copy_function=os.link)
    for path in (root / "space/state").glob(f"{FILE_NAME}*"):
        path.unlink()
        copy(root / "prepared/state" / path.name, path)
    return root / "space"


def result(place: DaemonWorld) -> dict[str, Any]:
    """Return all that must be the same at the end, whatever was killed."""
    with reading(place.state.root / FILE_NAME) as ledger:
        counts, waiting = ledger.counts(), [request.verb for request in ledger.requests()]
    with closing(sqlite3.connect(place.state.ledger)) as connection:
        query = "SELECT path, part, sha256, size FROM files WHERE path NOT LIKE 'stop/%'"
        files = sorted(connection.execute(query))
    left = [path.name for name in STATE for path in (place.state.root / name).glob("*")]
    # a canceled job keeps the stages that it had, which differ
    outbox = {name: text for name, text in tree(place.outbox).items()
              if name != "_status.txt" and not name.startswith("stop/")}  # fmt: skip
    return {
        "outbox": outbox,
        "inbox": tree(place.inbox),
        "finals": tree(place.inbox.with_name("finals")),
        "ledger": counts,
        "list of files": files,
        "requests": waiting,
        "left": left,
    }


def lost(place: DaemonWorld) -> list[str]:
    """Return the dropped pictures that are in none of the folders, and of no job that is done."""
    paths = [*place.inbox.parent.rglob("*.jpg"), *place.outbox.rglob("receipt.json")]
    held = "".join(path.read_text(errors="replace") for path in paths)
    return [name for name in PAIRS if name.endswith(".jpg") and name not in held]


def wrong_at(root: Path, setting: Setting, tried: set[str], *, sample: bool) -> Iterator[str]:
    """Kill at every change, or at the first of each kind that is not in `tried`; add those."""
    prepare(root, setting)
    undisturbed = Fault(space(root))
    if code := setting.run(undisturbed):
        raise RuntimeError(f"exit code {code}")
    wanted = result(setting.world(undisturbed.root))
    kinds = [kind for _, _, kind in undisturbed.changes]
    for change, kind in enumerate(kinds, start=1):
        if kind.startswith(("fsync", "mkdir")) or (sample and kind in tried):
            continue
        tried.add(kind)
        fault = Fault(space(root), setting.action, nth=change)
        place, where = setting.world(fault.root), f"{setting}, change {change} ({kind})"
        if (code := setting.run(fault)) != -signal.SIGKILL:
            yield f"{where}: exit code {code}"
        yield from (f"{where}: {picture} is lost" for picture in lost(place))
        if code := setting.run(replace(fault, action="")):
            yield f"{where}: the next start ended with {code}"
        ended = result(place)
        yield from (f"{where}: {key} is {ended[key]}, not {wanted[key]}"
                    for key in wanted if ended[key] != wanted[key])  # fmt: skip


def wrong(root: Path, *, short: bool = False) -> list[str]:
    """Kill at every change, or a sample with one mount; return what is wrong.

    Where inputs are not archived, the changes of kinds that were not tried before are enough.
    """
    SETTINGS[0].world(root / "first").run()  # forks inherit what it has read
    tried, found = set[str](), list[str]()
    for setting in SETTINGS[:1] if short else SETTINGS:
        sample = short or setting.after != "archive"
        found += wrong_at(root, setting, tried, sample=sample)
    return found


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    with TemporaryDirectory() as root:
        found = wrong(Path(root))
    print("\n".join(found) or "nothing lost, done twice or partial")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
