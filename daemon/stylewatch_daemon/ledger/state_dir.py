"""The state folder.

  state/ledger.sqlite3 all jobs, attempts, published files and requests
  state/claims/ID/     a job that is being moved out of an inbox
  state/jobs/ID/       a claimed job: claim.json (its files and sources), files/, the checkpoint
  state/thumbs/        thumbnails of inputs, named by the digests of the files
  state/previews/      larger previews made for the page, named in the same way
  state/uploads/       uploads to the page in progress
  state/trash/         folders about to be removed
  state/wake           a pipe: writing to it wakes the daemon
  state/lock           held by the daemon that works here; worker.lock by its worker

The rename from claims to jobs commits a claim. The end of a job is recorded in the ledger before
its folder is removed.
"""

import os
import stat
from contextlib import suppress
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.ledger.claim import FILES

LEDGER = "ledger.sqlite3"
WAKE = "wake"
PREVIEWS, UPLOADS = "previews", "uploads"
"""Folders of previews made for the page, and of pictures that it received."""

_FOLDERS = ("claims", "jobs", "trash", "thumbs", PREVIEWS, UPLOADS)


class StateDir:
    """The state folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims, self.jobs, self.trash, self.thumbs, self.previews, self.uploads = (
            root / name for name in _FOLDERS
        )
        self.lock, self.worker_lock = root / "lock", root / "worker.lock"
        self.ledger, self.wake = root / LEDGER, root / WAKE

    def make(self) -> None:
        """Create what is missing, for this user alone, and empty the trash.

        Raises OutputError if something else has the name of one of its folders, or of its pipe.
        """
        atomic.make_folder(self.root)
        with suppress(OSError):  # a folder of another user fails when it is used
            self.root.chmod(0o700)
        for name in (*_FOLDERS, WAKE):
            path, is_right = self.root / name, stat.S_ISFIFO if name == WAKE else stat.S_ISDIR
            if lexists(path) and not is_right(path.lstat().st_mode):
                kind = "pipe" if name == WAKE else "folder"
                raise OutputError(f"{path} is not a {kind}, as stylewatch needs it: move it away")
        for folder in (self.claims, self.jobs, self.trash):
            atomic.make_folder(folder)
        with suppress(FileExistsError):
            os.mkfifo(self.wake, 0o600)
        for doomed in self.trash.iterdir():
            atomic.remove(doomed)

    def probe(self) -> None:
        """Raise OSError if the folder cannot be written."""
        mark = self.root / ".probe"
        mark.write_bytes(b"can this be written?")
        mark.unlink()

    def files(self, job_id: str) -> Path:
        """Return the folder of the claimed files of a job."""
        return self.jobs / job_id / FILES

    def claimed(self) -> set[str]:
        """Return the ids of the jobs whose claim is complete."""
        return {folder.name for folder in self.jobs.iterdir()}

    def discard(self, job_id: str) -> None:
        """Remove the folders of a job that has ended; if that fails, the next start does it."""
        for above in (self.jobs, self.claims):
            with suppress(OSError):
                atomic.discard(above / job_id, self.trash)
