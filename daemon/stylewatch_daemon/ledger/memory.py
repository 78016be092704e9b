"""Memory of inboxes: which of their files were painted, by content (law 3).

With `after: keep` a picture is known by its digest and the digests of the files with which it is
painted, not by its path, its inode or its time, and not by the job, which may be deleted. Files
that were left out with a job, such as the clip of a live photo, are remembered in the same way.

A painted pair is never forgotten because a file is missing: the file may have been moved. A file
counts as dropped again only if its content arrives after it had certainly left all inboxes. The
numbers of scans give the order of events, because anybody can set the times of files, and clocks
may be wrong.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import is_picture

Roles = Sequence[tuple[str, str]]
"""Roles of the files of a pair, each with the SHA-256 of the file."""


class Seen(NamedTuple):
    """Record of a file that stays in an `inbox`, with its look when its digest was taken.

    `size` is in bytes. `disk` is the identity of its disk, and is empty if version 1 recorded the
    file. Inbox and disk are empty for a file of the style library. `sha256` is empty if the file
    was not hashed. `left_out` says why a file is not painted, and is empty for all others. `gone`
    is the number of the scan that confirmed that the file is not there any more, else None.
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
    """Record of a pair that stays in its inbox, and of the id of the `job` that paints it.

    `digests` are the SHA-256 digests of all files of the pair, `path` is the path of its main file.
    """

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
"""Reason to leave out a file that version 1 copied but did not hash, or was to remove later."""


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
    """Return, as JSON, path, size and digest of the inputs with a digest of a job of version 1."""
    files = (file for file in json.loads(inputs) if file.get("sha256"))
    return json.dumps(
        [[json.dumps(file["source"]), file["size"], file["sha256"]] for file in files]
    )


def keys_of_kept(key: str, record: str, inputs: str | None) -> str:
    """Return, as JSON, the keys of a pair that version 1 of the ledger kept.

    `record` is the record of the pair; `inputs` are the inputs of its job, or None if the job no
    longer exists. The record has only the digests of the pair's own files; the inputs also have
    those of its styles. If a digest of an input is unknown, the key is that of `former_key`: the
    pair counts as painted with any style. If a digest of an own file is unknown, there is no key.
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
    """Return the key by which version 1 knew a pair: a digest of its `name` and of `digests`.

    `digests` are those of the pair's own files.
    """
    return _digest([name, *sorted(digests)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


class Verdict(StrEnum):
    """Answer to the question whether a pair has been painted."""

    NEW = "new"
    PAINTED = "painted"
    UNKNOWN = "unknown"
    """Some files of the pair have to be hashed first."""


@dataclass(frozen=True)
class Judgment:
    """Answer of `Memory.judge` about a pair."""

    verdict: Verdict
    unknown: tuple[Path, ...] = ()
    """Files to hash."""
    equal: str = ""
    """Path of the main file when the pair was painted; empty if it still has that path, or if the
    pair was not painted."""


@dataclass(frozen=True)
class Memory:
    """Memory of all inboxes, as the ledger has it at one moment."""

    seen: Mapping[tuple[str, str], Seen] = field(default_factory=dict)
    """Records of files, by disk and path."""
    painted: Mapping[str, str] = field(default_factory=dict)
    """Paths of the main files of painted pairs, by key."""
    sizes: frozenset[int] = frozenset()
    """Sizes of the files whose content is known, in bytes."""

    def of(
        self,
        disk: str,
        path: Path,
        look: Look,
        *,
        local_time: bool = False,
        any_disk: bool = False,
    ) -> Seen | None:
        """Return the record of a file on a disk; None if there is none, or the file has changed.

        `look` is the present look of the file. A clip that was left out is recognized by its path
        alone, because it may still be growing. The identity of a disk may change, by `chown` or a
        restored mark; then a file that was left out, which has no digest, is recognized by its path
        and look (law 3). With `any_disk`, so is every file. `Look.resembles` explains `local_time`.
        """
        name = str(path)
        record = self.seen.get((disk, name)) or self.seen.get(("", name))
        if record is not None and record.left_out and not is_picture(path):
            return record
        if record is not None:
            return record if record.look.resembles(look, local_time=local_time) else None
        for each in self.namesakes(path, look, local_time=local_time):
            if each.path == name and (any_disk or each.left_out):
                return each
        return None

    def namesakes(self, path: Path, look: Look, *, local_time: bool = False) -> Iterator[Seen]:
        """Yield the records, on all disks, of files with this name and look that are not gone.

        A record with another path may be of the same file, if a folder above it was renamed.
        """
        for record in self._present.get((path.name, look.size), ()):
            if record.look.resembles(look, local_time=local_time):
                yield record

    @cached_property
    def _present(self) -> Mapping[tuple[str, int], Sequence[Seen]]:
        """The records of files that are not gone, on all disks, by name and size in bytes."""
        records = defaultdict[tuple[str, int], list[Seen]](list)
        for record in self.seen.values():
            if record.gone is None:
                records[record.path.rpartition("/")[2], record.size].append(record)
        return records

    def judge(
        self,
        name: str,
        roles: Sequence[tuple[str, Path]],
        own: Collection[Path],
        sizes: Mapping[Path, int],
        records: Mapping[Path, Seen | None],
    ) -> Judgment:
        """Return whether a pair called `name` has been painted, as far as the memory tells.

        The main file is the first of `roles`. The `own` files belong to no other pair. `records`
        and `sizes`, in bytes, are those of all files of the pair. A file is new if no record has
        its size, and then its pair is new. A pair that version 1 painted may be known by its own
        files alone, because version 1 recorded no others.
        """
        digests = {path: seen.sha256 for path, seen in records.items() if seen and seen.sha256}
        keys = []
        if len(digests) == len(records):
            keys.append(key_of([(role, digests[path]) for role, path in roles]))
        if digests.keys() >= {*own}:
            keys.append(former_key(name, [digests[path] for path in records if path in own]))
        for key in keys:
            path_then = self.painted.get(key)
            if path_then is not None:
                main = str(roles[0][1])
                return Judgment(Verdict.PAINTED, equal="" if path_then == main else path_then)
        unknown = [path for path in records if path not in digests]
        if not unknown or any(sizes[path] not in self.sizes for path in unknown):
            return Judgment(Verdict.NEW)
        return Judgment(Verdict.UNKNOWN, tuple(unknown))
