"""One inbox: scan it, and find the pairs that are complete, stable, and not claimed before."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import safe_path, shortened, shown
from stylewatch_daemon.intake.claim import folder_of, is_being_written
from stylewatch_daemon.intake.pairing import only_ready, pair
from stylewatch_daemon.intake.scan import Listing, Stability, scan
from stylewatch_daemon.ledger.ledger import Ledger
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.resolve import only_side
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.settings.style_library import find_styles

MAX_NOTES = 20
"""How many of the skipped paths of an inbox the log and the status name."""

IsClaimed = Callable[[Pair, Mapping[Path, Look]], bool]
"""Return whether a job has these very files, which are still in the inbox."""


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
        self._settings, self._ledger, self._reporter = settings, ledger, reporter
        self._mount_guard, self._clock, self._is_claimed = mount_guard, clock, is_claimed
        watch = settings.watch
        self.stability = Stability(clock, watch.quiet_s, watch.truncated_s)
        self.files: Mapping[Path, Look] = {}
        """The files of the last scan."""
        self.pending: deque[Pair] = deque()
        """Pairs of the last scan to be claimed."""
        self.incomplete: list[Pair] = []
        self.trouble: dict[str, str] = {}
        """Reasons why pairs could not be claimed, by name."""
        self.is_scanned = False
        self._listing = Listing()
        self._stable: frozenset[Path] = frozenset()
        self._retry_at: dict[Path, float] = {}
        self._used_styles: dict[Path, bool] = {}
        self._taken: dict[Path, set[str]] = {}
        """The names of the main files that jobs were made of, by folder, for those asked for."""
        self._skipped: Mapping[Path, str] = {}
        self._sides: dict[Path | None, tuple[Look | None, Side | None]] = {}
        self._blocked = self._fault = ""
        """Why nothing can be claimed now, and the last unexpected error."""

    def scan(self) -> bool:
        """Scan the folder; return whether all files are stable and none is awaited."""
        self._blocked = ""
        with self._blocking():
            ignore = self._settings.watch.ignore
            self._listing = scan(self.path, ignore, self._settings.apart(self.own))
            self._stable = self.stability.update(self._listing.files, self._is_being_written)
        all_stable = len(self._stable) == len(self._listing.files)
        return all_stable and not (self._blocked or self.stability.any_awaited)

    def find_pairs(self) -> None:
        """Find the pairs of the last scan, and which of them are to be claimed."""
        self.pending.clear()
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
        """Note an error that blocks this inbox; log an unexpected one once."""
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
        files, default = self._listing.files, self._default_styles()
        self.files = files
        self._used_styles = {s: used for s, used in self._used_styles.items() if s in files}
        self._sides = {p: side for p, side in self._sides.items() if p is None or p in files}
        self._retry_at = {path: at for path, at in self._retry_at.items() if path in files}
        folders = {self.path, *self._listing.folders}
        self._taken = {path: names for path, names in self._taken.items() if path in folders}
        pairing = pair(self.path, files, default, self._side_of, self._is_used, self._taken_from)
        changing = files.keys() - self._stable
        ready = only_ready(pairing, changing, self.stability.waits_for)
        self._note_skipped({**self._listing.skipped, **ready.skipped})
        if reason := self._listing.skipped.get(self.path):
            self.trouble[shown(self.path)] = f"the inbox is skipped: {reason}"
        self.incomplete = [
            pair for pair in ready.incomplete if pair.changing or not self._is_taken(pair)
        ]
        pending = [pair for pair in ready.complete if not self._is_taken(pair)]
        if pending:
            self.check_outbox()
        self.pending.extend(pending)
        self.is_scanned = True

    def _is_taken(self, pair: Pair) -> bool:
        """Return whether a job has these very files, as one with `after: keep`."""
        return bool(pair.files) and self._is_claimed(pair, self.files)

    def _default_styles(self) -> Mapping[str, Path]:
        """Return the default styles: none if they cannot be read, as most pairs need none."""
        folder, wanted = self._settings.pairing.styles, self._settings.pairing.default_style
        try:
            return {} if wanted is None else find_styles(folder, wanted)
        except OSError as error:
            if (shortage := shortages.shortage(error)) is not None:
                raise shortage from error
            self.trouble[f"the style library {shown(folder)}"] = shortages.in_words(error)
            return {}

    def _note_skipped(self, skipped: Mapping[Path, str]) -> None:
        """Report the skipped paths that are new, each with its reason."""
        new = [path for path in skipped if path not in self._skipped]
        self._skipped = skipped
        for path in new[:MAX_NOTES]:
            self._reporter.ignored(path, skipped[path])
        if len(new) > MAX_NOTES:
            more = f"{len(new) - MAX_NOTES:,} more of what is in it"
            self._reporter.ignored(self.path, more)

    @property
    def notes(self) -> list[str]:
        """The skipped paths, each in a line."""
        skipped = [(path, why) for path, why in self._skipped.items() if path != self.path]
        notes = [
            f"{shortened(path.relative_to(self.path))} is skipped: {reason}"
            for path, reason in sorted(skipped)[:MAX_NOTES]
        ]
        if len(skipped) > MAX_NOTES:
            notes.append(f"{len(skipped) - MAX_NOTES:,} more are skipped in {shown(self.path)}")
        return notes

    # -- claiming

    def next_pair(self, copied: Collection[Path]) -> Pair | None:
        """Remove and return the next pair that can be claimed now.

        Files in `copied` are being copied for other jobs, and cannot be moved away.
        """
        for _ in range(len(self.pending)):
            pair = self.pending.popleft()
            if self._waits_for_writers(pair):
                continue
            if any(path in copied for path in pair.files if path not in pair.shared):
                self.pending.append(pair)
            elif self._retry_at.get(pair.main, 0.0) > self._clock():
                self.trouble[pair.name] = "it could not be claimed, and is tried again later"
            else:
                return pair
        return None

    def claimed(self, pair: Pair) -> None:
        """Note that `pair` became a job."""
        self._taken.get(pair.main.parent, set()).add(pair.main.name)
        self._used_styles |= dict.fromkeys(pair.shared.intersection(pair.styles), True)

    def not_claimed(self, pair: Pair, error: Exception) -> None:
        """Note why `pair` could not be claimed now."""
        if isinstance(error, OSError):
            # Each try moves files to and fro, which wakes us: without a pause it would not end.
            self._retry_at[pair.main] = self._clock() + self._settings.watch.rescan_s
            self.trouble[pair.name] = shortages.in_words(error)
            self._reporter.waits(pair.name, self.trouble[pair.name])
        else:
            reason = f"its files to stop changing: {error}"
            self.incomplete.append(replace(pair, waits_for=reason, changing=True))

    def take_canceled(self, name: str) -> tuple[list[Pair], bool]:
        """Remove and return the incomplete pairs called `name` whose files do not change now.

        Also returns whether others of that name have to be waited for.
        """
        named = [pair for pair in self.incomplete if pair.name == name]
        taken = [pair for pair in named if pair.files and not self._is_changing(pair)]
        self.incomplete = [pair for pair in self.incomplete if pair not in taken]
        becomes_job = any(pair.name == name for pair in self.pending)
        return taken, len(taken) < len(named) or becomes_job or not self.is_scanned

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of the last scan, complete or not, that no job has."""
        return [*self.pending, *self.incomplete]

    def check_outbox(self) -> None:
        """Raise OutputError if nothing can be written there: the pictures stay in the inbox."""
        self._mount_guard.check(self.outbox)
        Outbox(self.outbox).probe()

    def _is_changing(self, pair: Pair) -> bool:
        """Return whether a file of the pair is not stable, or is open for writing."""
        own = [path for path in pair.files if path in self.files]
        return not self._stable.issuperset(own) or any(map(self._is_being_written, own))

    def _waits_for_writers(self, pair: Pair) -> bool:
        """Return whether a program has a file of the pair open; then it is incomplete again."""
        files = self.files
        open_files = [
            path
            for path in pair.files
            if path in files and not self.stability.gave_up([path]) and self._is_being_written(path)
        ]
        for path in open_files:
            self.stability.add(path, files[path], is_open=True)
        if open_files:
            waits_for = self.stability.waits_for(pair.files)
            self.incomplete.append(replace(pair, waits_for=waits_for, changing=True))
        return bool(open_files)

    def _is_being_written(self, path: Path) -> bool:
        return is_being_written(self.path, path)

    # -- what pairing asks

    def _is_used(self, style: Path) -> bool:
        if style not in self._used_styles:
            name = self._name_of(style.parent)
            self._used_styles[style] = self._ledger.has_used(str(self.path), name, style)
        return self._used_styles[style]

    def _taken_from(self, folder: Path) -> set[str]:
        if folder not in self._taken:
            sources = self._ledger.main_sources(str(self.path), self._name_of(folder))
            parts = (source.rpartition("/") for source in sources)
            self._taken[folder] = {name for parent, _, name in parts if parent == str(folder)}
        return self._taken[folder]

    def _name_of(self, folder: Path) -> str:
        """Return the name that all names of jobs in `folder` begin with."""
        return "" if folder == self.path else safe_path(folder.relative_to(self.path).as_posix())

    def _side_of(self, job_file: Path | None) -> Side | None:
        """Return the one side that a job with this job.yaml is for; read again once it changes."""
        look = None if job_file is None else self._listing.files.get(job_file)
        if job_file not in self._sides or self._sides[job_file][0] != look:
            side = None
            if job_file is None:
                side = only_side(self._settings, None)
            else:
                with (
                    suppress(OutputError),  # a folder was replaced by a link
                    folder_of(self.path, job_file) as folder,
                ):
                    side = only_side(self._settings, job_file, folder)
            self._sides[job_file] = look, side
        return self._sides[job_file][1]
