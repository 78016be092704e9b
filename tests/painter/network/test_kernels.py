"""The compiled convolutions, compared with torch's own in float64 and with the plain chain."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.losses.gram import feature_sums
from stylewatch_painter.network import kernels
from stylewatch_painter.network.fused import FusedLayers
from stylewatch_painter.network.kernels import DIRECT, Convolution
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.vgg import ARCHITECTURES, FILTERS, LayerName

TOLERANCE = {
    (DIRECT, False): 1e-6,
    (4, False): 5e-6,
    (6, False): 1e-5,
    (DIRECT, True): 0.005,
    (4, True): 0.03,
}
"""Relative error in the norm by tile, in float32 or bfloat16: Winograd's transforms cost bits."""


def weight(outputs: int, inputs: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    scale = 3 * inputs**0.5
    filters: Tensor = torch.randn(outputs, inputs, 3, 3, generator=random) / scale
    return filters


def values(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def planes(maps: Tensor) -> Tensor:
    """Maps (height, width, N) in torch's order (1, N, height, width), in float64."""
    return maps.permute(2, 0, 1)[None].double()


def error(found: Tensor, wanted: Tensor) -> float:
    """Relative distance of maps (height, width, N) from `wanted` (1, N, height, width)."""
    return float((planes(found) - wanted).norm() / wanted.norm())


@pytest.fixture(params=kernels.variants(), autouse=True)
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each library that this CPU can run."""
    name: str = request.param
    monkeypatch.setattr(kernels, "library", lambda: kernels.variants()[name])
    return name


@pytest.mark.parametrize("size", [(37, 50), (5, 3)])
@pytest.mark.parametrize(
    ("way", "inputs", "tolerance"),
    [*((way, 64, tolerance) for way, tolerance in TOLERANCE.items()), ((DIRECT, False), 3, 1e-6)],
)
def test_convolution_with_bias_and_relu_and_its_gradient(
    way: tuple[int, bool], inputs: int, tolerance: float, size: tuple[int, int]
) -> None:
    """The input is the maps of a layer, or a picture."""
    tile, bfloat16 = way
    bfloat16 = bfloat16 and kernels.has_bfloat16()
    outputs = 2 * inputs if inputs > 3 else 64
    x, w, bias = values(*size, inputs), weight(outputs, inputs), values(outputs)
    output = torch.empty(*size, outputs)
    active = torch.empty(*size, outputs // 8, dtype=torch.uint8)
    filters = kernels.pack(w, tile, bfloat16=bfloat16)
    Convolution(x=x, filters=filters, bias=bias, relu=True, output=output, active=active).run()
    wanted = functional.conv2d(planes(x), w.double(), bias.double(), padding=1).relu()
    assert error(output, wanted) < tolerance
    bits = active[..., None] >> torch.arange(8, dtype=torch.uint8) & 1
    assert torch.equal(bits.flatten(2).bool(), output > 0)
    below, gradient = torch.empty(*size, inputs), values(*size, outputs)
    back = kernels.pack(w, tile, backward=True, bfloat16=bfloat16)
    Convolution(x=gradient, filters=back, output=below).run()
    wanted = functional.conv_transpose2d(planes(gradient), w.double(), padding=1)
    assert error(below, wanted) < tolerance
    assert not bfloat16 or error(below, wanted) > 1e-4, "rounded"


@pytest.mark.parametrize(("channels", "positions"), [(64, 5000), (128, 77), (512, 1)])
def test_gram_products_and_their_gradient(channels: int, positions: int) -> None:
    maps = values(positions, channels).mT
    matrices = values(channels, channels, seed=2)
    matrices += matrices.mT.clone()
    products = kernels.gram_products(maps)
    wanted = maps.double() @ maps.double().mT
    assert float((products - wanted).norm() / wanted.norm()) < 2e-6
    assert torch.equal(products, products.mT)
    wanted = matrices.double() @ maps.double()
    kernels.multiply_in_place(matrices, maps)
    assert float((maps - wanted).norm() / wanted.norm()) < 2e-6


@pytest.mark.parametrize(("size", "tile"), [((61, 47), 6), ((14, 20), 4), ((7, 10), DIRECT)])
def test_result_does_not_depend_on_the_threads(size: tuple[int, int], tile: int) -> None:
    """It is the same in blocks, and where the threads share a few tiles."""
    x, filters = values(*size, 64), kernels.pack(weight(64, 64), tile)
    maps = x.flatten(0, 1).mT
    results, threads = [], torch.get_num_threads()
    try:
        for count in (2, 3, 1):
            torch.set_num_threads(count)
            output = torch.empty(*size, 64)
            Convolution(x=x, filters=filters, output=output).run()
            results.append((output, kernels.gram_products(maps)))
    finally:
        torch.set_num_threads(threads)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.fixture(params=ARCHITECTURES)
def network(request: pytest.FixtureRequest) -> tuple[Vgg19, Vgg19]:
    """The same network of real shape with the compiled convolutions, and without."""
    weights = {}
    for number, layer in enumerate(ARCHITECTURES[request.param]):
        outputs, inputs = FILTERS[layer]
        weights[f"{layer}.weight"] = weight(outputs, inputs, number) * 2**0.5 * 3
        weights[f"{layer}.bias"] = values(outputs, seed=number)
    mean = (0.0, 0.0, 0.0)
    return Vgg19(weights, mean, compiled=True), Vgg19(weights, mean)


@pytest.mark.parametrize(("pool", "edge"), list(product(("max", "average"), ("floor", "ceil"))))
@pytest.mark.parametrize(
    "layers",
    [["conv1_1", "conv2_1", "conv4_1"], ["conv1_2", "conv2_1", "conv2_2", "conv3_1"]],
    ids=["behind pools", "before pools"],
)
def test_chain_and_its_gradient_match_those_of_torch(
    network: tuple[Vgg19, Vgg19], pool: str, edge: str, layers: list[LayerName]
) -> None:
    settings = NetworkSettings.model_validate({"pool": pool, "pool_edge": edge})
    results = []
    for vgg in network:
        x = values(1, 3, 21, 18).requires_grad_()
        features = vgg(x, layers, settings)
        slopes = [values(*features[layer].shape, seed=7) for layer in layers]
        (slope,) = torch.autograd.grad([features[layer] for layer in layers], x, slopes)
        results.append([*(features[layer].detach() for layer in layers), slope])
    for fused, plain in zip(*results, strict=True):
        assert float((fused - plain).norm() / plain.norm()) < 1e-4


@pytest.mark.parametrize("layer", ["conv1_1", "conv3_1"])
def test_a_picture_that_is_not_finite_gives_a_loss_and_a_gradient_that_are_not(
    network: tuple[Vgg19, Vgg19], layer: LayerName
) -> None:
    """Otherwise an optimizer that diverges would not be noticed."""
    for value in (float("nan"), float("inf")):
        x = values(1, 3, 20, 20)
        x[0, 1, 9, 9] = value
        x.requires_grad_()
        maps = network[0](x, [layer], NetworkSettings())[layer]
        sums = feature_sums(maps[0].flatten(1), replace=True).products
        (slope,) = torch.autograd.grad(sums.square().sum(), x)
        assert not sums.isfinite().all() and not slope.isfinite().all()


@pytest.mark.parametrize("keep_packed", [True, False])
def test_filters_are_kept_only_if_memory_has_no_limit(keep_packed: bool) -> None:
    layers = FusedLayers({"conv2_2": weight(128, 128)}, {}, keep_packed=keep_packed)
    *_, before, last = [layers.filters("conv2_2", (40, 40)) for _ in range(6)]
    assert (before is last) == keep_packed


def test_the_maps_of_a_tile_that_is_too_narrow_for_a_position_add_nothing() -> None:
    maps = torch.empty(1, 128, 0, 5).contiguous(memory_format=torch.channels_last)
    for _ in range(8):
        torch.full((128, 128), 7e3)  # fills the memory that the next tensor gets
        assert not feature_sums(maps.flatten(2).squeeze(0)).products.any()
