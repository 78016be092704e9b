"""The child process in which a backend learns styles; its package is found by its entry point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from stylewatch_daemon.base import child, shortages
from stylewatch_daemon.settings.job import LEARNERS
from stylewatch_painter import installed
from stylewatch_painter.errors import PainterError
from stylewatch_painter.installation import unloadable
from stylewatch_plugins.errors import BackendError

Learn = Callable[[Sequence[Path], Sequence[Path], float, Callable[[str], object]], object]
"""Function that makes a backend able to paint in some styles, unless it is already. It gets their
files, those of photographs, a number of minutes, and a function that tells people the progress."""


@dataclass(frozen=True)
class Report:
    """Progress, in words."""

    text: str


@dataclass(frozen=True)
class Learned:
    """The backend has learned the styles."""


@dataclass(frozen=True)
class NotLearned:
    """The backend cannot learn the styles for a `reason`."""

    reason: str


def learn(
    pipe: Connection, backend: str, styles: list[str], photographs: list[str], minutes: float
) -> None:
    """Let a backend learn styles; send Reports, and Learned or NotLearned as the last message."""

    def report(text: str) -> None:
        child.send(pipe, Report(text))

    try:
        function = _learner(backend)
        function([*map(Path, styles)], [*map(Path, photographs)], minutes, report)
    except (PainterError, BackendError) as error:
        end: Learned | NotLearned = NotLearned(str(error))
    except ImportError as error:
        end = NotLearned(str(unloadable(error)))
    except OSError as error:
        end = NotLearned(shortages.in_words(error))
    except Exception as error:  # a package may raise anything
        end = NotLearned(f"a fault of the backend, {type(error).__name__}: {error}")
    else:
        end = Learned()
    child.send(pipe, end)


def _learner(backend: str) -> Learn:
    """Return the function by which a backend learns; raises BackendError if it does not learn."""
    for entry in installed.entries(LEARNERS):
        if entry.name == backend:
            function: Learn = entry.load()
            return function
    raise BackendError(f"backend {backend} does not learn styles: leave out learn: true")
