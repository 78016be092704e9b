"""VGG19's feature maps as torch runs them, by the paper's names, never past the deepest asked for.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv 1409.1556), configuration E; the fully connected layers are not used.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.pools import Pool
from stylewatch_painter.recipe import LAYERS, LayerName, Network

Mean = tuple[float, float, float]
"""What a network expects to be subtracted from a picture: RGB, 0..255."""


def layers_up_to(wanted: Collection[LayerName]) -> tuple[LayerName, ...]:
    """The convolutions that must run for `wanted`: all up to the deepest of them."""
    return LAYERS[: max(LAYERS.index(layer) for layer in wanted) + 1]


class Vgg19:
    """The feature maps of pictures in network units (see `canvas.Canvas`).

    `weights` maps `conv1_1.weight` (out, in, 3, 3) and `conv1_1.bias` (out,) to float32 tensors
    on the device to run on, for every layer up to the deepest that will be asked for.
    """

    def __init__(self, weights: Mapping[str, Tensor], mean: Mean) -> None:
        self.mean = mean
        self._weights = {
            name: _channels_last(tensor) if name.endswith(".weight") else tensor
            for name, tensor in weights.items()
        }

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._weights["conv1_1.bias"].device

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        """Features after ReLU, (1, N, height, width) each, of x (1, 3, height, width).

        Differentiable once with respect to x.
        """
        chain = layers_up_to(layers)
        wanted = [layer for layer in chain if layer in layers]
        found: tuple[Tensor, ...] = _Chain.apply(x, self, chain, wanted, Pool(network))
        return dict(zip(wanted, found, strict=True))

    def convolve(self, layer: LayerName, x: Tensor) -> Tensor:
        """One convolution and its ReLU; in place, since nobody else holds what is between."""
        weight, bias = self._weights[f"{layer}.weight"], self._weights[f"{layer}.bias"]
        return functional.conv2d(x, weight, bias, padding=1).relu_()

    def convolve_back(self, layer: LayerName, gradient: Tensor) -> Tensor:
        """The gradient before a convolution, from that after it."""
        return functional.conv_transpose2d(gradient, self._weights[f"{layer}.weight"], padding=1)


class _Chain(torch.autograd.Function):
    """The whole chain of convolutions as one function, its gradient worked out by hand.

    Autograd would keep every map until its gradient comes by. All that the way back needs of a
    map that nobody asked for is where it is above zero, an eighth of the bytes at most.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        vgg: Vgg19,
        chain: Sequence[LayerName],
        wanted: Sequence[LayerName],
        pool: Pool,
    ) -> tuple[Tensor, ...]:
        """The features of `wanted`; what the way back needs, only if there will be one."""
        on_the_way_back = ctx.needs_input_grad[0]
        found = []
        ctx.above, ctx.pooled = {}, {}
        x = _channels_last(x)
        for layer, after in zip(chain, (*chain[1:], None), strict=True):
            x = vgg.convolve(layer, x)
            if layer in wanted:
                found.append(x)
            elif on_the_way_back:
                ctx.above[layer] = x > 0
            if after is not None and after.endswith("_1"):
                x, ctx.pooled[layer] = pool(x)
        if not on_the_way_back:
            ctx.pooled.clear()
        ctx.save_for_backward(*found)
        ctx.plan = (vgg, chain, wanted, pool)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """From the gradients of `wanted` to that of the picture."""
        vgg, chain, wanted, pool = ctx.plan
        asked = dict(zip(wanted, zip(ctx.saved_tensors, gradients, strict=True), strict=True))
        back = torch.zeros(())  # nothing comes from beyond the deepest layer
        for layer in reversed(chain):
            if layer in ctx.pooled:
                back = pool.back(back, ctx.pooled.pop(layer))
            if layer in asked:
                features, own = asked.pop(layer)
                # the gradient that comes from autograd is not ours to change
                back = back.add_(own) if back.ndim else _channels_last(own).clone()
                above = features > 0
            else:
                above = ctx.above.pop(layer)
            back = vgg.convolve_back(layer, back.mul_(above))
        return back, None, None, None, None


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
