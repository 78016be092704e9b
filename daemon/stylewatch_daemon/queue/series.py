"""A series of jobs: made of one that has a sweep, all at once in the ledger, and each only once.

The files of a member are links to those of the series, which keeps them until all are at their
ends. Members have ids that follow from that of the series: what was made before a kill is found
again. They are entered, and the series is noted to be divided, in one go.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from stylewatch_daemon.errors import InputError, SettingsError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.model import Picture
from stylewatch_daemon.queue.attempt import Try
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings, is_of_job
from stylewatch_daemon.settings.sweep import Member, members
from stylewatch_daemon.store.journal import File, Journal, load, save
from stylewatch_daemon.store.state import State, entry_of, with_seen
from stylewatch_daemon.worker.contract import Part

JOB_FILE = "job.yaml"
WAITS = "its {} jobs are painted first"


@dataclass(frozen=True)
class Division:
    """Divides jobs of `state`, by `settings`."""

    state: State
    settings: ServiceSettings

    def begin(self, one: Try, settings: JobSettings) -> int:
        """Divide the job of `one`, once its folder in the outbox is there; how many jobs it makes.

        Raises as `check`, `Try.reserve` and `divide` do.
        """
        self.check(one.journal, settings)
        one.reserve(settings)
        return self.divide(one.journal, settings)

    def divide(self, series: Journal, settings: JobSettings) -> int:
        """Make the jobs of `series`, which has its place in the outbox; how many there are.

        Raises SettingsError where one of them cannot be, OSError.
        """
        found, ledger = members(settings.sweep), self.state.ledger
        plain, seen = resolve.read_job_file(self.state.job_file(series)), self._seen(series)
        new = [
            self._member(series, number, one.name, _of(one, plain))
            for number, one in enumerate(found)
            if ledger.find(_id(series, number)) is None  # else it was made before a kill
        ]
        wishes = [
            resolve.queue_entry(self.settings, self.state.job_file(job), [one.size for one in seen])
            for job in new
        ]
        with ledger.together():
            ledger.enter(
                with_seen(entry_of(replace(job, state="queued"), **place), seen)
                for job, place in zip(new, wishes, strict=True)
            )
            ledger.change(
                series.id,
                series=series.id,
                settings=settings.text,
                reason=WAITS.format(len(found)),
            )
        return len(found)

    def check(self, series: Journal, settings: JobSettings) -> None:
        """Raise SettingsError, which tells all members of the series that cannot be."""
        plain = resolve.read_job_file(self.state.job_file(series))
        wrong = []
        for one in members(settings.sweep):
            try:
                resolve.merge_settings(self.settings, _of(one, plain))
            except SettingsError as error:
                wrong.append(f"sweep, {one.name}: {error}")
        if wrong:
            raise SettingsError("\n".join(wrong))

    def parts(self, series: Journal, settings: JobSettings) -> tuple[Part, ...]:
        """What became of each job of a divided series, in its order; nothing of what is none."""
        if not settings.sweep:
            return ()
        entries = {entry.id: entry for entry in self.state.ledger.members(series.id)}
        found = []
        for number, one in enumerate(members(settings.sweep)):
            entry = entries.get(_id(series, number))
            if entry is None:
                found.append(Part(one.name, one.label, "no longer known"))
                continue
            found.append(Part(one.name, one.label, entry.state, entry.outbox, entry.place or ""))
        return tuple(found)

    def _member(
        self, series: Journal, number: int, name: str, settings: Mapping[str, Any]
    ) -> Journal:
        """The job of that number, its files whole in the state folder."""
        job_id = _id(series, number)
        made, claim = self.state.jobs / job_id, self.state.claims / job_id
        if made.exists():
            return load(made)
        shutil.rmtree(claim, ignore_errors=True)  # what was cut off, and is known to nobody
        atomic.make_folder(claim / "files")
        held = self.state.jobs / series.id / "files"
        archived = series.outbox / str(series.place) / "inputs"
        files = []
        for file in series.files:
            if file.role != "job":
                _link(held / file.name, claim / "files" / file.name)
                source = archived / file.name if series.archives(file) else file.source
                files.append(replace(file, source=source, own=False))
        files.append(_settled(settings, claim / "files" / JOB_FILE))
        atomic.sync_folder(claim / "files")
        job = Journal(
            id=job_id,
            name=f"{series.place}/{name}",
            inbox=series.inbox,
            outbox=series.outbox,
            after=series.after,
            files=tuple(files),
            series=series.id,
        )
        # The journal comes last: before it is there, a start after a kill drops what is here.
        save(job, claim)
        atomic.rename_folder(claim, made)
        return job

    def _seen(self, series: Journal) -> Sequence[Picture]:
        """Its pictures, the content first, as intake saw them."""
        entry = self.state.ledger.find(series.id)
        inputs = () if entry is None else entry.inputs
        return [
            Picture(one["name"], one["sha256"], (one["pixels"][0], one["pixels"][1]))
            for one in inputs
            if "pixels" in one
        ]


def _of(one: Member, plain: Mapping[str, Any]) -> dict[str, Any]:
    return {**one.over(plain, is_of_job), "name": "{name}"}


def _id(series: Journal, number: int) -> str:
    return f"{series.id}.{number:02}"


def _link(held: Path, target: Path) -> None:
    """A second name for a file that nobody writes to, or a copy where there can be none."""
    try:
        os.link(held, target)
    except OSError:
        atomic.copy(held, target)


def _settled(settings: Mapping[str, Any], path: Path) -> File:
    """The job.yaml at `path`."""
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    atomic.write(path, text.encode())
    seen = look(path)
    if seen is None:
        raise InputError(f"{shown(path.name)} is gone")
    return File("job", path.name, path, seen, own=True)
