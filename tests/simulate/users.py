"""Users of a world: a table of what they do with files, jobs and the service."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.account import Account
from tests.simulate.deeds import Script
from tests.simulate.deeds.changes import Changes
from tests.simulate.deeds.drops import Drops
from tests.simulate.deeds.files import Files
from tests.simulate.deeds.library import Library
from tests.simulate.deeds.old_albums import OldAlbums
from tests.simulate.deeds.requests import Requests
from tests.simulate.deeds.service import Service
from tests.simulate.deeds.settings_file import SettingsFile
from tests.simulate.deeds.strangers import Strangers
from tests.simulate.deeds.submissions import Submissions
from tests.simulate.deeds.writers import Writers

if TYPE_CHECKING:
    from tests.simulate.world import World

_Table = dict[str, Callable[[Random], Script]]


class Users:
    """The users of a world, by what they do."""

    def __init__(self, world: "World", account: Account) -> None:
        self.files = files = Files(world, account)
        self.library = Library(world, account, files)
        self.requests = Requests(world, account, files)
        self.service = Service(world, account, files, self.do)
        self._writers = Writers(world, account, files)
        self._drops = Drops(world, account, files, self._writers)
        self.settings_file = SettingsFile(world, account, files, self._drops, self.do)
        self.old_albums = OldAlbums(world, account, files, self.settings_file)
        self._changes = Changes(world, account, files)
        self._strangers = Strangers(world, account, files)
        self._submissions = Submissions(world, account, files)
        self._deeds = self._with_files() | self._with_jobs(account)

    def do(self, what: str, random: Random) -> Script:
        """Do what has this name in a plan; yields pauses."""
        return self._deeds[what](random)

    def _with_files(self) -> _Table:
        """Return what users do with files in inboxes and outboxes, and with the library."""
        drops, changes, strangers = self._drops, self._changes, self._strangers
        return {
            "drop": drops.drop,
            "learn": drops.drop_to_learn,
            "deny": drops.drop_denied,
            "nested": drops.drop_nested,
            "write on": self._writers.write_on,
            "again": changes.drop_again,
            "edit": changes.edit,
            "undo": changes.undo,
            "remove": changes.remove,
            "rename": changes.rename,
            "move": changes.move,
            "copy": changes.copy,
            "add yaml": changes.add_yaml,
            "add style": changes.add_style,
            "pick": self.old_albums.pick,
            "clone": self.old_albums.clone,
            "library": self.library.change,
            "stranger": strangers.put,
            "debris": strangers.leave_debris,
            "forge": strangers.forge_receipt,
        }

    def _with_jobs(self, account: Account) -> _Table:
        """Return what users do with jobs, their results, and the service."""
        requests, service, settings_file = self.requests, self.service, self.settings_file
        return {
            "submit": self._submissions.submit,
            "try": self.library.try_styles,
            "cancel": partial(requests.request, "cancel"),
            "finish": partial(requests.request, "finish"),
            "retry": partial(requests.request, "retry"),
            "delete": partial(requests.request, "delete"),
            "pause": partial(requests.pause_or_resume, "pause"),
            "resume": partial(requests.pause_or_resume, "resume"),
            "trash": partial(requests.mark, "trash", "restore", account.trashed_jobs),
            "favorite": partial(requests.mark, "favorite", "unfavorite", account.favorite_jobs),
            "take": requests.take,
            "grab": requests.await_result,
            "restart": service.restart,
            "once": service.run_once,
            "off": service.turn_off,
            "ignore": service.ignore,
            "restore": service.restore,
            "reload": settings_file.reload,
            "leave": settings_file.take_inbox_out,
            "after": settings_file.change_after,
        }
