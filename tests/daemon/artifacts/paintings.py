"""A painting on disk, as the requests for its artifacts name it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_daemon.artifacts.request import ArtifactRequest, LossTable, Source

Color = tuple[int, int, int]
RED: Color = (200, 40, 40)
GREEN: Color = (40, 160, 60)
BLUE: Color = (30, 60, 200)


def source(
    path: Path, color: Color = RED, size: tuple[int, int] = (48, 36), label: str = ""
) -> Source:
    """A picture of one color, written to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return Source((str(path),), hashlib.sha256(path.read_bytes()).hexdigest(), label)


def losses() -> LossTable:
    """Losses of 12 steps that fall, over two sizes, with a stage every fourth step."""
    rows = tuple(
        (step, *((24, 18) if step <= 6 else (48, 36)), 0.1 * step, 9 / step, 1 / step, 2 / step)
        for step in range(1, 13)
    )
    columns = ("total", "content.conv4_2", "style.conv1_1")
    return LossTable(columns, rows, (4, 8, 12))


def painting(folder: Path, stages: int = 3, wanted: Sequence[str] = ()) -> ArtifactRequest:
    """From red, with a blue style, by stages of many colors, to green."""
    return ArtifactRequest(
        wanted=tuple(wanted),
        losses=losses(),
        content=source(folder / "content.png", RED, (96, 72), "content"),
        styles=(source(folder / "style.png", BLUE, (40, 60), "style"),),
        stages=tuple(
            source(folder / f"stages/{step:04}.png", (37 * step % 256, 91, 9), label=f"step {step}")
            for step in range(1, stages + 1)
        ),
        final=source(folder / "final.png", GREEN, label="final"),
    )


def gone(picture: Source) -> Source:
    """The same, but that it is not there any more."""
    return replace(picture, paths=(f"{picture.paths[0]}.gone",))


def is_near(pixel: object, color: Color) -> bool:
    """Return whether a pixel has about that color."""
    return bool(np.abs(np.subtract(np.asarray(pixel)[:3], color)).max() < 24)
