"""Scans of an inbox, which open no files, and records of stable and complete files."""

import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.identity import DEPTH, Identity, Look, identity, look_of
from stylewatch_daemon.files.leftovers import Ignored
from stylewatch_daemon.files.names import folded, shown
from stylewatch_daemon.intake.pairing import Entries, folders_of
from stylewatch_daemon.outbox.publish import CANCELED, RECEIPT, REFUSED

_LINK = "a link, and links are not followed"
HELD = ".stylewatch"
"""Name of the folder in an inbox for held files: claimed files that were renamed there because the
state folder is on another mount. It has a folder for each ledger, and in that one for each job. If
the folder of a file is on another mount than the inbox, the file is held in its own folder, under a
name that begins with HELD. No scan takes held files for input."""


def held_beside(ledger_id: str, job_id: str) -> str:
    """Return the prefix of the names of a job's files that are held in their own folders."""
    return f"{HELD}-{ledger_id}-{job_id}-"


_HELD_BY_OTHERS = (
    "another stylewatch picked it up; if its state folder is lost, move the files back"
)
_HAS_REFUSED = (
    "an outbox keeps refused jobs in a folder of this name; move their folders out of it to "
    "paint them again"
)


@dataclass(frozen=True)
class InboxListing:
    """Listing of an inbox: regular files, skipped paths with reasons, and scanned subfolders."""

    files: Mapping[Path, Look] = field(default_factory=dict)
    skipped: Mapping[Path, str] = field(default_factory=dict)
    folders: Collection[Path] = frozenset()
    held: Mapping[str, Collection[Path]] = field(default_factory=dict)
    """Files that this ledger holds in their own folders, by job; files that it holds in the folder
    HELD are not included."""
    unread: Collection[Path] = ()
    """Paths that could not be read: nothing is known of them, nor of paths below them (law 2)."""
    root: Path = Path()
    ignored: Ignored = field(default_factory=Ignored)

    def lacks(self, path: Path) -> bool:
        """Return whether a path certainly was not there: a folder above it was listed without it.

        Nothing is known of paths that were ignored, skipped or could not be read (law 2).
        """
        if path in self.files:
            return False
        for place in (path, *path.parents):
            if place in self.skipped or self.ignored.covers(place.name) or place == self.root:
                return False
            above = place.parent
            if above not in self.skipped and (above == self.root or above in self.folders):
                return True
        return False

    def has(self, path: Path) -> bool:
        """Return whether an entry was listed, also if it was skipped."""
        return path in self.files or path in self.skipped or path in self.folders


class Surroundings:
    """The entries around pairs of an `inbox`, without ignored ones; each folder is listed once."""

    def __init__(self, inbox: Path, ignored: Ignored) -> None:
        self._inbox = inbox
        self._ignored = ignored
        self._listed: dict[Path, Entries] = {}

    def of(self, main: Path, own_folder: Path | None) -> set[Path]:
        """Return the entries that may concern a pair with the main file `main`.

        `own_folder` is the own folder of the pair, or None. Entries of the folders that
        `folders_of` returns are considered; see `Entries.concerning`. Raises OSError if a folder
        cannot be listed.
        """
        found = set[Path]()
        for folder in folders_of(self._inbox, main):
            if folder not in self._listed:
                names = (name for name in entries.names(folder) if not self._ignored.covers(name))
                self._listed[folder] = Entries(folder / name for name in names)
            found |= self._listed[folder].concerning(main, own_folder)
        return found


