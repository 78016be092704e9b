"""Access of the pages to status.json and to the ledger, which the daemon writes."""

from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.ledger.ledger import FILE_NAME, Ledger, reading
from stylewatch_daemon.ledger.requests import is_paused


class Reader:
    """Reads what the daemon of the state folder `state` has written; safe for threads."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._latest: tuple[Hashable, Mapping[str, Any]] = (None, {})
        """The inode, mtime and size of the status.json that was read last, and its content."""

    def published(self) -> dict[str, Any]:
        """Return the latest status.json with all its keys.

        `health.at_work` and `health.paused` are as they are now, not as they were published.
        """
        version: Hashable = None
        with suppress(OSError):
            status = (self.state / status_json.FILE_NAME).stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if version != self._latest[0]:
            self._latest = version, status_json.read(self.state) or {}
        version, content = self._latest
        nothing = status_json.nothing()
        at_work = False
        with suppress(OutputError):
            at_work = status_json.is_at_work(self.state)
        now = {"at_work": at_work, "paused": is_paused(self.state)}
        health = {**nothing["health"], **content.get("health", {}), **now}
        return {**nothing, **content, "health": health, "version": version}

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Open the ledger; raises OutputError if it cannot be read."""
        return reading(self.state / FILE_NAME)

    def job(self, job_id: str) -> Job | None:
        """Return the job with exactly this id; raises OutputError as `ledger`."""
        with self.ledger() as ledger:
            return ledger.get(job_id)
