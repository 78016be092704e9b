"""A daemon killed by SIGKILL at a change of the disk or the ledger: `python -m tests.e2e.changes`.

It runs pairs of every kind with a fake worker, starts again, and must end as if nothing had
happened. Each run is a fork of this process, which has everything imported. `--sample` tries only
the first change of each kind: of each operation in each function that asks for it. It leaves out
syncs, which do nothing here, and new folders: the kill before the next change covers both.
"""

import json
import os
import signal
import sqlite3
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from shutil import copy, copytree, rmtree
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from tests.daemon.clock import Clock
from tests.daemon.faults import CHANGES, fill, mounts, tree
from tests.daemon.world import DaemonWorld, FakeExecutor, changed_settings, make_inbox

from stylewatch_daemon.base.model import new_id
from stylewatch_daemon.files import atomic
from stylewatch_daemon.ledger import requests, writer
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.outbox.publish import RECEIPT, STAGES
from stylewatch_daemon.worker.messages import AttemptRequest, Done, Event, Order, Staged

BEFORE = ("old/content.jpg", "old/style.jpg", "gone/content.jpg", "gone/style.jpg")
"""Pairs that are done before: one is run again, the other deleted."""

PAIRS = ("a/content.jpg", "a/style.jpg", "album/one.jpg", "album/style.jpg", "bad/content.jpg",
         "bad/style.jpg", "half/content.jpg", "half/style.jpg", "lone/content.jpg")  # fmt: skip
"""Pairs that are done, refused, and given back as one is cut off; the last is canceled."""

ANSWERS = {"bad/style": "style.jpg is no picture", "half/content": "cut off"}
WRITERS = "/writer.py"
STATE = ("jobs", "claims", "trash", "uploads")
"""Folders of the state folder in which nothing is left."""

Layout = Callable[[DaemonWorld], AbstractContextManager[None]]
LAYOUTS: dict[str, Layout] = {
    "one mount": lambda place: nullcontext(),
    "three mounts": lambda place: mounts(place.inbox, place.outbox, place.state.root),
}


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
        for event in super().paint(order, wanted):
            if isinstance(event, Done):
                yield Done(receipt)
                return
            if isinstance(event, Staged):
                if event.path == RECEIPT:
                    (order.staging / RECEIPT).write_text(json.dumps(receipt))
                else:
                    listed = stages if event.path.startswith(STAGES) else others
                    listed.append({"file": event.path, "sha256": event.sha256})
            yield event


@dataclass(frozen=True)
class Setting:
    """Mounts, what is done with the inputs, and whether there is a folder of finals."""

    mounts: str
    after: Any
    finals: bool = False

    def __str__(self) -> str:
        return f"{self.mounts}, {self.after}{', finals' if self.finals else ''}"

    def world(self, root: Path) -> DaemonWorld:
        """Return the folders of a daemon below `root`, as the next start finds them."""
        place = DaemonWorld(root)
        inbox = make_inbox(place.inbox, place.outbox, self.after)
        inbox = inbox.model_copy(update={"finals": root / "finals" if self.finals else None})
        place.settings = changed_settings(place.settings, inboxes=(inbox,), truncated_s=1000)
        place.inspector.says = ANSWERS
        place.clock, place.executor = Clock(), Painter()
        return place


SETTINGS = [
    *(Setting(*each) for each in product(LAYOUTS, ("archive", "keep", "delete"))),
    *(Setting(name, "archive", finals=True) for name in LAYOUTS),
]


def kind_of(name: str) -> str:
    """Return the name of a change with the two functions that asked for it.

    Functions of `files` and of the ledger's writer make the changes of all others.
    """
    callers = [name]
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and len(callers) < 3:
        file = frame.f_code.co_filename
        if "/stylewatch_daemon/" in file and not file.endswith(WRITERS) and "/files/" not in file:
            callers.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return " of ".join(callers)


