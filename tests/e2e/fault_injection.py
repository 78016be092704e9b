"""A daemon that is struck at a named step of the line: `python -m tests.e2e.fault_injection`.

What is to befall it is a Plan. The product knows nothing of it: functions are wrapped here, in each
process.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

from tests.e2e.plan import Plan

from stylewatch_daemon.errors import DaemonError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.executor import Cluster
from stylewatch_daemon.files import atomic
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.ingest.inspection.contract import Begun, NotNow, Question, Verdict
from stylewatch_daemon.ingest.inspection.process import Intake
from stylewatch_daemon.model import Started
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import RECEIPT, Outbox
from stylewatch_daemon.queue import retry
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.retry import Retry
from stylewatch_daemon.queue.series import Series
from stylewatch_daemon.service import service
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.store.ledger_writer import LedgerWriter
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker import batch, checkpoint
from stylewatch_daemon.worker.contract import Event, Order
from stylewatch_plugins.contract import Wish

KINDS = {"stages": "stage", "final.png": "final", "sheet.png": "sheet", RECEIPT: "receipt",
         "losses.png": "keepsake", "progress.webp": "keepsake"}  # fmt: skip
"""What a file of a job is, by the first part of its path."""

DEADLY = "deadly"
"""A job of this name kills every worker that paints it."""

WORK = "tests.e2e.fault_injection:work"


def _after(owner: Any, name: str, told: Callable[..., None]) -> None:
    """Let `told` hear of each call of a function, once it is made."""
    real = getattr(owner, name)

    @wraps(real)
    def called(*args: Any, **more: Any) -> Any:
        back = real(*args, **more)
        told(*args, **more)
        return back

    setattr(owner, name, called)


def _before(owner: Any, name: str, told: Callable[..., None]) -> None:
    """Let `told` hear of each call of a function, before it is made."""
    real = getattr(owner, name)

    def called(*args: Any, **more: Any) -> Any:
        told(*args, **more)
        return real(*args, **more)

    setattr(owner, name, called)


class Telling(Reporter):
    """Says what goes wrong, and reaches the steps that are told."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def job_started(self, job: str, started: Started) -> None:
        self._plan.reach("started")

    def paused(self, what: str, reason: str) -> None:
        print("paused", what, reason, flush=True)

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        print("failed", job, reason, trace, flush=True)


def _wrap_supervisor(plan: Plan) -> None:
    def published(self: Outbox, job_id: str, folder: Path, path: str) -> None:
        if path == RECEIPT:
            plan.reach(f"receipt of {folder.relative_to(self.root).as_posix()}")
        if kind := KINDS.get(path.partition("/")[0]):
            plan.reach(f"{kind} published")

    def changed(self: LedgerWriter, job_id: str, **values: Any) -> None:
        if values.get("state") == "done":
            plan.reach("end noted")

    def about_to_go(folder: Path, trash: Path) -> None:
        if folder.parent.name == "jobs":
            plan.reach("ledger done")

    _after(Pipeline, "scan", lambda *_: plan.reach("settled"))
    _after(Inbox, "enter", lambda *_: plan.reach("entered"))
    _after(Series, "_member", lambda *_: plan.reach("member made"))
    _after(Series, "divide", lambda *_: plan.reach("series divided"))
    _after(ActiveAttempt, "begin", lambda *_: plan.reach("attempt begun"))
    _after(ActiveAttempt, "order", lambda *_: plan.reach("folder made"))
    _after(Outbox, "publish", published)
    _after(Outbox, "archive", lambda *_: plan.reach("archived"))
    _after(LedgerWriter, "change", changed)
    _before(atomic, "discard", about_to_go)
    _after(State, "finish", lambda *_: plan.reach("job folder removed"))
    _after(Claimer, "_commit", lambda *_: plan.reach("claimed"))
    _before(Claimer, "_let_go", lambda *_: plan.reach("judged"))
    _after(Claimer, "_let_go", lambda *_: plan.reach("let go"))
    _after(retry, "_copy", lambda *_: plan.reach("retry copied"))
    _after(retry, "save", lambda *_: plan.reach("retry whole"))
    _before(retry, "queue_entry", lambda *_: plan.reach("retry taken"))
    _after(Retry, "retry", lambda *_, **__: plan.reach("retried"))


def _wrap_worker(plan: Plan) -> None:
    def staged(staging: Path, name: str, content: bytes) -> None:
        if kind := KINDS.get(name.partition("/")[0]):
            plan.reach(f"{kind} staged", "worker")

    from stylewatch_daemon.worker import contact_sheet, recorder

    _before(recorder, "artifact_request", lambda *_: plan.reach("keepsakes begun", "worker"))
    _before(contact_sheet, "draw", lambda *_: plan.reach("sheet begun", "worker"))
    _after(publish, "stage", staged)
    _before(checkpoint, "save", lambda *_: plan.reach("checkpoint begun", "worker"))
    _after(checkpoint, "save", lambda *_: plan.reach("checkpoint kept", "worker"))


def work(
    orders: Sequence[Order], wishes: Sequence[Callable[[], Wish]]
) -> Iterator[tuple[int, Event]]:
    """What the worker does: as ever, but that it may be struck."""
    plan = Plan.of(orders)
    if DEADLY in [order.name for order in orders]:
        os.kill(os.getpid(), signal.SIGKILL)
    if not hasattr(publish.stage, "__wrapped__"):
        _wrap_worker(plan)
    yield from batch.work(orders, wishes)


def look(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """What intake does: as ever, but that it may be struck."""
    from stylewatch_daemon.ingest.inspection.inspect import examine

    plan = Plan.ours()
    plan.reach("asked", "intake")
    for said in examine(question):
        if not isinstance(said, Begun):
            plan.reach("looked at", "intake")
        yield said
        plan.reach("decoding" if isinstance(said, Begun) else "answered", "intake")


def executor(plan: Plan) -> Executor:
    """Who paints: this machine, or a cluster."""
    settings = plan.settings()
    lock = settings.state.path / "worker.lock"
    if settings.executor.cluster is None:
        return Local(lock, WORK)
    return Cluster(lock, settings.executor.cluster, WORK, silent_s=plan.silent_s)


def main() -> int:
    """Run, and be struck; the exit code of the run."""
    plan = Plan.ours()
    _wrap_supervisor(plan)
    settings = plan.settings()
    vars(service)["Intake"] = partial(Intake, look="tests.e2e.fault_injection:look")
    run = service.once if plan.mode == "once" else service.watch
    try:
        return run(settings, Telling(plan), executor(plan)).exit_code
    except DaemonError as error:
        print(error, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
