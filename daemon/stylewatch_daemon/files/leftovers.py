"""Table of the entries that other programs leave in folders, each row with its source (law 10).

Names are compared in their folded form.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from fnmatch import translate
from typing import NamedTuple

from stylewatch_daemon.files.names import folded, shown

PUT_BACK = "(put back by stylewatch)"
"""Part of the new name of a claimed file that is put back when its old name is taken (law 4)."""


class Kind(StrEnum):
    """Kind of an entry that no scan takes for input."""

    DEBRIS = "debris"
    """Entry that its program makes again; it is removed with an otherwise empty job folder."""
    DATA = "data"
    """Data of a person, complete or not; it is never removed, so that its folder stays, too."""


class Leftover(NamedTuple):
    """Row of the table: a `pattern` of `fnmatch` for names, and `what` entries of such names are.

    The row whose pattern is exactly the name of an entry applies, else the first whose pattern
    matches. `source` is the page that describes such entries. `is_noted` is True if the status
    lists the entries, because people might take them for input; it is False for entries that are
    hidden, temporary or on every disk. `is_folder` is True if the entry is a folder of debris.
    """

    pattern: str
    what: str
    kind: Kind
    source: str
    is_folder: bool = False
    is_noted: bool = False


_Rows = Iterator[Leftover]


def _debris(what: str, source: str, *patterns: str, is_folder: bool = False) -> _Rows:
    return (
        Leftover(pattern, what, Kind.DEBRIS, source, is_folder=is_folder) for pattern in patterns
    )


def _data(what: str, source: str, *patterns: str) -> _Rows:
    return (Leftover(pattern, what, Kind.DATA, source) for pattern in patterns)


def _noted(what: str, source: str, *patterns: str) -> _Rows:
    return (Leftover(pattern, what, Kind.DATA, source, is_noted=True) for pattern in patterns)


def _conflict(program: str, source: str, *patterns: str) -> _Rows:
    return _noted(
        f"{program} keeps it because a file was changed in two places: compare both, and remove "
        "or rename one",
        source,
        *patterns,
    )


_GITIGNORE = "https://github.com/github/gitignore/blob/main/Global"
_MAC, _WINDOWS = f"{_GITIGNORE}/macOS.gitignore", f"{_GITIGNORE}/Windows.gitignore"
_BLOCKED = "https://docs.nasuni.com/docs/appendix-i-blocking-files-and-directories"
_SYNCTHING = "https://docs.syncthing.net/users"
_NEXTCLOUD = "https://docs.nextcloud.com/server/latest/user_manual/en/desktop/conflicts.html"
_NEXTCLOUD_CODE = "https://github.com/nextcloud/desktop/blob/master"
_DROPBOX = "https://help.dropbox.com/syncing-uploads/conflicted-copy"
_RESILIO = "https://help.resilio.com/hc/en-us/articles/204753629-Conflict-files-in-Sync"
_QNAP = "https://github.com/ZeroQI/Absolute-Series-Scanner/issues/364"
_SYNOLOGY = "https://synology.com/knowledgebase/DSM"
_NETAPP = "https://library.netapp.com/ecmdocs/ECMP1196991/html"

_DELETED = "it holds deleted files"
_VERSIONS = "it holds former versions of files"
_SNAPSHOTS = "it holds snapshots, which are earlier states of this folder"
_PARTIAL = "an incomplete file"
_TEMPORARY = "a temporary file"

TABLE: tuple[Leftover, ...] = (
    # made again by their programs
    *_debris("settings of the Finder", _BLOCKED, ".ds_store", ".apdisk"),
    *_debris("attributes of a file of a Mac", _MAC, "._*"),
    *_debris("attributes of files of a Mac", _MAC, ".appledouble", "__macosx", is_folder=True),
    *_debris("settings of the Explorer", _BLOCKED, "desktop.ini"),
    *_debris("thumbnails", _BLOCKED, "thumbs.db"),
    *_debris("thumbnails", _WINDOWS, "ehthumbs.db", "ehthumbs_vista.db"),
    *_debris("settings of KDE", f"{_GITIGNORE}/Linux.gitignore", ".directory"),
    *_debris(
        "thumbnails",
        "https://github.com/syncthing/syncthing/issues/7807",
        *("@eadir",),
        is_folder=True,
    ),
    *_debris(
        "thumbnails",
        "https://github.com/MediaBrowser/Emby/issues/3246",
        *(".@__thumb", "@__thumb"),
        is_folder=True,
    ),
    # conflicting versions of a file; OneDrive adds the name of a computer, which is no pattern
    *_conflict("Syncthing", f"{_SYNCTHING}/syncing.html", "*.sync-conflict-[0-9]*"),
    *_conflict("Nextcloud or ownCloud", _NEXTCLOUD, "*(conflicted copy *)*"),
    *_conflict("Nextcloud", f"{_NEXTCLOUD_CODE}/src/common/utility.cpp", "*(case clash from *)*"),
    *_conflict(
        "Nextcloud or ownCloud",
        "https://github.com/owncloud/client/pull/6417",
        "*_conflict-*[0-9]-[0-9][0-9][0-9][0-9][0-9][0-9]*",
    ),
    *_conflict("Dropbox", _DROPBOX, "*(*conflicted copy*)*"),
    *_conflict(
        "Dropbox",
        "https://dropboxwatchdog.com/issues/case-unicode-conflict-renaming",
        *("*(*case conflict*)*", "*(*unicode encoding conflict*)*"),
    ),
    *_conflict(
        "Synology Drive",
        "https://kb.synology.com/en-eu/DSM/tutorial/Synology_Drive_file_conflict_resolution",
        "*_[a-z][a-z][a-z]-[0-9][0-9]-[0-9][0-9][0-9][0-9]*conflict*",
    ),
    *_conflict("Resilio Sync", _RESILIO, "*.conflict.*", "*.conflict[0-9].*"),
    *_conflict("onedrive", "https://github.com/abraunegg/onedrive", "*-safebackup-[0-9]*"),
    *_noted(
        "stylewatch had picked it up and put it back beside another file of its name: compare both,"
        " and remove or rename one",
        "docs/folders.md",
        f"* {PUT_BACK}*",
    ),
    # deleted and former files
    *_noted(
        _DELETED,
        f"{_SYNOLOGY}/tutorial/File_Sharing/How_to_create_shared_folders_on_Synology_NAS",
        "#recycle",
    ),
    *_noted(_DELETED, _QNAP, "@recycle"),
    *_noted(_DELETED, _WINDOWS, "$recycle.bin"),
    *_noted(_DELETED, _MAC, "network trash folder"),
    *_data(_DELETED, "https://www.samba.org/samba/docs/current/man-html/", ".recycle"),
    *_data(_DELETED, "https://specifications.freedesktop.org/trash-spec/", ".trash", ".trash-*"),
    *_data(_DELETED, _MAC, ".trashes"),
    *_data(_VERSIONS, f"{_SYNCTHING}/versioning.html", ".stversions"),
    *_data(_VERSIONS, "https://platform.resilio.com/hc/en-us/articles/115001291284", ".sync"),
    *_noted(_SNAPSHOTS, f"{_SYNOLOGY}/help/SnapshotReplication/snapshots", "#snapshot"),
    *_noted(_SNAPSHOTS, _QNAP, "@recently-snapshot"),
    *_noted(_SNAPSHOTS, f"{_NETAPP}/GUID-36DC110C-C0FE-4313-BF53-1C12838F7BBD.html", "~snapshot"),
    *_data(_SNAPSHOTS, f"{_NETAPP}/GUID-36DC110C-C0FE-4313-BF53-1C12838F7BBD.html", ".snapshot"),
    *_data(_SNAPSHOTS, "https://openzfs.github.io/openzfs-docs/man/master/7/", ".zfs"),
    *_data(
        "it is for what a repair of the disk finds",
        "https://man7.org/linux/man-pages/man8/mklost+found.8.html",
        "lost+found",
    ),
    # folders of systems
    *_data("a folder of Windows", _WINDOWS, "system volume information"),
    *_data("a folder of file servers for Macs", _MAC, "temporary items"),
    *_data("the mark of a folder of Syncthing", f"{_SYNCTHING}/config.html", ".stfolder"),
    # what comes and goes
    *_data("files that stylewatch is moving", "docs/folders.md", ".stylewatch*"),
    *_data(_PARTIAL, f"{_SYNCTHING}/syncing.html", ".syncthing.*", "~syncthing~*"),
    *_data(
        _PARTIAL,
        "https://opendownloadfile.com/partial.html",
        *("*.part", "*.partial", "*.crdownload", "*.download"),
    ),
    *_data(_PARTIAL, "https://winscp.net/eng/docs/ui_pref_resume", "*.filepart"),
    *_data(_PARTIAL, "https://www.filetypeadvisor.com/extension/ut", "*.!ut"),
    *_data(_PARTIAL, "https://grimore.org/fuss/bittorrent_sync", "*.!sync"),
    *_data(
        _TEMPORARY,
        "https://docs.morrodata.com/mcm/sync-exclusion-ere/index.html",
        *("*.tmp", "*.temp", "*.swp"),
    ),
    *_data("a lock of an office program", f"{_NEXTCLOUD_CODE}/sync-exclude.lst", "~$*"),
    *_data("a backup of an editor", f"{_NEXTCLOUD_CODE}/sync-exclude.lst", "*~"),
    *_data("it is hidden", f"{_GITIGNORE}/Linux.gitignore", ".*"),
)


def _matching(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(folded(pattern)) for pattern in patterns) or r"(?!)")


_NAMES = {row.pattern: row for row in TABLE if not set("*?[").intersection(row.pattern)}
_PATTERNS = [(_matching([row.pattern]), row) for row in TABLE if row.pattern not in _NAMES]
_ANY = _matching(row.pattern for _, row in _PATTERNS)


def leftover(name: str) -> Leftover | None:
    """Return the row of an entry's name; None if it is not in the table."""
    name = folded(name)
    row = _NAMES.get(name)
    if row is not None:
        return row
    if _ANY.match(name) is not None:  # most names match no pattern at all
        for pattern, pattern_row in _PATTERNS:
            if pattern.match(name):
                return pattern_row
    return None