def die_at(change: int, kinds: Path | None) -> None:
    """Kill this process before its n-th change, with the kinds of all in a file; sync nothing."""
    made = 0

    def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **more: Any) -> Any:
            nonlocal made
            made += 1
            if made == change:
                os.kill(os.getpid(), signal.SIGKILL)
            if kinds is not None:
                with kinds.open("a") as file:
                    file.write(f"{kind_of(name)}\n")
            return real(*args, **more)

        return changed

    for name in CHANGES:
        setattr(
            os, name, dying(name, getattr(os, name) if name != "fsync" else lambda handle: None)
        )
    writer.commit = dying("commit", writer.commit)


def run(root: Path, setting: Setting, change: int = 0, kinds: Path | None = None) -> int:
    """Run all there is to do in a fork that dies at `change`; return its exit code."""
    if (pid := os.fork()) == 0:
        try:
            place = setting.world(root)
            with LAYOUTS[setting.mounts](place):
                die_at(change, kinds)
                place.run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def prepare(root: Path, setting: Setting) -> None:
    """Fill the folder `space` below `root`: run some pairs, drop others, and leave requests."""
    for name in ("space", "prepared"):
        rmtree(root / name, ignore_errors=True)
    place = setting.world(root / "space")
    fill(place.inbox, *BEFORE)
    if code := run(root / "space", setting):
        raise RuntimeError(f"exit code {code}")
    fill(place.inbox, *PAIRS)
    with reading(place.state.ledger) as ledger:
        old, gone = ledger.find("old"), ledger.find("gone")
    assert old is not None and gone is not None
    requests.leave(place.state.root, "retry", job=old.id, new=new_id(), settings=old.settings)
    requests.leave(place.state.root, "delete", job=gone.id)
    requests.leave(place.state.root, "cancel_incomplete", name="lone")
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
        files = sorted(connection.execute("SELECT path, part, sha256, size FROM files"))
    left = [path.name for name in STATE for path in (place.state.root / name).glob("*")]
    outbox = {name: text for name, text in tree(place.outbox).items() if name != "_status.txt"}
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
    return [name for name in PAIRS if name not in held]


def changes_of(root: Path, setting: Setting) -> tuple[list[str], dict[str, Any]]:
    """Return the kinds of all changes in a run, and its result; raises RuntimeError."""
    file = root / "kinds"
    file.write_text("")
    if code := run(space(root), setting, kinds=file):
        raise RuntimeError(f"exit code {code}")
    return file.read_text().splitlines(), result(setting.world(root / "space"))


def wrong_at(root: Path, setting: Setting, tried: set[str] | None) -> Iterator[str]:
    """Kill at every change, or at the first of each kind that is not in `tried`; add those."""
    prepare(root, setting)
    kinds, wanted = changes_of(root, setting)
    if not tried and changes_of(root, setting) != (kinds, wanted):
        yield f"{setting}: two runs without a kill differ"
    for change, kind in enumerate(kinds, start=1):
        if tried is not None and (kind in tried or kind.startswith(("fsync", "mkdir"))):
            continue
        place = setting.world(space(root))
        where = f"{setting}, change {change} ({kind})"
        if (code := run(root / "space", setting, change)) != -signal.SIGKILL:
            yield f"{where}: exit code {code}"
        yield from (f"{where}: {picture} is lost" for picture in lost(place))
        if code := run(root / "space", setting):
            yield f"{where}: the next start ended with {code}"
        ended = result(place)
        yield from (f"{where}: {key} is {ended[key]}, not {wanted[key]}"
                    for key in wanted if ended[key] != wanted[key])  # fmt: skip
        if tried is not None:
            tried.add(kind)


def kill_at_all(root: Path, *, sample: bool = False) -> list[str]:
    """Kill at every change, or a sample; return what is wrong."""
    tried = set[str]() if sample else None
    return [text for setting in SETTINGS for text in wrong_at(root, setting, tried)]


def main(words: Sequence[str]) -> int:
    """Print what is wrong; return 1 if anything is."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sample", action="store_true")
    with TemporaryDirectory() as root:
        wrong = kill_at_all(Path(root), sample=parser.parse_args(words).sample)
    print("\n".join(wrong) or "nothing lost, done twice or partial")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
