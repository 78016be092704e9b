"""Files that are written slowly, or written on while the daemon takes them."""

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account
from tests.simulate.contents import Content
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.disks import Disk
from tests.simulate.plan import Inbox
from tests.simulate.snapshot import read

if TYPE_CHECKING:
    from tests.simulate.world import World

ONCE_WAITS = 2.5
"""Least number of seconds for which a run with `--once` waits for the rest of a file."""


class Writers:
    """Programs of users that have files open for writing."""

    def __init__(self, world: "World", account: Account, files: Files) -> None:
        self._world, self._account, self._files = world, account, files

    def write_slowly(
        self, random: Random, inbox: Inbox, path: str, content: Content, how: str
    ) -> Script:
        """Write a file in two parts, or under another name first, as `how` says."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._account.written_slowly.add(content.token)
        self._account.tokens_at.setdefault(path, set()).add(content.token)
        longest = 3 * self._truncated_s
        pause = random.choice([random.uniform(0.2, 6), random.uniform(6, longest)])
        self._account.being_written += 1
        try:
            if how == "part":
                yield from self._write_part(inbox, path, content, min(pause, 5.0))
            elif how == "slow":
                yield from self._write_in_parts(random, inbox, path, content, pause)
            else:
                half = b"" if how == "empty first" else content.cut(random)
                yield from self._write_again(inbox, path, content, half, pause)
        finally:
            self._account.being_written -= 1

    def _write_part(self, inbox: Inbox, path: str, content: Content, pause: float) -> Script:
        """Write a file under another name, pause, and rename it."""
        part = f"{path}.part"
        with self._account.changing(inbox):
            self._files.save(part, content.data)
        yield pause
        if Path(part).exists():
            with self._account.changing(inbox):
                Path(part).rename(path)
                self._account.place(path, content)

    def _write_again(
        self, inbox: Inbox, path: str, content: Content, half: bytes, pause: float
    ) -> Script:
        """Write half of a file, pause, and write all of it anew.

        A clip that is left out is not written beside the pictures of another card.
        """
        self._world.contents.unfinished.add(half)
        with self._account.changing(inbox):
            self._files.save(path, half)
        is_clip = path in self._account.left_out
        yield pause
        if self._files.can_write(path) and (not is_clip or Path(path).exists()):
            with self._account.changing(inbox):
                self._files.write(path, content)
            self._world.note(f"user: has written the rest of <{content.token}>")

    def _write_in_parts(
        self, random: Random, inbox: Inbox, path: str, content: Content, pause: float
    ) -> Script:
        """Write half of a file, pause, and write the rest through the same handle."""
        seam, disk = self._world.seam, self._world.disks.home_of(path)
        half = content.cut(random)
        self._world.contents.unfinished.add(half)
        with self._account.changing(inbox):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
            os.write(handle, half)
            seam.user_wrote(path)
        inode, generation = os.fstat(handle).st_ino, disk.generation
        seam.writers[inode] += 1
        try:
            yield pause
            if disk.generation != generation:
                self._world.note(f"user: cannot write the rest of <{content.token}>")
                return
            with self._account.changing(inbox):
                os.write(handle, content.data[len(half) :])
                seam.user_wrote(f"/proc/self/fd/{handle}")
                # the same may have been dropped again, once the file was taken
                is_there = Path(path).exists() and Path(path).stat().st_ino == inode
                if is_there:
                    self._account.place(path, content)
                elif content.token not in self._account.doomed and (
                    disk.kind.sees_writers or pause < 0.9 * self._truncated_s
                ):
                    self._account.taken[content.token].append(1)
                    self._account.completed_late.add(content.token)
            where = "" if is_there else ", which is not at its place any more"
            self._world.note(f"user: has written the rest of <{content.token}>{where}")
        finally:
            seam.writers[inode] -= 1
            os.close(handle)

    def write_on(self, random: Random) -> Script:
        """Let a program that had opened a file before its claim write to it in pieces, for long."""
        held = [*self._claimed_files()]
        if not held:
            return
        path, job_id, source = random.choice(sorted(held))
        seam, contents = self._world.seam, self._world.contents
        old = contents.of(read(path) or b"")
        if old is None or seam.writers[Path(path).stat().st_ino]:
            return
        new = contents.like(old, same_size=random.random() < 0.5)
        self._world.note(f"user: a program writes <{new.token}> over {source.rpartition('/')[2]}")
        self._world.see()
        self._begin_late(old, new, source)
        handle, began = os.open(path, os.O_RDWR), self._world.times.now
        inode = os.fstat(handle).st_ino
        seam.writers[inode] += 1
        if random.random() < 0.5:
            seam.foreign.add(inode)
        try:
            yield from self._write_pieces(random, handle, new.data, self._world.disks.home_of(path))
            # the file of such a job may vanish at any moment
            is_doomed = job_id in self._account.deleted_jobs | self._account.outlived_jobs
            is_known = not is_doomed and self._account.restored_at < began
            if is_known and os.pread(handle, len(new.data) + 1, 0) == new.data:
                self._world.note(f"user: has written <{new.token}>")
                self._account.taken[new.token].append(1)
        finally:
            seam.writers[inode] -= 1
            os.close(handle)

    def _begin_late(self, old: Content, new: Content, source: str) -> None:
        """Note that a taken content is written over by another one."""
        if self._account.taken[old.token]:
            self._account.taken[old.token].pop()
        self._account.written_slowly |= {old.token, new.token}
        self._account.completed_late |= {old.token, new.token}
        self._account.tokens_at.setdefault(source, set()).add(new.token)

    def _write_pieces(self, random: Random, handle: int, data: bytes, disk: Disk) -> Script:
        """Write over an opened file, with pauses so short that its job waits."""
        generation = disk.generation
        cuts = sorted(random.sample(range(1, len(data)), random.randint(1, 4)))
        for start, end in pairwise([0, *cuts, len(data)]):
            if disk.generation != generation:
                return
            os.pwrite(handle, data[start:end], start)
            if end == len(data):
                os.ftruncate(handle, end)
            self._world.seam.user_wrote(f"/proc/self/fd/{handle}")
            self._world.contents.unfinished.add(os.pread(handle, 1 << 16, 0))
            if end < len(data):
                yield random.uniform(0.1, 0.8) * self._truncated_s

    @property
    def _truncated_s(self) -> float:
        """Seconds for which the daemon surely waits for the rest of a file.

        A run with `--once` waits for less, whatever the settings say.
        """
        settings = self._world.plan.settings
        has_once = any(deed.what == "once" for deed in self._world.plan.deeds)
        return min(settings.truncated_s, ONCE_WAITS) if has_once else settings.truncated_s

    def _claimed_files(self) -> Iterator[tuple[str, str, str]]:
        """Yield the files that left inboxes: path, id of the job, and source of each."""
        disks, state = self._world.disks, self._world.path("state")
        for path in Path(state).glob("jobs/*/claim.json"):
            claim = json.loads(path.read_bytes())
            is_gone = claim["id"] in self._account.deleted_jobs
            if claim["after"] == "keep" or claim["retry_of"] or is_gone:
                continue
            for file in (each for each in claim["files"] if each["own"]):
                source, disk = Path(file["source"]), disks.home_of(file["source"])
                held = f".stylewatch-*-{claim['id']}-{file['name']}"
                spots = [*Path(claim["inbox"], ".stylewatch").glob(f"*/{claim['id']}/**/*"),
                         *source.parent.glob(held)]  # fmt: skip
                own = [each for each in spots if each.name == source.name or each.match(held)]
                if not own and disk is disks.home_of(state) and not disk.kind.is_union:
                    own = [path.parent / "files" / file["name"]]
                yield from (
                    (str(spot), claim["id"], str(source))
                    for spot in own
                    if disk.is_there and spot.is_file()
                )
