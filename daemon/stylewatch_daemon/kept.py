"""What was painted and left in its inbox (`after: keep`), so that it is not taken again."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from stylewatch_daemon import durable
from stylewatch_daemon.ledger_writer import LedgerWriter
from stylewatch_daemon.scan import Look, look

LONGEST = 1 << 30
"""Bytes of the file that was kept before there was a ledger."""


class Kept:
    """A memory in the `ledger`: for each job's key, how its own files looked.

    A file is the same while name, inode and size are, and either its time or its bytes.
    """

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger

    def holds(self, key: str, files: dict[Path, Look]) -> bool:
        """Whether the job called `key` was taken with exactly these `files`."""
        known = {one["name"]: one for one in self._ledger.kept(_ascii(key))}
        return set(known) == {str(path) for path in files} and all(
            _same(known[str(path)], path, seen) for path, seen in files.items()
        )

    def remember(self, key: str, content: Path, files: dict[Path, tuple[Look, str]]) -> None:
        """Remember the job called `key`; each of its files with its look and its SHA-256."""
        known = [
            {"name": str(path), "inode": seen.inode, "size": seen.size,
             "mtime_ns": seen.mtime_ns, "sha256": sha256}
            for path, (seen, sha256) in files.items()
        ]  # fmt: skip
        self._ledger.keep(_ascii(key), _ascii(content), known)

    def forget(self, content: Path) -> None:
        """Forget every job with this `content`: whatever comes to lie there next is new."""
        self._ledger.forget(_ascii(content))

    def take_over(self, path: Path) -> None:
        """Take in what the file `path`, from before there was a ledger, remembers; it goes."""
        if not path.exists():
            return
        damaged = suppress(ValueError, TypeError, AttributeError, RecursionError)
        with damaged, self._ledger.together():
            for key, files in json.loads(durable.read(path, LONGEST)).items():
                self._ledger.keep(_ascii(key), _ascii(key.partition("\n")[0]), files)
        path.unlink()


def _ascii(text: object) -> str:
    """`text` as JSON writes it, which keeps bytes that were no text apart from one another."""
    return json.dumps(str(text))


def _same(known: dict[str, Any], path: Path, seen: Look) -> bool:
    if (known["inode"], known["size"]) != (seen.inode, seen.size):
        return False
    if known["mtime_ns"] == seen.mtime_ns:
        return True
    return look(path) == seen and bool(durable.digest(path) == known["sha256"])
