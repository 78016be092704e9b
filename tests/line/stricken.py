"""A daemon that is struck at a named step of the line: `python -m tests.line.stricken`.

What is to befall it, a Plan, stands as JSON in the environment variable STRICKEN, which its worker
and its intake inherit. The product knows nothing of it: functions are wrapped here, in each.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from functools import partial, wraps
from multiprocessing import active_children
from pathlib import Path
from typing import Any, Literal, Self

from tests.daemon.disks import fill_up

from stylewatch_daemon import again, outbox, service
from stylewatch_daemon.again import Again
from stylewatch_daemon.attempt import Try
from stylewatch_daemon.claim import Claimer
from stylewatch_daemon.errors import DaemonError
from stylewatch_daemon.execute import batch, memo
from stylewatch_daemon.execute.contract import Event, Order, Started
from stylewatch_daemon.execute.local import Local
from stylewatch_daemon.inbox import Inbox
from stylewatch_daemon.intake.contract import Begun, Question, Verdict
from stylewatch_daemon.intake.process import NAME as INTAKE
from stylewatch_daemon.intake.process import Intake
from stylewatch_daemon.ledger_writer import LedgerWriter
from stylewatch_daemon.line import Line
from stylewatch_daemon.outbox import RECEIPT, Outbox
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings
from stylewatch_daemon.settings import JobSettings
from stylewatch_daemon.state import State
from stylewatch_plugins.contract import Wish

VARIABLE = "STRICKEN"
LITTLE = 500
"""Bytes; no checkpoint is smaller."""

Where = Literal["supervisor", "worker", "intake"]
DEADLY = "deadly"
"""A job of this name kills every worker that paints it."""


@dataclass(frozen=True)
class Plan:
    """Where a daemon works, how, and what befalls it the `nth` time that it comes to `step`."""

    root: str
    mode: Literal["once", "watch"] = "once"
    backend: str = "sketch"
    step: str = ""
    nth: int = 1
    fault: str = ""
    """`kill supervisor`, `kill worker`, `kill both` (of these), `kill intake`, `stop worker`,
    `fill NAME`, `lock NAME`, `limit files`, `clock SECONDS` (by how many it is set)."""
    step_timeout_s: float | None = None
    rescan_s: float = 1.0
    batch: int = 1
    """How many jobs are painted at once."""

    def settings(self) -> ServiceSettings:
        """Six steps, three stages, on few pixels."""
        root = Path(self.root)
        of_torch = self.backend == "torch"
        recipe, size, pause = ("gatys", "32", 0.0) if of_torch else ("neural-style", "24", 0.02)
        return ServiceSettings(
            (InboxSettings(root / "in", root / "out/out"),),
            root / "state/state",
            quiet_s=0.0,
            rescan_s=self.rescan_s,
            job=JobSettings(backend=self.backend, recipe=recipe, size=size, steps=6, save_every=2),
            backends={"sketch": {"seconds_per_step": pause}},
            step_timeout_s=self.step_timeout_s,
            free_bytes=0,
            batch=self.batch,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Such a daemon, in a process of its own; what it says goes to `said`."""
        environment = {**os.environ, VARIABLE: json.dumps(asdict(self)), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.line.stricken"]
        with (Path(self.root) / "said").open("ab") as said:
            return subprocess.Popen(
                command, env=environment, stdout=said, stderr=said, cwd=Path(__file__).parents[2]
            )

    def reach(self, step: str, where: Where = "supervisor") -> None:
        """Write down that `step` was made, and strike if it is time."""
        root = Path(self.root)
        with (root / "steps").open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        made = (root / "steps").read_text(encoding="utf-8").splitlines().count(step)
        if step == self.step and made >= self.nth and not (root / "struck").exists():
            (root / "struck").touch()
            self._strike(where)

    def _strike(self, where: Where) -> None:
        what, whom = self.fault.split()
        if what == "fill":
            fill_up(Path(self.root) / whom)
        elif what == "lock":
            remount(Path(self.root) / whom, "ro")
        elif what == "limit":
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (LITTLE, most))
        elif what == "clock":
            set_clock(timedelta(seconds=int(whom)))
        elif what == "stop":
            for pid in _children("worker"):
                os.kill(pid, signal.SIGSTOP)
        else:
            for victim in _victims(whom, where):
                os.kill(victim, signal.SIGKILL)


