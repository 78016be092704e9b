"""Comparison of a pair of graphs with torch, and with ONNX's own reference evaluator.

A gradient depends on decisions: which features are above zero, and which of four values is the
greatest. If two values are nearly equal, two orders of summation may decide differently; the
gradients then differ, although both are correct. Therefore the graph's gradient is compared with a
gradient that torch computes from the graph's decisions. The difference from the gradient that torch
computes alone is reported, too, but not judged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from stylewatch_export.graph import load
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import Pool, Vgg19
from stylewatch_painter.validation import refusing
from stylewatch_painter.vgg import ARCHITECTURES, LayerName, layers_up_to, with_pools
from stylewatch_plugins.errors import BackendError, GraphError
from stylewatch_plugins.graphs import Pair, Plan
from stylewatch_plugins.onnx_runtime import OrtVgg19

LIMIT = 1e-4
"""Maximum error of a graph that passes."""

_CPU = torch.device("cpu")
_SMALL = 20  # side in pixels: the reference evaluator is slow


@dataclass(frozen=True)
class Comparison:
    """Result of comparing `what`, a layer or the gradient, with the reference `against`.

    The `error` of features is the maximum absolute difference, divided by the maximum value of the
    reference. That of gradients is their relative distance in the L2 norm.
    """

    what: str
    against: str
    error: float
    judged: bool = True
    """False if torch made its own decisions. The error is then only reported, because it can be
    large without a fault of the graph."""


def verify(pair: Pair, size: tuple[int, int] = (97, 75)) -> Iterator[Comparison]:
    """Compare the graphs of `pair` with torch and the reference evaluator, and yield the results.

    They are computed for two random pictures: one of `size` (width, height) in pixels, and a
    smaller one for the reference evaluator. Raises GraphError if the graphs are damaged or not a
    pair, OSError if a file cannot be read, and WeightsError if their weights are missing.
    """
    plan = load(pair.features)[0].plan
    if load(pair.gradient)[0].plan != plan:
        raise GraphError(f"{pair.features} and {pair.gradient} are not of the same network")
    with refusing(GraphError, str(pair.features), BackendError, WeightsError):
        vgg = _torch(plan)
        graph = opened(pair, plan)
        yield from _against_torch(graph, vgg, plan, _picture(plan, *size))
        yield from _against_reference(pair, vgg, plan, _picture(plan, _SMALL + 1, _SMALL))


def _against_torch(graph: OrtVgg19, vgg: Vgg19, plan: Plan, x: Tensor) -> Iterator[Comparison]:
    features, state = graph.forward(x, keep=True)
    named: dict[str, Tensor] = dict(zip(plan.layers, features, strict=True))
    u = x.clone().requires_grad_()
    maps_of_torch = vgg(u, plan.layers, network(plan))
    yield from _features(named, maps_of_torch, "torch")
    gradients = {layer: _even(maps) for layer, maps in maps_of_torch.items()}
    gradient = graph.backward({**graph.inputs_back(features, [*gradients.values()]), **state}, x)
    decided = torch_back(vgg, plan, {**named, **state}, gradients)
    yield Comparison("gradient", "torch, as the graph decided", distance(gradient, decided))
    (free,) = torch.autograd.grad([*maps_of_torch.values()], u, [*gradients.values()])
    yield Comparison(
        "gradient", "torch, as it decided itself", distance(gradient, free), judged=False
    )


def _against_reference(pair: Pair, vgg: Vgg19, plan: Plan, x: Tensor) -> Iterator[Comparison]:
    """Yield comparisons with ONNX's evaluator, which computes in NumPy.

    It shares no code with torch and ONNX Runtime.
    """
    forward, backward = (
        ReferenceEvaluator(load(path)[1]) for path in (pair.features, pair.gradient)
    )
    arrays = forward.run(None, {"picture": x.numpy()})
    outputs = {
        name: torch.from_numpy(a) for name, a in zip(forward.output_names, arrays, strict=True)
    }
    yield from _features(outputs, vgg(x, plan.layers, network(plan)), "onnx.reference")
    gradients = {layer: _even(outputs[layer]) for layer in plan.layers}
    inputs = {**outputs, **{f"{layer}.gradient": maps for layer, maps in gradients.items()}}
    (gradient,) = backward.run(None, {name: inputs[name].numpy() for name in backward.input_names})
    decided = torch_back(vgg, plan, outputs, gradients)
    yield Comparison("gradient", "onnx.reference", distance(torch.from_numpy(gradient), decided))


def _even(maps: Tensor) -> Tensor:
    """Return features scaled to a root mean square of 1, to serve as gradients in all layers."""
    maps = maps.detach()
    return maps / maps.square().mean().sqrt().clamp_min(1e-30)


def opened(pair: Pair, plan: Plan) -> OrtVgg19:
    """Open the graphs of `pair` in ONNX Runtime, on the CPU; raises GraphError if that fails."""
    providers = [("CPUExecutionProvider", dict[str, str]())]
    return OrtVgg19(pair, plan, _CPU, providers, torch.get_num_threads())


def _picture(plan: Plan, width: int, height: int) -> Tensor:
    """Draw a picture in network units (1, 3, height, width): smooth, with some grain."""
    draw = np.random.Generator(np.random.PCG64(0))
    coarse = torch.from_numpy(draw.uniform(0, 255, (1, 3, 8, 8)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    grain = torch.from_numpy(draw.normal(0, 8, smooth.shape).astype(np.float32))
    return (smooth + grain).clamp(0, 255) - torch.tensor(plan.mean).view(1, 3, 1, 1)


def distance(gradient: Tensor, expected: Tensor) -> float:
    """Return the relative distance of two gradients in the L2 norm."""
    return float((gradient - expected).norm() / expected.norm().clamp_min(1e-30))


def network(plan: Plan) -> NetworkSettings:
    """Return network settings with the pools of `plan`."""
    return NetworkSettings(pool=plan.pool, pool_edge=plan.pool_edge)


def torch_back(
    vgg: Vgg19, plan: Plan, kept: Mapping[str, Tensor], gradients: Mapping[LayerName, Tensor]
) -> Tensor:
    """Compute the picture's gradient in torch, from the `gradients` of the features.

    `kept` has the outputs of the feature graph by name. They determine which values pass the ReLUs
    and the pools.
    """
    pool = Pool.of(network(plan))
    chain = layers_up_to(plan.layers, ARCHITECTURES[plan.architecture])
    back = torch.zeros(())
    for layer, pooled in reversed([*with_pools(chain)]):
        above = kept[layer] > 0 if layer in gradients else kept[f"{layer}.above"]
        if pooled:
            size = (above.shape[-2], above.shape[-1])
            places = kept.get(f"{layer}.places")
            # ONNX numbers positions over all maps, torch within each map
            places = None if places is None else places % (size[0] * size[1])
            back = pool.back(back, size, places)
        back = (back + gradients[layer] if layer in gradients else back) * above
        back = vgg.convolve_back(layer, back)
    return back


def _torch(plan: Plan) -> Vgg19:
    for file in weights.available():
        if (file.sha256, file.mean) == (plan.weights, plan.mean):
            _, arrays = store.load(file, layers_up_to(plan.layers, file.layers))
            return Vgg19(
                {name: torch.from_numpy(array) for name, array in arrays.items()}, plan.mean
            )
    raise WeightsError(
        f"the weights {plan.weights[:12]}... that the graphs were made from are not installed; "
        "`stylewatch weights list` shows those that are"
    )


def _features(
    features: Mapping[str, Tensor], expected: Mapping[LayerName, Tensor], against: str
) -> Iterator[Comparison]:
    for layer, maps in expected.items():
        error = (features[layer] - maps).detach().abs().max()
        yield Comparison(layer, against, float(error / maps.detach().abs().max().clamp_min(1e-30)))
