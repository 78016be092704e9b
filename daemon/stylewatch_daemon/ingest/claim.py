"""Claim pairs of an inbox, also over mounts, without losing a file whatever is killed when.

The order of changes on the disk:

1. A journal in the state folder says what is about to be claimed.
2. Files are copied or renamed into the claim; copies first, as they are what may fail.
3. One rename, of the claim's folder to `jobs`, completes the claim.
4. The pictures are inspected.
5. Originals that were copied are removed, each only if it is still the file that was copied, and
   the job is queued; or everything is put back.

`Claimer.recover` finishes what was interrupted, or puts it back. What the ledger does not know yet
after a kill, the next start finds by the folders of the jobs.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import (
    DaemonError,
    InProgressError,
    InputError,
    OutputError,
    QuarantinedError,
    ShortageError,
)
from stylewatch_daemon.files import atomic, disk_space, shortages
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.files.transfers import SMALL, Transfers
from stylewatch_daemon.model import JobState, Pair, Picture
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import queue_entry
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.store import claim_files
from stylewatch_daemon.store.journal import FILE_NAME, File, Journal, Role, load, save
from stylewatch_daemon.store.ledger_writer import LedgerWriter
from stylewatch_daemon.store.state_dir import State, entry_of, sizes_for_batch


class Claimer:
    """Claims pairs into `state` by the `settings` that hold now.

    `claimed` are the jobs, by id, that were claimed and are not inspected yet; `copying` those
    whose files are still being copied.
    """

    def __init__(
        self,
        state: State,
        settings: Callable[[], ServiceSettings] = ServiceSettings,
        transfers: Transfers | None = None,
    ) -> None:
        self._state, self._settings = state, settings
        self._transfers = transfers or Transfers()
        self._kept = KeptInputs(state.ledger, self._transfers)
        self.claimed: dict[str, Journal] = {}
        self.copying: dict[str, Journal] = {}
        self._excluded: list[tuple[str, Mapping[Path, Look]]] = []
        """Pairs whose jobs were set aside, by name, and how their files looked."""

    @property
    def jobs(self) -> tuple[Journal, ...]:
        """The jobs that are claimed or being copied, and do not queue yet."""
        return (*self.claimed.values(), *self.copying.values())

    def copies(self, path: Path) -> bool:
        """Return whether a job needs `path` until its files are copied."""
        return any(file.source == path for job in self.copying.values() for file in job.files)

    def is_claimed(self, pair: Pair, looks: Mapping[Path, Look]) -> bool:
        """Return whether this very pair was claimed before and is still in the inbox."""
        own = _looks_of_own(pair, looks)
        return (
            self._kept.contains(key_of(pair.main, pair.name), own)
            or (pair.name, own) in self._excluded
            or any(job.name == pair.name and _looks_when_claimed(job) == own for job in self.jobs)
        )

    def claim(
        self, pair: Pair, looks: Mapping[Path, Look], inbox: InboxSettings, job_id: str
    ) -> Journal | None:
        """Claim `pair`, whose files looked like `looks`, as the job `job_id`.

        Returns None while files are being copied: `finish_copies` finishes that claim. Raises
        InputError where a file has changed or is gone, OutputError where the files cannot be
        claimed; in both cases all files are in the inbox as before.
        """
        device = None
        with suppress(OSError):
            device = inbox.path.stat().st_dev
        journal = Journal(
            id=job_id,
            name=pair.name,
            inbox=inbox.path,
            outbox=inbox.outbox,
            after=inbox.after,
            files=tuple(_files(pair, looks)),
            folder=pair.folder,
            device=device,
        )
        folder = self._state.claims / job_id
        try:
            (folder / "files").mkdir(parents=True)
            journal = replace(
                journal, files=tuple(self._with_stays(journal, file) for file in journal.files)
            )
            save(journal, folder)
            atomic.sync_folder(folder.parent)
            self._gather(journal)
        except InProgressError:
            self.copying[job_id] = journal
            return None
        except (OSError, InputError) as error:
            self._put_back(journal, str(error))
            if isinstance(error, DaemonError):
                raise
            reason = shortages.shortage(error) or error.strerror
            message = f"{pair.name} cannot be taken out of the inbox: {reason}"
            raise OutputError(message) from error
        self._commit(journal)
        return journal

    def finish_copies(self) -> list[tuple[Journal, Exception | None]]:
        """Finish the claims whose files are copied by now; return each with the error, if any."""
        finished: list[tuple[Journal, Exception | None]] = []
        for journal in list(self.copying.values()):
            try:
                with self._state.guard(journal.id, "claiming it"):
                    finished.append((journal, self._finish(journal, withdraw=True)))
            except InProgressError:
                continue
            except QuarantinedError:
                self.exclude(journal)
            except OSError as error:  # the files are safe in the state folder
                finished.append((journal, error))
            del self.copying[journal.id]
        return finished

    def _finish(self, journal: Journal, *, withdraw: bool = False) -> Exception | None:
        """Finish a claim, or put it back and return why; raises InProgressError, OSError."""
        try:
            self._gather(journal)
        except (OSError, InputError) as error:
            reason = f"claiming it was cut off, and its folder is gone: {error}"
            if self._put_back(journal, reason) and withdraw:
                self._state.ledger.withdraw([journal.id])
            return error
        self._commit(journal)
        if self._state.ledger.find(journal.id) is None:  # as a retry is
            self._state.ledger.enter([entry_of(journal)])
        return None

    def accept(self, journal: Journal, pictures: Sequence[Picture]) -> tuple[File, ...]:
        """Queue a claimed job whose `pictures` passed inspection; remove its originals.

        If one has changed since the claim, all stay; returns the changed ones. Raises OSError.
        """
        return self._let_go(replace(journal, state=JobState.QUEUED), pictures)

    def refuse(self, journal: Journal, reason: str) -> tuple[File, ...]:
        """Refuse a claimed job; otherwise as `accept`."""
        return self._let_go(replace(journal, state=JobState.REFUSING, reason=reason), ())

    def give_back(self, journal: Journal, reason: str) -> bool:
        """Put a claimed job back into its inbox; return whether that was possible.

        Where its folder is gone the job is refused, for that `reason`. Raises OSError: it has to
        be tried again.
        """
        job, claim = self._state.jobs / journal.id, self._state.claims / journal.id
        if job.exists():
            atomic.rename_folder(job, claim)
        is_back = self._put_back(journal, reason)
        if is_back:
            self._state.ledger.withdraw([journal.id])
        return is_back

    def recover(self) -> dict[str, str]:
        """Finish the claims that were interrupted; what cannot be finished is put back.

        Where neither is possible now, the files stay safe in the state folder until the next
        start: returns the names of those jobs, each with the reason.
        """
        stuck: dict[str, str] = {}
        self._state.enter_missing()
        for folder in sorted(self._state.claims.iterdir()):
            name = folder.name
            try:
                with self._state.guard(folder.name, "claiming it"):
                    if not (folder / FILE_NAME).exists():  # it comes first: nothing was claimed
                        atomic.discard(folder, self._state.trash)
                        continue
                    journal = load(folder)
                    name = journal.name
                    self._finish(journal)
            except InProgressError:
                self.copying[journal.id] = journal
            except QuarantinedError:
                self.claimed.pop(folder.name, None)
            except OSError as error:
                stuck[name] = f"claiming it was cut off, and cannot be finished: {error}"
        for job_id in sorted(self._state.ledger.ids("claimed")):
            if (self._state.jobs / job_id).exists():
                with suppress(QuarantinedError), self._state.guard(job_id, "loading it"):
                    self.claimed[job_id] = load(self._state.jobs / job_id)
        self._state.reconcile()
        return stuck

    def exclude(self, job: Journal) -> None:
        """Drop a job that was set aside, and never claim the same files again."""
        self.claimed.pop(job.id, None)
        self._excluded.append((job.name, _looks_when_claimed(job)))

    def exclude_pair(self, pair: Pair, looks: Mapping[Path, Look]) -> None:
        """Never claim this pair again while its files are the same: its job was set aside."""
        self._excluded.append((pair.name, _looks_of_own(pair, looks)))

    def _gather(self, journal: Journal) -> None:
        """Bring all files of a claim together; raises InProgressError while one is copied."""
        folder = self._state.claims / journal.id / "files"
        for file in sorted(journal.files, key=journal.moves):  # copies first
            target = folder / file.name
            if not file.stays and (self._transfers.has(str(target)) or not target.exists()):
                if journal.is_copy:  # its record was written after all of its files
                    raise ValueError(f"{file.name} is gone, and was nowhere else")
                free_bytes = self._settings().limits.free_bytes
                claim_files.bring(journal, file, target, self._transfers, free_bytes)
        atomic.sync_folder(folder)

    def _with_stays(self, journal: Journal, file: File) -> File:
        """Mark a file that is too large to be useful and could only be copied: it stays."""
        stays = self._is_too_large(file) and not (
            journal.moves(file)
            and claim_files.moves_freely(
                journal.inbox,
                file.source,
                self._state.claims / journal.id / "probe",
                Outbox(journal.outbox).can_link,
            )
        )
        return replace(file, stays=stays)

    def too_large(self, journal: Journal) -> str:
        """Return why a job is refused for the size of its files; empty if it is not."""
        reasons = []
        for file in filter(self._is_too_large, journal.files):
            limit = self._settings().limits.largest(file.role)
            excess = disk_space.excess(file.look.size, limit)
            reason = f"{shown(file.source.name)} {excess}"
            if file.role == "content":
                reason += " (limits.max_bytes)"
            if file.stays:
                reason += f". It is still in {shown(file.source.parent)}: remove it there"
            reasons.append(reason)
        return "; ".join(reasons)

    def _is_too_large(self, file: File) -> bool:
        return file.stays or file.look.size > self._settings().limits.largest(file.role)

    def _commit(self, journal: Journal) -> None:
        """Rename the claim's folder: from then on it is that of a job."""
        job = self._state.jobs / journal.id
        try:
            atomic.rename_folder(self._state.claims / journal.id, job)
        except OSError:
            if not job.exists():  # else the sync failed: after a power cut it is claimed again
                raise
        self.claimed[journal.id] = journal

    def _let_go(self, job: Journal, pictures: Sequence[Picture]) -> tuple[File, ...]:
        """Remove the originals, or remember that they stay; then enter the job in the ledger."""
        content = _main(job)
        files = self._state.jobs / job.id / "files"
        are_gone, changed = claim_files.remove_originals(job, files)
        sizes = sizes_for_batch(job.files, pictures)
        columns = queue_entry(self._settings(), self._state.job_file(job), sizes)
        with self._state.ledger.transaction():
            if are_gone and job.moves(content):
                self._kept.forget(content.source)
            elif not job.is_copy:  # a copy has no original in an inbox
                self._kept.remember(job, content, files, pictures)
            self._state.ledger.enter([entry_of(job, pictures, changed, **columns)])
        return changed

    def _put_back(self, journal: Journal, reason: str) -> bool:
        """Put the files back and drop the claim; refuse the job where its folder is gone."""
        claim = self._state.claims / journal.id
        if not claim.exists():
            return True
        try:
            claim_files.put_back(journal, claim / "files")
        except OSError:
            if not claim_files.has_no_way_back(journal, self._state.root):
                raise
            self._commit(journal)
            self.refuse(journal, reason)
            del self.claimed[journal.id]
            return False
        atomic.discard(claim, self._state.trash)
        return True


