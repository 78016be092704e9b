"""Two inboxes of a daemon that starts no job, whose clock moves only by `wait`."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.daemon.clock import Clock
from tests.daemon.faults import fill, mounts, tree
from tests.daemon.world import DaemonWorld, make_inbox, make_settings, run_jobs, scan

from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Job, State
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.ledger.requests import Pause


class World(DaemonWorld, Reporter):
    """A daemon that works at once, and what it reported."""

    def __init__(self, root: Path, after: Any = "archive", **settings: Any) -> None:
        super().__init__(root)
        self.root, self._time = root, Clock()
        self.clock = self._time
        inboxes = [make_inbox(root / name, self.outbox, after) for name in ("in", "other")]
        self.settings = make_settings(inboxes, root / "state", quiet_s=0, rescan_s=60, **settings)
        self.jobs_claimed: list[str] = []
        self.reasons: list[tuple[str, str]] = []
        self.changed_inputs: list[str] = []
        self.skipped: list[str] = []
        for inbox in inboxes:
            inbox.path.mkdir(parents=True)
        self.state.make()
        Pause(self.state.root).begin()
        self.begin()

    def begin(self) -> None:
        """Start the daemon, for the first time or again."""
        self.loop = self.start(self)

    def resume(self) -> None:
        """Let the daemon run its jobs."""
        Pause(self.state.root).end()

    # -- what the daemon reports

    def claimed(self, job: str) -> None:
        self.jobs_claimed.append(job)

    def waits(self, what: str, reason: str) -> None:
        self.reasons.append((what, reason))

    def input_changed(self, job: str, what: str) -> None:
        self.changed_inputs.append(f"{job}: {what}")

    def ignored(self, path: Path, why: str) -> None:
        self.skipped.append(f"{path.name}: {why}")

    # -- what happens

    def drop(self, *jobs: str, inbox: str = "in") -> None:
        """Drop pairs."""
        names = [f"{job}/{half}.jpg" for job in jobs for half in ("content", "style")]
        fill(self.root / inbox, *names)

    def work(self, again: bool = False) -> list[str]:
        """Scan twice, and do everything that follows; return the names of the claimed jobs."""
        self.jobs_claimed.clear()
        scan(self.loop)
        run_jobs(self.loop, again)
        return list(self.jobs_claimed)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._time.now += seconds

    def apart(self, are_apart: bool = True) -> AbstractContextManager[None]:
        """Let inbox, state folder and outbox lie on disks of their own, if they are to."""
        return mounts(*([self.inbox, self.state.root, self.outbox] if are_apart else []))

    # -- what is seen

    @property
    def first(self) -> Inbox:
        return self.loop.intake.inboxes[0]

    @property
    def waiting_for(self) -> dict[str, str]:
        """What the incomplete pairs wait for, by name."""
        return {pair.name: pair.waits_for for pair in self.loop.intake.incomplete}

    @property
    def trouble(self) -> Mapping[str, str]:
        return self.first.trouble | dict(self.loop.blocked)

    @property
    def jobs(self) -> list[Job]:
        """All jobs of the ledger, in their order."""
        return self.loop.jobs.ledger.in_state(*State)

    @property
    def states(self) -> dict[str, str]:
        """How far the jobs are, by name: the state, or the end."""
        return {job.name: job.end or job.state for job in self.jobs}

    @property
    def held(self) -> list[dict[str, str]]:
        """The files of each claimed job, in their order."""
        return [tree(folder / "files") for folder in sorted(self.state.jobs.iterdir())]
