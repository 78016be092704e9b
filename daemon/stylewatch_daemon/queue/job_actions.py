"""Actions of people on jobs: cancel, finish, retry, dismiss, delete.

A retry is a new job, with copies of the pictures of the old one, and its settings or others.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from stylewatch_daemon.errors import (
    InProgressError,
    InputError,
    OutputError,
    QuarantinedError,
    SettingsError,
    UsageError,
)
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic, disk_space
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import candidates, shown
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.model import JobState
from stylewatch_daemon.outbox import job_files, retention
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import Config, ServiceSettings
from stylewatch_daemon.settings.job import JobSettings, members
from stylewatch_daemon.settings.resolve import queue_entry
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE
from stylewatch_daemon.store import requests, thumbs
from stylewatch_daemon.store.journal import MASK, File, Journal, Role, is_id, load, save
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.ledger_writer import LAST
from stylewatch_daemon.store.state_dir import PREVIEWS, UPLOADS, State, entry_of, sizes_for_batch
from stylewatch_painter.algorithm import scales

JOB_FILE = "job.yaml"

_STARTS = ("job.init", "job.set.start", "job.set.schedule.start", "job.from_step")


def nothing_to(verb: str, entry: Entry) -> str:
    """Return the message for a request to `verb` a job that has ended."""
    name, when = shown(entry.title), ""
    if entry.finished:
        when = f", {datetime.fromisoformat(entry.finished).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{name} has ended ({entry.state}{when}): there is nothing to {verb}"


def check_ended(entry: Entry, then: str) -> None:
    """Raise UsageError where the job has not ended; `then` is what can be done after that."""
    if entry.state not in LAST:
        raise UsageError(
            f"{shown(entry.title)} has not ended, so it cannot be {then}: "
            "`stylewatch cancel` ends it, `stylewatch finish` takes its picture as it is"
        )


def settings_for(
    entry: Entry, settings: Config, overrides: dict[str, Any], from_stage: int | None
) -> Mapping[str, Any]:
    """Return all settings of the new job, for its job.yaml; UsageError has every mistake."""
    asked = config.job_overrides(overrides)
    if "sweep" in asked:
        raise UsageError(
            "a retry cannot have another sweep: `stylewatch submit` with --sweep makes a new series"
        )
    before = previous(entry, settings, asked)
    recipe = asked.get("recipe", before.recipe)
    by_file = str(recipe).endswith((".yaml", ".yml"))
    if by_file and recipe != settings.job.recipe:
        raise UsageError(
            f"its recipe was the file {shown(recipe)}, and a job names no file: put it into a "
            "folder under `recipes` in config.yaml, and say --set recipe=NAME"
        )
    if from_stage is not None:
        _check_start(entry, before, overrides)
        overrides |= {"job.init": "picture", "job.from_step": before.from_step + from_stage}
    base = settings.model_copy(update={"job": before.model_copy(update={"sweep": {}})})
    job = config.override(base, overrides).job.model_copy(update={"sweep": before.sweep})
    if from_stage is not None:
        most = scales.most_steps(job.resolve(*settings.recipes).schedule)
        if job.from_step >= most:
            raise UsageError(
                f"--from-stage {from_stage}: no steps are left after it; "
                "ask for more steps, as with --set steps=500"
            )
    # A recipe file is named by the daemon's own settings, which still do so.
    return job.model_dump(mode="json", exclude={"recipe"} if by_file else None)


def _check_start(entry: Entry, before: JobSettings, overrides: Mapping[str, Any]) -> None:
    """Raise UsageError where a retry cannot start from a stage."""
    if before.sweep:
        member = f"{entry.title}/{members(before.sweep)[0].name}"
        raise UsageError(
            f"{shown(entry.title)} is a series, which has no stages: retry one of its jobs, as "
            f"{shown(member)}"
        )
    if entry.frames > 1:
        raise UsageError(
            f"{shown(entry.title)} is a clip, which cannot continue from a stage: "
            "leave out --from-stage"
        )
    for key in _STARTS:
        if key in overrides:
            raise UsageError(f"--from-stage says where to start: leave out --set {key[4:]}")


def previous(entry: Entry, settings: Config, asked: Mapping[str, Any]) -> JobSettings:
    """Return the settings a job was begun with; else those of its job.yaml, except the `asked`."""
    if entry.settings is not None:
        try:
            return JobSettings.from_record(entry.settings)
        except ValidationError as error:
            raise UsageError(
                "its settings were recorded by another version and cannot be used: drop the "
                "pair again"
            ) from error
    job_file = next((file for file in job_files.inputs(entry) if file.role == "job"), None)
    if job_file is None:
        return settings.job
    with job_file.find().open() as file:
        size, content = os.fstat(file.fileno()).st_size, file.read(LARGEST_JOB_FILE)
    if size > LARGEST_JOB_FILE:
        raise InputError(f"{shown(job_file.name)} {disk_space.excess(size, LARGEST_JOB_FILE)}")
    try:
        document = yaml_lines.parse_bytes(content, job_file.name, LARGEST_JOB_FILE)
        kept = {key: value for key, value in document.plain.items() if key not in asked}
        yaml_lines.check(JobSettings, yaml_lines.Document(job_file.name, kept, document.lines))
    except SettingsError as error:  # which are not those of config.yaml
        raise InputError(str(error)) from error
    return JobSettings.model_validate(config.merge_job(settings.job.model_dump(), kept))


@dataclass(frozen=True)
class JobActions:
    """Records what people ask of the jobs in `state`, where it holds until their end.

    `settings` returns those of the daemon now, `running` the ids of running jobs, whose workers are
    asked by their next step. For other jobs that are canceled `end` is called; `publish` updates
    the status. `transfers` copy the files of a retry. Repeating an action changes nothing.
    """

    state: State
    reporter: Reporter
    settings: Callable[[], ServiceSettings]
    running: Callable[[], Collection[str]]
    end: Callable[[Journal], object]
    publish: Callable[[], object]
    transfers: Transfers = field(default_factory=Transfers)

    def cancel(self, job: str) -> None:
        """End the job with this id, whether it waits or runs; a series as a whole.

        Raises InProgressError while a retry that is to become this job waits.
        """
        is_known = self.state.ledger.find(job) is not None
        if not is_known and requests.is_asked(self.state.root, "retry", new=job):
            raise InProgressError(job)
        is_claimed = (self.state.jobs / job).exists()  # else it ends once it is
        if self._wish("cancel", job) and is_claimed and job not in self.running():
            with suppress(QuarantinedError):  # that is an end, too
                waiting = self.state.load(job)
                if waiting.state != JobState.CLAIMED:  # else it ends once it was inspected
                    self.end(waiting)
        for member in self.state.ledger.members(job):
            self.cancel(member.id)

    def finish(self, job: str) -> None:
        """Make the current picture of the job with this id final; the job has to be begun."""
        if self.state.ledger.attempts(job):
            self._wish("finish", job)

    def dismiss(self, jobs: Sequence[str] = (), until: str = "") -> None:
        """Remove refused and failed jobs from the status: these, and all that ended by `until`."""
        self.state.ledger.dismiss(jobs, until)
        which = "every refused or failed job" if until else ", ".join(jobs)
        self.reporter.requested(f"asked to dismiss {which} from the status")
        self.publish()

    def delete(self, job: str) -> None:
        """Remove the files of a job that has ended, and forget it; a series with all its jobs.

        Raises OSError where it cannot be done now, InProgressError while long files are compared.
        """
        entry = self.state.ledger.find(job)
        if entry is None or entry.id != job or entry.state not in LAST:
            return
        for member in self.state.ledger.members(job):
            self.delete(member.id)
        remove = partial(retention.remove_job, entry, self.transfers.step)
        digests = self.transfers.run(f"delete {job}", retention.bytes_of(entry), remove)
        self.state.ledger.delete(job)
        left = self.state.ledger.digests()
        thumbs.sweep(self.state.thumbs, left)
        for digest in digests - left:
            for preview in (self.state.root / PREVIEWS).glob(f"{digest}*"):
                preview.unlink(missing_ok=True)
        self.reporter.requested(f"deleted {entry.title}")
        self.publish()

    def retry(
        self,
        job: str,
        new: str,
        settings: Mapping[str, Any],
        from_stage: int | None = None,
        without: Collection[int] = (),
        added: Sequence[str] = (),
    ) -> None:
        """Run the job with the id `job` again, as the job `new`, by `settings` alone.

        The styles with the numbers `without`, from 1, are left out. The files `added` are further
        styles; they are in the folder `new` of the uploads, which is removed afterwards.
        Repeating this does nothing twice, wherever it was cut off. Raises InputError where it
        cannot be done, OSError where it cannot be done now, InProgressError while files are copied.
        """
        if not is_id(new):
            raise InputError(f"{new!r} can be no job's id")
        entry, known = (self.state.ledger.find(job_id) for job_id in (job, new))
        uploads = self.state.root / UPLOADS / new
        if known is not None and known.id == new:
            shutil.rmtree(uploads, ignore_errors=True)
            return
        if entry is None or entry.id != job or entry.state not in LAST:
            raise InputError(f"there is no job {job} that has ended")
        inputs = needed(entry, from_stage, without)
        styles = [Input("style", name, (Spot(uploads, "", name),)) for name in added]
        journal = self._make(entry, new, settings, (*inputs, *styles))
        queued = replace(journal, state=JobState.QUEUED)
        names = {file.name for file in inputs if file.sha256}
        seen = [picture for picture in entry.pictures if picture.name in names]
        sizes = sizes_for_batch(journal.files, seen)
        columns = queue_entry(self.settings(), self.state.job_file(journal), sizes)
        self.state.ledger.enter([entry_of(queued, seen, **columns)])
        shutil.rmtree(uploads, ignore_errors=True)
        self.reporter.requested(f"{journal.retry_of} is painted again, as {new}")

    def _wish(self, wish: Literal["cancel", "finish"], job: str) -> bool:
        """Write a wish down, and return whether there is a job that can fulfill it."""
        entry = self.state.ledger.find(job)
        if entry is None or entry.id != job or entry.state in LAST:
            return False
        if entry.wish not in (wish, "cancel"):
            self.state.ledger.change(job, wish=wish)
            self.reporter.requested(f"asked to {wish} {entry.title}")
        return True

    def _make(
        self, entry: Entry, new: str, settings: Mapping[str, Any], inputs: Sequence[Input]
    ) -> Journal:
        """Make the new job, its files whole in the state folder."""
        inbox, outbox = Path(entry.inbox), Path(entry.outbox)
        uploads = self.state.root / UPLOADS / new
        limits = self.settings().limits
        sizes = [file.size or 0 for file in inputs]

        def fill(folder: Path) -> list[File]:
            files = _copy_all(inputs, (outbox, uploads), folder, self.transfers.step)
            return [*files, write_job_file(settings, folder)]

        make = partial(
            make_job,
            self.state,
            new,
            fill,
            name=entry.name,
            inbox=inbox,
            outbox=outbox,
            after=self.settings().after(inbox),
            retry_of=entry.title,
        )
        try:
            for file, size in zip(inputs, sizes, strict=True):
                if size > limits.largest(file.role):
                    raise InputError(
                        f"{shown(file.name)} is {disk_space.amount(size)}: too large to copy"
                    )
            key = f"make {new}"
            if not self.transfers.has(key) and not (self.state.jobs / new).exists():
                shutil.rmtree(self.state.claims / new, ignore_errors=True)  # of a try that failed
                disk_space.check([(self.state.root, sum(sizes))], limits.free_bytes)
            return self.transfers.run(key, sum(sizes), make)
        except InputError as error:
            shutil.rmtree(self.state.claims / new, ignore_errors=True)
            if not outbox.is_dir():  # a mount that comes back, perhaps
                raise OutputError(f"the outbox {outbox} is not there") from error
            shutil.rmtree(uploads, ignore_errors=True)
            raise


def needed(
    entry: Entry, from_stage: int | None, without: Collection[int] = ()
) -> tuple[Input, ...]:
    """Return the pictures for a retry, with the stage to start from, if one is given.

    The styles with the numbers `without`, from 1, are left out, with their masks. Raises
    InputError where the pictures are not known, or there is no such stage.
    """
    start = () if from_stage is None else (job_files.stage(entry, from_stage),)
    replaced = {"job", *(file.role for file in start)}
    files = [file for file in job_files.inputs(entry) if file.role not in replaced]
    numbers = range(1, 1 + sum(file.role == "style" for file in files))
    kept = [number for number in numbers if number not in without]
    masks = {f"style-{old}{MASK}": f"style-{new}{MASK}" for new, old in enumerate(kept, 1)}
    number = iter(numbers)
    left = (file for file in files if file.role != "style" or next(number) in kept)
    renumbered = [
        replace(file, role=masks.get(file.role, file.role))
        for file in left
        if file.role in masks or not file.role.startswith("style-")
    ]
    return (*renumbered, *start)


def make_job(
    state: State, job_id: str, fill: Callable[[Path], Sequence[File]], **fields: Any
) -> Journal:
    """Make a job, whole in the state folder, and return its journal; once only.

    `fill` makes its files in the folder that it gets; `fields` are those of the journal.
    """
    folder, claim = state.jobs / job_id, state.claims / job_id
    if folder.exists():  # made before a kill, or before the ledger could not be written
        return load(folder)
    shutil.rmtree(claim, ignore_errors=True)  # was cut off, and is known to nobody
    atomic.make_folder(claim / "files")
    job = Journal(id=job_id, files=tuple(fill(claim / "files")), **fields)
    # The journal comes last: before it is there, a start after a kill drops what is here.
    save(job, claim)
    atomic.rename_folder(claim, folder)
    return job


def _copy_all(
    inputs: Iterable[Input], own: Collection[Path], folder: Path, step: atomic.Step
) -> list[File]:
    """Copy the inputs into `folder`, each under a name of its own.

    The job archives those from the folders `own`; a file that was left in an inbox stays there.
    """
    files: list[File] = []
    taken = {JOB_FILE}
    for file in inputs:
        source, named = file.find(step), Path(file.name)
        names = (f"{stem}{named.suffix}" for stem in candidates(named.stem))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        _copy(file, source, folder / name, step)
        files.append(_file(file.role, folder / name, source.path, own=source.root in own))
    return files


def _copy(file: Input, source: job_files.Spot, target: Path, step: atomic.Step) -> None:
    with source.open() as reading, atomic.replacing(target) as writing:
        while chunk := reading.read(atomic.CHUNK):
            step()
            writing.write(chunk)
    with atomic.open_regular(target) as copied:
        if not file.is_in(copied, step):
            raise InputError(f"{shown(file.name)} changed while it was being copied")


def write_job_file(settings: Mapping[str, Any], folder: Path) -> File:
    """Write the job.yaml of a new job into `folder`."""
    path = folder / JOB_FILE
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    atomic.write(path, text.encode())
    return _file("job", path, path, own=True)


def _file(role: Role, path: Path, source: Path, *, own: bool) -> File:
    seen = look(path)
    if seen is None:
        raise InputError(f"{shown(path.name)} is gone")
    return File(role, path.name, source, seen, own)
