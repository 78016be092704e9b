"""The way back through pools, by ONNX's own evaluator, against plain NumPy."""

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from tests.export import little
from tests.painter.plain_vgg19 import Array, pooled, unpooled

from stylewatch_export.graph import Link, Nodes, _pool_back

LINK = Link("conv1_2", channels=3, wanted=True, pooled=True)
POOLS = list(product(("max", "average"), ("floor", "ceil")))


def back(kind: str, edge: str) -> onnx.ModelProto:
    """A graph of nothing but the pool and its way back."""
    nodes = Nodes("back")
    nodes.takes("conv1_2", LINK.shape())
    nodes.takes("after", LINK.shape(after_pool=True))
    for name, shape, type_ in LINK.state(kind):
        nodes.takes(name, shape, type_)
    before = _pool_back(nodes, LINK, "after", little.plan(pool=kind, pool_edge=edge))
    nodes.gives(before, LINK.shape(), TensorProto.FLOAT)
    return nodes.model()


@pytest.mark.parametrize(("kind", "edge"), POOLS)
@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 7), (1, 3), (2, 1), (1, 1)])
def test_maps_of_any_size_get_their_share(kind: str, edge: str, size: tuple[int, int]) -> None:
    """A map that would vanish is left to `ceil`."""
    if edge == "floor" and min(size) == 1:
        size = (2, 3)
    draw = np.random.Generator(np.random.PCG64(0))
    x = draw.standard_normal((3, *size))
    after = draw.standard_normal(pooled(x, kind, edge).shape)
    inputs: dict[str, NDArray[Any]] = {
        "conv1_2": x[None].astype(np.float32),
        "after": after[None].astype(np.float32),
    }
    if kind == "max":
        inputs["conv1_2.places"] = places(x, edge)
    model = back(kind, edge)
    (found,) = ReferenceEvaluator(model).run(None, inputs)
    wanted = unpooled(after, x, kind, edge)
    assert np.allclose(found[0], wanted, atol=1e-6)
    (again,) = little.run(model, **inputs).values()
    assert np.allclose(again[0], wanted, atol=1e-6)


def places(x: Array, edge: str) -> NDArray[np.int64]:
    """Where the maxima of x lie, counted through all maps."""
    maxima = pooled(x, "max", edge)
    found = np.zeros(maxima.shape, dtype=np.int64)
    for at in np.ndindex(*maxima.shape):
        found[at] = np.flatnonzero(x == maxima[at])[0]
    return found[None]
