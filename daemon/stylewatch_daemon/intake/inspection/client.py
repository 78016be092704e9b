"""The daemon's side of inspection: a child process that lives while there are pictures to inspect.

A thread asks the child one question at a time, so that a crash or a hang can be blamed on one
picture. Such a question is asked once more, after all others. Workers check pictures too, so a job
is let through if the child fails before it opens a file.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.intake.inspection.messages import Begun, Inspected, NotNow, Question

INSPECT = "stylewatch_daemon.intake.inspection.inspection_main:inspect"
_SERVE = "stylewatch_daemon.intake.inspection.inspection_main:serve"
_MESSAGES: tuple[Any, ...] = (Begun, NotNow, Inspected)

NAME = "inspection"
"""The name of the process and of the thread."""

TRIES = 2
"""Inspections of a picture that makes the child crash or takes too long."""

SECONDS = 30.0
"""Seconds that a picture may take; the largest need a few."""

READ_RATE = 20 << 20
"""Bytes per second that a slow disk reads; a long film gets that much more time."""

RETRY_S = 1.0
"""Seconds until the next try to start a child."""


class InspectionClient:
    """Answers each question once, in any order, until it is closed; only `close` blocks.

    `entry` (`module:function`) answers them in a child process. `wake` is called, from the thread,
    when there is a verdict. An idle child is ended after `idle_s` seconds. Raises ShortageError if
    no thread can be started.
    """

    def __init__(
        self, wake: Callable[[], object], idle_s: float = 60.0, entry: str = INSPECT
    ) -> None:
        self._wake, self._idle_s, self._entry = wake, idle_s, entry
        self.trouble = ""
        """Why questions cannot be answered now; empty if they can."""
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._verdicts: SimpleQueue[Inspected] = SimpleQueue()
        self._failed: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """How often the child failed at each file of a job; no file: before it opened one."""
        self._closing, self._close = Pipe(duplex=False)
        self._child: Child | None = None
        self._thread = Thread(target=self._run, name=NAME, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise shortages.no_process(error) from error

    def ask(self, question: Question) -> None:
        """Queue a question."""
        self._questions.put(question)

    def verdicts(self) -> list[Inspected]:
        """Return the verdicts since the last call."""
        verdicts = []
        while not self._verdicts.empty():  # no other thread takes from it
            verdicts.append(self._verdicts.get())
        return verdicts

    def close(self) -> None:
        """Kill the child; open questions are never answered."""
        self._close.close()
        self._questions.put(None)
        self._thread.join()

    def _run(self) -> None:
        """Answer one question after the other; only this thread touches the child."""
        try:
            while (question := self._next()) is not None:
                try:
                    answer: Inspected | NotNow | None = self._answer(question)
                except _ChildError as error:
                    answer = self._blamed(question, error)
                if isinstance(answer, Inspected):
                    self._failed.pop(answer.job, None)
                    self.trouble = ""
                    self._verdicts.put(answer)
                    self._wake()
                else:
                    self._ask_again(question, answer)
        except _ClosedError:
            return
        finally:
            self._kill()

    def _next(self) -> Question | None:
        """Return the next question, None to end; an idle child is ended meanwhile."""
        try:
            return self._questions.get(timeout=self._idle_s if self._child else None)
        except Empty:
            self._kill()
            return self._questions.get()

    def _answer(self, question: Question) -> Inspected | NotNow:
        """Have the child answer; raises _ChildError and _ClosedError."""
        child, file, limit = self._child, "", SECONDS
        if child is None or not child.is_alive():
            self._kill()
            try:
                child = self._child = Child(_SERVE, self._entry, name=NAME)
            except OSError as error:  # this machine has no process to spare now
                return NotNow(shortages.in_words(error))
        try:
            child.send(question)
            while ready := wait([child.line, self._closing], limit):
                if self._closing in ready:
                    raise _ClosedError
                message: Begun | NotNow | Inspected = child.receive(*_MESSAGES)
                if not isinstance(message, Begun):
                    return message
                file = message.name
                limit = _limit(question, file)
        except (EOFError, OSError, ValueError) as error:
            why = "" if isinstance(error, ValueError) else child.exit_reason()
            why = why or "it sent no valid message"
            raise _ChildError(file, f"ended the process that decodes pictures ({why})") from error
        raise _ChildError(file, f"took longer than {limit:.0f} s to decode")

    def _blamed(self, question: Question, error: "_ChildError") -> Inspected | None:
        """Return the verdict on a job at which the child failed; None to ask once more."""
        failed = self._failed[question.job]
        failed[error.file] += 1
        if failed[error.file] < TRIES:
            return None
        self._kill()
        if not error.file:  # the worker shows whether the pictures are good
            return Inspected(question.job)
        advice = "make it smaller or shorter, or save it in another format"
        reason = f"{error}, and failed {TRIES} times: {advice}"
        return Inspected(question.job, reason=reason, cause=Cause.PICTURE, is_final=True)

    def _ask_again(self, question: Question, why: NotNow | None) -> None:
        """Queue a question once more, after a pause if the machine is short of something."""
        self._kill()  # the next child gets the resource limits that hold then
        self._questions.put(question)
        if why is None:
            return
        if why.reason != self.trouble:
            self.trouble = why.reason
            self._wake()
        if wait([self._closing], RETRY_S):
            raise _ClosedError

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


def _limit(question: Question, file: str) -> float:
    """Return the seconds that the child may take for `file`: more for a long film."""
    size = 0
    with suppress(OSError):
        size = sum(path.stat().st_size for path in question.files if path.name == file)
    return SECONDS + size / READ_RATE


class _ClosedError(Exception):
    """This client is closed."""


class _ChildError(Exception):
    """The child failed at the picture `file` (empty: it opened none yet)."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"{file} {why}")
        self.file = file
