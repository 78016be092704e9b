"""What was painted and left in its inbox (`after: keep`), so that it is not taken again."""

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import InProgressError, InputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.store.ledger_writer import LedgerWriter

LONGEST = 1 << 30
"""Bytes of the file that was kept before there was a ledger."""


class Kept:
    """A memory in the `ledger`: for each job's key, how its own files looked.

    A file is the same while name, inode and size are, and either its time or its bytes.
    """

    def __init__(self, ledger: LedgerWriter, transfers: Transfers | None = None) -> None:
        self._ledger, self._transfers = ledger, transfers or Transfers()

    def holds(self, key: str, files: dict[Path, Look]) -> bool:
        """Whether the job called `key` was taken with exactly these `files`."""
        known = {one["name"]: one for one in self._ledger.kept(_ascii(key))}
        if set(known) != {str(path) for path in files} or not all(
            self._is_same(known[str(path)], path, seen) for path, seen in files.items()
        ):
            return False
        if any(one.pop("is_news", False) for one in known.values()):  # so that none is read again
            self._ledger.keep(_ascii(key), _ascii(key.partition("\n")[0]), [*known.values()])
        return True

    def _is_same(self, known: dict[str, Any], path: Path, seen: Look) -> bool:
        """Whether a file is the `known` one; while a long one is compared it counts as that."""
        is_alike = (known["inode"], known["size"]) == (seen.inode, seen.size)
        if not is_alike or known["mtime_ns"] == seen.mtime_ns:
            return is_alike
        if not known["sha256"] or look(path) != seen:
            return False
        work = partial(atomic.digest, path)
        try:
            digest = self._transfers.run(f"digest of {path} {seen}", seen.size, work)
        except InProgressError:
            return True
        except (OSError, InputError):
            return False
        known |= {"mtime_ns": seen.mtime_ns, "is_news": True}
        return bool(digest == known["sha256"])

    def remember(self, key: str, content: Path, files: dict[Path, tuple[Look, str]]) -> None:
        """Remember the job called `key`; each of its files with its look and its SHA-256.

        A SHA-256 may be empty: then the file is the same as long as its time is.
        """
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
            for key, files in json.loads(atomic.read(path, LONGEST)).items():
                self._ledger.keep(_ascii(key), _ascii(key.partition("\n")[0]), files)
        path.unlink()


def _ascii(text: object) -> str:
    """`text` as JSON writes it, which keeps bytes that were no text apart from one another."""
    return json.dumps(str(text))
