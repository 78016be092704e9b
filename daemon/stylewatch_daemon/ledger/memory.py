"""Memory of inboxes: which of their files were painted, by content (law 3).

With `after: keep` a picture is known by its digest and by those of the files it is painted with,
not by its path, its inode or its time, and not by the job, which may be deleted. Files that were
left out with a job, such as the clip of a live photo, are remembered in the same way.

What was painted is never forgotten because a file is missing: what is missing may be moved. Only
if its content arrives after it was certainly in no inbox any more has somebody dropped it again.
What came first is told by the numbers of scans: the times of files are anybody's, and clocks err.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import is_picture

Roles = Sequence[tuple[str, str]]
"""Roles of the files of a pair, each with the SHA-256 of the file."""


class Seen(NamedTuple):
    """A file that stays in an `inbox`, and how it looked when its digest was taken.

    `disk` identifies the disk of the inbox, and is empty if version 1 recorded the file; both are
    empty for a file of the style library. `left_out` says why a file is not painted. `gone` is the
    number of the scan that confirmed that it is not there any more.
    """

    path: str
    inbox: str
    disk: str
    size: int
    mtime_ns: int
    sha256: str = ""
    left_out: str = ""
    gone: int | None = None

    @property
    def look(self) -> Look:
        """Look of the file when it was seen."""
        return Look(self.size, self.mtime_ns)


class Painted(NamedTuple):
    """Pair that stays in its inbox, and the job that paints it."""

    key: str
    digests: frozenset[str]
    path: str
    job: str


def key_of(roles: Roles) -> str:
    """Return the key of a pair: a digest of its files' digests with their roles.

    The order of styles counts, the order of roles does not.
    """
    return _digest(sorted(roles, key=lambda role: role[0]))


BEFORE = "it was painted by an earlier version"
"""Why a file is left out that version 1 copied, and was to remove or had not hashed."""


def files_of_kept(record: str) -> str:
    """Return, as JSON, rows of `seen` for the files of a record of version 1 of the ledger."""
    plain = json.loads(record)
    rows = []
    for file in plain["files"]:
        left_out = BEFORE if plain["doomed"] or not file["sha256"] else ""
        values = (file["size"], file["mtime_ns"], file["sha256"], left_out)
        rows.append([json.dumps(file["path"]), plain["inbox"], *values])
    return json.dumps(rows)


def files_of_job(inputs: str) -> str:
    """Return, as JSON, path, size and digest of the inputs of a job of version 1."""
    files = (file for file in json.loads(inputs) if file.get("sha256"))
    return json.dumps(
        [[json.dumps(file["source"]), file["size"], file["sha256"]] for file in files]
    )


def keys_of_kept(key: str, record: str, inputs: str | None) -> str:
    """Return, as JSON, the keys of a pair that version 1 of the ledger kept.

    `record` is its record, and `inputs` are those of its job, if that still exists. Version 1 knew
    the digests of a pair's own files alone, so the job is asked for those of its styles; without
    it, the pair counts as painted with any style.
    """
    plain = json.loads(record)
    own = {file["path"]: file["sha256"] for file in plain["files"]}
    files = json.loads(inputs) if inputs else []
    digests = [own.get(file["source"]) or file.get("sha256", "") for file in files]
    if digests and all(digests):
        pairs = zip((file["role"] for file in files), digests, strict=True)
        return json.dumps([key_of([*pairs])])
    name = json.loads(key).rpartition("\n")[2]
    return json.dumps([former_key(name, own.values())] if all(own.values()) else [])


def former_key(name: str, digests: Collection[str]) -> str:
    """Return the key under which version 1 knew a pair called `name`, by its own files' digests."""
    return _digest([name, *sorted(digests)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


class Verdict(StrEnum):
    """Answer to the question whether a pair has been painted."""

    NEW = "new"
    PAINTED = "painted"
    UNKNOWN = "unknown"
    """Some of its files have to be hashed first."""


@dataclass(frozen=True)
class Judgment:
    """What the memory knows of a pair."""

    verdict: Verdict
    unknown: tuple[Path, ...] = ()
    """Files to hash."""
    equal: str = ""
    """Path under which the same content was painted, if it is another one."""


@dataclass(frozen=True)
class Memory:
    """What the ledger remembers of all inboxes, at one moment; `painted` maps keys to paths."""

    seen: Mapping[tuple[str, str], Seen] = field(default_factory=dict)
    """Records by disk and path."""
    painted: Mapping[str, str] = field(default_factory=dict)
    sizes: frozenset[int] = frozenset()

    def of(self, disk: str, path: Path, look: Look, *, local_time: bool = False) -> Seen | None:
        """Return the record of a file on a disk that has not changed since; None if none is.

        A clip that was left out is known by its name: it may be written on.
        """
        name = str(path)
        record = self.seen.get((disk, name)) or self.seen.get(("", name))
        if record is None or (record.left_out and not is_picture(path)):
            return record
        return record if record.look.resembles(look, local_time=local_time) else None

    def judge(
        self,
        name: str,
        roles: Sequence[tuple[str, Path]],
        own: Collection[Path],
        sizes: Mapping[Path, int],
        records: Mapping[Path, Seen | None],
    ) -> Judgment:
        """Judge a pair called `name`, with the main file first; `own` are not shared by pairs.

        `records` are those of its files, which have these `sizes` in bytes. A file of a size that
        no record has is new, and so is its pair. A pair that version 1 painted may be known by its
        own files alone: that version recorded no others.
        """
        known = {path: seen.sha256 for path, seen in records.items() if seen and seen.sha256}
        keys = []
        if len(known) == len(records):
            keys.append(key_of([(role, known[path]) for role, path in roles]))
        if known.keys() >= {*own}:
            keys.append(former_key(name, [known[path] for path in records if path in own]))
        for key in keys:
            path_then = self.painted.get(key)
            if path_then is not None:
                main = str(roles[0][1])
                return Judgment(Verdict.PAINTED, equal="" if path_then == main else path_then)
        unknown = [path for path in records if path not in known]
        if not unknown or any(sizes[path] not in self.sizes for path in unknown):
            return Judgment(Verdict.NEW)
        return Judgment(Verdict.UNKNOWN, tuple(unknown))
