"""Jobs of every kind, as a soak drops them: good, bad, mistaken, unwanted, long; tiny pictures."""

import io
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

Kind = Literal["good", "beside", "album", "bad", "mistake", "unwanted", "long"]

ALBUM = "album"
HUNDRED: tuple[tuple[Kind, int], ...] = (
    ("long", 4), ("good", 67), ("beside", 8), ("album", 10), ("bad", 5), ("mistake", 4),
    ("unwanted", 2),
)  # fmt: skip
"""How many of a hundred jobs are of which kind."""

LONG, ENDLESS = 1500, 1_000_000
"""Steps: enough to be struck on the way; more than anybody waits for."""


@dataclass(frozen=True)
class Drop:
    """A job, by its name in the outbox; `ends` is what it must come to."""

    kind: Kind
    name: str

    @property
    def ends(self) -> Literal["done", "refused", "cancelled"]:
        """What becomes of it."""
        if self.kind == "unwanted":
            return "cancelled"
        return "refused" if self.kind in ("bad", "mistake") else "done"


def mixture(jobs: int) -> Iterator[Drop]:
    """So many jobs, kinds mixed evenly; the same every time."""
    kinds = [kind for kind, count in HUNDRED for _ in range(count)]
    evenly = (kinds[number * 37 % len(kinds)] for number in itertools.count())
    for number, kind in zip(range(jobs), evenly, strict=False):
        name = f"{kind}-{number:05}"
        yield Drop(kind, f"{ALBUM}/{name}" if kind == "album" else name)


class Dropper:
    """Puts jobs into the folder `inbox`, each whole at once; `made` is beside it."""

    def __init__(self, inbox: Path, made: Path) -> None:
        self._inbox, self._made = inbox, made
        self._count = itertools.count()
        for folder in (inbox, made):
            folder.mkdir(parents=True, exist_ok=True)

    def drop(self, job: Drop) -> None:
        """Drop it."""
        name = Path(job.name).name
        if job.kind == "album":
            self._album(name)
        elif job.kind == "beside":
            for half in ("style", "content"):
                self._file(f"{half}.jpg", self._picture()).rename(
                    self._inbox / f"{name}.{half}.jpg"
                )
        else:
            self._folder(job, name)

    def _folder(self, job: Drop, name: str) -> None:
        folder = self._made / name
        folder.mkdir()
        content = b"this is no picture" if job.kind == "bad" else self._picture()
        (folder / "content.jpg").write_bytes(content)
        (folder / "style.jpg").write_bytes(self._picture())
        said = {
            "mistake": "stepps: 4\n",
            "unwanted": f"steps: {ENDLESS}\nsave_every: {ENDLESS}\n",
            "long": f"steps: {LONG}\nsave_every: {LONG // 3}\npriority: 1\n",
        }
        if job.kind in said:
            (folder / "job.yaml").write_text(said[job.kind])
        folder.rename(self._inbox / name)

    def _album(self, name: str) -> None:
        """One more picture of an album that was begun with its style."""
        album = self._inbox / ALBUM
        if not album.exists():
            whole = self._made / ALBUM
            whole.mkdir()
            shutil.move(self._file("style.jpg", self._picture()), whole / "style.jpg")
            whole.rename(album)
        self._file("picture.jpg", self._picture()).rename(album / f"{name}.jpg")

    def _file(self, name: str, content: bytes) -> Path:
        path = self._made / name
        path.write_bytes(content)
        return path

    def _picture(self) -> bytes:
        """24x18 pixels that no other picture has."""
        number, file = next(self._count), io.BytesIO()
        color = (number % 256, number // 256 % 256, number // 65536 % 256)
        picture = Image.new("RGB", (24, 18), (90, 120, 60))
        picture.paste(color, (0, 0, 12, 18))
        picture.save(file, "JPEG", quality=95)
        return file.getvalue()
