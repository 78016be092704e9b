"""Construction of the two ONNX graphs of VGG: pictures to features, and gradients back.

The gradient graph is a chain of plain convolutions with transposed, rotated filters, which runtimes
compute fastest. Between the convolutions it propagates gradients back through ReLU, by masks that
are derived from the features, and through pools: an average is spread evenly, and a maximum goes to
its position (the first of equals, as in the indices of `MaxPool`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylewatch_painter import regular_file
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_painter.network.weights import locate
from stylewatch_painter.regular_file import NotAFileError
from stylewatch_painter.validation import refusing
from stylewatch_painter.vgg import (
    ARCHITECTURES,
    FILTERS,
    LayerName,
    layers_up_to,
    pools_before,
    with_pools,
)
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import MANIFEST, Pair, Part, Plan, read_manifest

Arrays = Mapping[str, NDArray[np.float32]]

OPSET = 18
IR_VERSION = 9  # from the same release as the opset, so that runtimes of that time can read it

_CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
_POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
_TWICE = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


class Manifest(Plan):
    """A plan, the part of it that a graph contains, and how the graph was built.

    The input is RGB from 0 to 255 (`range`) minus `mean`. `version` is that of stylewatch, and
    `library` names onnx and its version.
    """

    form: Literal["stylewatch-graph/1"] = "stylewatch-graph/1"
    part: Part
    range: tuple[float, float] = (0.0, 255.0)
    opset: int
    library: str
    version: str

    @property
    def plan(self) -> Plan:
        """The plan of the pair of graphs."""
        return Plan.model_validate(self.model_dump(include=set(Plan.model_fields)))


@dataclass(eq=False)
class Nodes:
    """An ONNX graph under construction: nodes and constants in order, values by name."""

    name: str
    _nodes: list[onnx.NodeProto] = field(default_factory=list)
    _constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    _outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node that is named like its only output, and return that name."""
        return self.add_many(op, inputs, [output], **attributes)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        """Add a node that is named like the first of its `outputs`, and return `outputs`."""
        self._nodes.append(helper.make_node(op, inputs, outputs, outputs[0], **attributes))
        return outputs

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, unless there is already one called `name`, and return `name`."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def integers(self, name: str, *values: int) -> str:
        """Add a constant of int64 `values`, for shapes and axes, and return its name."""
        return self.constant(name, np.array(values, dtype=np.int64))

    def number(self, name: str, value: float) -> str:
        """Add a float32 constant of one number, and return its name."""
        return self.constant(name, np.array(value, dtype=np.float32))

    def takes(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        """Declare an input of the graph, and return its name."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def gives(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> None:
        """Declare an output of the graph."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, plan: Plan, part: Part) -> onnx.ModelProto:
        """Return the model of `part`, with its manifest in the metadata."""
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="stylewatch",
        )
        manifest = Manifest(
            **plan.model_dump(),
            part=part,
            opset=OPSET,
            library=f"onnx {onnx.__version__}",
            version=version("stylewatch"),
        )
        helper.set_model_props(model, {MANIFEST: manifest.model_dump_json()})
        return model


@dataclass
class Link:
    """One convolution with its ReLU, whose features are an output if `wanted`.

    `pooled` is True if a pool follows.
    """

    layer: LayerName
    channels: int
    wanted: bool
    pooled: bool

    def __post_init__(self) -> None:
        """Name the values that belong to the layer."""
        self.above = f"{self.layer}.above"  # flags of the features above zero
        self.places = f"{self.layer}.places"  # positions of the maxima in the following pool
        self.gradient = f"{self.layer}.gradient"  # gradient of the features

    def shape(self, *, after_pool: bool = False) -> list[int | str]:
        """Return the shape (1, channels, height, width) of the maps.

        The sides have symbolic names. Maps with the same number of pools before them share these
        names.
        """
        halvings = pools_before(self.layer) + after_pool
        end = f"_{halvings + 1}" if halvings else ""
        return [1, self.channels, f"height{end}", f"width{end}"]

    def state(self, pool: str) -> Iterator[tuple[str, list[int | str], int]]:
        """Yield name, shape and type of each value that the gradient needs besides the features."""
        if not self.wanted:
            yield self.above, self.shape(), TensorProto.BOOL
        if self.pooled and pool == "max":
            yield self.places, self.shape(after_pool=True), TensorProto.INT64


