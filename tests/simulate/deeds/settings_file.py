"""The file of the daemon's settings, which users edit while it runs."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulate.account import Account
from tests.simulate.deeds import Do, Script
from tests.simulate.deeds.drops import Drops
from tests.simulate.deeds.files import Files
from tests.simulate.plan import After

if TYPE_CHECKING:
    from tests.simulate.world import World


class SettingsFile:
    """Users who edit the settings."""

    def __init__(
        self, world: "World", account: Account, files: Files, drops: Drops, do: Do
    ) -> None:
        self._world, self._account, self._files = world, account, files
        self._drops, self._do = drops, do

    def reload(self, random: Random) -> Script:
        """Edit the settings, or send SIGHUP; some edits are wrong, and are corrected later."""
        what = random.choice(["SIGHUP", "a number", "a number", "a comment", "a mistake"])
        if what == "SIGHUP":
            self._world.reload_daemon()
            self._account.written = replace(self._account.written, since=self._world.times.now)
        elif what == "a number":
            self.write(random.choice([0.5, 1.0, 2.0, 3.0]))
        elif what == "a comment":
            self.write(self._account.written.quiet_s, f" # {random.random()}")
        else:
            self.write(self._account.written.quiet_s, "s")
        yield random.uniform(5, 100)
        if what == "a mistake":
            self.correct()

    def write(self, quiet_s: float, more: str = "") -> None:
        """Write the file of the settings, with more text after the number."""
        self._world.note(f"user: writes quiet_s: {quiet_s}{more} into config.yaml")
        inboxes = (f"{name}: {after}" for name, after in self._account.wanted.items())
        lines = [f"quiet_s: {quiet_s}{more}", *inboxes]
        Path(self._world.config).write_text("\n".join(lines))
        self._world.seam.user_wrote(self._world.config)
        now, is_wrong = self._world.times.now, more == "s"
        self._account.written = replace(
            self._account.written, quiet_s=quiet_s, is_wrong=is_wrong, since=now
        )

    def correct(self) -> None:
        """Correct a mistake in the file of the settings."""
        if self._account.written.is_wrong:
            self.write(self._account.written.quiet_s)

    def take_inbox_out(self, random: Random) -> Script:
        """Take one of two inboxes out of the settings for a while, and do something meanwhile."""
        inboxes = self._world.plan.settings.inboxes
        inbox = random.choice(inboxes)
        if random.random() < 0.7 and self._files.is_there(inbox.name):
            yield from self._drops.drop_until_claimed(random, inbox)
        if self._account.written.away or self._world.is_at_rest or len(inboxes) < 2:
            return
        self.change(random, f"takes {inbox.name} out of", away=frozenset({inbox.name}))
        left = random.choice([random.uniform(20, 60), random.uniform(60, 400)])
        deeds = ("drop", "move", "rename", "remove", "edit", "again", "copy", "undo")
        for _ in range(random.randint(0, 3)):
            yield (pause := random.uniform(0, left / 3))
            if self._world.is_at_rest:
                return
            left -= pause
            yield from self._do(random.choice(deeds), random)
        yield left
        self.put_inboxes_back(random)

    def change_after(self, random: Random) -> Script:
        """Let the files of an inbox stay, or leave, or be deleted from now on."""
        inbox = random.choice(self._world.plan.settings.inboxes)
        if random.random() < 0.7 and self._files.is_there(inbox.name):
            yield from self._drops.drop_until_claimed(random, inbox)
        others: list[After] = ["archive", "keep", "delete"]
        others.remove(self._account.written.after.get(inbox.name, inbox.after))
        if not self._world.is_at_rest:
            after = {**self._account.written.after, inbox.name: random.choice(others)}
            what = f"changes `after` of {inbox.name} to {after[inbox.name]} in"
            self.change(random, what, after=after)

    def change(self, random: Random, what: str, **changes: Any) -> None:
        """Write other inboxes into the settings: for a restart or a reload, or to be noticed."""
        self._world.note(f"user: {what} the settings")
        self._account.written = replace(self._account.written, **changes)
        how = random.choice(["restart", "restart", "reload", "edit"])
        if how == "restart":
            self._world.stop_daemon(random.choice([0.1, 2.0, random.uniform(2, 60)]))
        self.write(self._account.written.quiet_s)
        if how == "reload":
            self._world.reload_daemon()

    def put_inboxes_back(self, random: Random) -> None:
        """Put the inboxes back into the settings that they lack."""
        if self._account.written.away:
            self.change(random, "puts all inboxes back into", away=frozenset())
