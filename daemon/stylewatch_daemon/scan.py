"""What lies in an inbox: one walk, which looks at names and sizes and opens nothing."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from stylewatch_daemon import mounts

IGNORED = (
    ".*", "*~", "~$*", "~syncthing~*", "*.part", "*.partial", "*.filepart", "*.crdownload",
    "*.download", "*.tmp", "*.temp", "*.swp", "*.!ut", "thumbs.db", "desktop.ini",
    "@eadir", "__macosx", "lost+found", "_refused",
)  # fmt: skip
"""Names, of files and folders, that browsers, editors, sync tools and systems make for themselves;
`.*` takes in rsync's and Syncthing's."""

_ODD = (
    (stat.S_ISLNK, "a link, and links are not followed"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True)
class Look:
    """What tells that a file is still the same: `size` in bytes, `mtime_ns` in nanoseconds.

    `inode` is 0 where a file may get another number while it is the same.
    """

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """The regular files of an inbox, and what was left alone, with the reason."""

    files: Mapping[Path, Look] = field(default_factory=dict)
    left: Mapping[Path, str] = field(default_factory=dict)


def scan(inbox: Path, ignore: Iterable[str] = ()) -> Listing:
    """All files under `inbox`; names that match IGNORED or `ignore`, in any case, do not count.

    Links are not followed. Folders that cannot be read are left alone, an inbox too.
    """
    ignored = re.compile("|".join(translate(one.casefold()) for one in (*IGNORED, *ignore)))
    files: dict[Path, Look] = {}
    left: dict[Path, str] = {}
    folders, numbers = [inbox], _Numbers()
    while folders:
        folder = folders.pop()
        try:
            for path, status in _entries(folder, ignored):
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                elif stat.S_ISREG(status.st_mode):
                    files[path] = _look(status, numbers)
                else:
                    left[path] = _odd(status.st_mode)
        except OSError as error:
            left[folder] = f"not readable: {error.strerror}"
    return Listing(files, left)


def look(path: Path | str, folder: int | None = None) -> Look | None:
    """The look of the regular file `path`, in an opened `folder`; None where there is none."""
    try:
        if folder is None:
            status = Path(path).lstat()
        else:
            status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return _look(status, _Numbers()) if stat.S_ISREG(status.st_mode) else None


def _entries(folder: Path, ignored: re.Pattern[str]) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if ignored.match(entry.name.casefold()):
                continue
            try:
                yield Path(entry.path), entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since it was listed
                continue


class _Numbers:
    """The numbers of files, for a while in which nothing is mounted."""

    def __init__(self) -> None:
        self._lasting: dict[int, bool] = {}

    def of(self, status: os.stat_result) -> int:
        """The file's number, if it has one that stays."""
        device = status.st_dev
        if os.major(device):  # a disk; network file systems have none that is real
            return status.st_ino
        if device not in self._lasting:
            self._lasting[device] = mounts.keeps_inodes(device, mounts.table())
        return status.st_ino if self._lasting[device] else 0


def _look(status: os.stat_result, numbers: _Numbers) -> Look:
    return Look(numbers.of(status), status.st_size, status.st_mtime_ns)


def _odd(mode: int) -> str:
    return next((what for is_a, what in _ODD if is_a(mode)), "not a regular file")
