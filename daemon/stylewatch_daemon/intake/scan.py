"""Scanning of an inbox without opening files, and tracking of stable and complete files."""

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.files.identity import DEPTH, Identity, Look, identity, look_of
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.publish import CANCELED, RECEIPT, REFUSED

IGNORED = (
    ".*", "*~", "~$*", "~syncthing~*", "*.part", "*.partial", "*.filepart", "*.crdownload",
    "*.download", "*.tmp", "*.temp", "*.swp", "*.!ut", "thumbs.db", "desktop.ini",
    "@eadir", "__macosx", "lost+found",
)  # fmt: skip
"""Patterns for names that browsers, editors, sync tools and systems use for their own files and
folders; `.*` includes those of rsync and Syncthing."""

_LINK = "a link, and links are not followed"
_HAS_REFUSED = (
    "an outbox keeps refused jobs in a folder of this name; move their folders out of it to "
    "paint them again"
)


@dataclass(frozen=True)
class Listing:
    """The regular files of an inbox, skipped paths with the reason, and scanned folders below."""

    files: Mapping[Path, Look] = field(default_factory=dict)
    skipped: Mapping[Path, str] = field(default_factory=dict)
    folders: Collection[Path] = ()


def scan(
    inbox: Path, ignore: Iterable[str] = (), apart: Mapping[Identity, str] | None = None
) -> Listing:
    """List all files under `inbox` whose names do not match IGNORED or `ignore`, in any case.

    Links are not followed. Skipped are folders that cannot be read, folders nested deeper than
    DEPTH, folders with a receipt.json or of refused jobs, and those whose identity is in `apart`,
    which gives the reason. Raises ShortageError if a shortage, for example of file descriptors,
    prevents reading.
    """
    ignored = re.compile("|".join(translate(name.casefold()) for name in (*IGNORED, *ignore)))
    walk = _Walk(ignored, apart or {})
    try:
        walk.waiting.append((inbox, inbox.stat(), 0))
    except OSError as error:
        walk.skipped[inbox] = _unreadable(error)
    while walk.waiting:
        walk.list_folder(*walk.waiting.pop())
    return Listing(walk.files, walk.skipped, walk.folders)


class _Walk:
    """A walk over an inbox without recursion."""

    def __init__(self, ignored: re.Pattern[str], apart: Mapping[Identity, str]) -> None:
        self.files: dict[Path, Look] = {}
        self.skipped: dict[Path, str] = {}
        self.folders: list[Path] = []
        self.waiting: list[tuple[Path, os.stat_result, int]] = []
        """Folders that are not listed yet, with their status and depth."""
        self._ignored, self._apart = ignored, apart
        self._lasting: dict[int, bool] = {}

    def list_folder(self, folder: Path, status: os.stat_result, depth: int) -> None:
        """List `folder`, unless it must be skipped."""
        if reason := self._reason_to_skip(folder, status, depth):
            self.skipped[folder] = reason
            return
        try:
            entries = list(self._entries(folder))
        except OSError as error:
            self.skipped[folder] = _unreadable(error)
            return
        if depth:
            self.folders.append(folder)
        if depth and any(path.name.casefold() == RECEIPT for path, _ in entries):
            self.skipped[folder] = f"it has a {RECEIPT}, like the output of a finished job"
            return
        for path, entry in entries:
            if stat.S_ISDIR(entry.st_mode):
                self.waiting.append((path, entry, depth + 1))
            elif stat.S_ISREG(entry.st_mode):
                self.files[path] = look_of(entry, self._lasting)
            else:
                is_link = stat.S_ISLNK(entry.st_mode)
                self.skipped[path] = _LINK if is_link else "not a regular file"

    def _reason_to_skip(self, folder: Path, status: os.stat_result, depth: int) -> str:
        if depth > DEPTH:
            return f"it is nested deeper than {DEPTH} folders"
        if depth and folder.name.casefold() in (REFUSED, CANCELED):  # otherwise an outbox
            return _HAS_REFUSED  # mounted here would have its refused jobs painted repeatedly
        return self._apart.get(identity(status), "")

    def _entries(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._ignored.match(entry.name.casefold()):
                    continue
                try:
                    yield Path(entry.path), entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed after it was listed
                    continue
                except OSError as error:  # such as a path that is too long, or a dead mount
                    self.skipped[Path(entry.path)] = _unreadable(error)


def _unreadable(error: OSError) -> str:
    """Return why a path is skipped; raise ShortageError if a shortage hides existing files."""
    if (shortage := shortages.shortage(error)) is not None:
        raise shortage from error
    return f"not readable: {error.strerror}"


class Stability:
    """Tracker of how long the files of an inbox have not changed, and which are unfinished.

    A file is stable if it looked the same in two scans at least `quiet_s` apart. Only changes
    between scans count, never the files' own times, so that a file with a modification time in the
    future also becomes stable. An unfinished file is waited for until it has not changed for
    `truncated_s`. `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float], quiet_s: float, truncated_s: float) -> None:
        self._clock, self._quiet_s, self._truncated_s = clock, quiet_s, truncated_s
        self._seen: dict[Path, tuple[Look, float]] = {}
        """The files of the last scan, with the time at which a scan first saw this look."""
        self._unfinished: dict[Path, bool] = {}
        """Files that are open for writing (True) or lack their end (False)."""

    def update(
        self, files: Mapping[Path, Look], is_open: Callable[[Path], bool]
    ) -> frozenset[Path]:
        """Compare with a new scan, which found `files`; return those that are stable.

        Missing files are forgotten: if they come back, they are new. Unfinished files that have
        changed, or that no program has open for writing any more, are no longer waited for.
        """
        now, before, stable = self._clock(), self._seen, set[Path]()
        self._seen = {}
        for path, look in files.items():
            known, since = before.get(path, (None, now))
            if known != look:
                since = now
                self._unfinished.pop(path, None)
            elif now - since >= self._quiet_s:
                stable.add(path)
            self._seen[path] = look, since
        self._unfinished = {
            path: was_open
            for path, was_open in self._unfinished.items()
            if path in files and (not was_open or is_open(path))
        }
        return frozenset(stable)

    def add(self, path: Path, look: Look, *, is_open: bool = False) -> None:
        """Wait for a file that had this `look` in the last scan and is open or lacks its end."""
        if path in self._seen and self._seen[path][0] == look:
            self._unfinished[path] = is_open

    @property
    def any_awaited(self) -> bool:
        """True if the rest of any file is still expected."""
        return not all(map(self._has_lasted, self._unfinished))

    def gave_up(self, paths: Collection[Path]) -> bool:
        """Return whether one of `paths` is unchanged for so long that it counts as complete."""
        return any(map(self._has_lasted, paths))

    def waits_for(self, paths: Collection[Path]) -> str:
        """Describe which of `paths` are waited for and why; empty if there are none."""
        return "; ".join(
            f"{shown(path.name)}, which is still being written: a program has it open"
            if self._unfinished[path]
            else f"the rest of {shown(path.name)}: it ends too early, and may still be arriving"
            for path in paths
            if path in self._unfinished and not self._has_lasted(path)
        )

    def _has_lasted(self, path: Path) -> bool:
        known = self._seen.get(path)
        return known is not None and self._clock() - known[1] >= self._truncated_s
