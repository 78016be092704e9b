"""What lies in a job's folder, opened part by part: no link in it is followed."""

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from stylewatch_daemon.outbox.job_files import Spot
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.store.ledger import Entry

LOSSES = "losses.csv"

LONGEST = 64 << 20
"""Bytes of a receipt, or of a table of losses, that is still read."""

_CHUNK = 1 << 18
_REMEMBERED = 4096


class Memory:
    """The latest results, by what they were made from."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most, self._lock = most, Lock()
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made for `key` before; else what `make` gives now."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = make()
        with self._lock:
            self._known[key] = made
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return made


_digests, _receipts = Memory(), Memory(256)


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a file, and of nothing elsewhere."""
    return bool(text) and PurePosixPath(text).name == text and "\0" not in text


def look(file: BufferedReader) -> tuple[int, int, int, int]:
    """What tells whether a file is still what it was."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def digest(file: BufferedReader) -> str:
    """The SHA-256 of an opened file, which is read but once; its place in it stays."""

    def hashed() -> str:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        return found

    known: str = _digests.get(look(file), hashed)
    return known


def chunks(file: BufferedReader) -> Iterator[bytes]:
    """The bytes of an opened file, which is closed at the end."""
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def receipt_place(entry: Entry) -> Spot | None:
    """Where the receipt of a job lies, once there is one."""
    return None if entry.place is None else Spot(Path(entry.outbox), entry.place, RECEIPT)


def receipt(entry: Entry) -> Mapping[str, Any]:
    """The receipt of a job; empty where there is none, or none that can be read."""
    place = receipt_place(entry)
    with suppress(OSError):
        if place is not None:
            with place.open() as file:
                found: Mapping[str, Any] = _receipts.get(look(file), lambda: _parsed(file))
                return found
    return {}


def _parsed(file: BufferedReader) -> Mapping[str, Any]:
    with suppress(ValueError, RecursionError):
        plain = json.loads(file.read(LONGEST))
        if isinstance(plain, dict):
            return plain
    return {}


def losses(entry: Entry) -> str:
    """The table of losses of a job, as far as it is painted; empty where there is none."""
    with suppress(OSError, UnicodeDecodeError):
        if entry.place is not None:
            with Spot(Path(entry.outbox), entry.place, LOSSES).open() as file:
                return file.read(LONGEST).decode("ascii")
    return ""