def links(plan: Plan) -> list[Link]:
    """Return the convolutions up to the deepest layer of `plan`, in order."""
    chain = layers_up_to(plan.layers, ARCHITECTURES[plan.architecture])
    return [
        Link(
            layer=layer,
            channels=FILTERS[layer][0],
            wanted=layer in plan.layers,
            pooled=pooled,
        )
        for layer, pooled in with_pools(chain)
    ]


def build(plan: Plan, weights: str, pair: Pair) -> None:
    """Write both graphs of `plan` to `pair`, each atomically, from the weights called `weights`.

    Raises WeightsError if the weights are missing, damaged or not those of the plan, and OSError if
    a graph cannot be written.
    """
    file = locate(weights)
    if (file.sha256, file.mean) != (plan.weights, plan.mean):
        raise WeightsError(
            f"the weights {weights!r} are {file.sha256[:12]}..., and graphs for "
            f"{plan.weights[:12]}... are requested; `stylewatch weights list` shows all weights"
        )
    _, arrays = store.load(file, layers_up_to(plan.layers, file.layers))
    write(pair.features, features(plan, arrays))
    write(pair.gradient, gradient(plan, arrays))


def write(path: Path, model: onnx.ModelProto) -> None:
    """Check `model` and write it to `path`, atomically; raises OSError if that fails."""
    onnx.checker.check_model(model)
    store.write_file(path, model.SerializeToString(deterministic=True))


def features(plan: Plan, arrays: Arrays) -> onnx.ModelProto:
    """Build the graph from a picture to the features, and to the state that the gradient needs."""
    nodes = Nodes(f"{plan.architecture}-features")
    x = nodes.takes("picture", [1, 3, "height", "width"])
    for link in links(plan):
        layer = link.layer
        names = (f"{layer}.weight", f"{layer}.bias")
        filters = [nodes.constant(name, arrays[name]) for name in names]
        convolved = nodes.add("Conv", [x, *filters], f"{layer}.before", **_CONV)
        x = nodes.add("Relu", [convolved], layer)
        if link.wanted:
            nodes.gives(layer, link.shape())
        else:
            nodes.add("Greater", [x, nodes.number("zero", 0)], link.above)
        x = _pool(nodes, link, x, plan) if link.pooled else x
        for state in link.state(plan.pool):
            nodes.gives(*state)
    return nodes.model(plan, "features")


def _pool(nodes: Nodes, link: Link, x: str, plan: Plan) -> str:
    pooled = f"{link.layer}.pooled"
    ceil = int(plan.pool_edge == "ceil")
    if plan.pool == "max":
        return nodes.add_many("MaxPool", [x], [pooled, link.places], ceil_mode=ceil, **_POOL)[0]
    return nodes.add("AveragePool", [x], pooled, ceil_mode=ceil, count_include_pad=0, **_POOL)


