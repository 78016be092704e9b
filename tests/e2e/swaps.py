"""Swap files, folders and links while they are in use: `python -m tests.e2e.swaps 1000`.

One thread goes on putting links to a folder outside in the place of what lies in an inbox or an
outbox, and back. Meanwhile pairs are claimed, given back and let go, files are published, archived
and refused, and retention removes what is kept no longer. Nothing outside may be read, moved,
written or removed.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from shutil import rmtree
from threading import Event, Thread

from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.daemon.settings_made import make_inbox

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.outbox import retention
from stylewatch_daemon.outbox.publish import Outbox, stage
from stylewatch_daemon.settings.sections import Retention
from stylewatch_daemon.store.state import State

PAUSES = (0.0, 0.0005, 0.002)
"""Seconds between two swaps, in turn: some of what is tried goes through."""

SECRET = "nobody may read this"
NAMES = ("content.jpg", "style.jpg", "job.yaml")


def outside(root: Path) -> Path:
    """A folder with files of the names that are looked for."""
    folder = root / "outside"
    for place in (".", "job", "stages", "inputs", "1", "job/stages", "job/inputs"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in (*NAMES, "0001.png", "receipt.json"):
            (folder / place / name).write_text(f"{SECRET} {place} {name}")
    return folder


def print_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """What can be seen of a folder from outside: contents, and the times at which they changed."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_text() if path.is_file() else "",
            path.lstat().st_mtime_ns,
            path.lstat().st_ino,
        )
        for path in (folder, *sorted(folder.rglob("*")))
    }


def leaks(*roots: Path) -> Iterator[str]:
    """The files below `roots` that hold what lies outside."""
    for root in roots:
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in names):
                with suppress(OSError):
                    if not path.is_symlink() and SECRET in path.read_text(errors="replace"):
                        yield f"{path} holds what lies outside"


@contextmanager
def swapping(places: Sequence[tuple[Path, Path]]) -> Iterator[None]:
    """Go on replacing each place by a link to something outside, and back."""
    over = Event()

    def swap() -> None:
        for number in count():
            for place, target in places:
                aside = place.with_name(f".aside-{number}-{place.name}")
                with suppress(OSError):
                    place.rename(aside)
                    place.symlink_to(target)
                with suppress(OSError):
                    if place.is_symlink():
                        place.unlink()
                with suppress(OSError):
                    if not os.path.lexists(place):
                        aside.rename(place)
                if over.wait(PAUSES[number % len(PAUSES)]):
                    return

    thread = Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def claims(root: Path, rounds: int, secret: Path) -> int:
    """Claim pairs, and give them back, accept or refuse them; how many were claimed."""
    inbox, state = root / "in", State(root / "state")
    state.make()
    claimer, done = Claimer(state), 0
    terms, trip = make_inbox(inbox, root / "out", "archive"), inbox / "trip"
    Outbox(terms.outbox).probe()
    swaps = [(trip, secret), (trip / "content.jpg", secret / "content.jpg")]
    for number in range(rounds):
        trip.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (trip / name).write_text(f"{number} {name}")
        listing = scan(inbox)
        with swapping(swaps):
            for one in pair(inbox, listing.files, {}).complete:
                with suppress(OSError, InputError):
                    job = claimer.claim(one, listing.files, terms, str(number))
                    if job is None:
                        continue
                    done += 1
                    act: Sequence[Callable[[], object]] = (
                        partial(claimer.give_back, job, "it grows"),
                        partial(claimer.accept, job, ()),
                        partial(claimer.refuse, job, "no"),
                    )
                    act[number % 3]()
        claimer.claimed.clear()
        rmtree(inbox, ignore_errors=True)
    state.close()
    return done


def published(root: Path, rounds: int, secret: Path) -> int:
    """Stage, publish, archive and refuse; how many went through."""
    outbox, done = Outbox(root / "out"), 0
    held = root / "held"
    held.mkdir()
    outbox.probe()
    place = outbox.root
    swaps = [
        (place / "job", secret),
        (place / ".staging/1", secret),
        (place / "job/stages", secret),
    ]
    swaps += [(place / "job/inputs", secret), (place / "_refused", secret)]
    for number in range(rounds):
        (held / "content.jpg").write_text(f"{number}")
        with swapping(swaps):
            with suppress(OSError):
                staging = outbox.staging("1")
                stage(staging, "stages/0001.png", b"painted")
                folder = outbox.reopen("job")
                outbox.publish("1", folder, "stages/0001.png")
                outbox.archive("1", folder, [held / "content.jpg"])
                done += 1
            with suppress(OSError):
                outbox.stage_refused("1", [held / "content.jpg"], "no")
                outbox.publish_refused("1", outbox.choose_refused(f"bad-{number}"))
            with suppress(OSError):
                outbox.clear("1")
        for name in ("job", "_refused"):
            rmtree(place / name, ignore_errors=True)
        (held / "content.jpg").unlink(missing_ok=True)
    return done


def removed(root: Path, rounds: int, secret: Path) -> int:
    """Remove stages and inputs that are kept no longer; how many."""
    place, done = root / "out/job", 0
    parts = {"stages": "0001.png", "inputs": "content.jpg"}
    swaps = [(place, secret / "job"), (place / "stages", secret), (place / "inputs", secret)]
    for _ in range(rounds):
        named: dict[str, object] = {"finished": "2020-01-01T00:00:00+00:00"}
        for part, name in parts.items():
            (place / part).mkdir(parents=True, exist_ok=True)
            (place / part / name).write_text(name)
            digest = hashlib.sha256(name.encode()).hexdigest()
            key = "file" if part == "stages" else "name"
            value = f"stages/{name}" if part == "stages" else name
            named[part] = [{key: value, "sha256": digest}]
        (place / "receipt.json").write_text(json.dumps(named))
        os.utime(place / "receipt.json", (0, 0))
        with swapping(swaps), suppress(OSError):
            done += len(retention.prune([root / "out"], Retention(stages=0, inputs=0)))
        rmtree(root / "out", ignore_errors=True)
    return done


ACTS: dict[str, Callable[[Path, int, Path], int]] = {
    "claim": claims,
    "publish": published,
    "retention": removed,
}


def wrong_with(root: Path, act: str, rounds: int) -> list[str]:
    """What is wrong after so many rounds of an act."""
    secret = outside(root)
    before = print_of(secret)
    done = ACTS[act](root, rounds, secret)
    wrong = list(leaks(*(path for path in root.iterdir() if path != secret)))
    if print_of(secret) != before:
        wrong.append("what lies outside has changed")
    if not done:
        wrong.append("nothing went through, so nothing was tried")
    return wrong


def main(rounds: int) -> int:
    """Print what came of each; 1 where anything was wrong."""
    failed = False
    for act in ACTS:
        layouts = ["one mount", *(["over mounts"] if CAN_MOUNT and act == "claim" else [])]
        for layout in layouts:
            with tempfile.TemporaryDirectory() as folder:
                if layout == "over mounts":
                    with small_disk(Path(folder) / "state", 1 << 17):
                        wrong = wrong_with(Path(folder), act, rounds)
                else:
                    wrong = wrong_with(Path(folder), act, rounds)
            failed |= bool(wrong)
            said = "; ".join(wrong) or "nothing outside was read or written"
            print(f"{act}, {layout}, {rounds} rounds: {said}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
