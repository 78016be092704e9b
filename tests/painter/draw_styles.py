"""The shipped styles that code draws: a mosaic, dots of pure color, stained glass, thick paint.

Each shows the same landscape, `landscape`. `python -m tests.painter.draw_styles FOLDER` writes
them as JPEG files below MAX_BYTES. Pictures are float32 of shape (height, width, 3), sRGB from 0
to 1.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

HEIGHT, WIDTH = 768, 1024

MAX_BYTES = 250_000


def noise(generator: Generator, cell: int, octaves: int = 4, height: int = HEIGHT) -> Floats:
    """Return smooth noise between about -1 and 1, whose largest spots have `cell` pixels."""
    total = np.zeros((height, WIDTH), np.float32)
    for octave in range(octaves):
        side = max(2, cell >> octave)
        rows, columns = height // side + 3, WIDTH // side + 3
        coarse = Image.fromarray(generator.uniform(-1, 1, (rows, columns)).astype(np.float32))
        fine = coarse.resize((columns * side, rows * side), Image.Resampling.BICUBIC)
        total += 0.5**octave * np.asarray(fine)[side : side + height, side : side + WIDTH]
    return (total / (2 - 0.5 ** (octaves - 1))).astype(np.float32)


def colors_of(words: str) -> Floats:
    """Return colors that are given as hexadecimal digits, such as `f7d794 f4a65a`."""
    values = [[int(word[place : place + 2], 16) for place in (0, 2, 4)] for word in words.split()]
    return (np.array(values, np.float32) / 255).astype(np.float32)


def ramp(values: Any, words: str) -> Floats:
    """Return a color for each value between 0 and 1, blended between the neighbors in `words`."""
    colors = colors_of(words)
    place = np.clip(values, 0, 1) * (len(colors) - 1)
    low = np.minimum(place.astype(int), len(colors) - 2)
    share = (place - low)[..., None]
    blended: Floats = (colors[low] * (1 - share) + colors[low + 1] * share).astype(np.float32)
    return blended


def saturated(colors: Any, factor: float) -> Any:
    """Return colors whose distance from gray is multiplied by `factor`."""
    gray = colors.mean(-1, keepdims=True)
    return gray + factor * (colors - gray)


class Landscape(NamedTuple):
    """A picture, and for each pixel the direction in radians in which strokes go."""

    picture: Floats
    direction: Floats


def landscape(generator: Generator) -> Landscape:
    """Return a sun above hills and a lake."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    v = y / HEIGHT
    sky_colors = "f7d794 f4a65a d9694f 7a5a8c 35508f 1f2f63"
    sky = ramp(1 - v / 0.55 + 0.10 * noise(generator, 240), sky_colors)
    sun_y, sun_x = 0.27 * HEIGHT, 0.68 * WIDTH
    distance = np.hypot(x - sun_x, y - sun_y)
    glow = 0.75 * np.exp(-((distance / (0.22 * HEIGHT)) ** 2))[..., None]
    picture = sky * (1 - glow) + colors_of("fff0b0") * glow
    picture[distance < 0.085 * HEIGHT] = colors_of("fff6c8")
    direction = np.arctan2(y - sun_y, x - sun_x) + np.pi / 2
    hills = (
        (0.46, 0.09, "6f6f9e 4a5f86"),
        (0.55, 0.07, "9a7350 4a3326"),
        (0.63, 0.05, "c2ad62 5f7a45"),
    )
    for level, roughness, tints in hills:
        swell = 0.02 * np.sin(x[:1] / WIDTH * 9 + level * 40)
        top = level + roughness * noise(generator, 260, 3, height=1) + swell
        is_hill = v > top
        shade = np.clip((v - top) * 4 + 0.25 * noise(generator, 60), 0, 1)
        picture = np.where(is_hill[..., None], ramp(shade, tints), picture)
        slope = np.arctan(np.gradient(top * HEIGHT, axis=1))
        direction = np.where(is_hill, slope + 0.4 * noise(generator, 120), direction)
    is_lake = v > 0.74 + 0.012 * noise(generator, 180, 3, height=1)
    mirrored_row = np.clip(2 * 0.74 * HEIGHT - y, 0, HEIGHT - 1).astype(int)
    mirrored = picture[mirrored_row, x.astype(int)]
    waves = 0.5 + 0.5 * np.sin(y / 7 + 4 * noise(generator, 130))
    water = 0.45 * mirrored + 0.55 * ramp(waves, "1d5f7a 3f9aa6 8fd0c4")
    picture = np.where(is_lake[..., None], water, picture)
    direction = np.where(is_lake, 0.25 * noise(generator, 150), direction)
    return Landscape(np.clip(picture, 0, 1).astype(np.float32), direction.astype(np.float32))


