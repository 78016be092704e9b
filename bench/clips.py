"""Flicker of painted clips whose motion is known, next to painting frame by frame.

`python -m bench.clips --out FOLDER` makes four clips of two photographs by moving a camera and
cut-out objects over them, so that the true flow between frames is known: pan, zoom, rotation (of
an object before a still background), crossing (two objects). Each is painted as a clip, and its
frames one by one as stills. The flicker is Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610),
equation (7), with the true flow: the mean squared difference of colors (0..255) between a frame
and the one before it, moved, wherever both show the same thing. FOLDER gets the clips, and strips
of one row of pixels over time: of frames painted as stills on the left, of the clip on the right.
"""

import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
from bench import measures
from bench.common import PICTURES, STYLEWATCH, run
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.images import clip
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.read import read
from stylewatch_painter.stage import Bytes

Floats = NDArray[np.float32]
Affine = NDArray[np.float64]
"""Maps (x, y, 1) of a frame to (x, y) of a layer's picture, (2, 3)."""

RATE = 25
LIMITS = ClipLimits(250_000_000, 20_000)


@dataclass(frozen=True, eq=False)
class Layer:
    """A photograph that is moved; only the part inside `radius` pixels of its center, if given."""

    picture: Floats
    motion: Callable[[int], Affine]
    radius: float | None = None

    def at(self, places: Floats, number: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Where in the picture each place of frame `number` is, and whether it is this layer."""
        matrix = self.motion(number)
        there = (places @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        height, width, _ = self.picture.shape
        inside = np.all((there >= 0) & (there <= (width - 1, height - 1)), axis=-1)
        if self.radius is not None:
            middle = np.array([width / 2, height / 2])
            inside &= np.square(there - middle).sum(-1) <= self.radius**2
        return there, inside


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers seen through a frame of `size` (width, height), the nearest one first."""

    size: tuple[int, int]
    layers: Sequence[Layer]

    @property
    def places(self) -> Floats:
        """The coordinates (x, y) of each pixel, relative to the center."""
        width, height = self.size
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
        places: Floats = (grid - np.array([width / 2, height / 2])).astype(np.float32)
        return places

    def frame(self, number: int) -> Bytes:
        """The frame with this number, uint8 (height, width, 3)."""
        width, height = self.size
        picture = np.zeros((height, width, 3), np.float32)
        for layer in reversed(self.layers):
            there, inside = layer.at(self.places, number)
            picture[inside] = sampled(layer.picture, there)[inside]
        return np.rint(picture).clip(0, 255).astype(np.uint8)

    def before(self, number: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Where each pixel was in the frame before, in its pixels, and whether it was seen."""
        width, height = self.size
        came_from = np.zeros((height, width, 2), np.float32)
        seen = np.zeros((height, width), np.bool_)
        for index, layer in reversed(list(enumerate(self.layers))):
            there, inside = layer.at(self.places, number)
            matrix = layer.motion(number - 1)
            back = (there - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
            pixel = back + np.array([width / 2, height / 2])
            visible = np.all((pixel >= 0) & (pixel <= (width - 1, height - 1)), axis=-1)
            for nearer in self.layers[:index]:
                visible &= ~nearer.at(back.astype(np.float32), number - 1)[1]
            came_from[inside], seen[inside] = pixel[inside], visible[inside]
        return came_from, seen


def sampled(picture: Floats, places: Floats) -> Floats:
    """The values (height, width, 3) of a picture between its pixels, bilinear."""
    height, width, _ = picture.shape
    x = np.clip(places[..., 0], 0, width - 1)
    y = np.clip(places[..., 1], 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - a) + picture[top, right] * a
    lower = picture[below, left] * (1 - a) + picture[below, right] * a
    mixed: Floats = (upper * (1 - b) + lower * b).astype(np.float32)
    return mixed


def moved(zoom: float, turn: float, center: tuple[float, float]) -> Affine:
    """A view of a picture: `zoom` of its pixels a pixel, turned, around a point of it."""
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    return np.array([[cos, -sin, center[0]], [sin, cos, center[1]]])


def scenes(content: Floats, object_: Floats, size: tuple[int, int]) -> dict[str, Scene]:
    """The four clips."""
    height, width, _ = content.shape
    x, y = width / 2, height / 2
    fit = 0.8 * min(width / size[0], height / size[1])
    own = object_.shape[1] / 2, object_.shape[0] / 2
    radius = 0.4 * min(object_.shape[:2])
    small = radius / (0.3 * size[1])  # pixels of the object a pixel: it is 0.6 of the height

    def placed(right: float, down: float, turn: float = 0.0) -> Affine:
        """A view with the middle of the object so many pixels from that of the frame."""
        view = moved(small, turn, own)
        view[:, 2] -= view[:, :2] @ [right, down]
        return view

    still = Layer(content, lambda number: moved(fit, 0, (x, y)))
    slow = Layer(content, lambda number: moved(fit, 0, (x - 10 + 0.7 * fit * number, y)))
    step = size[0] / 60
    return {
        "pan": Scene(
            size,
            [Layer(content, lambda n: moved(fit, 0, (x + 1.6 * fit * (n - 9), y + 0.7 * fit * n)))],
        ),
        "zoom": Scene(size, [Layer(content, lambda n: moved(fit * 0.98**n, 0, (x, y)))]),
        "rotation": Scene(
            size, [Layer(object_, lambda n: placed(2.0 * n - 20, 0, 0.03 * n), radius), still]
        ),
        "crossing": Scene(
            size,
            [
                Layer(object_, lambda n: placed(step * n - 0.2 * size[0], 10), radius * 0.8),
                Layer(object_, lambda n: placed(0.25 * size[0] - step * n, -10, 1.5), radius * 0.9),
                slow,
            ],
        ),
    }  # fmt: skip


def flicker(scene: Scene, painted: Mapping[int, Bytes]) -> float:
    """The mean squared difference from the frame before, moved by the true flow."""
    values = []
    for number in painted:
        if number - 1 in painted:
            places, seen = scene.before(number)
            before = sampled(painted[number - 1].astype(np.float32), places)
            squares = np.square(painted[number].astype(np.float32) - before).mean(-1)
            values.append(float(squares[seen].mean()))
    return fmean(values)


def paint_clip(source: Path, options: Namespace, folder: Path) -> tuple[list[Bytes], list[float]]:
    """The painted frames, and the seconds that each took."""
    words = [STYLEWATCH, "render", source, options.style, "-o", f"{folder}/", "--force", "--quiet",
             "--recipe", options.recipe, "--size", options.size,
             "--set", "clip.format=mkv"]  # fmt: skip
    for change in options.set:
        words += ["--set", change]
    run(*words)
    frames = [frame.pixels for frame in clip.frames(folder / "final.mkv", LIMITS)]
    header, *rows = (folder / "losses.csv").read_text().splitlines()
    column = header.split(",").index("seconds")
    ends = [0.0, *(float(row.split(",")[column]) for row in rows)]
    return frames, list(np.diff(ends))


def paint_stills(frames: Sequence[Bytes], options: Namespace, folder: Path) -> dict[int, Bytes]:
    """Some neighboring frames in the middle, each painted as a still, by their numbers."""
    first = max(0, (len(frames) - options.stills) // 2)
    painted = {}
    for number in range(first, min(len(frames), first + options.stills)):
        source, target = folder / f"still-{number}.png", folder / f"painted-{number}.png"
        Image.fromarray(frames[number]).save(source)
        run(STYLEWATCH, "render", source, options.style, "-o", target, "--force", "--quiet",
            "--recipe", options.recipe, "--size", options.size)  # fmt: skip
        painted[number] = np.asarray(Image.open(target).convert("RGB"))
    return painted


def strip(frames: Iterable[Bytes]) -> Bytes:
    """The middle row of each frame, below each other, eight pixels high each."""
    return np.repeat(np.stack([frame[len(frame) // 2] for frame in frames]), 8, axis=0)


def rows(options: Namespace) -> Iterator[dict[str, object]]:
    """Paint each clip, and measure."""
    content, object_, style = (
        read(path).pixels for path in (options.content, options.object, options.style)
    )
    width, height = map(int, options.frame.split("x"))
    for name, scene in scenes(content, object_, (width, height)).items():
        if options.only and name not in options.only:
            continue
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        frames = [scene.frame(number) for number in range(options.frames)]
        source = folder / "clip.mkv"
        clip.write_segment(source, frames, "mkv", 100)
        painted, seconds = paint_clip(source, options, folder)
        stills = paint_stills(frames, options, folder)
        together = {number: painted[number] for number in stills}
        Image.fromarray(np.hstack([strip(stills.values()), strip(together.values())])).save(
            folder / "strip.png"
        )
        alike = [measures.style_distance(p.astype(np.float32), style) for p in together.values()]
        alone = [measures.style_distance(p.astype(np.float32), style) for p in stills.values()]
        yield {
            "clip": name,
            "flicker": flicker(scene, dict(enumerate(painted))),
            "ratio": flicker(scene, together) / flicker(scene, stills),
            "time": median(seconds[1:]) / seconds[0],
            "style": fmean(alike) / fmean(alone),
        }


def main(words: list[str]) -> int:
    """Print a row for each clip."""
    options = arguments(words)
    results = []
    for row in rows(options):
        results.append(row)
        print(json.dumps(row), flush=True)
    (options.out / "clips.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


def arguments(words: list[str]) -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m bench.clips", description=__doc__)
    parser.add_argument("--content", type=Path, default=PICTURES / "rocket.jpg")
    parser.add_argument("--object", type=Path, default=PICTURES / "coffee.jpg")
    parser.add_argument("--style", type=Path, default=PICTURES / "starry-night.jpg")
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--frame", default="320x240", help="size of the clips' frames")
    parser.add_argument("--size", default="320", help="size that they are painted at")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--stills", type=int, default=4, help="frames painted as stills, too")
    parser.add_argument("--only", nargs="*", default=[], help="names of clips")
    parser.add_argument("--set", nargs="*", default=[], help="as --set of stylewatch render")
    parser.add_argument("--out", type=Path, default=Path("clips"))
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
