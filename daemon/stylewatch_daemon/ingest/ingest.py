"""The front half of the line: inboxes are looked at, pairs claimed, and pictures looked at."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.identity import Identity
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.ingest.inspection.contract import Looker
from stylewatch_daemon.ingest.inspection_queue import Reception
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import Settler, queue_entry
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state import State

STRETCH = 0.1
"""Seconds for which pairs are claimed, or jobs begun, before something else has its turn."""

QUIET_AFTER = 60.0
"""Seconds after the start from which on files that change keep no job from being run."""


class Front:
    """Takes pairs into `state` by `settings`; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        settings: ServiceSettings,
        state: State,
        intake: Looker,
        reporter: Reporter,
        clock: Callable[[], float],
        transfers: Transfers | None = None,
    ) -> None:
        self._state, self._reporter, self._clock = state, reporter, clock
        self._claimer = Claimer(state, self._wishes, transfers)
        self._reception = Reception(self._claimer, intake, reporter, self._await_rest, self._settle)
        self.inboxes: list[Inbox] = []
        self.settled = True
        self._began = clock()
        self.look_took = 0.0
        """Seconds that the last look took, and what followed from it."""
        self._looked = -float("inf")
        self.renew(settings)

    def renew(self, settings: ServiceSettings) -> None:
        """Go on by other `settings`."""
        self._settings, self._settler = settings, Settler(settings)
        self._state.ledger.withdraw_all_but(str(one.path) for one in settings.inboxes)
        self.inboxes = [
            Inbox(one, settings, self._claimer, self._reporter, self._clock)
            for one in settings.inboxes
        ]

    def recover(self) -> None:
        """Take up what was cut off."""
        for what, why in self._claimer.recover().items():
            self._reporter.paused(what, why)
        for job in self._claimer.held.values():
            self._reception.receive(job)

    def look(self) -> None:
        """Look at the inboxes once."""
        began = self._clock()
        settled = [inbox.look() for inbox in self.inboxes]
        self.settled = all(settled)
        self._looked = self._clock()
        self.look_took = self._looked - began

    def folders(self) -> Mapping[Path, Mapping[Path, Identity]]:
        """The folders below each inbox, as the last look found them."""
        return {inbox.path: inbox.folders for inbox in self.inboxes}

    def polled(self, why: Mapping[Path, str]) -> None:
        """Note the inboxes in which file events fail, with the reason."""
        for inbox in self.inboxes:
            inbox.polled = why.get(inbox.path, "")

    def looked_for(self) -> float:
        """Seconds since the last look."""
        return self._clock() - self._looked

    @property
    def is_quiet(self) -> bool:
        """Whether no job is on its way, as far as looks at the inboxes tell.

        What does not come to rest within QUIET_AFTER seconds is not waited for.
        """
        looked = self._looked > -float("inf")
        settled = self.settled or self._clock() - self._began >= QUIET_AFTER
        return looked and settled and not (self.is_looking or self.has_more)

    def enter(self) -> None:
        """Enter what the last look showed to be complete, to be claimed."""
        self._reception.go_on()
        before, began = self.incomplete(), self._clock()
        for inbox in self.inboxes:
            inbox.enter()
        self.look_took += self._clock() - began
        if self.incomplete() != before:
            self._reporter.incomplete(self.incomplete())

    def claim(self) -> int:
        """Claim what was entered, inboxes in turn, for a moment, and ask intake; how many."""
        until, claimed = self._clock() + STRETCH, self._go_on()
        while (claiming := self._claimable()) and self._clock() < until:
            for inbox in claiming:
                if taken := inbox.claim():
                    self._reception.receive(taken[0], for_good=taken[1])
                    claimed += 1
                self.settled = self.settled and not inbox.awaits_rest
            self._reception.ask(self._settings.limits.max_pixels)
        return claimed

    def _go_on(self) -> int:
        """Finish the claims whose files are copied by now; how many."""
        claimed = 0
        for job, error in self._claimer.go_on():
            if error is None:
                over = (one.is_over(job) for one in self.inboxes if one.path == job.inbox)
                self._reporter.taken(job.name)
                self._reception.receive(job, for_good=any(over))
                claimed += 1
            elif isinstance(error, OSError):
                self._reporter.paused(job.name, str(error))
        return claimed

    def hear(self) -> list[str]:
        """Do what intake says of what was claimed, and ask it about more; the ids of these jobs."""
        heard: list[str] = []
        try:
            heard = self._reception.hear()
        except OSError as error:  # what was claimed is safe, and the ledger is told later
            self._reporter.paused("the ledger", str(error))
        self._reception.ask(self._settings.limits.max_pixels)
        return heard

    @property
    def has_more(self) -> bool:
        """Whether there is more that could be claimed now."""
        return bool(self._claimable())

    @property
    def is_looking(self) -> bool:
        """Whether intake has something to say, sooner or later, or files are being copied."""
        return self._reception.is_waiting or bool(self._claimer.copying)

    @property
    def trouble(self) -> Mapping[str, str]:
        """What keeps pictures from being looked at now."""
        why = self._reception.trouble if self._reception.is_waiting else ""
        return {"inspection of pictures": why} if why else {}

    @property
    def awaits_rest(self) -> bool:
        """Whether a file is not whole yet, and may still be on its way."""
        return any(inbox.awaits_rest for inbox in self.inboxes)

    @property
    def at_rest(self) -> bool:
        """Whether nothing changes any more of what the last look showed."""
        return self.settled and not any(one.changing for one in self.incomplete())

    def incomplete(self) -> list[Incomplete]:
        """What waits for another half."""
        return [one for inbox in self.inboxes for one in inbox.incomplete]

    def untaken(self) -> tuple[str, ...]:
        """The names of the pairs that are complete, and do not queue yet."""
        ours = (*self._claimer.held.values(), *self._claimer.copying.values())
        held = (job.name for job in ours)
        return (*held, *(name for inbox in self.inboxes for name in inbox.unclaimed()))

    def _wishes(self, job_file: Path | None, sizes: Sequence[tuple[int, int]]) -> Mapping[str, Any]:
        return queue_entry(self._settings, job_file, sizes)

    def _settle(self, job_file: Path | None) -> JobSettings:
        return self._settler.settle(job_file)

    def _claimable(self) -> list[Inbox]:
        return [one for one in self.inboxes if one.claimable and self._reception.has_room(one.path)]

    def _await_rest(self, job: Journal, file: File) -> None:
        self.settled = False  # so that it is looked at again soon, whatever else happens
        for inbox in self.inboxes:
            if inbox.path == job.inbox:
                inbox.await_rest(file.source, file.look)
