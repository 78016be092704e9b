"""What we wrote: the files of a job, each with its digest, by its receipt.

The folder of a job that was cancelled or failed has a note instead, which names its stages.
Whoever may write in the outbox may write a receipt too: nothing in one leads out of its folder.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.outbox.publish import RECEIPT

Part = Literal["stages", "inputs"]

NOTE = ".written.json"

STAGE = re.compile(r"([0-9]{4,})\.(?:png|jpg|webp|tiff)")
"""What a stage is called: by its step."""

_LONGEST = 1 << 26
"""Bytes of a receipt; no job writes a longer one."""


def digests(folder: int, part: Part, before: float) -> dict[str, str]:
    """The SHA-256 of each file in the `part` of a job's opened folder, by its name.

    Empty where the job ended after `before` (Unix time, seconds). Raises OSError where there is
    neither a receipt nor a note.
    """
    with _record(folder) as file:
        status = os.fstat(file.fileno())
        if status.st_mtime > before or status.st_size > _LONGEST:
            return {}
        receipt = _parsed(file)
    if _ended(receipt) > before:
        return {}
    named = dict(_inputs(receipt) if part == "inputs" else _stages(receipt))
    ours = {path: digest for path, digest in named.items() if path.parts == (part, path.name)}
    return {path.name: digest for path, digest in ours.items() if path.name != ".."}


def note(outbox: Path, place: str) -> None:
    """Name in the job's folder, which will get no receipt, the stages that lie there now.

    Raises OSError where that cannot be written; where there are none there is nothing to name.
    """
    try:
        with safe_dirs.opened(outbox, f"{place}/stages") as stages, os.scandir(stages) as found:
            ours = sorted(one.name for one in found if STAGE.fullmatch(one.name))
            named = [{"file": f"stages/{one}", "sha256": _digest(stages, one)} for one in ours]
    except FileNotFoundError:
        return
    if named:
        plain = {"finished": datetime.now(UTC).isoformat(), "stages": named}
        with safe_dirs.opened(outbox, place) as folder:
            safe_dirs.write(folder, NOTE, json.dumps(plain, indent=1).encode())


def inputs(folder: int) -> list[tuple[str, str, str]]:
    """Role, name and SHA-256 of the pictures of a job, by the receipt in its opened folder.

    Raises OSError where there is no receipt.
    """
    with regular(folder, RECEIPT) as file:
        receipt = _parsed(file) if os.fstat(file.fileno()).st_size <= _LONGEST else {}
    found = _records(receipt, "inputs")
    told = [(_text(one, "role"), _text(one, "name"), _text(one, "sha256")) for one in found]
    return [
        (role, name, digest)
        for role, name, digest in told
        if PurePosixPath(name).name == name and "\0" not in name
    ]


def left(place: Path) -> Iterator[str]:
    """The files that the job with a receipt in the folder `place` left there, by their paths.

    Those are inputs, and what lies beside the receipt; what was changed since is no longer its
    own. Inputs go by their bytes alone: of several with one name all but the first got another.
    Raises OSError where there is no receipt.
    """
    with safe_dirs.opened(place) as folder:
        with regular(folder, RECEIPT) as file:
            receipt = _parsed(file)
        for one in _records(receipt, "files"):
            name = _text(one, "file")
            beside = PurePosixPath(name).name == name and "\0" not in name
            if beside and size_if(folder, name, _text(one, "sha256")) is not None:
                yield name
    digests = {_text(one, "sha256") for one in _records(receipt, "inputs")}
    with (
        suppress(OSError),
        safe_dirs.opened(place, "inputs") as folder,
        os.scandir(folder) as found,
    ):
        for name in sorted(one.name for one in found if one.is_file(follow_symlinks=False)):
            if _digest(folder, name) in digests:
                yield f"inputs/{name}"


def size_if(folder: int, name: str, digest: str) -> int | None:
    """The bytes of the file `name` in an opened folder, if it is still the one of that digest."""
    with suppress(OSError), regular(folder, name) as file:
        if _sha256(file) == digest:
            return os.fstat(file.fileno()).st_size
    return None


def _digest(folder: int, name: str) -> str:
    with regular(folder, name) as file:
        return _sha256(file)


def _sha256(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _record(folder: int) -> AbstractContextManager[BufferedReader]:
    """The receipt in an opened folder, or else the note."""
    with suppress(FileNotFoundError):
        os.stat(RECEIPT, dir_fd=folder, follow_symlinks=False)
        return regular(folder, RECEIPT)
    return regular(folder, NOTE)


def _stages(receipt: Mapping[str, Any]) -> Iterator[tuple[PurePosixPath, str]]:
    for one in _records(receipt, "stages"):
        yield PurePosixPath(_text(one, "file")), _text(one, "sha256")


def _inputs(receipt: Mapping[str, Any]) -> Iterator[tuple[PurePosixPath, str]]:
    for one in _records(receipt, "inputs"):
        yield PurePosixPath("inputs", _text(one, "name")), _text(one, "sha256")


def _parsed(file: BufferedReader) -> Mapping[str, Any]:
    try:
        plain = json.load(file)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _records(receipt: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = receipt.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(record: Mapping[str, Any], key: str) -> str:
    return str(record.get(key, ""))


def _ended(receipt: Mapping[str, Any]) -> float:
    """When the job ended; one whose receipt does not say is kept for ever."""
    try:
        return datetime.fromisoformat(_text(receipt, "finished")).timestamp()
    except (ValueError, OverflowError, OSError):
        return float("inf")


@contextmanager
def regular(folder: int, name: str) -> Iterator[BufferedReader]:
    """The regular file `name` in an opened folder; raises OSError where it is none."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{name} is not a regular file")
        yield file
