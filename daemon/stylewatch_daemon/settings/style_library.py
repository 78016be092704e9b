"""The style library: the folder of style pictures that jobs can name."""

import errno
import os
import shutil
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from stylewatch_daemon.base.errors import OutputError, SettingsError, UsageError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.names import (
    PICTURE_SUFFIXES,
    folded,
    meant,
    safe,
    shown,
    told_apart,
)
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.sections import PairingSettings
from stylewatch_painter.sample import ShippedStyle, shipped_styles
from stylewatch_painter.validation import instead, quoted

MAX_NAMED = 12
"""Maximum number of pictures of the style library that a message names."""


def find_styles(folder: Path, wanted: str) -> dict[str, Path]:
    """Return the picture in `folder` called `wanted`, as {name: path}; empty if there is none.

    For `all`, all pictures are returned. Hidden and empty files and masks are left out, and links
    are resolved. Names have no suffixes, unless pictures differ only in their suffixes, in case, or
    in how accents are stored. Raises OSError if the folder cannot be read, and SettingsError if
    `wanted` fits several pictures.
    """
    if wanted == "all":
        return _filled(_by_name(_named_as_pictures(folder)))
    fitting = _fitting([*filter(_is_filled, _named_as_pictures(folder))], wanted)
    if len(fitting) > 1:
        raise SettingsError(
            f"pairing.default_style is {wanted!r}, and several pictures in the style library "
            f"{folder} have such a name: {told_apart([path.name for path in fitting])}; give the "
            "whole name of one, or rename the others"
        )
    return {path.stem: path.resolve() for path in fitting}


def _named_as_pictures(folder: Path) -> list[Path]:
    """Return the paths in `folder` with names of pictures, without hidden files and masks.

    Paths that cannot be read now are included, because their names are taken (law 2): an empty file
    that is still being copied, or a link to a disk that is away. The list is empty if `folder` does
    not exist. Raises OSError if it cannot be read.
    """
    return [
        path
        for path in (folder / name for name in entries.names(folder))
        if folded(path.suffix[1:]) in PICTURE_SUFFIXES
        and not path.name.startswith(".")
        and not folded(path.stem).endswith(".mask")
    ]


def _by_name(pictures: Sequence[Path]) -> dict[str, Path]:
    stems = Counter(folded(path.stem) for path in pictures)
    return {p.stem if stems[folded(p.stem)] == 1 else p.name: p.resolve() for p in pictures}


def _filled(styles: Mapping[str, Path]) -> dict[str, Path]:
    """Return those of `styles` that can be read and are not empty."""
    return {name: path for name, path in styles.items() if _is_filled(path)}


def _shipped_besides(files: Iterable[Path]) -> dict[str, ShippedStyle]:
    """Return the shipped styles by title, without those whose title is the stem of a file."""
    stems = {folded(path.stem) for path in files}
    shipped = sorted(shipped_styles().items())
    return {title: style for title, style in shipped if folded(title) not in stems}


def _is_filled(path: Path) -> bool:
    """Return whether a path leads to a file with content; `add_style` starts with an empty one."""
    found = entries.target_status(path)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size > 0


def _fitting(pictures: Sequence[Path], wanted: str) -> list[Path]:
    """Return the pictures called `wanted`.

    Exact names win over folded ones, and then names with a suffix over names without.
    """
    for form in (str, folded):
        for part in ("name", "stem"):
            name = form(wanted)
            fitting = [path for path in pictures if form(getattr(path, part)) == name]
            if fitting:
                return fitting
    return []


