"""Data about a job that exists only while the daemon runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stylewatch_daemon.base.eta import EtaEstimator
from stylewatch_daemon.base.model import Attempt
from stylewatch_daemon.jobs.lifecycle import Doing
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.ledger import Place
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.outbox.staging import AttemptFiles
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import AttemptRequest
from stylewatch_painter.recipes.recipe import Recipe


@dataclass
class Worker:
    """The attempt of a running job, and what its worker has reported."""

    job_id: str
    settings: JobSettings
    recipe: Recipe
    outbox: Outbox
    title: str
    """Name of the job's folder in the outbox."""
    attempt: Attempt
    earlier: Sequence[Attempt]
    is_new: bool
    """True if the job's folder in the outbox must still be created."""
    files: AttemptFiles
    disk: str
    """Mark of the disk of the outbox; empty if it has none."""
    ticket: str = ""
    """Name of the attempt for the executor; empty until it is submitted."""
    has_ended: bool = False
    """True once the executor has reported the end, which may still have to be recorded."""
    wanted: AttemptRequest = AttemptRequest.GO_ON
    """Latest request passed to the executor."""
    stopped_for: str = ""
    """Reason why the worker was asked to stop; empty if the daemon stops."""
    eta: EtaEstimator | None = None
    device: str = ""
    unit: str = "step"
    step: int = 0
    steps: int = 0
    loss: float | None = None
    """Total loss at the latest step; None until the first step is completed."""
    size: tuple[int, int] | None = None
    """Size of the current picture, (width, height) in pixels."""
    seconds_left: float | None = None
    staged: set[str] = field(default_factory=set)
    """Paths of the files that the job has staged, in this attempt or an earlier one."""
    mismatched: set[str] = field(default_factory=set)
    """Paths of staged files that differ from their last announcement.

    An announcement may be late: losses.csv may already belong to a later stage, which is announced
    next. So a difference has no consequence until the attempt ends."""
    obstacle: OSError | None = None
    """Error of the outbox that ends the attempt; later events, except the end, are ignored."""

    @property
    def is_to_stop(self) -> bool:
        """True if it was asked to end, with a checkpoint or for good, before it is done."""
        return self.wanted in (AttemptRequest.STOP, AttemptRequest.CANCEL)

    @property
    def number(self) -> int:
        """Number of the attempt; the first is 1."""
        return 1 + len(self.earlier)

    @property
    def place(self) -> Path:
        """Path of the job's folder in the outbox."""
        return self.outbox.root / self.title


@dataclass
class Live:
    """Temporary data of a job, in addition to its row in the ledger."""

    claim: Claim | None = None
    worker: Worker | None = None
    """The attempt, while the job runs."""
    is_overtaken: bool = False
    """True if no worker was free once the outbox of the job was prepared."""
    place: Place | None = None
    """Place of the job in its inbox since its last try; None before. It counts only while an
    obstacle of this job alone makes it wait."""
    doing: Doing = field(default_factory=Doing)
    """Current activity with the job; only `Jobs.turn` changes it."""
