"""Tries: a photograph that is painted small in several styles, for a visitor of the page.

A try is no job: it has no row in the ledger and nothing in an outbox, and is lost when the daemon
stops. The page leaves it in the state folder, with a request, and looks there for what is done:

  state/tries/ID/CONTENT         the photograph
  state/tries/ID/alive           has the time of the page's last sign of life; without it, all ends
  state/tries/ID/previews.json   the previews, in the order of their numbers
  state/tries/ID/N/final.jpg     the preview with the number N, and other files of its painting
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import DaemonError, UnavailableError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files import atomic, entries
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

PAUSED_FOR = "paused for previews"
"""Why an attempt ends whose worker is needed."""

BUSY = "another photograph is being painted in every style: wait until its previews are done"


@dataclass
class Preview:
    """The photograph in the style called `name`; `reason` says why it cannot be painted."""

    name: str
    style: str
    is_done: bool = False
    reason: str = ""


@dataclass(eq=False)
class Try:
    """A try in `folder`; `order` is that of each preview, but for its style and its files."""

    folder: Path
    order: Order
    heard: float
    """When the page gave its last sign of life, by the clock of the daemon."""
    sign: int = 0
    """Time of the file of that sign, in nanoseconds."""
    previews: list[Preview] = field(default_factory=list)
    begun: int = 0
    """Number of previews that were ordered, or could not be."""

    @property
    def is_waiting(self) -> bool:
        """True if previews are left to begin."""
        return self.begun < len(self.previews)


class Tries:
    """Painter of the previews of one try at a time, with workers of `attempts`.

    While previews are left to begin, a worker is kept for them; if all are busy, one job writes a
    checkpoint and waits, which counts as no fault. `clock` is monotonic, in seconds.
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
        self._painted: Try | None = None
        """The try whose preview is in work, which may have ended meanwhile."""
        self._is_ordered = False
        """Whether a worker has that preview; before, its style is copied."""

    @property
    def is_open(self) -> bool:
        """True while there is a try, even if all its previews are done."""
        return self._current is not None

    @property
    def in_work(self) -> bool:
        """True while previews are being painted, or wait."""
        current = self._current
        return current is not None and (current.is_waiting or self._painted is current)

    @property
    def _ticket(self) -> str:
        """Ticket of the preview that a worker paints; empty if there is none."""
        painted = self._painted
        return "" if painted is None else f"{VERB} {painted.folder.name}#{painted.begun}"

    def ask(
        self, name: str, styles: Mapping[str, str], content: str, settings: Mapping[str, Any]
    ) -> None:
        """Begin the try with this name, or add styles, which are paths by name, to it.

        A try begins with a `content`, and with all settings of a job. If that is not possible, the
        page finds the reason instead of previews.
        """
        folder = self._jobs.state.tries / name
        self._end_if_silent()
        if entries.attempt_status(folder / ALIVE) is None:
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
                current = self._current = Try(folder, order, self._clock())
        except DaemonError as error:
            atomic.attempt_write(folder / RESULT, json.dumps({"reason": str(error)}).encode())
            return
        known = {preview.name for preview in current.previews}
        current.previews += [Preview(*style) for style in styles.items() if style[0] not in known]
        self._write(current)

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
        """Let the page know the previews."""
        previews = [
            {"name": each.name, "done": each.is_done, "reason": each.reason}
            for each in current.previews
        ]
        content = json.dumps({"previews": previews}).encode("ascii")
        atomic.attempt_write(current.folder / RESULT, content)

    def go_on(self) -> None:
        """Begin the next preview if there is a worker for it, else ask a job for its worker."""
        self._end_if_silent()
        current = self._current
        is_due = current is not None and current.is_waiting and self._painted is None
        self._attempts.kept = int(is_due and self._may_begin())
        if current is None or not self._attempts.kept:
            return
        if self._attempts.free >= 0:
            self._begin(current)
            return
        spared = (AttemptRequest.CANCEL, AttemptRequest.FINISH)
        self._attempts.stop_workers(PAUSED_FOR, but=spared, most=1)

    def _begin(self, current: Try) -> None:
        """Copy the style of the next preview, in the lane of its library (law 9), and order it."""
        preview = current.previews[current.begun]
        current.begun += 1
        self._attempts.kept = 0
        self._painted = current
        style = Path(preview.style)
        staging = current.folder / str(current.begun)
        copy = staging / f"style{style.suffix}"
        guard = self._jobs.mount_guard

        def work(step: Step) -> None:
            with guard.checked(style.parent):
                atomic.make_folder(staging)
                atomic.copy(style, copy, step=step, follow=True)

        def done(error: Exception | None) -> None:
            if current is not self._current:  # its page has gone meanwhile
                self._painted = None
                entries.attempt_removal(current.folder)
                return
            if error is not None:
                self._painted = None
                preview.reason = repr(error)
                if isinstance(error, OSError | DaemonError):
                    preview.reason = shortages.in_words(error)
                self._write(current)
                return
            self._is_ordered = True
            order = replace(current.order, styles=(copy,), staging=staging)
            self._executor.submit(self._ticket, order)

        self._jobs.lanes.do(style.parent, work, done)

    def follow(self, events: Iterable[AttemptEvent]) -> None:
        """Process events that belong to no job."""
        for each in events:
            painted = self._painted
            if painted is None or each.ticket != self._ticket:
                continue
            if isinstance(each.event, AttemptEnd):
                self._painted = None
                self._is_ordered = False
                self._ended(painted, each.event)

    def _ended(self, painted: Try, end: AttemptEnd) -> None:
        if painted is not self._current:  # its page has gone meanwhile
            entries.attempt_removal(painted.folder)
            return
        preview = painted.previews[painted.begun - 1]
        preview.is_done = isinstance(end, messages.Done)
        if not preview.is_done:
            preview.reason = getattr(end, "reason", "") or "it was stopped"
        self._write(painted)

    def _end_if_silent(self) -> None:
        """End the try if its page has gone."""
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
        """End the try, and remove its folder once no worker writes there."""
        current = self._current
        self._current = None
        self._attempts.kept = 0
        if current is not None and self._painted is current:
            if self._is_ordered:
                self._executor.ask(self._ticket, AttemptRequest.CANCEL)
        elif current is not None:
            entries.attempt_removal(current.folder)
