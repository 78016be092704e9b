"""When a file has stopped changing, given a clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.files.identity import Look


@dataclass(frozen=True)
class _Still:
    look: Look
    since: float
    looks: int = 1


class Settler:
    """Remembers how files looked; `clock` is monotonic, in seconds, as is `quiet_s`.

    Only change counts, never the files' own times: a file from the future settles as well.
    """

    def __init__(self, clock: Callable[[], float], quiet_s: float) -> None:
        self._clock = clock
        self._quiet_s = quiet_s
        self._files: dict[Path, _Still] = {}

    def settled(self, files: Mapping[Path, Look]) -> frozenset[Path]:
        """Those of `files` that looked the same at least twice, over at least `quiet_s`.

        Files that are missing in `files` are forgotten: if they come back, they are new.
        """
        now = self._clock()
        self._files = {path: self._stood(path, look, now) for path, look in files.items()}
        return frozenset(
            path
            for path, still in self._files.items()
            if still.looks > 1 and now - still.since >= self._quiet_s
        )

    def _stood(self, path: Path, look: Look, now: float) -> _Still:
        before = self._files.get(path)
        if before is None or before.look != look:
            return _Still(look, now)
        return _Still(look, before.since, before.looks + 1)
