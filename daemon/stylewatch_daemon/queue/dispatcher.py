"""Jobs to an executor, each again if need be, until it is done, refused, failed, or has to wait.

What is decided in one round is written into the ledger in one go, and only then does anything
follow from it: folders in the outbox, orders for the executor, the last steps of a job.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from stylewatch_daemon.errors import OutputError, QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import shortages
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.model import Started
from stylewatch_daemon.queue.attempt import Try, crashes
from stylewatch_daemon.queue.finalize import CANCELLED, OUR_FAULT, Closing, Outcome, quarantined
from stylewatch_daemon.queue.starting import Came, Starting
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import Settler
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import (
    Done,
    End,
    Executor,
    Failed,
    Heard,
    Lost,
    Refused,
    Stopped,
    Wanted,
)

__all__ = ["Dispatcher", "Outcome"]


@dataclass
class Dispatcher:
    """Brings jobs to their ends; `tries` are those that are with the executor, by ticket.

    What is left to do for a job whose end is settled, as it was painted for one, waits until its
    worker has the next.
    """

    settings: ServiceSettings
    state: State
    executor: Executor
    reporter: Reporter
    stopping: Callable[[], bool]
    tries: dict[str, Try] = field(default_factory=dict)
    transfers: Transfers = field(default_factory=Transfers)

    def __post_init__(self) -> None:
        self._closing = Closing(self.state, self.reporter, transfers=self.transfers)
        self._settler = Settler(self.settings)
        self._starting: Starting | None = None
        self._noted: dict[str, Journal] = {}
        """The jobs that are not yet in the ledger as we have them, by their ids."""

    @property
    def busy_with(self) -> frozenset[str]:
        """The ids of the jobs that are in hand."""
        trying = (one.journal.id for one in self.tries.values())
        return frozenset((*trying, *(job.id for job in self._closing.settled)))

    @property
    def busy(self) -> bool:
        """Whether any job is in hand."""
        return bool(self.tries or self._closing.settled)

    @property
    def free(self) -> int:
        """How many workers have nothing to do, and are not about to get anything.

        While a job is painted that must be alone, none has.
        """
        if any(one.alone for one in self.tries.values()):
            return 0
        return self.executor.free() - (len(self._starting.batches) if self._starting else 0)

    def begin(self, batches: Iterable[Sequence[Journal]]) -> Iterator[Came]:
        """Bring jobs to the executor, those of a batch to be painted at once; what came of each.

        Nothing yet (None) comes of one whose end is settled, or now is: `close` brings it there.
        """
        if self._settler.settings is not self.settings:  # they were read again
            self._settler = Settler(self.settings)
        starting = self._starting = Starting(self._settler, self._closing)
        try:
            with self._in_one_go():
                for batch in batches:
                    self._noted |= {job.id: job for job in batch}
                    yield from starting.bring(batch)
        except OutputError as error:
            starting.batches.clear()
            yield from self._undone(error)
            return
        yield from starting.divide()
        while starting.batches:
            orders, tries, others = starting.orders(starting.batches.pop(0))
            for for_one in orders:
                try:
                    self.executor.submit(for_one)
                except OSError as error:
                    others += starting.not_submitted([tries[ticket] for ticket in for_one], error)
                else:
                    self.tries |= {ticket: tries[ticket] for ticket in for_one}
            yield from others

    def hear(self, heard: Iterable[Heard]) -> Iterator[Came]:
        """Deal with events; the jobs that have come to an end by them, and what came of each.

        What is painted, refused or failed is settled, and not among them.
        """
        try:
            with self._in_one_go():
                for one in heard:
                    yield from self._hear(one)
        except OutputError as error:
            yield from self._undone(error)

    def close(self) -> Iterator[Came]:
        """Bring those whose end is settled to it, receipts and all; what came of each."""
        yield from self._closing.close()

    def ask(self) -> None:
        """Pass on what is wanted of the jobs that are with the executor, where that changed."""
        wishes = self.state.ledger.wishes()
        if not wishes and not self.stopping():
            return
        for ticket, one in self.tries.items():
            wanted = self._wanted(wishes.get(one.journal.id, ""))
            if wanted != one.asked:
                one.asked = wanted
                self.executor.ask(ticket, wanted)

    def leave(self) -> None:
        """Book the attempts that are cut off by our leaving at once: they are no crashes."""
        with suppress(OSError), self.state.ledger.together():
            for one in self.tries.values():
                one.end("stopped")
        self.tries.clear()

    @contextmanager
    def _in_one_go(self) -> Iterator[None]:
        """Write all that is noted within into the ledger at once; raises OutputError."""
        self._closing.sharing = self.settings.outbox.sharing
        self._closing.free_bytes = self.settings.limits.free_bytes
        self._noted.clear()
        with self.state.ledger.together():
            yield
        self._noted.clear()

    def _undone(self, error: OutputError) -> Iterator[Came]:
        """What was noted last is not in the ledger: nothing follows from it, and it waits."""
        self.reporter.paused("the ledger", str(error))
        self._closing.drop(self._noted)
        for ticket, one in self.tries.items():
            if self._noted.pop(one.journal.id, None) is not None:
                one.given_up = one.given_up or error
                self.executor.drop(ticket)
        for job in self._noted.values():
            yield job, self._closing.paused(job, error)
        self._noted.clear()

    def _hear(self, heard: Heard) -> Iterator[Came]:
        one = self.tries.get(heard.ticket)
        if one is None:
            return  # booked already, as we leave
        try:
            with self.state.guard(one.journal.id, "painting it"):
                came = self._follow(one, heard)
        except OSError as error:
            came = self._closing.paused(one.journal, error)
            self._forget(heard.ticket)
        except QuarantinedError as error:
            came = quarantined(one.journal, error)
            self._forget(heard.ticket)
        if came is not None:
            yield one.journal, came

    def _forget(self, ticket: str) -> None:
        """Have nothing more to do with an attempt, whatever still comes of it."""
        if self.tries.pop(ticket, None) is not None:
            self.executor.drop(ticket)

    def _follow(self, one: Try, heard: Heard) -> Outcome | None:
        """What came of the job by an event; None where that is yet to come, or is settled."""
        event = heard.event
        if isinstance(event, Started | End):
            self._noted[one.journal.id] = one.journal
        try:
            end = one.hear(event)
        except OSError as error:
            one.given_up = one.given_up or error
            self.executor.drop(heard.ticket)
            end = event if isinstance(event, End) else None
        if end is None:
            return None
        del self.tries[heard.ticket]
        try:
            return self._ended(one, end)
        except OSError as error:  # it counts as cut off, which is bearable
            return self._closing.paused(one.journal, error)

    def _ended(self, one: Try, end: End) -> Outcome | None:
        """What came of the attempt's end; None where the job's own is settled by it."""
        name = one.name
        if one.given_up is not None:
            one.end("paused", shortages.in_words(one.given_up))
            return self._closing.paused(one.journal, one.given_up)
        if isinstance(end, Done):
            self._painted(one, end)
        elif self._closing.is_cancelled(one.journal):
            one.end(CANCELLED, CANCELLED, state="refusing")
        elif isinstance(end, Refused):
            one.end("refused", end.reason, state="refusing")
        elif isinstance(end, Stopped) or self.stopping():
            one.end("stopped")
            step = end.step if isinstance(end, Stopped) else 0
            self.reporter.stopped(name, step)
            return Outcome("stopped", name)
        elif isinstance(end, Failed) and end.exit_code != OUR_FAULT:
            one.end("paused", end.reason)
            self.reporter.paused(name, end.reason)
            return Outcome("paused", name, end.reason, end.exit_code)
        else:
            return self._crashed(one, end)
        self._closing.settled.append(one.journal)
        return None

    def _painted(self, one: Try, end: Done) -> None:
        """Write down that the job is to be ended, and what the receipt tells of its inputs."""
        one.end(end.receipt.get("state", "done"), state="ending")
        told = end.receipt.get("inputs", ())
        known = {one["name"]: one["sha256"] for one in told if "sha256" in one}
        if known.items() <= one.journal.digests.items():
            return  # as mostly: intake saw the same
        if (entry := self.state.ledger.find(one.journal.id)) is not None:
            inputs = [_with_digest(one, known) for one in entry.inputs]
            self.state.ledger.change(one.journal.id, inputs=inputs)

    def _crashed(self, one: Try, end: Failed | Lost) -> Outcome | None:
        one.end("failed", end.reason)
        trace = end.trace if isinstance(end, Failed) else ""
        self.reporter.failed(one.name, end.reason, trace, for_good=False)
        if crashes(one.journal.attempts) < self.settings.limits.attempts:
            return Outcome("again", one.name, end.reason, OUR_FAULT)
        self._closing.give_up(one.journal)
        return None

    def _wanted(self, wish: str) -> Wanted:
        """What is wanted of a job that this is wished of; where we leave, what can wait does."""
        if wish == "cancel":
            return "cancel"
        if self.stopping():
            return "stop"
        return "finish" if wish == "finish" else ""


def _with_digest(entered: Mapping[str, Any], known: Mapping[str, str]) -> Mapping[str, Any]:
    """An input as it was `entered`, with its digest if that is `known` by its name."""
    digest = known.get(entered["name"])
    return entered if digest is None else {**entered, "sha256": digest}
