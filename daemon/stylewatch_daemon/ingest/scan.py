"""Scan an inbox without opening a file, and track which files stopped changing and are whole."""

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from stylewatch_daemon.files import shortages
from stylewatch_daemon.files.identity import DEPTH, Identity, Look, identity, look_of
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.publish import RECEIPT, REFUSED

IGNORED = (
    ".*", "*~", "~$*", "~syncthing~*", "*.part", "*.partial", "*.filepart", "*.crdownload",
    "*.download", "*.tmp", "*.temp", "*.swp", "*.!ut", "thumbs.db", "desktop.ini",
    "@eadir", "__macosx", "lost+found",
)  # fmt: skip
"""Names of files and folders that browsers, editors, sync tools and systems make for themselves;
`.*` includes those of rsync and Syncthing."""

_SPECIAL_FILES = (
    (stat.S_ISLNK, "a link, and links are not followed"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)

_HAS_REFUSED = (
    "an outbox keeps refused jobs in a folder of this name; move their folders out of it to "
    "paint them again"
)


@dataclass(frozen=True)
class Listing:
    """The regular files of an inbox, skipped paths with the reason, and scanned folders below."""

    files: Mapping[Path, Look] = field(default_factory=dict)
    skipped: Mapping[Path, str] = field(default_factory=dict)
    folders: Mapping[Path, Identity] = field(default_factory=dict)


def scan(
    inbox: Path, ignore: Iterable[str] = (), apart: Mapping[Identity, str] | None = None
) -> Listing:
    """List all files under `inbox`; names that match IGNORED or `ignore`, in any case, are skipped.

    Links are not followed. Skipped are folders that cannot be read, folders nested deeper than
    DEPTH, folders with a receipt.json or of refused jobs, and those whose identity is in `apart`,
    for the reason that `apart` gives. Raises ShortageError where a shortage, as of file
    descriptors, prevents reading.
    """
    ignored = re.compile("|".join(translate(name.casefold()) for name in (*IGNORED, *ignore)))
    walk = _Walk(ignored, apart or {})
    try:
        walk.enter(inbox, identity(inbox.stat()), 0)
    except OSError as error:
        walk.skipped[inbox] = _unreadable(error)
    while walk.waiting:
        walk.list_next()
    return Listing(walk.files, walk.skipped, walk.folders)


class _Walk:
    """A walk over an inbox without recursion."""

    def __init__(self, ignored: re.Pattern[str], apart: Mapping[Identity, str]) -> None:
        self.files: dict[Path, Look] = {}
        self.skipped: dict[Path, str] = {}
        self.folders: dict[Path, Identity] = {}
        self.waiting: list[tuple[Path, Identity, int]] = []
        self._ignored, self._apart = ignored, apart
        self._lasting: dict[int, bool] = {}

    def enter(self, folder: Path, folder_id: Identity, depth: int) -> None:
        """Have `folder` listed later, unless it is to be skipped."""
        if reason := self._apart.get(folder_id):
            self.skipped[folder] = reason
        elif depth > DEPTH:
            self.skipped[folder] = f"it is nested deeper than {DEPTH} folders"
        elif depth and folder.name.casefold() == REFUSED:  # else an outbox mounted here would
            self.skipped[folder] = _HAS_REFUSED  # have its refused jobs painted again and again
        else:
            self.waiting.append((folder, folder_id, depth))

    def list_next(self) -> None:
        """List a folder that was entered."""
        folder, folder_id, depth = self.waiting.pop()
        try:
            entries = list(self._entries(folder))
        except OSError as error:
            self.skipped[folder] = _unreadable(error)
            return
        if depth:
            self.folders[folder] = folder_id
        if depth and any(path.name.casefold() == RECEIPT for path, _ in entries):
            self.skipped[folder] = f"it has a {RECEIPT}, as the output of a finished job has"
            return
        for path, status in entries:
            if stat.S_ISDIR(status.st_mode):
                self.enter(path, identity(status), depth + 1)
            elif stat.S_ISREG(status.st_mode):
                self.files[path] = look_of(status, self._lasting)
            else:
                kinds = (kind for is_kind, kind in _SPECIAL_FILES if is_kind(status.st_mode))
                self.skipped[path] = next(kinds, "not a regular file")

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
                    self.skipped[Path(entry.path)] = _unreadable(error)


def _unreadable(error: OSError) -> str:
    """Return why a path is skipped; raise for a shortage, which hides files that are there."""
    if (shortage := shortages.shortage(error)) is not None:
        raise shortage from error
    return f"not readable: {error.strerror}"


class SettleTracker:
    """Record since when files have not changed; `clock` is monotonic, in seconds, as is `quiet_s`.

    Only changes between scans count, never the files' own times: a file whose modification time
    lies in the future settles as well.
    """

    def __init__(self, clock: Callable[[], float], quiet_s: float) -> None:
        self._clock, self._quiet_s = clock, quiet_s
        self._files: dict[Path, tuple[Look, float]] = {}
        self._trusted: set[Path] = set()

    def trust(self, folder: Path) -> None:
        """Take the files of `folder` as settled in the next scan: they were put there at once."""
        self._trusted.add(folder)

    def settled(self, files: Mapping[Path, Look]) -> frozenset[Path]:
        """Return those of `files` that looked the same in two scans, at least `quiet_s` apart.

        Files that are missing in `files` are forgotten: if they come back, they are new.
        """
        now, before = self._clock(), self._files
        self._files = {
            path: (look, before[path][1] if path in before and before[path][0] == look else now)
            for path, look in files.items()
        }
        trusted = {path for path in files if path.parent in self._trusted}
        self._files |= {path: (files[path], -float("inf")) for path in trusted}
        self._trusted.clear()
        return frozenset(
            path
            for path, known in self._files.items()
            if path in trusted or (before.get(path) == known and now - known[1] >= self._quiet_s)
        )


@dataclass(frozen=True)
class _Truncated:
    look: Look
    since: float
    is_open: bool


class TruncatedFiles:
    """Files that are not complete yet, until they change or are removed.

    `clock` is monotonic, in seconds; a file that did not change for `wait_s` is waited for no
    longer.
    """

    def __init__(self, clock: Callable[[], float], wait_s: float) -> None:
        self._clock, self._wait_s = clock, wait_s
        self._files: dict[Path, _Truncated] = {}

    def add(self, path: Path, look: Look, *, is_open: bool = False) -> None:
        """Wait for a file that ends too early or, with `is_open`, is open for writing."""
        known = self._files.get(path)
        if known is None or known.look != look:
            self._files[path] = _Truncated(look, self._clock(), is_open)

    def update(self, files: Mapping[Path, Look], is_open: Callable[[Path], bool]) -> None:
        """Forget files that changed, or that no program has open for writing any more."""
        self._files = {
            path: file
            for path, file in self._files.items()
            if files.get(path) == file.look and (not file.is_open or is_open(path))
        }

    @property
    def any_awaited(self) -> bool:
        """True if the rest of any file is still expected."""
        return any(map(self._is_awaited, self._files))

    def gave_up(self, paths: Collection[Path]) -> bool:
        """Return whether one of `paths` is truncated and was waited for long enough."""
        return any(path in self._files and not self._is_awaited(path) for path in paths)

    def waits_for(self, paths: Collection[Path]) -> str:
        """Return in words which of `paths` are waited for and why; empty if there are none."""
        awaited = [path for path in paths if path in self._files and self._is_awaited(path)]
        truncated, open_files = (
            [shown(path.name) for path in awaited if self._files[path].is_open == is_open]
            for is_open in (False, True)
        )
        reasons = []
        if truncated:
            they, their = ("they end", "their") if len(truncated) > 1 else ("it ends", "its")
            reasons.append(
                f"the rest of {' and '.join(truncated)}: {they} too early, "
                f"and may still be on {their} way"
            )
        if open_files:
            are, have = ("are", "have them") if len(open_files) > 1 else ("is", "has it")
            reasons.append(
                f"{' and '.join(open_files)}, which {are} still being written: "
                f"a program {have} open"
            )
        return "; ".join(reasons)

    def _is_awaited(self, path: Path) -> bool:
        return self._clock() - self._files[path].since < self._wait_s
