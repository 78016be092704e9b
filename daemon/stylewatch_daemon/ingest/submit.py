"""Puts a pair into an inbox as a careful user would: the daemon sees all of it at once, or none."""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from stylewatch_daemon.errors import OutputError, UsageError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import candidates, safe
from stylewatch_daemon.ingest.filenames import PICTURES
from stylewatch_daemon.ingest.scan import IGNORED
from stylewatch_daemon.store.journal import MASK

Files = Mapping[str, Path]
"""The pictures by the names that they get in the job's folder."""

HIDDEN = ".submit-"
"""How the folders begin in which pairs are made ready."""

STALE_S = 3600.0
"""Seconds after which a pair that nobody makes ready any more is cleared away."""

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


def files_of(
    content: Path | None,
    styles: tuple[Path, ...],
    init: Path | None = None,
    masks: Mapping[str, Path] | None = None,
) -> Files:
    """The pictures of a job by the names that say what they are; `masks` come by their roles."""
    names = ["style"] if len(styles) == 1 else [f"style-{n}" for n in range(1, len(styles) + 1)]
    pictures = [("content", content), *zip(names, styles, strict=True), ("init", init)]
    for role, path in (masks or {}).items():
        whose = role.removesuffix(MASK)
        pictures.append((f"{whose if whose in ('content', *names) else names[0]}.mask", path))
    return {f"{name}.{_ending(path)}": path for name, path in pictures if path is not None}


def check_name(name: str, ignored: tuple[str, ...] = ()) -> str:
    """`name`, if an inbox takes a folder of that name for a job; raises UsageError if not."""
    if name != safe(name):
        raise UsageError(f"a job cannot be called {name!r}; {safe(name)!r} would do")
    for pattern in (*IGNORED, *ignored):
        if fnmatchcase(name.casefold(), pattern.casefold()):
            raise UsageError(
                f"an inbox leaves alone what is called as {name!r} ({pattern}): "
                "give the job another name with --name"
            )
    return name


def put(inbox: Path, names: Iterator[str], files: Files, settings: Mapping[str, Any]) -> str:
    """Put `files`, and `settings` as job.yaml, into a folder of the `inbox`; its name.

    It gets the first of `names` that is free. Raises OutputError where that cannot be done, and
    InputError for what is no file.
    """
    if not inbox.is_dir():
        raise OutputError(
            f"the inbox {inbox} is not there; the daemon makes it when it starts, or name another "
            "with --inbox"
        )
    clear(inbox)
    hidden = inbox / f"{HIDDEN}{secrets.token_hex(8)}"
    try:
        hidden.mkdir()
        with _held(hidden):
            _fill(hidden, files, settings)
            _share(hidden, stat.S_IMODE(inbox.stat().st_mode))
            return _place(hidden, inbox, names)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise OutputError(f"the pair cannot be put into the inbox {inbox}: {why}") from error
    finally:
        with suppress(OSError), _held(hidden) as handle:
            _remove(hidden, handle)


def clear(inbox: Path) -> None:
    """Remove pairs that were being made ready in `inbox` by processes that are gone.

    They held copies: what they were made from is elsewhere.
    """
    for folder in inbox.glob(f"{HIDDEN}{'[0-9a-f]' * 16}"):
        with suppress(OSError):
            if time.time() - _changed(folder) >= STALE_S:
                with _held(folder) as handle:
                    _remove(folder, handle)


def _remove(folder: Path, handle: int) -> None:
    """Remove a folder, opened as `handle`, with its files.

    One that holds folders was not made by `put` and stays, with a tree that may be of any depth.
    """
    with os.scandir(handle) as entries:
        names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    for name in names:
        os.unlink(name, dir_fd=handle)
    folder.rmdir()


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    """Hold a folder, opened, as long as we are at it; OSError where another process holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks: there only time tells
            pass
        yield handle
    finally:
        os.close(handle)


def _changed(folder: Path) -> float:
    """When something was changed in `folder` last, Unix time in seconds."""
    return max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))


def free(name: str, *folders: Path) -> Iterator[str]:
    """`name`, `name-2` ... without those that are taken in one of `folders`."""
    for one in candidates(name):
        if not any((folder / one).exists() for folder in folders):
            yield one


def _fill(folder: Path, files: Files, settings: Mapping[str, Any]) -> None:
    for name, path in files.items():
        atomic.copy(path.resolve(), folder / name)
    if settings:
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        atomic.write(folder / "job.yaml", text.encode())


def _share(folder: Path, mode: int) -> None:
    """Let those take the pair out again who may take things out of the inbox, as the daemon."""
    for path in folder.iterdir():
        path.chmod(mode & 0o666 | 0o600)
    folder.chmod(mode & ~stat.S_ISVTX)


def _place(hidden: Path, inbox: Path, names: Iterator[str]) -> str:
    while True:
        name = next(names)
        try:
            atomic.rename_folder(hidden, inbox / name)
        except OSError as error:  # someone was quicker
            if error.errno not in _TAKEN:
                raise
        else:
            return name


def _ending(path: Path) -> str:
    """The ending that the daemon knows the picture by; what it is, its bytes tell."""
    ending = path.suffix[1:].lower()
    return ending if ending in PICTURES else "img"
