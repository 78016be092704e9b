"""Changes of files that users have dropped before."""

import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account, Drop
from tests.simulate.contents import Content, Token
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.plan import Inbox

if TYPE_CHECKING:
    from tests.simulate.world import World

NOTICED_AFTER = 2.5
"""Seconds after a change from which another one of the same size has another time (law 3)."""


class Changes:
    """Users who change what they have dropped, or drop it again."""

    def __init__(self, world: "World", account: Account, files: Files) -> None:
        self._world, self._account, self._files = world, account, files
        self._read = set[tuple[Token, Inbox]]()
        """Contents that the daemon has certainly read in an inbox before they were edited."""

    def drop_again(self, random: Random) -> Script:
        """Drop the same files again, once those are gone."""
        inboxes = self._files.inboxes()
        drops = [
            drop
            for drop in self._account.drops
            if drop.inbox in inboxes and not (self._files.present(drop) or drop.left_out)
        ]
        if not drops:
            return
        old = random.choice(drops)
        inbox = random.choice([old.inbox, old.inbox, *inboxes])
        drop = Drop(inbox, old.name, dict(old.files), shared=old.shared)
        if self._files.is_used(inbox, drop.name):
            return
        self._account.tell("is dropped again", *drop.files.values())
        self._world.note(f"user: drops again {drop}")
        self._files.drop(drop)
        yield 0.0

    def edit(self, random: Random) -> Script:
        """Let a file have another content, perhaps of the same size."""
        if (drop := self._files.choose(random)) is None:
            return
        present = self._files.present(drop)
        paths = sorted(present.keys() - drop.left_out)
        if not paths:
            return
        path = random.choice(paths)
        age = self._world.times.wall() - Path(present[path]).stat().st_mtime
        same = random.random() < 0.5 and not 0 <= age < NOTICED_AFTER
        new = self._world.contents.like(drop.files[path], same_size=same)
        size = "the same size" if same else "another size"
        self._world.note(f"user: edits {drop.at(path)} to <{new.token}> with {size}")
        self._replace(random, drop, path, new)
        yield 0.0

    def _replace(self, random: Random, drop: Drop, path: str, new: Content) -> None:
        """Let a file that is there have another content."""
        whole = f"{self._world.path(drop.inbox.name)}/{drop.at(path)}"
        if self._account.keeps(drop.inbox) and self._files.is_read(drop.inbox):
            self._read.add((drop.files[path].token, drop.inbox))
        in_place = random.random() < 0.6
        self._world.note(f"user: saves {drop.at(path)} {'in place' if in_place else 'by a rename'}")
        with self._account.changing(drop.inbox):
            if in_place:
                self._files.write(whole, new)
            else:
                beside = f"{whole}.tmp"
                self._files.save(beside, new.data)
                Path(beside).rename(whole)
                self._account.place(whole, new)
            drop.before[path], drop.files[path] = drop.files[path], new

    def undo(self, random: Random) -> Script:
        """Let an edited file have its former bytes, which are known in an inbox where it stays."""
        inboxes = self._files.inboxes()
        edited = [(drop, path) for drop in self._account.drops if drop.inbox in inboxes
                  for path in self._files.present(drop) if path in drop.before]  # fmt: skip
        if edited:
            account, (drop, path) = self._account, random.choice(edited)
            old = drop.before[path]
            self._world.note(f"user: undoes the edit of {drop.at(path)}, to <{old.token}>")
            known = {key for key, each in account.presences.items() if each.gone_since is None}
            allowed = {key: account.times_allowed[key] for key in known if old.token in key.tokens}
            was_read = (old.token, drop.inbox) in self._read and account.keeps(drop.inbox)
            self._replace(random, drop, path, old)
            if was_read:
                account.times_allowed = Counter({**account.times_allowed, **allowed})
        yield 0.0

    def remove(self, random: Random) -> Script:
        """Remove what is there of a drop, or move it into the recycle bin of a NAS."""
        if (drop := self._files.choose(random)) is None:
            return
        folder = self._world.path(drop.inbox.name)
        present = self._files.present(drop)
        is_recycled = random.random() < self._files.chance("recycle bin", 0.25)
        self._world.note(
            f"user: removes {', '.join(map(drop.at, present))} of {drop.inbox.name}"
            f"{' into its recycle bin' * is_recycled}"
        )
        story = "is recycled" if is_recycled else "is removed"
        self._account.tell(story, *(drop.files[path] for path in present))
        with self._account.changing(drop.inbox):
            for path, whole in present.items():
                if is_recycled:
                    target = f"{folder}/#recycle/{drop.at(path)}"
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(whole, target)
                    self._account.untouchable[target] = drop.files[path].data
                self._files.unlink(whole)
        yield 0.0

    def _transfer(self, verb: str, drop: Drop, inbox: Inbox, name: str) -> None:
        """Move or copy the files of a drop to another inbox or name."""
        files, account = self._files, self._account
        if files.is_used(inbox, name):
            return
        present = files.present(drop)
        own = {path: drop.files[path] for path in present}
        new = Drop(inbox, name, own, drop.left_out, drop.shared)
        folder = self._world.path(inbox.name)
        targets = {path: f"{folder}/{new.at(path)}" for path in present}
        self._world.note(f"user: {verb} {', '.join(map(drop.at, present))} to {new}")
        account.register(new)
        known = {path for pair in account.maybe_painted for path in pair.files}
        is_renamed = verb != "copies" and inbox is drop.inbox
        stay = {targets[path] for path, whole in present.items() if is_renamed and whole in known}
        past = {"renames": "is renamed", "moves": "is moved", "copies": "is copied"}
        account.tell(past[verb], *new.files.values())
        with account.changing(drop.inbox, inbox):
            for path, target in targets.items():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                content = drop.files[path]
                same_disk = self._world.disks.of(target) is self._world.disks.of(present[path])
                if verb == "copies" or not same_disk:
                    files.save(target, content.data)
                    if verb != "copies":
                        files.unlink(present[path])
                else:
                    Path(present[path]).rename(target)
                    files.forget(present[path])
                account.place(target, content)
        # as if their folder alone had been renamed, or their files one by one
        pairs = account.pairs_in(inbox)
        account.maybe_painted.update(pair for pair in pairs if stay.issuperset(pair.files))

    def rename(self, random: Random) -> Script:
        if (drop := self._files.choose(random)) is not None and "{name}" in "".join(drop.files):
            name = self._files.new_name(random, "folder", drop.inbox)
            self._transfer("renames", drop, drop.inbox, name)
        yield 0.0

    def move(self, random: Random) -> Script:
        others = self._files.inboxes()
        if (drop := self._files.choose(random)) is not None:
            inbox, name = random.choice(others), drop.name
            if inbox is drop.inbox:
                name = self._files.new_name(random, "folder", inbox)
            self._transfer("moves", drop, inbox, name)
        yield 0.0

    def copy(self, random: Random) -> Script:
        if (drop := self._files.choose(random, whole=True)) is not None:
            inbox = random.choice([drop.inbox, *self._files.inboxes()])
            self._transfer("copies", drop, inbox, f"{drop.name}-copy")
        yield 0.0

    def _folder_drop(self, random: Random, missing: str) -> Drop | None:
        """Return a drop in a folder of its own that lacks a file."""
        drops = [
            drop
            for drop in self._account.drops
            if self._files.is_there(drop.inbox.name)
            and any(path.startswith("{name}/content") for path in self._files.present(drop))
            and not [*Path(f"{self._world.path(drop.inbox.name)}/{drop.name}").glob(f"{missing}*")]
        ]
        return random.choice(drops) if drops else None

    def add_yaml(self, random: Random) -> Script:
        if (drop := self._folder_drop(random, "job.yaml")) is not None:
            self._files.add(drop, "{name}/job.yaml", self._world.contents.new("yaml"))
        yield 0.0

    def add_style(self, random: Random) -> Script:
        if (drop := self._folder_drop(random, "style-2")) is not None:
            style = self._files.new_picture(random)
            self._files.add(drop, f"{{name}}/style-2.{style.kind}", style)
        yield 0.0
