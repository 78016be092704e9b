"""Swap folders for links while a daemon works in them: `python -m tests.e2e.swaps 1000`.

A thread keeps replacing parts of an inbox and an outbox by links to a folder outside, and back.
Meanwhile pairs are claimed, painted, archived, linked, refused and deleted by a daemon with a fake
worker. Nothing outside may be read, moved, written or removed.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from shutil import rmtree
from threading import Event, Thread

from tests.daemon.world import DaemonWorld
from tests.e2e.invariants import files_under

PAUSES = (0.0, 0.0005, 0.002)
"""Seconds between two swaps, in turn, so that some acts succeed."""

PATIENCE = 20
"""Rounds in which a pair is claimed once, at the least: a swap may undo any claim."""

SECRET = "nobody may read this"
NAMES = ("content.jpg", "style.jpg", "job.yaml")
SWAPPED = ("in/trip", "in/trip/content.jpg", "in/.stylewatch", "out/trip", "out/trip/stages",
           "out/trip/inputs", "out/_refused", "finals")  # fmt: skip


def make_outside(root: Path) -> Path:
    """Make a folder with files of the names that are looked for."""
    folder = root / "outside"
    for place in (".", "trip", "stages", "inputs", "trip/stages", "trip/inputs"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in (*NAMES, "1.png", "receipt.json"):
            (folder / place / name).write_text(f"{SECRET} {place} {name}")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """Return contents, times of change, inodes and permissions of all that is in a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() else b"",
            path.lstat().st_mtime_ns,
            path.lstat().st_ino,
            path.lstat().st_mode,
        )
        for path in (folder, *sorted(folder.rglob("*")))
    }


def leaks(folder: Path) -> Iterator[str]:
    """Yield the files below a folder that hold text from outside."""
    for path in files_under(folder):
        if not path.is_symlink() and SECRET in path.read_text(errors="replace"):
            yield f"{path} holds text from outside"


@contextmanager
def swapping(outside: Path, *paths: Path) -> Iterator[None]:
    """Keep replacing each path by a link to what has its name outside, and back."""
    over = Event()

    def swap() -> None:
        for number in count():
            for path in paths:
                target = outside / path.name
                aside = path.with_name(f".aside-{number}-{path.name}")
                with suppress(OSError):
                    path.rename(aside)
                    path.symlink_to(target if target.exists() else outside)
                with suppress(OSError):
                    if path.is_symlink():
                        path.unlink()
                with suppress(OSError):
                    if not os.path.lexists(path):
                        aside.rename(path)
                if over.wait(PAUSES[number % len(PAUSES)]):
                    return

    thread = Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wrong(root: Path, claims: int) -> list[str]:
    """Swap until a daemon has claimed so many pairs, delete each, and return what is wrong.

    At the end a pair is dropped and nothing is swapped any more: it must be painted.
    """
    outside, place = make_outside(root), DaemonWorld(root, has_finals=True)
    place.inspector.says = {"bad": "style.jpg is no picture"}
    before, claimed, found = snapshot(outside), 0, []
    paths = [root / path for path in SWAPPED]
    for number in range(PATIENCE * claims):
        drop_pair(place, number)
        with place.apart(number % 2 == 1), swapping(outside, *paths), suppress(OSError):
            place.run()
        for job in place.jobs:
            claimed += 1
            place.ask("delete", job=job.id)
            if "a fault of stylewatch" in job.reason:
                found.append(job.reason)
        if claimed >= claims:
            break
    else:
        found.append(f"{claimed} pairs were claimed in {PATIENCE * claims} rounds")
    drop_pair(place, 0)
    place.run()  # a claim that a swap interrupted is finished first
    place.work()
    if place.states.get("trip") != "done":
        found.append(f"once nothing is swapped: {place.states}, {dict(place.trouble)}")
    place.close()
    found += [leak for path in root.iterdir() if path != outside for leak in leaks(path)]
    if snapshot(outside) != before:
        found.append("files outside have changed")
    return found


def drop_pair(place: DaemonWorld, number: int) -> None:
    """Put a pair into the inbox in place of an earlier one; each fourth is refused."""
    trip = place.inbox / "trip"
    rmtree(trip, ignore_errors=True)
    trip.mkdir(parents=True)
    for name in NAMES[:2]:
        (trip / name).write_text(f"{'bad' if number % 4 == 3 else 'good'} {number} {name}")


def main(claims: int) -> int:
    """Print the result; return 1 if anything is wrong."""
    with tempfile.TemporaryDirectory() as root:
        found = wrong(Path(root), claims)
    print("\n".join(found) or f"{claims} claims: nothing outside was read or written")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
