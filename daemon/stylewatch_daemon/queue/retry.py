"""A job that is at its end, painted again: a new job, with copies of the old one's pictures."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic, disk_space
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import candidates, shown
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import queue_entry
from stylewatch_daemon.store import transfer
from stylewatch_daemon.store.journal import File, Journal, Role, load, save
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.ledger_writer import LAST
from stylewatch_daemon.store.state import State, entry_of

JOB_FILE = "job.yaml"


def needed(entry: Entry, from_stage: int | None) -> tuple[Input, ...]:
    """What painting a job again takes: its pictures, and the stage to start from, if one is said.

    Raises InputError where that is not known, or there is no such stage.
    """
    start = () if from_stage is None else (job_files.stage(entry, from_stage),)
    left_out = {"job", *(one.role for one in start)}
    return (*(one for one in job_files.inputs(entry) if one.role not in left_out), *start)


class Again:
    """Makes new jobs in `state`, by the `settings` that hold then."""

    def __init__(
        self, state: State, reporter: Reporter, settings: Callable[[], ServiceSettings]
    ) -> None:
        self._state, self._reporter, self._settings = state, reporter, settings

    def retry(
        self, job: str, new: str, settings: Mapping[str, Any], from_stage: int | None = None
    ) -> None:
        """Paint the job with the id `job` again, as the job `new`, by `settings` alone.

        What was done already, wholly or in part, is not done twice. Raises InputError where it
        cannot be done, OSError where it cannot be done now.
        """
        if not re.fullmatch(r"\w[\w.-]*", new):
            raise InputError(f"{new!r} can be no job's id")
        entry, known = (self._state.ledger.find(one) for one in (job, new))
        if known is not None and known.id == new:
            return
        if entry is None or entry.id != job or entry.state not in LAST:
            raise InputError(f"there is no job {job} that is at its end")
        made = self._state.jobs / new  # already, if the ledger could not be told
        journal = load(made) if made.exists() else self._made(entry, new, settings, from_stage)
        place = queue_entry(self._settings(), self._state.job_file(journal))
        self._state.ledger.enter([entry_of(replace(journal, state="queued"), **place)])
        self._reporter.asked(f"{journal.retry_of} is painted again, as {new}")

    def _made(
        self, entry: Entry, new: str, settings: Mapping[str, Any], from_stage: int | None
    ) -> Journal:
        """The new job, its files whole in the state folder."""
        claim = self._state.claims / new
        shutil.rmtree(claim, ignore_errors=True)  # what was cut off, and is known to nobody
        try:
            atomic.make_folder(claim / "files")
            wanted, outbox = needed(entry, from_stage), Path(entry.outbox)
            files = [*_copied(wanted, outbox, claim / "files")]
            files.append(_settled(settings, claim / "files" / JOB_FILE))
            journal = Journal(
                id=new,
                name=entry.name,
                inbox=Path(entry.inbox),
                outbox=outbox,
                after=self._settings().after(Path(entry.inbox)),
                files=tuple(files),
                retry_of=entry.place or entry.name,
            )
            # The journal comes last: before it is there, a start after a kill drops what is here.
            save(journal, claim)
            atomic.rename_folder(claim, self._state.jobs / new)
        except InputError as error:
            shutil.rmtree(claim, ignore_errors=True)
            if not Path(entry.outbox).is_dir():  # a mount that comes back, perhaps
                raise OutputError(f"the outbox {entry.outbox} is not there") from error
            raise
        return journal


def _copied(needed: tuple[Input, ...], outbox: Path, folder: Path) -> Iterator[File]:
    """Copies of the inputs in `folder`, each under a name of its own.

    What lies in the `outbox` has a copy there for each job; what was left in an inbox stays there.
    """
    taken: set[str] = set()
    for one in needed:
        if (one.size or 0) > transfer.LARGEST:
            raise InputError(
                f"{shown(one.name)} is {disk_space.amount(one.size or 0)}: too large to copy"
            )
        spot, named = one.find(), Path(one.name)
        names = (f"{stem}{named.suffix}" for stem in candidates(named.stem))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        _copy(one, spot, folder / name)
        yield _file(one.role, folder / name, spot.path, own=spot.root == outbox)


def _copy(one: Input, spot: Spot, target: Path) -> None:
    with spot.open() as reading, atomic.beside(target) as writing:
        shutil.copyfileobj(reading, writing, atomic.CHUNK)
    with atomic.open_regular(target) as file:
        if not one.is_in(file):
            raise InputError(f"{shown(one.name)} changed while it was being copied")


def _settled(settings: Mapping[str, Any], path: Path) -> File:
    """The job.yaml at `path`."""
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    atomic.write(path, text.encode())
    return _file("job", path, path, own=True)


def _file(role: Role, held: Path, source: Path, *, own: bool) -> File:
    seen = look(held)
    if seen is None:
        raise InputError(f"{shown(held.name)} is gone")
    return File(role, held.name, source, seen, own)
