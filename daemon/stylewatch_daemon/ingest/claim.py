"""Takes a pair out of an inbox, over mounts, without losing it whatever is killed when.

A journal says first what is to be taken. Copies come before renames, as they are what may fail.
Then one rename makes the job ours. It is looked at next, and only after that are copied originals
removed, each only if it is still the very file that was copied, and the job queues; or all is put
back as it was. `recover` finishes what was cut off, or gives it back.

What the ledger was not told yet, a start after a kill is told by the folders of the jobs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import (
    DaemonError,
    InProgressError,
    InputError,
    OutputError,
    QuarantinedError,
)
from stylewatch_daemon.files import atomic, disk_space, shortages
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.files.transfers import SMALL, Transfers
from stylewatch_daemon.ingest.seen_inputs import Kept
from stylewatch_daemon.model import JobState, Pair, Picture
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.store import transfer
from stylewatch_daemon.store.journal import FILE_NAME, MASK, File, Journal, Role, load, save
from stylewatch_daemon.store.state import State, entry_of, with_changed, with_seen

Wishes = Callable[[Path | None, Sequence[tuple[int, int]]], Mapping[str, Any]]
"""What a job.yaml, or there being none, makes of a job's place in the queue: ledger columns.

It hears the sizes of the job's pictures as well, in pixels, the content's first."""

LARGEST = {"job": 100_000}
"""Bytes of the largest file for a role that can be of use; what is larger is refused unread."""


@dataclass(frozen=True)
class Terms:
    """What holds for the pairs of an inbox: where paintings go, what becomes of the inputs."""

    inbox: Path
    outbox: Path
    after: str


def no_wishes(job_file: Path | None, sizes: Sequence[tuple[int, int]]) -> Mapping[str, Any]:
    """Every job is like every other."""
    return {}


class Claimer:
    """Takes pairs into `state`; `wishes` read a job's own settings, once it is ours.

    `held` are the jobs that were taken, by id, and of which it is not said yet what they are.
    """

    def __init__(
        self, state: State, wishes: Wishes = no_wishes, transfers: Transfers | None = None
    ) -> None:
        self.state, self._wishes = state, wishes
        self._transfers = transfers or Transfers()
        self._kept = Kept(state.ledger, self._transfers)
        self.held: dict[str, Journal] = {}
        self.copying: dict[str, Journal] = {}
        """Claims whose files are still being copied, by id."""
        self._set_aside: list[tuple[str, Mapping[Path, Look]]] = []
        """Pairs whose jobs were set aside, by name, and how their files looked."""

    def is_taken(self, pair: Pair, looks: Mapping[Path, Look]) -> bool:
        """Whether this very pair was taken before, and still lies where it was."""
        key, own = key_of(pair.main, pair.name), _looks_of_own(pair, looks)
        return (
            self._kept.holds(key, own)
            or (pair.name, own) in self._set_aside
            or any(
                one.name == pair.name and _looks_then(one) == own
                for one in (*self.held.values(), *self.copying.values())
            )
        )

    def take(
        self, pair: Pair, looks: Mapping[Path, Look], terms: Terms, job_id: str
    ) -> Journal | None:
        """Make `pair`, whose files looked like `looks`, the job `job_id`, which is held.

        None where files are still being copied: `go_on` finishes that. Raises InputError where a
        file has changed or gone meanwhile, OutputError where the files cannot be taken; in both
        cases everything lies in the inbox as before.
        """
        journal = Journal(
            id=job_id,
            name=pair.name,
            inbox=terms.inbox,
            outbox=terms.outbox,
            after=terms.after,
            files=tuple(_files(pair, looks)),
            folder=pair.folder,
            device=_device(terms.inbox),
        )
        folder = self.state.claims / job_id
        try:
            (folder / "files").mkdir(parents=True)
            journal = replace(journal, files=tuple(self._without_giants(journal)))
            save(journal, folder)
            atomic.sync_folder(folder.parent)
            self._gather(journal)
        except InProgressError:
            self.copying[job_id] = journal
            return None
        except (OSError, InputError) as error:
            self._give_back(journal, str(error))
            if isinstance(error, DaemonError):
                raise
            raise _cannot_take(pair, error) from error
        self._commit(journal)
        return journal

    def go_on(self) -> Iterator[tuple[Journal, Exception | None]]:
        """Finish the claims whose files are copied by now; each, and what was in its way."""
        for journal in list(self.copying.values()):
            error: Exception | None
            try:
                with self.state.guard(journal.id, "taking it"):
                    error = self._finish_copied(journal)
            except InProgressError:
                continue
            except QuarantinedError:
                del self.copying[journal.id]
                self.forsake(journal)
                continue
            except OSError as in_the_way:
                error = in_the_way
            del self.copying[journal.id]
            yield journal, error

    def _finish_copied(self, journal: Journal) -> Exception | None:
        try:
            self._gather(journal)
        except (OSError, InputError) as error:
            return self._given_up(journal, error)
        self._commit(journal)
        self._enter_if_new(journal)
        return None

    def accept(self, journal: Journal, pictures: Iterable[Picture]) -> tuple[File, ...]:
        """Let a held job queue, which can be painted; those of its files that have changed since.

        Its originals go, unless one of them has changed: then they stay. Raises OSError.
        """
        return self._let_go(replace(journal, state=JobState.QUEUED), pictures)

    def refuse(self, journal: Journal, reason: str) -> tuple[File, ...]:
        """Have a held job refused, which cannot be painted; as `accept` does otherwise."""
        return self._let_go(replace(journal, state=JobState.REFUSING, reason=reason), ())

    def give_back(self, journal: Journal, reason: str) -> bool:
        """Put a held job back where it came from; whether it could be.

        Where there is no such folder any more the job is refused, for that `reason`. Raises
        OSError: it has to be tried again.
        """
        job, claim = self.state.jobs / journal.id, self.state.claims / journal.id
        if job.exists():
            atomic.rename_folder(job, claim)
        back = self._give_back(journal, reason)
        if back:
            self.state.ledger.withdraw([journal.id])
        return back

    def recover(self) -> dict[str, str]:
        """Finish the claims that were cut off; what cannot be finished is given back.

        What can be neither, now, stays safe in the state folder until the next start: the names
        of those jobs, each with the reason.
        """
        stuck: dict[str, str] = {}
        self._kept.take_over(self.state.kept)
        self.state.enter_strays()
        for folder in sorted(self.state.claims.iterdir()):
            try:
                with self.state.guard(folder.name, "taking it"):
                    stuck |= self._take_up(folder)
            except QuarantinedError:
                self.held.pop(folder.name, None)
        for job_id in sorted(self.state.ledger.ids("claimed")):
            if (self.state.jobs / job_id).exists():
                with suppress(QuarantinedError), self.state.guard(job_id, "loading it"):
                    self.held[job_id] = load(self.state.jobs / job_id)
        self.state.align()
        return stuck

    def forsake(self, job: Journal) -> None:
        """Hold a job no longer, as it was set aside, nor take the same files again."""
        self.held.pop(job.id, None)
        self._set_aside.append((job.name, _looks_then(job)))

    def leave_alone(self, pair: Pair, looks: Mapping[Path, Look]) -> None:
        """Never take this pair again while its files are the same: its job was set aside."""
        self._set_aside.append((pair.name, _looks_of_own(pair, looks)))

    def _take_up(self, folder: Path) -> dict[str, str]:
        """Finish a claim that was cut off, or give it back; what can be neither, and why."""
        name = folder.name
        try:
            if (folder / FILE_NAME).exists():
                journal = load(folder)
                name = journal.name
                try:
                    self._finish_or_give_back(journal)
                except InProgressError:
                    self.copying[journal.id] = journal
            else:  # it comes first, so there is nothing yet
                atomic.discard(folder, self.state.trash)
        except OSError as error:
            return {name: f"taking it was cut off, and cannot be finished: {error}"}
        return {}

    def _finish_or_give_back(self, journal: Journal) -> None:
        try:
            self._gather(journal)
        except (OSError, InputError) as error:
            self._give_back(journal, f"taking it was cut off, and its folder is gone: {error}")
        else:
            self._commit(journal)
            self._enter_if_new(journal)

    def _enter_if_new(self, journal: Journal) -> None:
        """Enter a job that the ledger does not know, as one that is painted again."""
        if self.state.ledger.find(journal.id) is None:
            self.state.ledger.enter([entry_of(journal)])

    def _given_up(self, journal: Journal, error: Exception) -> Exception:
        """Give a claim back whose files cannot be copied; what was in the way."""
        try:
            if self._give_back(journal, str(error)):
                self.state.ledger.withdraw([journal.id])
        except OSError as worse:  # it stays safe in the state folder until the next start
            return worse
        return error

    def _gather(self, journal: Journal) -> None:
        """Bring all files of a claim together; raises InProgressError while one is copied."""
        folder = self.state.claims / journal.id / "files"
        for file in sorted(journal.files, key=journal.moves):
            target = folder / file.name
            if not file.stays and (self._transfers.has(str(target)) or not target.exists()):
                if journal.is_copy:  # its record was written last of all
                    raise ValueError(f"{file.name} is gone, and was nowhere else")
                transfer.bring(journal, file, target, self._transfers)
        atomic.sync_folder(folder)

    def _without_giants(self, journal: Journal) -> Iterator[File]:
        """The files of a claim; those that are too large to be of use stay, if they cannot move."""
        for file in journal.files:
            stays = is_giant(file) and not (
                journal.moves(file) and self._moves_freely(journal, file)
            )
            yield replace(file, stays=stays)

    def _moves_freely(self, journal: Journal, file: File) -> bool:
        """Whether a file can go to the state folder and on to the outbox without a copy."""
        probe = self.state.claims / journal.id / "probe"
        outbox = Outbox(journal.outbox)
        return transfer.moves_freely(journal.inbox, file.source, probe, outbox.can_link)

    def _commit(self, journal: Journal) -> None:
        try:
            atomic.rename_folder(self.state.claims / journal.id, self.state.jobs / journal.id)
        finally:
            if (self.state.jobs / journal.id).exists():  # whatever came after: it is ours
                self.held[journal.id] = journal

    def _let_go(self, job: Journal, pictures: Iterable[Picture]) -> tuple[File, ...]:
        """Remove from the inbox what is ours now, or remember that it stays; the ledger's turn."""
        content = _main(job)
        held = self.state.jobs / job.id / "files"
        left = transfer.remove_originals(job, held)
        leaves = left.gone and job.moves(content)
        pictures = tuple(pictures)
        masked = any(file.role.endswith(MASK) for file in job.files)
        sizes = [] if masked else [one.size for one in pictures]  # one with masks is for itself
        wishes = self._wishes(self.state.job_file(job), sizes)
        with self.state.ledger.together():
            if leaves:
                self._kept.forget(content.source)
            elif not job.is_copy:  # which took nothing from an inbox
                self._remember(job, content, pictures)
            entry = with_seen(entry_of(job, **wishes), pictures)
            self.state.ledger.enter([with_changed(entry, left.changed)])
        return left.changed

    def _remember(self, journal: Journal, content: File, pictures: Iterable[Picture]) -> None:
        held = self.state.jobs / journal.id / "files"
        seen = {one.name: one.sha256 for one in pictures}
        digests = {
            file.source: (file.look, seen.get(file.name) or _digest_of_small(held / file.name))
            for file in journal.files
            if file.own or file is content
        }
        self._kept.remember(key_of(content.source, journal.name), content.source, digests)

    def _give_back(self, journal: Journal, reason: str) -> bool:
        """Put back what was taken, and drop the claim; where it has no way back, refuse the job."""
        claim = self.state.claims / journal.id
        if not claim.exists():
            return True
        try:
            transfer.put_back(journal, claim / "files")
        except OSError:
            if not transfer.has_no_way_back(journal, self.state.root):
                raise
            self._commit(journal)
            self.refuse(journal, reason)
            del self.held[journal.id]
            return False
        atomic.discard(claim, self.state.trash)
        return True


