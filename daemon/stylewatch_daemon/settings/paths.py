"""Paths in settings; relative paths start at the folder of the file that contains them."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from stylewatch_daemon.base.errors import UnavailableError, UsageError
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.names import at_home
from stylewatch_painter.installation import repair_command
from stylewatch_painter.validation import quoted

BASE = "base"
"""Key of the folder at which relative paths start, in a validation context."""

_LONGEST_PATH, _LONGEST_NAME = 4095, 255
"""Maximum bytes of a path, and of a name in it."""


def absolute(path: Path, base: Path) -> Path:
    """Return `path` as an absolute path from `base`, without `..`, and with a home for `~`.

    Raises UsageError if it is too long, names the home of an unknown user, or is not valid UTF-8,
    which the ledger could not store.
    """
    path = without_dots(base / at_home(path))
    longest_name = max(path.parts, key=len)
    if len(os.fsencode(path)) > _LONGEST_PATH or len(os.fsencode(longest_name)) > _LONGEST_NAME:
        raise UsageError(f"{quoted(str(path))} is too long for a path")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{quoted(str(path))} is not a name in UTF-8: rename it") from error
    return path


def without_dots(path: Path) -> Path:
    """Return the absolute `path` without `..`, because paths are compared by prefix.

    Its links are resolved only if it has `..` or begins with two slashes.
    """
    has_dots = ".." in path.parts or path.root == "//"
    return Path(os.path.realpath(path)) if has_dots else path


def from_base(path: Path, info: ValidationInfo) -> Path:
    """Make `path` absolute if the validation context has a BASE; raises as `absolute` does."""
    base = (info.context or {}).get(BASE)
    return path if base is None else absolute(path, base)


def _refuse_empty(path: object) -> object:
    """Refuse an empty text, which would mean the current folder.

    It may come from a variable that is not set.
    """
    if isinstance(path, str) and not path.strip():
        raise ValueError("is empty; the folder of this file is `.`")
    return path


FilePath = Annotated[Path, BeforeValidator(_refuse_empty), AfterValidator(from_base)]
"""Path of a file or a folder; `from_base` makes it absolute, and an empty text is refused."""


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder: in the package, or at a checkout's root.

    Raises UnavailableError if it is in neither.
    """
    package = Path(__file__).parents[1]
    for path in (package / "shipped" / name, package.parents[1] / name):
        if entries.exists(path):
            return path
    raise UnavailableError(
        f"{name}, which ships with stylewatch, is missing; "
        f"{repair_command('stylewatch')} restores it"
    )
