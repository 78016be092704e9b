"""When files of an inbox are ready to be claimed: they stopped changing and are not truncated."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import shown


@dataclass(frozen=True)
class _Seen:
    look: Look
    since: float
    scans: int = 1


class SettleTracker:
    """Record since when files have not changed; `clock` is monotonic, in seconds, as is `quiet_s`.

    Only changes between scans count, never the files' own times: a file whose modification time
    lies in the future settles as well.
    """

    def __init__(self, clock: Callable[[], float], quiet_s: float) -> None:
        self._clock, self._quiet_s = clock, quiet_s
        self._files: dict[Path, _Seen] = {}

    def settled(self, files: Mapping[Path, Look]) -> frozenset[Path]:
        """Return those of `files` that looked the same in two scans, at least `quiet_s` apart.

        Files that are missing in `files` are forgotten: if they come back, they are new.
        """
        now = self._clock()
        self._files = {path: self._updated(path, look, now) for path, look in files.items()}
        return frozenset(
            path
            for path, seen in self._files.items()
            if seen.scans > 1 and now - seen.since >= self._quiet_s
        )

    def _updated(self, path: Path, look: Look, now: float) -> _Seen:
        before = self._files.get(path)
        if before is None or before.look != look:
            return _Seen(look, now)
        return _Seen(look, before.since, before.scans + 1)


class Lack(Enum):
    """Reasons why a file is not complete yet."""

    END = auto()
    """The file ends too early."""
    WRITER_DONE = auto()
    """A program has the file open for writing."""


@dataclass(frozen=True)
class _Truncated:
    look: Look
    since: float
    lack: Lack


class TruncatedFiles:
    """Files that are not complete yet, until they change or are removed.

    `clock` is monotonic, in seconds; a file that did not change for `wait_s` is waited for no
    longer.
    """

    def __init__(self, clock: Callable[[], float], wait_s: float) -> None:
        self._clock, self._wait_s = clock, wait_s
        self._files: dict[Path, _Truncated] = {}

    def add(self, path: Path, look: Look, lack: Lack = Lack.END) -> None:
        """Wait for the rest of the file at `path`, which looked like `look`."""
        known = self._files.get(path)
        if known is None or known.look != look:
            self._files[path] = _Truncated(look, self._clock(), lack)

    def update(self, files: Mapping[Path, Look], is_open: Callable[[Path], bool]) -> None:
        """Forget files that changed, or that no program has open for writing any more."""
        self._files = {
            path: file
            for path, file in self._files.items()
            if files.get(path) == file.look and (file.lack is Lack.END or is_open(path))
        }

    @property
    def any_awaited(self) -> bool:
        """True if the rest of any file is still expected."""
        return any(map(self._is_awaited, self._files))

    def gave_up(self, paths: Collection[Path]) -> bool:
        """Return whether one of `paths` is truncated and was waited for long enough."""
        return any(path in self._files and not self._is_awaited(path) for path in paths)

    def waits_for(self, paths: Collection[Path]) -> str:
        """Return in words which of `paths` are waited for and why; empty if there are none."""
        awaited = [path for path in paths if path in self._files and self._is_awaited(path)]
        truncated, open_files = (
            [shown(path.name) for path in awaited if self._files[path].lack is lack]
            for lack in Lack
        )
        reasons = []
        if truncated:
            they, their = ("they end", "their") if len(truncated) > 1 else ("it ends", "its")
            reasons.append(
                f"the rest of {' and '.join(truncated)}: {they} too early, "
                f"and may still be on {their} way"
            )
        if open_files:
            are, have = ("are", "have them") if len(open_files) > 1 else ("is", "has it")
            reasons.append(
                f"{' and '.join(open_files)}, which {are} still being written: "
                f"a program {have} open"
            )
        return "; ".join(reasons)

    def _is_awaited(self, path: Path) -> bool:
        return self._clock() - self._files[path].since < self._wait_s
