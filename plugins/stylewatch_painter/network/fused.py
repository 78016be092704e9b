"""The chain of VGG's convolutions on a CPU, each fused with its ReLU and pool.

A map is stored only if it is requested or the next convolution reads it. For the backward pass, one
bit is kept for each ReLU and one byte for each pooled value.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from stylewatch_painter.network import kernels
from stylewatch_painter.network.kernels import Convolution, Filters, Pooling
from stylewatch_painter.network.network_bytes import NetworkBytes
from stylewatch_painter.vgg import LayerName, pools_before, values_per_pixel, with_pools

_FLOAT = 4  # bytes
_PICTURE = 3.0 * _FLOAT  # bytes per pixel

_KEPT = 80_000
"""Maximum number of pixels of a picture for which packed filters are kept. They take 4 or 7 times
the memory of the weights. Packing them again for each convolution makes a step of that size 20
percent slower, and 5 percent at 0.25 megapixels."""

_USES_BEFORE_KEPT = 3
"""Number of uses of a layer's filters before they are kept. A job of one step uses them three
times, for both targets and the step: allocating memory for all layers would cost it more than
packing."""


@dataclass(frozen=True, eq=False)
class Arriving:
    """The gradient that the backward pass passes to a layer."""

    values: Tensor
    """The gradient, float32 (height, width, N)."""
    routes: Tensor | None = None
    """Routes of the pool after the layer, uint8; None if no pool follows or the gradient has passed
    back through it. With routes, both tensors have the size of the pooled maps."""


@dataclass(eq=False)
class FusedLayers:
    """The layers of a network: float32 weights and biases by layer, for use by one thread.

    With `bfloat16` the factors of the backward pass are rounded to bfloat16, which changes the
    gradient by about 1 %. Rounding in the forward pass would flip ReLUs and maxima, and change the
    gradient by 10 %. Without `keep_packed`, filters are packed anew for each convolution.
    """

    weights: Mapping[LayerName, Tensor]
    biases: Mapping[LayerName, Tensor]
    bfloat16: bool = False
    keep_packed: bool = True
    _packed: dict[tuple[LayerName, bool], Filters] = field(default_factory=dict)
    _uses: Counter[tuple[LayerName, bool]] = field(default_factory=Counter)
    _memory: Tensor | None = None
    """Memory of filters that are not kept, reused for the next ones."""

    def filters(
        self, layer: LayerName, size: tuple[int, int], *, backward: bool = False
    ) -> Filters:
        """Return the packed filters of `layer` for maps of `size` (height, width).

        With `backward` they are the filters for the gradient. The next call may overwrite them,
        unless they are kept.
        """
        weight = self.weights[layer]
        key = (layer, backward)
        bfloat16 = self.bfloat16 and backward
        outputs, inputs = weight.shape[:2]
        tile = kernels.fastest_tile(inputs, outputs, size, bfloat16=bfloat16)
        is_small = size[0] * size[1] * 4 ** pools_before(layer) <= _KEPT
        is_kept = self.keep_packed and is_small and self._uses[key] >= _USES_BEFORE_KEPT
        self._uses[key] += 1
        packed = self._packed.pop(key, None)
        if packed is None or packed.tile != tile:
            packed = kernels.pack(
                weight,
                tile,
                backward=backward,
                bfloat16=bfloat16,
                memory=None if is_kept else self._memory,
            )
        if is_kept:
            self._packed[key] = packed
        else:
            self._memory = packed.packed
        return packed

    def convolve_back(
        self,
        layer: LayerName,
        size: tuple[int, int],
        arriving: Arriving,
        pooling: Pooling,
        *,
        add: Tensor | None = None,
        relu_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the gradient of the input of `layer`, float32 (height, width, inputs).

        `size` is (height, width). `add` is another gradient of the same input: it is added to the
        result, and overwritten with the sum. The result is zero where `relu_mask` marks an inactive
        ReLU.
        """
        filters = self.filters(layer, size, backward=True)
        below = arriving.values.new_empty(*size, filters.outputs) if add is None else add
        Convolution(
            x=arriving.values,
            filters=filters,
            size=size,
            unpool=arriving.routes,
            pooling=pooling,
            output=below,
            add=add,
            relu_mask=relu_mask,
        ).run()
        return below


@dataclass(eq=False)
class _Kept:
    """Data of one picture that the backward pass needs, by layer.

    `active` has a bit for each feature, set where it is above 0 or NaN: uint8 (height, width, N /
    8). It lacks layers of which only pooled maps are used. `routes` are the positions in each 2x2
    square to which a pooled value passes its gradient, as the lowest four bits: uint8 (rows,
    columns, N). They lack layers without a pool. Both are empty if no gradient is needed.
    """

    sizes: dict[LayerName, tuple[int, int]] = field(default_factory=dict)
    """Height and width of the layer's maps, before a pool."""
    active: dict[LayerName, Tensor] = field(default_factory=dict)
    routes: dict[LayerName, Tensor] = field(default_factory=dict)


