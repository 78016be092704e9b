"""VGG19's feature maps as torch runs them, by the paper's names, never past the deepest asked for.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv 1409.1556), configuration E; the fully connected layers are not used.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.network.feature_maps import Mean
from stylewatch_painter.network.pools import Pool
from stylewatch_painter.network.precision import Precision, cut
from stylewatch_painter.recipes.recipe import LAYERS, LayerName, Network

_SAME = (1, 1), (1, 1), (1, 1), 1  # stride, padding, dilation, groups


def layers_up_to(wanted: Collection[LayerName]) -> tuple[LayerName, ...]:
    """The convolutions that must run for `wanted`: all up to the deepest of them."""
    return LAYERS[: max(LAYERS.index(layer) for layer in wanted) + 1]


class Vgg19:
    """The feature maps of pictures in network units (see `canvas.Canvas`).

    `weights` maps `conv1_1.weight` (out, in, 3, 3) and `conv1_1.bias` (out,) to float32 tensors
    on the device to run on, for every layer up to the deepest that will be asked for.
    `precision` is what convolutions are computed in; `exact` is the same network in fp32.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], mean: Mean, precision: Precision = "fp32"
    ) -> None:
        self.mean = mean
        self.precision = precision
        self.exact: Vgg19 = self if precision == "fp32" else Vgg19(weights, mean)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._weights = {
            name: _channels_last(tensor.to(self._dtype))
            for name, tensor in weights.items()
            if name.endswith(".weight")
        }
        self._biases = {
            name: tensor.to(self._dtype)
            for name, tensor in weights.items()
            if name.endswith(".bias")
        }

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._biases["conv1_1.bias"].device

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        """Features after ReLU, (B, N, height, width) each, of x (B, 3, height, width).

        Differentiable once with respect to x. They are bfloat16 where that is the precision.
        """
        chain = layers_up_to(layers)
        wanted = [layer for layer in chain if layer in layers]
        found: tuple[Tensor, ...] = _Chain.apply(x, self, chain, wanted, Pool(network))
        return dict(zip(wanted, found, strict=True))

    def convolve(self, layer: LayerName, x: Tensor) -> Tensor:
        """One convolution and its ReLU; in place, since nobody else holds what is between."""
        weight, bias = self._weights[f"{layer}.weight"], self._biases[f"{layer}.bias"]
        x = x.to(self._dtype)
        with cut(self.precision):
            if x.is_cuda:  # all in one kernel; elsewhere there is none
                fused: Tensor = torch.ops.aten.cudnn_convolution_relu(x, weight, bias, *_SAME)
                return fused
            return functional.conv2d(x, weight, bias, padding=1).relu_()

    def convolve_back(self, layer: LayerName, gradient: Tensor) -> Tensor:
        """The gradient before a convolution, from that after it."""
        with cut(self.precision):
            return functional.conv_transpose2d(
                gradient, self._weights[f"{layer}.weight"], padding=1
            )


class _Chain(torch.autograd.Function):
    """The whole chain of convolutions as one function, its gradient worked out by hand.

    Autograd would keep every map until its gradient comes by. All that the way back needs of a
    map that nobody asked for is where it is above zero: in float32, an eighth of the bytes. Of one
    that goes into a max pool it is enough to know that of what comes out.
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
                ctx.above[layer] = _signs(x)
            if after is not None and after.endswith("_1"):
                x, ctx.pooled[layer] = pool(x)
                if layer in ctx.above and pool.passes_on_to_one:
                    ctx.above[layer] = _signs(x)
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
            above = ctx.above.pop(layer, None)
            if layer in ctx.pooled:
                if above is not None and pool.passes_on_to_one:  # nothing is kept from the others
                    back, above = _where_above(back, above), None
                back = pool.back(back, ctx.pooled.pop(layer))
            if layer in asked:
                above, own = asked.pop(layer)
                # the gradient that comes from autograd is not ours to change
                back = back.add_(own) if back.ndim else _channels_last(own).clone()
            if above is not None:
                back = _where_above(back, above)
            back = vgg.convolve_back(layer, back)
        return back.float(), None, None, None, None


def _signs(x: Tensor) -> Tensor:
    """What tells where x is above zero: x itself, where flags would save little."""
    return x if x.dtype == torch.bfloat16 else x > 0


def _where_above(gradient: Tensor, above: Tensor) -> Tensor:
    """The gradient, in place, with zeros where a ReLU let nothing through."""
    if above.dtype == torch.bool:
        return gradient.mul_(above)
    torch.ops.aten.threshold_backward.grad_input(gradient, above, 0, grad_input=gradient)
    return gradient


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
