"""Attempts that are about to begin: written into the ledger together, then made ready and ordered.

What is made in the outbox, a folder for one, follows from what is in the ledger by then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stylewatch_daemon.errors import InputError, QuarantinedError, SettingsError
from stylewatch_daemon.files import shortages
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.attempt import Try, Verdict, verdict
from stylewatch_daemon.queue.finalize import CANCELLED, Closing, Outcome, quarantined
from stylewatch_daemon.queue.series import Division
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import Settler
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.worker.contract import Order

Came = tuple[Journal, Outcome | None]
"""A job, and what came of it; None where that is still to come."""


IN_THE_WAY = (OSError, InputError, SettingsError)


@dataclass(frozen=True)
class Begun:
    """An attempt that is written down, and of which nothing else is done yet."""

    one: Try
    settings: JobSettings


@dataclass
class Starting:
    """Begins jobs by the settings of `settler`; ends that are settled are for `closing`."""

    settler: Settler
    closing: Closing
    batches: list[list[Begun]] = field(default_factory=list)
    """What is to be submitted, by the jobs that are to be painted at once."""
    series: list[Begun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wishes = self.closing.state.ledger.wishes()
        self._probed: set[Path] = set()

    @property
    def settings(self) -> ServiceSettings:
        """What holds for all jobs."""
        return self.settler.settings

    def bring(self, batch: Sequence[Journal]) -> Iterator[Came]:
        """What came of each of a batch so far; attempts are written down."""
        self.batches.append([])
        for journal in batch:
            try:
                with self.closing.state.guard(journal.id, "beginning it"):
                    self._bring(journal, len(batch))
            except OSError as error:
                yield journal, self.closing.paused(journal, error)
            except QuarantinedError as error:
                yield journal, quarantined(journal, error)
            else:
                yield journal, None
        if not self.batches[-1]:
            self.batches.pop()

    def divide(self) -> Iterator[Came]:
        """Make the jobs of those that are series; what came of these."""
        for begun in self.series:
            one = begun.one
            try:
                with self.closing.state.guard(one.journal.id, "dividing it"):
                    came = self._divided(one, begun.settings)
            except OSError as error:
                came = self.closing.paused(one.journal, error)
            except QuarantinedError as error:
                came = quarantined(one.journal, error)
            yield one.journal, came

    def _divided(self, one: Try, settings: JobSettings) -> Outcome | None:
        try:
            count = Division(self.closing.state, self.settings).begin(one, settings)
        except IN_THE_WAY as error:
            return self._in_the_way(one, error)
        self.closing.reporter.divided(one.name, count)
        return Outcome("divided", one.name)

    def orders(
        self, batch: Sequence[Begun]
    ) -> tuple[Iterable[Mapping[str, Order]], dict[str, Try], list[Came]]:
        """The orders of a batch, for a worker each; the attempts by ticket; what came of others."""
        orders: dict[str, Order] = {}
        tries: dict[str, Try] = {}
        others: list[Came] = []
        for begun in batch:
            one = begun.one
            try:
                with self.closing.state.guard(one.journal.id, "ordering it"):
                    try:
                        orders[one.ticket] = self._order(one, begun.settings)
                        tries[one.ticket] = one
                    except IN_THE_WAY as error:
                        others.append((one.journal, self._in_the_way(one, error)))
            except OSError as error:
                others.append((one.journal, self.closing.paused(one.journal, error)))
            except QuarantinedError as error:
                others.append((one.journal, quarantined(one.journal, error)))
        return _for_one_worker(orders), tries, others

    def not_submitted(self, tries: Iterable[Try], error: OSError) -> list[Came]:
        """What comes of attempts that the executor could not take: they wait."""
        return [(one.journal, self._in_the_way(one, error)) for one in tries]

    def _bring(self, journal: Journal, together: int) -> None:
        self.closing.state.moorings.check(journal.outbox)
        if journal.state in ("ending", "refusing", "failing"):
            self.closing.settled.append(journal)
        elif self._wishes.get(journal.id) == "cancel":
            self.closing.settle(journal, "refusing", CANCELLED)
        elif verdict(journal.attempts, self.settings.limits.attempts) is Verdict.GIVEN_UP:
            self.closing.give_up(journal)
        else:
            self._try(journal, together)

    def _try(self, journal: Journal, together: int) -> None:
        """Write an attempt down, which is to be ordered; or note that it is a series."""
        state = self.closing.state
        one = Try(journal, state, self.closing.reporter, self.settings.outbox.sharing)
        try:
            self._probe(journal.outbox)
            settings = self.settler.settle(state.job_file(journal))
            if settings.sweep and not journal.series:
                self.series.append(Begun(one, settings))
                return
            one.begin(settings, self.settings, together)
        except (InputError, SettingsError) as error:
            if (shortage := shortages.shortage(error)) is not None:
                raise shortage from error
            self.closing.settle(one.journal, "refusing", str(error))
        else:
            self.batches[-1].append(Begun(one, settings))

    def _probe(self, outbox: Path) -> None:
        """Find out whether an outbox can be written, once for all that are begun now."""
        if outbox not in self._probed:
            Outbox(outbox, self.settings.outbox.sharing).probe()
            self._probed.add(outbox)

    def _order(self, one: Try, settings: JobSettings) -> Order:
        parts = Division(self.closing.state, self.settings).parts(one.journal, settings)
        return one.order(settings, self.settings, parts)

    def _in_the_way(self, one: Try, error: OSError | InputError | SettingsError) -> Outcome | None:
        """What comes of a job that something is wrong with, or with its outbox: no attempt."""
        try:
            error = shortages.shortage(error) or error
            if not isinstance(error, OSError):
                self.closing.settle(one.journal, "refusing", str(error))
                return None
            if one.journal.state == "running":
                one.end("paused", shortages.in_words(error))
        except OSError as worse:
            error = worse
        return self.closing.paused(one.journal, error)


def _for_one_worker(orders: Mapping[str, Order]) -> Iterable[Mapping[str, Order]]:
    """The `orders`, those together that one worker can take: by their own word, not by a guess."""
    sorted_out: dict[tuple[str, str | None], dict[str, Order]] = {}
    for ticket, order in orders.items():
        where = (order.settings.backend, order.settings.device)
        sorted_out.setdefault(where, {})[ticket] = order
    return sorted_out.values()
