"""An inbox and a state folder to claim pairs, on one mount or two."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import mounts, take, tree
from tests.daemon.world import make_inbox

from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.model import Pair
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state_dir import State

JOB = ("trip/content.jpg", "trip/style.jpg", "trip/job.yaml")


class ClaimWorld:
    """An inbox and a state folder."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox = root / "in", root / "out"
        self.state = State(root / "state")
        self.state.make()
        self.inbox.mkdir(parents=True, exist_ok=True)

    def pairs(self) -> tuple[Pair, ...]:
        return pair(self.inbox, scan(self.inbox).files, {}).complete

    def take(self, after: Any = "archive", job_id: str = "1") -> Journal:
        """Claim and accept the pair."""
        (one,) = self.pairs()
        return take(self.state, one, scan(self.inbox).files, self.terms(after), job_id)

    def hold(self, after: Any = "archive") -> tuple[Claimer, Journal]:
        """Claim the pair, which is not inspected yet."""
        (one,), claimer = self.pairs(), Claimer(self.state)
        journal = claimer.claim(one, scan(self.inbox).files, self.terms(after), "1")
        assert journal is not None
        return claimer, journal

    def terms(self, after: Any = "archive") -> InboxSettings:
        return make_inbox(self.inbox, self.outbox, after)

    def start(self) -> Claimer:
        """Start the daemon anew; it accepts what was claimed."""
        self.state.close()
        self.state.check_jobs()
        claimer = Claimer(self.state)
        claimer.recover()
        for job in claimer.claimed.values():
            claimer.accept(job, ())
        return claimer

    def held(self) -> list[dict[str, str]]:
        """Return the files of each claimed job."""
        return [tree(folder / "files") for folder in sorted(self.state.jobs.iterdir())]

    def taken(self) -> dict[str, str]:
        """Return all claimed files, wherever they are."""
        return tree(self.state.claims) | tree(self.state.jobs) | tree(self.state.trash)

    def mounts(self) -> AbstractContextManager[None]:
        return mounts(self.inbox, self.state.root)


Layout = Callable[[ClaimWorld], AbstractContextManager[None]]
TAKEN = {name.removeprefix("trip/"): name for name in JOB}


def one_mount(place: ClaimWorld) -> AbstractContextManager[None]:
    return nullcontext()


def two_mounts(place: ClaimWorld) -> AbstractContextManager[None]:
    return place.mounts()


BOTH = pytest.mark.parametrize("layout", [one_mount, two_mounts])
