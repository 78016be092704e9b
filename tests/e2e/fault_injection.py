"""A daemon with a fault injected at a named step of a job: `python -m tests.e2e.fault_injection`.

The product knows nothing of it: functions are wrapped here, in each of its processes. A Plan is
JSON in the environment variable PLAN, which children inherit, and in the daemon's folder, where a
worker on a machine of a cluster finds it.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal, Self

from tests.daemon.disks import fill_up
from tests.daemon.world import child_pids, make_inbox, make_settings

from stylewatch_daemon.app import daemon as app
from stylewatch_daemon.app.commands import Commands
from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Cause, Job, Started, State
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.driver_client import NAME as DRIVER
from stylewatch_daemon.executors.ray.driver_client import Cluster
from stylewatch_daemon.executors.worker_process import NAME as WORKER
from stylewatch_daemon.intake import claim
from stylewatch_daemon.intake.inspection.client import NAME as INSPECTION
from stylewatch_daemon.intake.inspection.client import InspectionClient
from stylewatch_daemon.intake.inspection.messages import Begun, Inspected, NotNow, Question
from stylewatch_daemon.intake.intake import Intake
from stylewatch_daemon.jobs import actions
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.endings import Endings
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import CLIP_FOLDER, RECEIPT, Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import Artifact, JobSettings
from stylewatch_daemon.settings.sections import Demand
from stylewatch_daemon.worker import batch, checkpoint
from stylewatch_daemon.worker.messages import Event, Order
from stylewatch_plugins.contract import Wish

VARIABLE, FILE = "STYLEWATCH_TEST_PLAN", "plan.json"
STEPS, INJECTED = "steps", "injected"
"""Files in the daemon's folder: a line for each step that was reached; exists once injected."""

FILE_LIMIT = 500
"""Bytes; no checkpoint is smaller."""

PER_SEGMENT = 2
"""Frames of a segment of a clip."""

DEADLY = "deadly"
"""A job of this name kills every worker that runs it."""

KINDS = {"stages": "stage", "final.png": "final", RECEIPT: "receipt",
         "losses.png": "artifact", "progress.webp": "artifact",
         CLIP_FOLDER: "frame", "final.mkv": "final"}  # fmt: skip
"""Kinds of a job's files, by the first part of their paths."""

Process = Literal["daemon", "worker", "inspection"]


