"""Thumbnails: small JPEGs in the state folder, named by the SHA-256 of the picture's file.

They can be created again, so they are not synced.
"""

from collections.abc import Collection
from pathlib import Path

from stylewatch_daemon.files import entries

SIDE = 256
"""Maximum length of the longer side of a thumbnail, in pixels."""

SUFFIX = ".jpg"


def path_of(folder: Path, sha256: str, side: int = SIDE) -> Path:
    """Return the path of a picture's thumbnail, given its digest and the `side` in pixels."""
    return folder / f"{sha256}{'' if side == SIDE else f'-{side}'}{SUFFIX}"


def sweep(folder: Path, wanted: Collection[str]) -> None:
    """Remove all entries of `folder` except thumbnails of SIDE for the digests `wanted`.

    An entry that cannot be removed stays.
    """
    for name in entries.names(folder):
        path = folder / name
        if path.suffix != SUFFIX or path.stem not in wanted:
            entries.attempt_removal(path)


def remove(folder: Path, sha256: str) -> None:
    """Remove all thumbnails of the picture with this digest from `folder`, as far as possible."""
    for name in entries.names(folder):
        if name.startswith(sha256):
            entries.attempt_removal(folder / name)
