"""Jobs to an executor, each again if need be, until it is done, refused, failed, or has to wait.

How a job ends is in the ledger before it is done (`ending` and the like), so that a start after a
crash takes up what was cut off: inputs archived, then the receipt, then the job's last state.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stylewatch_daemon import job_settings, written
from stylewatch_daemon.attempt import Try, crashes
from stylewatch_daemon.division import Division
from stylewatch_daemon.errors import DaemonError, InputError, OutputError, SettingsError
from stylewatch_daemon.execute.contract import (
    Done,
    End,
    Executor,
    Failed,
    Heard,
    Lost,
    Order,
    Refused,
    Stopped,
    Wanted,
)
from stylewatch_daemon.journal import Journal
from stylewatch_daemon.outbox import RECEIPT, Outbox, RefusedAs
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.state import State

OUR_FAULT = 70
CANCELLED = "cancelled"
"""The reason that is left beside the pictures of a job that people ended."""


@dataclass(frozen=True)
class Outcome:
    """How a job stands now; `paused` by something outside of us, `exit_code` as in sysexits.

    `again`: it crashed, and is to be tried again after a time. `divided`: it is a series, whose
    jobs come first.
    """

    kind: Literal["done", "refused", "failed", "cancelled", "paused", "stopped", "again", "divided"]
    job: str
    reason: str = ""
    exit_code: int = 0


@dataclass
class Dispatcher:
    """Brings jobs to their ends; `tries` are those that are with the executor, by ticket.

    What is left to do for a job that was painted waits in `painted`, until its worker has the next.
    """

    settings: ServiceSettings
    state: State
    executor: Executor
    reporter: Reporter
    stopping: Callable[[], bool]
    tries: dict[str, Try] = field(default_factory=dict)
    painted: list[Journal] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    """What is about to be submitted, by ticket."""

    @property
    def busy_with(self) -> frozenset[str]:
        """The ids of the jobs that are in hand."""
        trying = (one.journal.id for one in self.tries.values())
        return frozenset((*trying, *(job.id for job in self.painted)))

    def begin(self, journal: Journal) -> Outcome | None:
        """Bring the job to the executor; where it needs none any more, to its end."""
        (outcome,) = self.begin_together([journal])
        return outcome

    def begin_together(self, journals: Sequence[Journal]) -> list[Outcome | None]:
        """Bring jobs, to be painted at once, to the executor; or to their ends, as in `begin`."""
        outcomes = [self._bring(journal, len(journals)) for journal in journals]
        for orders in _for_one_worker(self.orders):
            self.executor.submit(orders)
        self.orders.clear()
        return outcomes

    def hear(self, heard: Heard) -> tuple[Journal, Outcome | None] | None:
        """Deal with an event; a job that has come to an end by it, and what came of it.

        An Outcome of None: another attempt is on its way.
        """
        one = self.tries.get(heard.ticket)
        if one is None:
            return None  # booked already, as we leave
        try:
            end = one.hear(heard.event)
        except OSError as error:
            one.given_up = one.given_up or error
            self.executor.drop(heard.ticket)
            end = heard.event if isinstance(heard.event, End) else None
        if end is None:
            return None
        del self.tries[heard.ticket]
        try:
            after = self._ended(one, end)
        except OSError as error:  # it counts as cut off, which is bearable
            after = self._paused(one.journal, error)
        if isinstance(end, Done) and isinstance(after, Journal):
            self.painted.append(after)
            return None
        return one.journal, self.begin(after) if isinstance(after, Journal) else after

    def publish(self) -> Iterator[tuple[Journal, Outcome | None]]:
        """Publish what was painted, inputs and receipt too; each job, and what came of it."""
        while self.painted:
            job = self.painted.pop(0)
            yield job, self.begin(job)

    def ask(self) -> None:
        """Pass on what is wanted of the jobs that are with the executor, where that changed."""
        for ticket, one in self.tries.items():
            wanted = self._wanted(one.journal)
            if wanted != one.asked:
                one.asked = wanted
                self.executor.ask(ticket, wanted)

    def leave(self) -> None:
        """Book the attempts that are cut off by our leaving at once: they are no crashes."""
        for one in self.tries.values():
            with suppress(OSError):
                one.end("stopped")
        self.tries.clear()

    def _bring(self, journal: Journal, together: int) -> Outcome | None:
        """What came of the job; where it is to be painted, None, and there is an order for it."""
        while True:
            try:
                after = self._go_on(journal, together)
            except OSError as error:
                return self._paused(journal, error)
            if not isinstance(after, Journal):
                return after
            journal = after

    def _go_on(self, journal: Journal, together: int) -> Journal | Outcome | None:
        self.state.moorings.check(journal.outbox)
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
        return self._try(journal, together)

    def _try(self, journal: Journal, together: int) -> Journal | Outcome | None:
        """Order an attempt; the journal to go on with where that cannot be."""
        one = Try(journal, self.state, self.reporter, self.settings.sharing)
        try:
            settings = job_settings.settle(self.settings, self.state.job_file(journal))
            division = Division(self.state, self.settings)
            if settings.sweep and not journal.series:
                self.reporter.divided(one.name, division.begin(one, settings))
                return Outcome("divided", one.name)
            parts = division.parts(journal, settings)
            order = replace(one.begin(settings, self.settings, together), parts=parts)
        except (InputError, SettingsError) as error:
            return self.state.save(one.journal, state="refusing", reason=str(error))
        except OSError as error:
            return self._paused(one.journal, error)
        self.tries[one.ticket] = one
        self.orders[one.ticket] = order
        return None

    def _ended(self, one: Try, end: End) -> Journal | Outcome:
        name = one.name
        if one.given_up is not None:
            one.end("paused", _in_words(one.given_up))
            return self._paused(one.journal, one.given_up)
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
        elif isinstance(end, Failed) and end.exit_code != OUR_FAULT:
            one.end("paused", end.reason)
            self.reporter.paused(name, end.reason)
            return Outcome("paused", name, end.reason, end.exit_code)
        else:
            return self._crashed(one, end)
        return one.journal

    def _crashed(self, one: Try, end: Failed | Lost) -> Journal | Outcome:
        one.end("failed", end.reason)
        trace = end.trace if isinstance(end, Failed) else ""
        self.reporter.failed(one.name, end.reason, trace, for_good=False)
        if crashes(one.journal.attempts) < self.settings.attempts:
            return Outcome("again", one.name, end.reason, OUR_FAULT)
        return one.journal

    def _finish(self, journal: Journal) -> Journal | Outcome:
        """Archive the inputs, publish the receipt, forget the job; each only if not yet done."""
        outbox, name = Outbox(journal.outbox, self.settings.sharing), journal.place or journal.name
        folder = outbox.root / name
        staged = outbox.has_receipt(journal.id)
        if not staged and not (folder / RECEIPT).exists():
            if self._is_cancelled(journal):
                return self.state.save(journal, state="refusing", reason=CANCELLED)
            raise OutputError(
                f"{name} is painted, and {outbox.root} has nothing of it: mount the disk that "
                "it was painted on, or cancel it"
            )
        if staged:
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
            written.note(outbox.root, journal.place)
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


def _for_one_worker(orders: Mapping[str, Order]) -> Iterable[Mapping[str, Order]]:
    """The `orders`, those together that one worker can take: by their own word, not by a guess."""
    sorted_out: dict[tuple[str, str | None], dict[str, Order]] = {}
    for ticket, order in orders.items():
        where = (order.settings.backend, order.settings.device)
        sorted_out.setdefault(where, {})[ticket] = order
    return sorted_out.values()


def _in_words(error: OSError) -> str:
    if isinstance(error, DaemonError):
        return str(error)
    return f"{error.filename or 'the disk'}: {error.strerror or error}"