class KeptInputs:
    """Claimed inputs that stay in their inbox, in the `ledger`: how each looked, by the job's key.

    A file counts as the same if its name, inode and size are, and its time or its content is.
    """

    def __init__(self, ledger: LedgerWriter, transfers: Transfers) -> None:
        self._ledger, self._transfers = ledger, transfers

    def contains(self, key: str, files: dict[Path, Look]) -> bool:
        """Return whether the job called `key` was claimed with exactly these `files`."""
        known = {file["name"]: file for file in self._ledger.kept(_ascii(key))}
        times = [file["mtime_ns"] for file in known.values()]
        if set(known) != {str(path) for path in files} or not all(
            self._is_same(known[str(path)], path, seen) for path, seen in files.items()
        ):
            return False
        if times != [file["mtime_ns"] for file in known.values()]:
            self._ledger.keep(_ascii(key), _ascii(key.partition("\n")[0]), [*known.values()])
        return True

    def _is_same(self, known: dict[str, Any], path: Path, seen: Look) -> bool:
        """Compare a file with the `known` one; a long one counts as the same until it is read.

        Where only the time changed, `known` gets the new time, so that no file is read twice.
        """
        is_alike = (known["inode"], known["size"]) == (seen.inode, seen.size)
        if not is_alike or known["mtime_ns"] == seen.mtime_ns:
            return is_alike
        if not known["sha256"] or look(path) != seen:
            return False
        work = partial(atomic.digest, path, step=self._transfers.step)
        try:
            digest = self._transfers.run(f"digest of {path} {seen}", seen.size, work)
        except (InProgressError, ShortageError):
            return True
        except (OSError, InputError):
            return False
        known["mtime_ns"] = seen.mtime_ns
        return bool(digest == known["sha256"])

    def remember(
        self, job: Journal, content: File, folder: Path, pictures: Iterable[Picture]
    ) -> None:
        """Remember `job`, each of its files, which are in `folder`, with its look and its SHA-256.

        Without a SHA-256 (empty) a file is the same as long as its time is.
        """
        sha256 = {picture.name: picture.sha256 for picture in pictures}
        known: list[dict[str, Any]] = []
        for file in job.files:
            if file.own or file is content:
                path, digest = folder / file.name, sha256.get(file.name, "")
                if not digest and (seen := look(path)) is not None and seen.size < SMALL:
                    digest = atomic.digest(path)
                known.append({"name": str(file.source), **vars(file.look), "sha256": digest})
        key = key_of(content.source, job.name)
        self._ledger.keep(_ascii(key), _ascii(content.source), known)

    def forget(self, content: Path) -> None:
        """Forget every job with this `content`: the next file of that path is new."""
        self._ledger.forget(_ascii(content))


