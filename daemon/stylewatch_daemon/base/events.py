"""Hooks for what the daemon does, for those that show or count it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.model import Cause, Pair, Progress, Started


class Reporter:
    """Hooks that do nothing by default. Jobs are named as in the outbox."""

    def watching(self, inboxes: Sequence[Path]) -> None:
        """The inboxes are watched from now on."""

    def requested(self, what: str) -> None:
        """A command is carried out; `what` describes it."""

    def claimed(self, job: str) -> None:
        """A pair was claimed from its inbox."""

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

    def refused(self, job: str, reason: str, cause: Cause, folder: Path) -> None:
        """The input is refused; it is in `folder` with the reason."""

    def canceled(self, job: str, folder: Path) -> None:
        """The job was canceled; its inputs are in `folder`."""

    def attempt_failed(self, job: str, reason: str, trace: str) -> None:
        """An attempt failed by a fault of stylewatch; the job is tried again, or fails next."""

    def failed(self, job: str, reason: str, cause: Cause, folder: Path) -> None:
        """The job has failed for good; its inputs are in `folder` with the reason."""

    def waits(self, what: str, reason: str) -> None:
        """A job or an inbox begins to wait for something outside the daemon."""

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Everything that waits for something outside, with the reason; called on changes."""

    def stopped(self, job: str, step: int, unit: str) -> None:
        """The job was interrupted; it continues from `step`, in that unit, at the next start."""

    def incomplete(self, pairs: Sequence[Pair]) -> None:
        """Called when the incomplete pairs change."""

    def ignored(self, path: Path, why: str) -> None:
        """Something is ignored, as a link in an inbox."""

    def pruned(self, files: int, bytes_: int) -> None:
        """Files of finished jobs were removed by retention."""


class Reporters(Reporter):
    """Passes everything on to several reporters, in their order."""

    def __init__(self, *reporters: Reporter) -> None:
        for name, _ in getmembers(Reporter, isfunction):
            setattr(self, name, partial(_call, [getattr(each, name) for each in reporters]))


def _call(hooks: Iterable[Callable[..., None]], *args: Any, **more: Any) -> None:
    for hook in hooks:
        hook(*args, **more)
