"""Tells people and programs how the line stands: `_status.txt` in outboxes, and `status.json`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.outbox.status_json import SHARE, Publisher
from stylewatch_daemon.outbox.status_txt import Board, Refusal, Running, Status, together
from stylewatch_daemon.queue.dispatcher import Outcome
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.state import State

REFUSALS = 20
"""How many refusals `_status.txt` goes on naming."""

NAMED = 100
"""How many of the jobs that wait `_status.txt` names."""


@dataclass(frozen=True)
class Standing:
    """How the line stands; `running` is, by the job's id, its outbox and how far it is."""

    inboxes: Sequence[Inbox]
    running: Mapping[str, tuple[Path, Running]]
    outcomes: Collection[Outcome]
    paused: bool
    leaving: bool = False
    trouble: Mapping[str, str] = field(default_factory=dict)
    """What else waits for something outside of us, and why."""


class Teller:
    """Keeps what is told up to date; `clock` is monotonic, in seconds."""

    def __init__(self, state: State, reporter: Reporter, clock: Callable[[], float]) -> None:
        self.publisher = Publisher(state.root, clock)
        self._state, self._reporter, self._clock = state, reporter, clock
        self._blocked: dict[str, str] = {}
        self._boards: dict[Path, Board] = {}
        self._told, self._took = -float("inf"), 0.0

    def renew(self, settings: ServiceSettings) -> None:
        """Tell in all outboxes of `settings`, and go on in those of before."""
        for one in settings.outboxes:
            self._boards[one] = Board(one, settings.outbox.sharing)

    def may_tell(self, after: float) -> bool:
        """Whether the last `tell` was so many seconds ago; it may be more where that takes long."""
        return self._clock() - self._told >= max(after, SHARE * self._took)

    def tell(self, now: Standing) -> None:
        """Bring everything up to date."""
        self._told = self._clock()
        if (blocked := dict(_trouble(now, now.inboxes))) != self._blocked:
            self._blocked = blocked
            self._reporter.blocked(blocked)
        with suppress(OSError):  # a full disk: nothing depends on it
            statuses = self._statuses(now)
            for outbox, status in statuses.items():
                with suppress(OSError):  # where its disk is gone, another's is left alone
                    self._state.moorings.check(outbox)
                    self._boards[outbox].show(status, datetime.now(UTC))
            self._publish(statuses.values())
        self._took = self.publisher.took = self._clock() - self._told

    def publish(self, now: Standing) -> None:
        """Bring `status.json` up to date."""
        began = self._clock()
        with suppress(OSError):
            self._publish(self._statuses(now).values())
        self.publisher.took = self._clock() - began

    def _publish(self, statuses: Iterable[Status]) -> None:
        self.publisher.show(together(statuses), self._state.ledger.counts())

    def _statuses(self, now: Standing) -> dict[Path, Status]:
        """How things stand for each outbox."""
        running: dict[str, list[Running]] = {}
        for outbox, one in now.running.values():
            running.setdefault(str(outbox), []).append(one)
        aside = len(self._state.set_aside_folders())
        return {
            one: self._status(now, one, running.get(str(one), []), aside) for one in self._boards
        }

    def _status(
        self, now: Standing, outbox: Path, running: Sequence[Running], aside: int
    ) -> Status:
        inboxes = [inbox for inbox in now.inboxes if inbox.outbox == outbox]
        waiting, more = self._waiting(outbox, now.running)
        return Status(
            leaving=now.leaving,
            paused=now.paused,
            running=running,
            waiting=waiting,
            more=more,
            incomplete=[one for inbox in inboxes for one in inbox.incomplete],
            trouble=[f"{what}: {why}" for what, why in _trouble(now, inboxes)],
            refused=self._refused(outbox),
            notes=[note for inbox in inboxes for note in inbox.notes],
            set_aside=aside,
        )

    def _waiting(self, outbox: Path, running: Collection[str]) -> tuple[list[str], int]:
        """The names of those that wait, and how many more there are."""
        named, count = self._state.ledger.waiting(str(outbox), NAMED)
        names = [name for job_id, name in named.items() if job_id not in running]
        return names, count - len(named)

    def _refused(self, outbox: Path) -> list[Refusal]:
        bad = self._state.ledger.undismissed(REFUSALS, str(outbox))
        return [
            Refusal(flat_layout.called(job.place or job.name), job.reason) for job in reversed(bad)
        ]


def _trouble(now: Standing, inboxes: Iterable[Inbox]) -> list[tuple[str, str]]:
    """What waits for something outside of us, and why."""
    trouble = [item for inbox in inboxes for item in inbox.trouble.items()]
    trouble += now.trouble.items()
    return [*trouble, *((one.job, one.reason) for one in now.outcomes if one.kind == "paused")]
