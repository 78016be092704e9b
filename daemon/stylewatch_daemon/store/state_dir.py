"""The state folder.

    state/ledger.sqlite3 all jobs and their states
    state/claims/ID/     being taken out of an inbox, or being given back
    state/jobs/ID/       claimed: job.json (the files and their sources), files/, the checkpoint
    state/thumbs/        thumbnails of inputs, by the digests of the files
    state/previews/      larger previews that the page made, likewise
    state/uploads/       uploads to the page in progress
    state/sessions.json  sessions of the page, where it has a token
    state/trash/         about to be removed
    state/damaged/       jobs in quarantine, each with a reason.txt, and requests likewise
    state/lock           held by the daemon that works here; worker.lock by its worker
    state/lock.json      describes that daemon

The rename from claims to jobs commits a claim; the ledger is updated once the pictures were
inspected. The end of a job is in the ledger before its folder is removed.
"""

import errno
import json
import os
import platform
import secrets
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from stylewatch_daemon.model import CHECKPOINT, JobState, Picture
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import FILES, Attempt, File, Journal, Role
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.ledger_writer import LAST, LedgerWriter, now

HOLDER = "lock.json"

REASON = "reason.txt"
"""Explains a job in quarantine."""

IN_A_ROW = 5
"""How many jobs are quarantined in a row by errors in the same step; if the next job fails there
too, the fault is probably in stylewatch, and the job waits instead."""

PREVIEWS, UPLOADS = "previews", "uploads"
"""The folders of previews that the page made, and of pictures that it received."""

_FOLDERS = ("damaged", "claims", "jobs", "trash", "thumbs", PREVIEWS, UPLOADS, "requests")
_FILES = (HOLDER, "status.json", ".status.json.tmp", "paused", "alive")
_LOCKS = ("lock", "worker.lock")


@dataclass(frozen=True)
class SetAside:
    """A job in quarantine: its folder below `damaged`, its id, and the reason in a sentence."""

    folder: Path
    job: str
    reason: str


