"""Hooks for events in the daemon, for components that show, count or send them."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.model import Job, Pair, Progress, Started


class Reporter:
    """Receiver of events; every method does nothing here, and subclasses override some.

    `job` is the name of a job in the outbox, or in the inbox until the job has one in the outbox.
    """

    def watching(self, inboxes: Sequence[Path]) -> None:
        """Report that the inboxes are watched from now on."""

    def requested(self, what: str) -> None:
        """Report an action that a person requested, or that `executor.hours` caused.

        `what` describes the action.
        """

    def claimed(self, job: str) -> None:
        """Report that a pair was claimed from its inbox."""

    def input_changed(self, job: str, what: str) -> None:
        """Report that an input changed after it was claimed; `what` says which, and where it is."""

    def job_started(self, job: str, started: Started) -> None:
        """Report that the first step of an attempt begins; each attempt of a job is reported."""

    def progress(self, job: str, progress: Progress) -> None:
        """Report a completed step or, in a clip, that the next frame is still being painted."""

    def staged(self, job: str, path: Path) -> None:
        """Report that a file of the job was published.

        `path` is its path, in the outbox or in a finals folder.
        """

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
        """Report that the job has ended; its output, or else its inputs, are in `folder`.

        `final` is the path of its final picture by the ledger's list of published files; None if
        it has none.
        """

    def attempt_failed(self, job: str, reason: str, trace: str) -> None:
        """Report an attempt whose worker died, hung or met a bug; the job may be tried again.

        `trace` is the traceback of the bug, or empty.
        """

    def waits(self, what: str, reason: str) -> None:
        """Report that `what` begins to wait for something outside the daemon.

        `what` is the name of a job, a folder, a request, or another part of the daemon's work.
        """

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Report everything that waits for something outside the daemon, after a change.

        `trouble` has the reason of each wait, by the name of the job, folder or request that waits.
        """

    def stopped(self, job: str, step: int, unit: str) -> None:
        """Report that an attempt was stopped at `step`; the job continues in a later attempt.

        `unit` is the unit of `step`.
        """

    def incomplete(self, pairs: Sequence[Pair]) -> None:
        """Report all pairs that are incomplete now, after a change."""

    def ignored(self, path: Path, why: str) -> None:
        """Report that a path, such as a link in an inbox, is ignored; `why` is the reason."""

    def pruned(self, files: int, bytes_: int) -> None:
        """Report that retention removed `files` files of a finished job, `bytes_` bytes in all."""


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
