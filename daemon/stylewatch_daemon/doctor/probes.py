"""Trials of what the daemon does on disks, with small hidden files that are removed again.

Each public function returns a remark if the disk makes the daemon work in another way, or an empty
text. All raise OSError if the disk cannot be written.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylewatch_daemon.files import atomic, entries, safe_dirs
from stylewatch_daemon.files.system import system
from stylewatch_daemon.outbox.publish import STAGING

FILE, CONTENT = "probe", b"can this be moved?"

CROSSING = "renames between its folders fail, so files are copied instead"
"""Remark on a disk where a union file system, a bind mount or a quota prevents renames from folder
to folder (law 6)."""

COPIED = "it takes no links to the outbox, so final pictures are copied"


def publish(outbox: Path) -> str:
    """Try to move a file from the staging folder of an outbox into a new folder there."""
    with (
        safe_dirs.opened(outbox, STAGING) as staging,
        safe_dirs.opened(outbox) as root,
        _made(staging) as made,
        _made(root) as published,
    ):
        atomic.write(FILE, CONTENT, made, durable=False)
        if entries.rename(FILE, FILE, made, published):
            return ""
        atomic.move(FILE, FILE, made, published)
    return CROSSING


def link(outbox: Path, finals: Path) -> str:
    """Try to link a file of an outbox in a finals folder, or else to copy it there."""
    name = _hidden()
    with (
        safe_dirs.opened(outbox) as root,
        safe_dirs.opened(finals) as target,
        _made(root) as made,
    ):
        atomic.write(FILE, CONTENT, made, durable=False)
        try:
            if entries.link(FILE, name, made, target):
                return ""
            atomic.copy(FILE, name, made, target_folder=target)
        finally:
            entries.unlink(name, target)
    return COPIED


def claim(inbox: Path, state: Path) -> str:
    """Try to rename a file from an inbox into the state folder, or else below the inbox."""
    name = _hidden()
    with safe_dirs.opened(inbox) as source, _made(source) as inner:
        atomic.write(name, CONTENT, source, durable=False)
        try:
            if entries.is_folder(state) and system.access(state, os.W_OK | os.X_OK):
                with safe_dirs.opened(state) as target:
                    if entries.rename(name, name, source, target):
                        entries.unlink(name, target)
                        return ""
            return "" if entries.rename(name, FILE, source, inner) else CROSSING
        finally:
            entries.unlink(name, source)


def _hidden() -> str:
    """Return a new hidden name; the daemon removes the files that a killed probe has left."""
    return f".{secrets.token_hex(atomic.RANDOM)}.tmp"


@contextmanager
def _made(folder: int) -> Iterator[int]:
    """Make a hidden folder in an opened folder, and yield its handle; remove it in the end."""
    name = _hidden()
    system.mkdir(name, dir_fd=folder)
    try:
        with entries.opened(name, folder) as handle:
            yield handle
    finally:
        entries.remove(name, folder)
