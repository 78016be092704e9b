"""Flicker of painted clips whose motion is known, beside frames that are painted one by one.

`make bench-clips` makes five clips of two photographs by moving a camera and cut-out objects over
them, so that the true flow between frames is known: pan, fast pan, zoom, rotation (an object before
a still background), crossing (two objects). Each is painted as a clip, and some frames as stills.
The flicker is Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610), equation (7), with the true flow:
the mean squared difference of colors (0..255) between a frame and the one before it, moved,
wherever both show the same thing. OUT gets the clips, and strips of one row of pixels over time: of
frames painted as stills on the left, of the clip on the right.
"""

import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from bench import measures
from bench.common import PICTURES, STYLEWATCH, run, seconds_in
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.images import read_clip, write_clip
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.read import read
from stylewatch_painter.stage import Bytes

Floats = NDArray[np.float32]
Affine = NDArray[np.float64]
"""Maps (x, y, 1) of a frame, relative to its center, to (x, y) of a layer's picture; (2, 3)."""

LIMITS, SIZE, STILLS = ClipLimits(250_000_000, 20_000), (320, 240), 4
STYLE = PICTURES / "starry-night.jpg"
NAMES = ("pan", "fast-pan", "zoom", "rotation", "crossing")
FAST = 8  # pixels by which the fast pan moves in a frame


@dataclass(frozen=True, eq=False)
class Layer:
    """A photograph that is moved; only the part inside `radius` pixels of its center, if given."""

    picture: Floats
    motion: Callable[[int], Affine]
    radius: float = math.inf


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers seen through a frame of `size` (width, height), the nearest one first."""

    size: tuple[int, int]
    layers: Sequence[Layer]

    @property
    def grid(self) -> Floats:
        """The coordinates (x, y) of each pixel, relative to the center."""
        width, height = self.size
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
        centered: Floats = (pixels - [width / 2, height / 2]).astype(np.float32)
        return centered

    def look(self, number: int, places: NDArray[Any]) -> tuple[Floats, NDArray[np.int_]]:
        """Return where each place of a frame is in its layer's picture, and which layer that is.

        The number of the layer is -1 if there is none.
        """
        found, which = np.zeros(places.shape, np.float32), np.full(places.shape[:2], -1)
        for index, layer in reversed(list(enumerate(self.layers))):
            matrix = layer.motion(number)
            there = (places @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
            height, width, _ = layer.picture.shape
            inside = np.all((there >= 0) & (there <= (width - 1, height - 1)), axis=-1)
            from_center = there - np.array([width / 2, height / 2])
            inside &= np.square(from_center).sum(-1) <= layer.radius**2
            found[inside], which[inside] = there[inside], index
        return found, which

    def frame(self, number: int) -> Bytes:
        """Return the frame with this number, uint8 (height, width, 3)."""
        places, which = self.look(number, self.grid)
        picture = np.zeros((*which.shape, 3), np.float32)
        for index, layer in enumerate(self.layers):
            picture[which == index] = sampled(layer.picture, places)[which == index]
        return np.rint(picture).clip(0, 255).astype(np.uint8)

    def before(self, number: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return where each pixel was in the frame before, and whether it was seen there."""
        places, which = self.look(number, self.grid)
        back = np.zeros(places.shape)
        for index, layer in enumerate(self.layers):
            matrix = layer.motion(number - 1)
            from_layer = (places - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
            back[which == index] = from_layer[which == index]
        _, earlier = self.look(number - 1, back)
        size = np.array(self.size)
        pixel = back + size / 2
        inside = np.all((pixel >= 0) & (pixel <= size - 1), axis=-1)
        return pixel.astype(np.float32), inside & (which >= 0) & (earlier == which)


def sampled(picture: Floats, places: Floats) -> Floats:
    """Return the values (height, width, 3) of a picture between its pixels, bilinear."""
    x, y = places[..., 0], places[..., 1]
    values = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values, np.float32)


def moved(zoom: float, turn: float, center: tuple[float, float]) -> Affine:
    """Return a view of a picture: `zoom` of its pixels a pixel, turned, around a point of it."""
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    return np.array([[cos, -sin, center[0]], [sin, cos, center[1]]])


