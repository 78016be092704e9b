"""Patterns for names in the outbox, `{folder}/{stem}-{style}`: checked, and filled for a job."""

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

_PLACE = re.compile(r"\{(\w*)\}")
_BRACE = re.compile(r"\{[^{}]*\}?|\}")
_ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"])


def _checked(pattern: str) -> str:
    known = [f"{{{place}}}" for place in PLACES]
    for found in _BRACE.findall(pattern):
        if found not in known:
            raise ValueError(f"{found} is no place to fill, there are {', '.join(known)}")
    if not pattern.strip():
        raise ValueError(f"a name is wanted, as {known[0]}")
    if len(pattern) > LONGEST or pattern.count("/") >= DEEPEST:
        raise ValueError(
            f"a name has at most {LONGEST} characters and {DEEPEST} parts between slashes"
        )
    return pattern


def check_ending(pattern: str) -> None:
    """Raise ValueError where a `pattern` for a picture says what `format` is to say."""
    ending = PurePosixPath(pattern).suffix
    if ending.lower() in _ENDINGS:
        raise ValueError(f"the ending is what `format` says: leave {ending} out")


def _checked_file(pattern: str) -> str:
    if "/" in pattern or "\\" in pattern:
        raise ValueError(
            "this names a file in the job's folder, and no folders: those are for `name` to say, "
            "and `flat` lays the paintings of an album side by side"
        )
    check_ending(pattern)
    return _checked(pattern)


Folder = Annotated[str, AfterValidator(_checked)]
"""A pattern for a folder, with `/` between its parts."""

File = Annotated[str, AfterValidator(_checked_file)]
"""A pattern for a file in it, without its ending."""


def values(
    name: str, main: Path, styles: Sequence[Path], *, recipe: str, seed: int
) -> dict[str, str]:
    """What the PLACES stand for in a job called `name`, known by the picture `main`."""
    around = PurePosixPath(name).parent.as_posix()
    return {
        "name": name,
        "folder": "" if around == "." else around,
        "content": main.stem,
        "stem": main.stem,
        "style": styles[0].stem if styles else "",
        "recipe": Path(recipe).stem,
        "seed": str(seed),
    }


def folder(pattern: Folder, places: Mapping[str, str]) -> str:
    """The safe path that a pattern names; empty parts go, and where all are, it is the name.

    Raises InputError where the path is too long.
    """
    path = safe_path(_filled(pattern, places) or places["name"])
    if len(path.encode()) > LONGEST_PATH:
        raise InputError(
            f"its folder in the outbox would have a path of {len(path.encode())} bytes; the limit "
            f"is {LONGEST_PATH}: shorten `name`, or the names of the folders that it lies in"
        )
    return path


def file(pattern: File, places: Mapping[str, str]) -> str:
    """The safe name, without an ending, that a pattern names: `a/b` becomes `a_b`."""
    return safe(_filled(pattern, places) or FINAL)


def _filled(pattern: str, places: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: places[place[1]], pattern).strip(" /")
