"""Patterns for names in the outbox, as `{folder}/{stem}-{style}`: check them, and fill them in."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files.names import FINAL, safe, safe_path

LONGEST = 500
"""Characters of a pattern."""

DEEPEST = 16
"""Parts of a pattern between slashes."""

LONGEST_PATH = 2000
"""Bytes of a folder's path in the outbox; systems allow about 4,000 from the root on."""

PLACES = ("name", "folder", "content", "stem", "style", "recipe", "seed")
"""Fields that a pattern can name in braces."""

_FIELD = re.compile(r"\{(\w*)\}")
_BRACE = re.compile(r"\{[^{}]*\}?|\}")
_ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"])


def _check(pattern: str) -> str:
    known = [f"{{{place}}}" for place in PLACES]
    for field in _BRACE.findall(pattern):
        if field not in known:
            raise ValueError(f"{field} is unknown; the fields are {', '.join(known)}")
    if not pattern.strip():
        raise ValueError(f"a name is required, as {known[0]}")
    if len(pattern) > LONGEST or pattern.count("/") >= DEEPEST:
        raise ValueError(
            f"a name has at most {LONGEST} characters and {DEEPEST} parts between slashes"
        )
    return pattern


def check_ending(pattern: str) -> None:
    """Raise ValueError where a `pattern` for an image has an extension, which `format` sets."""
    ending = PurePosixPath(pattern).suffix
    if ending.lower() in _ENDINGS:
        raise ValueError(f"`format` sets the extension: leave {ending} out")


def _check_file(pattern: str) -> str:
    if "/" in pattern or "\\" in pattern:
        raise ValueError(
            "this names a file in the job's folder, and no folders: `name` names those, and "
            "`flat` puts the final images of an album side by side"
        )
    check_ending(pattern)
    return _check(pattern)


Folder = Annotated[str, AfterValidator(_check)]
"""A pattern for a folder, with `/` between its parts."""

File = Annotated[str, AfterValidator(_check_file)]
"""A pattern for a file in it, without extension."""


def values(
    name: str, main: Path, styles: Sequence[Path], *, recipe: str, seed: int
) -> dict[str, str]:
    """Return the values of the PLACES for a job called `name` with the main image `main`."""
    parent = PurePosixPath(name).parent.as_posix()
    return {
        "name": name,
        "folder": "" if parent == "." else parent,
        "content": main.stem,
        "stem": main.stem,
        "style": styles[0].stem if styles else "",
        "recipe": Path(recipe).stem,
        "seed": str(seed),
    }


def folder(pattern: Folder, places: Mapping[str, str]) -> str:
    """Fill in a folder's path, made safe; empty parts are dropped, and an empty path is the name.

    Raises InputError where the path is too long.
    """
    path = safe_path(_fill(pattern, places) or places["name"])
    if len(path.encode()) > LONGEST_PATH:
        raise InputError(
            f"its folder in the outbox would have a path of {len(path.encode())} bytes; the limit "
            f"is {LONGEST_PATH}: shorten `name`, or the names of its parent folders"
        )
    return path


def file(pattern: File, places: Mapping[str, str]) -> str:
    """Fill in a file's name without extension, made safe: `a/b` becomes `a_b`."""
    return safe(_fill(pattern, places) or FINAL)


def _fill(pattern: str, places: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda field: places[field[1]], pattern).strip(" /")
