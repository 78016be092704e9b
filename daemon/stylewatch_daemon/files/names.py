"""Names of folders in the outbox: safe on every file system, and still to be recognized."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import count

LONGEST = 120
"""Bytes of a part of a name; file systems take 255, and numbers and suffixes come on top."""

SHOWN = 240
"""Characters of a path that the log and the status show."""

JOBS = "_jobs"
"""The folder for all of a job but its painting, where paintings lie side by side."""

RESERVED = frozenset({"_refused", "_status.txt", JOBS})

_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)\s*(\.|$)", re.IGNORECASE)
"""Names that Windows, which may see the share, takes for devices, with any suffix."""

_MISLEADING = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSHOWN = re.compile(f"[{_MISLEADING}]")
_UNSAFE = re.compile(rf'[{_MISLEADING}/\\<>:"|?*]')


def safe(part: str) -> str:
    """One part of a path, without what some system cannot store or a person cannot see.

    Unicode is composed (NFC); a dot or dash in front, and dots and spaces at the end, go. What
    means something here or to Windows gets a `_` in front.
    """
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", part)).strip(" ")
    text = re.sub(r"^[.-]+", "_", text)
    text = text.encode()[:LONGEST].decode(errors="ignore").rstrip(" .")
    if text.casefold() in RESERVED or _DEVICE.match(text):
        return f"_{text}"
    return text or "_"


def safe_path(name: str) -> str:
    """`name` with every part between slashes safe; empty parts go, so none leads upwards."""
    return "/".join(safe(part) for part in name.split("/") if part) or "_"


def shown(text: object) -> str:
    """`text` for a person and for UTF-8, on one line, with `?` for what would mislead them.

    That is: bytes that were no text, line breaks, what a terminal obeys or reads backwards.
    """
    return _UNSHOWN.sub("?", str(text))


def shortened(path: object) -> str:
    """`path` as `shown`, without its middle where it is long."""
    text = shown(path)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}"


def candidates(name: str) -> Iterator[str]:
    """`name`, then `name-2`, `name-3` ... for one that is still free."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))


FINAL = "final"
"""Default name of the final picture, without its suffix."""
