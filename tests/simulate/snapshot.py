"""All files of a world by their bytes, as the laws see them."""

import os
from collections.abc import Collection
from pathlib import Path

from tests.simulate.disks import Disks


class Snapshot:
    """The files of a world when it last looked."""

    def __init__(self, disks: Disks) -> None:
        self._disks = disks
        self.files: dict[str, bytes] = {}
        """Files by their paths, also those on disks that are away, but for the ledger."""
        self.below: dict[str, bytes] = {}
        """Files below the mount points of disks."""
        self.spare: dict[str, bytes] = {}
        """Files on cards in whose place another one is, by the paths that they have otherwise."""
        self.excused_below: set[str] = set()
        """Files below the mount points of disks that the daemon had not met when they went."""
        self._unmet: set[str] = set()
        self.ever_met: set[str] = set()
        """Mount points of disks that any daemon has looked at, which the ledger remembers."""
        self._cache: dict[int, tuple[tuple[int, int, int], bytes]] = {}

    def daemon_starts(self) -> None:
        """Note that the daemon starts, which knows of no disk that it has not met."""
        self._unmet = {disk.root for disk in self._disks}

    def meet(self, root: str) -> None:
        """Note that the daemon has looked where a disk is mounted."""
        self._unmet.discard(root)
        self.ever_met.add(root)

    def meet_all(self) -> None:
        """Note that the daemon had the time to look."""
        self._unmet -= {disk.root for disk in self._disks if disk.is_there and not disk.is_hung}

    def look(self) -> None:
        """Read all files, unless they are known."""
        disks = self._disks
        self.files, self.below, self.spare = {}, {}, {}
        away = {disk.root: disks.spot(disk.root) for disk in disks if not disk.is_there}
        self._walk(disks.root, disks.root, self.files, away.keys())
        for root, spot in away.items():
            self._walk(spot, root, self.files)
            self._walk(root, root, self.below)
            if root in self._unmet:
                self.excused_below.update(self.below)
        for disk in disks:
            hidden = disks.below(disk)
            if disk.is_there and Path(hidden).is_dir():
                self._walk(hidden, disk.root, self.below)
            if Path(disks.spare(disk)).is_dir():
                self._walk(disks.spare(disk), disk.root, self.spare)

    def paths(self) -> list[str]:
        """Return the paths of all files and folders on disks that are there."""
        found = []
        for folder, folders, names in os.walk(self._disks.root):
            found += [f"{folder}/{name}" for name in (*folders, *names)]
        return sorted(found)

    def _walk(
        self, folder: str, shown: str, files: dict[str, bytes], but: Collection[str] = ()
    ) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{shown}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if path not in but:
                        self._walk(entry.path, path, files, but)
                elif entry.is_file(follow_symlinks=False) and ".sqlite3" not in entry.name:
                    files[path] = self._read(entry)

    def _read(self, entry: os.DirEntry[str]) -> bytes:
        status = entry.stat(follow_symlinks=False)
        look = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        known = self._cache.get(status.st_ino)
        if known is not None and known[0] == look:
            return known[1]
        data = Path(entry.path).read_bytes()
        self._cache[status.st_ino] = look, data
        return data


def read(path: str) -> bytes | None:
    """Return the bytes of a file; None if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def files_in(folder: str) -> dict[str, bytes]:
    """Return the files in a folder with their bytes, by their paths in it."""
    found = {}
    for above, _, names in os.walk(folder):
        for name in names:
            path = f"{above}/{name}"
            data = read(path)
            if data is not None:
                found[path.removeprefix(f"{folder}/")] = data
    return found
