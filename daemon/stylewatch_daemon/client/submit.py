"""Submission of pairs to an inbox: the daemon sees either a whole pair or nothing."""

import errno
import re
import secrets
import stat
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from stylewatch_daemon.base.errors import OutputError, UsageError
from stylewatch_daemon.base.model import MASK
from stylewatch_daemon.client.operations import disks_of, open_ledger
from stylewatch_daemon.files import account, atomic, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.leftovers import leftover
from stylewatch_daemon.files.names import CONTENT_SUFFIXES, candidates, folded, safe, shown

Files = Mapping[str, Path]
"""The pictures, by their names in the job's folder."""

HIDDEN = ".submit-"
"""Prefix of the folders in which pairs are prepared."""

_STYLE = re.compile("style(-[0-9]+)?")

_HIDDEN = re.compile(rf"{re.escape(HIDDEN)}[0-9a-f]{{16}}")

STALE_S = 24 * 3600.0
"""Age in seconds at which an unchanged prepared pair counts as abandoned. It is longer than copying
all pairs of a submission takes, and than clocks and time zones may differ."""

_EXISTS = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


class NewJob(NamedTuple):
    """A job to submit: its preferred name, its settings, and its pictures.

    `originals` has the names by which people know the files, for files whose paths have other
    names.
    """

    name: str
    settings: Mapping[str, Any]
    files: Files
    originals: Mapping[Path, str] = MappingProxyType({})

    @property
    def job_yaml(self) -> Mapping[str, Any]:
        """The content of job.yaml: the settings, and the original names of renamed files."""
        originals = {
            name: shown(self.originals.get(path, path.name)) for name, path in self.files.items()
        }
        renamed = {name: original for name, original in originals.items() if name != original}
        return {**self.settings, "file_names": renamed} if renamed else self.settings


def files_of(
    content: Path | None,
    styles: tuple[Path, ...],
    init: Path | None = None,
    masks: Mapping[str, Path] | None = None,
) -> Files:
    """Return the pictures of a job by their names in the inbox; `masks` are given by role."""
    names = ["style"] if len(styles) == 1 else [f"style-{n}" for n in range(1, len(styles) + 1)]
    pictures = [("content", content), *zip(names, styles, strict=True), ("init", init)]
    for role, path in (masks or {}).items():
        of = role.removesuffix(MASK)
        pictures.append((f"{of if of in ('content', *names) else names[0]}.mask", path))
    files = {}
    for name, picture in pictures:
        if picture is not None:
            suffix = picture.suffix[1:].lower()
            # The suffix makes the daemon recognize a picture; the format is detected from its
            # bytes.
            files[f"{name}.{suffix if suffix in CONTENT_SUFFIXES else 'img'}"] = picture
    return files


def checked_name(name: str, ignored: tuple[str, ...]) -> str:
    """Return the name of a job in composed Unicode (NFC), as its folder in an inbox is called.

    `ignored` are the patterns of names that the inbox ignores, besides those of leftover files.
    Raises UsageError if the inbox does not accept such a folder.
    """
    name = unicodedata.normalize("NFC", name)
    if name != safe(name):
        raise UsageError(f"a job cannot be called {name!r}; {safe(name)!r} would do")
    row = leftover(name)
    patterns = ignored if row is None else (row.pattern, *ignored)
    for pattern in patterns:
        if fnmatchcase(folded(name), folded(pattern)):
            raise UsageError(
                f"an inbox ignores names like {name!r} ({pattern}): give the job another name"
            )
    return name


def free(name: str, *folders: Path) -> Iterator[str]:
    """Yield `name`, `name-2` and so on, leaving out those that exist in one of `folders`.

    The names in an outbox whose disk is away are unknown. So two jobs may get the same name, until
    the daemon publishes them and adds a number.
    """
    for candidate in candidates(name):
        if not any(entries.is_taken(folder / candidate) for folder in folders):
            yield candidate


def put_all(
    state: Path, jobs: Iterable[NewJob], inbox: Path, *others: Path, is_kept: bool = False
) -> Iterator[str]:
    """Put jobs into an inbox, and yield the name that each gets; raises as `put` does.

    All jobs are prepared before the first is in the inbox: if a file cannot be copied, none is
    submitted. Each name is new to the ledger, and free in the inbox and in the folders `others`.

    If `is_kept`, the pairs stay in the inbox, and pairs with known content are not painted (law 3).
    But submitted pairs are to be painted in any case, so each job.yaml gets a unique line, which
    makes its pair a new one.
    """
    guard = disks_of(state, inbox)
    with ExitStack() as stack:
        prepared = [
            (job.name, stack.enter_context(_prepared(inbox, guard, job.files, _text(job, is_kept))))
            for job in jobs
        ]
        for wanted, hidden in prepared:
            with _reporting(inbox), open_ledger(state) as ledger:
                unused = (
                    name
                    for name in free(wanted, inbox, *others)
                    if ledger is None or ledger.find(name) is None
                )
                name = _rename(hidden, inbox, unused)
            yield name


