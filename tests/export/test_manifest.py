"""What a graph says of itself, and what is refused."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from tests.export import little

from stylewatch_export import graph, manifest
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import MANIFEST, sealed


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    arrays = little.arrays(monkeypatch)
    graph.write(tmp_path / "a.features.onnx", graph.features(little.plan(), arrays))
    return tmp_path / "a.features.onnx"


def say(path: Path, **changes: Any) -> None:
    """Change what a graph says of itself, and seal it again."""
    model = onnx.load(path)
    said = json.loads(model.metadata_props[0].value)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {MANIFEST: json.dumps({**said, **changes})})
    path.write_bytes(sealed(model.SerializeToString()))


def test_a_graph_says_what_it_is_for(path: Path) -> None:
    found, model = manifest.load(path)
    assert found.plan == little.plan()
    assert (found.part, found.opset, found.range) == ("features", 18, (0, 255))
    assert found.library == f"onnx {onnx.__version__}" and found.version
    onnx.checker.check_model(model)


def test_an_older_manifest_is_refused_in_a_sentence(path: Path) -> None:
    say(path, form="stylewatch-graph/0")
    with pytest.raises(GraphError, match="is of the form stylewatch-graph/0, and stylewatch-gr"):
        manifest.load(path)


def test_a_manifest_that_makes_no_sense_is_refused(path: Path) -> None:
    say(path, opset="new")
    with pytest.raises(GraphError, match="does not make sense"):
        manifest.load(path)


def test_a_file_cut_short_is_refused_in_a_sentence(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GraphError, match=r"is cut short, damaged or no graph of stylewatch's"):
        manifest.load(path)


def test_a_whole_file_that_is_no_graph_is_refused(path: Path) -> None:
    path.write_bytes(sealed(b"no graph at all"))
    with pytest.raises(GraphError, match="is no ONNX model; `stylewatch-export build` makes"):
        manifest.load(path)


def test_a_whole_graph_of_somebody_else_is_refused(path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    path.write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(GraphError, match="has no manifest"):
        manifest.load(path)
