"""Flat albums: paintings lie side by side, and the folders of their jobs below `_jobs`.

The job whose folder is `_jobs/waves/a` has its painting at `waves/a.png`. So the folder, which only
one job can make, reserves the name of the painting too; all else of a job is where it always is.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from stylewatch_daemon.files.names import FINAL, JOBS

_ENDINGS = (".png", ".jpg", ".webp", ".tiff")


def folder(name: str) -> str:
    """The folder, by its path in the outbox, of a job whose painting is to be called `name`."""
    return f"{JOBS}/{name}"


def is_flat(place: str) -> bool:
    """Return True if the job with the folder `place` has its final picture in an album."""
    return place.startswith(f"{JOBS}/")


def called(place: str) -> str:
    """`place` without what is there for flat jobs only."""
    return place.removeprefix(f"{JOBS}/")


def painting(place: str, file: str) -> str:
    """Where the final picture `file` of a job that is done lies, by its path in the outbox."""
    if not is_flat(place):
        return f"{place}/{PurePosixPath(file).name}"
    return f"{called(place)}{PurePosixPath(file).suffix}"


def paintings(place: str) -> Iterator[tuple[str, str]]:
    """Yield the possible final pictures in a flat job's folder, each with its album place."""
    if is_flat(place):
        for ending in _ENDINGS:
            yield f"{FINAL}{ending}", painting(place, f"{FINAL}{ending}")


def as_seen(place: str, file: str) -> str:
    """How a receipt in the folder `place` names the final picture `file`: seen from there."""
    if not is_flat(place):
        return file
    return "../" * len(PurePosixPath(place).parts) + painting(place, file)


def around(folder: Path) -> Path:
    """The folder in which the painting lies whose job has this `folder`, wherever the outbox is."""
    above = folder.absolute().parent.parts
    if JOBS not in above:
        return folder
    at = len(above) - 1 - above[::-1].index(JOBS)
    return Path(*above[:at], *above[at + 1 :])
