"""Copies of the inputs of an order where other machines see them.

The daemon's copies of a job's inputs are in the state folder, which other machines need not have.
The outbox is mounted on all of them. Therefore the pictures and masks are copied into the staging
folder of the attempt, and removed together with it.

  outbox/.staging/JOB/ATTEMPT/.inputs/0/content.jpg
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.worker.messages import Order

INPUTS = ".inputs"


def shared(order: Order) -> Order:
    """Copy the inputs of `order` into its staging folder; return the order with these copies.

    A file that cannot be read keeps its path, and the worker reports it. Raises OSError and
    OutputError if the staging folder cannot be written; `worker.failures.as_end` turns them into
    the end of an attempt.
    """
    copies: dict[Path, Path] = {}

    def copy(path: Path) -> Path:
        if path not in copies:
            name = f"{INPUTS}/{len(copies)}/{path.name}"
            try:
                source = atomic.open_regular(path, follow=True)
            except (OSError, InputError):
                return path
            with source, publish.staging_file(order.staging, name) as target:
                atomic.copy_into(source, target)
            copies[path] = order.staging / name
        return copies[path]

    return replace(
        order,
        content=order.content and copy(order.content),
        styles=tuple(copy(path) for path in order.styles),
        init=order.init and copy(order.init),
        masks={role: copy(path) for role, path in order.masks.items()},
    )


def missing(order: Order) -> Path | None:
    """Return the first shared input that does not exist on this machine; None if all exist."""
    paths = (path for path in _paths(order) if path.is_relative_to(order.staging / INPUTS))
    return next((path for path in paths if not entries.exists(path)), None)


def _paths(order: Order) -> Iterator[Path]:
    yield from (path for path in (order.content, *order.styles, order.init) if path is not None)
    yield from order.masks.values()