def named_styles(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the picture for each of `names`: one of the library `folder`, or a shipped one.

    A name may also be a part of a picture's name, if only one name contains it. Raises UsageError
    if a name fits none or several, or if its file cannot be read now; raises OSError if the library
    cannot be read.
    """
    files = _named_as_pictures(folder)
    shipped = {title: style.path for title, style in _shipped_besides(files).items()}
    offered = shipped | _by_name(files)
    styles = [offered[_whole_name(name, offered)] for name in names]
    for style in styles:
        if not _is_filled(style):
            raise UsageError(
                f"the style {shown(style)} is empty, or its disk is away: wait until it is there"
            )
    return styles


def every_style(folder: Path) -> dict[str, Path]:
    """Return the paths of the styles to choose from, by name: all pictures of the library.

    If the library has no files of pictures, these are the shipped styles. Raises OSError if the
    library cannot be read.
    """
    if files := _named_as_pictures(folder):
        return _filled(_by_name(files))
    return {title: style.path for title, style in _shipped_besides([]).items()}


def _whole_name(wanted: str, offered: Collection[str]) -> str:
    """Return the name in `offered` that a person means by `wanted`.

    An exact name wins, then a name that is equal in its folded form (law 8), then the only name
    that contains `wanted`. Raises UsageError if no name fits, or several do.
    """
    what = "styles"
    whole = meant(wanted, offered, what)
    if whole is not None:
        return whole
    containing = [name for name in offered if wanted and folded(wanted) in folded(name)]
    if len(containing) > 1:
        raise UsageError(f"{shown(wanted)} fits several {what}: {told_apart(sorted(containing))}")
    if not containing:
        raise UsageError(
            f"there is no style called {quoted(shown(wanted))}: "
            f"{instead(wanted, map(shown, offered), MAX_NAMED)} (a file is named without --style)"
        )
    return containing[0]


def caption_of(name: str, path: Path) -> str:
    """Return the caption of a style of `every_style`; empty for a picture of the library."""
    style = shipped_styles().get(name)
    return style.caption if style is not None and style.path == path else ""


def add_shipped(folder: Path) -> None:
    """Copy the shipped styles into the library `folder`, each with a text about its origin.

    Names that the library has, of pictures or texts, are left alone. Raises OSError.
    """
    paths = [Path(name) for name in entries.names(folder)]
    suffixes = (*PICTURE_SUFFIXES, "txt")
    files = [path for path in paths if folded(path.suffix[1:]) in suffixes]
    for title, style in _shipped_besides(files).items():
        atomic.write(folder / f"{title}{style.path.suffix}", style.path.read_bytes())
        atomic.write(folder / f"{title}.txt", f"{style.caption}\n".encode())


def needs_style(only: Side | None) -> bool:
    """Return whether a photograph without a style gets the default styles.

    `only` is the setting of the job: a job of the content alone is complete without a style.
    """
    return only != "content"


def default_styles(pairing: PairingSettings) -> dict[str, Path]:
    """Return the default styles of a photograph without a style, by name; empty if none is set.

    Raises SettingsError if the style library does not have the default style, has several of that
    name, or cannot be read.
    """
    folder = pairing.styles
    default = pairing.default_style
    if default is None:
        return {}
    try:
        styles = find_styles(folder, default)
        known = () if styles else map(shown, find_styles(folder, "all"))
    except OSError as error:
        raise SettingsError(
            f"the style library {folder} cannot be read: {error.strerror}"
        ) from error
    if not styles:
        raise SettingsError(
            f"pairing.default_style is {default!r}, and there is no such picture in the style "
            f"library {folder}: {instead(default, known, MAX_NAMED)}"
        )
    return styles


def check_default_style(pairing: PairingSettings, *, may_be_away: bool = False) -> None:
    """Raise SettingsError as `default_styles` does.

    With `may_be_away`, the library may be on a disk that is away: an empty or unreadable folder
    raises nothing.
    """
    try:
        if may_be_away and not entries.names(pairing.styles):
            return
        default_styles(pairing)
    except (OSError, SettingsError) as error:
        is_unreadable = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
        if not (may_be_away and is_unreadable):
            raise


def add_style(
    folder: Path, guard: MountGuard, name: str, suffix: str, picture: BinaryIO, source: str
) -> str:
    """Copy the opened `picture` into the library `folder`, as `name`; return its name there.

    The name is made safe. If the `suffix`, with its dot, is not that of a picture, `.png` takes its
    place. A `source` that is not empty is written into a text file. Raises UsageError if the
    library has a file of that name, with any suffix, or does not accept such a name, and
    OutputError if the library cannot be written or its disk is missing.
    """
    name = safe(name)
    if folded(name).endswith(".mask"):
        raise UsageError(f"the style library accepts no file called {name}{suffix}")
    # The suffix makes stylewatch recognize a picture; its format is detected from its bytes.
    target = folder / f"{name}{suffix if suffix[1:] in PICTURE_SUFFIXES else '.png'}"
    text = f"{shown(source)}\n".encode() if source else b""
    try:
        guard.check(folder)
        atomic.make_folder(folder)
        for path in folder.iterdir():
            if folded(name) in (folded(path.stem), folded(path.name)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        target.touch(exist_ok=False)  # two visitors may keep styles of the same name at once
        _fill(target, guard, picture, text)
    except FileExistsError as error:
        there = shown(Path(error.filename).name)
        raise UsageError(
            f"the style library has a file called {there}: choose another name"
        ) from error
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"the style library {folder} cannot be written ({error.strerror}): let the daemon's "
            "user write there, and if stylewatch is a service, run "
            "`stylewatch service install --force` and restart it"
        ) from error
    return name


def _fill(target: Path, guard: MountGuard, picture: BinaryIO, text: bytes) -> None:
    """Write a picture into its empty file, and its text beside it; after an error, remove both."""
    described = target.with_suffix(".txt")
    try:
        with guard.checked(target.parent):
            if text:
                atomic.write(described, text)
            with atomic.replacing(target) as writing:
                shutil.copyfileobj(picture, writing, atomic.CHUNK)
    except BaseException:  # if the disk has just gone, it was written below its mount point
        for path in (target, described):
            path.unlink(missing_ok=True)
        raise
