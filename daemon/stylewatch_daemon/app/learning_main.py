"""The child process in which a backend learns styles.

The backend's package provides the learning function by an entry point.
"""

from dataclasses import dataclass
from multiprocessing.connection import Connection

from stylewatch_daemon.base import child, shortages
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Refused
from stylewatch_painter import installed
from stylewatch_painter.errors import PainterError, PictureError
from stylewatch_plugins.errors import BackendError
from stylewatch_plugins.learning import LEARNERS, Learn, LearnRequest


@dataclass(frozen=True)
class Report:
    """Progress, in words."""

    text: str


@dataclass(frozen=True)
class Learned:
    """The backend has learned the styles."""


@dataclass(frozen=True)
class NotLearned:
    """The backend cannot learn the styles for a `reason`; with `is_final`, it never can."""

    reason: str
    is_final: bool = False


def learn(pipe: Connection, backend: str, wanted: LearnRequest) -> None:
    """Make a backend learn styles; send Reports, and Learned or NotLearned at the end.

    This runs in the child, which sends its messages through `pipe`.
    """

    def report(text: str) -> None:
        child.send(pipe, Report(text))

    try:
        _learner(backend)(wanted, report)
    except PictureError as error:  # also if its disk cannot be read now
        is_final = isinstance(as_end(error), Refused)
        end: Learned | NotLearned = NotLearned(str(error), is_final)
    except (PainterError, BackendError) as error:
        end = NotLearned(str(error))
    except OSError as error:
        end = NotLearned(shortages.in_words(error))
    except Exception as error:  # a package may raise anything
        end = NotLearned(as_end(error).reason)
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
