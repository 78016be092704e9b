"""The service: users stop and start it, let it ignore files, and restore its state folder."""

import shutil
from collections.abc import Collection, Iterable
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account, Drop
from tests.simulate.deeds import Do, Script
from tests.simulate.deeds.files import Files
from tests.simulate.plan import CARD

if TYPE_CHECKING:
    from tests.simulate.world import World


class Service:
    """Users who look after the service."""

    def __init__(self, world: "World", account: Account, files: Files, do: Do) -> None:
        self._world, self._account, self._files, self._do = world, account, files, do

    def restart(self, random: Random) -> Script:
        """Stop the service, and start it again soon."""
        self._world.stop_daemon(random.choice([0.1, 2.0, random.uniform(2, 60)]))
        yield 0.0

    def run_once(self, random: Random) -> Script:
        """Stop the service, and let it start again after a run with `--once`."""
        if self._world.daemon.is_first_start_over:
            self._world.note("user: is to run it with --once")
            self._world.daemon.is_once_next = True
            self._world.stop_daemon(pause := random.choice([0.1, 2.0, random.uniform(2, 60)]))
            if random.random() < 0.7:
                yield random.uniform(0, pause)
                yield from self._do("drop", random)

    def turn_off(self, random: Random) -> Script:
        """Stop the service for minutes, and do something meanwhile."""
        self._world.stop_daemon(random.uniform(60, 400))
        yield 20.0
        deeds = ("move", "rename", "remove", "edit", "again", "copy", "drop", "undo", "take")
        for _ in range(random.randint(1, 3)):
            yield from self._do(random.choice(deeds), random)

    def ignore(self, random: Random) -> Script:
        """Ignore the files of a drop for a while."""
        if (drop := self._files.choose(random)) is None or drop.name.startswith(f"{CARD}/"):
            return
        names = {drop.at(path).partition("/")[0] for path in self._files.present(drop)}
        self._world.note(f"user: ignores {', '.join(sorted(names))}")
        self._account.ignored_until.update(dict.fromkeys(names, float("inf")))
        self._world.stop_daemon(0.1)
        yield random.choice([random.uniform(5, 60), random.uniform(60, 300)])
        self.cease_ignoring(names)

    def cease_ignoring(self, names: Iterable[str]) -> None:
        """Ignore these names no more."""
        ignored = self._account.names_ignored
        if names := [name for name in names if name in ignored]:
            self._world.note(f"user: ignores {', '.join(sorted(names))} no more")
            self._account.ignored_until.update(dict.fromkeys(names, self._world.times.now))
            self._world.stop_daemon(0.1)

    # -- backups

    def restore(self, random: Random) -> Script:
        """Restore the state folder from a backup, as the machine dies with files that are held.

        Some drop meanwhile other files under the names of these.
        """
        world, account = self._world, self._account
        settings = world.plan.settings
        state, backup = world.path("state"), f"{world.disks.base}/backup"
        is_kept = any(inbox.after == "keep" for inbox in settings.inboxes)
        is_clear = not (is_kept or settings.default_style or account.has_restored)
        if not (is_clear and world.daemon.is_at_work):
            return
        account.has_restored = True
        taken = {*account.without_final}
        shutil.copytree(state, backup, symlinks=True, ignore=shutil.ignore_patterns("wake"))
        # the backup has these requests, too, and results that were taken away are not expected
        doomed = {*account.deleted_jobs, *account.without_final}
        for _ in range(300):
            if held := self._held(doomed):
                break
            yield 0.2
        else:
            return
        if account.without_final != taken:
            return  # the backup expects a result that a user has taken since
        if world.daemon.wakeup is None or world.seam.is_dead:  # killed, and about to start
            return
        if not all(path.endswith(".mp4") for path in account.left_out):
            return  # the backup may lack the claim beside which a picture lies, and why it stays
        world.note(f"user: restores the state folder, while {len(held)} files are held")
        world.cut(restart_in=30.0)
        yield 1.0
        self._put_state_back(backup, self._held(doomed))  # a program may write to one
        inboxes, present = self._files.inboxes(), self._files.present
        gone = [
            drop
            for drop in account.drops
            if drop.inbox in inboxes and not (present(drop) or drop.left_out)
        ]
        if gone and random.random() < 0.7 and not account.being_written:
            self._drop_others(random.choice(gone))

    def _put_state_back(self, backup: str, held: list[bytes]) -> None:
        """Restore the state folder; what was in it alone is lost."""
        state, content_of = self._world.path("state"), self._world.contents.of
        self._world.see()
        files = self._world.snapshot.files
        lost = [data for path, data in files.items() if path.startswith(f"{state}/")]
        for content in filter(None, map(content_of, lost)):
            self._account.taken[content.token] = []
        for content in filter(None, map(content_of, held)):
            self._account.taken[content.token] = [1]
        self._account.restored_at = self._world.times.now
        shutil.rmtree(state)
        shutil.copytree(backup, state, symlinks=True)
        self._account.without_final |= self._account.deleted_jobs  # the ledger lists them again
        self._account.deleted_jobs.clear()
        self._account.left_behind.clear()

    def _held(self, doomed: Collection[str]) -> list[bytes]:
        """Return the files that are held in inboxes for jobs, but for those of `doomed` jobs."""
        world = self._world
        folders = tuple(f"{world.path(inbox.name)}/" for inbox in world.plan.settings.inboxes)
        world.see()
        return [
            data
            for path, data in world.snapshot.files.items()
            if path.startswith(folders) and "/.stylewatch" in path
            and path not in self._account.untouchable and world.contents.of(data) is not None
            and not any(job in path for job in doomed)
        ]  # fmt: skip

    def _drop_others(self, old: Drop) -> None:
        """Drop other contents under the names of files that are gone."""
        files = {path: self._world.contents.like(content, same_size=False)
                 for path, content in old.files.items()}  # fmt: skip
        drop = Drop(old.inbox, old.name, files, shared=old.shared)
        self._world.note(f"user: drops others, {drop}")
        self._files.drop(drop)
