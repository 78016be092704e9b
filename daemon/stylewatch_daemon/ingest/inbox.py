"""One inbox: scan it, find the pairs that are complete and settled, and enter them in the ledger.

Complete pairs are entered all at once, and claimed one after the other: claiming takes time, and
no other inbox's jobs have to wait for it.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from stylewatch_daemon.errors import InProgressError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import shortages
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import safe_path, shortened, shown
from stylewatch_daemon.ingest.claim import Claimer, key_of
from stylewatch_daemon.ingest.pairing import only_ready, pair
from stylewatch_daemon.ingest.scan import Listing, SettleTracker, TruncatedFiles, scan
from stylewatch_daemon.model import Incomplete, JobState, Pair
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.resolve import only_side
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.store import claim_files, ledger_writer
from stylewatch_daemon.store.journal import Journal, new_id
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.state_dir import State

MAX_NOTES = 20
"""How many of the skipped paths of an inbox the log and the status name."""


class Inbox:
    """The inbox with its `own` settings; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        own: InboxSettings,
        settings: ServiceSettings,
        state: State,
        claimer: Claimer,
        reporter: Reporter,
        clock: Callable[[], float],
    ) -> None:
        self.own, self.path, self.outbox = own, own.path, own.outbox
        self._settings, self._state, self._claimer = settings, state, claimer
        self._reporter, self._clock = reporter, clock
        self._settle_tracker = SettleTracker(clock, settings.watch.quiet_s)
        self.truncated = TruncatedFiles(clock, settings.watch.truncated_s)
        self.listing = Listing()
        self._settled: frozenset[Path] = frozenset()
        self.entered_files: Mapping[Path, Look] = {}
        """The files of the scan after which pairs were last entered."""
        self._retry_at: dict[Path, float] = {}
        self._ids: dict[str, str] = {}
        """The ids of the jobs that are entered and not claimed, by key."""
        self._adopted = False
        self._used_styles: dict[Path, bool] = {}
        self._taken: dict[Path, set[str]] = {}
        """The names of the main files that jobs were made of, by folder, for those asked for."""
        self._skipped: Mapping[Path, str] = {}
        self._sides: dict[Path | None, tuple[Look | None, Side | None]] = {}
        self.pending: deque[tuple[str, Pair]] = deque()
        """Entered pairs whose claim was not tried since, with their keys."""
        self.incomplete: list[Incomplete] = []
        self._blocked = self._fault = ""
        """Why nothing can be claimed now, and the last unexpected error."""
        self.trouble: dict[str, str] = {}
        """Reasons why pairs could not be claimed, by name."""

    def scan(self) -> bool:
        """Scan the folder; return whether all files have settled and none is truncated."""
        self._blocked = ""
        with self._blocking():
            ignore = self._settings.watch.ignore
            self.listing = scan(self.path, ignore, self._settings.apart(self.own))
            self._settled = self._settle_tracker.settled(self.listing.files)
            self.truncated.update(self.listing.files, self._is_being_written)
        is_settled = len(self._settled) == len(self.listing.files)
        return is_settled and not (self._blocked or self.truncated.any_awaited)

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

    def submitted(self, name: str) -> None:
        """Take the pair in the folder `name` without a wait: it was put there all at once."""
        self._settle_tracker.trust(self.path / name)

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

    def enter(self) -> None:
        """Enter in the ledger the complete pairs of the last scan, to be claimed."""
        self.pending.clear()
        before, self.trouble = self.trouble, {}
        if not self._blocked:
            with self._blocking():
                self._enter()
        if self._blocked:
            self.trouble[shown(self.path)] = self._blocked
            if self.trouble != before:
                self._reporter.paused(shown(self.path), self._blocked)

    def _enter(self) -> None:
        files, default = self.listing.files, self._default_styles()
        self._used_styles = {
            style: used for style, used in self._used_styles.items() if style in files
        }
        self._sides = {
            path: side for path, side in self._sides.items() if path is None or path in files
        }
        self._retry_at = {path: at for path, at in self._retry_at.items() if path in files}
        folders = {self.path, *self.listing.folders}
        self._taken = {path: names for path, names in self._taken.items() if path in folders}
        pairing = pair(self.path, files, default, self._side_of, self._is_used, self._taken_from)
        self.entered_files = files
        changing = files.keys() - self._settled
        ready = only_ready(pairing, changing, self.truncated.waits_for)
        self._note_skipped({**self.listing.skipped, **ready.skipped})
        claimed = {job.name for job in self._claimer.jobs if job.inbox == self.path}
        if reason := self.listing.skipped.get(self.path):
            self.trouble[shown(self.path)] = f"the inbox is skipped: {reason}"
        self._adopt_entered()
        complete = {key_of(pair.main, pair.name): pair for pair in ready.complete}
        there = {key_of(pair.main, pair.name) for pair in pairing.complete}
        self.incomplete = []
        for waiting in ready.incomplete:
            if (canceled := self._canceled(waiting)) is not None:
                there.add(canceled)
                if waiting.pair is not None and not self._is_changing(waiting.pair):
                    complete[canceled] = waiting.pair
            elif waiting.name not in claimed and not self._stays(waiting):
                self.incomplete.append(waiting)
        pending = {
            key: pair
            for key, pair in complete.items()
            if key in self._ids or not self._claimer.is_claimed(pair, files)
        }
        self._update_ledger(pending, there)
        if pending:
            self._check_outbox()
        self.pending.extend(pending.items())

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

    def cancel(self, name: str) -> bool:
        """Enter the incomplete pairs called `name` as canceled jobs, which are claimed next.

        Returns whether there were any. Raises InProgressError until the inbox was scanned and their
        files have settled.
        """
        if not self._adopted:
            raise InProgressError(f"{shown(self.path)} was not scanned yet")
        named = [waiting for waiting in self.incomplete if waiting.name == name]
        for waiting in named:
            pair = waiting.pair
            if pair is None or self._is_changing(pair):
                raise InProgressError(f"{shown(name)} waits for files that still change")
            self._check_outbox()
            key = key_of(pair.main, pair.name)
            entry = self._entry(self._ids.get(key) or new_id(), pair)
            self._state.ledger.enter([replace(entry, wish="cancel")])
            self._ids[key] = entry.id
            self.pending.append((key, pair))
            self.incomplete.remove(waiting)
        return bool(named)

    def _is_changing(self, pair: Pair) -> bool:
        """Return whether a file of the pair has not settled, or is open for writing."""
        own = [path for path in pair.files if path in self.listing.files]
        return not self._settled.issuperset(own) or any(map(self._is_being_written, own))

    def _canceled(self, waiting: Incomplete) -> str | None:
        """Return the key of an incomplete pair that is entered as a canceled job, else None."""
        key = None if waiting.pair is None else key_of(waiting.pair.main, waiting.name)
        job_id = self._ids.get(key or "")
        return key if job_id and self._state.ledger.wish(job_id) == "cancel" else None

    def _stays(self, waiting: Incomplete) -> bool:
        """Return whether this very pair was canceled, and is still here, as with `after: keep`."""
        pair = None if waiting.changing else waiting.pair
        return pair is not None and self._claimer.is_claimed(pair, self.listing.files)

    def next_pair(self) -> tuple[Pair, str] | None:
        """Remove and return the next pair that can be claimed now, with its job's id."""
        while self.pending:
            key, pair = self.pending.popleft()
            if self._waits_for_writers(key, pair) or self._waits_for_copies(pair):
                continue
            if self._retry_at.get(pair.main, 0.0) <= self._clock():
                return pair, self._ids[key]
            self.trouble[pair.name] = "it could not be taken, and is tried again later"
        return None

    def claimed(self, pair: Pair, job: Journal | None) -> None:
        """Note that `pair` became a `job`, was set aside or is being copied (None)."""
        self._ids.pop(key_of(pair.main, pair.name), None)
        self._taken.get(pair.main.parent, set()).add(pair.main.name)
        if job is not None:
            self._used_styles |= dict.fromkeys(pair.shared.intersection(pair.styles), True)
            self._reporter.claimed(pair.name)

    def not_claimed(self, pair: Pair, error: Exception) -> None:
        """Note why `pair` could not be claimed now."""
        if isinstance(error, OSError):
            # Each try moves files to and fro, which wakes us: without a pause it would not end.
            self._retry_at[pair.main] = self._clock() + self._settings.watch.rescan_s
            self.trouble[pair.name] = shortages.in_words(error)
            self._reporter.paused(pair.name, self.trouble[pair.name])
        else:
            reason = f"its files to stop changing: {error}"
            self.incomplete.append(Incomplete(pair.name, reason, changing=True, pair=pair))

    def _check_outbox(self) -> None:
        """Raise OutputError if nothing can be written there: the pictures stay in the inbox."""
        self._state.mount_guard.check(self.outbox)
        Outbox(self.outbox).probe()

    def _adopt_entered(self) -> None:
        """Adopt the entries of an earlier start, so that pairs canceled then stay canceled."""
        if not self._adopted:
            for entry in self._state.ledger.claimed(str(self.path)):
                if not self._state.has(entry.id):
                    content = next((file.get("source") for file in entry.inputs), None)
                    self._ids[key_of(Path(content or ""), entry.name)] = entry.id
        self._adopted = True

    def _update_ledger(self, pending: Mapping[str, Pair], there: Collection[str]) -> None:
        """Enter the new pairs among `pending`, withdraw those that are not `there` any more."""
        ledger = self._state.ledger
        new = {key: new_id() for key in pending if key not in self._ids}
        gone = [job_id for key, job_id in self._ids.items() if key not in there]
        if new or gone:
            with ledger.transaction():
                ledger.enter(self._entry(job_id, pending[key]) for key, job_id in new.items())
                # A job whose files were claimed, and that could not be entered as such, is kept.
                ledger.withdraw(job_id for job_id in gone if not self._state.has(job_id))
        self._ids = {key: job_id for key, job_id in {**self._ids, **new}.items() if key in there}

    def _entry(self, job_id: str, pair: Pair) -> Entry:
        files = self.listing.files
        sizes = {path: files[path].size for path in pair.files if path in files}
        return Entry(
            id=job_id,
            name=pair.name,
            inbox=str(self.path),
            outbox=str(self.outbox),
            state=JobState.CLAIMED,
            entered=ledger_writer.now(),
            inputs=tuple(
                {"name": shown(path.name), "source": str(path), "size": size}
                for path, size in sizes.items()
            ),
            bytes=sum(sizes.values()),
        )

    def _waits_for_writers(self, key: str, pair: Pair) -> bool:
        """Withdraw a pair that a program still has open for writing; return whether one has."""
        files = self.entered_files
        open_files = [
            path
            for path in pair.files
            if path in files and not self.truncated.gave_up([path]) and self._is_being_written(path)
        ]
        if not open_files:
            return False
        for path in open_files:
            self.truncated.add(path, files[path], is_open=True)
        waits_for = self.truncated.waits_for(pair.files)
        self.incomplete.append(Incomplete(pair.name, waits_for, changing=True, pair=pair))
        with suppress(OutputError):  # else it stays entered until it can be claimed
            self._state.ledger.withdraw([self._ids[key]])
            del self._ids[key]
        return True

    def _waits_for_copies(self, pair: Pair) -> bool:
        """Return whether other jobs still copy a file that this one would move away."""
        return any(self._claimer.copies(path) for path in pair.files if path not in pair.shared)

    def _is_being_written(self, path: Path) -> bool:
        return claim_files.is_being_written(self.path, path)

    def _is_used(self, style: Path) -> bool:
        if style not in self._used_styles:
            name = self._name_of(style.parent)
            self._used_styles[style] = self._state.ledger.has_used(str(self.path), name, style)
        return self._used_styles[style]

    def _taken_from(self, folder: Path) -> set[str]:
        if folder not in self._taken:
            sources = self._state.ledger.main_sources(str(self.path), self._name_of(folder))
            parts = (source.rpartition("/") for source in sources)
            self._taken[folder] = {name for parent, _, name in parts if parent == str(folder)}
        return self._taken[folder]

    def _name_of(self, folder: Path) -> str:
        """Return the name that all names of jobs in `folder` begin with."""
        return "" if folder == self.path else safe_path(folder.relative_to(self.path).as_posix())

    def _side_of(self, job_file: Path | None) -> Side | None:
        """Return the one side that a job with this job.yaml is for; read again once it changes."""
        look = None if job_file is None else self.listing.files.get(job_file)
        if job_file not in self._sides or self._sides[job_file][0] != look:
            side = None
            if job_file is None:
                side = only_side(self._settings, None)
            else:
                with (
                    suppress(OutputError),  # a folder was replaced by a link
                    claim_files.folder_of(self.path, job_file) as folder,
                ):
                    side = only_side(self._settings, job_file, folder)
            self._sides[job_file] = look, side
        return self._sides[job_file][1]