def scan(
    inbox: Path,
    ignore: Iterable[str] = (),
    apart: Mapping[Identity, str] | None = None,
    step: Step = lambda: None,
    ledger_id: str = "",
) -> InboxListing:
    """List all files under `inbox` except those that other programs left.

    Entries whose names fit a pattern of `ignore` are left out, too. Files that the ledger
    `ledger_id` holds are listed apart. Files that other ledgers hold are skipped with a note,
    because such a ledger may be lost. `step` is called for each entry.

    Links are skipped. So are folders that cannot be read, folders nested deeper than DEPTH, folders
    with a receipt.json or of refused jobs, and folders whose identity is in `apart`, which gives
    the reason. If the inbox itself does not exist or cannot be read, it is the only skipped path.
    Raises ShortageError if a shortage, for example of file descriptors, prevents reading.
    """
    ignored = Ignored(ignore)
    walk = _Walk(ignored, apart or {}, step, ledger_id)
    walk.start(inbox)
    while walk.waiting:
        walk.list_folder(*walk.waiting.pop())
    folders = frozenset(walk.folders)
    return InboxListing(walk.files, walk.skipped, folders, walk.held, walk.unread, inbox, ignored)


class _Walk:
    """Iterative walk over an inbox, which collects its files, folders and skipped paths."""

    def __init__(
        self, ignored: Ignored, apart: Mapping[Identity, str], step: Step, ledger_id: str
    ) -> None:
        self.files: dict[Path, Look] = {}
        self.skipped: dict[Path, str] = {}
        self.folders: list[Path] = []
        self.unread: list[Path] = []
        self.waiting: list[tuple[Path, Identity, int]] = []
        """Folders that are not listed yet, with their identity and depth."""
        self._ignored = ignored
        self._apart = apart
        self._step = step
        self.held: dict[str, list[Path]] = {}
        self._ledger_id = ledger_id
        self._own = re.compile(re.escape(f"{HELD}-{ledger_id}-") + r"(?P<job>[^-]+-[^-]+)-.+", re.S)

    def start(self, inbox: Path) -> None:
        """Queue the folder `inbox` for listing, or record why it is skipped."""
        try:
            status = entries.target_status(inbox)
        except OSError as error:
            self._cannot_read(inbox, error)
        else:
            if status is None:
                self.skipped[inbox] = "it does not exist"
            else:
                self.waiting.append((inbox, identity(status), 0))

    def list_folder(self, folder: Path, folder_identity: Identity, depth: int) -> None:
        """List `folder`, unless it must be skipped."""
        reason = self._reason_to_skip(folder, folder_identity, depth)
        if reason:
            self.skipped[folder] = reason
            return
        try:
            names = entries.names(folder)
        except OSError as error:
            self._cannot_read(folder, error)
            return
        if depth:
            self.folders.append(folder)
        if depth and RECEIPT in map(folded, names):
            self.skipped[folder] = f"it has a {RECEIPT}, like the output of a finished job"
            return
        for name in names:
            self._step()
            add = self._note if self._ignored.covers(name) else self._add
            add(folder / name, depth)

    def _note(self, path: Path, depth: int) -> None:
        """Note an ignored entry of a folder at `depth`, if the status names it or it is held."""
        note = self._ignored.note(path.name)
        if note:
            self.skipped[path] = note
        elif match := self._own.match(path.name):
            self.held.setdefault(match["job"], []).append(path)
        elif path.name.startswith(f"{HELD}-"):
            self.skipped[path] = _HELD_BY_OTHERS
        elif path.name == HELD and not depth:
            self._note_held(path)

    def _note_held(self, held: Path) -> None:
        """Note the folders of other ledgers in the folder HELD, if this user may look into it."""
        try:
            paths = [held / name for name in entries.names(held) if name != self._ledger_id]
            self.skipped |= {path: _HELD_BY_OTHERS for path in paths if entries.is_own_folder(path)}
        except OSError:
            return

    def _reason_to_skip(self, folder: Path, folder_identity: Identity, depth: int) -> str:
        if depth > DEPTH:
            return f"it is nested deeper than {DEPTH} folders"
        # an outbox may be mounted here: its refused jobs would be painted again and again
        if depth and folded(folder.name) in (REFUSED, CANCELED):
            return _HAS_REFUSED
        return self._apart.get(folder_identity, "")

    def _add(self, path: Path, depth: int) -> None:
        """Add an entry of a folder at `depth` to the files, skipped paths, or folders to list."""
        try:
            status = entries.status(path)
        except OSError as error:  # such as a path that is too long, or a dead mount
            self._cannot_read(path, error)
            return
        if status is None:  # removed after it was listed
            return
        if stat.S_ISDIR(status.st_mode):
            self.waiting.append((path, identity(status), depth + 1))
        elif stat.S_ISREG(status.st_mode):
            self.files[path] = look_of(status)
        else:
            is_link = stat.S_ISLNK(status.st_mode)
            self.skipped[path] = _LINK if is_link else "not a regular file"

    def _cannot_read(self, path: Path, error: OSError) -> None:
        """Record that a path is skipped; raise ShortageError instead if a shortage is the cause."""
        shortage = shortages.shortage(error)
        if shortage is not None:
            raise shortage from error
        self.skipped[path] = f"not readable: {error.strerror}"
        self.unread.append(path)


