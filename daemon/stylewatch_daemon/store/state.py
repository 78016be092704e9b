"""The state folder: which job is where, and what of it.

    state/ledger.sqlite3 every job there was, and how it stands
    state/claims/ID/     being taken out of an inbox, or being given back
    state/jobs/ID/       taken: job.json (what was taken), files/, and the worker's checkpoint
    state/thumbs/        small pictures of what was taken, by the digests of the files
    state/previews/      small pictures that the page made, likewise
    state/uploads/       coming in through the page
    state/sessions.json  sessions of the page, where it has a token
    state/trash/         done with, about to be removed
    state/damaged/       jobs that were set aside, each with a reason.txt, and requests likewise
    state/lock           held by the one daemon that works here; worker.lock by its worker
    state/lock.json      who that is

The rename from claims to jobs is the moment from which a job is ours; the ledger hears of it once
its pictures were looked at. A job's end is in the ledger before its folder goes.
"""

import errno
import json
import os
import platform
import secrets
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from os.path import lexists
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import InProgressError, OutputError, QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.mounts import MountGuard
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.model import CHECKPOINT, Job, JobState, Picture
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import FILES, MASK, Attempt, File, Journal
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.ledger_writer import LAST, LedgerWriter, now

HOLDER = "lock.json"

REASON = "reason.txt"
"""Beside a job that was set aside: why, and what to do."""

IN_A_ROW = 5
"""How many jobs are set aside by errors in the same step; if the next job meets one there too, the
fault is probably ours, and it waits instead."""

_FOLDERS = ("damaged", "claims", "jobs", "trash", "thumbs", "previews", "uploads", "requests")
_FILES = ("kept.json", HOLDER, "status.json", ".status.json.tmp", "paused", "alive")
_LOCKS = ("lock", "worker.lock")

OURS: tuple[str, ...] = ("queued", "running", "ending", "refusing", "failing")
"""The states of a job whose files are here."""


@dataclass(frozen=True)
class SetAside:
    """A job in quarantine: its folder below `damaged`, its id, and the reason in a sentence."""

    folder: Path
    job: str
    reason: str