class Ignored:
    """Names that an inbox ignores: those in the table, and those that match its `patterns`."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._own = _matching(patterns)

    def covers(self, name: str) -> bool:
        """Return whether an entry of that name is ignored."""
        return self._is_own(name) or leftover(name) is not None

    def note(self, name: str) -> str:
        """Return the description of an ignored entry for the status; empty if it is not noted."""
        row = None if self._is_own(name) else leftover(name)
        return row.what if row is not None and row.is_noted else ""

    def _is_own(self, name: str) -> bool:
        return self._own.match(folded(name)) is not None


def is_debris(name: str, *, is_folder: bool) -> bool:
    """Return whether an entry may be removed with the job folder that it is in."""
    row = leftover(name)
    return row is not None and row.kind is Kind.DEBRIS and row.is_folder == is_folder


def may_leave_with(files: Iterable[str], folders: Iterable[str] = ()) -> bool:
    """Return whether a folder with only these entries is empty but for debris.

    `files` are all entries that are no folders. The debris may be removed together with the folder,
    the `folders` of debris with their contents.
    """
    debris_files = (is_debris(name, is_folder=False) for name in files)
    debris_folders = (is_debris(name, is_folder=True) for name in folders)
    return all(debris_files) and all(debris_folders)


def what_stays(names: Iterable[str]) -> str:
    """Return a list, as text, of the entries that prevent the removal of a folder: all but debris.

    An entry of the table is followed by its description.
    """
    described = []
    for name in sorted(names):
        row = leftover(name)
        if row is None:
            described.append(shown(name))
        elif row.kind is Kind.DATA:
            described.append(f"{shown(name)} ({row.what})")
    return ", ".join(described)
