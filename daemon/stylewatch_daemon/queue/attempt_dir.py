"""For an attempt that is made on another machine a folder of its own, which no other writes.

    outbox/.staging/JOB/.N-STAMP-PID/                  what attempt N leaves, to be published
    outbox/.staging/JOB/.N-STAMP-PID/.checkpoint.npz   what the next one goes on from

A machine that is thought dead may only be cut off, and paint on. When the next attempt begins, the
checkpoint is moved to its folder first, and then what else was left; and the old folder goes. What
of that the checkpoint tells of the attempt announces, which publishes it.
Whatever the other one writes from then on, nobody looks there; nor can it make the folder again.
"""

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.outbox.publish import STAGING, Outbox
from stylewatch_daemon.store.journal import Attempt, Journal

CHECKPOINT = ".checkpoint.npz"

_FENCE = re.compile(r"\.(\d+)-\d+-\d+")


def name(attempts: Sequence[Attempt]) -> str:
    """What the folder of the last of them is called."""
    this = attempts[-1]
    stamp = re.sub(r"\D", "", this.started) or "0"
    return f".{len(attempts)}-{stamp}-{this.pid}"


def place(outbox: Outbox, journal: Journal) -> str:
    """Where below `.staging` the last attempt at a job leaves its files."""
    own = f"{journal.id}/{name(journal.attempts)}" if journal.attempts else journal.id
    return own if lexists(f"{outbox.root}/{STAGING}/{own}") else journal.id


class Fences:
    """The folders of all attempts at a job; methods raise OutputError and OSError."""

    def __init__(self, outbox: Outbox, job_id: str) -> None:
        self._outbox, self._job_id = outbox, job_id

    def forget(self) -> None:
        """Remove what an attempt could go on from."""
        for one in self._all():
            with self._opened(one) as folder, suppress(FileNotFoundError):
                os.unlink(CHECKPOINT, dir_fd=folder)

    def begin(self, fence: str) -> Path:
        """Make a folder of that name, with the last checkpoint that was left; where that is."""
        staging = self._outbox.staging(f"{self._job_id}/{fence}")
        for one in sorted(set(self._all()) - {fence}, key=_number, reverse=True):
            if self._hand_over(one, fence):
                break
        return staging / CHECKPOINT

    def hand_on(self, fence: str) -> None:
        """Move what earlier attempts left to where the one with that folder leaves its own.

        Of files with one name that of the last attempt stays. No folder: made on this machine.
        The folders of the earlier ones are removed.
        """
        earlier = sorted({"", *self._all()} - {fence}, key=_number)
        for one in earlier:
            for path in list(self._outbox.staged(f"{self._job_id}/{one}".rstrip("/"))):
                self._move(one, path, fence)
        for one in filter(None, earlier):
            self._outbox.clear(f"{self._job_id}/{one}")

    def _hand_over(self, earlier: str, fence: str) -> bool:
        """Move the checkpoint from one to the other; whether there was one."""
        with self._opened(earlier) as source, self._opened(fence) as target:
            try:
                safe_dirs.move(source, CHECKPOINT, target)
            except FileNotFoundError:
                return False
            return True

    def _move(self, earlier: str, path: str, fence: str) -> None:
        inner = PurePosixPath(path)
        target = PurePosixPath(STAGING, self._job_id, fence, inner.parent)
        with (
            self._opened(str(PurePosixPath(earlier, inner.parent))) as source,
            safe_dirs.opened(self._outbox.root, str(target), lambda handle: None) as made,
        ):
            safe_dirs.move(source, inner.name, made)

    def _all(self) -> list[str]:
        if not lexists(f"{self._outbox.root}/{STAGING}/{self._job_id}"):
            return []
        with self._opened() as folder, os.scandir(folder) as there:
            return [one.name for one in there if _FENCE.fullmatch(one.name)]

    def _opened(self, fence: str = "") -> AbstractContextManager[int]:
        return safe_dirs.opened(self._outbox.root, f"{STAGING}/{self._job_id}/{fence}")


def _number(fence: str) -> tuple[int, str]:
    found = _FENCE.fullmatch(fence)
    return (int(found[1]) if found else 0, fence)
