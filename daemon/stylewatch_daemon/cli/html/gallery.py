"""The pictures of a report, made small by a child process, in the page itself."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from stylewatch_daemon.artifacts.contract import Curves, Drawn, Keepsakes, Small, evenly
from stylewatch_daemon.artifacts.process import drawn
from stylewatch_daemon.cli.html.painted import Painted
from stylewatch_daemon.files.names import shown

LARGE, MIDDLE = 1200, 480
"""Pixels of the long side of the painting, and of all other pictures, at most."""

MOST_STAGES = 8

GONE = "this picture is not there any more"


@dataclass(frozen=True)
class Shown:
    """A picture with its caption; `data` is a data: URI, empty where there is no such picture."""

    caption: str
    data: str = ""


@dataclass(frozen=True)
class Gallery:
    """All pictures of a report."""

    painting: Shown
    inputs: tuple[Shown, ...]
    stages: tuple[Shown, ...]
    losses: Shown


def gallery(painted: Painted) -> Gallery:
    """Those of a painting."""
    large = _small(Small((painted.painting,), LARGE), [f"{painted.name}, painted"])
    wanted = [
        (_role(one.role, one.name), painted.input(one.sha256, one.name))
        for one in painted.receipt.inputs
    ]
    stages = painted.stages()
    chosen = [stages[number] for number in evenly(len(stages), MOST_STAGES)]
    way = [(f"step {step}", seen) for step, seen in chosen]
    there = [seen for _, seen in (*wanted, *way) if seen is not None]
    found = iter(_small(Small(tuple(there), MIDDLE), [""] * len(there)))
    inputs, stages_ = (
        tuple(replace(next(found), caption=told) if seen else Shown(told) for told, seen in part)
        for part in (wanted, way)
    )
    return Gallery(
        painting=next(large),
        inputs=inputs,
        stages=tuple(one for one in stages_ if one.data),
        losses=_losses(painted),
    )


def _small(asked: Small, captions: Iterable[str]) -> Iterator[Shown]:
    for caption, one in zip(captions, drawn(asked) if asked.pictures else (), strict=True):
        yield Shown(caption, _data("jpeg", one))


def _losses(painted: Painted) -> Shown:
    told = painted.receipt.losses.model_dump(exclude_none=True)
    caption = "How much each term counted, step by step."
    try:
        steps = [one.step for one in painted.receipt.stages]
        curves = Curves.read(painted.folder / "losses.csv", told, steps)
    except (OSError, ValueError):
        return Shown(caption)
    asked = Keepsakes(("losses.png",), curves, (), (), painted.painting)
    return Shown(caption, _data("png", next(drawn(asked))))


def _role(role: str, name: str) -> str:
    said = role.replace("-", " ")
    return f"{said}: {shown(name)}"


def _data(kind: str, one: Drawn) -> str:
    if one.problem:
        return ""
    return f"data:image/{kind};base64,{base64.b64encode(one.content).decode('ascii')}"
