"""A daemon killed by SIGKILL at a change of the disk or the ledger: `python -m tests.e2e.changes`.

It runs pairs of every kind with a fake worker, starts again, and must end as if nothing had
happened. Each run is a fork of this process, which has everything imported. `--sample` tries only
the first change of each kind: of each operation in each function that asks for it. It leaves out
syncs, which do nothing here, and new folders: the kill before the next change covers both.
"""

import os
import signal
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from tests.daemon.faults import CHANGES, fill, mounts, tree
from tests.daemon.world import DaemonWorld, changed_settings, make_inbox

from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.ledger import reading

PAIRS = ("a/content.jpg", "a/style.jpg", "series/content.jpg", "series/style.jpg", "flat/style.jpg",
         "flat/one.jpg", "flat/job.yaml", "bad/content.jpg", "bad/style.jpg", "half/content.jpg",
         "half/style.jpg")  # fmt: skip
JOB_YAML = {"series": "sweep: {seed: [1, 2]}\n", "flat": "flat: yes\n"}
ANSWERS = {"bad/style": "style.jpg is no picture", "half/content": "cut off"}
AFTER = ("archive", "keep", "delete")
WRITERS = "/ledger_writer.py"

Layout = Callable[[DaemonWorld], AbstractContextManager[None]]
LAYOUTS: dict[str, Layout] = {
    "one mount": lambda place: nullcontext(),
    "three mounts": lambda place: mounts(place.inbox, place.outbox, place.state.root),
}


def workspace(root: Path, after: Any) -> DaemonWorld:
    """Return the folders of a daemon below `root`, as the next start finds them."""
    place = DaemonWorld(root)
    inboxes = (make_inbox(place.inbox, place.outbox, after),)
    place.settings = changed_settings(place.settings, inboxes=inboxes, truncated_s=1000)
    place.inspector.says = ANSWERS
    return place


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
    ledger_writer.commit = dying("commit", ledger_writer.commit)


def run(place: DaemonWorld, layout: Layout, change: int = 0, kinds: Path | None = None) -> int:
    """Run all that is in the inbox in a fork that dies at `change`; return its exit code."""
    if (pid := os.fork()) == 0:
        try:
            with layout(place):
                die_at(change, kinds)
                place.run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def result(place: DaemonWorld) -> dict[str, Any]:
    """Return all that must be the same at the end, whatever was killed."""
    with reading(place.state.root / "ledger.sqlite3") as ledger:
        counts = ledger.counts()
    left = [path.name for name in ("jobs", "claims", "trash", "damaged")
            for path in (place.state.root / name).glob("*")]  # fmt: skip
    outbox = {name: text for name, text in tree(place.outbox).items() if name != "_status.txt"}
    return {"outbox": outbox, "inbox": tree(place.inbox), "ledger": counts, "left": left}


def drop(place: DaemonWorld) -> None:
    """Fill the inbox."""
    fill(place.inbox, *PAIRS)
    for folder, text in JOB_YAML.items():
        (place.inbox / folder / "job.yaml").write_text(text)


def lost(place: DaemonWorld) -> list[str]:
    """Return the dropped pictures that are in none of the folders, and of no job that is done."""
    paths = [*place.inbox.parent.rglob("*.jpg"), *place.outbox.rglob("receipt.json")]
    held = "".join(path.read_text(errors="replace") for path in paths)
    return [name for name in PAIRS if name.endswith(".jpg") and name not in held]


def wrong_at(root: Path, name: str, after: str, tried: set[str] | None) -> Iterator[str]:
    """Kill at every change, or at the first of each kind that is not in `tried`; add those."""
    layout, file = LAYOUTS[name], root / "kinds"
    file.write_text("")
    drop(place := workspace(root / "space", after))
    if code := run(place, layout, kinds=file):
        yield f"{name}, {after}: exit code {code}"
    wanted, kinds = result(place), file.read_text().splitlines()
    for change, kind in enumerate(kinds, start=1):
        if tried is not None and (kind in tried or kind.startswith(("fsync", "mkdir"))):
            continue
        rmtree(root / "space")
        drop(place := workspace(root / "space", after))
        where = f"{name}, {after}, change {change} ({kind})"
        if (code := run(place, layout, change)) != -signal.SIGKILL:
            yield f"{where}: exit code {code}"
        yield from (f"{where}: {picture} is lost" for picture in lost(place))
        if code := run(workspace(root / "space", after), layout):
            yield f"{where}: the next start ended with {code}"
        ended = result(place)
        yield from (f"{where}: {key} is {ended[key]}, not {wanted[key]}"
                    for key in wanted if ended[key] != wanted[key])  # fmt: skip
        if tried is not None:
            tried.add(kind)
    rmtree(root / "space")


def kill_at_all(root: Path, *, sample: bool = False) -> list[str]:
    """Kill at every change, or a sample; return what is wrong."""
    tried = set[str]() if sample else None
    return [
        text
        for name, after in product(LAYOUTS, AFTER)
        for text in wrong_at(root, name, after, tried)
    ]


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
