"""Thumbnails: small JPEGs in the state folder, named by the SHA-256 of the picture's file.

They can be made again, so none is synced.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

SIDE = 256
"""Pixels of the longer side, at most."""

SUFFIX = ".jpg"


def path_of(folder: Path, sha256: str, side: int = SIDE) -> Path:
    """Return the path of the thumbnail, with that `side`, of the picture with this digest."""
    return folder / f"{sha256}{'' if side == SIDE else f'-{side}'}{SUFFIX}"


def sweep(folder: Path, wanted: Collection[str]) -> None:
    """Remove all files of `folder` but the thumbnails of pictures with the digests `wanted`."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.suffix != SUFFIX or path.stem not in wanted:
                path.unlink()
