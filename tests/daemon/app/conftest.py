"""Fixtures of the tests of the application."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.app.settings_file import Phase, Reading, SettingsFile
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.lanes import Lanes
from stylewatch_daemon.base.wakeup import SIGNALS


def do_nothing() -> None: ...


class File(SettingsFile):
    """A file of settings that has changed at the third look; `answers` say whether it is right.

    `at_answer` is called before each answer.
    """

    is_wrong = False  # nobody asks what was read

    def __init__(
        self,
        answers: Iterable[bool] = repeat(True),
        at_answer: Callable[[], object] = do_nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        now: Any = None
        super().__init__(Path("config.yaml"), now, now, (), clock=clock)
        self._answers, self._at_answer = iter(answers), at_answer
        self.looks = self.judged = 0

    def look(self) -> tuple[()]:
        self.looks += 1
        return ()

    def read(self) -> Reading:
        return Reading((), OutputError("nobody reads it"))

    def _noticed(self, lanes: Lanes, versions: object) -> None:
        if self.looks == 3:
            self._work(lanes, Phase.READING, self.read, self._take)

    def accept(self) -> bool:
        self.judged += 1
        self._is_asked, self._phase = False, Phase.RESTING
        self._at_answer()
        return next(self._answers)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the handlers of signals, which a daemon that ends or starts anew does not."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
