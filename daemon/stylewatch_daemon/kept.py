"""What was painted and left in its inbox (`after: keep`), so that it is not taken again."""

import json
from pathlib import Path
from typing import Any

from stylewatch_daemon import durable
from stylewatch_daemon.scan import Look, look


class Kept:
    """A memory in the file `path`: for each job's key, how its own files looked.

    A file is the same while name, inode and size are, and either its time or its bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: dict[str, list[dict[str, Any]]] = {}
        if path.exists():
            self._jobs = json.loads(path.read_text("ascii"))

    def holds(self, key: str, files: dict[Path, Look]) -> bool:
        """Whether the job called `key` was taken with exactly these `files`."""
        known = {one["name"]: one for one in self._jobs.get(key, [])}
        return set(known) == {str(path) for path in files} and all(
            _same(known[str(path)], path, seen) for path, seen in files.items()
        )

    def remember(self, key: str, files: dict[Path, tuple[Look, str]]) -> None:
        """Remember the job called `key`; each of its files with its look and its SHA-256."""
        self._jobs[key] = [
            {"name": str(path), "inode": seen.inode, "size": seen.size,
             "mtime_ns": seen.mtime_ns, "sha256": sha256}
            for path, (seen, sha256) in files.items()
        ]  # fmt: skip
        self._save()

    def forget(self, content: Path) -> None:
        """Forget every job with this `content`: whatever comes to lie there next is new."""
        name = str(content)
        gone = [key for key, files in self._jobs.items() if any(f["name"] == name for f in files)]
        if gone:
            self._jobs = {key: job for key, job in self._jobs.items() if key not in gone}
            self._save()

    def _save(self) -> None:
        durable.write(self._path, json.dumps(self._jobs).encode("ascii"))


def _same(known: dict[str, Any], path: Path, seen: Look) -> bool:
    if (known["inode"], known["size"]) != (seen.inode, seen.size):
        return False
    if known["mtime_ns"] == seen.mtime_ns:
        return True
    return look(path) == seen and bool(durable.digest(path) == known["sha256"])
