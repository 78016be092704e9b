"""A job to an executor, again if need be, until it is done, refused, failed, or has to wait.

How a job ends is in the ledger before it is done (`ending` and the like), so that a start after a
crash takes up what was cut off: inputs archived, then the receipt, then the job's last state.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from stylewatch_daemon import job_settings
from stylewatch_daemon.attempt import OnEvent, Try, crashes
from stylewatch_daemon.errors import DaemonError, InputError, OutputError, SettingsError
from stylewatch_daemon.execute.contract import Done, End, Event, Order, Refused, Stopped, Wanted
from stylewatch_daemon.journal import Journal
from stylewatch_daemon.outbox import RECEIPT, Outbox, RefusedAs
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.state import State

OUR_FAULT = 70
CANCELLED = "cancelled"
"""The reason that is left beside the pictures of a job that people ended."""


class Executor(Protocol):
    """Where jobs are painted."""

    def run(self, order: Order, wanted: Callable[[], Wanted]) -> Generator[Event, None, None]:
        """The events of `order`, exactly one End last, and soon once something is `wanted()`."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a job stands now; `paused` by something outside of us, `exit_code` as in sysexits.

    `again`: it crashed, and is to be tried again after a time.
    """

    kind: Literal["done", "refused", "failed", "cancelled", "paused", "stopped", "again"]
    job: str
    reason: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class Dispatcher:
    """Brings jobs to their ends."""

    settings: ServiceSettings
    state: State
    executor: Executor
    reporter: Reporter
    stopping: Callable[[], bool]

    def run(self, journal: Journal, on_event: OnEvent) -> Outcome:
        """Bring the job to its end, or as far as it goes now; `on_event` hears of every event."""
        while True:
            try:
                after = self._go_on(journal, on_event)
            except OSError as error:
                return self._paused(journal, error)
            if isinstance(after, Outcome):
                return after
            journal = after

    def _go_on(self, journal: Journal, on_event: OnEvent) -> Journal | Outcome:
        if journal.state == "ending":
            return self._finish(journal)
        if journal.state in ("refusing", "failing"):
            return self._refuse(journal)
        if self._is_cancelled(journal):
            return self.state.save(journal, state="refusing", reason=CANCELLED)
        if crashes(journal.attempts) >= self.settings.attempts:
            reason = journal.attempts[-1].reason or "the daemon or its worker was killed"
            reason = f"tried {len(journal.attempts)} times, the last time: {reason}"
            return self.state.save(journal, state="failing", reason=reason)
        return self._try(journal, on_event)

    def _try(self, journal: Journal, on_event: OnEvent) -> Journal | Outcome:
        """One attempt; the journal to go on with, or an Outcome where that is all for now."""
        one = Try(journal, self.state, self.reporter, self.settings.sharing)
        try:
            settings = job_settings.settle(self.settings, self.state.job_file(journal))
            order = one.begin(settings, self.settings)
        except (InputError, SettingsError) as error:
            return self.state.save(one.journal, state="refusing", reason=str(error))
        except OSError as error:
            return self._paused(one.journal, error)
        try:
            # Closed whatever happens: a worker must not paint on for a job that was given up.
            wanted = partial(self._wanted, one.journal)
            with closing(self.executor.run(order, wanted)) as events:
                end = one.run(events, on_event)
        except OSError as error:
            with suppress(OSError):  # else it counts as cut off, which is bearable
                one.end("paused", _in_words(error))
            return self._paused(one.journal, error)
        return self._ended(one, end)

    def _ended(self, one: Try, end: End) -> Journal | Outcome:
        name = one.name
        if isinstance(end, Done):
            with self.state.ledger.together():
                one.end(end.receipt.get("state", "done"), state="ending")
                entry = self.state.ledger.find(one.journal.id)
                entered = entry.inputs if entry is not None else ()
                self.state.ledger.change(one.journal.id, inputs=_digests(end.receipt, entered))
        elif self._is_cancelled(one.journal):
            one.end(CANCELLED, CANCELLED, state="refusing")
        elif isinstance(end, Refused):
            one.end("refused", end.reason, state="refusing")
        elif isinstance(end, Stopped) or self.stopping():
            one.end("stopped")
            step = end.step if isinstance(end, Stopped) else 0
            self.reporter.stopped(name, step)
            return Outcome("stopped", name)
        elif end.exit_code != OUR_FAULT:
            one.end("paused", end.reason)
            self.reporter.paused(name, end.reason)
            return Outcome("paused", name, end.reason, end.exit_code)
        else:
            one.end("failed", end.reason)
            self.reporter.failed(name, end.reason, end.trace, for_good=False)
            if crashes(one.journal.attempts) < self.settings.attempts:
                return Outcome("again", name, end.reason, OUR_FAULT)
        return one.journal

    def _finish(self, journal: Journal) -> Outcome:
        """Archive the inputs, publish the receipt, forget the job; each only if not yet done."""
        outbox, name = Outbox(journal.outbox, self.settings.sharing), journal.place or journal.name
        folder = outbox.root / name
        if outbox.has_receipt(journal.id):
            if journal.after == "archive":
                outbox.archive(journal.id, folder, self.state.job(journal).moved)
            self.reporter.staged(name, outbox.publish(journal.id, folder, RECEIPT))
        outbox.clear(journal.id)
        self.state.finish(journal, "done")
        self.reporter.done(name, folder)
        return Outcome("done", name)

    def _refuse(self, journal: Journal) -> Outcome:
        """Put the inputs and the reason where the user looks, and forget the job."""
        outbox, name = Outbox(journal.outbox, self.settings.sharing), journal.place or journal.name
        where = RefusedAs(
            name, journal.refused_as, lambda place: self.state.save(journal, refused_as=place)
        )
        folder = outbox.refuse(journal.id, self.state.own_files(journal), journal.reason, where)
        outbox.clear(journal.id)
        if journal.place is not None:
            outbox.drop_empty(journal.place)
        if journal.state == "failing":
            self.state.finish(journal, "failed")
            self.reporter.failed(name, journal.reason, "", for_good=True)
            return Outcome("failed", name, journal.reason, OUR_FAULT)
        if self._is_cancelled(journal):
            self.state.finish(journal, "cancelled")
            self.reporter.cancelled(name, folder)
            return Outcome("cancelled", name)
        self.state.finish(journal, "refused")
        self.reporter.refused(name, journal.reason, folder)
        return Outcome("refused", name, journal.reason, InputError.exit_code)

    def _is_cancelled(self, journal: Journal) -> bool:
        return self.state.ledger.wish(journal.id) == "cancel"

    def _wanted(self, journal: Journal) -> Wanted:
        """What is wanted of the job now; where we leave, what can wait does."""
        wish = self.state.ledger.wish(journal.id)
        if wish == "cancel":
            return "cancel"
        if self.stopping():
            return "stop"
        return "finish" if wish == "finish" else ""

    def _paused(self, journal: Journal, error: OSError) -> Outcome:
        name, reason = journal.place or journal.name, _in_words(error)
        self.reporter.paused(name, reason)
        return Outcome("paused", name, reason, OutputError.exit_code)


def _digests(
    receipt: Mapping[str, Any], entered: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The inputs as they were `entered`, those that a receipt names with their digests."""
    known = {one["name"]: one["sha256"] for one in receipt.get("inputs", ()) if "sha256" in one}
    return [
        {**one, "sha256": known[one["name"]]} if one["name"] in known else one for one in entered
    ]


def _in_words(error: OSError) -> str:
    if isinstance(error, DaemonError):
        return str(error)
    return f"{error.filename or 'the disk'}: {error.strerror or error}"
