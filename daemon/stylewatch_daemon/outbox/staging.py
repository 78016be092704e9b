"""Staging folders of attempts, and the files that an attempt has announced there.

An attempt on another machine gets its own folder, to which no other attempt writes:

  outbox/.staging/JOB/.N-STAMP-PID/                  files of attempt N, to be published
  outbox/.staging/JOB/.N-STAMP-PID/.checkpoint.npz   checkpoint that the next attempt resumes from
  outbox/.staging/JOB/.N-STAMP-PID/.clip/            painted frames of a clip, for the checkpoint

A machine that seems dead may only be disconnected and still be working. When the next attempt
begins, it takes over first the checkpoint, then the other files; then the old folder is removed.
The attempt announces the files of its checkpoint again, so that they are published. Nothing that
the other machine writes afterwards is read, and that machine cannot create the folder again.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.model import Attempt
from stylewatch_daemon.files import atomic, entries, safe_dirs, strangers
from stylewatch_daemon.outbox.publish import (
    CLIP_FOLDER,
    RECEIPT,
    STAGED_CHECKPOINT,
    STAGING,
    Outbox,
)

_ATTEMPT = re.compile(r"\.([0-9]+)-[0-9]+-[0-9]+")
"""Pattern for the folder of an attempt on another machine: its number, start time and process."""


def name(attempts: Sequence[Attempt]) -> str:
    """Return the name of the folder of the last of `attempts`, which runs on another machine."""
    last = attempts[-1]
    stamp = re.sub(r"\D", "", last.started) or "0"
    return f".{len(attempts)}-{stamp}-{last.pid}"


def latest(outbox: Path, job_id: str) -> str:
    """Return the folder, relative to `.staging`, in which the latest attempt leaves its files.

    It is the folder of the job if no attempt has one of its own. Raises as `attempt_folders` does.
    """
    return "/".join((job_id, *attempt_folders(outbox, job_id)[-1:]))


def attempt_folders(outbox: Path, job_id: str) -> list[str]:
    """Return the names of the attempts' folders in a job's staging folder, the latest last.

    Raises OutputError if a link leads to the staging folder, OSError if it cannot be listed.
    """
    if not entries.exists(outbox / STAGING / job_id):
        return []
    with safe_dirs.opened(outbox, f"{STAGING}/{job_id}") as staging:
        matches = [match for name in entries.names(staging) if (match := _ATTEMPT.fullmatch(name))]
    return [match[0] for match in sorted(matches, key=lambda match: (int(match[1]), match[0]))]


class StagedFile(NamedTuple):
    """A staged file; `size` is in bytes."""

    size: int
    is_announced: bool
    """True if the file has the bytes that its worker announced."""


class AttemptFiles:
    """Staged files of the attempts at a job; methods raise OutputError and OSError.

    An attempt on this machine uses the folder of the job; an attempt on another machine uses the
    folder that `begin` creates. A worker first writes a file and then announces it with its
    SHA-256. A file from another machine is accepted only with exactly that checksum; files of this
    machine are not read again.
    """

    def __init__(self, outbox: Outbox, job_id: str) -> None:
        self._outbox = outbox
        self._job_id = job_id
        self.place = job_id
        """Folder, relative to `.staging`, in which the attempt leaves its files."""

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints in the own folders of attempts, with the painted frames of clips.

        Unless the job has another checkpoint, its next attempt starts from the beginning.
        """
        for folder in self._folders():
            self._outbox.clear(f"{folder}/{CLIP_FOLDER}")
            with self._opened(folder) as handle:
                entries.unlink(STAGED_CHECKPOINT, handle)

    def begin(self, folder_name: str) -> Path:
        """Create the folder `folder_name` of an attempt, and move the latest checkpoint there.

        Returns the path for the checkpoint, even if there is none. The frames of a clip are moved
        first, because the checkpoint refers to them.
        """
        self.place = f"{self._job_id}/{folder_name}"
        staging = self._outbox.staging(self.place)
        for name in (CLIP_FOLDER, STAGED_CHECKPOINT):
            for earlier in reversed(self._folders()):
                with self._opened(earlier) as source, self._opened(self.place) as target:
                    if entries.exists(name, source):
                        atomic.move(name, name, source, target)
                        break
        return staging / STAGED_CHECKPOINT

    def take_over(self) -> None:
        """Move the files of earlier attempts to the folder of this one, and remove their folders.

        If several files have the same name, that of the latest attempt is kept. A receipt is
        removed: it says that its own attempt is done.
        """
        folders = (self._job_id, *self._folders())
        for folder in (earlier for earlier in folders if earlier != self.place):
            for path in map(PurePosixPath, self._outbox.staged(folder)):
                target = PurePosixPath(STAGING, self.place, path.parent)
                with (
                    self._opened(f"{folder}/{path.parent}") as source,
                    self._outbox.made(str(target)) as made,
                ):
                    atomic.move(path.name, path.name, source, made)
            if folder != self._job_id:
                self._outbox.clear(folder)
        self._outbox.staging(self.place)
        with self._opened(self.place) as place:
            entries.unlink(RECEIPT, place)

    def look(self, path: str, sha256: str) -> StagedFile | None:
        """Return the size of a staged file and whether it is as announced; None if it is gone.

        The bytes are compared only if the attempt has a folder of its own; any others count as
        announced.
        """
        staged = PurePosixPath(STAGING, self.place, path)
        status = entries.status(self._outbox.root / staged)
        if status is None:
            return None
        is_ours = self.place == self._job_id
        is_announced = is_ours or self._has_bytes(staged, sha256, status.st_size)
        return StagedFile(status.st_size, is_announced)

    def _has_bytes(self, staged: PurePosixPath, sha256: str, size: int) -> bool:
        """Return whether a path in the outbox is a regular file with these bytes."""
        with safe_dirs.opened(self._outbox.root, str(staged.parent)) as folder:
            try:
                with atomic.open_regular(staged.name, folder) as file:
                    return strangers.has_bytes(file, sha256, size)
            except InputError:  # not a regular file, so not the announced one
                return False

    def _folders(self) -> list[str]:
        """Return the attempts' own folders, relative to `.staging`."""
        names = attempt_folders(self._outbox.root, self._job_id)
        return [f"{self._job_id}/{name}" for name in names]

    def _opened(self, folder: str) -> AbstractContextManager[int]:
        return safe_dirs.opened(self._outbox.root, f"{STAGING}/{folder}")
