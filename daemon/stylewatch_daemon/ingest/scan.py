"""Scan an inbox: one walk that reads names and sizes and opens no file."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from stylewatch_daemon.files import shortages
from stylewatch_daemon.files.identity import DEPTH, Identity, Inodes, Look, identity, look_of
from stylewatch_daemon.outbox.publish import RECEIPT

IGNORED = (
    ".*", "*~", "~$*", "~syncthing~*", "*.part", "*.partial", "*.filepart", "*.crdownload",
    "*.download", "*.tmp", "*.temp", "*.swp", "*.!ut", "thumbs.db", "desktop.ini",
    "@eadir", "__macosx", "lost+found", "_refused",
)  # fmt: skip
"""Names of files and folders that browsers, editors, sync tools and systems make for themselves;
`.*` includes those of rsync and Syncthing."""

_SPECIAL_FILES = (
    (stat.S_ISLNK, "a link, and links are not followed"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True)
class Listing:
    """The regular files of an inbox, the paths that were skipped with the reason, and `folders`.

    `folders` are those below the inbox that were scanned, without the inbox itself.
    """

    files: Mapping[Path, Look] = field(default_factory=dict)
    left: Mapping[Path, str] = field(default_factory=dict)
    folders: Mapping[Path, Identity] = field(default_factory=dict)


def scan(
    inbox: Path, ignore: Iterable[str] = (), apart: Mapping[Identity, str] | None = None
) -> Listing:
    """List all files under `inbox`; names that match IGNORED or `ignore`, in any case, are skipped.

    Links are not followed. Left alone are folders that cannot be read, folders nested deeper than
    DEPTH, folders with a receipt.json, and those whose identity is in `apart`, for the reason that
    `apart` gives. Raises ShortageError where a shortage, as of file descriptors, prevents reading.
    """
    ignored = re.compile("|".join(translate(name.casefold()) for name in (*IGNORED, *ignore)))
    walk = _Walk(ignored, apart or {})
    try:
        walk.enter(inbox, identity(inbox.stat()), 0)
    except OSError as error:
        walk.left[inbox] = _unreadable(error)
    while walk.waiting:
        walk.list_next()
    return Listing(walk.files, walk.left, walk.folders)


class _Walk:
    """A walk over an inbox without recursion."""

    def __init__(self, ignored: re.Pattern[str], apart: Mapping[Identity, str]) -> None:
        self.files: dict[Path, Look] = {}
        self.left: dict[Path, str] = {}
        self.folders: dict[Path, Identity] = {}
        self.waiting: list[tuple[Path, Identity, int]] = []
        self._ignored, self._apart, self._inodes = ignored, apart, Inodes()

    def enter(self, folder: Path, folder_id: Identity, depth: int) -> None:
        """Have `folder` listed later, unless it is to be left alone."""
        if reason := self._apart.get(folder_id):
            self.left[folder] = reason
        elif depth > DEPTH:
            self.left[folder] = f"it is nested deeper than {DEPTH} folders"
        else:
            self.waiting.append((folder, folder_id, depth))

    def list_next(self) -> None:
        """List a folder that was entered."""
        folder, folder_id, depth = self.waiting.pop()
        try:
            entries = list(self._entries(folder))
        except OSError as error:
            self.left[folder] = _unreadable(error)
            return
        if depth:
            self.folders[folder] = folder_id
        if depth and any(path.name.casefold() == RECEIPT for path, _ in entries):
            self.left[folder] = f"it has a {RECEIPT}, as the output of a finished job has"
            return
        for path, status in entries:
            if stat.S_ISDIR(status.st_mode):
                self.enter(path, identity(status), depth + 1)
            elif stat.S_ISREG(status.st_mode):
                self.files[path] = look_of(status, self._inodes)
            else:
                kinds = (kind for is_kind, kind in _SPECIAL_FILES if is_kind(status.st_mode))
                self.left[path] = next(kinds, "not a regular file")

    def _entries(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._ignored.match(entry.name.casefold()):
                    continue
                try:
                    yield Path(entry.path), entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed since it was listed
                    continue
                except OSError as error:  # a path that is too long, a dead mount
                    self.left[Path(entry.path)] = _unreadable(error)


def _unreadable(error: OSError) -> str:
    """Return why a path is left alone; raise for a shortage, which hides files that are there."""
    if (shortage := shortages.shortage(error)) is not None:
        raise shortage from error
    return f"not readable: {error.strerror}"
