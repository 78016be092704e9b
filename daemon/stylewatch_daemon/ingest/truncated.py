"""Files of an inbox that are not whole yet: each is waited for, but not for ever."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import shown


class Lack(Enum):
    """What keeps a file from being taken."""

    END = auto()
    """It ends too early."""
    WRITER_DONE = auto()
    """A program has it open for writing."""


@dataclass(frozen=True)
class _Rest:
    look: Look
    since: float
    lack: Lack


class Rests:
    """Remembers what is not whole yet, until it changes or goes.

    `clock` is monotonic, in seconds; what stood still for `patience_s` is waited for no longer.
    """

    def __init__(self, clock: Callable[[], float], patience_s: float) -> None:
        self._clock, self._patience_s = clock, patience_s
        self._files: dict[Path, _Rest] = {}

    def begin(self, path: Path, look: Look, lack: Lack = Lack.END) -> None:
        """Wait for the rest of the file at `path`, which looked like that."""
        known = self._files.get(path)
        if known is None or known.look != look:
            self._files[path] = _Rest(look, self._clock(), lack)

    def compare(self, files: Mapping[Path, Look], is_open: Callable[[Path], bool]) -> None:
        """Forget what looks otherwise now, or is not open for writing any more: it may be whole."""
        self._files = {
            path: rest
            for path, rest in self._files.items()
            if files.get(path) == rest.look and (rest.lack is Lack.END or is_open(path))
        }

    @property
    def awaited(self) -> bool:
        """Whether there is anything that is waited for."""
        return any(map(self._is_young, self._files.values()))

    def missing(self, files: Collection[Path]) -> str:
        """What of `files` is waited for, in words; empty where that is nothing."""
        young = [one for one in files if one in self._files and self._is_young(self._files[one])]
        ended, written = (
            [shown(path.name) for path in young if self._files[path].lack is lack] for lack in Lack
        )
        reasons = []
        if ended:
            names = " and ".join(ended)
            they = "they end" if len(ended) > 1 else "it ends"
            their = "their" if len(ended) > 1 else "its"
            reasons.append(
                f"the rest of {names}: {they} too early, and may still be on {their} way"
            )
        if written:
            names, have = " and ".join(written), "have them" if len(written) > 1 else "has it"
            are = "are" if len(written) > 1 else "is"
            reasons.append(f"{names}, which {are} still being written: a program {have} open")
        return "; ".join(reasons)

    def is_over(self, files: Collection[Path]) -> bool:
        """Whether one of `files` is not whole yet, and was waited for long enough."""
        return any(one in self._files and not self._is_young(self._files[one]) for one in files)

    def _is_young(self, rest: _Rest) -> bool:
        return self._clock() - rest.since < self._patience_s
