"""The topology of VGG16 and VGG19: their convolutions, channels and pools. No torch.

Simonyan and Zisserman 2014 (arXiv 1409.1556), configurations D and E. All filters are 3 x 3; a pool
halves the maps in front of the first convolution of each block but the first.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Literal, get_args

LayerName = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2",
    "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4",
    "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip
"""The 16 convolutions of VGG19 by the paper's names. Each stands for its features after ReLU."""

LAYERS: tuple[LayerName, ...] = get_args(LayerName)

Architecture = Literal["vgg16", "vgg19"]

ARCHITECTURES: Mapping[Architecture, tuple[LayerName, ...]] = {
    "vgg16": tuple(layer for layer in LAYERS if not layer.endswith("_4")),
    "vgg19": LAYERS,
}
"""The convolutions of each network, in order; those that two networks share have one shape."""


def pools_before(layer: LayerName) -> int:
    """Number of pools before `layer`."""
    return int(layer[len("conv")]) - 1


def channels(layer: LayerName) -> int:
    """Number of feature maps of `layer`."""
    return min(512, 64 << pools_before(layer))


FILTERS: dict[LayerName, tuple[int, int]] = {
    layer: (channels(layer), channels(before) if before else 3)
    for before, layer in zip((None, *LAYERS), LAYERS, strict=False)
}
"""Output and input channels of each convolution."""


def layers_up_to(
    wanted: Collection[LayerName], convolutions: tuple[LayerName, ...] = LAYERS
) -> tuple[LayerName, ...]:
    """The convolutions of a network up to the deepest of `wanted`."""
    return convolutions[: max(convolutions.index(layer) for layer in wanted) + 1]


def with_pools(chain: tuple[LayerName, ...]) -> Iterator[tuple[LayerName, bool]]:
    """Each convolution of a chain, and whether a pool follows it."""
    for layer, after in zip(chain, (*chain[1:], chain[-1]), strict=True):
        yield layer, pools_before(after) > pools_before(layer)
