"""The manifest of a graph, in its metadata: what it computes, and how it was built."""

from pathlib import Path
from typing import Literal

import onnx
from google.protobuf.message import DecodeError

from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import MANIFEST, Part, Plan, check_seal, read_manifest


class Manifest(Plan):
    """A plan, the part of it that a graph is, and how the graph was built.

    The input is RGB from 0 to 255 (`range`) less `mean`. `version` is stylewatch's, `library`
    names what wrote the file.
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

    def attach(self, model: onnx.ModelProto) -> None:
        """Write the manifest into the model's metadata."""
        onnx.helper.set_model_props(model, {MANIFEST: self.model_dump_json()})


def load(path: Path) -> tuple[Manifest, onnx.ModelProto]:
    """Read the manifest of a graph's file, and the graph.

    Raises GraphError: damaged, of an older form or not ours; OSError where it cannot be read.
    """
    check_seal(path)
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise GraphError(
            f"{path} is no ONNX model; `stylewatch-export build` makes it anew"
        ) from error
    texts = {entry.key: entry.value for entry in model.metadata_props}
    fields = read_manifest(path, texts.get(MANIFEST, ""))
    try:
        return Manifest.model_validate(fields), model
    except ValueError as error:
        raise GraphError(
            f"the manifest of {path} does not make sense; `stylewatch-export build` makes the "
            "graph anew"
        ) from error


def ends(model: onnx.ModelProto) -> dict[str, list[str]]:
    """List the `inputs` and `outputs` of a graph, each with name, type and shape."""
    return {
        "inputs": [_described(value) for value in model.graph.input],
        "outputs": [_described(value) for value in model.graph.output],
    }


def _described(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape = " x ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
    return f"{value.name}: {dtype} {shape}"
