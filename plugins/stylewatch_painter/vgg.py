"""The convolutions, channels and pools of VGG16 and VGG19.

Simonyan and Zisserman 2014 (arXiv 1409.1556), configurations D and E. All filters are 3 x 3. A pool
halves the maps before the first convolution of each block, except the first block. This module does
not import torch.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Literal, get_args

LayerName = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2",
    "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4",
    "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip
"""The 16 convolutions of VGG19, named as in the paper. A name stands for the features after
ReLU."""

LAYERS: tuple[LayerName, ...] = get_args(LayerName)

Architecture = Literal["vgg16", "vgg19"]

ARCHITECTURES: Mapping[Architecture, tuple[LayerName, ...]] = {
    "vgg16": tuple(layer for layer in LAYERS if not layer.endswith("_4")),
    "vgg19": LAYERS,
}
"""The convolutions of each network, in order. Those of the same name have the same shape."""


def pools_before(layer: LayerName) -> int:
    """Return the number of pools before `layer`."""
    return int(layer[len("conv")]) - 1


def channels(layer: LayerName) -> int:
    """Return the number of feature maps of `layer`."""
    return min(512, 64 << pools_before(layer))


def values_per_pixel(layer: LayerName) -> float:
    """Return the number of values in the feature maps of `layer` for each pixel of a picture."""
    return float(channels(layer) / 4 ** pools_before(layer))


def pooled_side(side: int, *, ceil: bool) -> int:
    """Return the length of a side of maps after a pool, which is half of `side`.

    An odd side is rounded up with `ceil`, otherwise down.
    """
    return (side + ceil) // 2


FILTERS: dict[LayerName, tuple[int, int]] = {
    layer: (channels(layer), channels(previous) if previous else 3)
    for previous, layer in zip((None, *LAYERS), LAYERS, strict=False)
}
"""Number of output and of input channels of each convolution."""


def layers_up_to(
    layers: Collection[LayerName], convolutions: tuple[LayerName, ...] = LAYERS
) -> tuple[LayerName, ...]:
    """Return the `convolutions` of a network, by default VGG19, up to the deepest of `layers`.

    Raises ValueError if there are no `layers`, or if the network lacks one.
    """
    return convolutions[: max(convolutions.index(name) for name in layers) + 1]


def with_pools(chain: tuple[LayerName, ...]) -> Iterator[tuple[LayerName, bool]]:
    """Yield each convolution of a chain, and whether a pool lies between it and the next one.

    The last convolution has no next one, and therefore no pool.
    """
    for layer, following in zip(chain, (*chain[1:], chain[-1]), strict=True):
        yield layer, pools_before(following) > pools_before(layer)
