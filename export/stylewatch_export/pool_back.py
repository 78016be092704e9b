"""The way back through a pool, as nodes of a graph: maxima to their places, averages spread."""

from typing import Any

import numpy as np
from onnx import numpy_helper

from stylewatch_export.chain import Link
from stylewatch_export.nodes import Nodes
from stylewatch_plugins.graph_file import Plan

_TWICE = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


def pool_back(nodes: Nodes, link: Link, back: str, plan: Plan) -> str:
    """The gradient before the pool that comes after `link`, from that behind the pool."""
    maps = link.layer if link.asked else link.above  # of the shape that is wanted
    if plan.pool == "max":
        return _unpooled(nodes, link, back, maps, plan)
    name = link.layer
    size = nodes.add("Shape", [maps], f"{name}.size", start=2)
    share = _shares(nodes, name, size, plan)
    even = nodes.add("Mul", [back, share], f"{name}.even")
    factors = nodes.constant("twice", np.array([1, 1, 2, 2], dtype=np.float32))
    spread = nodes.add("Resize", [even, "", factors], f"{name}.spread", **_TWICE)
    if plan.pool_edge == "ceil":
        origin, sides = nodes.integers("origin", 0, 0), nodes.integers("sides", 2, 3)
        return nodes.add("Slice", [spread, origin, size, sides], f"{name}.unpooled")
    here = nodes.add("Shape", [spread], f"{name}.spread_size", start=2)
    missing = nodes.add("Sub", [size, here], f"{name}.missing")
    pads = nodes.add(
        "Concat", [nodes.integers("no_pads", *[0] * 6), missing], f"{name}.pads", axis=0
    )
    return nodes.add("Pad", [spread, pads], f"{name}.unpooled")


def _unpooled(nodes: Nodes, link: Link, back: str, maps: str, plan: Plan) -> str:
    """Each value to its place; maps are laid out in one row, as `MaxPool` counts its indices.

    `MaxUnpool` would be quicker, but runtimes differ about odd edges, and few have it.
    """
    name = link.layer
    row = nodes.integers("row", -1)
    values = nodes.add("Reshape", [back, row], f"{name}.values")
    places = nodes.add("Reshape", [link.places, row], f"{name}.places_row")
    size = nodes.add("Shape", [maps], f"{name}.size")
    count = nodes.add("ReduceProd", [size], f"{name}.count", keepdims=1)
    zero = numpy_helper.from_array(np.zeros(1, dtype=_number(plan)))
    empty = nodes.add("ConstantOfShape", [count], f"{name}.empty", value=zero)
    filled = nodes.add("ScatterElements", [empty, places, values], f"{name}.filled")
    return nodes.add("Reshape", [filled, size], f"{name}.unpooled")


def _shares(nodes: Nodes, name: str, size: str, plan: Plan) -> str:
    """What each average passes on to each of its positions: one over how many it was of.

    A quarter; but at an odd edge that is pooled for itself, a half, and in the corner all of it.
    """
    kind = _number(plan)
    if plan.pool_edge == "floor":
        return nodes.constant("quarter", np.array(0.25, dtype=kind))
    one, two = nodes.integers("one", 1), nodes.integers("two", 2)
    half, whole = (
        nodes.constant(word, np.array(value, dtype=kind))
        for word, value in (("half", 0.5), ("whole", 1.0))
    )
    pairs = nodes.add("Div", [size, two], f"{name}.pairs")
    rest = nodes.add("Mod", [size, two], f"{name}.rest")
    along = []
    for axis, side in enumerate(("down", "right")):
        place = nodes.integers(side, axis)
        counts = [nodes.add("Gather", [of, place], f"{of}.{side}", axis=0) for of in (pairs, rest)]
        halves = nodes.add("Expand", [half, counts[0]], f"{name}.halves.{side}")
        wholes = nodes.add("Expand", [whole, counts[1]], f"{name}.wholes.{side}")
        shares = nodes.add("Concat", [halves, wholes], f"{name}.shares.{side}", axis=0)
        if side == "down":
            shares = nodes.add("Unsqueeze", [shares, one], f"{name}.shares.column")
        along.append(shares)
    return nodes.add("Mul", along, f"{name}.shares")


def _number(plan: Plan) -> type[np.floating[Any]]:
    return np.float16 if plan.precision == "fp16" else np.float32
