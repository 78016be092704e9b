"""The state folder: which job is where, and what of it.

    state/claims/ID/     being taken out of an inbox, or being given back
    state/jobs/ID/       taken: job.json (the journal), files/, and the worker's checkpoint
    state/trash/         done with, about to be removed
    state/damaged/       jobs whose journal cannot be read, for a person to look at
    state/kept.json      what was painted and left in the inbox
    state/lock           held by the one daemon that works here; worker.lock by its worker

The rename from claims to jobs is the moment from which a job is ours.
"""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylewatch_daemon import durable, journal
from stylewatch_daemon.job import Job
from stylewatch_daemon.journal import File, Journal, Role


class State:
    """The state folder `root` and the journals in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims, self.jobs, self.trash, self.damaged = (
            root / name for name in ("claims", "jobs", "trash", "damaged")
        )
        self.kept, self.lock, self.worker_lock = (
            root / name for name in ("kept.json", "lock", "worker.lock")
        )

    def make(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.claims, self.jobs, self.trash):
            durable.make_folder(folder)

    def tidy(self) -> list[Path]:
        """Empty the trash, and set aside jobs without a readable journal; where these lie now."""
        for doomed in self.trash.iterdir():
            shutil.rmtree(doomed, ignore_errors=True)
        return [self._set_aside(folder) for folder in self._all() if not self._is_sound(folder)]

    def waiting(self) -> Iterator[Journal]:
        """The jobs that are ours, in the order they came."""
        yield from (journal.load(folder) for folder in sorted(self.jobs.iterdir()))

    def save(self, job: Journal, **changes: Any) -> Journal:
        """The journal of a job that is ours, with `changes`, once it is safely written."""
        changed = replace(job, **changes)
        journal.save(changed, self.jobs / job.id)
        return changed

    def finish(self, job: Journal) -> None:
        """Forget the job."""
        durable.discard(self.jobs / job.id, self.trash)

    def job(self, job: Journal) -> Job:
        """The job that a journal tells of; its settings are in `job_file`."""
        return Job(
            id=job.id,
            name=job.name,
            folder=self.jobs / job.id,
            outbox=job.outbox,
            content=self._paths(job, "content")[0],
            styles=self._paths(job, "style"),
            init=next(iter(self._paths(job, "init")), None),
            masks=self._paths(job, "mask"),
            after=job.after,
            moved=tuple(self._path(job, one) for one in job.files if job.moves(one)),
        )

    def job_file(self, job: Journal) -> Path | None:
        """The job's job.yaml, if it came with one."""
        return next(iter(self._paths(job, "job")), None)

    def own_files(self, job: Journal) -> tuple[Path, ...]:
        """The files that belong to this job alone, moved or copied."""
        return tuple(self._path(job, one) for one in job.files if one.own)

    def _paths(self, job: Journal, role: Role) -> tuple[Path, ...]:
        return tuple(self._path(job, one) for one in job.files if one.role == role)

    def _path(self, job: Journal, file: File) -> Path:
        return self.jobs / job.id / "files" / file.name

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
