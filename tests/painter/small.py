"""Small pictures, a small network, and tasks for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tests.painter.plain_vgg19 import Array, filters

from stylewatch_painter.network.device import Precision
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.paint.paint import scene
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Regions

MEAN = np.array([123.68, 116.779, 103.939]).reshape(3, 1, 1)

WIDTH, HEIGHT = 21, 18  # neither is a multiple of 16, and one is odd
WIDE = Size(32, 28)


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Draw a picture, float32 (height, width, 3), of whole levels 0..255."""
    draw = np.random.Generator(np.random.PCG64(seed))
    return draw.integers(0, 256, (height, width, 3)).astype(np.float32)


def network(precision: Precision = "fp32") -> Vgg19:
    """Return VGG19 in torch with few channels and random filters."""
    weights = {name: torch.from_numpy(w.astype(np.float32)) for name, w in filters(0).items()}
    red, green, blue = MEAN.ravel().tolist()
    return Vgg19(weights, (red, green, blue), precision)


def task(name: str, changes: Mapping[str, Any] | None = None, styles: int = 1) -> Task:
    """Return a task of the recipe `name` with `changes`; without any, no picture is resized."""
    own_size = {"size": f"{WIDTH}x{HEIGHT}", "style_size": "stretch", "scales": ()}
    recipe = change(find(name), {**own_size, **(changes or {})})
    shares = (1.0, 3.0)[:styles]
    given = [Style(picture(1 + i), f"style-{i + 1}", share) for i, share in enumerate(shares)]
    return Task(recipe, picture(0), tuple(given))


def plain(pixels: Pixels) -> Array:
    """Convert a picture (height, width, 3) to the form of the plain modules, (3, height, width)."""
    return pixels.transpose(2, 0, 1).astype(np.float64)


def in_network_units(pixels: Pixels, name: str) -> Array:
    """Return a picture in network units, as the program that recipe `name` follows makes them."""
    white = 256 if name == "neural-style" else 255
    return np.asarray(plain(pixels) / 255 * white - MEAN)


def wide_task(name: str, changes: Mapping[str, Any], styles: int = 1, **fields: Any) -> Task:
    """Return a task of the recipe `name` whose pictures have the size WIDE."""
    made = task(name, {"size": "{}x{}".format(*WIDE), **changes}, styles)
    wide = (replace(style, picture=picture(n, *WIDE)) for n, style in enumerate(made.styles, 1))
    return replace(replace(made, content=picture(0, *WIDE), styles=tuple(wide)), **fields)


def split(column: int) -> Regions:
    """Return a mask of size WIDE with two regions, left and right of the edge of a `column`."""
    mask = np.zeros((WIDE[1], WIDE[0], 2), np.float32)
    mask[:, :column, 0] = mask[:, column:, 1] = 1
    return mask


def objective(
    made: Task,
    memory_plan: MemoryPlan = UNLIMITED,
    *,
    level: Level | int = -1,
    start: torch.Tensor | None = None,
) -> Objective:
    """Return the objective of a task at a level, or the index of one, by default the final size."""
    vgg = network()
    canvas = Canvas(made, vgg.mean, vgg.device)
    at = made.levels()[level] if isinstance(level, int) else level
    return Objective(scene(canvas, vgg, at, start, memory_plan))


def content(made: Objective) -> torch.Tensor:
    """Return the content picture (1, 3, height, width) of an objective's scene."""
    picture = made.scene.content
    assert picture is not None
    return picture


def tensor(x: Array) -> torch.Tensor:
    """Convert an array (3, height, width) to the painter's form, float32 (1, 3, height, width)."""
    return torch.from_numpy(x.astype(np.float32)).unsqueeze(0)


def array(x: torch.Tensor) -> Array:
    """Convert a tensor (1, 3, height, width) to float64 (3, height, width), as in plain modules."""
    return x.detach().squeeze(0).numpy().astype(np.float64)


def pools(kind: str, edge: str) -> NetworkSettings:
    """Return network settings with a `kind` of pool and a rule for its `edge`."""
    return NetworkSettings.model_validate({"pool": kind, "pool_edge": edge})
