"""Accounts: access of root to files as the owner of a folder (law 27), and owners in messages.

A daemon runs as the owner of its folders. It could not use files there that belong to root.
"""

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.names import shown

ROOT = 0


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Make root access files in this thread as the owner of `folder`, until the context ends.

    If the folder does not exist, its nearest existing parent counts. New files belong to the owner,
    and root can do nothing that the owner could not do. Nothing changes for users other than root,
    nor for folders of root. Raises OutputError if root cannot act as the owner: only Linux has
    file-system users for single threads.
    """
    status = _nearest_status(folder) if os.geteuid() == ROOT else None
    if status is None or status.st_uid == ROOT:
        yield
        return
    try:
        if not _act_as(status.st_uid, status.st_gid):
            raise OutputError(
                f"{shown(folder)} is for {_name(status.st_uid)}, and root cannot act as that one "
                "here: run this as that user"
            )
        yield
    finally:
        _act_as(ROOT, os.getegid())


def _act_as(user: int, group: int) -> bool:
    """Make root access files in this thread as another user; return False if that is impossible."""
    import ctypes  # only here: few commands need it

    library = ctypes.CDLL(None)
    if not hasattr(library, "setfsuid"):  # Linux alone has it
        return False
    library.setfsgid(group)
    library.setfsuid(user)
    current = (library.setfsuid(-1), library.setfsgid(-1))  # no user has this number
    return current == (user, group)


def _nearest_status(folder: Path) -> os.stat_result:
    """Return the status of a folder, or of its nearest parent that exists."""
    for path in (folder, *folder.parents):
        status = entries.target_status(path)
        if status is not None:
            return status
    raise AssertionError(f"{folder} is not absolute")


def whose(path: Path) -> str:
    """Return why this user may not use an entry: its owner and mode, and a command if one helps."""
    status = entries.attempt_status(path)
    if status is None:
        return "it cannot be looked at"
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    user = os.geteuid()
    if status.st_uid == user:
        return f"it belongs to this user, but its {mode} or its disk forbids that"
    option = "-R " if stat.S_ISDIR(status.st_mode) else ""
    return (
        f"it belongs to {_name(status.st_uid)} ({mode}), and stylewatch is {_name(user)}; "
        f"`chown {option}{user} {shown(path)}` by root helps"
    )


@contextmanager
def explained(path: Path, done: str) -> Iterator[None]:
    """Replace the text of an EPERM error of the block by one that describes the owner of `path`.

    The text says that the entry cannot be `done`, such as "moved", and why: see `whose`. For
    example, in a folder with the sticky bit only the owner of an entry, or of the folder, may move
    the entry.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPERM:
            error.strerror = f"it cannot be {done}: {whose(path)}"
        raise


def _name(user: int) -> str:
    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:  # an account without an entry, as in a container
        return f"user {user}"
