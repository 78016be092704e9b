"""Difference of a print from its preview, next to the difference of two seeds.

`python -m bench.prints CONTENT STYLE --preview 160 --print 640 --out FOLDER` paints a pair
four times: the preview with one seed and with another, the print that follows the preview, and
one of the same size that knows of none. All start from the content mixed with noise, so that
seeds matter. The measure: both pictures as they are written, reduced in linear light by areas to
the preview's size; the mean distance there in CIELAB (CIE 1976, D65). OUT gets the pictures.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench.common import final_picture, task
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.recipes import book
from stylewatch_painter.stage import Pixels

Floats = NDArray[np.float32]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175],
     [0.0193339, 0.119192, 0.9503041]]
)  # fmt: skip
_WHITE = _TO_XYZ.sum(1)


def linear(written: Pixels) -> Floats:
    """The light, 0..1, of sRGB values 0..255."""
    v = np.clip(written, 0, 255) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


def reduced(light: Floats, size: tuple[int, int]) -> Floats:
    """The light at `size`, (width, height): each pixel the mean of those that it covers."""
    planes = [Image.fromarray(np.ascontiguousarray(light[..., c])) for c in range(3)]
    return np.stack(
        [np.asarray(plane.resize(size, Image.Resampling.BOX)) for plane in planes], axis=2
    )


def lab(light: Floats) -> Floats:
    """L*, a*, b* of linear light (height, width, 3)."""
    xyz = light @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2).astype(np.float32)


def distance(one: Pixels, other: Pixels) -> float:
    """The mean distance in CIELAB, both reduced to the size of the smaller one."""
    height, width = min(one.shape, other.shape)[:2]
    a, b = (lab(reduced(linear(np.rint(x)), (width, height))) for x in (one, other))
    return float(np.sqrt(np.square(a - b).sum(2)).mean())


def paint(options: Namespace, seed: int, changes: dict[str, object]) -> Pixels:
    """The pair, by its recipe with `changes`: the float picture."""
    noise = {"start": "mixed", "noise_ratio": options.noise, "noise_scale": 30}
    pair = options.content, options.style
    given = task(book.find(options.recipe), pair, {**noise, **changes}, seed)
    return final_picture(given, options.device)


def paintings(options: Namespace) -> Iterator[tuple[str, Pixels]]:
    """The preview, and what it is held against."""
    yield "preview", paint(options, 1, {"size": options.preview})
    yield "another seed", paint(options, 2, {"size": options.preview})
    yield "print", paint(options, 1, {"size": options.print, "preview": options.preview})
    yield "print without preview", paint(options, 1, {"size": options.print})


def main(words: list[str]) -> int:
    """Paint, measure and print; return 1 where the print is no nearer than another seed."""
    options = arguments(words)
    options.out.mkdir(parents=True, exist_ok=True)
    pair, found = f"{options.content.stem}+{options.style.stem}", dict[str, Pixels]()
    for name, picture in paintings(options):
        found[name] = picture
        written = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
        Image.fromarray(written).save(options.out / f"{pair}-{name.replace(' ', '-')}.png")
    preview = found.pop("preview")
    far_by_name = {name: distance(preview, picture) for name, picture in found.items()}
    for name, far in far_by_name.items():
        print(f"| {pair} | {options.preview} to {options.print} | {name} | {far:.1f} |", flush=True)
    return int(far_by_name["print"] >= far_by_name["another seed"])


def arguments(words: list[str]) -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m bench.prints", description=__doc__)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--preview", default="160", help="a size, as settings have it")
    parser.add_argument("--print", default="640", help="a size, larger than that")
    parser.add_argument("--noise", type=float, default=0.5, help="its share in the start")
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--out", type=Path, default=Path("prints"))
    parser.add_argument("--device", default="auto", help="where backend `torch` paints")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