class Stability:
    """Record of how long the files of an inbox have been unchanged, and which are unfinished.

    A file is stable once its look has stayed the same in all scans for at least `quiet_s`. Its age
    by its own times does not count, so a file dated in the future also becomes stable.

    An unfinished file is open for writing or lacks its end. It counts as complete once it has not
    changed for `truncated_s`. An empty file never counts as complete: WebDAV clients create it long
    before they send the content. `clock` is monotonic; all times are in seconds.
    """

    def __init__(self, clock: Callable[[], float], quiet_s: float, truncated_s: float) -> None:
        self._clock = clock
        self._quiet_s = quiet_s
        self._truncated_s = truncated_s
        self._seen: dict[Path, tuple[Look, float]] = {}
        """Look of each file in the last scan, and the time of the first scan that saw this look."""
        self._unfinished: dict[Path, bool] = {}
        """Files that are open for writing (True) or lack their end (False)."""

    def update(
        self, files: Mapping[Path, Look], is_open: Callable[[Path], bool]
    ) -> frozenset[Path]:
        """Note the `files` of a new scan; return those that are stable.

        Missing files are forgotten: if they come back, they are new. A file is no longer unfinished
        once it has changed, or, if it was open for writing, once `is_open` returns False for it.
        """
        now = self._clock()
        former = self._seen
        stable = set[Path]()
        self._seen = {}
        for path, look in files.items():
            former_look, since = former.get(path, (None, now))
            if former_look != look:
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
        """Record a file as unfinished: as open for writing if `is_open`, else as lacking its end.

        Do nothing if the file did not have this `look` in the last scan.
        """
        if path in self._seen and self._seen[path][0] == look:
            self._unfinished[path] = is_open

    @property
    def any_awaited(self) -> bool:
        """True if any unfinished file has changed within the last `truncated_s` seconds."""
        return not all(map(self._has_lasted, self._unfinished))

    def gave_up(self, path: Path) -> bool:
        """Return whether a file counts as complete: not empty, and unchanged for `truncated_s`."""
        return self._has_lasted(path) and not self._is_empty(path)

    def waits_for(self, paths: Collection[Path]) -> str:
        """Describe which of `paths` are waited for, and why; empty if none is."""
        awaited = (path for path in paths if path in self._unfinished and not self.gave_up(path))
        return "; ".join(map(self._what_lacks, awaited))

    def _what_lacks(self, path: Path) -> str:
        name = shown(path.name)
        if self._unfinished[path]:
            return f"{name}, which is still being written: a program has it open"
        if self._is_empty(path):
            return f"the content of {name}: it is empty so far"
        return f"the rest of {name}: it ends too early, and may still be arriving"

    def _is_empty(self, path: Path) -> bool:
        return path in self._seen and self._seen[path][0].size == 0

    def _has_lasted(self, path: Path) -> bool:
        sighting = self._seen.get(path)
        return sighting is not None and self._clock() - sighting[1] >= self._truncated_s
