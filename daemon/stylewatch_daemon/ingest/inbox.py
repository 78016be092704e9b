"""One inbox: scanned, settled, paired, and emptied of the pairs that are complete.

Complete pairs are entered in the ledger all at once, and then claimed one after the other: that
takes its time, and nobody's jobs have to wait for it.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from stylewatch_daemon.errors import InputError, OutputError, QuarantinedError, ShortageError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.identity import Identity, Look
from stylewatch_daemon.files.names import safe_path, shortened, shown
from stylewatch_daemon.files.shortages import in_words
from stylewatch_daemon.ingest.claim import Claimer, Terms, key_of
from stylewatch_daemon.ingest.filenames import PICTURES
from stylewatch_daemon.ingest.pairing import Pairing, only_settled, pair
from stylewatch_daemon.ingest.scan import Listing, scan
from stylewatch_daemon.ingest.settle import Settler
from stylewatch_daemon.ingest.truncated import Lack, Rests
from stylewatch_daemon.ingest.watcher import POLL_S
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.resolve import only_side
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.store import ledger_writer, transfer
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.ledger import Entry

ALL = "all"

NOTED = 20
"""How much of what is left alone in an inbox the log and the status name."""


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
        self._state = claimer.state
        self._settler = Settler(clock, settings.watch.quiet_s)
        self._rests = Rests(clock, settings.watch.truncated_s)
        self._listing = Listing()
        self._settled: frozenset[Path] = frozenset()
        self._seen = self._listing
        self._put_off: dict[Path, float] = {}
        self._ids: dict[str, str] = {}
        self._took_over = False
        self._used: dict[Path, bool] = {}
        self._sides: dict[Path | None, tuple[Look | None, Side | None]] = {}
        self._pending: deque[tuple[str, Pair]] = deque()
        self.path, self.outbox = own.path, own.outbox
        self.incomplete: list[Incomplete] = []
        self._blocked = self._fault = ""
        """Why nothing can be taken now, and the last unforeseen error."""
        self.trouble: dict[str, str] = {}
        """What could not be taken, by name, and why."""
        self.polled = ""
        """Why file events fail here, if they do."""

    def look(self) -> bool:
        """Look at all that lies there; whether it has settled, and nothing lacks its end."""
        self._blocked = ""
        try:
            return self._look()
        except ShortageError as error:
            self._blocked = str(error)
        except Exception as error:
            self._blocked = self._unforeseen(error)
        return False

    def _look(self) -> bool:
        before = self._listing
        self._listing = scan(
            self.path, self._settings.watch.ignore, self._settings.apart(self._own)
        )
        self._settled = self._settler.settled(self._listing.files)
        self._rests.compare(self._listing.files, self._is_being_written)
        new = [path for path in self._listing.left if path not in before.left]
        for path in new[:NOTED]:
            self._reporter.left_alone(path, self._listing.left[path])
        if len(new) > NOTED:
            self._reporter.left_alone(self.path, f"{len(new) - NOTED:,} more of what is in it")
        return len(self._settled) == len(self._listing.files) and not self._rests.awaited

    def _unforeseen(self, error: Exception) -> str:
        """Log an error that nobody foresaw, once, with its trace; what is in this inbox's way."""
        fault = f"a fault of stylewatch stops this inbox ({type(error).__name__}: {shown(error)})"
        if fault != self._fault:
            self._fault = fault
            logging.getLogger(__name__).error("%s: %s", shown(self.path), fault, exc_info=error)
        return fault

    @property
    def folders(self) -> Mapping[Path, Identity]:
        """The folders below it, as the last look found them."""
        return self._listing.folders

    @property
    def notes(self) -> list[str]:
        """What is left alone here, and why file events fail, each in a line."""
        left = [(path, why) for path, why in self._listing.left.items() if path != self.path]
        notes = [
            f"{shortened(path.relative_to(self.path))} is left alone: {why}"
            for path, why in sorted(left)[:NOTED]
        ]
        if len(left) > NOTED:
            notes.append(f"{len(left) - NOTED:,} more are left alone in {shown(self.path)}")
        if self.polled:
            notes.append(
                f"{shown(self.path)} brings no file events ({self.polled}); "
                f"it is scanned every {POLL_S:g} s instead"
            )
        return notes

    @property
    def awaits_rest(self) -> bool:
        """Whether a file here is not whole yet, and may still be on its way."""
        return self._rests.awaited

    def await_rest(self, path: Path, look: Look) -> None:
        """Take the file at `path`, which looked like that, only once it has changed, or for good.

        It ends too early. If it stands still for `truncated_s` it is taken all the same.
        """
        self._rests.begin(path, look)

    def enter(self) -> None:
        """Enter the complete pairs that the last look showed, to be claimed."""
        self._pending.clear()
        before, self.trouble = self.trouble, {}
        if not self._blocked:
            try:
                self._enter()
            except OSError as error:
                self._blocked = in_words(error)
            except Exception as error:
                self._blocked = self._unforeseen(error)
        if self._blocked:
            self.trouble[shown(self.path)] = self._blocked
            if self.trouble != before:
                self._reporter.paused(shown(self.path), self._blocked)

    def _enter(self) -> None:
        found, self._seen = self._paired(), self._listing
        pairing = self._ready(found)
        self.incomplete = list(pairing.incomplete)
        if self.path in self._listing.left:
            self.trouble[shown(self.path)] = (
                f"the inbox is left alone: {self._listing.left[self.path]}"
            )
        try:
            self._take_over()
            complete = {key_of(one.main, one.name): one for one in pairing.complete}
            wanted = {
                key: one
                for key, one in complete.items()
                if key in self._ids or not self._claimer.is_taken(one, self._listing.files)
            }
            self._book(wanted, {key_of(one.main, one.name) for one in found.complete})
            if wanted:
                self._state.moorings.check(self.outbox)
                Outbox(self.outbox).probe()  # else the pictures are better off where they are
            self._pending.extend(wanted.items())
        except OSError as error:
            self._in_the_way(shown(self.path), in_words(error))

    @property
    def claimable(self) -> bool:
        """Whether there are pairs that were entered, and not tried to claim since."""
        return bool(self._pending)

    def unclaimed(self) -> list[str]:
        """The names of these pairs."""
        return [one.name for _, one in self._pending]

    def claim(self) -> tuple[Journal, bool] | None:
        """Take the next pair that was entered; None where there is none that can be taken.

        With it goes whether it is taken for good, even if it ends too early.
        """
        while self._pending:
            key, one = self._pending.popleft()
            if self._waits_for_writers(key, one):
                continue
            job = self._taken(one, self._ids[key])
            its_end = job is not None or self._ids[key] in self._state.quarantined
            if its_end or self._state.has(self._ids[key]):
                del self._ids[key]
            if job is not None:
                self._used |= dict.fromkeys(one.shared.intersection(one.styles), True)
                return job, self._rests.is_over(one.files)
        return None

    def is_over(self, job: Journal) -> bool:
        """Whether the rest of a file of `job` was waited for long enough."""
        return self._rests.is_over([file.source for file in job.files])

    def _take_over(self) -> None:
        """Go on with what was entered before us; that someone cancelled it, say, holds on."""
        if self._took_over:
            return
        for entry in self._state.ledger.claimed(str(self.path)):
            if not self._state.has(entry.id):
                content = next((one.get("source") for one in entry.inputs), None)
                self._ids[key_of(Path(content or ""), entry.name)] = entry.id
        self._took_over = True

    def _book(self, wanted: Mapping[str, Pair], there: Collection[str]) -> None:
        """Enter what is new among the `wanted` pairs, withdraw what is not `there` any more."""
        ledger = self._state.ledger
        new = {key: new_id() for key in wanted if key not in self._ids}
        gone = {key: job_id for key, job_id in self._ids.items() if key not in there}
        if new or gone:
            with ledger.together():
                ledger.enter(self._entry(job_id, wanted[key]) for key, job_id in new.items())
                # What is ours, and could not be entered as such, is nothing to forget.
                ledger.withdraw(one for one in gone.values() if not self._state.has(one))
        self._ids = {key: one for key, one in {**self._ids, **new}.items() if key in there}

    def _entry(self, job_id: str, one: Pair) -> Entry:
        files = self._listing.files
        sizes = {path: files[path].size for path in one.files if path in files}
        inputs = tuple(
            {"name": shown(path.name), "source": str(path), "size": size}
            for path, size in sizes.items()
        )
        return Entry(
            id=job_id,
            name=one.name,
            inbox=str(self.path),
            outbox=str(self.outbox),
            state="claimed",
            entered=ledger_writer.now(),
            inputs=inputs,
            bytes=sum(sizes.values()),
        )

    def _taken(self, one: Pair, job_id: str) -> Journal | None:
        """The job that `one` becomes, unless something keeps it from being taken."""
        now = self._clock()
        if self._put_off.get(one.main, now) > now:
            self.trouble[one.name] = "it could not be taken, and is tried again later"
            return None
        terms = Terms(self.path, self.outbox, self._own.after)
        try:
            with self._state.guard(job_id, "taking it"):
                job = self._take(one, terms, job_id)
        except QuarantinedError:
            self._claimer.leave_alone(one, self._seen.files)
            return None
        except OSError as error:
            # Trying moves files to and fro, and that wakes us: without a pause it would not end.
            self._put_off[one.main] = now + self._settings.watch.rescan_s
            self._in_the_way(one.name, in_words(error))
            return None
        if job is not None:
            self._reporter.taken(job.name)
        return job

    def _take(self, one: Pair, terms: Terms, job_id: str) -> Journal | None:
        try:
            return self._claimer.take(one, self._seen.files, terms, job_id)
        except InputError as error:  # it is changing after all: the next look will tell
            self.incomplete.append(Incomplete(one.name, f"a quiet moment: {error}", changing=True))
            return None

    def _waits_for_writers(self, key: str, one: Pair) -> bool:
        """Have a pair wait whose files a program still has open for writing; whether it does."""
        files = self._seen.files
        own = [path for path in one.files if path in files and not self._rests.is_over([path])]
        written = [path for path in own if self._is_being_written(path)]
        for path in written:
            self._rests.begin(path, files[path], Lack.WRITER_DONE)
        if written:
            self.incomplete.append(
                Incomplete(one.name, self._rests.missing(one.files), changing=True)
            )
            with suppress(OutputError):  # then it stays entered until it can be claimed
                self._state.ledger.withdraw([self._ids[key]])
                del self._ids[key]
        return bool(written)

    def _is_being_written(self, path: Path) -> bool:
        return transfer.is_being_written(self.path, path)

    def _in_the_way(self, what: str, why: str) -> None:
        self.trouble[what] = why
        self._reporter.paused(what, why)

    def _paired(self) -> Pairing:
        self._used = {one: was for one, was in self._used.items() if one in self._listing.files}
        return pair(self.path, self._listing.files, self._default(), self._only, self._has_used)

    def _has_used(self, style: Path) -> bool:
        """Whether jobs were made with the style of an album; the ledger is asked once."""
        if style not in self._used:
            folder = style.parent.relative_to(self.path).as_posix()
            named = "" if folder == "." else safe_path(folder)
            self._used[style] = self._state.ledger.has_used(str(self.path), named, style)
        return self._used[style]

    def _only(self, job_file: Path | None) -> Side | None:
        """The one side that a job with this job.yaml is for; it is read anew once it changes."""
        look = None if job_file is None else self._listing.files.get(job_file)
        if job_file not in self._sides or self._sides[job_file][0] != look:
            self._sides[job_file] = look, self._read_side(job_file)
        return self._sides[job_file][1]

    def _read_side(self, job_file: Path | None) -> Side | None:
        if job_file is None:
            return only_side(self._settings, None)
        try:
            with transfer.folder_of(self.path, job_file) as folder:
                return only_side(self._settings, job_file, folder)
        except OutputError:  # a link came in the place of a folder
            return None

    def _ready(self, found: Pairing) -> Pairing:
        """What of `found` has settled; pairs that lack the end of a picture go on waiting."""
        settled = only_settled(found, self._listing.files.keys() - self._settled)
        ours = (*self._claimer.held.values(), *self._claimer.copying.values())
        held = {job.name for job in ours if job.inbox == self.path}
        rests = [(one, self._rests.missing(one.files)) for one in settled.complete]
        return Pairing(
            tuple(one for one, rest in rests if not rest),
            (
                *(one for one in settled.incomplete if one.name not in held),
                *(Incomplete(one.name, rest, changing=True) for one, rest in rests if rest),
            ),
        )

    def _default(self) -> Mapping[str, Path]:
        """The styles for lone pictures."""
        wanted = self._settings.pairing.default_style
        return {} if wanted is None else library(self._settings.pairing.styles, wanted)


def library(folder: Path, wanted: str) -> dict[str, Path]:
    """The pictures in `folder`, by name: the one called `wanted`, or every one for `all`."""
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix[1:].casefold() in PICTURES]
    files = [path for path in files if not path.stem.casefold().endswith(".mask")]
    pictures = {path.stem: path.resolve() for path in files if path.is_file()}
    if wanted == ALL:
        return pictures
    return {name: path for name, path in pictures.items() if wanted in (name, path.name)}


def new_id() -> str:
    """An id for a job: later ones sort after earlier ones."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}"
