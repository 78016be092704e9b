"""When files of an inbox are ready to be claimed: they stopped changing and are not truncated."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import shown


class SettleTracker:
    """Record since when files have not changed; `clock` is monotonic, in seconds, as is `quiet_s`.

    Only changes between scans count, never the files' own times: a file whose modification time
    lies in the future settles as well.
    """

    def __init__(self, clock: Callable[[], float], quiet_s: float) -> None:
        self._clock, self._quiet_s = clock, quiet_s
        self._files: dict[Path, tuple[Look, float]] = {}

    def settled(self, files: Mapping[Path, Look]) -> frozenset[Path]:
        """Return those of `files` that looked the same in two scans, at least `quiet_s` apart.

        Files that are missing in `files` are forgotten: if they come back, they are new.
        """
        now, before = self._clock(), self._files
        self._files = {
            path: (look, before[path][1] if path in before and before[path][0] == look else now)
            for path, look in files.items()
        }
        return frozenset(
            path
            for path, known in self._files.items()
            if before.get(path) == known and now - known[1] >= self._quiet_s
        )


@dataclass(frozen=True)
class _Truncated:
    look: Look
    since: float
    is_open: bool


class TruncatedFiles:
    """Files that are not complete yet, until they change or are removed.

    `clock` is monotonic, in seconds; a file that did not change for `wait_s` is waited for no
    longer.
    """

    def __init__(self, clock: Callable[[], float], wait_s: float) -> None:
        self._clock, self._wait_s = clock, wait_s
        self._files: dict[Path, _Truncated] = {}

    def add(self, path: Path, look: Look, *, is_open: bool = False) -> None:
        """Wait for the file at `path`, which looked like `look`.

        It ends too early or, with `is_open`, a program has it open for writing.
        """
        known = self._files.get(path)
        if known is None or known.look != look:
            self._files[path] = _Truncated(look, self._clock(), is_open)

    def update(self, files: Mapping[Path, Look], is_open: Callable[[Path], bool]) -> None:
        """Forget files that changed, or that no program has open for writing any more."""
        self._files = {
            path: file
            for path, file in self._files.items()
            if files.get(path) == file.look and (not file.is_open or is_open(path))
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
            [shown(path.name) for path in awaited if self._files[path].is_open == is_open]
            for is_open in (False, True)
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