class State:
    """The state folder `root` and its jobs; quarantines are reported to `reporter`."""

    def __init__(self, root: Path, reporter: Reporter | None = None) -> None:
        self.root = root
        self._reporter = reporter or Reporter()
        self.quarantined: dict[str, tuple[str, str]] = {}
        """The jobs that were quarantined since the start: name and reason by id."""
        self._faults: Counter[str] = Counter()
        """How many jobs in a row were quarantined by errors in a step, by the step."""
        self.claims, self.jobs, self.thumbs, self.trash, self.damaged = (
            root / name for name in ("claims", "jobs", "thumbs", "trash", "damaged")
        )
        self.lock, self.worker_lock = root / "lock", root / "worker.lock"
        self.mount_guard = MountGuard()

    @cached_property
    def ledger(self) -> LedgerWriter:
        """The ledger, opened when it is first asked for; raises as LedgerWriter.open does."""
        return LedgerWriter.open(self.root / FILE_NAME)

    def make(self) -> None:
        """Make the missing folders, for this user alone.

        Anything that has the name of one of these files or folders and is of another kind is moved
        away.
        """
        atomic.make_folder(self.root)
        _restrict(self.root)
        for name in (*_FOLDERS, *_FILES):
            path = self.root / name
            fits = _is_folder(path) if name in _FOLDERS else atomic.is_regular(path)
            if lexists(path) and not fits:
                aside = self._quarantine_path(path)
                if path == self.damaged:
                    aside = self.root / aside.name
                atomic.make_folder(aside.parent)
                path.rename(aside)
                reason = f"stylewatch needs the name {path.name} for itself"
                self._reporter.ignored(aside, reason)
        for folder in (self.claims, self.jobs, self.trash):
            atomic.make_folder(folder)
        ledger = (f"{FILE_NAME}{ending}" for ending in ("", "-wal", "-shm"))
        for name in (*_FOLDERS, *_FILES, *_LOCKS, *ledger):
            _restrict(self.root / name)

    def probe(self) -> None:
        """Raise OSError if the folder cannot be written."""
        mark = self.root / ".probe"
        mark.write_bytes(b"can this be written?")
        mark.unlink()

    def write_holder(self) -> None:
        """Record this process as the holder of the lock."""
        holder = {"pid": os.getpid(), "host": platform.node(), "since": now()}
        with suppress(OSError):
            atomic.write(self.root / HOLDER, json.dumps(holder).encode())

    def holder(self) -> str:
        """Describe the process that holds the lock."""
        try:
            holder = json.loads(atomic.read(self.root / HOLDER, 10_000))
            return shown(f"process {holder['pid']} on {holder['host']}, since {holder['since']}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "which one is not known"

    def close(self) -> None:
        """Close the ledger; it is opened again when it is needed."""
        if "ledger" in self.__dict__:
            self.ledger.close()
            del self.ledger

    def check_jobs(self) -> None:
        """Empty the trash, and quarantine the jobs whose records cannot be loaded."""
        for doomed in self.trash.iterdir():
            atomic.remove(doomed)
        ledger = self.ledger  # where it cannot be opened no job is set aside
        with ledger.transaction():
            for folder in sorted(self._all()):
                with suppress(QuarantinedError, OSError):  # what cannot be read now waits
                    self._check(folder)

    def enter_missing(self) -> None:
        """Enter the jobs that the ledger lacks, and discard those that it knows to have ended."""
        for folder in sorted(self.jobs.iterdir()):
            with suppress(QuarantinedError), self.guard(folder.name, "entering it"):
                state = self.ledger.state(folder.name)
                if not state:
                    self.ledger.enter([entry_of(journal.load(folder))])
                elif state in LAST:
                    self._discard(folder.name)

    def reconcile(self) -> None:
        """Requeue the jobs that were cut off, and fail those whose files are missing."""
        here = {folder.name for folder in self._all()}
        aside = {job.job: f"set aside in {job.folder}: {job.reason}" for job in self.set_aside()}
        with self.ledger.transaction():
            for cut_off in self.ledger.ids("running"):
                self.ledger.change(cut_off, state="queued")
            for gone in self.ledger.open_jobs().keys() - here:
                reason = f"its files are no longer in {self.jobs}: drop it again"
                self.ledger.change(gone, state="failed", reason=aside.get(gone, reason))

    @contextmanager
    def guard(self, job_id: str, doing: str) -> Iterator[None]:
        """Do one step for a job: an unexpected error quarantines the job.

        OSError and InProgressError are raised as they are: the job waits for something outside; a
        lack of memory becomes an OSError. Any other error quarantines the job and becomes a
        QuarantinedError. The step's changes of the ledger are undone, while the changes of other
        jobs in the same transaction stay.
        """
        try:
            with self.ledger.savepoint():
                yield
        except (OSError, InProgressError, QuarantinedError):
            raise
        except MemoryError as error:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
        except Exception as error:
            raise self._caught(job_id, doing, error) from error
        self._faults.pop(doing, None)

    def _caught(self, job_id: str, doing: str, error: Exception) -> OutputError | QuarantinedError:
        """Quarantine a job, or let it wait if the fault is more likely in stylewatch."""
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
        """Move all files of a job to `damaged`, with a reason; the job has failed.

        Files that cannot be moved now are ignored until the next start. Returns the error to raise.
        """
        name = self.name_of(job_id)
        is_name = job_id not in ("", ".", "..") and "/" not in job_id and "\0" not in job_id
        folders = (self.claims, self.jobs) if is_name else ()
        try:
            moved = [self._move_aside(folder / job_id, name, reason, trace)
                     for folder in folders if lexists(folder / job_id)]  # fmt: skip
            where = "its files are gone, drop them again"
            if moved:
                where = f"set aside in {shown(moved[0])}"
            reason = f"{where}: {reason}"
            with suppress(OSError, ValueError):  # `reconcile` does it at the next start
                self._fail(job_id, reason)
        except OSError as error:
            reason = f"it cannot be moved away ({error.strerror or error}): {reason}"
        self.quarantined[job_id] = name, reason
        self._reporter.failed(name, reason, trace, for_good=True)
        return QuarantinedError(reason)

    def set_aside(self) -> list[SetAside]:
        """List the jobs in quarantine, with their reasons."""
        try:
            with os.scandir(self.damaged) as entries:
                folders = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:  # mostly there is no such folder
            return []
        jobs = []
        for folder in sorted(folder for folder in folders if lexists(folder / REASON)):
            reason = ""
            with suppress(OSError, ValueError):
                reason = atomic.read(folder / REASON, 1 << 20).decode(errors="replace")
            reason = shown(reason.partition("\n")[0]) or "its record cannot be read"
            jobs.append(SetAside(folder, folder.name.rpartition("-")[0], reason))
        return jobs

    def name_of(self, job_id: str) -> str:
        """Return the name of a job, as far as the ledger knows it."""
        entry = None
        with suppress(OSError, ValueError):
            entry = self.ledger.find(job_id)
        return shown(job_id if entry is None else entry.title)

    def _fail(self, job_id: str, reason: str) -> None:
        """Record in the ledger that a job has failed, also one that it does not know."""
        if state := self.ledger.state(job_id):
            if state not in LAST:
                self.ledger.change(job_id, state="failed", reason=reason)
        elif journal.is_id(job_id):
            entered = now()
            new = Entry(job_id, job_id, "", "", JobState.FAILED, entered, (), 0, reason=reason,
                        finished=entered)  # fmt: skip
            self.ledger.enter([new])

    def _move_aside(self, path: Path, name: str, reason: str, trace: str) -> Path:
        """Move a job's folder, or anything in its place, to `damaged`; return its new parent."""
        aside = self._quarantine_path(path)
        atomic.make_folder(aside)
        note = _explained(path, name, reason, trace)
        atomic.write(aside / REASON, note.encode(errors="replace"))
        with suppress(OSError):
            if not path.is_symlink():
                path.chmod(0o700)  # a folder that may not be written cannot be moved
        atomic.rename_folder(path, aside / "job")
        return aside

    def _check(self, folder: Path) -> None:
        """Quarantine a job unless its record can be loaded, or it has ended."""
        if self.ledger.state(folder.name) in LAST:
            return
        record = folder / journal.FILE_NAME
        if folder.parent == self.claims and not lexists(record) and _is_folder(folder):
            return  # a claim that was cut off before anything was taken
        self._load(folder)
        if lexists(checkpoint := folder / CHECKPOINT) and not atomic.is_regular(checkpoint):
            raise self.quarantine(folder.name, f"{CHECKPOINT} is not a regular file")

    def _load(self, folder: Path) -> Journal:
        """Load the record in a job's folder; quarantines the job, and raises, if it is damaged."""
        try:
            return journal.load(folder)
        except OSError:
            raise
        except MemoryError as error:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            raise self.quarantine(folder.name, shown(error), trace) from error

    def load(self, job_id: str) -> Journal:
        """Load a claimed job, with what the ledger knows of it.

        Raises QuarantinedError if its record is damaged, and OSError.
        """
        try:
            job = self._load(self.jobs / job_id)
        except OSError as error:
            path = shown(self.jobs / job_id)
            raise OutputError(f"{path} cannot be read: {error.strerror or error}") from error
        with self.guard(job_id, "loading it"):
            entry = self.ledger.find(job_id)
            if entry is None:
                return job
            contents = {file.name for file in job.files if file.role == "content"}
            seen = [picture for picture in entry.pictures if picture.name in contents]
            return replace(
                job,
                state=JobState(entry.state),
                attempts=self.ledger.attempts(job_id),
                place=entry.place,
                refused_as=entry.refused_as,
                reason=entry.reason,
                series=entry.series,
                needs=entry.needs,
                shape=entry.shape,
                size=seen[0].size if seen else None,
                frames=seen[0].frames if seen else 1,
                digests={
                    known["name"]: known["sha256"] for known in entry.inputs if "sha256" in known
                },
                changed=frozenset(known["name"] for known in entry.inputs if known.get("changed")),
            )

    def has(self, job_id: str) -> bool:
        """Return True if the files of a job are here, or on their way."""
        return (self.jobs / job_id).exists() or (self.claims / job_id).exists()

    def begin(
        self, job: Journal, place: str, attempts: tuple[Attempt, ...], settings: str
    ) -> Journal:
        """Record that `job` runs in `place`, by `settings` in JSON, as the last of `attempts`."""
        with self.ledger.transaction():
            self.ledger.change(job.id, settings=settings)
            return self.save(job, state=JobState.RUNNING, place=place, attempts=attempts)

    def save(self, job: Journal, **changes: Any) -> Journal:
        """Record `changes` of `job` in the ledger; return the changed job."""
        changed = replace(job, **changes)
        with self.ledger.transaction():
            if "attempts" in changes:
                self.ledger.write_attempts(job.id, changes.pop("attempts"))
            if changes:
                self.ledger.change(job.id, **changes)
        return changed

    def finish(self, *ended: tuple[Journal, JobState]) -> None:
        """Record the final state of jobs, all at once, then remove their files."""
        with self.ledger.transaction():
            for job, state in ended:
                self.ledger.change(job.id, state=state)
        for job, _ in ended:
            self._discard(job.id)

    def _discard(self, job_id: str) -> None:
        """Remove the folder of a job that has ended; where that fails, the next start does it."""
        with suppress(OSError):
            atomic.discard(self.jobs / job_id, self.trash)

    def inputs(self, job: Journal) -> Mapping[Role, list[Path]]:
        """Return the claimed files of a job by their roles; several styles in their order."""
        paths: dict[Role, list[Path]] = {}
        for file, path in self._files_of(job):
            paths.setdefault(file.role, []).append(path)
        return paths

    def only_copies(self, job: Journal) -> tuple[Path, ...]:
        """Return the files of which the claimed copy is the only one."""
        return tuple(path for file, path in self._files_of(job) if job.holds_only_copy(file))

    def is_as_taken(self, job: Journal, name: str) -> bool:
        """Return True if that file is unchanged since it was renamed or copied to this place."""
        file = next(file for file in job.files if file.name == name)
        now = look(self.jobs / job.id / "files" / name)
        return now is None or now == file.look or now.inode != file.look.inode

    def job_file(self, job: Journal) -> Path | None:
        """Return the job's job.yaml, if it has one."""
        return next((path for file, path in self._files_of(job) if file.role == "job"), None)

    def own_files(self, job: Journal) -> tuple[Path, ...]:
        """Return the claimed files that belong to this job alone."""
        return tuple(path for file, path in self._files_of(job) if file.own and path.exists())

    def pictures(self, job: Journal) -> tuple[Path, ...]:
        """Return the pictures of a job, its content first if it has one."""
        return tuple(path for file, path in self._files_of(job) if file.role != "job")

    def _files_of(self, job: Journal) -> list[tuple[File, Path]]:
        folder = self.jobs / job.id / FILES
        return [(file, folder / file.name) for file in job.files]

    def _all(self) -> list[Path]:
        return [*self.claims.iterdir(), *self.jobs.iterdir()]

    def _quarantine_path(self, path: Path) -> Path:
        return self.damaged / f"{path.name[:100]}-{secrets.token_hex(4)}"


def _is_folder(path: Path) -> bool:
    """Return True if `path` is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def _restrict(path: Path) -> None:
    """Let only the owner use a file or a folder, if it exists."""
    with suppress(OSError):  # another user's: that shows when it is used
        if _is_folder(path):
            path.chmod(0o700)
        elif atomic.is_regular(path):
            path.chmod(0o600)


def _explained(path: Path, name: str, reason: str, trace: str) -> str:
    pictures = ""
    with suppress(OSError):
        files = [shown(file.name) for file in sorted((path / FILES).iterdir())[:20]]
        pictures = f"what was dropped: {', '.join(files) or 'nothing'}, in job/{FILES}/\n"
    return f"""{reason}

stylewatch set this job aside, and goes on with the others. Nothing was removed: all that there was
of the job is in job/, next to this note.

job: {name}
id: {shown(path.name)}
set aside: {now()}
{pictures}\
what to do: drop the pictures into the inbox again, then remove this folder. If that ends in the
same way, it is a fault of stylewatch: please report it, with what follows.

{trace}"""


def entry_of(
    job: Journal,
    pictures: Iterable[Picture] = (),
    changed: Collection[File] = (),
    **more: Any,
) -> Entry:
    """Return the ledger's entry of a new job; `more` has further columns.

    Its inputs get the digests and sizes in pixels of their `pictures`, and a mark where they are
    `changed`: the originals stay in the inbox.
    """
    seen = {picture.name: picture.as_record() for picture in pictures}
    return Entry(
        id=job.id,
        name=job.name,
        inbox=str(job.inbox),
        outbox=str(job.outbox),
        state=job.state,
        entered=now(),
        inputs=tuple(
            {
                "role": file.role,
                "name": file.name,
                "source": str(file.source),
                "size": file.look.size,
                **seen.get(file.name, {}),
                **({"changed": True} if file in changed else {}),
            }
            for file in job.files
        ),
        bytes=sum(file.look.size for file in job.files),
        place=job.place,
        refused_as=job.refused_as,
        reason=job.reason,
        retry_of=job.retry_of,
        series=job.series,
        **more,
    )


def sizes_for_batch(files: Collection[File], pictures: Sequence[Picture]) -> list[tuple[int, int]]:
    """Return the sizes of a job's `pictures` for its batch shape; empty where it runs alone.

    Jobs with masks or clips are not batched, nor those with a picture whose size is not known.
    """
    roles = [file.role for file in files if file.role != "job"]
    has_masks = any(role.endswith(journal.MASK) for role in roles)
    has_clip = any(picture.frames > 1 for picture in pictures)
    if has_masks or has_clip or len(pictures) < len(roles):
        return []
    return [picture.size for picture in pictures]
