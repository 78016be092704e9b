"""Simulated trainings: processes of their own, in which a backend learns styles.

What the process does with the function of the backend, and with its errors, is the daemon's code.
"""

import errno
import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast

from tests.daemon.faults import replaced
from tests.simulate.peers import read

from stylewatch_daemon.app import learning_main
from stylewatch_daemon.app.learning_main import Learned, NotLearned
from stylewatch_daemon.base import child
from stylewatch_daemon.base.errors import InputError, ShortageError
from stylewatch_painter.errors import DivergedError, PictureError
from stylewatch_plugins.learning import LearnRequest

if TYPE_CHECKING:
    from tests.simulate.world import World

FATES = ("learns", "learns", "learns", "learns", "fails", "dies", "hangs", "reads nothing",
         "has no process", "has no thread")  # fmt: skip
"""Ends of trainings while there are faults."""

MOST_FAULTS = 3
"""Number of trainings of a world that may be at fault: the daemon waits longer after each."""

RETRIED_AFTER = 55.0
"""Minimum of seconds before a training that failed is tried again."""

PARTS = 4
"""Number of reports of a training."""


class Training:
    """A training in the place of a child process, whose messages come as time passes.

    Raises ShortageError if no process can be started.
    """

    def __init__(
        self, trainings: "Trainings", entry: str, backend: str, wanted: LearnRequest, **more: object
    ) -> None:
        self._all, self._backend, self._wanted = trainings, backend, wanted
        self.fate = trainings.draw()
        self.how = self.fate
        """How it has ended, or what becomes of it."""
        self._messages = deque[object]()
        """Messages that it will send; None if it dies."""
        self._hear: Callable[[Training], object] = lambda training: None
        trainings.begin(wanted.styles)
        if self.fate == "has no process":
            trainings.fail(wanted.styles)
            raise ShortageError("no process can be started")
        trainings.running.append(self)

    @property
    def is_hung(self) -> bool:
        """True if it says nothing."""
        return self.fate == "hangs"

    # -- as a child

    def receive(self, *kinds: type) -> object:
        """Return the message that has just come; raises EOFError if the process has died."""
        message = self._messages.popleft()
        if message is None or (isinstance(message, NotLearned) and not message.is_final):
            self._all.fail(self._wanted.styles)
        if message is None:
            raise EOFError
        return message

    def exit_reason(self) -> str:
        """Describe how the process died."""
        return "signal 9, often for lack of memory"

    def kill(self) -> None:
        """End the process."""
        self._all.end(self)

    # -- as a backend

    def begin(self, hear: Callable[["Training"], object]) -> None:
        """Begin to send messages; `hear` is called for each, and receives it."""
        self._hear = hear
        self._soon()

    def _soon(self) -> None:
        seconds = 60 * self._wanted.minutes * len(self._wanted.styles) / PARTS
        self._all.world.later(0.2 if self._all.world.is_at_rest else seconds, self._go_on)

    def _go_on(self) -> None:
        """Send the next message, unless a disk holds it up, or it hangs."""
        world, wanted = self._all.world, self._wanted
        if self not in self._all.running or self.is_hung:
            return
        if world.is_held_up(*map(str, (*wanted.styles, *wanted.photographs))):
            world.later(1.0, self._go_on)
            return
        if not self._messages:
            self._work()
        if isinstance(self._messages[0], Learned):
            self._all.learned |= self._digests
        if isinstance(self._messages[0], Learned | NotLearned):
            self.how = type(self._messages[0]).__name__
        self._hear(self)
        self._soon()

    def _work(self) -> None:
        """Find out which messages the process sends."""

        def send(pipe: object, message: object) -> None:
            self._messages.append(message)

        with (
            self._all.world.seam.acting("worker"),
            replaced(child, send=send),
            replaced(learning_main, _learner=lambda backend: self._learn),
        ):
            learning_main.learn(cast("Connection", None), self._backend, self._wanted)
        if self.fate == "dies":
            self._messages[-1] = None

    def _learn(self, wanted: LearnRequest, report: Callable[[str], object]) -> None:
        """Learn styles: this is a function `Learn`, which leaves out photographs as ours does."""
        self._digests = {hashlib.sha256(self._picture(path)).hexdigest() for path in wanted.styles}
        left_out = []
        for path in wanted.photographs:
            try:
                self._picture(path)
            except PictureError as error:
                left_out.append(error)
        if len(left_out) == len(wanted.photographs):
            raise left_out[-1]
        for part in range(PARTS):
            report(f"step {part} of {PARTS}")
        if self.fate == "fails":
            raise DivergedError("the loss is not a number")

    def _picture(self, path: Path) -> bytes:
        """Return a picture, if it can be learned from; raises PictureError, as the painter does."""
        try:
            if self.fate == "reads nothing":
                raise OSError(errno.EIO, "Input/output error")
            data = read(path)
        except (OSError, InputError) as error:
            raise PictureError(f"{path.name} cannot be read") from error
        content = self._all.world.contents.of(data)
        if content is None or content.is_odd:
            raise PictureError(f"{path.name} is odd")
        return data


class Ear:
    """The thread that listens to a training: it passes on what the world says."""

    def __init__(
        self, target: Callable[[Training], object], args: tuple[Training], **more: object
    ) -> None:
        self._target, self._training = target, args[0]

    def start(self) -> None:
        """Begin; raises RuntimeError if there are too many threads."""
        if self._training.fate == "has no thread":
            raise RuntimeError("can't start new thread")
        self._target(self._training)


@dataclass
class Trainings:
    """The trainings of a world, and the digests of the styles that were learned."""

    world: "World"
    learned: set[str] = field(default_factory=set)
    running: list[Training] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """How trainings have ended: by their last messages, by a fault, or by the daemon."""
    hasty: list[str] = field(default_factory=list)
    """Styles for which a training began soon after one had failed, with the same first job."""
    _faults: int = 0
    _failed: dict[tuple[Path, ...], float] = field(default_factory=dict)
    """When a training for the style files of a job has failed."""

    def __post_init__(self) -> None:
        self._random = Random(f"trainings {self.world.plan.settings.seed}")

    def draw(self) -> str:
        """Return what will become of the next training."""
        fate = self._random.choice(FATES)
        if fate == "learns" or self.world.is_at_rest or self._faults >= MOST_FAULTS:
            return "learns"
        self._faults += 1
        self.world.note(f"fault: a training {fate}")
        return fate

    def begin(self, styles: tuple[Path, ...]) -> None:
        """Note whether a training begins soon after one failed in the same run of the daemon."""
        failed, now = self._failed.get(styles, -math.inf), self.world.times.now
        if failed >= self.world.daemon.up_since and now - failed < RETRIED_AFTER:
            self.hasty.append(", ".join(style.name for style in styles))

    def fail(self, styles: tuple[Path, ...]) -> None:
        """Note that a training fails, as the daemon is told now."""
        self._failed[styles] = self.world.times.now

    def end(self, training: Training) -> None:
        """End a training, if it runs."""
        if training in self.running:
            self.running.remove(training)
            self.ends[training.how if training.how != "learns" else "ended early"] += 1
