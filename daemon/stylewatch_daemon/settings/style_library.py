"""The style library: the folder of style pictures that jobs can name."""

import errno
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from stylewatch_daemon.base.errors import OutputError, SettingsError, UsageError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import PICTURE_SUFFIXES, safe, shown
from stylewatch_daemon.settings.sections import Pairing


def find_styles(folder: Path, wanted: str) -> dict[str, Path]:
    """Return the pictures in `folder`, by name: the one called `wanted`, or all for `all`.

    Hidden and empty files and masks are left out. Names have no suffixes, unless pictures differ
    only in their suffixes. Raises OSError if the folder cannot be read.
    """
    if not folder.is_dir():
        return {}
    pictures = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix[1:].casefold() in PICTURE_SUFFIXES
        and not path.name.startswith(".")
        and not path.stem.casefold().endswith(".mask")
        and path.is_file()
        and path.stat().st_size  # `add_style` starts with an empty file
    ]
    if wanted != "all":
        return {p.stem: p.resolve() for p in pictures if wanted in (p.stem, p.name)}
    stems = Counter(path.stem for path in pictures)
    return {p.stem if stems[p.stem] == 1 else p.name: p.resolve() for p in pictures}


def check_default_style(pairing: Pairing) -> None:
    """Raise SettingsError if the style library does not have the default style."""
    default = pairing.default_style
    try:
        is_missing = default is not None and not find_styles(pairing.styles, default)
    except OSError as error:
        raise SettingsError(
            f"the style library {pairing.styles} cannot be read: {error.strerror}"
        ) from error
    if is_missing:
        raise SettingsError(
            f"pairing.default_style is {default!r}, and there is no such picture in the style "
            f"library {pairing.styles}"
        )


def add_style(folder: Path, name: str, suffix: str, picture: BinaryIO, source: str) -> str:
    """Copy a picture into the library, with a text file for its `source` if that is given.

    Return its name there. Raises UsageError if the library has a file of that name, with any
    suffix, or does not accept such a name, and OutputError if it cannot be written.
    """
    name = safe(name)
    if name.casefold().endswith(".mask"):
        raise UsageError(f"the style library accepts no file called {name}{suffix}")
    # The suffix makes stylewatch recognize a picture; its format is detected from its bytes.
    target = folder / f"{name}{suffix if suffix[1:] in PICTURE_SUFFIXES else '.png'}"
    try:
        atomic.make_folder(folder)
        for path in folder.iterdir():
            if name.casefold() in (path.stem.casefold(), path.name.casefold()):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        target.touch(exist_ok=False)  # two visitors may keep styles of the same name at once
        try:
            with atomic.replacing(target) as writing:
                shutil.copyfileobj(picture, writing, atomic.CHUNK)
        except BaseException:
            target.unlink()
            raise
        if source:
            atomic.write(folder / f"{name}.txt", f"{shown(source)}\n".encode())
    except FileExistsError as error:
        there = shown(Path(error.filename).name)
        raise UsageError(
            f"the style library has a file called {there}: choose another name"
        ) from error
    except OSError as error:
        raise OutputError(
            f"the style library {folder} cannot be written ({error.strerror}): let the daemon's "
            "user write there, and if stylewatch is a service, run "
            "`stylewatch service install --force` and restart it"
        ) from error
    return name
