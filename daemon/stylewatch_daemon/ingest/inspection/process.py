"""The supervisor's side of intake: a child process that lives while there is something to look at.

A thread of its own asks the child one question at a time, so that a child that dies or hangs is
laid to the charge of one picture. Such a question is asked once more, behind all others. A picture
that takes long is handed over to a second child, so that others need not wait for it. Workers look
at pictures too, so nothing has to wait where no child can be had.
"""

from collections import Counter
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pkgutil import resolve_name
from queue import Empty, SimpleQueue
from threading import Thread
from typing import get_args

from stylewatch_daemon.files import shortages
from stylewatch_daemon.ingest.inspection.contract import (
    Begun,
    Fine,
    NotNow,
    Question,
    Refused,
    Verdict,
)
from stylewatch_daemon.processes import messages
from stylewatch_daemon.processes.child import Child, cause, let_end

LOOK = "stylewatch_daemon.ingest.inspection.inspect:examine"
_SERVE = "stylewatch_daemon.ingest.inspection.child:serve"
_SAID = (Begun, NotNow, *get_args(Verdict))

NAME = "intake"
"""What the process and the thread are called."""

TRIES = 2
"""How often a picture is looked at that ends the child, or keeps it too long."""

SECONDS = 30.0
"""How long a picture may be looked at; the largest take a few."""

QUICK = 4.0
"""Seconds after which a picture is handed over to the child for slow ones."""

AGAIN_AFTER = 1.0
"""Seconds after which a child is started that could not be."""


class Intake:
    """Answers questions with `look` (`module:function`), which runs in the child.

    `wake` is called, from the thread, when there is a verdict. A picture may take `seconds`; with
    `quick` seconds given, one that takes longer than these is asked about anew in a second child.
    After `idle_s` without a question a child is let go.
    """

    def __init__(
        self,
        wake: Callable[[], object],
        idle_s: float = 60.0,
        look: str = LOOK,
        seconds: float = SECONDS,
        quick: float | None = None,
    ) -> None:
        self._wake, self._idle_s, self._look = wake, idle_s, look
        self._seconds = seconds if quick is None else quick
        self._slow = None if quick is None else Intake(wake, idle_s, look, seconds)
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._answers: SimpleQueue[Verdict] = SimpleQueue()
        self._tried: Counter[str] = Counter()
        self._closing, self._close = Pipe(duplex=False)
        self._thread: Thread | None = None
        self._child: Child | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """What keeps questions from being answered now."""
        return self._trouble or (self._slow.trouble if self._slow else "")

    def ask(self, question: Question) -> None:
        """Have the question answered, behind those that were asked before."""
        self._questions.put(question)
        self._begin()

    def verdicts(self) -> list[Verdict]:
        """What has been answered since this was last called."""
        self._begin()
        found = []
        while not self._answers.empty():  # we alone take from it
            found.append(self._answers.get())
        return found + (self._slow.verdicts() if self._slow else [])

    def close(self) -> None:
        """Let the children go at once; what was not answered never is."""
        if self._slow is not None:
            self._slow.close()
        self._close.close()
        self._questions.put(None)
        if self._thread is not None:
            self._thread.join()

    def _begin(self) -> None:
        """Start the thread, if there is something to answer."""
        if self._thread is not None or self._questions.empty():
            return
        thread = Thread(target=self._go, name=NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._trouble = str(shortages.no_process(error))
        else:
            self._thread = thread

    def _go(self) -> None:
        """Answer one question after the other; all that belongs to the child is this thread's."""
        while True:
            idle_s = None if self._child is None else self._idle_s
            try:
                question = self._questions.get(timeout=idle_s)
            except Empty:
                self._let_go()
                continue
            if question is None or not self._is_answered(question):
                self._let_go()
                return

    def _is_answered(self, question: Question) -> bool:
        """Answer, or put it behind the others; False where we were closed meanwhile."""
        before = self._child
        try:
            child = self._ready()
        except OSError as error:  # this machine has no process to spare now
            return self._is_put_off(question, shortages.in_words(error))
        opened, said = self._hear(question, child)
        if said is None:
            return False
        if isinstance(said, NotNow):
            self._kill()  # another one begins with the limits that hold by then
            return self._is_put_off(question, said.reason)
        if not isinstance(said, str):
            self._answer(said)
            return True
        self._kill()
        if self._slow is not None and said == self._too_long:
            self._slow._questions.put(question)
            self._wake()  # whoever asks for verdicts has it begin
        else:
            is_to_blame = opened or child is not before  # else it died while it was idle
            self._try_again(question, opened, said, count=bool(is_to_blame))
        return True

    def _try_again(self, question: Question, opened: str, said: str, *, count: bool) -> None:
        """Put a question behind the others that ended the child, or answer it; `count` the try."""
        self._tried[question.job] += count
        if self._tried[question.job] < TRIES:
            self._questions.put(question)
        elif opened:
            again = "make it smaller, or save it as PNG or JPEG"
            self._answer(Refused(question.job, f"{opened} {said}, {TRIES} times: {again}"))
        else:  # no child gets as far as to open a file: the worker is to see what it is
            self._answer(Fine(question.job, ()))

    def _is_put_off(self, question: Question, why: str) -> bool:
        """Put a question behind the others, for a moment; False where we were closed meanwhile."""
        self._questions.put(question)
        if why != self._trouble:
            self._trouble = why
            self._wake()
        return not wait([self._closing], AGAIN_AFTER)

    def _hear(self, question: Question, child: Child) -> tuple[str, Verdict | NotNow | str | None]:
        """The file that was opened last, and the verdict.

        In its place stands what went wrong, in words, or None where we were closed meanwhile.
        """
        opened = ""
        try:
            child.line.send(question)
            while ready := wait([*child.handles, self._closing], self._seconds):
                if self._closing in ready:
                    return opened, None
                said = messages.unpack(child.line.recv_bytes(messages.LONGEST), *_SAID)
                if not isinstance(said, Begun):
                    return opened, said
                opened = said.name
        except ValueError:
            return opened, "made the process that decodes pictures talk nonsense"
        except (EOFError, OSError):
            let_end(child.process)
            why = cause(child.process) or "it closed its files"
            return opened, f"ended the process that decodes pictures ({why})"
        return opened, self._too_long

    @property
    def _too_long(self) -> str:
        return f"took longer than {self._seconds:.0f} s to decode"

    def _answer(self, verdict: Verdict) -> None:
        del self._tried[verdict.job]
        self._trouble = ""
        self._answers.put(verdict)
        self._wake()

    def _ready(self) -> Child:
        if self._child is None or not self._child.process.is_alive():
            self._kill()
            self._child = Child.start(_enter, self._look, name=NAME)
        return self._child

    def _let_go(self) -> None:
        """Have an idle child leave; one that is at work is killed."""
        if self._child is not None and not wait([self._closing], 0):
            self._child.let_go()
            self._child = None
        self._kill()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


def _enter(pipe: Connection, look: str) -> None:
    """The child's door; what lies behind it is heavy, and is loaded there only."""
    resolve_name(_SERVE)(pipe, look)
