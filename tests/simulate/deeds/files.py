"""Files of users, and what their deeds have in common: where they can write, and new names."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account, Drop
from tests.simulate.contents import PICTURES, SIZES, Content
from tests.simulate.expected import folded
from tests.simulate.plan import CARD, Inbox
from tests.simulate.snapshot import read

if TYPE_CHECKING:
    from tests.simulate.world import World

SEEN_WITHIN = 45.0
"""Seconds of quiet within which the daemon reads what is in an inbox."""

_OLD = 1_100_000_000 * 10**9
_NAMES = ("sea", "IMG_1", "Café", "Übung", "waves", "sea 2", "Holiday")


class Files:
    """The files of users: what is there, and how it is written and removed."""

    def __init__(self, world: "World", account: Account) -> None:
        self._world, self._account = world, account
        self._last_number = 0

    # -- what is there

    def is_there(self, role: str) -> bool:
        """Return whether the disk of a role is there."""
        return self._world.disks.by_name[self._world.plan.settings.disk_of(role)].is_there

    def inboxes(self) -> list[Inbox]:
        """Return the inboxes that users can write to."""
        return [inbox for inbox in self._world.plan.settings.inboxes if self.is_there(inbox.name)]

    def can_write(self, path: str) -> bool:
        """Return whether the disk is there that has a path."""
        return self._world.disks.home_of(path).is_there

    def is_used(self, inbox: Inbox, name: str) -> bool:
        """Return whether an inbox has files of this name, or a folder.

        Files dropped there would change another pair, which may have been claimed.
        """
        path = Path(self._world.path(inbox.name), name)
        there = (folded(each.name) for each in path.parent.glob("*"))
        is_there = self.can_write(str(path))
        return not is_there or any(each.partition(".")[0] == folded(path.name) for each in there)

    def is_read(self, inbox: Inbox) -> bool:
        """Return whether a daemon that runs has certainly read what is in an inbox."""
        since = self._world.laws.quiet_since(inbox)
        is_quiet = since is not None and self._world.times.now - since > SEEN_WITHIN
        return is_quiet and inbox.name not in self._account.unwatched

    def present(self, drop: Drop) -> dict[str, str]:
        """Return those files of a drop that are still as they were dropped: paths by their own."""
        folder = self._world.path(drop.inbox.name)
        found = {}
        for path, content in drop.files.items():
            whole = f"{folder}/{drop.at(path)}"
            if self._account.placed.get(whole) is content and read(whole) == content.data:
                found[path] = whole
        return found

    # -- what is drawn

    def chance(self, detail: str, chance: float) -> float:
        """Return a chance, which is zero in a world without a detail."""
        return 0.0 if detail in self._world.plan.settings.without else chance

    def choose(self, random: Random, *, whole: bool = False) -> Drop | None:
        """Return a drop that is still there, at least in part."""
        drops = [
            drop
            for drop in self._account.drops
            if self.is_there(drop.inbox.name) and (present := self.present(drop))
            if not (whole or drop.left_out) or len(present) == len(drop.files)
        ]
        return random.choice(drops) if drops else None

    def new_picture(self, random: Random) -> Content:
        """Return a picture that has not been anywhere."""
        return self._world.contents.new(random.choice(PICTURES), random.choice(SIZES))

    def new_number(self) -> int:
        """Return a number for a name that nothing else has."""
        self._last_number += 1
        return self._last_number

    def new_name(self, random: Random, shape: str, inbox: Inbox) -> str:
        """Return a name that no file in an inbox has, but perhaps had."""
        names = [name for name in _NAMES if name != "waves" or shape == "album"]
        name = random.choice(names)
        settings, on_card = self._world.plan.settings, shape not in ("lone", "live")
        if settings.has_card and inbox.name == "in" and on_card and random.random() < 0.6:
            number = self.new_number()
            if self.can_write(settings.root(CARD)):
                return f"{CARD}/{name}{number}"
        if random.random() < 0.7 or self.is_used(inbox, name):
            name = f"{name}{self.new_number()}"
        return name

    # -- what is changed

    def save(self, path: str, data: bytes, time_ns: int | None = None) -> None:
        """Write bytes that nobody is owed anything for."""
        Path(path).write_bytes(data)
        self._world.seam.user_wrote(path, time_ns)

    def write(self, path: str, content: Content, *, old: bool = False) -> None:
        """Write a whole file in an inbox."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.save(path, content.data, _OLD + content.token * 10**9 if old else None)
        self._account.place(path, content)

    def drop(self, drop: Drop) -> None:
        """Drop files at once, but for those whose disk is away."""
        self._account.register(drop)
        with self._account.changing(drop.inbox):
            for path, content in drop.paths(self._world.path(drop.inbox.name)).items():
                if self.can_write(path):
                    self.write(path, content)

    def add(self, drop: Drop, path: str, content: Content) -> None:
        """Add a file to those of a drop."""
        drop.files[path] = content
        self._world.note(f"user: adds {drop.at(path)} <{content.token}> to {drop.inbox.name}")
        with self._account.changing(drop.inbox):
            self.write(f"{self._world.path(drop.inbox.name)}/{drop.at(path)}", content)

    def touch(self, inboxes: Iterable[Inbox]) -> None:
        """Let the files of inboxes have the time of now, but for what is known by its time."""
        folders = tuple(f"{self._world.path(inbox.name)}/" for inbox in inboxes)
        for path in self._account.placed:
            is_there = path.startswith(folders) and Path(path).exists()  # it may just have left
            if is_there and path not in self._account.left_out:
                self._world.seam.user_wrote(path)

    def unlink(self, path: str) -> None:
        """Remove a file in an inbox."""
        Path(path).unlink()
        self.forget(path)

    def forget(self, path: str) -> None:
        """Account for a file that has just left an inbox, and remove its folder if it was alone."""
        self._world.faults.gone(path)
        self._account.forget(path)
        inboxes = [self._world.path(inbox.name) for inbox in self._world.plan.settings.inboxes]
        roots = {*inboxes, *(disk.root for disk in self._world.disks)}
        with suppress(OSError):
            if (above := Path(path).parent) not in map(Path, roots):
                above.rmdir()
