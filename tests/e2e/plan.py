"""What is to befall a daemon at a named step of the line, and how it is started for that.

A Plan stands as JSON in the environment variable STRICKEN, which worker and intake inherit, and in
the daemon's folder, where a worker on a machine of a cluster finds it by the folder it paints into.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal, Self

from tests.daemon.children import children
from tests.daemon.disks import fill_up
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.executors.worker_process import NAME as WORKER
from stylewatch_daemon.ingest.inspection.process import NAME as INTAKE
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import Artifact, JobSettings
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.contract import Order

VARIABLE, FILE = "STRICKEN", "plan.json"
LITTLE = 500
"""Bytes; no checkpoint is smaller."""

Where = Literal["supervisor", "worker", "intake"]


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
    `fill NAME`, `lock NAME`, `limit files`, `clock SECONDS` (by how many it is set). By the worker:
    `kill place`, `stop place` (the process of Ray that it is a child of)."""
    step_timeout_s: float | None = None
    rescan_s: float = 1.0
    batch: int = 1
    """How many jobs are painted at once."""
    keep: tuple[Artifact, ...] = ()
    """What is drawn of each job beside its painting."""
    cluster: str = ""
    """The address of one that paints; empty: this machine does."""
    labels: dict[str, str] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)
    """What a job takes there, beside a GPU."""
    silent_s: float = 60.0
    pause: float = 0.02
    """Seconds that a step of `sketch` takes."""

    @classmethod
    def ours(cls) -> "Plan":
        """The one for this process."""
        return cls(**json.loads(os.environ[VARIABLE]))

    @classmethod
    def of(cls, orders: Sequence[Order]) -> "Plan":
        """The one for a worker, wherever it is."""
        if VARIABLE in os.environ:
            return cls.ours()
        places = (folder / FILE for folder in orders[0].staging.parents)
        return cls(**json.loads(next(one for one in places if one.exists()).read_text()))

    def settings(self) -> ServiceSettings:
        """Six steps, three stages, on few pixels."""
        root = Path(self.root)
        of_torch = self.backend == "torch"
        recipe, size = ("gatys", "32") if of_torch else ("neural-style", "24")
        job = {"backend": self.backend, "recipe": recipe, "size": size, "steps": 6,
               "save_every": 2, "artifacts": self.keep}  # fmt: skip
        return make_settings(
            (make_inbox(root / "in", root / "out/out"),),
            root / "state/state",
            quiet_s=0.0,
            rescan_s=self.rescan_s,
            job=JobSettings.model_validate(job),
            backends={"sketch": {"seconds_per_step": self.pause}},
            step_timeout_s=self.step_timeout_s,
            free_bytes=0,
            batch=self.batch,
            cluster=self.demand,
        )

    @property
    def demand(self) -> Demand | None:
        """What a job takes of the cluster, if there is one."""
        if not self.cluster:
            return None
        return Demand(self.cluster, labels=self.labels, resources=self.resources)

    def start(self) -> subprocess.Popen[bytes]:
        """Such a daemon, in a process of its own; what it says goes to `said`."""
        plain = json.dumps(asdict(self))
        (Path(self.root) / FILE).write_text(plain, encoding="utf-8")
        environment = {**os.environ, VARIABLE: plain, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.e2e.fault_injection"]
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
        else:
            number = signal.SIGSTOP if what == "stop" else signal.SIGKILL
            for victim in _victims(whom, where):
                os.kill(victim, number)


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
    return children(INTAKE if whom == "intake" else WORKER)


def _victims(whom: str, where: Where) -> Iterator[int]:
    """Whom to kill, this very process last."""
    if whom == "place":
        yield os.getppid()
    doomed = ("supervisor", "worker") if whom == "both" else (whom,)
    for one in doomed:
        if one != where:
            yield from [os.getppid()] if one == "supervisor" else _children(one)
    if where in doomed:
        yield os.getpid()
