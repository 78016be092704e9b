"""A graph while it is being built: nodes and constants in order, each value by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9  # what came with that opset: runtimes of those days read it


@dataclass(eq=False)
class Nodes:
    """Adds nodes one after the other; what comes in and goes out is declared on the way."""

    name: str
    _nodes: list[onnx.NodeProto] = field(default_factory=list)
    _constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    _outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node with one output, which is also its name."""
        return self.add_many(op, inputs, [output], **attributes)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        """A node with several outputs; it is called after the first."""
        self._nodes.append(helper.make_node(op, inputs, outputs, outputs[0], **attributes))
        return outputs

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A constant; the first one of a name stands for all."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def integers(self, name: str, *values: int) -> str:
        """A constant of whole numbers, as shapes and axes are given."""
        return self.constant(name, np.array(values, dtype=np.int64))

    def takes(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def gives(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> None:
        """Declare an output."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self) -> onnx.ModelProto:
        """All of it as a model."""
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, constants)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="stylewatch",
        )


def ends(model: onnx.ModelProto) -> dict[str, list[str]]:
    """The `inputs` and `outputs` of a graph: each its name, its type and its shape."""
    return {
        "inputs": [_told(one) for one in model.graph.input],
        "outputs": [_told(one) for one in model.graph.output],
    }


def _told(value: onnx.ValueInfoProto) -> str:
    about = value.type.tensor_type
    kind = helper.tensor_dtype_to_np_dtype(about.elem_type)
    shape = " x ".join(dim.dim_param or str(dim.dim_value) for dim in about.shape.dim)
    return f"{value.name}: {kind} {shape}"
