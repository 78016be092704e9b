"""The state folder: which job is where, and what of it.

    state/ledger.sqlite3 every job there was, and how it stands
    state/claims/ID/     being taken out of an inbox, or being given back
    state/jobs/ID/       taken: job.json (what was taken), files/, and the worker's checkpoint
    state/thumbs/        small pictures of what was taken, by the digests of the files
    state/previews/      small pictures that the page made, likewise
    state/uploads/       coming in through the page
    state/trash/         done with, about to be removed
    state/damaged/       jobs whose journal cannot be read, for a person to look at
    state/lock           held by the one daemon that works here; worker.lock by its worker
    state/lock.json      who that is

The rename from claims to jobs is the moment from which a job is ours; the ledger hears of it once
its pictures were looked at. A job's end is in the ledger before its folder goes.
"""

import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stylewatch_daemon import durable, journal
from stylewatch_daemon.intake.contract import Seen
from stylewatch_daemon.job import Job
from stylewatch_daemon.journal import MASK, Attempt, File, JobState, Journal
from stylewatch_daemon.ledger import FILE_NAME, Entry
from stylewatch_daemon.ledger_writer import LAST, LedgerWriter, now
from stylewatch_daemon.mounts import Moorings
from stylewatch_daemon.scan import look

HOLDER = "lock.json"

OURS: tuple[JobState, ...] = ("queued", "running", "ending", "refusing", "failing")
"""The states of a job whose files are here."""


class State:
    """The state folder `root` and the jobs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims, self.jobs, self.thumbs, self.trash, self.damaged = (
            root / name for name in ("claims", "jobs", "thumbs", "trash", "damaged")
        )
        self.kept, self.lock, self.worker_lock = (
            root / name for name in ("kept.json", "lock", "worker.lock")
        )
        self.moorings = Moorings()

    @cached_property
    def ledger(self) -> LedgerWriter:
        """The ledger, opened when it is first asked for; raises as LedgerWriter.open does."""
        return LedgerWriter.open(self.root / FILE_NAME)

    def make(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.claims, self.jobs, self.trash):
            durable.make_folder(folder)

    def hold(self) -> None:
        """Write down who has the lock, for those that come while we have it."""
        us = {"pid": os.getpid(), "host": platform.node(), "since": now()}
        with suppress(OSError):
            durable.write(self.root / HOLDER, json.dumps(us).encode())

    def holder(self) -> str:
        """Who has the lock, in words."""
        try:
            them = json.loads((self.root / HOLDER).read_text("utf-8"))
            return f"process {them['pid']} on {them['host']}, since {them['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "which one is not known"

    def close(self) -> None:
        """Let go of the ledger, until it is asked for again."""
        if "ledger" in self.__dict__:
            self.ledger.close()
            del self.ledger

    def tidy(self) -> list[Path]:
        """Empty the trash, and set aside jobs without a readable journal; where these lie now."""
        for doomed in self.trash.iterdir():
            shutil.rmtree(doomed, ignore_errors=True)
        return [self._set_aside(folder) for folder in self._all() if not self._is_sound(folder)]

    def enter_strays(self) -> None:
        """Enter what is here and not in the ledger, and drop what the ledger knows to be done."""
        for folder in sorted(self.jobs.iterdir()):
            entry = self.ledger.find(folder.name)
            if entry is None:
                stray = journal.load(folder)
                with self.ledger.together():
                    self.ledger.enter([entry_of(stray)])
                    self.ledger.write_attempts(stray.id, stray.attempts)
            elif entry.state in LAST:
                durable.discard(folder, self.trash)

    def align(self) -> None:
        """Bring the ledger in line: with what is not here, and with what was cut off."""
        here = {folder.name for folder in self._all()}
        with self.ledger.together():
            for cut_off in self.ledger.ids("running"):
                self.ledger.change(cut_off, state="queued")
            for gone in self.ledger.ids(*OURS) - here:
                reason = f"its files are no longer in {self.jobs}: drop it again"
                self.ledger.change(gone, state="failed", reason=reason)

    def load(self, job_id: str) -> Journal:
        """The job `job_id`, which is ours."""
        taken, entry = journal.load(self.jobs / job_id), self.ledger.find(job_id)
        if entry is None:
            return taken
        return replace(
            taken,
            state=entry.state,
            attempts=self.ledger.story(job_id),
            place=entry.place,
            refused_as=entry.refused_as,
            reason=entry.reason,
            series=entry.series,
            needs=entry.needs,
            shape=entry.shape,
            size=_size_of_content(taken, entry),
            digests={one["name"]: one["sha256"] for one in entry.inputs if "sha256" in one},
            changed=frozenset(one["name"] for one in entry.inputs if one.get("changed")),
        )

    def has(self, job_id: str) -> bool:
        """Whether the files of a job are here, or on their way."""
        return (self.jobs / job_id).exists() or (self.claims / job_id).exists()

    def begin(
        self, job: Journal, place: str, attempts: tuple[Attempt, ...], settings: str
    ) -> Journal:
        """`job` in its `place`, the last of `attempts` begun by `settings`, JSON; in the ledger."""
        with self.ledger.together():
            self._tell(job, attempts)
            self.ledger.change(job.id, state="running", place=place, settings=settings)
        return replace(job, state="running", place=place, attempts=attempts)

    def save(self, job: Journal, **changes: Any) -> Journal:
        """`job` with `changes`, once they are safe in the ledger."""
        changed = replace(job, **changes)
        with self.ledger.together():
            if "attempts" in changes:
                self._tell(job, changes.pop("attempts"))
            if changes:
                self.ledger.change(job.id, **changes)
        return changed

    def _tell(self, job: Journal, attempts: tuple[Attempt, ...]) -> None:
        """Write down the story of a job, of which mostly the last attempt alone is news."""
        *earlier, last = attempts
        if len(job.attempts) <= len(attempts) and [*job.attempts[: len(earlier)]] == earlier:
            self.ledger.write_attempt(job.id, len(attempts), last)
        else:
            self.ledger.write_attempts(job.id, attempts)

    def finish(self, *ended: tuple[Journal, JobState]) -> None:
        """The state of each is its last one: once all are in the ledger their files go."""
        with self.ledger.together():
            for job, state in ended:
                self.ledger.change(job.id, state=state)
        for job, _ in ended:
            durable.discard(self.jobs / job.id, self.trash)

    def job(self, job: Journal) -> Job:
        """The job that a journal tells of; its settings are in `job_file`."""
        files = self._files_of(job)
        with_role = [(one.role, path) for one, path in files]
        return Job(
            id=job.id,
            name=job.name,
            folder=self.jobs / job.id,
            outbox=job.outbox,
            content=next((path for role, path in with_role if role == "content"), None),
            styles=tuple(path for role, path in with_role if role == "style"),
            init=next((path for role, path in with_role if role == "init"), None),
            masks={role: path for role, path in with_role if role.endswith(MASK)},
            archived=sum(one.look.size for one in job.files if one.own and job.after == "archive"),
            size=job.size,
        )

    def moved(self, job: Journal) -> tuple[Path, ...]:
        """The files that were taken out of an inbox, and lie nowhere else any more."""
        return tuple(path for one, path in self._files_of(job) if job.archives(one))

    def is_as_taken(self, job: Journal, name: str) -> bool:
        """Whether the file of that name is still as it was when it was renamed here, or copied."""
        file = next(one for one in job.files if one.name == name)
        now = look(self.jobs / job.id / "files" / name)
        return now is None or now == file.look or now.inode != file.look.inode

    def job_file(self, job: Journal) -> Path | None:
        """The job's job.yaml, if it came with one."""
        return next((path for one, path in self._files_of(job) if one.role == "job"), None)

    def own_files(self, job: Journal) -> tuple[Path, ...]:
        """The files that belong to this job alone, moved or copied, as far as they were taken."""
        return tuple(path for one, path in self._files_of(job) if one.own and path.exists())

    def pictures(self, job: Journal) -> tuple[Path, ...]:
        """All that is to be decoded of a job, its content first if it has one."""
        return tuple(path for one, path in self._files_of(job) if one.role != "job")

    def _files_of(self, job: Journal) -> list[tuple[File, Path]]:
        folder = self.jobs / job.id / "files"
        return [(one, folder / one.name) for one in job.files]

    def _all(self) -> list[Path]:
        return [*self.claims.iterdir(), *self.jobs.iterdir()]

    def _is_sound(self, folder: Path) -> bool:
        if folder.parent == self.claims and not (folder / journal.FILE_NAME).exists():
            return True  # a claim that was cut off before anything was taken
        try:
            journal.load(folder)
        except (OSError, ValueError):
            return False
        return True

    def _set_aside(self, folder: Path) -> Path:
        durable.make_folder(self.damaged)
        aside = self.damaged / f"{folder.name}-{secrets.token_hex(2)}"
        durable.rename_folder(folder, aside)
        return aside


