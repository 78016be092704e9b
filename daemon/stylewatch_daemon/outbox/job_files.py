"""Files of finished jobs: those we wrote to the outbox, and the pictures they came from.

A receipt names each file of its job with its checksum. The folder of a job that was canceled or
failed has a note instead, which names its stages. Others may write in an outbox and an inbox too:
no link is followed there, nothing in a receipt leads out of its folder, and a file whose checksum
is known counts only with exactly these bytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import atomic, flat_layout, safe_dirs
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.publish import (
    CLIP_FOLDER,
    REASON,
    RECEIPT,
    STAGES,
    STAGING,
    reason_text,
)
from stylewatch_daemon.store.journal import Role, is_role
from stylewatch_daemon.store.ledger import Entry

Part = Literal["stages", "inputs"]

LOSSES, NOTE = "losses.csv", ".written.json"

STAGE = re.compile(r"([0-9]{4,})\.(?:png|jpg|webp|tiff)")
"""File name of a stage: its step."""

_ATTEMPT = re.compile(r"\.([0-9]+)-[0-9]+-[0-9]+")
"""Name of the folder of an attempt on another machine: its number, when and by whom it began."""

MAX_BYTES = 64 << 20
"""Bytes of a receipt, or of a table of losses, that are read at most."""

_FOREVER = float("inf")


def open_file(name: str, folder: int) -> BufferedReader:
    """Open the regular file `name` in an opened folder; raises OSError where it is none."""
    try:
        return atomic.open_regular(name, folder)
    except InputError as error:
        raise OSError(f"{name} is not a regular file") from error


def sha256_of(name: str, folder: int) -> str:
    """Return the SHA-256 of the regular file `name` in an opened folder; raises OSError."""
    with open_file(name, folder) as file:
        return atomic.digest_of(file)


def size_if(name: str, folder: int, digest: str) -> int | None:
    """Return the bytes of the file `name` in an opened folder, if it still has that SHA-256."""
    # ValueError: no file has such a name
    with suppress(OSError, ValueError), open_file(name, folder) as file:
        if atomic.digest_of(file) == digest:
            return os.fstat(file.fileno()).st_size
    return None


def digests(folder: int, part: Part, before: float) -> dict[str, str]:
    """Return the SHA-256 of each file in the `part` of a job's opened folder, by its name.

    Empty where the job ended after `before` (Unix time, seconds). Raises OSError where there is
    neither a receipt nor a note.
    """
    record = NOTE
    with suppress(FileNotFoundError):
        os.stat(RECEIPT, dir_fd=folder, follow_symlinks=False)
        record = RECEIPT
    with open_file(record, folder) as file:
        if os.fstat(file.fileno()).st_mtime > before:
            return {}
        receipt = parse_receipt(file)
    ended = _FOREVER
    with suppress(ValueError, OverflowError, OSError):  # else it does not say when
        ended = datetime.fromisoformat(_text(receipt, "finished")).timestamp()
    return {} if ended > before else _digests(receipt, part)


def _digests(receipt: Mapping[str, Any], part: str) -> dict[str, str]:
    """The SHA-256 of each file in the folder `part`, as the receipt names it."""
    key = "name" if part == "inputs" else "file"
    named = {}
    for entry in _records(receipt, part):
        path = PurePosixPath(part if part == "inputs" else "", _text(entry, key))
        if path.parts == (part, path.name) and path.name != "..":
            named[path.name] = _text(entry, "sha256")
    return named


def write_note(outbox: Path, place: str) -> None:
    """Name the stages and the losses that are in the folder of a job that will get no receipt.

    Raises OSError where the note cannot be written; without stages there is none.
    """
    try:
        with safe_dirs.opened(outbox, f"{place}/{STAGES}") as folder, os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if STAGE.fullmatch(entry.name))
            stages = [
                {"file": f"{STAGES}/{name}", "sha256": sha256_of(name, folder)} for name in names
            ]
    except FileNotFoundError:
        return
    if stages:
        note = {"finished": datetime.now(UTC).isoformat(), "stages": stages}
        with safe_dirs.opened(outbox, place) as folder:
            with suppress(OSError):  # there may be none
                note["files"] = [{"file": LOSSES, "sha256": sha256_of(LOSSES, folder)}]
            atomic.write(NOTE, json.dumps(note, indent=1).encode(), folder)


def unchanged(folder: Path) -> Iterator[str]:
    """Yield the files of the job with a receipt in `folder` that have not changed, by their paths.

    These are stages, inputs, and files in the receipt's folder. Inputs go by their bytes alone: of
    several with one name all but the first got another. Raises OSError where there is no receipt.
    """
    with safe_dirs.opened(folder) as handle:
        with open_file(RECEIPT, handle) as file:
            receipt = parse_receipt(file)
        for entry in _records(receipt, "files"):
            name = _text(entry, "file")
            if is_name(name) and size_if(name, handle, _text(entry, "sha256")) is not None:
                yield name
    with suppress(OSError), safe_dirs.opened(folder, STAGES) as handle:
        for name, digest in _digests(receipt, STAGES).items():
            if size_if(name, handle, digest) is not None:
                yield f"{STAGES}/{name}"
    known = {_text(entry, "sha256") for entry in _records(receipt, "inputs")}
    with (
        suppress(OSError),
        safe_dirs.opened(folder, "inputs") as handle,
        os.scandir(handle) as entries,
    ):
        names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        yield from (f"inputs/{name}" for name in names if sha256_of(name, handle) in known)


@dataclass(frozen=True)
class Spot:
    """The file `name` in the folder `root / folder`; no part of `folder` may be a link."""

    root: Path
    folder: str
    name: str

    @property
    def path(self) -> Path:
        """Path of the file; opening it by this may lead somewhere else."""
        return self.root / self.folder / self.name

    def open(self) -> BufferedReader:
        """Open the file for reading; raises OSError where it is missing or no regular file.

        Raises OutputError where a link leads to it.
        """
        with (
            safe_dirs.opened(self.root, self.folder) as handle,
            open_file(self.name, handle) as file,
        ):
            return os.fdopen(os.dup(file.fileno()), "rb")


@dataclass(frozen=True)
class Input:
    """A file of a job, and the spots where it may be; `size` in bytes."""

    role: Role
    name: str
    spots: tuple[Spot, ...]
    sha256: str = ""
    size: int | None = None

    def find(self, step: atomic.Step = lambda: None) -> Spot:
        """Return the spot where it is now; raises InputError where it is in none."""
        for spot in self.spots:
            with suppress(OSError), spot.open() as file:
                if self.is_in(file, step):
                    return spot
            step()  # raises again what was suppressed
        folders = dict.fromkeys(shown(spot.path.parent) for spot in self.spots)
        raise InputError(
            f"{shown(self.name)} ({self.role}) is no longer as it was in "
            f"{' nor '.join(folders) or 'the outbox'}: put it there again, or drop the pair anew"
        )

    def is_in(self, file: BufferedReader, step: atomic.Step = lambda: None) -> bool:
        """Return whether an opened file has its bytes, or as many if no checksum is known."""
        if self.sha256:
            return atomic.digest_of(file, step) == self.sha256
        return self.size is None or os.fstat(file.fileno()).st_size == self.size


def written(entry: Entry) -> Iterator[Input]:
    """Yield the files of a job that has ended, as they were written to its outbox.

    Their checksums are by its receipt, or its note. An input that is not named there has that of
    the ledger, or else its size; what has neither is left out. The note and the receipt, which have
    no checksum of their own, come last.
    """
    if entry.refused_as is not None:
        reason = hashlib.sha256(reason_text(entry.reason)).hexdigest()
        yield _at(entry, f"{entry.refused_as}/{REASON}", reason)
        yield from _written_inputs(entry, entry.refused_as, {})
    if entry.place is None:
        return
    receipt = _receipt_or_note(entry)
    for record in (*_records(receipt, "stages"), *_records(receipt, "files")):
        file, sha256 = _text(record, "file"), _text(record, "sha256")
        outside = ".." in file.split("/")
        path = flat_layout.painting(entry.place, file) if outside else f"{entry.place}/{file}"
        if sha256 and "\0" not in path:
            yield _at(entry, path, sha256)
    digests = _digests(receipt, "inputs")
    for record in _records(receipt, "inputs"):
        if isinstance(changed := record.get("changed"), dict):
            digests[_text(record, "name")] = _text(changed, "sha256")
    yield from _written_inputs(entry, f"{entry.place}/inputs", digests)
    for name in (NOTE, RECEIPT):
        yield _at(entry, f"{entry.place}/{name}")


def _written_inputs(entry: Entry, folder: str, digests: Mapping[str, str]) -> Iterator[Input]:
    for record in entry.inputs:
        sha256 = digests.get(record["name"]) or record.get("sha256", "")
        yield _at(entry, f"{folder}/{record['name']}", sha256, record.get("size", -1))


def _at(entry: Entry, path: str, sha256: str = "", size: int | None = None) -> Input:
    """Return the file of a job at a path in its outbox."""
    folder, name = os.path.split(path)
    return Input("output", name, (Spot(Path(entry.outbox), folder, name),), sha256, size)


def _receipt_or_note(entry: Entry) -> Mapping[str, Any]:
    for name in (RECEIPT, NOTE):
        with (
            suppress(OSError),
            Spot(Path(entry.outbox), str(entry.place), name).open() as file,
        ):
            return parse_receipt(file)
    return {}


def inputs(entry: Entry) -> tuple[Input, ...]:
    """Return the files of a job, its job.yaml too; raises InputError where no roles are known."""
    files = tuple(
        Input(
            record["role"],
            record["name"],
            tuple(input_spots(entry, record["name"], record.get("source", ""))),
            record.get("sha256", ""),
            record["size"],
        )
        for record in entry.inputs
        if is_role(record.get("role"))
    )
    roles = {file.role for file in files}
    sides = roles & {"content", "style"}
    is_alone = "job" in roles or (entry.settings or {}).get("only") in sides
    if sides != {"content", "style"} and not (sides and is_alone):
        raise InputError(
            f"the ledger does not have what each picture of {shown(entry.title)} was for: "
            "drop the pair again"
        )
    return files


def stage(entry: Entry, step: int) -> Input:
    """Return the stage of a job after that step, as a picture to start from.

    Raises InputError where there is none, with those that there are.
    """
    there = stages(entry)
    if step not in there:
        steps = ", ".join(map(str, there))
        raise InputError(
            f"{shown(entry.title)} has no stage {step}; there are {steps}" if steps else
            f"{shown(entry.title)} has no stages to start from: none was painted, or they were "
            "removed, as `retention.stages` has it; leave --from-stage out"
        )  # fmt: skip
    spot = there[step]
    known: dict[str, str] = {}
    with suppress(OSError), safe_dirs.opened(Path(entry.outbox), str(entry.place)) as handle:
        known = digests(handle, "stages", _FOREVER)
    return Input("init", f"stage-{spot.name}", (spot,), known.get(spot.name, ""))


def stages(entry: Entry) -> dict[int, Spot]:
    """Return the stages of a job that are there now, by their steps, in order."""
    return {} if entry.place is None else _numbered(entry, f"{entry.place}/{STAGES}")


def frames(entry: Entry) -> dict[int, Spot]:
    """Return the painted frames of a clip that are not encoded yet, by their numbers, in order.

    They are those of the latest attempt, which may have a staging folder of its own.
    """
    attempts: list[str] = []
    with suppress(OSError):
        attempts = attempt_folders(Path(entry.outbox), entry.id)
    own = attempts[-1] if attempts else "."
    return _numbered(entry, f"{STAGING}/{entry.id}/{own}/{CLIP_FOLDER}")


def attempt_folders(outbox: Path, job_id: str) -> list[str]:
    """Return the names of the attempts' folders in a job's staging folder, the latest last.

    Raises OSError where the staging folder cannot be listed, OutputError where a link leads to it.
    """
    with (
        safe_dirs.opened(outbox, f"{STAGING}/{job_id}") as staging,
        os.scandir(staging) as entries,
    ):
        matches = [match for entry in entries if (match := _ATTEMPT.fullmatch(entry.name))]
    return [match[0] for match in sorted(matches, key=lambda match: (int(match[1]), match[0]))]


def _numbered(entry: Entry, folder: str) -> dict[int, Spot]:
    """Return the pictures in a folder of the outbox whose names are numbers."""
    try:
        with safe_dirs.opened(Path(entry.outbox), folder) as handle, os.scandir(handle) as entries:
            matches = [STAGE.fullmatch(file.name) for file in entries]
    except OSError:
        return {}
    steps = sorted((int(match[1]), match[0]) for match in matches if match)
    return {step: Spot(Path(entry.outbox), folder, name) for step, name in steps}


def input_spots(entry: Entry, name: str, source: str) -> Iterator[Spot]:
    """Yield where an input may be, the likeliest spot first."""
    outbox, inbox = Path(entry.outbox), Path(entry.inbox)
    if entry.place is not None:
        yield Spot(outbox, f"{entry.place}/inputs", name)
    if entry.refused_as is not None:
        yield Spot(outbox, entry.refused_as, name)
    if source:
        path = Path(source)
        roots = (root for root in (inbox, outbox) if path.is_relative_to(root))
        root = next(roots, path.parent)
        yield Spot(root, str(path.parent.relative_to(root)), path.name)


def parse_receipt(file: IO[bytes]) -> Mapping[str, Any]:
    """Read the receipt, or the note, in an opened file; empty where it is damaged.

    It is damaged, too, where a text is no Unicode, or a number is larger than any float.
    """
    with suppress(ValueError, OverflowError, RecursionError):
        plain = json.loads(file.read(MAX_BYTES), parse_int=_parse_int)
        json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
        if isinstance(plain, dict):
            return plain
    return {}


def _parse_int(digits: str) -> int:
    float(number := int(digits))  # raises OverflowError
    return number


def _records(receipt: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    records = receipt.get(key)
    if not isinstance(records, list):
        return []
    return [record for record in records if isinstance(record, dict)]


def _text(record: Mapping[str, Any], key: str) -> str:
    return str(record.get(key, ""))


def is_name(text: str) -> bool:
    """Return whether `text` names a file in a folder, and leads nowhere else."""
    return bool(text) and PurePosixPath(text).name == text and "\0" not in text
