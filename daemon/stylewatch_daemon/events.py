"""Hooks for what the daemon does, for those that show or count it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

from stylewatch_daemon.model import Incomplete, Progress, Started


class Reporter:
    """Hooks that do nothing by default. Jobs are named as in the outbox."""

    def watching(self, inboxes: Sequence[Path]) -> None:
        """The inboxes are watched from now on."""

    def reloaded(self) -> None:
        """The settings were read again, and apply from the next job on."""

    def not_reloaded(self, reason: str) -> None:
        """The settings were read again and are wrong: the earlier ones still apply."""

    def needs_restart(self, key: str) -> None:
        """`key` was changed in the settings, and applies from the next start on."""

    def requested(self, what: str) -> None:
        """A command is carried out; `what` describes it."""

    def claimed(self, job: str) -> None:
        """A pair was claimed from its inbox."""

    def divided(self, job: str, jobs: int) -> None:
        """The job is a series of so many `jobs`, which run first."""

    def input_changed(self, job: str, what: str) -> None:
        """An input of the job changed after it was claimed; `what` says which and where it is."""

    def job_started(self, job: str, started: Started) -> None:
        """The first step begins."""

    def progress(self, job: str, progress: Progress) -> None:
        """A step was completed."""

    def staged(self, job: str, path: Path) -> None:
        """A file of the job is in the outbox."""

    def done(self, job: str, folder: Path) -> None:
        """The job is done; its files are in `folder`."""

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """The input is refused; it is in `folder` with the reason."""

    def canceled(self, job: str, folder: Path) -> None:
        """The job was canceled; its inputs are in `folder`."""

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """An attempt failed by a fault of stylewatch; `for_good`: it was the last one."""

    def paused(self, what: str, reason: str) -> None:
        """A job or an inbox waits for something outside the daemon."""

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Everything that waits for something outside, with the reason; called on changes."""

    def stopped(self, job: str, step: int, unit: str) -> None:
        """The job was interrupted; it continues from `step`, in that unit, at the next start."""

    def incomplete(self, waiting: Sequence[Incomplete]) -> None:
        """Called when the incomplete pairs change."""

    def ignored(self, path: Path, why: str) -> None:
        """Something is ignored, as a link in an inbox or a damaged request."""

    def scanned(self, seconds: float) -> None:
        """The inboxes were scanned, in so many seconds."""

    def events_lost(self) -> None:
        """The kernel dropped file events; the inboxes are scanned instead."""

    def pruned(self, files: int, bytes_: int) -> None:
        """Files of finished jobs were removed by retention."""


class Both(Reporter):
    """Passes everything on to two reporters."""

    def __init__(self, first: Reporter, second: Reporter) -> None:
        for name, _ in getmembers(Reporter, isfunction):
            setattr(self, name, partial(_both, getattr(first, name), getattr(second, name)))


def _both(first: Callable[..., None], second: Callable[..., None], *args: Any, **more: Any) -> None:
    first(*args, **more)
    second(*args, **more)
