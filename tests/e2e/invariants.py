"""Invariants of the whole program, checked from outside: nothing lost, done twice, or partial."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from tests.painter.films import film

from stylewatch_daemon.ledger.ledger import FILE_NAME, reading

FRAMES = 5
"""Frames of a clip: the first alone takes all steps of a still picture."""

Kind = Literal["pictures", "clip"]

Bytes = dict[str, bytes]
"""Contents of the pictures in an outbox, by their paths there."""


class Workspace:
    """Inbox, outbox and state folder of a daemon with faults.

    Of the kind `clip`, each content is a clip of FRAMES frames.
    """

    def __init__(self, root: Path, kind: Kind = "pictures") -> None:
        self.root = root
        self.content = "content.mkv" if kind == "clip" else "content.jpg"
        self.inbox, self.outbox, self.state = root / "in", root / "out/out", root / "state/state"
        for folder in (self.inbox, root / "out", root / "state"):
            folder.mkdir(parents=True, exist_ok=True)
        self.dropped: dict[str, str] = {}
        """SHA-256 of the content picture by job."""

    def drop(self, *jobs: str) -> None:
        """Drop a pair of small pictures for each job, all at once; contents differ."""
        for job in jobs:
            made = self.make(job)
            self.dropped[job] = _digest(made / self.content)
            made.rename(self.inbox / job)

    def make(self, job: str) -> Path:
        """Make the folder of such a pair outside of the inbox."""
        made = self.root / "made" / job
        made.mkdir(parents=True)
        rows, columns = np.mgrid[0:36, 0:48]
        shift = len(job) * 20 + ord(job[-1]) % 32
        for name, factors in {"content": (5, 3, 2), "style": (40, 90, 17)}.items():
            bands = [(factor * rows + (9 - factor) * columns + shift) % 256 for factor in factors]
            Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8)).save(made / f"{name}.jpg")
        if self.content == "content.mkv":
            still = np.asarray(Image.open(made / "content.jpg"))
            frames = [np.roll(still, number, axis=1) for number in range(FRAMES)]
            film(made / self.content, "ffv1", frames=frames, pix_fmt="bgr0")
            (made / "content.jpg").unlink()
        return made

    def drop_slowly(self, job: str, between: Callable[[], object]) -> None:
        """Write a pair into the inbox, half of its content, then the rest.

        The file is closed in between: a file that is open for writing is not taken.
        """
        made, folder = self.make(job), self.inbox / job
        whole = (made / "content.jpg").read_bytes()
        folder.mkdir()
        shutil.copy(made / "style.jpg", folder)
        (folder / "content.jpg").write_bytes(whole[: len(whole) // 2])
        between()
        with (folder / "content.jpg").open("ab") as writer:
            writer.write(whole[len(whole) // 2 :])
        self.dropped[job] = hashlib.sha256(whole).hexdigest()

    def pictures(self) -> Bytes:
        """Stages, final pictures and artifacts that people see."""
        seen = [path for path in self._visible() if path.suffix in (".png", ".webp", ".mkv")]
        seen = [path for path in seen if path.parent.name != "inputs"]
        return {path.relative_to(self.outbox).as_posix(): path.read_bytes() for path in seen}

    def done(self) -> list[str]:
        """The jobs with a receipt."""
        return sorted(path.parent.name for path in self.outbox.glob("*/receipt.json"))

    def violations(self, undisturbed: Bytes) -> Iterator[str]:
        """Yield what is wrong at any moment, whatever runs or was killed."""
        held = Counter(_digest(path) for top in (self.inbox, self.outbox, self.state)
                       for path in top.rglob("*") if path.is_file())  # fmt: skip
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
        """Yield what is wrong once all jobs should be done."""
        yield from self.violations(undisturbed)
        yield from (f"{path} was left behind" for path in self._left())
        if differing := self.pictures().keys() ^ undisturbed.keys():
            yield f"other files than in an undisturbed run: {sorted(differing)}"
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
        published = Counter((self.root / "steps").read_text(encoding="utf-8").splitlines())
        for job in self.dropped:
            if published[f"receipt of {job}"] > 1:  # or 0: killed before that was written down
                yield f"{job} was done {published[f'receipt of {job}']} times"
            if job not in self.done():
                yield f"{job} has no receipt"

    def _receipt_violations(self, job: str) -> Iterator[str]:
        folder = self.outbox / job
        receipt = json.loads((folder / "receipt.json").read_bytes())
        for entry in (*receipt["stages"], *receipt["files"]):
            path = folder / entry["file"]
            if path.name != "receipt.json" and _digest(path) != entry["sha256"]:
                yield f"{job}: {path.name} differs from its receipt"
        if job in self.dropped and not (folder / f"inputs/{self.content}").exists():
            yield f"{job} is done, and its content picture is not archived"

    def _visible(self) -> list[Path]:
        files = [path for path in self.outbox.rglob("*") if path.is_file()]
        return [path for path in files if ".staging" not in path.parts]

    def _left(self) -> Iterator[Path]:
        folders = [self.state / name for name in ("jobs", "claims", "trash")]
        for folder in (self.inbox, self.outbox / ".staging", *folders):
            yield from (path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
