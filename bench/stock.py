"""A queue of jobs that were entered in bulk, for the bench of scale.

A million jobs are four million files, so the folder of a job is made only when it is loaded.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.fleet import DIGEST

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import JobState, Picture
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import queue_entry
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.state_dir import State, entry_of

KINDS = 8
"""How many job.yaml there are; many jobs have the same."""

AT_ONCE = 10_000
"""Jobs that are entered in one commit."""

ROLES = {"content": "content.jpg", "style": "style.jpg", "job": "job.yaml"}
PIXELS = (640, 480)

LATER = ("state", "attempts", "changed")
"""Fields of a journal that the ledger knows, not the record of the claim."""


class Stock(State):
    """The state folder of `settings`, whose jobs get their files when they are loaded."""

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings.state.path)
        self._settings, self._files = settings, settings.state.path / "stock"

    def fill(self, jobs: int) -> None:
        """Enter so many jobs, in turn for each inbox."""
        self._make()
        kinds = [self._entry(kind) for kind in range(KINDS)]
        for first in range(0, jobs, AT_ONCE):
            self.ledger.enter(
                self._like(kinds[number % KINDS], number)
                for number in range(first, min(jobs, first + AT_ONCE))
            )

    def load(self, job_id: str) -> Journal:
        """The job, its files made before."""
        self.provide(job_id)
        return super().load(job_id)

    def provide(self, job_id: str) -> None:
        """Make the files of a job, unless they are there."""
        folder, number = self.jobs / job_id, int(job_id)
        if folder.exists():
            return
        (folder / "files").mkdir(parents=True)
        for name in ROLES.values():
            (folder / "files" / name).hardlink_to(self._kind(number) / name)
        plain = asdict(self._journal(number))
        record = {key: value for key, value in plain.items() if key not in LATER}
        (folder / journal.FILE_NAME).write_text(json.dumps(record, default=str), "ascii")

    def enter_missing(self) -> None:
        """Do nothing: all jobs are in the ledger."""

    def reconcile(self) -> None:
        """Do nothing: missing files are made when a job is loaded."""

    def _make(self) -> None:
        for kind in range(KINDS):
            folder = self._kind(kind)
            folder.mkdir(parents=True)
            for role, name in ROLES.items():
                text = f"strength: 0.{kind + 1}\nseed: {kind}\n" if role == "job" else "a picture"
                (folder / name).write_text(text, "ascii")

    def _kind(self, number: int) -> Path:
        return self._files / str(number % KINDS)

    def _like(self, entry: Entry, number: int) -> Entry:
        return replace(entry, **self._names(number))

    def _names(self, number: int) -> dict[str, Any]:
        inbox = self._inbox(number)
        return {"id": f"{number:09}", "name": f"job-{number:07}",
                "inbox": str(inbox.path), "outbox": str(inbox.outbox)}  # fmt: skip

    def _inbox(self, number: int) -> InboxSettings:
        return self._settings.inboxes[number % len(self._settings.inboxes)]

    def _journal(self, number: int) -> Journal:
        inbox, names = self._inbox(number), self._names(number)
        files = [
            File(role, name, inbox.path / names["name"] / name, Look(0, 9, 0), own=True)
            for role, name in ROLES.items()
        ]
        return Journal(
            id=names["id"], name=names["name"], inbox=inbox.path, outbox=inbox.outbox,
            after="archive", files=tuple(files), folder=inbox.path / names["name"],
            state=JobState.QUEUED,
        )  # fmt: skip

    def _entry(self, number: int) -> Entry:
        """As intake enters it."""
        fields = queue_entry(self._settings, self._kind(number) / ROLES["job"], [PIXELS, PIXELS])
        pictures = [Picture(name, DIGEST, PIXELS) for role, name in ROLES.items() if role != "job"]
        return entry_of(self._journal(number), pictures, **fields)