class State:
    """The state folder `root` and the jobs in it; `reporter` hears of jobs that are set aside."""

    def __init__(self, root: Path, reporter: Reporter | None = None) -> None:
        self.root = root
        self._reporter = reporter or Reporter()
        self.quarantined: dict[str, tuple[str, str]] = {}
        """The jobs that were set aside since the start: name and reason by id."""
        self._faults: Counter[str] = Counter()
        """How many jobs in a row were set aside by errors in a step, by the step."""
        self.claims, self.jobs, self.thumbs, self.trash, self.damaged = (
            root / name for name in ("claims", "jobs", "thumbs", "trash", "damaged")
        )
        self.kept, self.lock, self.worker_lock = (
            root / name for name in ("kept.json", "lock", "worker.lock")
        )
        self.mount_guard = MountGuard()

    @cached_property
    def ledger(self) -> LedgerWriter:
        """The ledger, opened when it is first asked for; raises as LedgerWriter.open does."""
        return LedgerWriter.open(self.root / FILE_NAME)

    def make(self) -> None:
        """Make the folders that are not there yet, for this user alone.

        What has the name of one of our files or folders and is something else is moved away.
        """
        atomic.make_folder(self.root)
        _restrict(self.root)
        for name in (*_FOLDERS, *_FILES):
            path = self.root / name
            is_folder = path.is_dir() and not path.is_symlink()
            fits = is_folder if name in _FOLDERS else atomic.is_regular(path)
            if lexists(path) and not fits:
                self._move_away(path)
        for folder in (self.claims, self.jobs, self.trash):
            atomic.make_folder(folder)
        ledger = (f"{FILE_NAME}{ending}" for ending in ("", "-wal", "-shm"))
        for name in (*_FOLDERS, *_FILES, *_LOCKS, *ledger):
            _restrict(self.root / name)

    def probe(self) -> None:
        """Find out whether the folder can be written; raises OSError where it cannot."""
        mark = self.root / ".probe"
        mark.write_bytes(b"can this be written?")
        mark.unlink()

    def hold(self) -> None:
        """Write down who has the lock, for those that come while we have it."""
        us = {"pid": os.getpid(), "host": platform.node(), "since": now()}
        with suppress(OSError):
            atomic.write(self.root / HOLDER, json.dumps(us).encode())

    def holder(self) -> str:
        """Who has the lock, in words."""
        try:
            them = json.loads(atomic.read(self.root / HOLDER, 10_000))
            return shown(f"process {them['pid']} on {them['host']}, since {them['since']}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "which one is not known"

    def close(self) -> None:
        """Let go of the ledger, until it is asked for again."""
        if "ledger" in self.__dict__:
            self.ledger.close()
            del self.ledger

    def tidy(self) -> None:
        """Empty the trash, and set aside the jobs whose records cannot be loaded."""
        for doomed in self.trash.iterdir():
            atomic.remove(doomed)
        ledger = self.ledger  # where it cannot be opened no job is set aside
        with ledger.together():
            for folder in sorted(self._all()):
                with suppress(QuarantinedError, OSError):  # what cannot be read now waits
                    self._check(folder)

    def enter_strays(self) -> None:
        """Enter what is here and not in the ledger, and drop what the ledger knows to be done."""
        for folder in sorted(self.jobs.iterdir()):
            with suppress(QuarantinedError), self.guard(folder.name, "entering it"):
                self._enter_stray(folder)

    def _enter_stray(self, folder: Path) -> None:
        state = self.ledger.state(folder.name)
        if not state:
            stray = journal.load(folder)
            with self.ledger.together():
                self.ledger.enter([entry_of(stray)])
                self.ledger.write_attempts(stray.id, stray.attempts)
        elif state in LAST:
            with suppress(OSError):  # it may as well stay until the next start
                atomic.discard(folder, self.trash)

    def align(self) -> None:
        """Bring the ledger in line: with what is not here, and with what was cut off."""
        here = {folder.name for folder in self._all()}
        aside = {one.job: f"set aside in {one.folder}: {one.reason}" for one in self.set_aside()}
        with self.ledger.together():
            for cut_off in self.ledger.ids("running"):
                self.ledger.change(cut_off, state="queued")
            for gone in self.ledger.ids(*OURS) - here:
                reason = f"its files are no longer in {self.jobs}: drop it again"
                self.ledger.change(gone, state="failed", reason=aside.get(gone, reason))

    @contextmanager
    def guard(self, job_id: str, doing: str) -> Iterator[None]:
        """Do one step for a job: if it raises what nobody foresaw, set this job aside.

        OSError and InProgressError go on as they are: something outside is in the way, or takes
        its time, and the job waits; a lack of memory becomes an OSError. Whatever else leaves the
        block sets the job aside and becomes a QuarantinedError. What the step changed in the
        ledger is undone, the changes of other jobs in the same transaction stay.
        """
        try:
            with self.ledger.apart():
                yield
        except (OSError, InProgressError, QuarantinedError):
            raise
        except MemoryError as error:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
        except Exception as error:
            raise self._caught(job_id, doing, error) from error
        self._faults.pop(doing, None)

    def _caught(self, job_id: str, doing: str, error: Exception) -> OutputError | QuarantinedError:
        """Set a job aside, or have it wait where the fault is more likely ours than the job's."""
        reason = f"{doing} failed by {type(error).__name__}: {shown(error)}"
        trace = "".join(traceback.format_exception(error))
        self._faults[doing] += 1
        if self._faults[doing] <= IN_A_ROW:
            return self.quarantine(job_id, reason, trace)
        self._reporter.failed(self.name_of(job_id), reason, trace, for_good=False)
        return OutputError(
            f"{reason}; {self._faults[doing] - 1} jobs failed there just before, so that this is "
            "probably a fault of stylewatch: the job waits"
        )

    def quarantine(self, job_id: str, reason: str, trace: str = "") -> QuarantinedError:
        """Move all that is here of a job to `damaged`, with a reason; it has failed.

        What cannot be moved now stays, is not looked at any more, and is met again at the next
        start. The error to raise.
        """
        name = self.name_of(job_id)
        rooms = (self.claims, self.jobs) if _is_entry(job_id) else ()
        try:
            moved = [self._move_aside(room / job_id, name, reason, trace)
                     for room in rooms if lexists(room / job_id)]  # fmt: skip
            where = (
                f"set aside in {shown(moved[0])}"
                if moved
                else "its files are gone, drop them again"
            )
        except OSError as error:
            where = f"it cannot be moved away ({error.strerror or error})"
        else:
            with suppress(OSError, ValueError):  # `align` does it at the next start
                self._fail(job_id, f"{where}: {reason}")
        told = f"{where}: {reason}"
        self.quarantined[job_id] = name, told
        self._reporter.failed(name, told, trace, for_good=True)
        return QuarantinedError(told)

    def set_aside(self) -> list[SetAside]:
        """The jobs that lie in quarantine, with the reasons that lie beside them."""
        folders = self.set_aside_folders()
        return [SetAside(one, one.name.rpartition("-")[0], _reason_in(one)) for one in folders]

    def set_aside_folders(self) -> list[Path]:
        """The folders of the jobs that lie in quarantine."""
        try:
            with os.scandir(self.damaged) as entries:
                folders = [Path(one) for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:  # mostly there is no such folder
            return []
        marks = (REASON, journal.FILE_NAME)  # the latter was left by earlier versions
        return sorted(one for one in folders if any(lexists(one / mark) for mark in marks))

    def name_of(self, job_id: str) -> str:
        """Return the name of a job, as far as the ledger knows it."""
        entry = None
        with suppress(OSError, ValueError):
            entry = self.ledger.find(job_id)
        return shown(job_id if entry is None else entry.place or entry.name)

    def _fail(self, job_id: str, reason: str) -> None:
        """Write into the ledger that a job has failed, a job that it does not know, too."""
        if state := self.ledger.state(job_id):
            if state not in LAST:
                self.ledger.change(job_id, state="failed", reason=reason)
        elif journal.is_id(job_id):
            entered = now()
            new = Entry(job_id, job_id, "", "", JobState.FAILED, entered, (), 0, reason=reason,
                        finished=entered)  # fmt: skip
            self.ledger.enter([new])

    def _move_aside(self, path: Path, name: str, reason: str, trace: str) -> Path:
        """Move a job's folder, or what lies in its place, to `damaged`; the folder around it."""
        aside = self._beside_damaged(path)
        atomic.make_folder(aside)
        told = _explained(path, name, reason, trace)
        atomic.write(aside / REASON, told.encode(errors="replace"))
        with suppress(OSError):
            if not path.is_symlink():
                path.chmod(0o700)  # a folder that may not be written cannot be moved
        atomic.rename_folder(path, aside / "job")
        return aside

    def _move_away(self, path: Path) -> None:
        """Move away what has a name that we need, and tell."""
        aside = self._beside_damaged(path)
        if path == self.damaged:
            aside = self.root / aside.name
        atomic.make_folder(aside.parent)
        path.rename(aside)
        self._reporter.left_alone(aside, f"stylewatch needs the name {path.name} for itself")

    def _check(self, folder: Path) -> None:
        """Set a job aside unless its record can be loaded, or nothing is left to do for it."""
        if self.ledger.state(folder.name) in LAST:
            return
        record = folder / journal.FILE_NAME
        if folder.parent == self.claims and not lexists(record) and _is_folder(folder):
            return  # a claim that was cut off before anything was taken
        self._load(folder)
        if lexists(checkpoint := folder / CHECKPOINT) and not atomic.is_regular(checkpoint):
            raise self.quarantine(folder.name, f"{CHECKPOINT} is not a regular file")

    def _load(self, folder: Path) -> Journal:
        """The record in a job's folder; sets the job aside, and raises, where it is damaged."""
        try:
            return journal.load(folder)
        except MemoryError as error:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
        except Exception as error:
            if isinstance(error, OSError):
                raise
            trace = "".join(traceback.format_exception(error))
            raise self.quarantine(folder.name, shown(error), trace) from error

    def load(self, job_id: str) -> Journal:
        """The job `job_id`, which is ours.

        Raises QuarantinedError where its record is damaged, once it is set aside; OSError.
        """
        try:
            taken = self._load(self.jobs / job_id)
        except OSError as error:
            path = shown(self.jobs / job_id)
            raise OutputError(f"{path} cannot be read: {error.strerror or error}") from error
        with self.guard(job_id, "loading it"):
            return self._as_known(taken)

    def _as_known(self, taken: Journal) -> Journal:
        """A job with what the ledger knows of it."""
        entry = self.ledger.find(taken.id)
        if entry is None:
            return taken
        job_id = taken.id
        return replace(
            taken,
            state=JobState(entry.state),
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
        """Return True if the files of a job are here, or on their way."""
        return (self.jobs / job_id).exists() or (self.claims / job_id).exists()

    def begin(
        self, job: Journal, place: str, attempts: tuple[Attempt, ...], settings: str
    ) -> Journal:
        """`job` in its `place`, the last of `attempts` begun by `settings`, JSON; in the ledger."""
        with self.ledger.together():
            self._tell(job, attempts)
            self.ledger.change(job.id, state="running", place=place, settings=settings)
        return replace(job, state=JobState.RUNNING, place=place, attempts=attempts)

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
            with suppress(OSError):  # it is done; the next start discards what is left
                atomic.discard(self.jobs / job.id, self.trash)

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
        """Return True if that file is unchanged since it was renamed or copied to this place."""
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
        folder = self.jobs / job.id / FILES
        return [(one, folder / one.name) for one in job.files]

    def _all(self) -> list[Path]:
        return [*self.claims.iterdir(), *self.jobs.iterdir()]

    def _beside_damaged(self, path: Path) -> Path:
        """A new name below `damaged` for what is to be moved there."""
        return self.damaged / f"{path.name[:100]}-{secrets.token_hex(4)}"


def _is_entry(name: str) -> bool:
    """Return True if `name` can name an entry of a folder, and leads nowhere else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _is_folder(path: Path) -> bool:
    """Return True if `path` is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def _restrict(path: Path) -> None:
    """Let nobody but its owner use a file or a folder of ours, if it is there."""
    with suppress(OSError):  # another user's: that shows when it is used
        if _is_folder(path):
            path.chmod(0o700)
        elif atomic.is_regular(path):
            path.chmod(0o600)


def _explained(path: Path, name: str, reason: str, trace: str) -> str:
    """Return the text that explains a job that was set aside."""
    with suppress(OSError):
        files = [shown(one.name) for one in sorted((path / FILES).iterdir())[:20]]
        pictures = f"what was dropped: {', '.join(files) or 'nothing'}, in job/{FILES}/\n"
        return _NOTE.format(reason, name, shown(path.name), now(), pictures, trace)
    return _NOTE.format(reason, name, shown(path.name), now(), "", trace)


_NOTE = """{}

stylewatch set this job aside, and goes on with the others. Nothing was removed: all that there was
of the job lies in job/, beside this note.

job: {}
id: {}
set aside: {}
{}what to do: drop the pictures into the inbox again, then remove this folder. If that ends in the
same way, it is a fault of stylewatch: please report it, with what follows.

{}"""


def _reason_in(folder: Path) -> str:
    """The reason that lies in the folder of a job that was set aside."""
    try:
        text = atomic.read(folder / REASON, 1 << 20).decode(errors="replace")
    except (OSError, ValueError):
        text = ""
    return shown(text.partition("\n")[0]) or "its record cannot be read"


def entry_of(job: Journal, **more: Any) -> Entry:
    """Return the ledger's entry of a new job; `more` has further columns."""
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


def with_seen(entry: Entry, pictures: Iterable[Picture]) -> Entry:
    """`entry`, its inputs with the digests and the sizes (pixels) that their `pictures` have."""
    seen = {one.name: {"sha256": one.sha256, "pixels": list(one.size)} for one in pictures}
    inputs = tuple({**one, **seen.get(one["name"], {})} for one in entry.inputs)
    return replace(entry, inputs=inputs)
