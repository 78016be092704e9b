"""The daemon's side of inspection: child processes that end when there is nothing to inspect.

A child answers one question at a time, so that a crash or a hang can be attributed to one picture.
Workers check pictures too, so a job is accepted if the child repeatedly fails before it opens a
file. Large files have a child of their own: reading a film takes minutes (law 11).
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.child import NO_LIBRARY, Child
from stylewatch_daemon.base.errors import ShortageError, UnavailableError
from stylewatch_daemon.base.lanes import LONG, Lanes, Post, Step
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.files.strangers import stored
from stylewatch_daemon.intake.inspection.messages import Answer, Opening, Question

INSPECT = "stylewatch_daemon.intake.inspection.inspection_main:inspect"
_SERVE = "stylewatch_daemon.intake.inspection.inspection_main:serve"
_MESSAGES: tuple[Any, ...] = (Opening, Answer)

_OF_THE_MACHINE: Mapping[Cause | None, type[ShortageError | UnavailableError]] = {
    Cause.MACHINE: ShortageError,
    Cause.DEVICE: UnavailableError,
}
"""Causes of answers that tell nothing of the pictures, with the errors to raise for them."""

_LANE = Path("inspection")
"""Name of the lane whose threads, one for small and one for large files, wait for the children."""

NAME = "inspection"
"""Name of each child in a list of processes."""

TRIES = 2
"""Number of failures of the child at a picture, by a crash or a timeout, after which its job is
refused."""

SECONDS = 30.0
"""Timeout in seconds for the start of a child, and for a picture in addition to the time to read
its file. The largest pictures need a few seconds."""

READ_RATE = 20 << 20
"""Bytes per second that a slow disk reads. The timeout for a picture or a film grows by one second
for this many bytes on the disk."""


class Inspector:
    """Client of the inspection, with one queue for questions about small files and one for large.

    Only `close` blocks. `post` makes the main loop call a function. In the children, the function
    `entry` (`module:function`) answers the questions. `end_if_idle` ends children that have had no
    question for `idle_s` seconds.
    """

    def __init__(self, post: Post, idle_s: float = 60.0, entry: str = INSPECT) -> None:
        self._idle_s = idle_s
        self._entry = entry
        self._closing, self._close = Pipe(duplex=False)
        self._children: dict[bool, Child] = {}
        """The children for large files (True) and for others; a single thread uses each of them."""
        self._answers = Counter[bool]()
        """Number of answers of each child."""
        self._used = 0.0
        self._lanes = Lanes(post)

    def ask(self, question: Question, done: Callable[[Answer | Exception], object]) -> None:
        """Queue a question; the main loop calls `done` with the answer, unless `close` comes first.

        In place of the answer, `done` gets a ShortageError if the machine cannot inspect pictures
        now, UnavailableError if a library that they need cannot be loaded, another OSError if the
        files cannot be looked at.
        """
        self._used = time.monotonic()
        is_large = question.size > LONG
        self._lanes.do(_LANE, lambda step: self._answer(question, is_large), done, question.size)

    def end_if_idle(self) -> None:
        """End the children if no question was asked for `idle_s` seconds."""
        if time.monotonic() - self._used >= self._idle_s:
            for is_large in [*self._children]:
                size = LONG + 1 if is_large else 0
                self._lanes.do(_LANE, partial(self._kill, is_large), lambda result: None, size)

    def close(self) -> None:
        """Kill the children; open questions are never answered."""
        self._close.close()
        self._lanes.close()
        for is_large in (False, True):
            self._kill(is_large)

    def _answer(self, question: Question, is_large: bool) -> Answer:
        """Return the answer to a question, after a new try if a child fails or lacks memory.

        A job is refused if a child fails TRIES times at one picture. If a child that has given
        answers before lacks memory, a new child tries again. Raises ShortageError,
        UnavailableError.
        """
        failures = Counter[str]()
        while True:
            try:
                answer = self._ask(question, is_large)
            except _ChildError as error:
                self._kill(is_large)
                failures[error.file] += 1
                if failures[error.file] < TRIES:
                    continue
                if not error.file:  # the worker will find out whether the pictures are valid
                    return Answer()
                advice = "make it smaller or shorter, or save it in another format"
                reason = f"{error}, and failed {TRIES} times: {advice}"
                return Answer(reason=reason, cause=Cause.PICTURE, is_final=True)
            if answer.cause in _OF_THE_MACHINE:
                self._kill(is_large)  # the next child gets limits and libraries of that time
                raise _OF_THE_MACHINE[answer.cause](answer.reason)
            if answer.lacks_memory and self._answers[is_large] > 1:
                self._kill(is_large)
                continue
            return answer

    def _ask(self, question: Question, is_large: bool) -> Answer:
        """Return the answer of a child, after starting one if none lives.

        Raises _ChildError if the child fails, UnavailableError if its code cannot be imported,
        OSError if no child can be started or the files cannot be looked at, and _ClosedError.
        """
        limits = {path.name: SECONDS + stored(path) / READ_RATE for path in question.files}
        child = self._children.get(is_large)
        file = ""
        limit = SECONDS
        if child is None or not child.is_alive():
            self._kill(is_large)
            child = self._children[is_large] = Child(_SERVE, self._entry, name=NAME)
        try:
            child.send(question)
            while ready := wait([child.line, self._closing], limit):
                if self._closing in ready:
                    raise _ClosedError
                message: Opening | Answer = child.receive(*_MESSAGES)
                if isinstance(message, Answer):
                    self._answers[is_large] += 1
                    return message
                file = message.name
                limit = limits.get(file, SECONDS)
        except (EOFError, OSError, ValueError) as error:
            why = "" if isinstance(error, ValueError) else child.exit_reason()
            if why == NO_LIBRARY:
                self._kill(is_large)
                raise UnavailableError(why) from error
            why = why or "it sent no valid message"
            raise _ChildError(file, f"ended the process that decodes pictures ({why})") from error
        raise _ChildError(file, f"took longer than {limit:.0f} s to decode")

    def _kill(self, is_large: bool, step: Step = lambda: None) -> None:
        child = self._children.pop(is_large, None)
        self._answers[is_large] = 0
        if child is not None:
            child.kill()


class _ClosedError(Exception):
    """The inspector is closed."""


class _ChildError(Exception):
    """The child failed at the picture `file`, which is empty if it had opened none."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"{file} {why}")
        self.file = file
