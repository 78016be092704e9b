"""VGG16 and VGG19 as networks that compute feature maps, with the layer names of the paper.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv 1409.1556), configurations D and E, without the fully connected layers and only as deep as
needed.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.network import kernels
from stylewatch_painter.network.device import Precision
from stylewatch_painter.network.fused import FusedChain, FusedLayers, bytes_of_chain
from stylewatch_painter.network.kernels import Pooling
from stylewatch_painter.network.network_bytes import NetworkBytes
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.vgg import LAYERS, LayerName, layers_up_to, values_per_pixel, with_pools

Mean = tuple[float, float, float]
"""The mean to subtract from a picture: RGB, 0..255."""


class FeatureMaps(Protocol):
    """A network that computes feature maps of pictures, differentiable by torch."""

    mean: Mean
    device: torch.device
    rereads_maps: bool
    """True if the backward pass reads the maps that the network has returned."""

    @property
    def exact(self) -> "FeatureMaps":
        """The same network with maps in float32; the network itself if its maps are float32."""
        ...

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: NetworkSettings
    ) -> dict[LayerName, Tensor]:
        """Return features after ReLU, (1, N, rows, columns) by layer, of x (1, 3, height, width).

        x is in network units (see `canvas.Canvas`).
        """
        ...


class PlannedMaps(Protocol):
    """A network that declares its memory, so that a painting can be planned."""

    rereads_maps: bool
    """True if the backward pass reads the maps that the network has returned."""

    def bytes_per_pixel(self, layers: Collection[LayerName]) -> NetworkBytes:
        """Return the maximum number of bytes that evaluating `layers` takes for each pixel."""
        ...


class CountedMaps(FeatureMaps, PlannedMaps, Protocol):
    """A network that computes feature maps and declares its memory."""


def cut(precision: Precision) -> AbstractContextManager[None]:
    """Return a context for convolutions in the given `precision` of float32 factors.

    With `tf32`, cuDNN rounds them to TF32; otherwise it does not.
    """
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=precision == "tf32")


_FLOAT = 4  # bytes of a float32
_INDEX = 8  # bytes of the index of a maximum
_SIDE = (2, 2)  # size and stride of a pool, in pixels


class Pool(Pooling):
    """Max or average pooling in torch, 2x2 with stride 2.

    With `ceil`, averages at odd edges exclude padding, as with TensorFlow's padding `SAME`.
    """

    @classmethod
    def of(cls, network: NetworkSettings) -> "Pool":
        """Return the pool that the settings `network` define."""
        return cls(network.pool == "average", network.pool_edge == "ceil")

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the pooled maps of x (1, N, height, width) and the indices of maxima.

        The indices are None for an average pool.
        """
        if self.average:
            pooled = functional.avg_pool2d(
                x, _SIDE, _SIDE, ceil_mode=self.ceil, count_include_pad=False
            )
            return pooled, None
        pooled, places = functional.max_pool2d_with_indices(
            x, _SIDE, _SIDE, ceil_mode=self.ceil, return_indices=True
        )
        return pooled, places

    def back(self, gradient: Tensor, size: tuple[int, int], places: Tensor | None) -> Tensor:
        """Return the gradient of maps of `size` (height, width) from the gradient after the pool.

        `places` are the indices of maxima, or None for an average pool. A maximum passes its
        gradient to one position, the first of equal ones. An average spreads its gradient evenly.
        """
        height, width = size
        if places is not None:
            # torch's own backward pass requires the input, but uses only its shape and layout
            like = torch.empty(
                (*gradient.shape[:2], height, width),
                dtype=gradient.dtype,
                device=gradient.device,
                memory_format=torch.channels_last,
            )
            unpooled: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
                gradient, like, _SIDE, _SIDE, (0, 0), (1, 1), self.ceil, places
            )
            return unpooled
        even = gradient / 4
        if self.ceil:  # at an odd edge an average is over half as many values
            even[..., height // 2 :, :] *= 2
            even[..., width // 2 :] *= 2
        spread = functional.interpolate(even, scale_factor=2)
        if self.ceil:
            return spread[..., :height, :width]
        return functional.pad(spread, (0, width % 2, 0, height % 2))


_SAME = (1, 1), (1, 1), (1, 1), 1  # stride, padding, dilation, groups


class Vgg19:
    """VGG16 or VGG19 in torch: feature maps of pictures in network units (see `canvas.Canvas`).

    `weights` maps `conv1_1.weight` (out, in, 3, 3) and `conv1_1.bias` (out,) to float32 tensors on
    the device, and so on for every layer up to the deepest one needed; VGG16 lacks conv3_4, conv4_4
    and conv5_4. `precision` is that of the convolutions; `exact` is a network with float32 maps.
    With `compiled` the compiled convolutions are used if the library supports the filters. A lower
    precision then applies to gradients only, and maps are exact. See FusedLayers for `keep_packed`.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        mean: Mean,
        precision: Precision = "fp32",
        *,
        compiled: bool = False,
        keep_packed: bool = True,
    ) -> None:
        self.mean = mean
        self.precision = precision
        self.device = weights["conv1_1.bias"].device
        self.layers = tuple(layer for layer in LAYERS if f"{layer}.weight" in weights)
        filters = {layer: weights[f"{layer}.weight"] for layer in self.layers}
        self.is_fused = compiled and all(map(kernels.can_convolve, filters.values()))
        self.rereads_maps = not self.is_fused
        is_exact = precision == "fp32" or self.is_fused
        self.exact: Vgg19 = self if is_exact else Vgg19(weights, mean)
        if self.is_fused:
            self._fused = FusedLayers(
                filters,
                {layer: weights[f"{layer}.bias"] for layer in self.layers},
                bfloat16=precision == "bf16",
                keep_packed=keep_packed,
            )
            return
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        cast = {name: tensor.to(self._dtype) for name, tensor in weights.items()}
        self._weights = {layer: _channels_last(cast[f"{layer}.weight"]) for layer in self.layers}
        self._biases = {layer: cast[f"{layer}.bias"] for layer in self.layers}

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: NetworkSettings
    ) -> dict[LayerName, Tensor]:
        """Return features after ReLU, (1, N, rows, columns) by layer, of x (1, 3, height, width).

        They are differentiable once with respect to x. They are float32, or bfloat16 if torch
        convolves with the precision `bf16`.
        """
        chain = layers_up_to(layers, self.layers)
        requested = [layer for layer in chain if layer in layers]
        pool = Pool.of(network)
        features: tuple[Tensor, ...]
        if self.is_fused:
            features = FusedChain.apply(x, self._fused, chain, requested, pool)
        else:
            features = _Chain.apply(x, self, chain, requested, pool)
        return dict(zip(requested, features, strict=True))

    def bytes_per_pixel(self, layers: Collection[LayerName]) -> NetworkBytes:
        """Return the maximum number of bytes that evaluating `layers` takes for each pixel."""
        chain = layers_up_to(layers, self.layers)
        if self.is_fused:
            return bytes_of_chain(chain, layers)
        value = self._dtype.itemsize
        held = largest = 0.0
        for layer, pools in with_pools(chain):
            values = values_per_pixel(layer)
            after_pool = values / 4 if pools else 0.0
            # signs of features, or bfloat16 features in their place, and the positions of maxima
            signs = after_pool if pools else values
            held += 0 if layer in layers else signs * (value if value < _FLOAT else 1)
            held += after_pool * _INDEX
            largest = max(largest, values)
        return NetworkBytes(value, passing=3 * largest * value, held=held, back=4 * largest * value)

    def convolve(self, layer: LayerName, x: Tensor) -> Tensor:
        """Return the output (1, outputs, rows, columns) of a convolution of x and its ReLU.

        It is bfloat16 or float32, the dtype in which torch convolves.
        """
        weight = self._weights[layer]
        bias = self._biases[layer]
        x = x.to(self._dtype)
        with cut(self.precision):
            if x.is_cuda:  # CUDA has one kernel for both
                fused: Tensor = torch.ops.aten.cudnn_convolution_relu(x, weight, bias, *_SAME)
                return fused
            return functional.conv2d(x, weight, bias, padding=1).relu_()

    def convolve_back(self, layer: LayerName, gradient: Tensor) -> Tensor:
        """Return the gradient of a convolution's input from that of its output before ReLU."""
        with cut(self.precision):
            return functional.conv_transpose2d(gradient, self._weights[layer], padding=1)


class _Chain(torch.autograd.Function):
    """The chain of convolutions as one autograd function with a backward pass of its own.

    Autograd would keep every map until the backward pass. This function keeps only the signs of a
    map that was not requested, which take a quarter of the bytes of float32. Before a max pool it
    keeps only the signs of the pool's output.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        vgg: Vgg19,
        chain: tuple[LayerName, ...],
        requested: Sequence[LayerName],
        pool: Pool,
    ) -> tuple[Tensor, ...]:
        """Return the features of `requested`; keep data only if x needs a gradient."""
        on_the_way_back = ctx.needs_input_grad[0]
        features = []
        ctx.above = {}
        ctx.pooled = {}
        x = _channels_last(x)
        for layer, pools in with_pools(chain):
            x = vgg.convolve(layer, x)
            if layer in requested:
                features.append(x)
            elif on_the_way_back:
                ctx.above[layer] = _signs(x)
            if pools:
                size = x.shape[-2:]
                x, places = pool(x)
                ctx.pooled[layer] = size, places
                if layer in ctx.above and not pool.average:
                    ctx.above[layer] = _signs(x)
        if not on_the_way_back:
            ctx.pooled.clear()
        ctx.save_for_backward(*features)
        ctx.plan = (vgg, chain, requested, pool)
        return tuple(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the picture, given those of the requested features."""
        vgg, chain, names, pool = ctx.plan
        requested = dict(zip(names, zip(ctx.saved_tensors, gradients, strict=True), strict=True))
        back = torch.zeros(())  # no gradient arrives at the deepest layer from above
        for layer in reversed(chain):
            above = ctx.above.pop(layer, None)
            if layer in ctx.pooled:
                if above is not None and not pool.average:  # only the pool's output has signs
                    back = _where_above(back, above)
                    above = None
                back = pool.back(back, *ctx.pooled.pop(layer))
            if layer in requested:
                above, from_losses = requested.pop(layer)
                # the gradient from autograd must not be modified
                back = back.add_(from_losses) if back.ndim else _channels_last(from_losses).clone()
            if above is not None:
                back = _where_above(back, above)
            back = vgg.convolve_back(layer, back)
        return back.float(), None, None, None, None


def _signs(x: Tensor) -> Tensor:
    """Return a tensor that tells where x is positive: flags, or x itself if it is bfloat16."""
    return x if x.dtype == torch.bfloat16 else x > 0


def _where_above(gradient: Tensor, above: Tensor) -> Tensor:
    """Zero `gradient` in place where `above` (see `_signs`) is not positive, and return it."""
    if above.dtype == torch.bool:
        return gradient.mul_(above)
    torch.ops.aten.threshold_backward.grad_input(gradient, above, 0, grad_input=gradient)
    return gradient


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
