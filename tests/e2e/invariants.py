"""What the line promises, looked at from outside: nothing lost, nothing twice, nothing half."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_daemon.outbox.job_files import NOTE
from stylewatch_daemon.settings.sweep import members
from stylewatch_daemon.store.ledger import reading

SWEEP = {"strength": (0.2, 0.8)}
"""What a series goes through."""

Bytes = dict[str, bytes]
"""What is in the stages, final pictures and sheets of an outbox, by their paths there."""


class Place:
    """A folder with an inbox, an outbox and a state folder, for a daemon that is struck.

    With `series`, each pair that is dropped is one: two jobs and their sheet.
    """

    def __init__(self, root: Path, *, series: bool = False) -> None:
        self.root, self.series = root, series
        self.inbox, self.outbox, self.state = root / "in", root / "out/out", root / "state/state"
        for folder in (self.inbox, root / "out", root / "state"):
            folder.mkdir(parents=True, exist_ok=True)
        self.dropped: dict[str, str] = {}

    @property
    def jobs(self) -> list[str]:
        """Those that should be done: what was dropped and, of a series, its jobs."""
        inner = [one.name for one in members(SWEEP)] if self.series else []
        return [*self.dropped, *(f"{job}/{name}" for job in self.dropped for name in inner)]

    def drop(self, *jobs: str) -> None:
        """Put a pair of small pictures there for each job, all at once; each content its own."""
        for job in jobs:
            made = self.make(job)
            self.dropped[job] = _digest(made / "content.jpg")
            made.rename(self.inbox / job)

    def make(self, job: str) -> Path:
        """A folder with such a pair, elsewhere."""
        made = self.root / "made" / job
        made.mkdir(parents=True)
        rows, columns = np.mgrid[0:36, 0:48]
        shift = len(job) * 20 + ord(job[-1]) % 32
        for name, factors in {"content": (5, 3, 2), "style": (40, 90, 17)}.items():
            bands = [(factor * rows + (9 - factor) * columns + shift) % 256 for factor in factors]
            Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8)).save(made / f"{name}.jpg")
        if self.series:
            (made / "job.yaml").write_text(json.dumps({"sweep": SWEEP}), encoding="utf-8")
        return made

    def drop_slowly(self, job: str, between: Callable[[], object]) -> None:
        """Write a pair there, half of its photograph, then the rest; between them do that.

        The file is closed meanwhile: while it is open nothing is taken.
        """
        made, folder = self.make(job), self.inbox / job
        whole = (made / "content.jpg").read_bytes()
        folder.mkdir()
        shutil.copy(made / "style.jpg", folder)
        with (folder / "content.jpg").open("wb", buffering=0) as writer:
            writer.write(whole[: len(whole) // 2])
        between()
        with (folder / "content.jpg").open("ab") as writer:
            writer.write(whole[len(whole) // 2 :])
        self.dropped[job] = hashlib.sha256(whole).hexdigest()

    def pictures(self) -> Bytes:
        """The painted pictures that people see, and what is drawn of them."""
        seen = [path for path in self._visible() if path.suffix in (".png", ".webp")]
        return {path.relative_to(self.outbox).as_posix(): path.read_bytes() for path in seen}

    def done(self) -> list[str]:
        """The jobs with a receipt."""
        inner = self.outbox.glob("[!.]*/*/receipt.json") if self.series else ()
        folders = [path.parent for path in (*self.outbox.glob("*/receipt.json"), *inner)]
        return sorted(folder.relative_to(self.outbox).as_posix() for folder in folders)

    def most_at_once(self) -> int:
        """How many were painted at once, at most."""
        with reading(self.state / "ledger.sqlite3") as ledger:
            entries = [ledger.find(job) for job in self.dropped]
            stories = [ledger.story(entry.id) for entry in entries if entry is not None]
        return max(attempt.together for story in stories for attempt in story)

    def wrong_now(self, undisturbed: Bytes) -> Iterator[str]:
        """What must not be, however things stand."""
        held = Counter(_digest(path) for top in (self.inbox, self.outbox, self.state)
                       for path in top.rglob("*") if path.is_file())  # fmt: skip
        yield from (f"{job} is lost" for job, what in self.dropped.items() if not held[what])
        for name, there in self.pictures().items():
            if name in undisturbed and there != undisturbed[name]:
                yield f"{name} is not what it is when nothing happens"
        for path in self._visible():
            if path.name != NOTE and (path.name.startswith(".") or path.suffix == ".tmp"):
                yield f"{path} lies where people look"
        for job in self.done():
            yield from self._wrong_with(job)

    def wrong_at_the_end(self, undisturbed: Bytes) -> Iterator[str]:
        """What must not be once all is done."""
        yield from self.wrong_now(undisturbed)
        yield from (f"{path} was left behind" for path in self._left())
        if self.pictures().keys() != undisturbed.keys():
            differ = sorted(self.pictures().keys() ^ undisturbed.keys())
            yield f"other files than when nothing happens: {differ}"
        with reading(self.state / "ledger.sqlite3") as ledger:
            counts = {state: count for state, count in ledger.counts().items() if count}
        if counts != {"done": len(self.jobs)}:
            yield f"the ledger counts {counts}"
        published = Counter((self.root / "steps").read_text(encoding="utf-8").splitlines())
        for job in self.jobs:
            if published[f"receipt of {job}"] > 1:  # or none: killed before that was written down
                yield f"{job} was done {published[f'receipt of {job}']} times"
            if job not in self.done():
                yield f"{job} has no receipt"

    def _wrong_with(self, job: str) -> Iterator[str]:
        folder = self.outbox / job
        receipt = json.loads((folder / "receipt.json").read_bytes())
        for one in (*receipt["stages"], *receipt["files"]):
            if one["file"] != "receipt.json" and _digest(folder / one["file"]) != one["sha256"]:
                yield f"{job}: {one['file']} is not what the receipt says"
        if job in self.dropped and not (folder / "inputs/content.jpg").exists():
            yield f"{job} is done, and its photograph not archived"

    def _visible(self) -> list[Path]:
        files = [path for path in self.outbox.rglob("*") if path.is_file()]
        return [path for path in files if ".staging" not in path.parts]

    def _left(self) -> Iterator[Path]:
        rooms = [self.state / name for name in ("jobs", "claims", "trash", "damaged")]
        for room in (self.inbox, self.outbox / ".staging", *rooms):
            yield from (path for path in room.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