def put(
    inbox: Path,
    guard: MountGuard,
    names: Iterator[str],
    files: Files,
    settings: Mapping[str, Any],
) -> str:
    """Put `files`, and `settings` as job.yaml, into a new folder of `inbox`; return its name.

    The folder gets the first of `names` that is free. Raises OutputError if the inbox cannot be
    written or its disk is missing, and InputError for an input that is not a regular file.
    """
    with _prepared(inbox, guard, files, _yaml(settings)) as hidden, _reporting(inbox):
        return _rename(hidden, inbox, names)


def _yaml(settings: Mapping[str, Any]) -> str:
    """Return the text of a job.yaml with `settings`; empty if there are none."""
    if not settings:
        return ""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)


def _text(job: NewJob, is_kept: bool) -> str:
    """Return the text of the job.yaml of `job`; if `is_kept`, with a unique comment in it."""
    own = f"# submission {secrets.token_hex(8)}, painted even if its pictures were painted before\n"
    return _yaml(job.job_yaml) + (own if is_kept else "")


@contextmanager
def _prepared(inbox: Path, guard: MountGuard, files: Files, job_yaml: str) -> Iterator[Path]:
    """Prepare a pair in a hidden folder of `inbox`, and yield the path of this folder.

    At the end, the folder is removed unless it was renamed. Raises OutputError if `inbox` cannot be
    written or does not exist, InputError for an input that is not a regular file.
    """
    with _reporting(inbox):
        with guard.checked(inbox):
            found = entries.target_status(inbox)
        if found is None:
            raise OutputError(
                f"the inbox {inbox} does not exist: create it, or mount its disk; the daemon makes "
                "it, too, when it starts"
            )
    hidden = inbox / f"{HIDDEN}{secrets.token_hex(8)}"
    try:
        with _reporting(inbox), guard.checked(inbox), ExitStack() as stack:
            # root may read what the owner of the inbox may not
            pictures = {
                name: stack.enter_context(atomic.open_regular(path, follow=True))
                for name, path in files.items()
            }
            with account.owning(inbox):
                _prepare(hidden, pictures, job_yaml, stat.S_IMODE(found.st_mode))
        # a disk that goes now takes the prepared folder with it: nothing is left to rename
        yield hidden
    finally:
        with account.owning(inbox):
            entries.attempt_removal(hidden)


def main_pictures(guard: MountGuard, inbox: Path, name: str) -> frozenset[str] | None:
    """Return the file names of the content or, without one, of the styles in the folder of a pair.

    The result is empty if somebody has removed them, or the daemon has taken them. It is None if
    that is unknown, because the folder or its disk cannot be looked at now (law 2).
    """
    try:
        with _reporting(inbox), guard.checked(inbox):
            names = entries.names(inbox / name)
    except OutputError:
        return None
    contents = frozenset(each for each in names if PurePath(each).stem == "content")
    return contents or frozenset(each for each in names if _STYLE.fullmatch(PurePath(each).stem))


@contextmanager
def _reporting(inbox: Path) -> Iterator[None]:
    """Convert an OSError in the context to an OutputError about the inbox."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise OutputError(f"the pair cannot be put into the inbox {inbox}: {reason}") from error


def _prepare(
    hidden: Path, pictures: Mapping[str, BufferedReader], job_yaml: str, mode: int
) -> None:
    """Make the folder `hidden` with the files of a pair, and with the permissions of the inbox.

    `mode` has these permissions: whoever may take files out of the inbox may also move the pair.
    """
    entries.make_folder(hidden)
    for name, picture in pictures.items():
        with atomic.replacing(hidden / name) as copy:
            atomic.copy_into(picture, copy)
    if job_yaml:
        atomic.write(hidden / "job.yaml", job_yaml.encode())
    for name in entries.names(hidden):
        entries.attempt_mode(hidden / name, mode & 0o666 | 0o600)
    entries.attempt_mode(hidden, mode & ~stat.S_ISVTX)


def _rename(hidden: Path, inbox: Path, names: Iterator[str]) -> str:
    """Rename the folder `hidden` to the first free name of `names` in `inbox`; return the name."""
    for name in names:
        try:
            with account.owning(inbox):
                atomic.move(hidden, inbox / name)
        except OSError as error:  # another process took the name first
            if error.errno not in _EXISTS:
                raise
        else:
            return name
    raise AssertionError("the names never end")


def clear(inbox: Path) -> None:
    """Remove from `inbox` prepared pairs that have been abandoned; they contain only copies."""
    for name in entries.names(inbox):
        if _HIDDEN.fullmatch(name):
            entries.attempt_removal_if_old(inbox / name, time.time() - STALE_S)
