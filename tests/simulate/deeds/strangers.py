"""Files that are no input, which users and their computers put beside those of the daemon."""

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files

if TYPE_CHECKING:
    from tests.simulate.world import World

_STRANGERS = ("notes.txt", "README.md", "film.srt", "raw.xmp", "list.csv")
_CONFLICTS = (
    "style.sync-conflict-20310301-120000-ABCDEFG.jpg",
    "content.sync-conflict-20310301-120000-ABCDEFG.jpg",
    "style (conflicted copy 2031-03-01 120000).jpg",
)

_CLAIMS = (
    ".stylewatch/0f1e2d3c/20310301T120000.000000-abcdef/content.jpg",
    ".stylewatch-0f1e2d3c-20310301T120000.000000-abcdef-content.jpg",
)
"""Files that the daemon of another machine has claimed in an inbox that both have."""


class Strangers:
    """Users who have files of their own where the daemon works."""

    def __init__(self, world: "World", account: Account, files: Files) -> None:
        self._world, self._account, self._files = world, account, files

    def put(self, random: Random) -> Script:
        """Put a file that is no input into an inbox, an outbox or the finals folder."""
        roles = [
            each for each in self._world.plan.settings.roles if each not in ("state", "styles")
        ]
        role = random.choice(roles)
        if not self._files.is_there(role):
            return
        folder, content = self._world.path(role), self._world.contents.new("text")
        drop = random.choice(self._account.drops) if self._account.drops else None
        if role.startswith("in"):
            conflicts = _CONFLICTS if self._files.chance("conflict", 1) else ()
            name = random.choice([*_STRANGERS, *conflicts, *_CLAIMS])
            is_inside = drop and drop.inbox.name == role and "/" in next(iter(drop.files))
            path = f"{folder}/{name}"
            if drop and is_inside and name not in _CLAIMS:
                path = f"{folder}/{drop.name}/{name}"
            if name not in _CLAIMS and not Path(path).parent.is_dir():
                return
            if name.endswith(".jpg"):
                content = self._files.new_picture(random)
        else:
            name = drop.name if drop else "sea"
            path = f"{folder}/" + random.choice(["mine.txt", f"{name}/mine.txt", f"{name}.png"])
        if not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with self._account.changing():
                self._files.save(path, content.data)
            self._account.untouchable[path] = content.data
            self._world.note(f"user: puts {path.removeprefix(folder)[1:]} of their own into {role}")
        yield 0.0

    def leave_debris(self, random: Random) -> Script:
        """Let a computer leave its debris beside a drop."""
        if (drop := self._files.choose(random)) is not None:
            folder = self._world.path(drop.inbox.name)
            above = Path(f"{folder}/{drop.at(next(iter(self._files.present(drop))))}").parent
            name = random.choice([".DS_Store", "Thumbs.db", "desktop.ini"])
            self._files.save(str(above / name), b"debris")
            self._world.note(f"user: their computer leaves {name} beside {drop.name}")
        yield 0.0

    def forge_receipt(self, random: Random) -> Script:
        """Put a receipt of one's own into the folder of a job, which may have one."""
        folders = [
            folder
            for outbox in sorted({inbox.outbox for inbox in self._world.plan.settings.inboxes})
            if self._files.is_there(outbox)
            for folder in sorted(Path(self._world.path(outbox)).glob("[!._]*"))
            if folder.is_dir() and self._files.can_write(str(folder))
            if f"{folder}/receipt.json" not in self._account.untouchable
        ]
        if folders:
            path = random.choice(folders) / "receipt.json"
            beside = path.with_name("receipt.new")
            total = self._files.new_number()
            beside.write_bytes(b'{"shop": "photo lab", "total": %d}\n' % total)
            self._world.see()
            self._world.seam.user_wrote(str(beside))
            beside.rename(path)
            self._account.untouchable[str(path)] = path.read_bytes()
            self._world.note(f"user: puts a receipt of a shop into {path.parent.name}")
        yield 0.0
