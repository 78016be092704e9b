"""Series of jobs: the jobs that a job with a sweep is divided into, all at once and only once.

The files of a member are links to those of the series, which keeps them until all members ended.
The ids of members follow from that of the series, so what was made before a kill is found again.
The members are entered, and the series is marked as divided, in one transaction.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import SettingsError, UsageError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.model import JobState
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.job_actions import make_job, write_job_file
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.config import ServiceSettings, job_overrides, merge_job
from stylewatch_daemon.settings.job import JobSettings, Member, members
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state_dir import State, entry_of, sizes_for_batch
from stylewatch_daemon.worker.messages import Part

WAITS = "its {} jobs are painted first"


@dataclass(frozen=True)
class Series:
    """Divides jobs of `state`, by `settings`."""

    state: State
    settings: ServiceSettings

    def begin(self, attempt: ActiveAttempt) -> int:
        """Make the folder of a series in the outbox, divide it, and return its number of jobs.

        Raises SettingsError with the mistakes of all members; else as `ActiveAttempt.reserve` and
        `divide` do.
        """
        plain = resolve.read_job_file(self.state.job_file(attempt.job))
        wrong = []
        for member in members(attempt.settings.sweep):
            try:
                resolve.merge_settings(self.settings, _settings_of(member, plain))
            except (SettingsError, UsageError) as error:
                wrong.append(f"sweep, {member.name}: {error}")
        if wrong:
            raise SettingsError("\n".join(wrong))
        attempt.reserve()
        return self.divide(attempt.job, attempt.settings)

    def divide(self, series: Journal, settings: JobSettings) -> int:
        """Make the jobs of `series`, which has its place in the outbox, and return their number.

        Raises SettingsError where one of them is wrong, OSError.
        """
        all_members, ledger = members(settings.sweep), self.state.ledger
        plain, entry = resolve.read_job_file(self.state.job_file(series)), ledger.find(series.id)
        seen = [] if entry is None else entry.pictures
        # 1. make the files of each in the state folder
        new = [
            self._member(series, number, member.name, _settings_of(member, plain))
            for number, member in enumerate(all_members)
            if ledger.find(_id(series, number)) is None  # else it was made before a kill
        ]
        sizes = sizes_for_batch(series.files, seen)
        columns = [
            resolve.queue_entry(self.settings, self.state.job_file(job), sizes) for job in new
        ]
        # 2. enter them, and mark the series as divided
        with ledger.transaction():
            ledger.enter(
                entry_of(replace(job, state=JobState.QUEUED), seen, **wishes)
                for job, wishes in zip(new, columns, strict=True)
            )
            ledger.change(
                series.id,
                series=series.id,
                settings=settings.text,
                reason=WAITS.format(len(all_members)),
            )
        return len(all_members)

    def parts(self, series: Journal, settings: JobSettings) -> tuple[Part, ...]:
        """Return what became of each job of a divided series, in order; empty for any other job."""
        if not settings.sweep:
            return ()
        entries = {entry.id: entry for entry in self.state.ledger.members(series.id)}
        parts = []
        for number, member in enumerate(members(settings.sweep)):
            entry = entries.get(_id(series, number))
            parts.append(
                Part(member.name, member.label, "no longer known")
                if entry is None
                else Part(member.name, member.label, entry.state, entry.outbox, entry.place or "")
            )
        return tuple(parts)

    def _member(
        self, series: Journal, number: int, name: str, settings: Mapping[str, Any]
    ) -> Journal:
        """Make the job of that number, its files whole in the state folder."""
        held = self.state.jobs / series.id / "files"
        archived = series.outbox / str(series.place) / "inputs"
        is_archived = series.after == "archive"

        def fill(folder: Path) -> list[File]:
            files = []
            for file in series.files:
                if file.role != "job":
                    _link(held / file.name, folder / file.name)
                    is_moved = is_archived and series.holds_only_copy(file)
                    source = archived / file.name if is_moved else file.source
                    files.append(replace(file, source=source, own=False))
            files.append(write_job_file(settings, folder))
            atomic.sync_folder(folder)
            return files

        return make_job(
            self.state,
            _id(series, number),
            fill,
            name=f"{series.place}/{name}",
            inbox=series.inbox,
            outbox=series.outbox,
            after=series.after,
            series=series.id,
        )


def _settings_of(member: Member, plain: Mapping[str, Any]) -> dict[str, Any]:
    below = {key: value for key, value in plain.items() if key != "sweep"}
    return {**merge_job(below, job_overrides(member.overrides)), "name": "{name}"}


def _id(series: Journal, number: int) -> str:
    return f"{series.id}.{number:02}"


def _link(held: Path, target: Path) -> None:
    """Make a second name for a file that nobody writes to, or a copy where there can be none."""
    try:
        os.link(held, target)
    except OSError:
        atomic.copy(held, target)