def scenes(content: Floats, object_: Floats, size: tuple[int, int]) -> dict[str, Scene]:
    """Return the five clips."""
    height, width, _ = content.shape
    x, y = width / 2, height / 2
    fit = 0.8 * min(width / size[0], height / size[1])
    own = object_.shape[1] / 2, object_.shape[0] / 2
    radius = 0.4 * min(object_.shape[:2])
    small = radius / (0.3 * size[1])  # pixels of the object a pixel: it is 0.6 of the height

    def placed(right: float, down: float, turn: float = 0.0) -> Affine:
        """Return a view with the object's middle so many pixels from that of the frame."""
        view = moved(small, turn, own)
        view[:, 2] -= view[:, :2] @ [right, down]
        return view

    step = size[0] / 60
    pan = Layer(content, lambda n: moved(fit, 0, (x + 1.6 * fit * (n - 9), y + 0.7 * fit * n)))
    turning = Layer(object_, lambda n: placed(2.0 * n - 20, 0, 0.03 * n), radius)
    right = Layer(object_, lambda n: placed(step * n - 0.2 * size[0], 10), radius * 0.8)
    left = Layer(object_, lambda n: placed(0.25 * size[0] - step * n, -10, 1.5), radius * 0.9)
    fast = Layer(content, lambda n: moved(1, 0, (size[0] / 2 + FAST * n, y)))
    layers = (
        [pan],
        [fast],
        [Layer(content, lambda n: moved(fit * 0.98**n, 0, (x, y)))],
        [turning, Layer(content, lambda n: moved(fit, 0, (x, y)))],
        [right, left, Layer(content, lambda n: moved(fit, 0, (x - 10 + 0.7 * fit * n, y)))],
    )
    return {name: Scene(size, each) for name, each in zip(NAMES, layers, strict=True)}


def flicker(scene: Scene, painted: Mapping[int, Bytes]) -> float:
    """Return the mean squared difference from the frame before, moved by the true flow."""
    values = []
    for number in painted:
        if number - 1 in painted:
            places, seen = scene.before(number)
            before = sampled(painted[number - 1].astype(np.float32), places)
            squares = np.square(painted[number].astype(np.float32) - before).mean(-1)
            values.append(float(squares[seen].mean()))
    return fmean(values)


def render(source: Path, target: str) -> None:
    """Paint a clip or a still."""
    run(STYLEWATCH, "render", source, STYLE, "-o", target, "--force", "--quiet",
        "--size", SIZE[0], "--set", "clip.format=mkv")  # fmt: skip


def strip(frames: Iterable[Bytes]) -> Bytes:
    """Return the middle row of each frame, below each other, eight pixels high each."""
    return np.repeat(np.stack([frame[len(frame) // 2] for frame in frames]), 8, axis=0)


def measure(name: str, scene: Scene, options: Namespace) -> dict[str, object]:
    """Paint a clip, and neighboring frames in its middle as stills; compare them."""
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    frames = [scene.frame(number) for number in range(options.frames)]
    list(write_clip.write_segment(folder / "clip.mkv", frames, "mkv", 100))
    render(folder / "clip.mkv", f"{folder}/")
    painted = [frame.pixels for frame in read_clip.frames(folder / "final.mkv", LIMITS)]
    first = max(0, (len(frames) - STILLS) // 2)
    stills = {}
    for number in range(first, min(len(frames), first + STILLS)):
        source, target = folder / f"still-{number}.png", folder / f"painted-{number}.png"
        Image.fromarray(frames[number]).save(source)
        render(source, str(target))
        stills[number] = np.asarray(Image.open(target).convert("RGB"))
    together = {number: painted[number] for number in stills}
    strips = np.hstack([strip(stills.values()), strip(together.values())])
    Image.fromarray(strips).save(folder / "strip.png")
    ends = seconds_in(folder / "losses.csv")
    return {
        "clip": name,
        "flicker": flicker(scene, together) / flicker(scene, stills),
        "time": (ends[-1] / ends[0] - 1) / (len(ends) - 1),
        "style": style(together, stills, np.s_[:]),
        "revealed": style(together, stills, np.s_[-10 * FAST : -4 * FAST]),
        "rest": style(together, stills, np.s_[: -10 * FAST]),
    }


def style(together: Mapping[int, Bytes], stills: Mapping[int, Bytes], columns: slice) -> float:
    """Return the style distance of some columns of the clip, relative to that of the stills."""
    picture = read(STYLE).pixels
    of_clip, of_stills = (
        fmean(measures.style_distance(each[:, columns].astype(np.float32), picture)
              for each in made.values())
        for made in (together, stills)
    )  # fmt: skip
    return of_clip / of_stills


def main(words: list[str]) -> int:
    """Print a row for each clip."""
    parser = ArgumentParser(prog="python -m bench.clips", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=NAMES, default=NAMES, help="names of clips")
    add("--frames", type=int, default=24)
    add("--out", type=Path, default=Path("clips"))
    options = parser.parse_args(words)
    content, object_ = (read(PICTURES / f"{name}.jpg").pixels for name in ("rocket", "coffee"))
    all_scenes = scenes(content, object_, SIZE)
    for name in options.only:
        print(json.dumps(measure(name, all_scenes[name], options)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