def is_giant(file: File) -> bool:
    """Whether a file is too large to be what it is called."""
    return file.look.size > LARGEST.get(file.role, transfer.LARGEST)


def too_large(journal: Journal) -> str:
    """Why a job with a giant among its files is refused; empty where there is none."""
    reasons = []
    for file in filter(is_giant, journal.files):
        limit = disk_space.amount(LARGEST.get(file.role, transfer.LARGEST))
        size = disk_space.amount(file.look.size)
        reason = f"{shown(file.source.name)} is {size}; the limit is {limit}"
        if file.stays:
            reason += f". It is still in {shown(file.source.parent)}: remove it there"
        reasons.append(reason)
    return "; ".join(reasons)


def _digest_of_small(path: Path) -> str:
    """The SHA-256 of a file; empty where it is not here, or takes long."""
    seen = look(path)
    return "" if seen is None or seen.size >= SMALL else atomic.digest(path)


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """The files of `pair` by their roles, each under a name of its own."""
    roles: list[tuple[Role, tuple[Path | None, ...]]] = [
        ("content", (pair.content,)),
        ("style", pair.styles),
        ("init", (pair.init,)),
        *((role, (path,)) for role, path in pair.masks.items()),
        ("job", (pair.job_file,)),
    ]
    taken: set[str] = set()
    for role, paths in roles:
        for path in paths:
            if path is None:
                continue
            seen = looks.get(path) or look(path)
            if seen is None:
                raise InputError(f"{shown(path.name)} is gone, or is no file any more")
            name = next(name for name in _spread(path.name) if name.casefold() not in taken)
            taken.add(name.casefold())
            yield File(role, name, path, seen, own=path not in pair.shared)


