"""A painting on disk, as those who draw keepsakes are told of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_daemon.artifacts.contract import Curves, Keepsakes, Seen

Color = tuple[int, int, int]
RED: Color = (200, 40, 40)
GREEN: Color = (40, 160, 60)
BLUE: Color = (30, 60, 200)


def seen(path: Path, color: Color = RED, size: tuple[int, int] = (48, 36), label: str = "") -> Seen:
    """A picture of one color, written to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return Seen((str(path),), hashlib.sha256(path.read_bytes()).hexdigest(), label)


def curves(steps: int = 12) -> Curves:
    """Losses that fall, over two sizes, with a stage every fourth step."""
    coarse, fine = (24.0, 18.0), (48.0, 36.0)
    rows = tuple(
        (
            float(step),
            *(coarse if step <= steps // 2 else fine),
            9 / step,
            2 / step,
            1 / step,
        )
        for step in range(1, steps + 1)
    )
    columns = ("total", "content.conv4_2", "style.conv1_1")
    weights = {"content.conv4_2": 0.5, "style.conv1_1": 2.0}
    return Curves(columns, rows, weights, tuple(range(4, steps + 1, 4)))


def painting(folder: Path, stages: int = 3, wanted: Sequence[str] = ()) -> Keepsakes:
    """From red, with a blue style, by stages that become greener, to green."""
    way = [
        seen(
            folder / f"stages/{step:04}.png",
            ((37 * step) % 256, (91 * step) % 256, 60),
            label=f"step {step}",
        )
        for step in range(1, stages + 1)
    ]
    return Keepsakes(
        wanted=tuple(wanted),
        curves=curves(),
        content=seen(folder / "content.png", RED, (96, 72), "content"),
        styles=(seen(folder / "style.png", BLUE, (40, 60), "style"),),
        stages=tuple(way),
        final=seen(folder / "final.png", GREEN, label="final"),
    )


def gone(one: Seen) -> Seen:
    """The same, but that it is not there any more."""
    return replace(one, paths=(f"{one.paths[0]}.gone",))


def is_near(pixel: object, color: Color) -> bool:
    """Whether a pixel has about that color."""
    return bool(np.abs(np.subtract(np.asarray(pixel)[:3], color)).max() < 24)
