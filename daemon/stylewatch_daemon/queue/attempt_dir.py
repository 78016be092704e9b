"""Staging folders of attempts, and the files that an attempt announced there.

An attempt on another machine gets a folder of its own, which no other attempt writes:

    outbox/.staging/JOB/.N-STAMP-PID/                  files of attempt N, to be published
    outbox/.staging/JOB/.N-STAMP-PID/.checkpoint.npz   checkpoint that the next attempt resumes from
    outbox/.staging/JOB/.N-STAMP-PID/.clip/            painted frames of a clip, which it refers to,
                                                       and checkpoints of the parts of a divided one

A machine that seems dead may only be cut off, and go on working. When the next attempt begins, it
takes over the checkpoint first, then the other files; then the old folder is removed. The attempt
announces again what its checkpoint refers to, and that publishes it. Nobody reads what the other
machine writes from then on, and that machine cannot make the folder again.
"""

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.outbox.job_files import attempt_folders, sha256_of
from stylewatch_daemon.outbox.publish import CLIP_FOLDER, STAGED_CHECKPOINT, STAGING, Outbox
from stylewatch_daemon.store.journal import Attempt, Journal
from stylewatch_daemon.worker.messages import Staged


def name(attempts: Sequence[Attempt]) -> str:
    """Return the folder name of the last of `attempts`."""
    last = attempts[-1]
    stamp = re.sub(r"\D", "", last.started) or "0"
    return f".{len(attempts)}-{stamp}-{last.pid}"


def place(outbox: Outbox, job: Journal) -> str:
    """Return the folder, relative to `.staging`, where the last attempt leaves its files."""
    own = f"{job.id}/{name(job.attempts)}" if job.attempts else job.id
    return own if lexists(f"{outbox.root}/{STAGING}/{own}") else job.id


class AttemptFiles:
    """Staged files of the attempts at a job; methods raise OutputError and OSError.

    An attempt on this machine uses the folder of the job, one on another machine that of `begin`.

    A worker writes a file first, and then announces it with its SHA-256. A file from another
    machine counts only with exactly that checksum; files of this machine are not read again.
    Announcements come late: losses.csv may already be that of a later stage. So a mismatch decides
    nothing until the attempt ends; `mismatched` has the paths whose last one did not match.
    """

    def __init__(self, outbox: Outbox, job_id: str) -> None:
        self._outbox, self._job_id = outbox, job_id
        self._own = ""
        """The name of the attempt's own folder, if it has one."""
        self.mismatched: set[str] = set()

    @property
    def place(self) -> str:
        """The folder, relative to `.staging`, where the attempt leaves its files."""
        return f"{self._job_id}/{self._own}".rstrip("/")

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints, so that the next attempt begins at the beginning."""
        for folder_name in self._folders():
            self._outbox.clear(f"{self._job_id}/{folder_name}/{CLIP_FOLDER}")
            with self._opened(folder_name) as folder, suppress(FileNotFoundError):
                os.unlink(STAGED_CHECKPOINT, dir_fd=folder)

    def begin(self, own: str) -> Path:
        """Make the folder `own`, move the latest checkpoint there, and return its path there.

        The frames of a clip come first, as the checkpoint refers to them.
        """
        self._own = own
        staging = self._outbox.staging(self.place)
        for moved in (CLIP_FOLDER, STAGED_CHECKPOINT):
            for earlier in reversed(self._earlier()):
                with (
                    self._opened(earlier) as source,
                    self._opened(own) as target,
                    suppress(FileNotFoundError),
                ):
                    safe_dirs.move(source, moved, target)
                    break
        return staging / STAGED_CHECKPOINT

    def take_over(self) -> None:
        """Move the files of earlier attempts to the folder of this one, and remove their folders.

        Of files with the same name that of the latest attempt stays.
        """
        earlier = self._earlier()
        for folder_name in ["", *earlier] if self._own else earlier:
            staged = self._outbox.staged(f"{self._job_id}/{folder_name}".rstrip("/"))
            for path in map(PurePosixPath, staged):
                target = PurePosixPath(STAGING, self.place, path.parent)
                with (
                    self._opened(f"{folder_name}/{path.parent}".lstrip("/")) as source,
                    safe_dirs.opened(self._outbox.root, str(target), lambda _: None) as made,
                ):
                    safe_dirs.move(source, path.name, made)
        for folder_name in earlier:
            self._outbox.clear(f"{self._job_id}/{folder_name}")

    def check(self, staged: Staged) -> bool:
        """Return whether an announced file is staged.

        In a folder of the attempt's own its checksum is compared, too, for `mismatched`.
        """
        path = PurePosixPath(STAGING, self.place, staged.path)
        if not self._own:
            return lexists(f"{self._outbox.root}/{path}")
        try:
            with safe_dirs.opened(self._outbox.root, str(path.parent)) as folder:
                digest = sha256_of(path.name, folder)
        except FileNotFoundError:
            return False
        self.mismatched.discard(staged.path)
        if digest != staged.sha256:
            self.mismatched.add(staged.path)
        return True

    def _folders(self) -> list[str]:
        """Return the folders of all attempts that have one, the latest last."""
        try:
            return attempt_folders(self._outbox.root, self._job_id)
        except FileNotFoundError:
            return []

    def _earlier(self) -> list[str]:
        return [folder for folder in self._folders() if folder != self._own]

    def _opened(self, inner: str) -> AbstractContextManager[int]:
        return safe_dirs.opened(self._outbox.root, f"{STAGING}/{self._job_id}/{inner}")
