"""On a machine of the cluster: the pictures that came there, each once, by its digest.

    root/KEY/NAME   a picture, KEY its SHA-256; or a recipe among those of its folder

What was not used for longest goes first where there is too much; a job that misses it is tried
again, and it comes again.
"""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MOST = 4 << 30
"""Bytes that are kept."""


@dataclass(frozen=True)
class Parcel:
    """A file that a job needs: where it is kept, what it is called, and what is in it."""

    key: str
    name: str
    sha256: str

    @property
    def place(self) -> Path:
        """Where it lies below the root."""
        return Path(self.key, self.name)


@dataclass(eq=False)
class Larder:
    """What is kept below `root`, which is made; `most` bytes of it."""

    root: Path
    most: int = MOST
    _coming: dict[Parcel, Path] = field(default_factory=dict)

    def lacks(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Those that are not here; the others count as used now."""
        return [one for one in parcels if not self._is_here(one)]

    def take(self, parcel: Parcel, piece: bytes, *, last: bool) -> None:
        """Take the next piece of a file; with the `last` it is here.

        Raises OSError where it cannot be kept, ValueError where it is not what it should be.
        """
        coming = self._coming.get(parcel)
        if coming is None:
            (self.root / parcel.key).mkdir(parents=True, exist_ok=True)
            coming = self.root / parcel.key / f".{secrets.token_hex(8)}.tmp"
            self._coming[parcel] = coming
        with coming.open("ab") as file:
            file.write(piece)
        if last:
            self._keep(parcel, self._coming.pop(parcel))

    def _keep(self, parcel: Parcel, whole: Path) -> None:
        with whole.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != parcel.sha256:
            whole.unlink()
            raise ValueError(f"{parcel.name} changed on its way to {self.root}")
        whole.replace(self.root / parcel.place)
        self._make_room()

    def _is_here(self, parcel: Parcel) -> bool:
        path = self.root / parcel.place
        if not path.is_file() and not self._is_elsewhere(parcel, path):
            return False
        with suppress(OSError):
            os.utime(path)
            os.utime(path.parent)
        return True

    def _is_elsewhere(self, parcel: Parcel, path: Path) -> bool:
        """Whether it is here by another name, and now by this one too."""
        if parcel.key != parcel.sha256:
            return False
        for other in path.parent.glob("[!.]*"):
            with suppress(OSError):
                path.hardlink_to(other)
                return True
        return False

    def _make_room(self) -> None:
        """Remove what was used least lately, until there is no more than may be."""
        sizes = {
            folder: sum(file.stat().st_size for file in folder.iterdir())
            for folder in sorted(self.root.iterdir(), key=lambda one: one.stat().st_mtime)
            if folder.is_dir()
        }
        now, held = time.time(), sum(sizes.values())
        for folder, size in sizes.items():
            if held <= self.most or folder.stat().st_mtime > now - 1:
                return
            shutil.rmtree(folder, ignore_errors=True)
            held -= size