class Cells(NamedTuple):
    """A division of the picture into cells around seeds.

    For each pixel: the number of its seed, and by how many pixels the next seed is farther away.
    """

    seeds: Any
    owner: Any
    margin: Any

    def means(self, picture: Floats) -> Any:
        """Return the mean color of each cell."""
        sizes = np.maximum(1, np.bincount(self.owner.ravel(), minlength=len(self.seeds)))
        sums = [
            np.bincount(self.owner.ravel(), picture[..., channel].ravel(), len(self.seeds))
            for channel in range(3)
        ]
        return np.stack(sums, 1) / sizes[:, None]


def divided(direction: Floats, seeds: Any, side: int, *, is_square: bool) -> Cells:
    """Give each pixel to the nearest of the `seeds`, which are about `side` pixels apart.

    Square cells are turned by the `direction` at their seed.
    """
    nearest = np.full(direction.shape, np.inf, np.float32)
    second = nearest.copy()
    owner = np.zeros(direction.shape, np.int32)
    reach = 2 * side
    for number, (row, column) in enumerate(seeds):
        rows = slice(max(0, int(row) - reach), min(HEIGHT, int(row) + reach))
        columns = slice(max(0, int(column) - reach), min(WIDTH, int(column) + reach))
        y, x = np.mgrid[rows, columns].astype(np.float32)
        y -= row
        x -= column
        angle = direction[min(HEIGHT - 1, max(0, int(row))), min(WIDTH - 1, max(0, int(column)))]
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        distance = np.maximum(abs(along), abs(across)) if is_square else np.hypot(along, across)
        former = nearest[rows, columns]
        is_nearer = distance < former
        closer = np.minimum(second[rows, columns], distance)
        second[rows, columns] = np.where(is_nearer, former, closer)
        owner[rows, columns] = np.where(is_nearer, number, owner[rows, columns])
        nearest[rows, columns] = np.minimum(former, distance)
    return Cells(seeds, owner, second - nearest)


def cells(
    generator: Generator, direction: Floats, side: int, rounds: int, *, is_square: bool
) -> Cells:
    """Return cells of about `side` pixels; each round moves the seeds to the middle of theirs."""
    rows, columns = np.mgrid[side / 2 : HEIGHT : side, side / 2 : WIDTH : side]
    seeds: Any = np.stack([rows.ravel(), columns.ravel()], 1)
    seeds = seeds + generator.uniform(-side / 2, side / 2, seeds.shape)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    place = np.stack([y, x, x], 2)
    for _ in range(rounds):
        made = divided(direction, seeds, side, is_square=is_square)
        is_used = np.bincount(made.owner.ravel(), minlength=len(seeds)) > 0
        seeds = np.where(is_used[:, None], made.means(place)[:, :2], seeds)
    return divided(direction, seeds, side, is_square=is_square)


