"""The main loop's view of an inbox, which never waits for the disk of the inbox (law 9)."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.lanes import Lanes, Step
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.intake.scanner import Checked, Group, Scan, Scanner
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.outbox.destination import Destination
from stylewatch_daemon.settings.sections import InboxSettings

MAX_NOTES = 20
"""Maximum number of skipped paths of an inbox that the log and the status name."""


class Inbox:
    """An inbox and the destinations of its results; `lanes` do all work on its disk.

    The first of the `destinations` is the outbox. `changed` is called with the inbox and the result
    of every scan; after a failed scan, this is the last result, marked as not stable. `claims`
    returns the claims whose files may still be in the inbox; a scan leaves these files alone.
    `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        own: InboxSettings,
        scanner: Scanner,
        destinations: Sequence[Destination],
        lanes: Lanes,
        reporter: Reporter,
        clock: Callable[[], float],
        changed: Callable[["Inbox", Scan], object],
        claims: Callable[["Inbox"], Sequence[Claim]],
    ) -> None:
        self.check_events: Callable[[Path], object] = lambda path: None
        """Function called in the lane, with the path of the inbox, before each scan. The scan then
        makes up for events that were lost until now."""
        self.own = own
        self.path = own.path
        self.outbox = own.outbox
        self.destinations = destinations
        self.scanner = scanner
        self._lanes = lanes
        self._reporter = reporter
        self._clock = clock
        self._changed = changed
        self._claims = claims
        self.last = Scan(is_stable=False)
        """The result of the last scan."""
        self.pending: deque[Group] = deque()
        """Groups of the last scan that are to be claimed."""
        self.incomplete: list[Pair] = []
        self.ignored: Mapping[Path, str] = {}
        """The first MAX_NOTES skipped paths in the inbox, sorted, with the reasons."""
        self.is_scanning = self.is_checking = self.wants_scan = False
        self.scanned_at = -float("inf")
        """Time on the clock at the end of the last scan; minus infinity before the first."""
        self._claim_trouble = ""
        """Reason why the last check of pairs failed; empty if it did not. The next scan finds these
        pairs again."""
        self._blocked = self._fault = ""
        """Reason why the inbox cannot be scanned now, and the reason of the last unexpected error;
        empty if there is none."""
        self._skipped: Mapping[Path, str] = {}
        self._unhashed: Mapping[Path, str] = {}
        """Files that could not be hashed, with the reasons."""
        self._reported: Mapping[str, str] = {}

    @property
    def trouble(self) -> Mapping[str, str]:
        """Reasons why pairs cannot be claimed or painted, by the name of the place at fault."""
        reasons = {destination.folder: destination.trouble for destination in self.destinations}
        reasons[self.path] = self._blocked or self._claim_trouble
        return {**self.last.trouble, **{shown(path): why for path, why in reasons.items() if why}}

    @property
    def notes(self) -> list[str]:
        """Lines for the status: one for each path in `ignored`, then the number of other paths."""
        lines = [
            f"{shortened(path.relative_to(self.path))} is skipped: {why}"
            for path, why in self.ignored.items()
        ]
        more = len(self._skipped.keys() - {self.path}) - len(lines)
        return [*lines, f"{more:,} more are skipped in {shown(self.path)}"] if more else lines

    @property
    def unread(self) -> Set[Path]:
        """Skipped paths that could not be read, and are tried again."""
        return {*self.last.unread, *self._unhashed}

    @property
    def outbox_works(self) -> bool:
        """True if the outbox can be written (`Destination.works`); otherwise no pair is claimed."""
        return self.destinations[0].works

    @property
    def is_busy(self) -> bool:
        """True while the lane of the inbox scans it or checks pairs."""
        return self.is_scanning or self.is_checking

    @property
    def is_looking(self) -> bool:
        """True while the lane of a destination looks at its disk."""
        return any(destination.is_looking for destination in self.destinations)

    def scan(self) -> None:
        """Begin looks at all destinations, and a scan once the lane has ended its present work."""
        for destination in self.destinations:
            destination.look()
        self.wants_scan = self.is_busy
        if not self.is_busy:
            self.is_scanning = True
            self._lanes.do(self.path, partial(self._work, self._claims(self)), self._scanned)

    def _work(self, claims: Sequence[Claim], step: Step) -> Scan:
        self.check_events(self.path)
        return self.scanner.scan(claims, step)

    def _scanned(self, result: Scan | Exception) -> None:
        self.is_scanning = False
        self.scanned_at = self._clock()
        self._blocked = ""
        if isinstance(result, Exception):
            self._blocked = self._reason(result)
            result = replace(self.last, is_stable=False, records=())
        else:
            self.incomplete = [*result.incomplete]
            self.pending = deque(result.pending)
        self.last = result
        self._note_skipped()
        self.report()
        self._changed(self, result)
        if self.wants_scan:
            self.scan()

    def _reason(self, error: Exception) -> str:
        """Return why the inbox cannot be scanned; log an unexpected error once."""
        if isinstance(error, OSError | InputError):
            return shortages.in_words(error)
        reason = f"a fault of stylewatch stops this inbox ({type(error).__name__}: {shown(error)})"
        if reason != self._fault:
            self._fault = reason
            log = logging.getLogger(__name__)
            log.error("%s: %s", shown(self.path), reason, exc_info=error)
        return reason

    def report(self) -> None:
        """Report why pairs of this inbox cannot be claimed, if the reason is new.

        If the trouble of the inbox or a destination has changed, log the pairs that wait.
        """
        name = shown(self.path)
        trouble = {
            place: why for place, why in self.trouble.items() if place not in self.last.trouble
        }
        if trouble != self._reported and trouble:
            if name in trouble and trouble[name] != self._reported.get(name):
                self._reporter.waits(name, trouble[name])
            log = logging.getLogger(__name__)
            for pair in (pair for group in self.pending for pair in group):
                log.debug("waits as its inbox does", extra={"job": shown(pair.name)})
        self._reported = trouble

    def check(
        self, most: int, is_held: Callable[[Group], bool], done: Callable[[Checked], object]
    ) -> None:
        """Begin a check of at most `most` pending groups; afterwards call `done` with the result.

        Groups for which `is_held` returns True stay pending. If the check fails, `done` is not
        called, and no group stays pending: the next scan finds them again.
        """
        groups = list[Group]()
        held = list[Group]()
        while self.pending and len(groups) < most:
            group = self.pending.popleft()
            (held if is_held(group) else groups).append(group)
        self.pending.extendleft(reversed(held))
        if groups:
            self.is_checking = True
            work = partial(self.scanner.check, groups)
            self._lanes.do(self.path, work, partial(self._checked, done))

    def _checked(
        self,
        done: Callable[[Checked], object],
        result: Checked | Exception,
    ) -> None:
        self.is_checking = False
        self._claim_trouble = self._reason(result) if isinstance(result, Exception) else ""
        self.report()
        is_stale = False
        if isinstance(result, Exception):
            self.pending.clear()
        else:
            self.incomplete += result.incomplete
            done(result)
            is_stale = result.is_stale
        if self.wants_scan or is_stale:
            self.scan()

    def not_claimed(self, name: str, main: Path, error: InputError) -> None:
        """Add the pair called `name` to `incomplete`: it changed while it was being claimed."""
        reason = f"its files to stop changing: {error}"
        self.incomplete.append(Pair(name, main, waits_for=reason, changing=True))

    def _equal(self, result: Scan) -> dict[Path, str]:
        """Return notes, by path, on files whose content was painted under another name."""
        notes = {}
        for path, first_path in result.equal.items():
            name = Path(first_path)
            inside = name.relative_to(self.path) if name.is_relative_to(self.path) else name
            notes[path] = f"it has the content of {shortened(inside)}, which is painted"
        return notes

    def not_read(self, files: Mapping[Path, str]) -> None:
        """Record that `files` could not be hashed, with the reasons; they are tried again."""
        self._unhashed = {**self._unhashed, **files}
        self._note_skipped()

    def _note_skipped(self) -> None:
        """Update the skipped paths with their reasons, and report paths that are newly skipped."""
        unknown = set(self.last.unknown)
        self._unhashed = {path: why for path, why in self._unhashed.items() if path in unknown}
        skipped = {**self.last.skipped, **self._equal(self.last), **self._unhashed}
        unreported = [path for path in skipped if path not in self._skipped]
        self._skipped = skipped
        for path in unreported[:MAX_NOTES]:
            self._reporter.ignored(path, skipped[path])
        if len(unreported) > MAX_NOTES:
            more = f"{len(unreported) - MAX_NOTES:,} more paths in it"
            self._reporter.ignored(self.path, more)
        inside = sorted(path for path in skipped if path != self.path)
        self.ignored = {path: skipped[path] for path in inside[:MAX_NOTES]}
