"""Promises of the whole program, checked from outside: nothing lost, done twice, or partial."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.painter.films import film

from stylewatch_daemon.files.disks import MARK
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading

CLIP = "clip"
"""The start of the name of a job whose content is a clip of FRAMES frames."""

FRAMES = 5
SEEN = (".png", ".webp", ".mkv")

Bytes = dict[str, bytes]
"""Contents of the pictures in an outbox, by their paths there."""


class Workspace:
    """Inbox, outbox and state folder of a daemon with faults."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"
        for folder in (self.inbox, self.outbox, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        self.dropped: dict[str, str] = {}
        """SHA-256 of the content by job."""

    def drop(self, *jobs: str) -> None:
        """Drop a pair of small pictures for each job, all at once; contents differ."""
        for job in jobs:
            made = self.make(job)
            self.dropped[job] = _digest(next(made.glob("content.*")))
            made.rename(self.inbox / job)

    def make(self, job: str) -> Path:
        """Make the folder of such a pair outside of the inbox."""
        made = self.root / "made" / job
        made.mkdir(parents=True)
        rows, columns = np.mgrid[0:36, 0:48]
        shift = int(hashlib.sha256(job.encode()).hexdigest()[:4], 16)
        for name, factors in {"content": (5, 3, 2), "style": (40, 90, 17)}.items():
            bands = [(factor * rows + (9 - factor) * columns + shift) % 256 for factor in factors]
            pixels = np.stack(bands, axis=-1).astype(np.uint8)
            if job.startswith(CLIP) and name == "content":
                frames = [np.roll(pixels, number, axis=1) for number in range(FRAMES)]
                film(made / "content.mkv", "ffv1", frames=frames, pix_fmt="bgr0")
            else:
                Image.fromarray(pixels).save(made / f"{name}.jpg")
        return made

    def pictures(self) -> Bytes:
        """Stages, final pictures and artifacts that people see."""
        seen = [path for path in self._visible() if path.suffix in SEEN]
        seen = [path for path in seen if path.parent.name != "inputs"]
        return {path.relative_to(self.outbox).as_posix(): path.read_bytes() for path in seen}

    def done(self) -> list[str]:
        """The jobs with a receipt."""
        receipts = (path for path in self._visible() if path.name == "receipt.json")
        return sorted(path.parent.relative_to(self.outbox).as_posix() for path in receipts)

    def receipt(self, job: str) -> dict[str, Any]:
        """Return the receipt of a job that is done."""
        read: dict[str, Any] = json.loads((self.outbox / job / "receipt.json").read_bytes())
        return read

    def violations(self, undisturbed: Bytes) -> Iterator[str]:
        """Yield what is wrong at any moment, whatever runs or was killed."""
        held = Counter(_digest(path) for top in (self.inbox, self.outbox, self.state)
                       for path in files_under(top))  # fmt: skip
        yield from (f"{job} is lost" for job, digest in self.dropped.items() if not held[digest])
        for name, content in self.pictures().items():
            if content != undisturbed.get(name, content):
                yield f"{name} differs from an undisturbed run"
        for path in self._visible():
            if path.name.startswith(".") or path.suffix == ".tmp":
                yield f"{path} is visible to people"
        for job in self.done():
            yield from self._receipt_violations(job)

    def final_violations(self, undisturbed: Bytes) -> Iterator[str]:
        """Yield what is wrong once all jobs should be done, each once."""
        yield from self.violations(undisturbed)
        yield from (f"{path} was left behind" for path in self._left())
        if differing := self.pictures().keys() ^ undisturbed.keys():
            yield f"other files than in an undisturbed run: {sorted(differing)}"
        if self.done() != sorted(self.dropped):
            yield f"done are {self.done()}"
        with reading(self.state / FILE_NAME) as ledger:
            counts = {state: count for state, count in ledger.counts().items() if count}
            jobs = [ledger.find(job) for job in self.done()]
            listed = {
                file.path: file.sha256 for job in jobs if job for file in ledger.files(job.id)
            }
        if counts != {"done": len(self.dropped)}:
            yield f"the ledger counts {counts}"
        there = {path.relative_to(self.outbox).as_posix(): _digest(path)
                 for path in self._visible() if path.name != "_status.txt"}  # fmt: skip
        if differing := {path for path, _ in there.items() ^ listed.items()}:
            yield f"the ledger's list of files is wrong: {sorted(differing)}"

    def _receipt_violations(self, job: str) -> Iterator[str]:
        folder = self.outbox / job
        receipt = self.receipt(job)
        for entry in (*receipt["stages"], *receipt["files"]):
            path = folder / entry["file"]
            if path.name != "receipt.json" and _digest(path) != entry["sha256"]:
                yield f"{job}: {path.name} differs from its receipt"
        if job in self.dropped and not [*folder.glob("inputs/content.*")]:
            yield f"{job} is done, and its content is not archived"

    def _visible(self) -> list[Path]:
        hidden = {".staging", ".filler", MARK[0]}
        return [
            path
            for path in files_under(self.outbox)
            if not hidden & {*path.relative_to(self.outbox).parts}
        ]

    def _left(self) -> Iterator[Path]:
        folders = [self.state / name for name in ("jobs", "claims", "trash")]
        for folder in (self.inbox, self.outbox / ".staging", *folders):
            yield from (path for path in files_under(folder) if path.parts[-2:] != MARK)


def files_under(top: Path) -> Iterator[Path]:
    """Yield the files below a folder; what a daemon removes meanwhile is passed over."""
    for folder, _, names in os.walk(top):
        yield from (path for name in names if (path := Path(folder, name)).is_file())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