def _ascii(text: object) -> str:
    """Return `text` as JSON, where names that are not valid UTF-8 stay distinct."""
    return json.dumps(str(text))


def key_of(content: Path, name: str) -> str:
    """Return the key of a job in an inbox: one picture may be the content of several jobs."""
    return f"{content}\n{name}"


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """Yield the files of `pair` by their roles, each under a unique name."""
    roles: list[Role] = [
        *(["content"] if pair.content else []),
        *["style"] * len(pair.styles),
        *(["init"] if pair.init else []),
        *pair.masks,
        *(["job"] if pair.job_file else []),
        *pair.rest.values(),
    ]
    if not {"content", "style"}.intersection(roles):
        roles[0] = "content"  # each job has one, and an incomplete pair may be a job.yaml alone
    taken: set[str] = set()
    for role, path in zip(roles, pair.files, strict=True):
        seen = looks.get(path) or look(path)
        if seen is None:
            raise InputError(f"{shown(path.name)} is gone, or is no file any more")
        name = next(name for name in _safe_names(path.name) if name.casefold() not in taken)
        taken.add(name.casefold())
        yield File(role, name, path, seen, own=path not in pair.shared)


def _safe_names(name: str) -> Iterator[str]:
    """Yield `a.jpg`, `a-2.jpg`, `a-3.jpg` ..., made safe."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return candidates(safe(name))
    return (f"{candidate}{dot}{safe(suffix)}" for candidate in candidates(safe(stem)))


def _main(journal: Journal) -> File:
    """Return the picture that identifies the job: its content, or the first style without one."""
    sides = [file for role in ("content", "style") for file in journal.files if file.role == role]
    return sides[0]


def _looks_when_claimed(journal: Journal) -> dict[Path, Look]:
    """Return how the job's own files looked when it was claimed."""
    main = _main(journal)
    return {file.source: file.look for file in journal.files if file.own or file is main}


def _looks_of_own(pair: Pair, looks: Mapping[Path, Look]) -> dict[Path, Look]:
    own = [path for path in pair.files if path is pair.main or path not in pair.shared]
    return {path: looks[path] for path in own}