def gradient(plan: Plan, arrays: Arrays) -> onnx.ModelProto:
    """Build the graph from features, their gradients and the state to the picture's gradient."""
    nodes = Nodes(f"{plan.architecture}-gradient")
    chain = links(plan)
    for link in chain:
        if link.wanted:
            nodes.takes(link.layer, link.shape())
            nodes.takes(link.gradient, link.shape())
        for state in link.state(plan.pool):
            nodes.takes(*state)
    back = ""  # no gradient arrives at the deepest layer from above
    for link in reversed(chain):
        # first, because otherwise ONNX Runtime computes all masks early and keeps them in memory
        mask = _mask(nodes, link)
        if link.pooled:
            back = _pool_back(nodes, link, back, plan)
        if link.wanted:
            both = [back, link.gradient]
            back = nodes.add("Add", both, f"{link.layer}.sum") if back else link.gradient
        back = nodes.add("Mul", [back, mask], f"{link.layer}.masked")
        turned = arrays[f"{link.layer}.weight"][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        filters = nodes.constant(f"{link.layer}.turned", turned)
        output = "picture.gradient" if link is chain[0] else f"{link.layer}.back"
        back = nodes.add("Conv", [back, filters], output, **_CONV)
    nodes.gives("picture.gradient", [1, 3, "height", "width"])
    return nodes.model(plan, "gradient")


def _mask(nodes: Nodes, link: Link) -> str:
    """Add the mask of `link`, and return its name.

    The mask is 1 where the features are above zero, and 0 elsewhere.
    """
    if link.wanted:
        nodes.add("Greater", [link.layer, nodes.number("zero", 0)], link.above)
    return nodes.add("Cast", [link.above], f"{link.layer}.mask", to=TensorProto.FLOAT)


def _pool_back(nodes: Nodes, link: Link, back: str, plan: Plan) -> str:
    """Add the nodes that propagate the gradient named `back` through the pool after `link`.

    Return the name of their output.
    """
    maps = link.layer if link.wanted else link.above  # a value with the shape of the result
    if plan.pool == "max":
        return _unpooled(nodes, link, back, maps)
    name = link.layer
    size = nodes.add("Shape", [maps], f"{name}.size", start=2)
    share = _shares(nodes, name, size, plan)
    even = nodes.add("Mul", [back, share], f"{name}.even")
    factors = nodes.constant("twice", np.array([1, 1, 2, 2], dtype=np.float32))
    spread = nodes.add("Resize", [even, "", factors], f"{name}.spread", **_TWICE)
    if plan.pool_edge == "ceil":
        origin = nodes.integers("origin", 0, 0)
        sides = nodes.integers("sides", 2, 3)
        return nodes.add("Slice", [spread, origin, size, sides], f"{name}.unpooled")
    spread_size = nodes.add("Shape", [spread], f"{name}.spread_size", start=2)
    missing = nodes.add("Sub", [size, spread_size], f"{name}.missing")
    pads = nodes.add(
        "Concat", [nodes.integers("no_pads", *[0] * 6), missing], f"{name}.pads", axis=0
    )
    return nodes.add("Pad", [spread, pads], f"{name}.unpooled")


def _unpooled(nodes: Nodes, link: Link, back: str, maps: str) -> str:
    """Add the nodes that reverse a max pool, and return the name of their output.

    They scatter the value named `back` to the flat indices `link.places`, which `MaxPool` returned,
    in zeros of the shape of the value named `maps`. `MaxUnpool` would be faster, but few runtimes
    support it, and their results differ at odd edges.
    """
    name = link.layer
    row = nodes.integers("row", -1)
    values = nodes.add("Reshape", [back, row], f"{name}.values")
    places = nodes.add("Reshape", [link.places, row], f"{name}.places_row")
    size = nodes.add("Shape", [maps], f"{name}.size")
    count = nodes.add("ReduceProd", [size], f"{name}.count", keepdims=1)
    zero = numpy_helper.from_array(np.zeros(1, dtype=np.float32))
    empty = nodes.add("ConstantOfShape", [count], f"{name}.empty", value=zero)
    filled = nodes.add("ScatterElements", [empty, places, values], f"{name}.filled")
    return nodes.add("Reshape", [filled, size], f"{name}.unpooled")


def _shares(nodes: Nodes, name: str, size: str, plan: Plan) -> str:
    """Add the share that each position has in its average, and return its name.

    The share is 1 divided by the number of positions: 1/4 or, with `ceil`, 1/2 at an odd edge, and
    1 in the corner of two odd edges.
    """
    if plan.pool_edge == "floor":
        return nodes.number("quarter", 0.25)
    one = nodes.integers("one", 1)
    two = nodes.integers("two", 2)
    half = nodes.number("half", 0.5)
    whole = nodes.number("whole", 1.0)
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


def load(path: Path) -> tuple[Manifest, onnx.ModelProto]:
    """Return the manifest and the ONNX model in the graph file at `path`.

    Raises GraphError if the path leads to a pipe or a device, or if the file is not a valid ONNX
    model with a manifest of the current form. Raises OSError if the file is missing or cannot be
    read.
    """
    try:
        with regular_file.opened(path) as file:
            model = onnx.load(file)
    except NotAFileError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise GraphError(
            f"{path} is not an ONNX model, or a part of it is missing; `stylewatch-export build` "
            "makes it anew"
        ) from error
    texts = {entry.key: entry.value for entry in model.metadata_props}
    fields = read_manifest(path, texts.get(MANIFEST, ""))
    try:
        return Manifest.model_validate(fields), model
    except ValueError as error:
        raise GraphError(
            f"the manifest of {path} is not valid; `stylewatch-export build` makes the graph anew"
        ) from error


def ends(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Return the `inputs` and `outputs` of a graph, each with name, type and shape.

    Raises GraphError if a type does not exist.
    """

    def described(value: onnx.ValueInfoProto) -> str:
        tensor = value.type.tensor_type
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        shape = " x ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
        return f"{value.name}: {dtype} {shape}"

    values = {"inputs": model.graph.input, "outputs": model.graph.output}
    with refusing(GraphError, "the graph"):
        return {name: list(map(described, list_)) for name, list_ in values.items()}