@dataclass(frozen=True)
class Plan:
    """Settings of a daemon, and the fault when it reaches `step` the `nth` time."""

    root: str
    mode: Literal["once", "watch"] = "once"
    backend: str = "sketch"
    step: str = ""
    nth: int = 1
    fault: str = ""
    """`kill daemon`, `kill worker`, `kill both` (of these), `kill inspection`, `stop worker`,
    `fill DISK`, `lock DISK`, `limit files`, `clock SECONDS` (by which it is set). In a worker of a
    cluster: `kill parent`, `stop parent` (the process of Ray that started it)."""
    step_timeout_s: float | None = None
    artifacts: tuple[Artifact, ...] = ()
    cluster: str = ""
    """Address of the cluster that runs the jobs; empty: this machine does."""
    labels: dict[str, str] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)
    """Demand of a job there, besides a GPU."""
    silent_s: float = 60.0
    seconds_per_step: float = 0.02

    @classmethod
    def of_process(cls) -> "Plan":
        """Return the plan of this process."""
        return cls(**json.loads(os.environ[VARIABLE]))

    @classmethod
    def of_orders(cls, orders: Sequence[Order]) -> "Plan":
        """Return the plan of a worker, on whatever machine."""
        if VARIABLE in os.environ:
            return cls.of_process()
        paths = (folder / FILE for folder in orders[0].staging.parents)
        return cls(**json.loads(next(path for path in paths if path.exists()).read_text()))

    @property
    def demand(self) -> Demand | None:
        """Resources of the cluster that a job needs; None without a cluster."""
        if not self.cluster:
            return None
        return Demand(self.cluster, labels=self.labels, resources=self.resources)

    def settings(self) -> ServiceSettings:
        """Settings for jobs of six steps and three stages, on few pixels."""
        root = Path(self.root)
        recipe, size = ("gatys", "32") if self.backend == "torch" else ("neural-style", "24")
        job = {"backend": self.backend, "recipe": recipe, "size": size, "steps": 6,
               "save_every": 2, "artifacts": self.artifacts,
               "clip": {"format": "mkv"}}  # fmt: skip
        return make_settings(
            (make_inbox(root / "in", root / "out/out"),),
            root / "state/state",
            quiet_s=0.0,
            rescan_s=1.0,
            job=JobSettings.model_validate(job),
            backends={"sketch": {"seconds_per_step": self.seconds_per_step}},
            step_timeout_s=self.step_timeout_s,
            free_bytes=0,
            cluster=self.demand,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start such a daemon; its output goes to the file `log`."""
        plain = json.dumps(asdict(self))
        (Path(self.root) / FILE).write_text(plain, encoding="utf-8")
        environment = {**os.environ, VARIABLE: plain, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.e2e.fault_injection"]
        with (Path(self.root) / "log").open("ab") as log:
            return subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=Path(__file__).parents[2]
            )

    def reach(self, step: str, process: Process = "daemon") -> None:
        """Write down that `process` reached `step`, and inject the fault if it is time."""
        root = Path(self.root)
        with (root / STEPS).open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        count = (root / STEPS).read_text(encoding="utf-8").splitlines().count(step)
        if step == self.step and count >= self.nth and not (root / INJECTED).exists():
            (root / INJECTED).touch()
            self._inject(process)

    def _inject(self, process: Process) -> None:
        action, target = self.fault.split()
        if action == "fill":
            fill_up(Path(self.root) / target)
        elif action == "lock":
            remount(Path(self.root) / target, "ro")
        elif action == "limit":
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, hard))
        elif action == "clock":
            set_clock(timedelta(seconds=int(target)))
        else:
            number = signal.SIGSTOP if action == "stop" else signal.SIGKILL
            for pid in _targets(target, process):
                os.kill(pid, number)


def _targets(target: str, process: Process) -> Iterator[int]:
    """Yield the processes to signal, this one last."""
    if target == "parent":
        yield os.getppid()
    doomed = ("daemon", "worker") if target == "both" else (target,)
    for name in doomed:
        if name == "daemon" and process != name:
            yield os.getppid()
        elif name != process:
            yield from child_pids(*([INSPECTION] if name == "inspection" else [WORKER, DRIVER]))
    if process in doomed:
        yield os.getpid()


def set_clock(shift: timedelta) -> None:
    """Shift the wall clock of this process; the monotonic one stays."""
    real = time.time

    class Shifted(datetime):
        """A datetime whose `now` is shifted."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromisoformat((datetime.now(tz) + shift).isoformat())

    for name, module in list(sys.modules.items()):
        if name.startswith("stylewatch_daemon") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Shifted
    time.time = lambda: real() + shift.total_seconds()


def remount(disk: Path, how: str) -> None:
    """Remount `disk` read-only (`ro`) or writable (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def _after(owner: Any, name: str, reached: Callable[..., None]) -> None:
    """Call `reached` after each call of a function, with the same arguments."""
    real = getattr(owner, name)

    @wraps(real)
    def called(*args: Any, **more: Any) -> Any:
        result = real(*args, **more)
        reached(*args, **more)
        return result

    setattr(owner, name, called)


def _before(owner: Any, name: str, reached: Callable[..., None]) -> None:
    """Call `reached` before each call of a function, with the same arguments."""
    real = getattr(owner, name)

    def called(*args: Any, **more: Any) -> Any:
        reached(*args, **more)
        return real(*args, **more)

    setattr(owner, name, called)


def _published(plan: Plan, outbox: Outbox, staged_at: str, folder: Path, path: str) -> None:
    if path == RECEIPT:
        plan.reach(f"receipt of {folder.relative_to(outbox.root).as_posix()}")
    if kind := KINDS.get(path.partition("/")[0]):
        plan.reach(f"{kind} published")


def _wrap_daemon(plan: Plan) -> None:
    def put(ledger: LedgerWriter, job: Job) -> None:
        if job.state is State.ENDED:
            plan.reach("end noted")

    for wrap, owner, name, step in (
        (_after, Intake, "scan", "stable"),
        (_before, Intake, "_move", "entered"),
        (_after, claim, "_commit", "claimed"),
        (_before, Intake, "_apply", "verdict received"),
        (_after, claim, "remove_originals", "originals removed"),
        (_before, Attempts, "_order", "attempt begun"),
        (_after, Attempts, "_make_folder", "folder made"),
        (_before, Endings, "_publish", "end decided"),
        (_after, Outbox, "archive", "archived"),
        (_before, Endings, "_discard", "ledger done"),
        (_after, StateDir, "discard", "job folder removed"),
        (_after, actions, "_copy", "retry copied"),
        (_after, actions, "save", "retry whole"),
        (_after, actions, "make_retry", "retry made"),
        (_after, Commands, "_retried", "retried"),
    ):
        wrap(owner, name, lambda *_, step=step, **__: plan.reach(step))
    _after(Outbox, "publish", lambda *arguments: _published(plan, *arguments))
    _after(LedgerWriter, "put", put)


def _wrap_worker(plan: Plan) -> None:
    from stylewatch_daemon.worker import paint_scene, recorder

    vars(paint_scene)["SEGMENT"] = PER_SEGMENT

    def staged(staging: Path, name: str, content: bytes) -> None:
        if kind := KINDS.get(name.partition("/")[0]):
            plan.reach(f"{kind} staged", "worker")

    _after(publish, "stage", staged)
    for wrap, owner, name, step in (
        (_before, recorder, "artifact_request", "artifacts begun"),
        (_before, paint_scene.ScenePainter, "close_segment", "segment begun"),
        (_after, paint_scene.ScenePainter, "close_segment", "segment kept"),
        (_before, recorder.Recorder, "_join", "clip begun"),
        (_before, checkpoint, "save", "checkpoint begun"),
        (_after, checkpoint, "save", "checkpoint kept"),
    ):
        wrap(owner, name, lambda *_, step=step, **__: plan.reach(step, "worker"))


def work(
    orders: Sequence[Order], wishes: Sequence[Callable[[], Wish]]
) -> Iterator[tuple[int, Event]]:
    """Run orders in a worker, with the fault of its plan."""
    if DEADLY in [order.name for order in orders]:
        os.kill(os.getpid(), signal.SIGKILL)
    plan = Plan.of_orders(orders)
    if not hasattr(publish.stage, "__wrapped__"):
        _wrap_worker(plan)
    yield from batch.work(orders, wishes)


def look(question: Question) -> Iterator[Begun | NotNow | Inspected]:
    """Inspect pictures in the inspection process, with the fault of its plan."""
    from stylewatch_daemon.intake.inspection.inspection_main import inspect

    plan = Plan.of_process()
    plan.reach("asked", "inspection")
    for answer in inspect(question):
        if not isinstance(answer, Begun):
            plan.reach("inspected", "inspection")
        yield answer
        plan.reach("decoding" if isinstance(answer, Begun) else "answered", "inspection")


class StepReporter(Reporter):
    """Prints failures, and reports the start of a job as a step."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def job_started(self, job: str, started: Started) -> None:
        self._plan.reach("started")

    def waits(self, what: str, reason: str) -> None:
        print("waits", what, reason, flush=True)

    def failed(self, job: str, reason: str, cause: Cause, trace: str, *, for_good: bool) -> None:
        print("failed", job, reason, trace, flush=True)


def executor(plan: Plan, settings: ServiceSettings, *, wake: Callable[[], object]) -> Executor:
    """Return an executor of this machine, or of the plan's cluster."""
    lock, entry = settings.state.path / "worker.lock", "tests.e2e.fault_injection:work"
    if settings.executor.cluster is None:
        return Local(lock, entry, wake=wake)
    return Cluster(lock, settings.executor.cluster, entry, silent_s=plan.silent_s, wake=wake)


def main() -> int:
    """Run a daemon by the plan of this process; return its exit code."""
    plan = Plan.of_process()
    settings = plan.settings()
    _wrap_daemon(plan)
    vars(app)["InspectionClient"] = partial(
        InspectionClient, entry="tests.e2e.fault_injection:look"
    )
    run = app.once if plan.mode == "once" else app.watch
    try:
        return run(settings, StepReporter(plan), partial(executor, plan, settings)).exit_code
    except DaemonError as error:
        print(error, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