def mosaic() -> Any:
    """Draw stones that follow the landscape, some of them gold, with mortar between them."""
    generator = np.random.default_rng(1)
    picture, direction = landscape(generator)
    stones = cells(generator, direction, 15, 8, is_square=True)
    count = len(stones.seeds)
    colors = np.clip(saturated(stones.means(picture), 1.25), 0, 1)
    colors = colors * generator.uniform(0.78, 1.2, (count, 1)) + generator.normal(
        0, 0.03, (count, 3)
    )
    is_gold = generator.random(count) < 0.07
    colors[is_gold] = colors_of("d8a83a") * generator.uniform(0.8, 1.2, (is_gold.sum(), 1))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    middle = stones.seeds[stones.owner]
    tilt = generator.normal(0, 0.012, (count, 2))[stones.owner]
    light = 1 + tilt[..., 0] * (y - middle[..., 0]) + tilt[..., 1] * (x - middle[..., 1])
    light = light * (0.82 + 0.18 * np.clip((stones.margin - 1.6) / 5, 0, 1))
    light = light * (1 + 0.05 * noise(generator, 8, 2))
    mortar = colors_of("4a4238") * (1 + 0.15 * noise(generator, 6, 2))[..., None]
    share = np.clip((stones.margin - 1.6) / 2.2, 0, 1)[..., None]
    return mortar * (1 - share) + np.clip(colors, 0, 1)[stones.owner] * light[..., None] * share


def pointillism() -> Any:
    """Draw dots of pure color on a light ground, a few of them in the opposite color."""
    generator = np.random.default_rng(2)
    picture, _ = landscape(generator)
    canvas = np.broadcast_to(colors_of("efe6d0"), picture.shape).copy()
    grid = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for radius, cover in ((9.0, 1.7), (6.8, 1.7), (5.2, 1.2)):
        count = int(cover * HEIGHT * WIDTH / (np.pi * radius**2))
        rows, columns = generator.uniform(0, HEIGHT, count), generator.uniform(0, WIDTH, count)
        pure = saturated(picture[rows.astype(int), columns.astype(int)], 1.35)
        kind = generator.random((count, 1))
        pure = np.where(kind < 0.08, 0.55 * pure + 0.45 * np.roll(pure, 1, 1), pure)
        pure = np.where(kind > 0.93, 0.6 * pure + 0.4 * (1 - pure), pure)
        pure = pure * generator.uniform(0.85, 1.2, (count, 1))
        pure = np.clip(pure + generator.normal(0, 0.05, (count, 3)), 0.02, 1)
        sizes = radius * generator.uniform(0.75, 1.15, count)
        for row, column, size, color in zip(rows, columns, sizes, pure, strict=True):
            reach = int(size) + 2
            window = (
                slice(max(0, int(row) - reach), int(row) + reach),
                slice(max(0, int(column) - reach), int(column) + reach),
            )
            y, x = grid[:, *window]
            inside = np.clip(size - np.hypot(y - row, x - column), 0, 1)[..., None]
            canvas[window] += 0.93 * inside * (color - canvas[window])
    return canvas


def stained_glass() -> Any:
    """Draw panes of glass with lead between them."""
    generator = np.random.default_rng(3)
    picture, direction = landscape(generator)
    panes = cells(generator, direction, 54, 2, is_square=False)
    colors = np.clip(saturated(panes.means(picture), 1.6), 0.02, 1)
    colors = colors * generator.uniform(0.75, 1.25, (len(panes.seeds), 1))
    light = 1.05 + 0.28 * noise(generator, 40) + 0.06 * noise(generator, 10, 3)
    light = light - 0.25 * np.clip(1 - panes.margin / 26, 0, 1)
    margin = panes.margin + 1.2 * noise(generator, 30, 3)
    share = np.clip((margin - 5.5) / 2, 0, 1)[..., None]
    lead = colors_of("17150f") + 0.10 * np.clip(1 - abs(margin - 3) / 2.5, 0, 1)[..., None]
    return lead * (1 - share) + np.clip(colors, 0, 1)[panes.owner] * light[..., None] * share


