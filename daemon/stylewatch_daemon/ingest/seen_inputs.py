"""Remember inputs that were claimed and stay in their inbox (`after: keep`)."""

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
"""Bytes of the file that remembered inputs before there was a ledger."""


class SeenInputs:
    """Inputs in the `ledger`: how the own files of each job looked, by the job's key.

    A file is the same while name, inode and size are, and either its time or its bytes.
    """

    def __init__(self, ledger: LedgerWriter, transfers: Transfers) -> None:
        self._ledger, self._transfers = ledger, transfers

    def contains(self, key: str, files: dict[Path, Look]) -> bool:
        """Return whether the job called `key` was claimed with exactly these `files`."""
        known = {file["name"]: file for file in self._ledger.kept(_ascii(key))}
        if set(known) != {str(path) for path in files} or not all(
            self._is_same(known[str(path)], path, seen) for path, seen in files.items()
        ):
            return False
        have_changed = [file.pop("is_new", False) for file in known.values()]
        if any(have_changed):
            self._ledger.keep(_ascii(key), _content_of(key), [*known.values()])
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
        work = partial(atomic.digest, path)
        try:
            digest = self._transfers.run(f"digest of {path} {seen}", seen.size, work)
        except InProgressError:
            return True
        except (OSError, InputError):
            return False
        known |= {"mtime_ns": seen.mtime_ns, "is_new": True}
        return bool(digest == known["sha256"])

    def remember(self, key: str, content: Path, files: dict[Path, tuple[Look, str]]) -> None:
        """Remember the job called `key`, each of its files with its look and its SHA-256.

        Without a SHA-256 (empty) a file is the same as long as its time is.
        """
        known = [
            {"name": str(path), "inode": seen.inode, "size": seen.size,
             "mtime_ns": seen.mtime_ns, "sha256": sha256}
            for path, (seen, sha256) in files.items()
        ]  # fmt: skip
        self._ledger.keep(_ascii(key), _ascii(content), known)

    def forget(self, content: Path) -> None:
        """Forget every job with this `content`: the next file of that path is new."""
        self._ledger.forget(_ascii(content))

    def import_file(self, path: Path) -> None:
        """Import and remove the file `path`, which earlier versions had instead of the ledger."""
        if not path.exists():
            return
        damaged = suppress(ValueError, TypeError, AttributeError, RecursionError)
        with damaged, self._ledger.together():
            for key, files in json.loads(atomic.read(path, LONGEST)).items():
                self._ledger.keep(_ascii(key), _content_of(key), files)
        path.unlink()


def _content_of(key: str) -> str:
    return _ascii(key.partition("\n")[0])


def _ascii(text: object) -> str:
    """Return `text` as JSON, where names that are not valid UTF-8 stay distinct."""
    return json.dumps(str(text))
