"""Takes a pair out of an inbox, over mounts, without losing it whatever is killed when.

A journal says first what is to be taken. Copies come before renames, as they are what may fail.
Then one rename makes the job ours, and only then are copied originals removed: each only if it is
still the very file that was copied, and the ledger hears of it. `recover` finishes what was cut
off, or gives it back.

Claims may be taken `together` in the ledger: files in state/jobs tell a start after a kill what
the ledger was not told.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from errno import EXDEV
from os.path import lexists
from pathlib import Path
from typing import Any

from stylewatch_daemon import durable
from stylewatch_daemon.errors import DaemonError, InputError, OutputError
from stylewatch_daemon.job import Pair
from stylewatch_daemon.journal import File, Journal, Role, load, save
from stylewatch_daemon.kept import Kept
from stylewatch_daemon.names import candidates, safe, shown
from stylewatch_daemon.scan import Look, look
from stylewatch_daemon.state import State, entry_of

Wishes = Callable[[Path | None], Mapping[str, Any]]
"""What a job.yaml, or there being none, makes of a job's place in the queue: ledger columns."""


@dataclass(frozen=True)
class Terms:
    """What holds for the pairs of an inbox: where paintings go, what becomes of the inputs."""

    inbox: Path
    outbox: Path
    after: str


def no_wishes(job_file: Path | None) -> Mapping[str, Any]:
    """Every job is like every other."""
    return {}


class Claimer:
    """Takes pairs into `state`; `wishes` read a job's own settings, once it is ours."""

    def __init__(self, state: State, wishes: Wishes = no_wishes) -> None:
        self.state, self._wishes = state, wishes
        self._kept = Kept(state.ledger)
        self._fresh: dict[str, Journal] = {}

    def is_kept(self, pair: Pair, looks: Mapping[Path, Look]) -> bool:
        """Whether this very pair was taken before, and left where it was."""
        return self._kept.holds(key_of(pair.content, pair.name), _looks_of_own(pair, looks))

    def take(self, pair: Pair, looks: Mapping[Path, Look], terms: Terms, job_id: str) -> Journal:
        """Make `pair`, whose files looked like `looks`, the job `job_id`.

        Raises InputError where a file has changed or gone meanwhile, OutputError where the files
        cannot be taken; in both cases everything lies in the inbox as before.
        """
        journal = Journal(
            id=job_id,
            name=pair.name,
            inbox=terms.inbox,
            outbox=terms.outbox,
            after=terms.after,
            files=tuple(_files(pair, looks)),
            folder=pair.folder,
        )
        folder = self.state.claims / job_id
        try:
            durable.make_folder(folder / "files")
            save(journal, folder)
            self._gather(journal)
        except (OSError, InputError) as error:
            self._give_back(journal)
            if isinstance(error, DaemonError):
                raise
            raise _cannot_take(pair, error) from error
        return self._commit(journal)

    @property
    def has_fresh(self) -> bool:
        """Whether there is something that the ledger could not be told."""
        return bool(self._fresh)

    def go_on(self) -> None:
        """Tell the ledger again of what it could not be told; `told` is for when that is safe."""
        for journal in list(self._fresh.values()):
            self._let_go(journal)

    def told(self) -> None:
        """All that was taken is safe in the ledger."""
        self._fresh.clear()

    def recover(self) -> dict[str, str]:
        """Finish the claims that were cut off; what cannot be finished is given back.

        What can be neither, now, stays safe in the state folder until the next start: the names
        of those jobs, each with the reason.
        """
        stuck = {}
        self._kept.take_over(self.state.kept)
        self.state.enter_strays()
        for folder in sorted(self.state.claims.iterdir()):
            if not (folder / "job.json").exists():  # it comes first, so there is nothing yet
                durable.discard(folder, self.state.trash)
                continue
            journal = load(folder)
            try:
                self._finish_or_give_back(journal)
            except OSError as error:
                stuck[journal.name] = f"taking it was cut off, and cannot be finished: {error}"
        for job_id in sorted(self.state.ledger.ids("claimed")):
            if (self.state.jobs / job_id).exists():
                self._let_go(load(self.state.jobs / job_id))
        self.state.align()
        self.told()
        return stuck

    def _finish_or_give_back(self, journal: Journal) -> None:
        try:
            self._gather(journal)
        except (OSError, InputError):
            self._give_back(journal)
        else:
            self._commit(journal)

    def _gather(self, journal: Journal) -> None:
        folder = self.state.claims / journal.id / "files"
        for file in sorted(journal.files, key=journal.moves):
            if not (folder / file.name).exists():
                _bring(file, folder / file.name, moves=journal.moves(file))

    def _commit(self, journal: Journal) -> Journal:
        durable.rename_folder(self.state.claims / journal.id, self.state.jobs / journal.id)
        self._fresh[journal.id] = journal
        return self._let_go(journal)

    def _let_go(self, journal: Journal) -> Journal:
        """Remove from the inbox what is ours now, or remember that it stays; then it queues."""
        content = next(file for file in journal.files if file.role == "content")
        leaves = _remove(journal) and journal.moves(content)
        queued = replace(journal, state="queued")
        wishes = self._wishes(self.state.job_file(queued))
        with self.state.ledger.together():
            if leaves:
                self._kept.forget(content.source)
            elif not journal.retry_of:  # which took nothing from an inbox
                self._remember(journal, content)
            self.state.ledger.enter([entry_of(queued, **wishes)])
        return queued

    def _remember(self, journal: Journal, content: File) -> None:
        held = self.state.jobs / journal.id / "files"
        own = [file for file in journal.files if file.own or file is content]
        digests = {file.source: (file.look, durable.digest(held / file.name)) for file in own}
        self._kept.remember(key_of(content.source, journal.name), content.source, digests)

    def _give_back(self, journal: Journal) -> None:
        """Put every file back whose original is no longer there, and drop the claim."""
        claim = self.state.claims / journal.id
        for file in journal.files:
            held = claim / "files" / file.name
            if journal.moves(file) and lexists(held) and look(file.source) != file.look:
                # Into no folder made for it: one that is gone may be a mount, that would come back
                # and lie over the file.
                durable.move(held, _free(file.source))
        if claim.exists():
            durable.discard(claim, self.state.trash)


