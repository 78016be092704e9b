"""Hooks for events in the daemon, for components that show or count them."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.model import Job, Pair, Progress, Started


class Reporter:
    """Hooks that do nothing by default. Jobs are named as in the outbox."""

    def watching(self, inboxes: Sequence[Path]) -> None:
        """Report that the inboxes are watched from now on."""

    def requested(self, what: str) -> None:
        """Report that a request is being carried out; `what` describes it."""

    def claimed(self, job: str) -> None:
        """Report that a pair was claimed from its inbox."""

    def input_changed(self, job: str, what: str) -> None:
        """Report that an input changed after it was claimed; `what` says which, and where it is."""

    def job_started(self, job: str, started: Started) -> None:
        """Report that the first step of an attempt begins, which may be the second at its job."""

    def progress(self, job: str, progress: Progress) -> None:
        """Report a completed step."""

    def staged(self, job: str, path: Path) -> None:
        """Report that a file of the job is in the outbox."""

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
        """Report that the job has ended; its output, or else its inputs, are in `folder`.

        `final` is its final picture, if it has one, by the ledger's list of published files.
        """

    def attempt_failed(self, job: str, reason: str, trace: str) -> None:
        """Report an attempt that failed by a fault of stylewatch; the job may be tried again."""

    def waits(self, what: str, reason: str) -> None:
        """Report that a job or an inbox begins to wait for something outside the daemon."""

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Report a change in what waits for something outside the daemon, with the reasons."""

    def stopped(self, job: str, step: int, unit: str) -> None:
        """Report that the job was interrupted; at the next start it continues from `step`.

        `unit` is the unit of `step`.
        """

    def incomplete(self, pairs: Sequence[Pair]) -> None:
        """Report a change in the list of incomplete pairs."""

    def ignored(self, path: Path, why: str) -> None:
        """Report that a path, such as a link in an inbox, is ignored."""

    def pruned(self, files: int, bytes_: int) -> None:
        """Report that retention removed files of finished jobs."""


class Reporters(Reporter):
    """Reporter that passes all events on to several reporters, in their order.

    An exception of a reporter is logged, and has no other effect.
    """

    def __init__(self, *reporters: Reporter) -> None:
        for name, _ in getmembers(Reporter, isfunction):
            setattr(self, name, partial(_call, [getattr(reporter, name) for reporter in reporters]))


def _call(hooks: Iterable[Callable[..., None]], *args: Any, **more: Any) -> None:
    for hook in hooks:
        try:
            hook(*args, **more)
        except Exception:  # no job fails because an event of it cannot be shown
            logging.getLogger(__name__).exception("an event could not be reported")
