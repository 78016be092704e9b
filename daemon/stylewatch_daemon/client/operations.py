"""Operations on jobs that commands and the page request from the daemon.

Each operation checks that the state of the job allows it, and adds a request to the ledger. Only
the daemon changes the job.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from stylewatch_daemon.base.errors import InputError, StateError
from stylewatch_daemon.base.model import PICTURES, REFUSALS, End, Job, State
from stylewatch_daemon.client import retries, status_json
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ledger import favorites, requests
from stylewatch_daemon.ledger.ledger import Ledger, reading
from stylewatch_daemon.ledger.state_dir import LEDGER, reading_below
from stylewatch_daemon.outbox.job_files import SourceFile
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobFile, is_file

Asked = Literal["cancel", "finish", "favorite", "unfavorite", "trash", "restore", "delete"]
"""Operations whose requests have no arguments but the job."""

Verb = Literal[Asked, "retry", "dismiss"]

VERBS: tuple[Verb, ...] = get_args(Verb)

TOGGLES = ("favorite", "unfavorite")
"""Operations that undo each other."""

RETRIABLE = (End.FAILED, End.CANCELED)
"""Ends after which a retry without changes can succeed."""

_IN_WORDS = {"retry": "run again", "trash": "moved into the trash", "delete": "deleted"}

_NOT_WITH_DELETION = ("cancel", "restore", "trash", "favorite")
"""Operations that a job does not allow once its deletion has begun."""

_ENDS_FOR: Mapping[Verb, tuple[Collection[End], str]] = {
    "dismiss": (REFUSALS, "refused and failed jobs can be dismissed"),
    "favorite": (PICTURES, "jobs with a picture can be favorites"),
    "unfavorite": (PICTURES, "jobs with a picture can be favorites"),
}
"""For some operations, the ends after which a job allows them, and a description of such jobs."""

_BY_TITLE_ALONE = ("trash", "restore", "delete")
"""Operations for which a name must be the title of one job alone."""

_REFUSED_IN_TRASH = ("retry", "dismiss", "favorite", "trash")
"""Operations that a job in the trash does not allow until it is restored."""


def meant(ledger: Ledger, verb: Verb | None, name: str) -> Job | None:
    """Return the job that a name or an id means in a request for `verb`; None if there is none.

    `cancel` and `finish` prefer jobs that have not ended, `retry` and `dismiss` those that the
    status lists as refused or failed. If `verb` is None, the job is only looked at. Raises
    UsageError as `Ledger.the_one` does.
    """
    match verb:
        case "cancel" | "finish":
            return ledger.the_one(name, _is_open)
        case "retry" | "dismiss":
            return ledger.the_one(name, _is_listed)
    return ledger.the_one(name, exactly=verb in _BY_TITLE_ALONE)


def _is_open(job: Job) -> bool:
    return not job.has_ended


def _is_listed(job: Job) -> bool:
    return "dismiss" in offered(job)


def check(verb: Verb, job: Job) -> None:
    """Raise StateError if the state of the job does not allow the operation."""
    why = _why_not(verb, job)
    if why:
        raise StateError(why)


def offered(job: Job) -> frozenset[Verb]:
    """Return the operations that the job allows, without those that were requested already."""
    return frozenset(verb for verb in VERBS if not (_why_not(verb, job) or _is_done(verb, job)))


def _is_done(verb: Verb, job: Job) -> bool:
    """Return whether an operation was requested before, so that a new request changes nothing."""
    if verb == "dismiss":
        return job.dismissed
    if verb in ("favorite", "unfavorite"):
        return False  # the ledger does not know
    if verb == "cancel":
        return End.CANCELED in (job.asked, job.end)
    return verb == "finish" and (job.asked or job.end) is not None


def _why_not(verb: Verb, job: Job) -> str:
    """Return why the state of the job does not allow the operation; empty if it does."""
    name = shown(job.title)
    why = ""
    if verb == "restore" or (job.trashed and verb in _REFUSED_IN_TRASH):
        why = _restore_first(verb, job)
    elif verb in _ENDS_FOR:
        ends, which = _ENDS_FOR[verb]
        if not (job.has_ended and job.end in ends):
            why = f"{name} is {job.seen}: only {which}"
    elif verb in _IN_WORDS:
        if not job.has_ended:
            why = f"{name} has not ended, so it cannot be {_IN_WORDS[verb]}: cancel or finish it"
    elif job.has_ended:
        why = f"{name} has ended ({job.seen}{_finished(job)}): there is nothing to {verb}"
    elif verb == "finish":
        why = _without_picture(job)
    return why


def _restore_first(verb: Verb, job: Job) -> str:
    """Return why a job must be restored before `verb`, or cannot be restored; empty if it can."""
    name = shown(job.title)
    if verb != "restore":
        return f"{name} is in the trash: restore it first"
    return "" if job.trashed else f"{name} is not in the trash"


def _finished(job: Job) -> str:
    if not job.finished:
        return ""
    return f", {datetime.fromisoformat(job.finished).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _without_picture(job: Job) -> str:
    """Return why a job that has not ended has no picture to finish with; empty if it has one."""
    name = shown(job.title)
    end = job.end or job.asked
    if end not in (None, *PICTURES):
        return f"{name} will end ({end}): there is nothing to finish"
    if not (job.step or job.state is State.RUNNING):
        return f"{name} has no picture yet to finish with: cancel it"
    return ""


def ask(
    verb: Asked,
    state: Path,
    job: Job,
) -> int:
    """Ask the daemon for an operation without other arguments; return the id of the request.

    If the same request waits already, its id is returned. `finish` keeps the job's current picture,
    `trash` keeps its files for `retention.trash`, `delete` removes its files, and `cancel` of an
    ended job gives up a deletion that waits. Raises StateError if the state of the job does not
    allow the operation, and OutputError if the request cannot be written.
    """
    waiting = requests.waiting(state)
    deletions = [request for request in waiting if request.deletes(job.id)]
    if deletions and verb in _NOT_WITH_DELETION:
        begun = any(request.has_begun for request in deletions)
        why = "has begun" if begun else "waits: give it up first"
        if begun or verb in _REFUSED_IN_TRASH:
            raise StateError(f"{shown(job.title)}: its deletion {why}")
    if not (verb == "cancel" and job.has_ended and deletions):
        check(verb, job)
    about_it = [request for request in waiting if request.asks(request.verb, job=job.id)]
    if verb in TOGGLES:  # a later request may undo an earlier one
        about_it = [request for request in about_it if request.verb in TOGGLES][-1:]
    for request in about_it:
        if request.verb == verb:
            return request.id
    return requests.leave(state, verb, job=job.id)


def without_favorites(
    state: Path, jobs: Sequence[Job], *, are_several: bool
) -> tuple[list[Job], list[Job]]:
    """Return which of the jobs to delete, or to move into the trash, and which favorites to keep.

    Favorites are kept only if `are_several`: a person who deletes a single job means that one.
    Requests for favorites that still wait count, too. Raises OutputError if the favorites cannot be
    listed.
    """
    marked = favorites.marked(state) if are_several else set()
    for request in requests.waiting(state) if are_several else ():
        if request.verb in TOGGLES:  # they are acted on in their order
            ids = {str(request.arguments.get("job"))}
            marked = marked | ids if request.verb == "favorite" else marked - ids
    kept = [job for job in jobs if job.id in marked]
    return [job for job in jobs if job not in kept], kept


def dismiss(state: Path, *jobs: Job) -> int:
    """Ask the daemon to dismiss refused or failed jobs; return the id of the request.

    The status then lists these jobs no longer. Raises as `ask` does.
    """
    for job in jobs:
        check("dismiss", job)
    return requests.leave(state, "dismiss", jobs=[job.id for job in jobs])


def dismiss_all(state: Path) -> int:
    """Ask the daemon to dismiss all refused and failed jobs; return the id of the request.

    The request names each job, because a time would depend on a clock that may be wrong. Raises
    OutputError if the ledger cannot be read or written.
    """
    with reading(state / LEDGER) as ledger:
        jobs = ledger.undismissed(-1)
    return requests.leave(state, "dismiss", jobs=[job.id for job in jobs])


@contextmanager
def open_ledger(state: Path) -> Iterator[Ledger | None]:
    """Open the ledger in the folder `state` for reading; yield None if there is no ledger yet.

    Raises OutputError if the ledger cannot be read, or if this account may not see whether a daemon
    is at work.
    """
    status_json.is_at_work(state)  # raises if this account may not open the lock
    with reading_below(state):
        has_ledger = entries.exists(state / LEDGER)
    with reading(state / LEDGER) if has_ledger else nullcontext() as ledger:
        yield ledger


def disks_of(state: Path, *used: Path) -> MountGuard:
    """Return a guard that knows on which disks the daemon used folders.

    If the daemon never ran, the guard knows no disk. While the daemon runs, the guard refuses each
    folder in `used`, folders of the daemon's settings, whose disk is missing, even if there are
    files in its place. Raises OutputError as `open_ledger` does.
    """
    guard = MountGuard()
    with open_ledger(state) as ledger:
        guard.former = ledger.mounts() if ledger else frozenset()
    if status_json.is_at_work(state):
        guard.roots |= {
            mount for mount in guard.former if any(folder.is_relative_to(mount) for folder in used)
        }
    return guard


def pictures_of(
    state: Path, job: Job, from_stage: int | None = None, without: Collection[int] = ()
) -> Sequence[SourceFile]:
    """Return the pictures with which a job would be run again, as `retries.needed` does.

    Raises InputError, which names every file that is missing or has another size, and OutputError
    if a disk is away, so that it is unknown whether the files exist.
    """
    guard = disks_of(state)
    missing = list[str]()
    with guard.checked_inside(Path(job.outbox), job.place, disk=job.disk):
        files = retries.needed(job, from_stage, without)
    for file in files:
        try:
            file.find(guard, reads=False)
        except InputError as error:
            missing.append(str(error))
    if missing:
        raise InputError("\n".join(missing))
    return files


def settings_of_retry(
    state: Path, job: Job, settings: Config, overrides: Mapping[str, Any], from_stage: int | None
) -> JobFile:
    """Return the settings with which a job would be run again, changed by `overrides`.

    With `from_stage`, the new job starts from the stage at that step. Raises as `check`,
    `retries.settings_for` and `retries.check_paints` do.
    """
    check("retry", job)
    wanted = retries.settings_for(job, settings, overrides, from_stage, disks_of(state))
    retries.check_paints(job, wanted, from_stage, recipes=settings.recipes)
    return wanted


def retry(
    state: Path,
    job: Job,
    new: str,
    settings: JobFile,
    *,
    from_stage: int | None = None,
    without: Collection[int] = (),
    added: Sequence[str] = (),
) -> int:
    """Ask the daemon to run `job` again as the job with the id `new`; return the id of the request.

    `settings` are all settings of the new job. It continues from the stage at step `from_stage`; if
    that is None, it starts anew. The styles with the numbers `without`, from 1, are left out. The
    files `added`, in the folder `new` of the uploads, are additional styles. Raises as `check`,
    `pictures_of` and `retries.check_paints` do; later the daemon also compares the bytes of the
    pictures.
    """
    check("retry", job)
    retries.check_paints(job, settings, from_stage, without, added)
    names = {file.name for file in pictures_of(state, job, from_stage, without)}
    kept = {name: was for name, was in settings.file_names.items() if name in names}
    # The daemon's own settings still name a recipe file.
    is_named = not is_file(settings.recipe)
    plain = settings.model_dump(mode="json", exclude=None if is_named else {"recipe"})
    return requests.leave(
        state, "retry", job=job.id, new=new, settings={**plain, "file_names": kept},
        from_stage=from_stage, without=[*without], added=[*added],
    )  # fmt: skip
