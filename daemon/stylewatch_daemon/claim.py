"""Takes a pair out of an inbox, over mounts, without losing it whatever is killed when.

A journal says first what is to be taken. Copies come before renames, as they are what may fail.
Then one rename makes the job ours, and only then are copied originals removed: each only if it is
still the very file that was copied. `recover` finishes what was cut off, or gives it back.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import EXDEV
from os.path import lexists
from pathlib import Path

from stylewatch_daemon import durable
from stylewatch_daemon.errors import DaemonError, InputError, OutputError
from stylewatch_daemon.job import Pair
from stylewatch_daemon.journal import File, Journal, Role, load, save
from stylewatch_daemon.kept import Kept
from stylewatch_daemon.names import candidates, safe, shown
from stylewatch_daemon.scan import Look, look
from stylewatch_daemon.state import State


@dataclass(frozen=True)
class Terms:
    """What holds for the pairs of an inbox: where paintings go, what becomes of the inputs."""

    outbox: Path
    after: str


class Claimer:
    """Takes pairs into `state`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept = Kept(state.kept)

    def is_kept(self, pair: Pair, looks: Mapping[Path, Look]) -> bool:
        """Whether this very pair was taken before, and left where it was."""
        return self._kept.holds(_key(pair.content, pair.name), _looks_of_own(pair, looks))

    def take(self, pair: Pair, looks: Mapping[Path, Look], terms: Terms, job_id: str) -> Journal:
        """Make `pair`, whose files looked like `looks`, the job `job_id`.

        Raises InputError where a file has changed or gone meanwhile, OutputError where the files
        cannot be taken; in both cases everything lies in the inbox as before.
        """
        journal = Journal(
            id=job_id,
            name=pair.name,
            outbox=terms.outbox,
            after=terms.after,
            files=tuple(_files(pair, looks)),
            folder=pair.folder,
        )
        folder = self._state.claims / job_id
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

    def recover(self) -> dict[str, str]:
        """Finish the claims that were cut off; what cannot be finished is given back.

        What can be neither, now, stays safe in the state folder until the next start: the names
        of those jobs, each with the reason.
        """
        stuck = {}
        for folder in sorted(self._state.claims.iterdir()):
            if not (folder / "job.json").exists():  # it comes first, so there is nothing yet
                durable.discard(folder, self._state.trash)
                continue
            journal = load(folder)
            try:
                self._finish_or_give_back(journal)
            except OSError as error:
                stuck[journal.name] = f"taking it was cut off, and cannot be finished: {error}"
        for journal in self._state.waiting():
            if journal.phase == "claiming":
                self._let_go(journal)
        return stuck

    def _finish_or_give_back(self, journal: Journal) -> None:
        try:
            self._gather(journal)
        except (OSError, InputError):
            self._give_back(journal)
        else:
            self._commit(journal)

    def _gather(self, journal: Journal) -> None:
        folder = self._state.claims / journal.id / "files"
        for file in sorted(journal.files, key=journal.moves):
            if not (folder / file.name).exists():
                _bring(file, folder / file.name, moves=journal.moves(file))

    def _commit(self, journal: Journal) -> Journal:
        durable.rename_folder(self._state.claims / journal.id, self._state.jobs / journal.id)
        return self._let_go(journal)

    def _let_go(self, journal: Journal) -> Journal:
        """Remove from the inbox what is ours now, or remember that it stays."""
        content = next(file for file in journal.files if file.role == "content")
        if _remove(journal) and journal.moves(content):
            self._kept.forget(content.source)
        else:
            held = self._state.jobs / journal.id / "files"
            own = [file for file in journal.files if file.own or file is content]
            self._kept.remember(
                _key(content.source, journal.name),
                {file.source: (file.look, durable.digest(held / file.name)) for file in own},
            )
        return self._state.save(journal, phase="waiting")

    def _give_back(self, journal: Journal) -> None:
        """Put every file back whose original is no longer there, and drop the claim."""
        claim = self._state.claims / journal.id
        for file in journal.files:
            held = claim / "files" / file.name
            if journal.moves(file) and lexists(held) and look(file.source) != file.look:
                # Into no folder made for it: one that is gone may be a mount, that would come back
                # and lie over the file.
                durable.move(held, _free(file.source))
        if claim.exists():
            durable.discard(claim, self._state.trash)


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


def _key(content: Path, name: str) -> str:
    return f"{content}\n{name}"


def _looks_of_own(pair: Pair, looks: Mapping[Path, Look]) -> dict[Path, Look]:
    own = [path for path in pair.files if path is pair.content or path not in pair.shared]
    return {path: looks[path] for path in own}


def _cannot_take(pair: Pair, error: Exception) -> OutputError:
    why = error.strerror if isinstance(error, OSError) else error
    return OutputError(f"{pair.name} cannot be taken out of the inbox: {why}")
