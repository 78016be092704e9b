"""Swap files, folders and links while they are in use: `python -m tests.e2e.swaps 1000`.

A thread keeps replacing parts of an inbox or an outbox by links to a folder outside, and back.
Meanwhile pairs are claimed and given back, files are published, archived, linked and refused, and
listed files are removed. Nothing outside may be read, moved, written or removed.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from shutil import rmtree
from threading import Event, Thread

from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.daemon.world import do_nothing, make_inbox

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files.permissions import OPEN
from stylewatch_daemon.intake.claim import claim_for, give_back, kept_files, move, remove_originals
from stylewatch_daemon.intake.pairing import pair
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox import finals, removal
from stylewatch_daemon.outbox.publish import Outbox, stage
from stylewatch_daemon.settings.sections import Limits

PAUSES = (0.0, 0.0005, 0.002)
"""Seconds between two swaps, in turn, so that some acts succeed."""

TRIES = 10
"""How often a round tries what ends at once when it meets a link."""

SECRET = "nobody may read this"
NAMES = ("content.jpg", "style.jpg", "job.yaml")


def make_outside(root: Path) -> Path:
    """Make a folder with files of the names that are looked for."""
    folder = root / "outside"
    for place in (".", "job", "stages", "inputs", "1", "job/stages", "job/inputs"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in (*NAMES, "0001.png", "receipt.json"):
            (folder / place / name).write_text(f"{SECRET} {place} {name}")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return contents, times of change and inodes of all that is in a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() else b"",
            path.lstat().st_mtime_ns,
            path.lstat().st_ino,
        )
        for path in (folder, *sorted(folder.rglob("*")))
    }


def leaks(*roots: Path) -> Iterator[str]:
    """Yield the files below `roots` that hold text from outside."""
    for root in roots:
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in names):
                with suppress(OSError):
                    is_ours = path.is_file() and not path.is_symlink()
                    if is_ours and SECRET in path.read_text(errors="replace"):
                        yield f"{path} holds text from outside"


@contextmanager
def swapping(*pairs: tuple[Path, Path]) -> Iterator[None]:
    """Keep replacing each path by a link to its target, and back."""
    over = Event()

    def swap() -> None:
        for number in count():
            for path, target in pairs:
                aside = path.with_name(f".aside-{number}-{path.name}")
                with suppress(OSError):
                    path.rename(aside)
                    path.symlink_to(target)
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


def claim(root: Path, rounds: int, outside: Path) -> int:
    """Claim pairs; then give them back, or remove the originals; return how many were claimed."""
    state, done = StateDir(root / "state"), 0
    state.make()
    inbox = make_inbox(root / "in", root / "out", "archive")
    trip = inbox.path / "trip"
    for number in range(rounds):
        trip.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (trip / name).write_text(f"{number} {name}")
        files = scan(inbox.path).files
        with swapping((trip, outside), (trip / "content.jpg", outside / "content.jpg")):
            for turn, complete in enumerate(pair(inbox.path, files, {}).complete * TRIES):
                with suppress(OSError, InputError):
                    taken = claim_for(complete, files, inbox, f"{number}-{turn}", Limits())
                    if move(taken, state, 0, do_nothing):
                        continue
                    done += 1
                    if number % 2:
                        give_back(taken, state)
                    elif kept := kept_files(taken, state.files(taken.id), ()):
                        remove_originals(kept, taken.folder)
        rmtree(inbox.path, ignore_errors=True)
    return done


def publish(root: Path, rounds: int, outside: Path) -> int:
    """Stage, publish, archive, link and refuse; return how often that succeeded."""
    outbox, held, done = Outbox(root / "out"), root / "held", 0
    held.mkdir()
    outbox.probe()
    swapped = ("job", ".staging/1", "job/stages", "job/inputs", "_refused", "finals/sub")
    digest = hashlib.sha256(b"painted").hexdigest()
    final = OutputFile("job/stages/0001.png", "final", digest, len(b"painted"))
    job = Job("1", "sub/job", "", str(outbox.root), "", place="sub/job")
    for number in range(rounds):
        (held / "content.jpg").write_text(f"{number}")
        with swapping(*((outbox.root / name, outside) for name in swapped)):
            with suppress(OSError):
                staging = outbox.staging("1")
                stage(staging, "stages/0001.png", b"painted")
                folder = outbox.reopen("job")
                outbox.publish("1", folder, "stages/0001.png")
                outbox.archive("1", folder, [held / "content.jpg"])
                done += finals.add(outbox.root / "finals", job, final, OPEN) is not None
            with suppress(OSError):
                outbox.refuse("1", f"_refused/bad-{number}", [held / "content.jpg"], "no")
            with suppress(OSError):
                outbox.clear("1")
        for name in ("job", "_refused", "finals"):
            rmtree(outbox.root / name, ignore_errors=True)
        (held / "content.jpg").unlink(missing_ok=True)
    return done


def remove(root: Path, rounds: int, outside: Path) -> int:
    """Remove stages and inputs of a job, as retention and deletion do; return how many."""
    job, done = root / "out/job", 0
    listed = [  # with the bytes of the files outside, too
        OutputFile(f"job/{part}/{name}", part, hashlib.sha256(text.encode()).hexdigest(), 0)
        for part, name in (("stages", "0001.png"), ("inputs", "content.jpg"))
        for text in (name, f"{SECRET} job/{part} {name}", f"{SECRET} . {name}")
    ]
    swaps = [(job, outside / "job"), (job / "stages", outside), (job / "inputs", outside)]
    for _ in range(rounds):
        for file in listed:
            path = root / "out" / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        with swapping(*swaps):
            for file in listed * TRIES:
                with suppress(OSError):
                    done += len(removal.remove(root / "out", [file]).gone)
        rmtree(root / "out", ignore_errors=True)
    return done


ACTS = {"claim": claim, "publish": publish, "remove": remove}


def wrong_with(root: Path, act: str, rounds: int) -> list[str]:
    """Return what is wrong after so many rounds of an act."""
    outside = make_outside(root)
    before = snapshot(outside)
    done = ACTS[act](root, rounds, outside)
    wrong = list(leaks(*(path for path in root.iterdir() if path != outside)))
    if snapshot(outside) != before:
        wrong.append("files outside have changed")
    if not done:
        wrong.append("nothing succeeded, so nothing was tried")
    return wrong


def main(rounds: int) -> int:
    """Print the result of each act; return 1 if anything is wrong."""
    failed = False
    tries = [(act, False) for act in ACTS] + ([("claim", True)] if CAN_MOUNT else [])
    for act, over_mounts in tries:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            with small_disk(root / "state", 1 << 17) if over_mounts else nullcontext():
                wrong = wrong_with(root, act, rounds)
        failed |= bool(wrong)
        name = f"{act}, {'over mounts' if over_mounts else 'one mount'}, {rounds} rounds"
        print(f"{name}: {'; '.join(wrong) or 'nothing outside was read or written'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
