"""What a receipt says that we wrote: the files of a job, each with its digest.

Whoever may write in the outbox may write a receipt too: nothing in one leads out of its folder.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BufferedReader
from pathlib import PurePosixPath
from typing import Any, Literal

from stylewatch_daemon.outbox import RECEIPT

Part = Literal["stages", "inputs"]

_LONGEST = 1 << 26
"""Bytes of a receipt; no job writes a longer one."""


def digests(folder: int, part: Part, before: float) -> dict[str, str]:
    """The SHA-256 of each file in the `part` of a job's opened folder, by its name.

    Empty where the job ended after `before` (Unix time, seconds). Raises OSError where there is
    no receipt.
    """
    with regular(folder, RECEIPT) as file:
        status = os.fstat(file.fileno())
        if status.st_mtime > before or status.st_size > _LONGEST:
            return {}
        receipt = _parsed(file)
    if _ended(receipt) > before:
        return {}
    named = dict(_inputs(receipt) if part == "inputs" else _stages(receipt))
    ours = {path: digest for path, digest in named.items() if path.parts == (part, path.name)}
    return {path.name: digest for path, digest in ours.items() if path.name != ".."}


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


def size_if(folder: int, name: str, digest: str) -> int | None:
    """The bytes of the file `name` in an opened folder, if it is still the one of that digest."""
    with suppress(OSError), regular(folder, name) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == digest:
            return os.fstat(file.fileno()).st_size
    return None


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