def set_clock(further: timedelta) -> None:
    """Have this process see a clock that was set; the monotonic one goes on as it did."""
    seen = time.time

    class Shifted(datetime):
        """What there is of the clock."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            shown = datetime.now(tz) + further
            return cls.fromisoformat(shown.isoformat())

    for name, module in list(sys.modules.items()):
        if name.startswith("stylewatch_daemon") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Shifted
    time.time = lambda: seen() + further.total_seconds()


def remount(disk: Path, how: str) -> None:
    """Let `disk` be read (`ro`), or written as well (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def _children(whom: str) -> list[int]:
    """The worker, or the intake process, as far as there is one."""
    is_intake = whom == "intake"
    return [one.pid or 0 for one in active_children() if (one.name == INTAKE) == is_intake]


def _victims(whom: str, where: Where) -> Iterator[int]:
    """Whom to kill, this very process last."""
    doomed = ("supervisor", "worker") if whom == "both" else (whom,)
    for one in doomed:
        if one != where:
            yield from [os.getppid()] if one == "supervisor" else _children(one)
    if where in doomed:
        yield os.getpid()


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
        kinds = {"stages": "stage", "final.png": "final", RECEIPT: "receipt"}
        if path == RECEIPT:
            plan.reach(f"receipt of {folder.name}")
        if kind := kinds.get(path.partition("/")[0]):
            plan.reach(f"{kind} published")

    def changed(self: LedgerWriter, job_id: str, **values: Any) -> None:
        if values.get("state") == "done":
            plan.reach("ledger done")

    _after(Line, "look", lambda *_: plan.reach("settled"))
    _after(Inbox, "enter", lambda *_: plan.reach("entered"))
    _after(Try, "begin", lambda *_: plan.reach("attempt begun"))
    _after(Outbox, "publish", published)
    _after(Outbox, "archive", lambda *_: plan.reach("archived"))
    _after(LedgerWriter, "change", changed)
    _after(State, "finish", lambda *_: plan.reach("job folder removed"))
    _after(Claimer, "_commit", lambda *_: plan.reach("claimed"))
    _before(Claimer, "_let_go", lambda *_: plan.reach("judged"))
    _after(Claimer, "_let_go", lambda *_: plan.reach("let go"))
    _after(again, "_copy", lambda *_: plan.reach("retry copied"))
    _after(again, "save", lambda *_: plan.reach("retry whole"))
    _before(again, "wishes", lambda *_: plan.reach("retry taken"))
    _after(Again, "retry", lambda *_, **__: plan.reach("retried"))


def _wrap_worker(plan: Plan) -> None:
    def staged(staging: Path, name: str, content: bytes) -> None:
        kinds = {"stages": "stage", "final.png": "final", RECEIPT: "receipt"}
        if kind := kinds.get(name.partition("/")[0]):
            plan.reach(f"{kind} staged", "worker")

    _after(outbox, "stage", staged)
    _before(memo, "save", lambda *_: plan.reach("checkpoint begun", "worker"))
    _after(memo, "save", lambda *_: plan.reach("checkpoint kept", "worker"))


def work(
    orders: Sequence[Order], wishes: Sequence[Callable[[], Wish]]
) -> Iterator[tuple[int, Event]]:
    """What the worker does: as ever, but that it may be struck."""
    plan = Plan(**json.loads(os.environ[VARIABLE]))
    if DEADLY in [order.name for order in orders]:
        os.kill(os.getpid(), signal.SIGKILL)
    if not hasattr(outbox.stage, "__wrapped__"):
        _wrap_worker(plan)
    yield from batch.work(orders, wishes)


def look(question: Question) -> Iterator[Begun | Verdict]:
    """What intake does: as ever, but that it may be struck."""
    from stylewatch_daemon.intake.examine import examine  # heavy, and for that process alone

    plan = Plan(**json.loads(os.environ[VARIABLE]))
    plan.reach("asked", "intake")
    for said in examine(question):
        if not isinstance(said, Begun):
            plan.reach("looked at", "intake")
        yield said
        plan.reach("decoding" if isinstance(said, Begun) else "answered", "intake")


def main() -> int:
    """Run, and be struck; the exit code of the run."""
    plan = Plan(**json.loads(os.environ[VARIABLE]))
    _wrap_supervisor(plan)
    settings = plan.settings()
    vars(service)["Intake"] = partial(Intake, look="tests.line.stricken:look")
    local = Local(settings.state / "worker.lock", "tests.line.stricken:work")
    run = service.once if plan.mode == "once" else service.watch
    try:
        return run(settings, Telling(plan), local).exit_code
    except DaemonError as error:
        print(error, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
