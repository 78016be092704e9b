"""Puts a pair into an inbox as a careful user would: the daemon sees all of it at once, or none."""

import errno
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from stylewatch_daemon import durable
from stylewatch_daemon.errors import OutputError, UsageError
from stylewatch_daemon.names import candidates, safe
from stylewatch_daemon.parts import PICTURES
from stylewatch_daemon.scan import IGNORED

Files = Mapping[str, Path]
"""The pictures by the names that they get in the job's folder."""

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


def files_of(content: Path, styles: tuple[Path, ...], init: Path | None = None) -> Files:
    """The pictures of a job by the names that say what they are."""
    names = ["style"] if len(styles) == 1 else [f"style-{n}" for n in range(1, len(styles) + 1)]
    pictures = [("content", content), *zip(names, styles, strict=True)]
    if init is not None:
        pictures.append(("init", init))
    return {f"{name}.{_ending(path)}": path for name, path in pictures}


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
    hidden = inbox / f".submit-{secrets.token_hex(8)}"
    try:
        hidden.mkdir()
        _fill(hidden, files, settings)
        _share(hidden, stat.S_IMODE(inbox.stat().st_mode))
        return _place(hidden, inbox, names)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise OutputError(f"the pair cannot be put into the inbox {inbox}: {why}") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def free(name: str, *folders: Path) -> Iterator[str]:
    """`name`, `name-2` ... without those that are taken in one of `folders`."""
    for one in candidates(name):
        if not any((folder / one).exists() for folder in folders):
            yield one


def _fill(folder: Path, files: Files, settings: Mapping[str, Any]) -> None:
    for name, path in files.items():
        durable.copy(path.resolve(), folder / name)
    if settings:
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        durable.write(folder / "job.yaml", text.encode())


def _share(folder: Path, mode: int) -> None:
    """Let those take the pair out again who may take things out of the inbox, as the daemon."""
    for path in folder.iterdir():
        path.chmod(mode & 0o666 | 0o600)
    folder.chmod(mode & ~stat.S_ISVTX)


def _place(hidden: Path, inbox: Path, names: Iterator[str]) -> str:
    while True:
        name = next(names)
        try:
            durable.rename_folder(hidden, inbox / name)
        except OSError as error:  # someone was quicker
            if error.errno not in _TAKEN:
                raise
        else:
            return name


def _ending(path: Path) -> str:
    """The ending that the daemon knows the picture by; what it is, its bytes tell."""
    ending = path.suffix[1:].lower()
    return ending if ending in PICTURES else "img"
