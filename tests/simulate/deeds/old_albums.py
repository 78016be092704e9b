"""Albums with a picture that an earlier version of the daemon painted, and left where it was."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate import wiring
from tests.simulate.account import Account, Drop
from tests.simulate.contents import PICTURES
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.deeds.settings_file import SettingsFile
from tests.simulate.plan import Inbox

if TYPE_CHECKING:
    from tests.simulate.world import World


class OldAlbums:
    """Users who have such albums, and pick pictures from them, or copy them."""

    def __init__(
        self, world: "World", account: Account, files: Files, settings_file: SettingsFile
    ) -> None:
        self._world, self._account, self._files = world, account, files
        self._settings_file = settings_file

    def leave(self, name: str, *, is_marked: bool) -> None:
        """Let each inbox have an album with a picture that an earlier version painted and left.

        `name` is that of the album, with `{inbox}` for the name of its inbox.
        """
        for inbox in self._world.plan.settings.inboxes:
            album = f"{self._world.path(inbox.name)}/{name.replace('{inbox}', inbox.name)}"
            content = self._files.new_picture(Random(f"0 {inbox.name}"))
            style = self._files.new_picture(Random(f"1 {inbox.name}"))
            picture = f"{album}/painted before.{content.kind}"
            of_style = f"{album}/style.{style.kind}"
            self._account.left_out.add(picture)
            self._account.shared.add(of_style)
            self._files.write(picture, content)
            self._files.write(of_style, style)
            wiring.leave_out(self._world, inbox, picture, is_marked=is_marked)

    def rename(self, inboxes: Iterable[Inbox]) -> None:
        """Rename the albums `old` of these inboxes, whose pictures stay known (law 3)."""
        account = self._account
        for inbox in inboxes:
            before, after = (f"{self._world.path(inbox.name)}/{name}/" for name in ("old", "older"))
            if Path(before).is_dir() and not Path(after).exists():
                with account.changing(inbox):
                    Path(before).rename(after)
                    for path in [path for path in account.placed if path.startswith(before)]:
                        alike = account.left_out if path in account.left_out else account.shared
                        content, target = account.placed[path], path.replace(before, after)
                        self._files.forget(path)
                        alike.add(target)
                        account.place(target, content)

    def pick(self, random: Random) -> Script:
        """Move a picture that was left out by itself into a new album beside its own.

        The daemon has seen the album before: else that may have been renamed.
        """
        inboxes = self._files.inboxes() if self._world.daemon.is_up else []
        known = [inbox for inbox in inboxes if self._files.is_read(inbox)]
        found = [(inbox, path) for inbox in known for path in self._left_pictures(inbox)]
        if not found:
            return
        inbox, path = random.choice(found)
        name = f"picked{self._files.new_number() - 1}"  # as ever: a number is the same world
        content, style = self._account.placed[path], self._files.new_picture(random)
        of_style = f"{{name}}/style.{style.kind}"
        files = {f"{{name}}/{Path(path).name}": content, of_style: style}
        drop = Drop(inbox, name, files, shared=frozenset({of_style}))
        self._account.register(drop)
        self._world.note(f"user: moves what was left out to {drop}")
        self._account.tell("is moved", content)
        picture, beside = drop.paths(self._world.path(inbox.name))
        with self._account.changing(inbox):
            self._files.write(beside, style)
            Path(path).rename(picture)
            self._files.forget(path)
            self._account.place(picture, content)
        yield 0.0

    def clone(self, random: Random) -> Script:
        """Copy an album from an inbox that leaves the settings, as `cp -a` does.

        It comes to the same path in another inbox, and the original stays.
        """
        inboxes = self._world.plan.settings.inboxes
        if self._account.written.away or self._world.is_at_rest or len(inboxes) < 2:
            return
        inbox, other = random.sample(inboxes, 2)
        self._settings_file.change(
            random, f"takes {inbox.name} out of", away=frozenset({inbox.name})
        )
        yield random.choice([0.0, random.uniform(1, 60)])
        if {inbox, other} <= {*self._files.inboxes()} and not self._world.is_at_rest:
            self._copy_album(inbox, other, f"of {inbox.name}")
        yield random.uniform(20, 200)
        self._settings_file.put_inboxes_back(random)

    def _copy_album(self, inbox: Inbox, other: Inbox, name: str) -> None:
        """Copy an album to another inbox; its files keep their times."""
        album = f"{self._world.path(inbox.name)}/{name}"
        placed = self._account.placed.items()
        files = {path: each for path, each in placed if Path(path).parent == Path(album)}
        own = {f"{{name}}/{Path(path).name}": each for path, each in files.items()}
        drop = Drop(other, name, own, shared=frozenset(each for each in own if "style" in each))
        if not self._left_pictures(inbox) or self._files.is_used(other, name):
            return
        self._account.register(drop)
        self._world.note(f"user: copies an album of {inbox.name} to {drop}")
        self._account.tell("is copied", *files.values())
        with self._account.changing(other):
            for path, target in zip(files, drop.paths(self._world.path(other.name)), strict=True):
                Path(target).parent.mkdir(exist_ok=True)
                shutil.copy2(path, target)
                self._world.seam.user_wrote(target, Path(path).stat().st_mtime_ns)
                self._account.place(target, files[path])

    def _left_pictures(self, inbox: Inbox) -> list[str]:
        """Return the pictures of an inbox that an earlier version painted and left."""
        placed, folder = self._account.placed, f"{self._world.path(inbox.name)}/"
        return sorted(
            path
            for path in self._account.left_out & placed.keys()
            if path.startswith(folder) and placed[path].kind in PICTURES
        )