def _bring(file: File, target: Path, *, moves: bool) -> None:
    """Bring `file` to `target`; raises InputError where it is not what it was, OSError."""
    changed = InputError(f"{shown(file.source.name)} changed while it was being taken")
    try:
        if moves:
            file.source.rename(target)
            if look(target) != file.look:
                raise changed
            durable.sync_file(target)
            durable.sync_folder(target.parent)
            durable.sync_folder(file.source.parent)
            return
    except OSError as error:
        if error.errno != EXDEV:
            raise
    if look(file.source) != file.look:
        raise changed
    read = durable.copy(file.source, target)
    if durable.digest(target) != read or look(file.source) != file.look:
        target.unlink()
        raise changed


def _remove(journal: Journal) -> bool:
    """Remove the originals that were copied; whether all is gone that should be."""
    for file in journal.files:
        if journal.moves(file) and look(file.source) == file.look:
            try:
                file.source.unlink()
                durable.sync_folder(file.source.parent)
            except OSError:  # a folder that may not be written: then they stay, and are remembered
                return False
    if journal.folder is not None:
        with suppress(OSError):  # something else lies in it, or it is gone
            journal.folder.rmdir()
    return True


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """The files of `pair` by their roles, each under a name of its own."""
    roles: list[tuple[Role, tuple[Path | None, ...]]] = [
        ("content", (pair.content,)),
        ("style", pair.styles),
        ("init", (pair.init,)),
        ("mask", pair.masks),
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


def _free(path: Path) -> Path:
    """`path`, or a name like it that nothing has taken."""
    names = (path.with_stem(stem) for stem in candidates(path.stem))
    return next(one for one in names if not lexists(one))


def key_of(content: Path, name: str) -> str:
    """What tells jobs in an inbox apart: one picture may be the content of several."""
    return f"{content}\n{name}"


def _looks_of_own(pair: Pair, looks: Mapping[Path, Look]) -> dict[Path, Look]:
    own = [path for path in pair.files if path is pair.content or path not in pair.shared]
    return {path: looks[path] for path in own}


def _cannot_take(pair: Pair, error: Exception) -> OutputError:
    why = error.strerror if isinstance(error, OSError) else error
    return OutputError(f"{pair.name} cannot be taken out of the inbox: {why}")
