"""File names: their comparison, forms to store and to show, suffixes, and free names."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count
from pathlib import Path

from stylewatch_daemon.base.errors import UsageError

LONGEST = 120
"""Maximum number of bytes of a result of `safe`. File systems allow 255, but numbers and suffixes
may be added to it."""

SHOWN = 240
"""Maximum number of characters of a path that are shown in the log and the status."""

PICTURE_SUFFIXES = frozenset(
    {"apng", "arw", "avif", "bmp", "cr2", "cr3", "dib", "dng", "gif", "heic", "heif", "hif",
     "jfif", "jp2", "jpe", "jpeg", "jpg", "jxl", "mpo", "nef", "orf", "pbm", "pef", "pgm", "png",
     "pnm", "ppm", "raf", "rw2", "tga", "tif", "tiff", "webp"}
)  # fmt: skip
"""Suffixes, in lower case and without dot, of pictures; a file called `content` or `style` may have
further suffixes."""

CONTENT_SUFFIXES = PICTURE_SUFFIXES | {"m4v", "mkv", "mov", "mp4", "webm"}
"""Suffixes of contents: pictures and clips."""

RESERVED = frozenset({"_canceled", "_refused", "_status.txt"})

_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)\s*(\.|$)", re.IGNORECASE)
"""Pattern for names of devices in Windows, with any suffix."""

_MISLEADING = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSHOWN = re.compile(f"[{_MISLEADING}]")
_UNSAFE = re.compile(rf'[{_MISLEADING}/\\<>:"|?*]')


def is_name(text: str) -> bool:
    """Return whether `text` is a plain file name that does not lead to another folder."""
    return text not in ("", ".", "..") and not {"/", "\0"}.intersection(text)


def is_picture(path: Path) -> bool:
    """Return whether the suffix of a file is that of a picture; clips have others."""
    return folded(path.suffix[1:]) in PICTURE_SUFFIXES


def folded(text: str) -> str:
    """Return the form in which names are compared: composed (NFC), and without case.

    A Mac, a PC and a phone may write the same name differently. Names that are equal in this form
    belong together (law 8); a file is always opened by the name that its folder lists.
    """
    composed = unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", composed.casefold())


def meant(wanted: str, names: Iterable[str], what: str) -> str | None:
    """Return the name in `names` that equals `wanted` exactly, or else in its folded form.

    Returns None if no name does. Raises UsageError if several names do, none exactly; in the
    message, `what` is the plural of what the names belong to, such as "jobs".
    """
    equal = sorted({name for name in names if folded(name) == folded(wanted)})
    if wanted in equal:
        return wanted
    if len(equal) > 1:
        raise UsageError(f"{shown(wanted)} fits several {what}: {told_apart(equal)}")
    return equal[0] if equal else None


def told_apart(names: Collection[str]) -> str:
    """Return `names` for a message, with the difference between names that look alike."""
    text = shown(" and ".join(names))
    composed = {unicodedata.normalize("NFC", name) for name in names}
    without_case = {folded(name) for name in names}
    for forms, difference in ((composed, "how accents are stored"), (without_case, "case")):
        if len(forms) < len(names):
            which = "which" if len(forms) == 1 else "some of which"
            return f"{text}, {which} differ only in {difference}"
    return text


def safe(part: str, ending: str = "") -> str:
    """Return `part` and `ending` as one part of a path that every file system can store.

    Unicode is composed (NFC), and a `_` replaces each invisible or unsafe character, and all
    leading dots and dashes. Outer spaces and trailing dots are removed. A name that stylewatch or
    Windows reserves gets a `_` in front. A name of more than LONGEST bytes is cut, if possible
    before its `ending`. If nothing is left, the result is `_`.
    """
    part, ending = (_UNSAFE.sub("_", unicodedata.normalize("NFC", text)) for text in (part, ending))
    start = re.sub(r"^[.-]+", "_", part.strip(" ")).encode()
    whole = start[: max(0, LONGEST - len(ending.encode()))] + ending.encode()
    text = whole[:LONGEST].decode(errors="ignore").rstrip(" .")
    if folded(text) in RESERVED or _DEVICE.match(text):
        return f"_{text}"
    return text or "_"


def safe_path(name: str) -> str:
    """Return `name` with safe parts between slashes, so that no part leads upwards.

    Empty parts are left out; if all are empty, the result is `_`.
    """
    return "/".join(safe(part) for part in name.split("/") if part) or "_"


def shown(text: object) -> str:
    """Return `text` on one line, with `?` for characters that would mislead a reader.

    Such characters are bytes that are not UTF-8, line breaks, and control and direction characters.
    """
    return _UNSHOWN.sub("?", str(text))


def shortened(path: object) -> str:
    """Return `path` on one line, with `...` for its middle if it has more than SHOWN characters."""
    text = shown(path)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}"


def abbreviated(path: Path) -> str:
    """Return `path` on one line, with `~` for the home folder."""
    try:
        return shown(Path("~", path.relative_to(Path.home())))
    except (RuntimeError, ValueError):  # the home folder is unknown, or does not contain the path
        return shown(path)


def at_home(path: Path) -> Path:
    """Return a path with a home folder in place of `~`; raises UsageError if there is none."""
    try:
        return path.expanduser()
    except RuntimeError:
        user = path.parts[0].removeprefix("~")
        missing = f"there is no user {shown(user)}" if user else "there is no home folder: set HOME"
        raise UsageError(missing) from None


def candidates(name: str, suffix: str = "") -> Iterator[str]:
    """Yield `name`, then `name-2`, `name-3` and so on, each with `suffix`, to find a free name."""
    yield name + suffix
    yield from (f"{name}-{number}{suffix}" for number in count(2))


def first_free(names: Iterable[str], is_taken: Callable[[str], bool]) -> str:
    """Return the first of the `names` that is not taken; raises AssertionError if all are taken."""
    for name in names:
        if not is_taken(name):
            return name
    raise AssertionError("all names are taken")


def take_name(names: Iterable[str], taken: set[str]) -> str:
    """Return the first of the `names` that is not `taken`, and add it to the taken names.

    The names in `taken` are folded (law 8).
    """
    name = first_free(names, lambda name: folded(name) in taken)
    taken.add(folded(name))
    return name


FINAL = "final"
"""Default name of the final picture, without its suffix."""
