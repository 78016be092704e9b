"""Tries: a photograph that is painted small in several styles, for a visitor of the page.

A try is no job: it has no row in the ledger and nothing in an outbox, and is lost when the daemon
stops. The page puts the photograph into the state folder, makes a request, and finds the results
there:

  state/tries/ID/CONTENT         the photograph
  state/tries/ID/alive           its mtime is the page's last sign of life; without it the try ends
  state/tries/ID/previews.json   the previews, in the order of their numbers
  state/tries/ID/N/final.jpg     the preview with the number N, and other files of its painting
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

from stylewatch_daemon.base import shortages, words
from stylewatch_daemon.base.errors import DaemonError, ShortageError, UnavailableError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.settings.config import recipe_of, recipes_at_hand
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker import messages
from stylewatch_daemon.worker.messages import AttemptEnd, AttemptEvent, AttemptRequest, Order

ALIVE, RESULT, PICTURE = "alive", "previews.json", f"{FINAL}.jpg"

NAME = "^[0-9a-f]{32}$"
"""Pattern of the name of a try, which nobody can guess."""

VERB = "try"
"""Verb of the requests for a try, and for more styles of it."""

SILENT_S = 15.0
"""Seconds without a sign of life of its page after which a try ends."""

STALE_S = 60.0
"""Seconds without a change after which the folder of a try counts as abandoned: the page could not
remove it, because its disk had errors."""

PAUSED_FOR = "paused for previews"
"""Reason for the end of an attempt whose worker a preview needs."""

AHEAD = 2
"""Maximum number of styles that are copied and wait for a worker."""

BUSY = "another photograph is being painted in every style: wait until its previews are done"


class Phase(Enum):
    """Progress of a preview."""

    COPYING = auto()
    """Its style is being copied, or waits to be copied. It has no worker yet, because a library may
    hang (law 9)."""
    COPIED = auto()
    """It waits for a worker."""
    PAINTING = auto()
    """A worker has it."""
    ENDED = auto()
    """It is done, or cannot be painted."""


@dataclass(eq=False)
class Preview:
    """The photograph in the style called `name`.

    `reason` says why it cannot be painted; it is empty if there is no reason.
    """

    number: int
    name: str
    style: Path
    phase: Phase = Phase.COPYING
    reason: str = ""

    @property
    def is_done(self) -> bool:
        """True if the preview is painted."""
        return self.phase is Phase.ENDED and not self.reason


@dataclass(eq=False)
class Try:
    """A try, whose files are in `folder`.

    `order` is the template for the orders of the previews, each of which gets its own style and
    staging folder.
    """

    folder: Path
    order: Order
    heard: float
    """Time of the page's last sign of life, in seconds of the daemon's clock."""
    sign: int = 0
    """Modification time of the file ALIVE at that sign of life, in nanoseconds."""
    previews: list[Preview] = field(default_factory=list)
    is_copying: bool = False
    """True while a lane copies a style into the folder."""

    def those(self, phase: Phase) -> list[Preview]:
        """Return the previews in a phase, in their order."""
        return [preview for preview in self.previews if preview.phase is phase]


class Painting(NamedTuple):
    """The preview that a worker paints; its try may have ended meanwhile."""

    of: Try
    preview: Preview
    ticket: str


class Tries:
    """Painter of the previews of one try at a time, with workers of `attempts`.

    While a preview waits for a worker, one is kept for it. If all are busy, one job writes a
    checkpoint and waits; this does not count as a fault of the job. `clock` is monotonic, in
    seconds.
    """

    def __init__(
        self,
        jobs: Jobs,
        attempts: Attempts,
        executor: Executor,
        may_begin: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._attempts = attempts
        self._executor = executor
        self._may_begin = may_begin
        self._clock = clock
        self._current: Try | None = None
        self._painting: Painting | None = None
        self._left: list[Path] = []
        """Folders of tries that have ended, which could not be removed yet."""

    @property
    def is_open(self) -> bool:
        """True while there is a try, even if all its previews are done."""
        return self._current is not None

    @property
    def in_work(self) -> bool:
        """True while previews are being painted, or wait."""
        current = self._current
        return current is not None and len(current.those(Phase.ENDED)) < len(current.previews)

    def ask(
        self, name: str, styles: Mapping[str, str], content: str, settings: Mapping[str, Any]
    ) -> None:
        """Begin the try `name`, or add `styles`, paths by name, to it if it is open.

        `content` and `settings`, all settings of a job, are only needed to begin a try. If it
        cannot begin, the reason is written to RESULT, for the page. Nothing happens if the try has
        ended or the page has given it up.
        """
        folder = self._jobs.state.tries / name
        self._end_if_silent()
        alive = entries.attempt_status(folder / ALIVE)
        if alive is None:
            return  # its page has given it up
        current = self._current
        try:
            if current is None or current.folder != folder:
                if not content:
                    return  # it has ended
                if self.in_work:
                    raise UnavailableError(BUSY)
                order = self._order(folder, content, settings)
                self.end()
                self._remove_stale(alive.st_mtime - STALE_S)
                current = self._current = Try(folder, order, self._clock())
        except DaemonError as error:
            atomic.attempt_write(folder / RESULT, json.dumps({"reason": str(error)}).encode())
            return
        known = {preview.name for preview in current.previews}
        for style in (name for name in styles if name not in known):
            number = len(current.previews) + 1
            current.previews.append(Preview(number, style, Path(styles[style])))
        self._write(current)
        self._copy_next(current)

    def _order(self, folder: Path, content: str, settings: Mapping[str, Any]) -> Order:
        service = self._jobs.settings
        if service.executor.own.is_remote:
            raise UnavailableError("previews need an executor on this machine: `executor: local`")
        job = JobSettings.model_validate_json(json.dumps(settings))
        with recipes_at_hand(service, self._jobs.mount_guard):
            recipe = recipe_of(job, service, "the form")
        order = messages.order_for(
            service, job, recipe, name=VERB, pictures=(folder / content, ()), staging=folder
        )
        return replace(order, max_frames=1)  # a clip is refused

    def _write(self, current: Try) -> None:
        """Write the list of previews to RESULT, for the page."""
        previews = [
            {"name": each.name, "done": each.is_done, "reason": each.reason}
            for each in current.previews
        ]
        content = json.dumps({"previews": previews}).encode("ascii")
        atomic.attempt_write(current.folder / RESULT, content)

    def _copy_next(self, current: Try) -> None:
        """Begin to copy the next style, in the lane of its library, unless AHEAD copied ones wait.

        Nothing happens while another style is copied. Discard the try if it has ended.
        """
        if current.is_copying:
            return
        left = current.those(Phase.COPYING)
        if current is not self._current:
            self._discard(current)
        elif left and len(current.those(Phase.COPIED)) < AHEAD:
            self._copy(current, left[0])

    def _copy(self, current: Try, preview: Preview) -> None:
        copy = self._order_of(current, preview).styles[0]

        def work(step: Step) -> None:
            with self._jobs.mount_guard.checked(preview.style.parent):
                status = entries.target_status(preview.style)
                needed = [(current.folder, status.st_size if status else 0)]
                disks.check(needed, self._jobs.settings.limits.free_bytes)
                atomic.make_folder(copy.parent)
                atomic.copy(preview.style, copy, step=step, follow=True)

        def done(error: Exception | None) -> None:
            current.is_copying = False
            preview.phase = Phase.COPIED
            if error is not None:
                self._ended(current, preview, _in_words(error))
            self._copy_next(current)

        current.is_copying = True
        self._jobs.lanes.do(preview.style.parent, work, done)

    def _order_of(self, current: Try, preview: Preview) -> Order:
        staging = current.folder / str(preview.number)
        copy = staging / f"style{preview.style.suffix}"
        return replace(current.order, styles=(copy,), staging=staging)

    def go_on(self) -> None:
        """Order the next preview if a worker is free, else ask a job for its worker.

        While a copied preview waits, the next free worker is kept for it. A try whose page is
        silent ends. If the machine cannot take an order, the preview ends with the reason.
        """
        self._end_if_silent()
        self._remove_left()
        current = self._current
        copied = [] if current is None else current.those(Phase.COPIED)
        is_due = bool(copied) and self._painting is None and self._may_begin()
        self._attempts.kept = int(is_due)
        if current is None or not is_due:
            return
        if self._attempts.free < 0:
            if self._attempts.lent:
                return  # a training gives its place first
            spared = (AttemptRequest.CANCEL, AttemptRequest.FINISH)
            self._attempts.stop_workers(PAUSED_FOR, but=spared, most=1)
            return
        self._attempts.kept = 0
        preview = copied[0]
        ticket = f"{VERB} {current.folder.name}#{preview.number}"
        try:
            self._executor.submit(ticket, self._order_of(current, preview))
        except ShortageError as error:
            self._ended(current, preview, str(error))
        else:
            preview.phase = Phase.PAINTING
            self._painting = Painting(current, preview, ticket)
        self._copy_next(current)

    def follow(self, events: Iterable[AttemptEvent]) -> None:
        """Process the events of the preview that is painted; ignore all others."""
        for each in events:
            painting = self._painting
            if painting is None or each.ticket != painting.ticket:
                continue
            if isinstance(each.event, AttemptEnd):
                self._painting = None
                is_done = isinstance(each.event, messages.Done)
                reason = getattr(each.event, "reason", "") or "it was stopped"
                self._ended(painting.of, painting.preview, "" if is_done else reason)
                self._discard(painting.of)

    def _ended(self, of: Try, preview: Preview, reason: str) -> None:
        """Record for the page that a preview has ended, and remove its copied style.

        `reason` says why it is not painted; it is empty if it is painted.
        """
        preview.phase = Phase.ENDED
        preview.reason = reason
        entries.attempt_removal(self._order_of(of, preview).styles[0])
        if of is self._current:
            self._write(of)

    def _discard(self, ended: Try) -> None:
        """Remove the folder of a try that has ended, unless a worker or a lane writes there."""
        is_painted = self._painting is not None and self._painting.of is ended
        if ended is not self._current and not (is_painted or ended.is_copying):
            self._left.append(ended.folder)
            self._remove_left()

    def _remove_left(self) -> None:
        """Remove the folders of ended tries, as far as their disk allows that now."""
        self._left = [folder for folder in self._left if not entries.attempt_removal(folder)]

    def _remove_stale(self, since: float) -> None:
        """Remove folders of tries that have not changed since the time `since`, in seconds.

        `since` is a time of the clock of their disk. A folder to which a worker may write stays.
        """
        painting = None if self._painting is None else self._painting.of.folder
        entries.attempt_removal_of_old(self._jobs.state.tries, since, painting)

    def _end_if_silent(self) -> None:
        """End the try if its page was silent for SILENT_S, or has removed ALIVE."""
        current = self._current
        if current is None:
            return
        status = entries.attempt_status(current.folder / ALIVE)
        if status is not None and status.st_mtime_ns != current.sign:
            current.sign = status.st_mtime_ns
            current.heard = self._clock()
        if status is None or self._clock() - current.heard > SILENT_S:
            self.end()

    def end(self) -> None:
        """End the try, if there is one.

        Its painting is canceled. Its folder is removed once nothing writes there.
        """
        ended = self._current
        self._current = None
        if ended is None:
            return
        if self._painting is not None and self._painting.of is ended:
            self._executor.ask(self._painting.ticket, AttemptRequest.CANCEL)
        self._discard(ended)


def _in_words(error: Exception) -> str:
    """Return why a style could not be copied (law 14)."""
    if isinstance(error, OSError | DaemonError):
        return shortages.in_words(error)
    return words.fault(error)
