"""Who is told what the daemon does: hooks, all empty, for whoever shows or counts it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

from stylewatch_daemon.model import Incomplete, Progress, Started


class Reporter:
    """Override what you want to hear of. Jobs go by their names in the outbox."""

    def watching(self, inboxes: Sequence[Path]) -> None:
        """The inboxes are watched from now on."""

    def reloaded(self) -> None:
        """The settings were read again, and hold from the next job on."""

    def not_reloaded(self, reason: str) -> None:
        """The settings were read again and are wrong: those from before hold on."""

    def needs_restart(self, key: str) -> None:
        """`key` was changed in the settings, and holds from the next start on."""

    def asked(self, what: str) -> None:
        """A command asked for something, and we do it; in words."""

    def taken(self, job: str) -> None:
        """A pair was taken out of its inbox."""

    def divided(self, job: str, jobs: int) -> None:
        """It is a series, of so many jobs, which are painted first."""

    def input_changed(self, job: str, what: str) -> None:
        """An input of the job changed after it was taken; `what` says which and where it is."""

    def job_started(self, job: str, started: Started) -> None:
        """The first step is about to be made."""

    def progress(self, job: str, progress: Progress) -> None:
        """A step was made."""

    def staged(self, job: str, path: Path) -> None:
        """A file of the job is in the outbox."""

    def done(self, job: str, folder: Path) -> None:
        """The painting is in `folder`."""

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """The input cannot be painted; it lies in `folder` with the reason."""

    def cancelled(self, job: str, folder: Path) -> None:
        """The job was ended as people asked; what was dropped lies in `folder`."""

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """A try went wrong by a fault of ours; `for_good`: there will be no other."""

    def paused(self, what: str, reason: str) -> None:
        """Something outside of us keeps a job, or an inbox, from going on; it waits."""

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """All that waits for something outside of us, and why, whenever that changes."""

    def stopped(self, job: str, step: int) -> None:
        """The job was interrupted; it goes on from `step` at the next start."""

    def incomplete(self, waiting: Sequence[Incomplete]) -> None:
        """Called when the incomplete pairs change."""

    def left_alone(self, path: Path, why: str) -> None:
        """Something that will not be looked at: a link in an inbox, a damaged job."""

    def looked(self, seconds: float) -> None:
        """The inboxes were looked through, which took so long."""

    def events_lost(self) -> None:
        """More happened in the inboxes than the kernel told; they are looked through for it."""

    def pruned(self, files: int, bytes_: int) -> None:
        """So many files of finished jobs, and bytes, were kept long enough and are gone."""


class Both(Reporter):
    """Tells two reporters of everything."""

    def __init__(self, first: Reporter, second: Reporter) -> None:
        for name, _ in getmembers(Reporter, isfunction):
            setattr(self, name, partial(_both, getattr(first, name), getattr(second, name)))


def _both(first: Callable[..., None], second: Callable[..., None], *told: Any, **more: Any) -> None:
    first(*told, **more)
    second(*told, **more)
