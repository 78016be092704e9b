"""A small world for tests of the queue: claimed jobs, an outbox and a fake worker."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.daemon.faults import fill, take, waiting
from tests.daemon.world import Ending, FakeExecutor, make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.queue.dispatcher import Dispatcher
from stylewatch_daemon.queue.states import Outcome, OutcomeKind, Result
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state_dir import State
from stylewatch_daemon.worker.messages import Failed

BROKEN = Failed("it broke", 70, "trace")
PAINTED = {
    f"job/{file}": f"{file} of job/content.jpg and job/style.jpg"
    for file in ("final.png", "receipt.json", "stages/1.png", "stages/2.png")
}
ARCHIVED = {f"job/inputs/{name}": f"job/{name}" for name in ("content.jpg", "style.jpg")}


class Recorder(Reporter):
    """Records failures, changed inputs and stops; calls `on_stage` for each published file."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, bool]] = []
        self.published: list[str] = []
        self.changed: list[str] = []
        self.stops: list[tuple[int, str]] = []
        self.on_stage: Callable[[], object] = lambda: None

    def staged(self, job: str, path: Path) -> None:
        self.published.append(path.name)
        self.on_stage()

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self.failures.append((trace, for_good))

    def input_changed(self, job: str, what: str) -> None:
        self.changed.append(what)

    def stopped(self, job: str, step: int, unit: str) -> None:
        self.stops.append((step, unit))


class World:
    """Claimed jobs `1`, `2` ..., all with the same `files`, each from an inbox of its own."""

    def __init__(
        self,
        root: Path,
        *endings: Ending,
        after: Any = "archive",
        jobs: int = 1,
        files: Sequence[str] = ("job/content.jpg", "job/style.jpg"),
    ) -> None:
        self.outbox, self.state = root / "out", State(root / "state")
        self.painter, self.reporter = FakeExecutor(list(endings)), Recorder()
        self.stopping: Callable[[], bool] = lambda: False
        self.state.make()
        for number in range(1, jobs + 1):
            inbox = root / f"in{number}"
            fill(inbox, *files)
            looks = scan(inbox).files
            (complete,) = pair(inbox, looks, {}).complete
            take(self.state, complete, looks, make_inbox(inbox, self.outbox, after), str(number))

    @property
    def jobs(self) -> list[Journal]:
        return [self.state.load(job_id) for job_id in sorted(self.state.ledger.open_jobs())]

    def dispatcher(self, **settings: Any) -> Dispatcher:
        service = make_settings((), self.state.root, job=JobSettings(**settings), free_bytes=0)
        return Dispatcher(service, self.state, self.painter, self.reporter, self.stopping)

    def run(self, **settings: Any) -> Outcome:
        """Start anew, and run the only job until it ends or has to wait."""
        dispatcher = self.dispatcher(**settings)
        self.painter.close()
        outcome: Outcome | None = None
        while outcome is None or outcome.kind == OutcomeKind.RETRY:
            results: list[Result] = []
            if not dispatcher.busy:
                (job,) = waiting(self.state)
                results = dispatcher.begin([[job]])
            dispatcher.ask()
            results += [*dispatcher.handle_events(), *dispatcher.finalize()]
            outcome = results[-1][1] if results else None
        return outcome