def entry_of(job: Journal, **more: Any) -> Entry:
    """What the ledger is told of a job when it is entered; `more` holds further columns."""
    return Entry(
        id=job.id,
        name=job.name,
        inbox=str(job.inbox),
        outbox=str(job.outbox),
        state=job.state,
        entered=now(),
        inputs=tuple(_input(file) for file in job.files),
        bytes=sum(file.look.size for file in job.files),
        place=job.place,
        refused_as=job.refused_as,
        reason=job.reason,
        retry_of=job.retry_of,
        series=job.series,
        **more,
    )


def _size_of_content(job: Journal, entry: Entry) -> tuple[int, int] | None:
    names = [file.name for file in job.files if file.role == "content"]
    for one in entry.inputs:
        if one["name"] in names and "pixels" in one:
            width, height = one["pixels"]
            return width, height
    return None


def _input(file: File) -> dict[str, Any]:
    return {
        "role": file.role,
        "name": file.name,
        "source": str(file.source),
        "size": file.look.size,
    }


def with_changed(entry: Entry, files: Iterable[File]) -> Entry:
    """`entry`, with a mark at its inputs whose originals stay in the inbox, as they changed."""
    changed = {file.name for file in files}
    inputs = tuple(
        {**one, "changed": True} if one["name"] in changed else one for one in entry.inputs
    )
    return replace(entry, inputs=inputs)


def with_seen(entry: Entry, pictures: Iterable[Seen]) -> Entry:
    """`entry`, its inputs with the digests and the sizes (pixels) that their `pictures` have."""
    seen = {one.name: {"sha256": one.sha256, "pixels": list(one.size)} for one in pictures}
    inputs = tuple({**one, **seen.get(one["name"], {})} for one in entry.inputs)
    return replace(entry, inputs=inputs)
