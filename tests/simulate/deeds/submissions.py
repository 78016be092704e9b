"""Pairs that users submit by commands or the page, which follow them to their end."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulate import wiring
from tests.simulate.account import Account, Drop, Submission
from tests.simulate.contents import PICTURES, Content
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.expected import Key, folded
from tests.simulate.laws import ViolationError
from tests.simulate.plan import Inbox
from tests.simulate.snapshot import read

if TYPE_CHECKING:
    from tests.simulate.world import World


class Submissions:
    """Users who submit pairs, and wait for them."""

    def __init__(self, world: "World", account: Account, files: Files) -> None:
        self._world, self._account, self._files = world, account, files

    def submit(self, random: Random) -> Script:
        """Submit a pair as commands and the page do, wherever the disk of the inbox is.

        Some submit known contents, under a known name, several times, or to several inboxes. New
        settings for an inbox are in force by then.
        """
        world, wanted = self._world, self._account.wanted
        in_force = self._account.in_force
        watched = [each for each in world.plan.settings.inboxes
                   if wanted.get(each.name, "") == in_force.get(each.name)]  # fmt: skip
        if world.seam.is_dead or not (watched and world.daemon.is_first_start_over):
            return
        inboxes = [random.choice(watched)]
        content, style = self._files.new_picture(random), self._files.new_picture(random)
        name, times = self._files.new_name(random, "lone", inboxes[0]), 1
        random = Random(f"known {random.getrandbits(32)}")
        drops = self._account.drops
        known = [(drop, *found) for drop in drops if (found := self._pictures_of(drop))]
        if known and random.random() < 0.6:
            old, content, styles = random.choice(known)
            style, times = (*styles, style)[0], random.choice([1, 1, 2, 3])
            name = random.choice([name, old.name.rpartition("/")[2]])
            inboxes = random.choice([inboxes, watched])
        files = {f"content.{content.kind}": content, f"style.{style.kind}": style}
        mine = [each for inbox in inboxes for each in self._put(inbox, name, files, times)]
        self._account.submissions += mine
        began = world.times.now
        while waiting := [each for each in mine if not each.said]:
            yield random.choice([1.0, 4.0] if world.times.now - began < 60 else [4.0, 15.0])
            for submission in waiting if not world.seam.is_dead else ():
                self._look(submission)

    def _look(self, submission: Submission) -> None:
        """Let the follower of a submission look whether that has ended."""
        try:
            submission.said = submission.follower.look()
        except Exception as error:
            kind = f"a follower ends with {type(error).__name__}"
            raise ViolationError(7, kind, f"{submission.drop.name}: {error}") from error
        submission.job = submission.follower.job or submission.job
        self._world.laws.check_follower(submission)

    def _pictures_of(self, drop: Drop) -> tuple[Content, list[Content]] | None:
        """Return the photograph and the styles of a drop, without those that another deed owns."""
        pictures = {path: each for path, each in drop.files.items() if each.kind in PICTURES}
        styles = [each for path, each in pictures.items() if "style" in folded(path)]
        mains = [each for path, each in pictures.items()
                 if not ("style" in folded(path) or ".mask." in path)]  # fmt: skip
        is_ours = mains and mains[0].token not in self._account.came_in_time
        return (mains[0], styles) if is_ours else None

    def _put(
        self, inbox: Inbox, name: str, files: Mapping[str, Content], times: int
    ) -> Iterator[Submission]:
        """Put a pair into an inbox so many times, as a command does, and account for it."""
        world, account, folder = self._world, self._account, self._world.path(inbox.name)
        disk, state = world.disks.home_of(folder), Path(world.path("state"))
        before = frozenset(job.id for job in wiring.jobs(state))
        drops = list[Drop]()
        account.tell("is submitted", *files.values())
        with account.changing(inbox):
            is_kept = account.keeps(inbox)
            names = wiring.submit(world, inbox, name, files, times, is_kept=is_kept)
            if names and not disk.is_there and disk.root in world.snapshot.ever_met:
                raise ViolationError(2, "submitted below the mount point", f"{folder}/{names}")
            own = {f"{{name}}/{path}": each for path, each in files.items()}
            for given in names:
                drop = Drop(inbox, given, {**own})
                if data := read(f"{folder}/{given}/job.yaml"):
                    drop.files["{name}/job.yaml"] = world.contents.own("yaml", data)
                if not disk.is_there:  # the daemon may find it before the disk
                    content, style, *yaml = (each.token for each in drop.files.values())
                    account.times_allowed[Key(content, (style,), 0, *yaml)] += 1
                    continue
                drops.append(drop)
                account.register(drop)
                for path, each in drop.paths(folder).items():
                    account.place(path, each)
        told = ", ".join(map(str, drops))
        world.note(f"user: submits {told}" if drops else f"user: cannot submit into {inbox.name}")
        for drop in drops:
            follower = wiring.Follower(world, inbox.name, drop.name)
            tokens = frozenset(content.token for content in drop.files.values())
            yield Submission(drop, follower, before, tokens)
