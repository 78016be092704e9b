"""One inbox: scanned, settled, paired, and emptied of the pairs that are complete."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from stylewatch_daemon.claim import Claimer, Terms
from stylewatch_daemon.errors import InputError
from stylewatch_daemon.job import Incomplete, Pair
from stylewatch_daemon.journal import Journal
from stylewatch_daemon.names import shown
from stylewatch_daemon.outbox import Outbox
from stylewatch_daemon.pair import Pairing, only_settled, pair
from stylewatch_daemon.parts import PICTURES
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.scan import Listing, scan
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings
from stylewatch_daemon.settle import Settler

ALL = "all"


class Inbox:
    """The inbox of `own` settings; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        own: InboxSettings,
        settings: ServiceSettings,
        claimer: Claimer,
        reporter: Reporter,
        clock: Callable[[], float],
    ) -> None:
        self._own, self._settings, self._claimer = own, settings, claimer
        self._reporter, self._clock = reporter, clock
        self._settler = Settler(clock, settings.quiet_s)
        self._listing = Listing()
        self._settled: frozenset[Path] = frozenset()
        self._put_off: dict[Path, float] = {}
        self.path, self.outbox = own.path, own.outbox
        self.incomplete: list[Incomplete] = []
        self.trouble: dict[str, str] = {}
        """What could not be taken, by name, and why."""

    def look(self) -> bool:
        """Look at all that lies there; whether it has settled."""
        before, self._listing = self._listing, scan(self.path, self._settings.ignore)
        self._settled = self._settler.settled(self._listing.files)
        for path, why in self._listing.left.items():
            if path not in before.left:
                self._reporter.left_alone(path, why)
        return len(self._settled) == len(self._listing.files)

    def take(self) -> list[Journal]:
        """Take the complete pairs that the last look showed."""
        pairing = self._paired()
        self.incomplete, self.trouble = list(pairing.incomplete), {}
        if self.path in self._listing.left:
            self.trouble[shown(self.path)] = f"the inbox is {self._listing.left[self.path]}"
        try:
            new = [one for one in pairing.complete if not self._is_done_with(one)]
            if new:
                Outbox(self.outbox).probe()  # else the pictures are better off where they are
            taken = [job for job in map(self._taken, new) if job is not None]
        except OSError as error:
            taken = []
            self._in_the_way(shown(self.path), str(error))
        return taken

    def _taken(self, one: Pair) -> Journal | None:
        """The job that `one` becomes, unless something keeps it from being taken."""
        now = self._clock()
        if self._put_off.get(one.content, now) > now:
            self.trouble[one.name] = "it could not be taken, and is tried again later"
            return None
        terms = Terms(self.outbox, self._own.after)
        try:
            job = self._claimer.take(one, self._listing.files, terms, new_id())
        except InputError as error:  # it is changing after all: the next look will tell
            self.incomplete.append(Incomplete(one.name, f"a quiet moment: {error}"))
            return None
        except OSError as error:
            # Trying moves files to and fro, and that wakes us: without a pause it would not end.
            self._put_off[one.content] = now + self._settings.rescan_s
            self._in_the_way(one.name, str(error))
            return None
        self._reporter.taken(job.name)
        return job

    def _is_done_with(self, one: Pair) -> bool:
        return self._claimer.is_kept(one, self._listing.files)

    def _in_the_way(self, what: str, why: str) -> None:
        self.trouble[what] = why
        self._reporter.paused(what, why)

    def _paired(self) -> Pairing:
        files = self._listing.files
        found = pair(self.path, files, self._default())
        return only_settled(found, files.keys() - self._settled)

    def _default(self) -> Mapping[str, Path]:
        """The styles for lone pictures."""
        wanted = self._settings.default_style
        return {} if wanted is None else library(self._settings.styles, wanted)


def library(folder: Path, wanted: str) -> dict[str, Path]:
    """The pictures in `folder`, by name: the one called `wanted`, or every one for `all`."""
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix[1:].casefold() in PICTURES]
    pictures = {path.stem: path.resolve() for path in files if path.is_file()}
    if wanted == ALL:
        return pictures
    return {name: path for name, path in pictures.items() if wanted in (name, path.name)}


def new_id() -> str:
    """An id for a job: later ones sort after earlier ones."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}"
