"""New drops, of the shapes of docs/folders.md, and some in which files stay beside a job."""

import unicodedata
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account, Drop
from tests.simulate.contents import Content
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.deeds.writers import Writers
from tests.simulate.plan import Inbox

if TYPE_CHECKING:
    from tests.simulate.world import World

_COMPOSED, _DECOMPOSED = (
    partial(unicodedata.normalize, "NFC"),
    partial(unicodedata.normalize, "NFD"),
)


class Drops:
    """Users who drop something new."""

    def __init__(self, world: "World", account: Account, files: Files, writers: Writers) -> None:
        self._world, self._account, self._files, self._writers = world, account, files, writers
        self._styles_to_learn = list[Content]()
        """The styles of albums and pairs with `learn: true`."""

    def drop(self, random: Random) -> Script:
        """Drop files at once, one after the other, or one of them slowly."""
        if not (inboxes := self._files.inboxes()):
            return
        drop = self._new_drop(random, random.choice(inboxes))
        self._account.register(drop)
        chance = self._files.chance
        how = random.choices(
            ["at once", "spaced", "part", "slow", "reopened", "empty first", "old"],
            [6, 3, 2, chance("half", 3), chance("half", 1), chance("empty first", 1), 2],
        )[0]
        self._world.note(f"user: drops {drop} ({how})")
        paths = [*drop.paths(self._world.path(drop.inbox.name)).items()]
        if not drop.left_out:  # else the photograph comes before its clip
            random.shuffle(paths)
        if how in ("at once", "old"):
            with self._account.changing(drop.inbox):
                for path, content in paths:
                    self._files.write(path, content, old=how == "old")
        else:
            yield from self._drop_one_by_one(random, drop, paths, how)

    def _drop_one_by_one(
        self, random: Random, drop: Drop, paths: list[tuple[str, Content]], how: str
    ) -> Script:
        """Write the files of a drop one after the other; one of them slowly, unless `spaced`."""
        slow = random.choice([path for path, content in paths if content.kind != "yaml"])
        if drop.left_out:
            slow = paths[1][0]
        disk = self._world.disks.home_of(slow)
        generation = disk.generation
        for path, content in paths:
            if not disk.is_there or disk.generation != generation:
                self._world.note("user: cannot write the rest")
                return
            if path == slow and how != "spaced":
                yield from self._writers.write_slowly(random, drop.inbox, path, content, how)
            else:
                with self._account.changing(drop.inbox):
                    self._files.write(path, content)
            if how == "spaced":
                yield random.choice([0.1, 1.0, 3.0, 15.0])

    def drop_until_claimed(self, random: Random, inbox: Inbox) -> Script:
        """Drop something into an inbox, and wait until its claim begins, or for a little longer."""
        drop = self._new_drop(random, inbox)
        self._world.note(f"user: drops {drop}")
        paths, began = drop.paths(self._world.path(inbox.name)), self._world.times.now
        self._files.drop(drop)
        for _ in range(800):
            if any(self._account.claimed_at.get(path, 0.0) > began for path in paths):
                break
            yield 0.05
        yield random.choice([0.0, 0.0, 0.1, random.uniform(0, 5), random.uniform(0, 20)])

    def drop_to_learn(self, random: Random) -> Script:
        """Drop an album, or a pair, whose style is to be learned; some albums grow."""
        if not (inboxes := self._files.inboxes()):
            return
        inbox, files = random.choice(inboxes), self._files
        name, style = files.new_name(random, "album", inbox), files.new_picture(random)
        if self._styles_to_learn and random.random() < 0.4:
            style = random.choice(self._styles_to_learn)
        self._styles_to_learn.append(style)
        yaml = self._world.contents.new("yaml", learns=True)
        contents = {f"{{name}}/style.{style.kind}": style, "{name}/job.yaml": yaml}
        shared = frozenset(contents)
        is_album = random.random() < 0.7
        are_odd = Random(f"odd {random.getrandbits(32)}").random() < 0.3
        for number in range(random.choice([1, 2, 4, 16]) if is_album else 1):
            content = files.new_picture(random)
            while (are_odd or random.random() < 0.2) and not content.is_odd:
                content = files.new_picture(random)
            contents[f"{{name}}/{f'p{number}' if is_album else 'content'}.{content.kind}"] = content
        drop = Drop(inbox, name, contents, shared=shared if is_album else frozenset())
        self._world.note(f"user: drops {drop} to learn")
        files.drop(drop)
        for number in range(random.choice([0, 1, 4]) if is_album else 0):
            yield random.choice([1.0, 15.0, 40.0, 200.0])
            is_there = files.is_there(inbox.name) and shared <= files.present(drop).keys()
            if self._world.is_at_rest or not is_there:
                return
            content = files.new_picture(random)
            files.add(drop, f"{{name}}/more{number}.{content.kind}", content)

    # -- drops that no other deed touches

    def drop_denied(self, random: Random) -> Script:
        """Drop a pair of which one file cannot be renamed for minutes, and add files meanwhile.

        Whatever is painted of it has the files that came in time.
        """
        files, account = self._files, self._account
        inboxes = [inbox for inbox in files.inboxes() if not account.keeps(inbox)]
        if not inboxes:
            return
        inbox = random.choice(inboxes)
        content, style = files.new_picture(random), files.new_picture(random)
        pair = {f"{{name}}/content.{content.kind}": content, f"{{name}}/style.{style.kind}": style}
        drop = Drop(inbox, files.new_name(random, "folder", inbox), pair)
        folder = f"{self._world.path(inbox.name)}/{drop.name}"
        paths = drop.paths(self._world.path(inbox.name))
        path = random.choice([*paths])
        paths |= self._beside(Random(f"other {random.getrandbits(32)}"), folder)
        account.came_in_time[content.token] = set()
        lasts = self._world.faults.deny(path, random.uniform(60, 300))
        self._world.note(f"user: drops {drop}, which may not be renamed")
        with account.changing(inbox):
            for each_path, each in paths.items():
                files.write(each_path, each)
        disk = self._world.disks.home_of(path)
        for _ in range(random.choice([1, 2])):
            yield random.uniform(1, 100)
            is_there = files.is_there(inbox.name) and disk.is_there and not disk.is_hung
            if self._world.is_at_rest or not (lasts() and is_there and Path(path).exists()):
                return
            self._add_in_time(random, drop, content, folder)

    def _add_in_time(self, random: Random, drop: Drop, content: Content, folder: str) -> None:
        """Add a second style or a job.yaml to the pair of a content, unless it has one."""
        second = self._files.new_picture(random)
        name = random.choice(["job.yaml", f"style-2.{second.kind}"])
        if any(each.startswith(f"{{name}}/{name.partition('.')[0]}") for each in drop.files):
            return
        part = second if name.startswith("style") else self._world.contents.new("yaml")
        self._files.add(drop, f"{{name}}/{name}", part)
        # the rest of the pair may have been moved
        self._account.ever_paired.add(f"{folder}/{name}")
        self._account.came_in_time.setdefault(content.token, set()).add(part.token)

    def _beside(self, random: Random, folder: str) -> dict[str, Content]:
        """Return, perhaps, a picture beside a pair in a folder, which is no part of it."""
        if random.random() < 0.5:
            return {}
        content = self._files.new_picture(random)
        path = f"{folder}/other.{content.kind}"
        self._account.left_out.add(path)
        return {path: content}

    def drop_nested(self, random: Random) -> Script:
        """Drop an album in which a folder has a pair of its own, and a picture beside that.

        The picture beside the pair is not painted, also if a file of the pair cannot be renamed for
        a while. The album gets more pictures meanwhile.
        """
        files, account = self._files, self._account
        if not (inboxes := files.inboxes()):
            return
        inbox = random.choice(inboxes)
        names = ["style", "p0", "job/content", "job/style", "job/other"]
        pictures = {name: files.new_picture(random) for name in names}
        own = {f"{{name}}/{name}.{each.kind}": each for name, each in pictures.items()}
        drop = Drop(inbox, files.new_name(random, "album", inbox), own)
        self._world.note(f"user: drops {drop}, an album with a pair")
        paths = drop.paths(self._world.path(inbox.name))
        style, _, content_of_pair, style_of_pair, beside = paths
        if not account.keeps(inbox) and random.random() < 0.5:
            denied = random.choice([content_of_pair, style_of_pair])
            self._world.faults.deny(denied, random.uniform(10, 100))
        with account.changing(inbox):
            account.left_out.add(beside)
            account.shared.add(style)
            for path, content in paths.items():
                files.write(path, content)
        folder = f"{self._world.path(inbox.name)}/{drop.name}"
        for number in range(random.randint(1, 4)):
            yield random.uniform(0.5, 6)
            is_there = files.is_there(inbox.name) and files.can_write(folder)
            if self._world.is_at_rest or not is_there:
                return
            content = files.new_picture(random)
            with account.changing(inbox):
                files.write(f"{folder}/more{number}.{content.kind}", content)

    # -- shapes

    def _new_drop(self, random: Random, inbox: Inbox) -> Drop:
        """Draw a drop of one of the shapes of docs/folders.md."""
        has_default = bool(self._account.library)
        shape = random.choices(
            ["folder", "flat", "album", "lone", "clip", "live"],
            [5, 2, 2, 4 * has_default, 1, self._files.chance("live photo", 1.5) * has_default],
        )[0]
        name, new_picture = self._files.new_name(random, shape, inbox), self._files.new_picture
        content, style = new_picture(random), new_picture(random)
        if shape == "album":
            of_style = f"{{name}}/style.{style.kind}"
            files = {of_style: style}
            for number in range(random.randint(1, 3)):
                content = new_picture(random)
                files[f"{{name}}/p{number}.{content.kind}"] = content
            return Drop(inbox, name, files, shared=frozenset({of_style}))
        if shape == "lone":
            return Drop(inbox, name, {f"{{name}}.{content.kind}": content})
        if shape == "live":
            clip = self._world.contents.new("mp4")
            files = {f"{{name}}.{content.kind}": content, "{name}.mp4": clip}
            return Drop(inbox, name, files, left_out=frozenset({"{name}.mp4"}))
        if shape == "clip":
            content = self._world.contents.new("mp4")
        start = "{name}." if shape == "flat" else "{name}/"
        files = {f"{start}content.{content.kind}": content, f"{start}style.{style.kind}": style}
        if shape == "flat":
            return Drop(inbox, name, self._spelled(random, name, files))
        return Drop(inbox, name, files | self._extras(random))

    def _spelled(self, random: Random, name: str, files: dict[str, Content]) -> dict[str, Content]:
        """Spell the names of two files as some programs do: in NFD, or in capitals."""
        if not name.isascii():
            forms = [_COMPOSED, _COMPOSED]
            if self._files.chance("NFD", 1):
                forms = random.choice(
                    [[_COMPOSED, _DECOMPOSED], [_DECOMPOSED, _COMPOSED], [_COMPOSED, _COMPOSED]]
                )
            files = {
                form(name) + path.removeprefix("{name}"): content
                for form, (path, content) in zip(forms, files.items(), strict=True)
            }
        if random.random() < 0.2:
            files = {_with_upper_suffix(path): content for path, content in files.items()}
        return files

    def _extras(self, random: Random) -> dict[str, Content]:
        """Draw a second style, a mask, a job.yaml, for a pair in a folder."""
        files = {}
        if random.random() < 0.15:
            second = self._files.new_picture(random)
            files[f"{{name}}/style-2.{second.kind}"] = second
        if random.random() < 0.1:
            files["{name}/content.mask.png"] = self._world.contents.new("png")
        if random.random() < 0.15:
            files["{name}/job.yaml"] = self._world.contents.new("yaml")
        return files


def _with_upper_suffix(path: str) -> str:
    stem, _, suffix = path.rpartition(".")
    return f"{stem}.{suffix.upper()}"