class Stroke(NamedTuple):
    """A stroke of a brush: its middle, direction in radians, sizes in pixels, bend, and color."""

    row: float
    column: float
    angle: float
    length: float
    width: float
    bend: float
    color: Any


def paint(canvas: Any, height: Any, stroke: Stroke, number: int) -> None:
    """Paint a stroke over the canvas; `height` is that of the paint."""
    reach = int(stroke.length + stroke.width) + 1
    top, left = max(0, int(stroke.row) - reach), max(0, int(stroke.column) - reach)
    window = slice(top, int(stroke.row) + reach), slice(left, int(stroke.column) + reach)
    rows, columns = height[window].shape
    y, x = np.mgrid[top : top + rows, left : left + columns].astype(np.float32)
    y, x = y - stroke.row, x - stroke.column
    cosine, sine = np.cos(stroke.angle), np.sin(stroke.angle)
    along = x * cosine + y * sine
    across = y * cosine - x * sine + stroke.bend * along**2
    outside = np.hypot(np.maximum(abs(along) - stroke.length, 0) * 0.7, across)
    inside = np.clip((stroke.width / 2 - outside) / 1.5, 0, 1)
    bristles = 0.5 + 0.5 * np.sin(across * 2.4 + 3 * np.sin(along / 23 + number))
    color = stroke.color * (1 + 0.12 * (bristles - 0.5))[..., None]
    canvas[window] += 0.95 * inside[..., None] * (color - canvas[window])
    ridge = 0.35 * bristles + np.clip(outside / (stroke.width / 2), 0, 1) ** 2
    height[window] += inside * (ridge - height[window])


def impasto() -> Any:
    """Draw thick strokes of a brush that follow the landscape, with light from above on them."""
    generator = np.random.default_rng(5)
    picture, direction = landscape(generator)
    canvas = np.broadcast_to(colors_of("b08a5a"), picture.shape).copy()
    height = np.zeros((HEIGHT, WIDTH), np.float32)
    for width, cover in ((13.0, 2.2), (9.0, 2.6), (6.0, 2.0)):
        count = int(cover * HEIGHT * WIDTH / (width * 6 * width))
        rows, columns = generator.uniform(0, HEIGHT, count), generator.uniform(0, WIDTH, count)
        places = rows.astype(int), columns.astype(int)
        angles = direction[places] + generator.normal(0, 0.18, count)
        colors = saturated(picture[places], 1.2) * generator.uniform(0.8, 1.22, (count, 1))
        colors = np.clip(colors + generator.normal(0, 0.035, (count, 3)), 0, 1)
        lengths = width * generator.uniform(2.2, 4.0, count)
        bends = generator.normal(0, 0.006, count)
        values = zip(rows, columns, angles, lengths, [width] * count, bends, colors, strict=True)
        for number, each in enumerate(values):
            paint(canvas, height, Stroke(*each), number)
    slope_y, slope_x = np.gradient(height)
    light = 1 + 0.55 * np.clip(slope_y + 0.5 * slope_x, -0.45, 0.45)
    return canvas * light[..., None]


STYLES: Mapping[str, Callable[[], Any]] = {
    "Mosaic": mosaic,
    "Pointillism": pointillism,
    "Stained Glass": stained_glass,
    "Impasto": impasto,
}
"""The functions that draw the styles, by their titles."""


def drawn(name: str) -> Any:
    """Return a style as it is stored: uint8 of shape (height, width, 3)."""
    return (255 * np.clip(STYLES[name](), 0, 1) + 0.5).astype(np.uint8)


def main(folder: Path) -> None:
    """Write the styles into a folder, each with the best quality that MAX_BYTES allows."""
    for name in STYLES:
        image = Image.fromarray(drawn(name))
        for quality in range(92, 0, -2):
            path = folder / f"{name}.jpg"
            image.save(path, quality=quality, optimize=True)
            if path.stat().st_size < MAX_BYTES:
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]))
