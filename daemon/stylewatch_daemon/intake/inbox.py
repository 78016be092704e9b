"""One inbox: scan it, and find the pairs that are complete, stable, and not yet claimed."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import safe_path, shortened, shown
from stylewatch_daemon.intake.claim import folder_of, is_being_written, lacks_end
from stylewatch_daemon.intake.pairing import only_ready, pair
from stylewatch_daemon.intake.scan import Listing, Stability, scan
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.ledger import Ledger
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings, only_side
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.settings.style_library import find_styles

MAX_NOTES = 20
"""Maximum number of skipped paths of an inbox that the log and the status name."""

IsClaimed = Callable[[Pair, Mapping[Path, Look]], bool]
"""Function that returns whether a job has exactly these files, which are still in the inbox."""


class Inbox:
    """The inbox with its `own` settings; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        own: InboxSettings,
        settings: ServiceSettings,
        ledger: Ledger,
        reporter: Reporter,
        mount_guard: MountGuard,
        clock: Callable[[], float],
        is_claimed: IsClaimed,
    ) -> None:
        self.own, self.path, self.outbox = own, own.path, own.outbox
        self._settings, self._reporter, self._mount_guard = settings, reporter, mount_guard
        self._ledger, self._is_claimed = ledger, is_claimed
        watch = settings.watch
        self.stability = Stability(clock, watch.quiet_s, watch.truncated_s)
        self.files: Mapping[Path, Look] = {}
        """The files of the last scan."""
        self.pending: deque[Pair] = deque()
        """Pairs of the last scan that are to be claimed."""
        self.incomplete: list[Pair] = []
        self.trouble: dict[str, str] = {}
        """Reasons why pairs could not be claimed, by name."""
        self.notes: list[str] = []
        """Lines about the skipped paths."""
        self.was_skipped = False
        """True if a scan was omitted because pairs of the previous one were still to be claimed."""
        self._listing = Listing()
        self._stable: frozenset[Path] = frozenset()
        self._skipped: Mapping[Path, str] = {}
        self._taken: dict[Path, set[str]] = {}
        """Names of the main files that became jobs, by the folder they were in."""
        self._sides: dict[tuple[Path | None, Look | None], Side | None] = {}
        """The only side that a job needs, if any, by its job.yaml and the look of that file."""
        self._blocked = self._fault = ""
        """Why nothing can be claimed now, and the last unexpected error."""

    # -- scanning

    def scan(self) -> bool:
        """Scan the folder; return whether all files are stable and none is expected.

        There is no scan while pairs are to be claimed, because each claim checks its files anyway.
        """
        self.was_skipped = bool(self.pending)
        if self.was_skipped:
            return True
        self._blocked = ""
        with self._blocking():
            ignore = self._settings.watch.ignore
            self._listing = scan(self.path, ignore, self._settings.apart(self.own))
            self._stable = self.stability.update(self._listing.files, self._is_being_written)
        all_stable = len(self._stable) == len(self._listing.files)
        return all_stable and not (self._blocked or self.stability.any_awaited)

    def find_pairs(self) -> None:
        """Find the pairs of the last scan, and determine which of them are to be claimed."""
        if self.pending:
            return
        before, self.trouble = self.trouble, {}
        if not self._blocked:
            with self._blocking():
                self._find_pairs()
        if self._blocked:
            self.trouble[shown(self.path)] = self._blocked
            if self.trouble != before:
                self._reporter.waits(shown(self.path), self._blocked)

    @contextmanager
    def _blocking(self) -> Iterator[None]:
        """Record an error that blocks this inbox; log an unexpected one once."""
        try:
            yield
        except OSError as error:
            self._blocked = shortages.in_words(error)
        except Exception as error:
            name, text = type(error).__name__, shown(error)
            self._blocked = f"a fault of stylewatch stops this inbox ({name}: {text})"
            if self._blocked != self._fault:
                self._fault = self._blocked
                log = logging.getLogger(__name__)
                log.error("%s: %s", shown(self.path), self._fault, exc_info=error)

    def _find_pairs(self) -> None:
        self.files, folders = self._listing.files, {self.path, *self._listing.folders}
        self._taken = {path: names for path, names in self._taken.items() if path in folders}
        self._sides = {
            (path, seen): side
            for (path, seen), side in self._sides.items()
            if path is None or self.files.get(path) == seen
        }
        default = self._default_styles()
        pairing = pair(self.path, self.files, default, self._side_of, self._taken_from)
        changing = self.files.keys() - self._stable
        ready = only_ready(pairing, changing, self.stability.waits_for)
        self._note_skipped({**self._listing.skipped, **ready.skipped})
        if reason := self._listing.skipped.get(self.path):
            self.trouble[shown(self.path)] = f"the inbox is skipped: {reason}"
        self.incomplete = [
            pair
            for pair in ready.incomplete
            if pair.changing or not (pair.files and self._is_claimed(pair, self.files))
        ]
        pending = []
        for complete in ready.complete:
            if self._is_claimed(complete, self.files):
                continue
            if too_large := self._too_large(complete):
                self.incomplete.append(replace(complete, waits_for=too_large))
            else:
                pending.append(complete)
        if pending:  # otherwise nothing is written there
            self._mount_guard.check(self.outbox)
            Outbox(self.outbox).probe()
        self.pending.extend(pending)

    def _too_large(self, pair: Pair) -> str:
        """Describe the files that must be smaller, because a copy could fill a disk."""
        excesses = []
        for role, path in pair.roles:
            seen, limit = self.files.get(path) or look(path), self._settings.limits.largest(role)
            if seen is not None and seen.size > limit:
                key = " (limits.max_bytes)" if role == "content" else ""
                name = shown(path.name)
                excesses.append(f"a smaller {name}: it {disks.excess(seen.size, limit)}{key}")
        return "; ".join(excesses)

    def _side_of(self, job_file: Path | None) -> Side | None:
        """Return the only side that a job with this job.yaml needs; None if it needs both."""
        key = job_file, None if job_file is None else self.files.get(job_file)
        if key not in self._sides:
            try:
                self._sides[key] = self._read_side(job_file)
            except OSError as error:  # the next scan reads it again
                self._not_read(shown(job_file), error)
                return self._side_of(None)
        return self._sides[key]

    def _read_side(self, job_file: Path | None) -> Side | None:
        if job_file is None:
            return only_side(self._settings, None)
        with folder_of(self.path, job_file) as folder:
            return only_side(self._settings, job_file, folder)

    def _not_read(self, what: str, error: OSError) -> None:
        """Record why something cannot be read; raises ShortageError if the machine is the cause."""
        if (shortage := shortages.shortage(error)) is not None:
            raise shortage from error
        self.trouble[what] = shortages.in_words(error)

    def _taken_from(self, folder: Path) -> Collection[str]:
        """Return the main files in and below `folder` that became jobs, as relative paths."""
        if folder not in self._taken:
            is_inbox = folder == self.path
            name = "" if is_inbox else safe_path(folder.relative_to(self.path).as_posix())
            sources = self._ledger.main_sources(str(self.path), name)
            start = f"{folder}/"
            self._taken[folder] = {
                source.removeprefix(start) for source in sources if source.startswith(start)
            }
        return self._taken[folder]

    def claimed(self, claim: Claim) -> None:
        """Record that a job was created."""
        main = claim.main.source
        for above in main.parents:
            if above in self._taken:
                self._taken[above].add(main.relative_to(above).as_posix())

    def _default_styles(self) -> Mapping[str, Path]:
        """Return the default styles; none if they cannot be read, as most pairs need none."""
        folder, wanted = self._settings.pairing.styles, self._settings.pairing.default_style
        try:
            return {} if wanted is None else find_styles(folder, wanted)
        except OSError as error:
            self._not_read(f"the style library {shown(folder)}", error)
            return {}

    def _note_skipped(self, skipped: Mapping[Path, str]) -> None:
        """Record a line for each skipped path, and report those that are new."""
        new = [path for path in skipped if path not in self._skipped]
        self._skipped = skipped
        for path in new[:MAX_NOTES]:
            self._reporter.ignored(path, skipped[path])
        if len(new) > MAX_NOTES:
            more = f"{len(new) - MAX_NOTES:,} more paths in it"
            self._reporter.ignored(self.path, more)
        lines = [
            f"{shortened(path.relative_to(self.path))} is skipped: {skipped[path]}"
            for path in sorted(skipped)
            if path != self.path
        ]
        self.notes = lines[:MAX_NOTES]
        if len(lines) > MAX_NOTES:
            more = f"{len(lines) - MAX_NOTES:,} more are skipped in {shown(self.path)}"
            self.notes.append(more)

    # -- claiming

    def next_pair(self, copied: Collection[Path]) -> Pair | None:
        """Remove and return the next pair that can be claimed now.

        Files in `copied` are being copied for other jobs, and cannot be moved away.
        """
        for _ in range(len(self.pending)):
            pair = self.pending.popleft()
            if any(path in copied for path in pair.files if path not in pair.shared):
                self.pending.append(pair)
            elif self._is_whole(pair):
                return pair
        return None

    def not_claimed(self, name: str, main: Path, error: InputError) -> None:
        """Record that the pair called `name` changed while it was being claimed."""
        reason = f"its files to stop changing: {error}"
        self.incomplete.append(Pair(name, main, waits_for=reason, changing=True))

    def _is_whole(self, pair: Pair) -> bool:
        """Return whether no file is open for writing or lacks its end; otherwise the pair waits.

        A file that was waited for long enough is claimed as it is.
        """
        for path in pair.files:
            if path not in self.files or self.stability.gave_up([path]):
                continue
            is_open = self._is_being_written(path)
            if is_open or (path != pair.job_file and lacks_end(self.path, path)):
                self.stability.add(path, self.files[path], is_open=is_open)
        waits_for = self.stability.waits_for(pair.files)
        if waits_for:
            self.incomplete.append(replace(pair, waits_for=waits_for, changing=True))
        return not waits_for

    def _is_being_written(self, path: Path) -> bool:
        return is_being_written(self.path, path)
