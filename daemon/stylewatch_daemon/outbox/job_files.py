"""Where the pictures of a job lie that is at its end: in the outbox, or where they were dropped.

Other people may write in both. No link is followed there, and a file whose digest is known counts
only with these very bytes.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox import manifest
from stylewatch_daemon.outbox.publish import STAGES
from stylewatch_daemon.store.journal import MASK, Role, is_role
from stylewatch_daemon.store.ledger import Entry

_FOREVER = float("inf")


@dataclass(frozen=True)
class Spot:
    """The file `name` in the folder `root / folder`; no part of `folder` may be a link."""

    root: Path
    folder: str
    name: str

    @property
    def path(self) -> Path:
        """Where it should be; who opens it by that may meet something else there."""
        return self.root / self.folder / self.name

    def open(self) -> BufferedReader:
        """The file, to be read; raises OSError where it is no regular file, or not there.

        OutputError where a link leads to it.
        """
        with (
            safe_dirs.opened(self.root, self.folder) as handle,
            manifest.regular(handle, self.name) as file,
        ):
            return os.fdopen(os.dup(file.fileno()), "rb")


@dataclass(frozen=True)
class Input:
    """A file of a job, what is known of it, and where it may lie; `size` in bytes."""

    role: Role
    name: str
    spots: tuple[Spot, ...]
    sha256: str = ""
    size: int | None = None

    def find(self) -> Spot:
        """Where it lies; raises InputError where it does not any more."""
        for spot in self.spots:
            with suppress(OSError), spot.open() as file:
                if self.is_in(file):
                    return spot
        places = " nor ".join(dict.fromkeys(shown(spot.path.parent) for spot in self.spots))
        raise InputError(
            f"{shown(self.name)} ({self.role}) is no longer as it was in {places or 'the outbox'}: "
            "put it there again, or drop the pair anew"
        )

    def is_in(self, file: BufferedReader) -> bool:
        """Whether an opened file has its bytes, or as many where no more is known."""
        if self.sha256:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        return self.size is None or os.fstat(file.fileno()).st_size == self.size


def inputs(entry: Entry) -> tuple[Input, ...]:
    """The files of a job, its job.yaml too; raises InputError where nobody knows their roles."""
    noted = [one for one in entry.inputs if is_role(one.get("role"))]
    found = [
        Input(
            one["role"],
            one["name"],
            tuple(_spots(entry, one["name"], one.get("source", ""))),
            one.get("sha256", ""),
            one["size"],
        )
        for one in noted
    ] or list(_by_receipt(entry))
    if not _is_whole({one.role for one in found}, entry):
        raise InputError(
            f"what each picture of {_called(entry)} was for is not known any more, as an older "
            "stylewatch took it: drop the pair again"
        )
    return tuple(found)


def _is_whole(roles: Collection[Role], entry: Entry) -> bool:
    """Whether both sides are known, or the one that the job was for; its job.yaml says so."""
    sides = {"content", "style"}.intersection(roles)
    alone = "job" in roles or (entry.settings or {}).get("only") in sides
    return len(sides) > 1 or (bool(sides) and alone)


def stage(entry: Entry, step: int) -> Input:
    """The stage of a job after that step, as a picture to start from.

    Raises InputError where there is none, with those that there are.
    """
    there = stages(entry)
    if step not in there:
        told = ", ".join(map(str, there))
        raise InputError(
            f"{_called(entry)} has no stage {step}; there are {told}" if told else
            f"{_called(entry)} has no stages to start from: none was painted, or they were "
            "removed, as `retention.stages` has it; leave --from-stage out"
        )  # fmt: skip
    spot = there[step]
    digests: dict[str, str] = {}
    with suppress(OSError), _folder(entry, str(entry.place)) as handle:
        digests = manifest.digests(handle, "stages", _FOREVER)
    return Input("init", f"stage-{spot.name}", (spot,), digests.get(spot.name, ""))


def stages(entry: Entry) -> dict[int, Spot]:
    """The stages of a job that lie there now, by their steps, in order."""
    if entry.place is None:
        return {}
    folder = f"{entry.place}/{STAGES}"
    try:
        with _folder(entry, folder) as handle, os.scandir(handle) as files:
            names = [manifest.STAGE.fullmatch(one.name) for one in files]
    except OSError:
        return {}
    steps = sorted((int(name[1]), name[0]) for name in names if name)
    return {step: Spot(Path(entry.outbox), folder, name) for step, name in steps}


def _by_receipt(entry: Entry) -> Iterator[Input]:
    """The pictures of a job whose roles only its receipt tells."""
    if entry.place is None:
        return
    with suppress(OSError):
        with _folder(entry, entry.place) as handle:
            told = manifest.inputs(handle)
        for said, name, digest in told:
            role = said if said.endswith(MASK) else said.partition("-")[0]
            if is_role(role):
                yield Input(role, name, tuple(_spots(entry, name, "")), digest)


def _folder(entry: Entry, place: str) -> AbstractContextManager[int]:
    return safe_dirs.opened(Path(entry.outbox), place)


def _spots(entry: Entry, name: str, source: str) -> Iterator[Spot]:
    """Where an input may lie, the likeliest place first."""
    outbox, inbox = Path(entry.outbox), Path(entry.inbox)
    if entry.place is not None:
        yield Spot(outbox, f"{entry.place}/inputs", name)
    if entry.refused_as is not None:
        yield Spot(outbox, entry.refused_as, name)
    if source:
        path = Path(source)
        ours = (root for root in (inbox, outbox) if path.is_relative_to(root))
        root = next(ours, path.parent)
        yield Spot(root, str(path.parent.relative_to(root)), path.name)


def _called(entry: Entry) -> str:
    return shown(entry.place or entry.name)
