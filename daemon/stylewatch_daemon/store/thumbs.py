"""Where thumbnails lie: small JPEGs in the state folder, by the SHA-256 of their picture's file.

A picture that several jobs have in common has one. They can be made again, so none is synced.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

SIDE = 256
"""Pixels of the longer side, at most."""

ENDING = ".jpg"


def path_of(folder: Path, sha256: str, side: int = SIDE) -> Path:
    """Where the thumbnail of the picture with this digest lies, if there is one of that `side`."""
    return folder / f"{sha256}{'' if side == SIDE else f'-{side}'}{ENDING}"


def sweep(folder: Path, wanted: Collection[str]) -> None:
    """Remove what is in `folder`, but the thumbnails of the pictures with the digests `wanted`."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.suffix != ENDING or path.stem not in wanted:
                path.unlink()
