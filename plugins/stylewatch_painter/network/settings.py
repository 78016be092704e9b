"""Settings of the network's forward pass."""

from typing import Literal

from stylewatch_painter.fields import Positive, Strict
from stylewatch_painter.vgg import Architecture


class NetworkSettings(Strict):
    """Settings of the network's forward pass."""

    architecture: Architecture = "vgg19"
    """`vgg16`: VGG16 if its weights are installed, otherwise VGG19; see `weights.choose`."""
    pool: Literal["max", "average"] = "max"
    pool_edge: Literal["floor", "ceil"] = "floor"
    pixel_range: Positive = 255.0
    """Value of white before the mean is subtracted: 255, or 256 as in neural-style."""
    padding: Literal["zeros", "reflect", "replicate"] = "zeros"
    """Padding around the picture; see `scene.padding`."""
    border: Literal[8, 16, 32] = 32
    """Width in pixels of the padding `reflect` or `replicate`, on each side."""