class FusedChain(torch.autograd.Function):
    """The features (1, N, rows, columns) of `requested` layers, channels last, of one picture.

    The backward pass overwrites the gradients that it receives. Therefore two of the features must
    not be added directly, because torch would pass the same gradient for both.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        layers: FusedLayers,
        chain: tuple[LayerName, ...],
        requested: Collection[LayerName],
        pooling: Pooling,
    ) -> tuple[Tensor, ...]:
        """Return the features of `requested`, in their order, for x (1, 3, height, width).

        Data for the backward pass are kept only if x needs a gradient.
        """
        needs_gradient = ctx.needs_input_grad[0]
        features, ctx.kept = _forward(x[0], layers, chain, requested, pooling, needs_gradient)
        ctx.plan = (layers, chain, requested, pooling)
        ctx.dtype = x.dtype
        return tuple(_channels_first(features[layer]) for layer in requested)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the picture, and overwrite the gradients of `requested`."""
        layers, chain, requested, pooling = ctx.plan
        by_layer = {
            layer: gradient[0].permute(1, 2, 0).contiguous()
            for layer, gradient in zip(requested, gradients, strict=True)
        }
        back = _backward(by_layer, ctx.kept, layers, chain, pooling)
        for gradient in gradients:
            torch.autograd.graph.increment_version(gradient)
        return _channels_first(back).to(ctx.dtype), None, None, None, None


def bytes_of_chain(chain: tuple[LayerName, ...], requested: Collection[LayerName]) -> NetworkBytes:
    """Return the maximum number of bytes that an evaluation of `chain` takes for each pixel.

    They do not include the returned maps of the `requested` layers (see NetworkBytes).
    """
    held = _PICTURE
    passing = 0.0
    x = _PICTURE
    for layer, pools in with_pools(chain):
        values = values_per_pixel(layer)
        pooled = values / 4 if pools else 0.0
        has_output = not pools or layer in requested
        held += pooled + (values / 8 if has_output else 0)  # routes, and a bit for each feature
        output = 0.0 if layer in requested or not has_output else values * _FLOAT
        passing = max(passing, x + output + pooled * _FLOAT)
        x = pooled * _FLOAT if pools else output
    return NetworkBytes(_FLOAT, passing=passing, held=held, back=passing)


def _channels_first(maps: Tensor) -> Tensor:
    """Return a view of maps (height, width, N) as (1, N, height, width)."""
    return maps[None].permute(0, 3, 1, 2)


def _forward(
    picture: Tensor,
    layers: FusedLayers,
    chain: tuple[LayerName, ...],
    requested: Collection[LayerName],
    pooling: Pooling,
    needs_gradient: bool,
) -> tuple[dict[LayerName, Tensor], _Kept]:
    """Return the features (rows, columns, N) of `requested` layers of a picture (3, height, width).

    The second result has the data that the backward pass needs. Without `needs_gradient` it has
    only the sizes of maps.
    """
    x = picture.float().permute(1, 2, 0).contiguous()
    features: dict[LayerName, Tensor] = {}
    kept = _Kept()
    for layer, pools in with_pools(chain):
        kept.sizes[layer] = size = (x.shape[0], x.shape[1])
        filters = layers.filters(layer, size)
        pooled = routes = output = active = None
        if pools:
            pooled = x.new_empty(*pooling.size(*size), filters.outputs)
            if needs_gradient:
                kept.routes[layer] = routes = torch.empty_like(pooled, dtype=torch.uint8)
        if not pools or layer in requested:
            output = x.new_empty(*size, filters.outputs)
            if needs_gradient:
                active = torch.empty(*size, filters.outputs // 8, dtype=torch.uint8)
                kept.active[layer] = active
        Convolution(
            x=x,
            filters=filters,
            bias=layers.biases[layer],
            relu=True,
            output=output,
            active=active,
            pooled=pooled,
            routes=routes,
            pooling=pooling,
        ).run()
        if output is not None and layer in requested:
            features[layer] = output
        following = pooled if pools else output
        assert following is not None
        x = following
    return features, kept


def _backward(
    gradients: Mapping[LayerName, Tensor],
    kept: _Kept,
    layers: FusedLayers,
    chain: Sequence[LayerName],
    pooling: Pooling,
) -> Tensor:
    """Return the gradient (height, width, 3) of a picture, given those of the requested features.

    Some of `gradients`, (rows, columns, N) by layer, are overwritten.
    """
    deepest = chain[-1]
    kernels.mask(gradients[deepest], kept.active[deepest])
    arriving = Arriving(gradients[deepest])
    for layer, previous in pairwise(reversed(chain)):
        convolve_back = partial(layers.convolve_back, layer, kept.sizes[layer], arriving, pooling)
        from_losses = gradients.get(previous)
        routes = kept.routes.get(previous)
        if routes is None:
            back = convolve_back(add=from_losses, relu_mask=kept.active[previous])
            arriving = Arriving(back)
        elif from_losses is None:
            # the gradient stays behind the pool: the next convolution reads it through the routes,
            # which saves a map of four times the size
            arriving = Arriving(convolve_back(), routes)
        else:
            active = kept.active[previous]
            kernels.add_unpooled(from_losses, active, convolve_back(), routes, pooling)
            arriving = Arriving(from_losses)
    first = chain[0]
    return layers.convolve_back(first, kept.sizes[first], arriving, pooling)
