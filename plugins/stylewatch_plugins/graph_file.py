"""What a graph of VGG19 is made for, where it lies, and whether its file is whole; no onnx.

A graph's file ends in a seal: the SHA-256 of all that stands before it, in the form of one more
entry of the model's metadata, so that every reader of ONNX takes it for what it is.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.recipes.recipe import LAYERS, LayerName, Objective, Strict
from stylewatch_plugins.errors import GraphError

FORM = "stylewatch-graph/1"
"""How a graph of ours names its form; the number grows with every change of how they are built."""

MANIFEST = "stylewatch"
"""Under which name the manifest, a JSON text, stands in a graph's metadata."""

Part = Literal["features", "gradient"]
Precision = Literal["fp32", "fp16"]

_SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"  # metadata_props: an entry of a key and 64 digits
_DIGITS = 64


class Plan(Strict):
    """What a pair of graphs is made for; `weights` is the SHA-256 that names the network."""

    weights: str
    mean: tuple[float, float, float]
    layers: tuple[LayerName, ...]
    pool: Literal["max", "average"]
    pool_edge: Literal["floor", "ceil"]
    precision: Precision = "fp32"

    @classmethod
    def of(cls, objective: Objective, file: WeightsFile, precision: Precision = "fp32") -> "Plan":
        """The plan for all that `objective` looks at, in the network of `file`."""
        return cls(
            weights=file.sha256,
            mean=file.mean,
            layers=tuple(layer for layer in LAYERS if layer in objective.layers),
            pool=objective.network.pool,
            pool_edge=objective.network.pool_edge,
            precision=precision,
        )

    @property
    def stem(self) -> str:
        """A file name that no other plan has."""
        digest = hashlib.sha256((FORM + self.model_dump_json()).encode()).hexdigest()
        return f"vgg19-{self.pool}-{self.pool_edge}-{self.precision}-{digest[:16]}"

    def check(self, path: Path, part: Part, manifest: str) -> None:
        """Raise GraphError where what `path` says of itself is not this plan's `part`."""
        said = said_by(path, manifest)
        wanted = {"part": part, **self.model_dump(mode="json")}
        for field, value in wanted.items():
            if said.get(field) != value:
                raise GraphError(
                    f"{path} is a graph for {field} {said.get(field)!r}, and {value!r} is asked "
                    "for; `stylewatch-export build` makes one that fits"
                )


def said_by(path: Path, manifest: str) -> dict[str, object]:
    """The manifest of the graph at `path`; GraphError where it has none, or one of other days."""
    try:
        said = json.loads(manifest or "null")
    except ValueError:
        said = None
    form = said.get("form") if isinstance(said, dict) else None
    if form is None:
        raise GraphError(
            f"{path} has no manifest of stylewatch's; `stylewatch-export build` makes graphs "
            "that do"
        )
    if form != FORM:
        raise GraphError(
            f"{path} is of the form {form}, and {FORM} is needed here; `stylewatch-export build` "
            "makes it anew"
        )
    return dict(said)


@dataclass(frozen=True)
class Pair:
    """The files of a feature graph and of its gradient graph."""

    features: Path
    gradient: Path

    @classmethod
    def of(cls, folder: Path, stem: str) -> "Pair":
        """The two files called `stem` in `folder`, there or not."""
        return cls(folder / f"{stem}.features.onnx", folder / f"{stem}.gradient.onnx")

    @property
    def whole(self) -> bool:
        """Whether both are there, and as they were written."""
        try:
            check_seal(self.features)
            check_seal(self.gradient)
        except (GraphError, OSError):
            return False
        return True


def sealed(model: bytes) -> bytes:
    """A serialized model with its seal."""
    return model + _SEAL + hashlib.sha256(model).hexdigest().encode()


def check_seal(path: Path) -> None:
    """Raise GraphError where `path` is not as it was written, OSError where it cannot be read."""
    length = path.stat().st_size - len(_SEAL) - _DIGITS
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (block := file.read(min(length, 1 << 20))):
            digest.update(block)
            length -= len(block)
        seal = file.read()
    if seal != _SEAL + digest.hexdigest().encode():
        raise GraphError(
            f"{path} is cut short, damaged or no graph of stylewatch's; "
            "`stylewatch-export build` makes it anew"
        )
