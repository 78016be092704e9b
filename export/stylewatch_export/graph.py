"""Builds the two ONNX graphs of VGG19: pictures to features, and features' gradients back.

The gradient graph is a chain of plain convolutions with transposed, turned filters: runtimes know
no operation better. Between them go what ReLU and the pools did: masks taken from the features,
averages spread evenly, maxima to the place they came from (the first of equals, as `MaxPool`
counts its indices).
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from stylewatch_export.chain import Link, links
from stylewatch_export.manifest import Manifest
from stylewatch_export.nodes import OPSET, Nodes
from stylewatch_export.pool_back import pool_back
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_painter.network.vgg19 import layers_up_to
from stylewatch_painter.network.weights import locate
from stylewatch_plugins.graph_file import Pair, Part, Plan, sealed

Arrays = Mapping[str, NDArray[np.float32]]

_CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
_POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
_LEAST = 1e-30  # a gradient that is nothing at all is divided by this


def build(plan: Plan, weights: str, pair: Pair) -> None:
    """Write both graphs of `plan`, each whole or not at all, out of the weights called `weights`.

    Raises WeightsError: not here, damaged, or not those that the plan names; OSError.
    """
    file = locate(weights)
    if (file.sha256, file.mean) != (plan.weights, plan.mean):
        raise WeightsError(
            f"the weights {weights!r} are {file.sha256[:12]}..., and graphs for "
            f"{plan.weights[:12]}... are asked for; `stylewatch weights list` tells which are which"
        )
    _, arrays = store.load(file, layers_up_to(plan.layers))
    write(pair.features, features(plan, arrays))
    write(pair.gradient, gradient(plan, arrays))


def write(path: Path, model: onnx.ModelProto) -> None:
    """Check `model` and write it with its seal, whole or not at all."""
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(sealed(model.SerializeToString(deterministic=True)))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def features(plan: Plan, arrays: Arrays) -> onnx.ModelProto:
    """Picture in network units to the features asked for, and what the way back needs."""
    nodes = Nodes("vgg19-features")
    x = nodes.takes("picture", [1, 3, "height", "width"])
    half = plan.precision == "fp16"
    if half:
        x = nodes.add("Cast", [x], "picture.half", to=TensorProto.FLOAT16)
    for link in links(plan):
        layer = link.layer
        filters = [
            nodes.constant(name, _cut(arrays[name], half))
            for name in (f"{layer}.weight", f"{layer}.bias")
        ]
        before = nodes.add("Conv", [x, *filters], f"{layer}.before", **_CONV)
        x = nodes.add("Relu", [before], f"{layer}.half" if half else layer)
        if link.asked:
            if half:
                nodes.add("Cast", [x], layer, to=TensorProto.FLOAT)
            nodes.gives(layer, link.shape())
        else:
            nodes.add("Greater", [x, _zero(nodes, half)], link.above)
        x = _pool(nodes, link, x, plan) if link.pooled else x
        for state in link.state(plan.pool):
            nodes.gives(*state)
    return _finished(nodes, plan, "features")


def _pool(nodes: Nodes, link: Link, x: str, plan: Plan) -> str:
    pooled = f"{link.layer}.pooled"
    ceil = int(plan.pool_edge == "ceil")
    if plan.pool == "max":
        return nodes.add_many("MaxPool", [x], [pooled, link.places], ceil_mode=ceil, **_POOL)[0]
    return nodes.add("AveragePool", [x], pooled, ceil_mode=ceil, count_include_pad=0, **_POOL)


def gradient(plan: Plan, arrays: Arrays) -> onnx.ModelProto:
    """Gradients of the features asked for, and what was kept, to the gradient of the picture."""
    nodes = Nodes("vgg19-gradient")
    half = plan.precision == "fp16"
    chain = links(plan)
    for link in chain:
        if link.asked:
            nodes.takes(link.layer, link.shape())
            nodes.takes(link.gradient, link.shape())
        for state in link.state(plan.pool):
            nodes.takes(*state)
    given = _gradients(nodes, [link for link in chain if link.asked], half)
    back = ""  # nothing comes from beyond the deepest layer
    for link in reversed(chain):
        # before the nodes that it waits for: ONNX Runtime then holds no mask before its turn
        mask = _mask(nodes, link, half)
        if link.pooled:
            back = pool_back(nodes, link, back, plan)
        if link.asked:
            own = given[link.layer]
            back = nodes.add("Add", [back, own], f"{link.layer}.sum") if back else own
        back = nodes.add("Mul", [back, mask], f"{link.layer}.masked")
        turned = arrays[f"{link.layer}.weight"][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        filters = nodes.constant(f"{link.layer}.turned", _cut(turned, half))
        last = link is chain[0] and not half
        back = nodes.add(
            "Conv", [back, filters], "picture.gradient" if last else f"{link.layer}.back", **_CONV
        )
    if half:
        whole = nodes.add("Cast", [back], "picture.scaled", to=TensorProto.FLOAT)
        nodes.add("Mul", [whole, "greatest"], "picture.gradient")
    nodes.gives("picture.gradient", [1, 3, "height", "width"])
    return _finished(nodes, plan, "gradient")


def _mask(nodes: Nodes, link: Link, half: bool) -> str:
    """One where the features of `link` are above zero, else zero."""
    above = link.above
    if link.asked:
        above = nodes.add("Greater", [link.layer, _zero(nodes, False)], above)
    return nodes.add("Cast", [above], f"{link.layer}.mask", to=_float(half))


def _gradients(nodes: Nodes, asked: list[Link], half: bool) -> dict[str, str]:
    """The gradients that come in, by layer; in fp16 divided by the greatest of all values.

    Gradients are small numbers, and fp16 has none under 6e-8. All that follows is linear in them.
    """
    if not half:
        return {str(link.layer): link.gradient for link in asked}
    tops = [
        nodes.add(
            "ReduceMax",
            [nodes.add("Abs", [link.gradient], f"{link.gradient}.size")],
            f"{link.gradient}.top",
            keepdims=0,
        )
        for link in asked
    ]
    least = nodes.constant("least", np.array(_LEAST, dtype=np.float32))
    nodes.add("Max", [*tops, least], "greatest")
    found: dict[str, str] = {}
    for link in asked:
        scaled = nodes.add("Div", [link.gradient, "greatest"], f"{link.gradient}.scaled")
        found[link.layer] = nodes.add(
            "Cast", [scaled], f"{link.gradient}.half", to=TensorProto.FLOAT16
        )
    return found


def _finished(nodes: Nodes, plan: Plan, part: Part) -> onnx.ModelProto:
    model = nodes.model()
    manifest = Manifest(
        **plan.model_dump(),
        part=part,
        opset=OPSET,
        library=f"onnx {onnx.__version__}",
        version=version("stylewatch"),
    )
    manifest.attach(model)
    return model


def _float(half: bool) -> int:
    return int(TensorProto.FLOAT16 if half else TensorProto.FLOAT)


def _zero(nodes: Nodes, half: bool) -> str:
    kind = np.float16 if half else np.float32
    return nodes.constant("zero", np.array(0, dtype=kind))


def _cut(array: NDArray[np.float32], half: bool) -> NDArray[np.float16] | NDArray[np.float32]:
    return array.astype(np.float16) if half else array
