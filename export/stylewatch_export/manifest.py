"""What a graph says of itself, in its own metadata: for what it is made, and by what."""

from pathlib import Path
from typing import Literal

import onnx
from google.protobuf.message import DecodeError

from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graph_file import MANIFEST, Part, Plan, check_seal, said_by


class Manifest(Plan):
    """A plan, which part of it a graph is, and how that was built.

    What goes in is RGB from 0 to 255 (`range`) less `mean`. `version` is stylewatch's, `library`
    what wrote the file.
    """

    form: Literal["stylewatch-graph/1"] = "stylewatch-graph/1"
    part: Part
    range: tuple[float, float] = (0.0, 255.0)
    opset: int
    library: str
    version: str

    @property
    def plan(self) -> Plan:
        """What the pair of graphs is made for."""
        return Plan.model_validate(self.model_dump(include=set(Plan.model_fields)))

    def attach(self, model: onnx.ModelProto) -> None:
        """Write it into the model's metadata."""
        onnx.helper.set_model_props(model, {MANIFEST: self.model_dump_json()})


def load(path: Path) -> tuple[Manifest, onnx.ModelProto]:
    """The manifest of a graph's file, and the graph.

    Raises GraphError: damaged, of an older form or none of ours; OSError where it cannot be read.
    """
    check_seal(path)
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise GraphError(
            f"{path} is no ONNX model; `stylewatch-export build` makes it anew"
        ) from error
    texts = {one.key: one.value for one in model.metadata_props}
    said = said_by(path, texts.get(MANIFEST, ""))
    try:
        return Manifest.model_validate(said), model
    except ValueError as error:
        raise GraphError(
            f"the manifest of {path} does not make sense; `stylewatch-export build` makes the "
            "graph anew"
        ) from error
