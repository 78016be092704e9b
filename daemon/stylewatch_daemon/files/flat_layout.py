"""Flat albums: final pictures are side by side, and the folders of their jobs below `_jobs`.

The job with the folder `_jobs/waves/a` has its final picture at `waves/a.png`. So the folder, which
only one job can make, also reserves the name of the picture.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from stylewatch_daemon.files.names import FINAL, JOBS

_ENDINGS = (".png", ".jpg", ".webp", ".tiff", ".mp4", ".webm", ".mkv")


def folder(name: str) -> str:
    """Return the folder in the outbox of a job whose final picture gets that `name`."""
    return f"{JOBS}/{name}"


def is_flat(place: str) -> bool:
    """Return True if the job with the folder `place` has its final picture in an album."""
    return place.startswith(f"{JOBS}/")


def called(place: str) -> str:
    """Return the name of the job with the folder `place`."""
    return place.removeprefix(f"{JOBS}/")


def painting(place: str, file: str) -> str:
    """Return the path in the outbox of the final picture `file` of a job that is done."""
    if not is_flat(place):
        return f"{place}/{PurePosixPath(file).name}"
    return f"{called(place)}{PurePosixPath(file).suffix}"


def paintings(place: str) -> Iterator[tuple[str, str]]:
    """Yield the possible final pictures in a flat job's folder, each with its album place."""
    if is_flat(place):
        for ending in _ENDINGS:
            yield f"{FINAL}{ending}", painting(place, f"{FINAL}{ending}")


def as_seen(place: str, file: str) -> str:
    """Return the path of the final picture `file` relative to the job's folder `place`."""
    if not is_flat(place):
        return file
    return "../" * len(PurePosixPath(place).parts) + painting(place, file)


def around(folder: Path) -> Path:
    """Return the folder of the final picture of the job with this `folder`."""
    above = folder.absolute().parent.parts
    if JOBS not in above:
        return folder
    at = len(above) - 1 - above[::-1].index(JOBS)
    return Path(*above[:at], *above[at + 1 :])
