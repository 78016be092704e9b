"""Files of an inbox that end too early: each is waited for, but not for ever."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.names import shown
from stylewatch_daemon.scan import Look


@dataclass(frozen=True)
class _Rest:
    look: Look
    since: float


class Rests:
    """Remembers what ends too early, until it changes or goes.

    `clock` is monotonic, in seconds; what stood still for `patience_s` is waited for no longer.
    """

    def __init__(self, clock: Callable[[], float], patience_s: float) -> None:
        self._clock, self._patience_s = clock, patience_s
        self._files: dict[Path, _Rest] = {}

    def begin(self, path: Path, look: Look) -> None:
        """Wait for the rest of the file at `path`, which looked like that and ends too early."""
        known = self._files.get(path)
        if known is None or known.look != look:
            self._files[path] = _Rest(look, self._clock())

    def compare(self, files: Mapping[Path, Look]) -> None:
        """Forget what looks otherwise now: it may be whole."""
        self._files = {
            path: rest for path, rest in self._files.items() if files.get(path) == rest.look
        }

    @property
    def awaited(self) -> bool:
        """Whether there is anything that is waited for."""
        return any(map(self._is_young, self._files.values()))

    def missing(self, files: Collection[Path]) -> str:
        """What of `files` is waited for, in words; empty where that is nothing."""
        young = [one for one in files if one in self._files and self._is_young(self._files[one])]
        names = " and ".join(shown(path.name) for path in young)
        if len(young) > 1:
            return f"the rest of {names}: they end too early, and may still be on their way"
        return (
            f"the rest of {names}: it ends too early, and may still be on its way" if names else ""
        )

    def is_over(self, files: Collection[Path]) -> bool:
        """Whether one of `files` ends too early, and was waited for long enough."""
        return any(one in self._files and not self._is_young(self._files[one]) for one in files)

    def _is_young(self, rest: _Rest) -> bool:
        return self._clock() - rest.since < self._patience_s
