"""A daemon killed by SIGKILL at a change of the disk or the ledger: `python -m tests.e2e.changes`.

It runs pairs of every kind with a fake worker, starts again, and must end as if nothing had
happened. Each run is a fork of this process, which has everything imported. `--every 20` tries
every twentieth change only.
"""

import os
import signal
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
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


def die_at(change: int) -> None:
    """Kill this process before its n-th change; nothing is really synced."""
    made = count(1)

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **more: Any) -> Any:
            if next(made) == change:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return changed

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name) if name != "fsync" else lambda handle: None))
    ledger_writer.commit = dying(ledger_writer.commit)


def run(place: DaemonWorld, layout: Layout, change: int) -> int:
    """Run all that is in the inbox in a fork that dies at `change`; return its exit code."""
    if (pid := os.fork()) == 0:
        try:
            with layout(place):
                die_at(change)
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


def wrong_at(root: Path, name: str, after: str, first: int, every: int) -> Iterator[str]:
    """Kill at changes number `first`, `first + every` ... until there are no more."""
    layout, wanted = LAYOUTS[name], dict[str, Any]()
    for change in (0, *range(first, 100_000, every)):
        rmtree(root / "space", ignore_errors=True)
        place = workspace(root / "space", after)
        drop(place)
        code = run(place, layout, change)
        if change and code == 0:
            return
        where = f"{name}, {after}, change {change}"
        if code != (-signal.SIGKILL if change else 0):
            yield f"{where}: exit code {code}"
        yield from (f"{where}: {picture} is lost" for picture in lost(place))
        if code := run(workspace(root / "space", after), layout, 0):
            yield f"{where}: the next start ended with {code}"
        found = result(place)
        wanted = wanted or found
        yield from (f"{where}: {key} is {found[key]}, not {wanted[key]}"
                    for key in wanted if found[key] != wanted[key])  # fmt: skip


def kill_at_all(root: Path, every: int = 1) -> list[str]:
    """Kill at every change, or a sample; return what is wrong."""
    kinds = [(name, after) for name in LAYOUTS for after in AFTER]
    return [
        text
        for number, (name, after) in enumerate(kinds)
        for text in wrong_at(root, name, after, 1 + number * every // len(kinds), every)
    ]


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    with TemporaryDirectory() as root:
        wrong = kill_at_all(Path(root), parser.parse_args().every)
    print("\n".join(wrong) or "nothing lost, done twice or partial")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
