"""Names of folders in the outbox: safe on every file system, and still to be recognised."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import count

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter.mistakes import nearest

LONGEST = 120
"""Bytes of a part of a name; file systems take 255, and numbers and suffixes come on top."""

RESERVED = frozenset({"_refused", "_status.txt"})

_MISLEADING = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSHOWN = re.compile(f"[{_MISLEADING}]")
_UNSAFE = re.compile(rf'[{_MISLEADING}/\\<>:"|?*]')
_PLACE = re.compile(r"\{(\w*)\}")


def safe(part: str) -> str:
    """One part of a path, without what some system cannot store or a person cannot see.

    Unicode is composed (NFC); a dot or dash in front, and dots and spaces at the end, go.
    """
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", part)).strip(" ")
    text = re.sub(r"^[.-]+", "_", text)
    text = text.encode()[:LONGEST].decode(errors="ignore").rstrip(" .")
    return f"_{text}" if text.casefold() in RESERVED else text or "_"


def safe_path(name: str) -> str:
    """`name` with every part between slashes safe; empty parts go, so none leads upwards."""
    return "/".join(safe(part) for part in name.split("/") if part) or "_"


def shown(text: object) -> str:
    """`text` for a person and for UTF-8, on one line, with `?` for what would mislead them.

    That is: bytes that were no text, line breaks, what a terminal obeys or reads backwards.
    """
    return _UNSHOWN.sub("?", str(text))


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """The safe path that `pattern` names: `{folder}/{content}` with its places filled.

    Raises SettingsError for a place that `values` does not have.
    """

    def value(place: re.Match[str]) -> str:
        if place[1] not in values:
            raise SettingsError(f"name: {nearest(place[1], values)}")
        return values[place[1]]

    return safe_path(_PLACE.sub(value, pattern))


def candidates(name: str) -> Iterator[str]:
    """`name`, then `name-2`, `name-3` ... for one that is still free."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))
