"""The keepsakes of a painting: what is to be drawn of its story, and by which names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stylewatch_daemon.artifacts import terms
from stylewatch_daemon.artifacts.contract import Keepsakes, Seen
from stylewatch_daemon.files.names import candidates
from stylewatch_daemon.worker import inputs
from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.prepare import Prepared
from stylewatch_plugins.contract import Losses

_FEW = 10
"""Seconds below which a digit after the point tells something."""


@dataclass(frozen=True)
class Told:
    """What is known of a painting at its end; `final` and its digest as staged."""

    columns: Sequence[str]
    rows: Sequence[Sequence[float]]
    stages: Sequence[Mapping[str, Any]]
    losses: Losses
    final: str
    digest: str
    size: tuple[int, int]
    seconds: float


def asked(order: Order, prepared: Prepared, told: Told) -> Keepsakes:
    """What is to be drawn of the painting of `order`."""
    order = inputs.wanted(order)
    content = _named("content", order.content) if order.content is not None else None
    *way, last = told.stages
    width, height = told.size
    settings = order.settings
    return Keepsakes(
        wanted=settings.artifacts,
        curves=terms.curves(
            told.columns, told.rows, told.losses.as_json(), [one["step"] for one in told.stages]
        ),
        content=content,
        styles=tuple(_styles(order.styles)),
        stages=tuple(_seen(order, one["file"], one["sha256"], _at(one)) for one in way),
        final=_seen(
            order,
            told.final,
            told.digest,
            f"final: step {last['step']}, {_seconds(told.seconds)}\n"
            f"{prepared.task.recipe.name}, {width}x{height}, {settings.backend}",
        ),
        max_pixels=max(order.max_pixels, width * height),
    )


def files(order: Order, final: str) -> dict[str, str]:
    """The keepsakes, each with the name of its file: the `final` picture's is taken."""
    return {
        name: next(one for one in _names(name) if one != final) for name in order.settings.artifacts
    }


def _names(name: str) -> Iterator[str]:
    """The name, or with a number."""
    path = PurePosixPath(name)
    return (f"{stem}{path.suffix}" for stem in candidates(path.stem))


def _styles(paths: Sequence[Path]) -> Iterator[Seen]:
    for number, path in enumerate(paths, start=1):
        yield _named("style" if len(paths) == 1 else f"style {number}", path)


def _named(role: str, path: Path) -> Seen:
    said = "" if path.stem == role.replace(" ", "-") else f"\n{path.name}"
    return Seen((str(path),), label=f"{role}{said}")


def _seen(order: Order, file: str, digest: str, label: str) -> Seen:
    """A file that was staged, and may be published by now."""
    folders = [order.staging, *([order.place] if order.place is not None else [])]
    return Seen(tuple(str(folder / file) for folder in folders), digest, label)


def _at(stage: Mapping[str, Any]) -> str:
    return f"step {stage['step']}, {_seconds(stage['seconds'])}"


def _seconds(seconds: float) -> str:
    """`4.2 s`, `3:10 min`, `2:05 h`: short, as there is little room."""
    minutes, rest = divmod(round(seconds), 60)
    hours, part = divmod(minutes, 60)
    if hours:
        return f"{hours}:{part:02} h"
    if minutes:
        return f"{minutes}:{rest:02} min"
    return f"{seconds:.1f} s" if seconds < _FEW else f"{rest} s"
