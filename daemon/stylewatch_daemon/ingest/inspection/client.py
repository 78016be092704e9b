"""The daemon's side of inspection: a child process that lives while there are pictures to inspect.

A thread asks the child one question at a time, so that a crash or a hang can be blamed on one
picture. Such a question is asked once more, after all others. A picture that takes long is moved to
a second child, so that others need not wait for it. Workers check pictures too, so a job is let
through if no child can be started.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue
from threading import Thread
from typing import get_args

from stylewatch_daemon.files import shortages
from stylewatch_daemon.ingest.inspection.messages import (
    Begun,
    Fine,
    NotNow,
    Question,
    Refused,
    Verdict,
)
from stylewatch_daemon.processes.child import Child

INSPECT = "stylewatch_daemon.ingest.inspection.inspection_main:inspect"
_SERVE = "stylewatch_daemon.ingest.inspection.inspection_main:serve"
_MESSAGES = (Begun, NotNow, *get_args(Verdict))

NAME = "inspection"
"""The name of the process and of the thread."""

TRIES = 2
"""Inspections of a picture that makes the child crash or takes too long."""

SECONDS = 30.0
"""How long the inspection of a picture may take; the largest take a few seconds."""

QUICK = 4.0
"""Seconds after which a picture is moved to the child for slow ones."""

READ_RATE = 20 << 20
"""Bytes per second that a slow disk reads; a long film gets that much more time."""

RETRY_S = 1.0
"""Seconds until the next try to start a child."""


class InspectionClient:
    """Answers each question once, in any order, until it is closed; only `close` blocks.

    `entry` (`module:function`) answers them in a child process. `wake` is called, from the thread,
    when there is a verdict. A picture may take `seconds`; with `quick`, one that takes longer than
    that many seconds is inspected again in a second child. An idle child is stopped after `idle_s`
    seconds.
    """

    def __init__(
        self,
        wake: Callable[[], object],
        idle_s: float = 60.0,
        entry: str = INSPECT,
        seconds: float = SECONDS,
        quick: float | None = None,
    ) -> None:
        self._wake, self._idle_s, self._entry = wake, idle_s, entry
        self._seconds = seconds if quick is None else quick
        self._slow = None if quick is None else InspectionClient(wake, idle_s, entry, seconds)
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._verdicts: SimpleQueue[Verdict] = SimpleQueue()
        self._tries: Counter[str] = Counter()
        self._closing, self._close = Pipe(duplex=False)
        self._thread: Thread | None = None
        self._child: Child | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why questions cannot be answered now; empty where they can."""
        return self._trouble or (self._slow.trouble if self._slow else "")

    def ask(self, question: Question) -> None:
        """Queue a question."""
        self._questions.put(question)
        self._start_thread()

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts since the last call."""
        self._start_thread()
        verdicts = []
        while not self._verdicts.empty():  # no other thread takes from it
            verdicts.append(self._verdicts.get())
        return verdicts + (self._slow.verdicts() if self._slow else [])

    def close(self) -> None:
        """Kill the children; open questions are never answered."""
        if self._slow is not None:
            self._slow.close()
        self._close.close()
        self._questions.put(None)
        if self._thread is not None:
            self._thread.join()

    def _start_thread(self) -> None:
        if self._thread is not None or self._questions.empty():
            return
        thread = Thread(target=self._run, name=NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._trouble = str(shortages.no_process(error))
        else:
            self._thread = thread

    def _run(self) -> None:
        """Answer one question after the other; only this thread touches the child."""
        try:
            while True:
                try:
                    question = self._questions.get(timeout=self._idle_s if self._child else None)
                except Empty:
                    if self._child is not None:
                        self._child.stop()
                    self._child = None
                    continue
                if question is None:
                    return
                self._answer(question)
        except _ClosedError:
            return
        finally:
            self._kill()

    def _answer(self, question: Question) -> None:
        """Answer a question, or queue it again. Raises _ClosedError."""
        before = child = self._child
        if child is None or not child.is_alive():
            self._kill()
            try:
                child = self._child = Child(_SERVE, self._entry, name=NAME)
            except OSError as error:  # this machine has no process to spare now
                self._postpone(question, shortages.in_words(error))
                return
        try:
            answer = self._inspect(question, child)
        except _ChildError as error:
            self._kill()
            if error.too_long and self._slow is not None:
                self._slow._questions.put(question)
                self._wake()  # so that `verdicts` is called, which starts the other thread
            else:
                was_idle = child is before and not error.file  # it died before the question
                self._try_again(question, error, count=not was_idle)
            return
        if isinstance(answer, NotNow):
            self._kill()  # the next child gets the resource limits that hold then
            self._postpone(question, answer.reason)
        else:
            self._deliver(answer)

    def _inspect(self, question: Question, child: Child) -> Verdict | NotNow:
        """Have the child answer; raises _ChildError, and _ClosedError if we are to stop."""
        file = ""
        try:
            child.send(question)
            while ready := wait([child.line, self._closing], self._limit(question, file)):
                if self._closing in ready:
                    raise _ClosedError
                message: Begun | NotNow | Verdict = child.receive(*_MESSAGES)
                if not isinstance(message, Begun):
                    return message
                file = message.name
        except ValueError as error:
            why = "made the process that decodes pictures send an invalid message"
            raise _ChildError(file, why) from error
        except (EOFError, OSError) as error:
            why = child.exit_reason() or "it closed its files"
            raise _ChildError(file, f"ended the process that decodes pictures ({why})") from error
        too_long = f"took longer than {self._limit(question, file):.0f} s to decode"
        raise _ChildError(file, too_long, too_long=True)

    def _limit(self, question: Question, file: str) -> float:
        """Return the seconds that the child may take for `file`: more for a long film."""
        size = 0
        if self._slow is None:  # else the second child gets the time
            with suppress(OSError):
                size = sum(path.stat().st_size for path in question.files if path.name == file)
        return self._seconds + size / READ_RATE

    def _try_again(self, question: Question, error: "_ChildError", *, count: bool) -> None:
        """Queue a question once more, or give up on it; `count` it as a try."""
        self._tries[question.job] += count
        if self._tries[question.job] < TRIES:
            self._questions.put(question)
        elif error.file:
            advice = "make it smaller or shorter, or save it in another format"
            self._deliver(Refused(question.job, f"{error}, {TRIES} times: {advice}"))
        else:  # the child fails before it opens a file: the worker shows whether it is good
            self._deliver(Fine(question.job, ()))

    def _postpone(self, question: Question, why: str) -> None:
        """Queue a question again and wait for a moment; raises _ClosedError."""
        self._questions.put(question)
        if why != self._trouble:
            self._trouble = why
            self._wake()
        if wait([self._closing], RETRY_S):
            raise _ClosedError

    def _deliver(self, verdict: Verdict) -> None:
        del self._tries[verdict.job]
        self._trouble = ""
        self._verdicts.put(verdict)
        self._wake()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


class _ClosedError(Exception):
    """The client is closed."""


class _ChildError(Exception):
    """The child failed at the picture `file` (empty: it opened none yet)."""

    def __init__(self, file: str, why: str, *, too_long: bool = False) -> None:
        super().__init__(f"{file} {why}")
        self.file, self.too_long = file, too_long
