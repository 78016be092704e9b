"""A graph while it is being built."""

import numpy as np
import onnx
from tests.export.little import run

from stylewatch_export.graph import IR_VERSION, OPSET, Nodes
from stylewatch_export.manifest import ends


def twice_and_one() -> Nodes:
    nodes = Nodes("sum")
    x = nodes.takes("x", [1, "width"])
    two = nodes.constant("two", np.array(2, np.float32))
    assert nodes.constant("two", np.array(3, np.float32)) == two
    nodes.add("Add", [nodes.add("Mul", [x, two], "twice"), "two"], "y")
    nodes.gives("y", [1, "width"])
    return nodes


def test_nodes_become_a_graph_that_runs() -> None:
    """The first constant of a name stands for all."""
    model = twice_and_one().model()
    onnx.checker.check_model(model, full_check=True)
    found = run(model, x=np.array([[1, 2]], np.float32))
    assert found["y"].tolist() == [[4, 6]]


def test_the_model_says_what_reads_it() -> None:
    model = twice_and_one().model()
    assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)


def test_the_ends_of_a_graph_are_told_by_name_type_and_shape() -> None:
    found = ends(twice_and_one().model())
    assert found == {"inputs": ["x: float32 1 x width"], "outputs": ["y: float32 1 x width"]}