def _spread(name: str) -> Iterator[str]:
    """`a.jpg`, `a-2.jpg`, `a-3.jpg` ..., made safe."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        return candidates(safe(name))
    return (f"{one}{dot}{safe(ending)}" for one in candidates(safe(stem)))


def key_of(content: Path, name: str) -> str:
    """What tells jobs in an inbox apart: one picture may be the content of several."""
    return f"{content}\n{name}"


def _main(journal: Journal) -> File:
    """The picture that the job is known by: its content, or its first style where it has none."""
    sides = [file for role in ("content", "style") for file in journal.files if file.role == role]
    return sides[0]


def _looks_then(journal: Journal) -> dict[Path, Look]:
    """How the job's own files looked when it was taken."""
    main = _main(journal)
    return {one.source: one.look for one in journal.files if one.own or one is main}


def _device(folder: Path) -> int | None:
    """The number of the disk that `folder` lies on; None where there is none."""
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _looks_of_own(pair: Pair, looks: Mapping[Path, Look]) -> dict[Path, Look]:
    own = [path for path in pair.files if path is pair.main or path not in pair.shared]
    return {path: looks[path] for path in own}


def _cannot_take(pair: Pair, error: Exception) -> OutputError:
    why = error.strerror if isinstance(error, OSError) else error
    why = shortages.shortage(error) or why
    return OutputError(f"{pair.name} cannot be taken out of the inbox: {why}")
