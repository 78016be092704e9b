"""The stylewatch-export command, from its words to its exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from stylewatch_export import graph, manifest
from stylewatch_export.cli import call
from stylewatch_plugins.graphs import Pair

LAYERS = ("--layer", "conv1_1", "--layer", "conv2_1")


@pytest.fixture
def pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Pair:
    assert call(["build", "-o", str(tmp_path), *LAYERS]) == 0
    features, gradient = (Path(line) for line in capsys.readouterr().out.splitlines())
    return Pair(features, gradient)


def test_build_writes_both_graphs_and_prints_where(pair: Pair, tmp_path: Path) -> None:
    assert pair.features.parent == tmp_path and pair.whole
    assert pair.features.name.endswith(".features.onnx")
    assert pair.gradient.name.endswith(".gradient.onnx")


def test_layers_and_pools_come_from_the_recipe_where_nothing_else_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["build", "-o", str(tmp_path), "--recipe", "devos", "--pool-edge", "floor"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert call(["show", first, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pool"], said["pool_edge"]) == ("average", "floor")
    assert said["layers"] == ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1"]


@pytest.mark.parametrize("part", ["features", "gradient"])
def test_verify_prints_the_greatest_errors(
    pair: Pair, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either of the two files will do to name them."""
    assert call(["verify", str(getattr(pair, part))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("conv1_1", "conv2_1", "gradient", "gradient", "conv1_1", "conv2_1", "gradient")
    ]
    assert all(float(line.split()[-1]) < 1e-4 for line in lines)


def test_verify_ends_with_65_where_a_graph_is_off(
    pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylewatch_export.verify.LIMITS", {"fp32": 1e-12})
    assert call(["verify", str(pair.features)]) == 65
    assert "and 1e-12 is allowed" in capsys.readouterr().err


def test_verify_ends_with_65_where_a_graph_gives_nan(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    """NaN is no smaller error than the limit, whichever comparison it comes from."""
    about, model = manifest.load(pair.features)
    (bias,) = [value for value in model.graph.initializer if value.name == "conv2_1.bias"]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * np.nan, bias.name))
    del model.metadata_props[:]
    about.attach(model)
    graph.write(pair.features, model)
    assert call(["verify", str(pair.features)]) == 65
    assert "is off by nan, and 1e-04 is allowed" in capsys.readouterr().err


def test_show_tells_what_goes_in_and_comes_out(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["show", str(pair.gradient)]) == 0
    told = capsys.readouterr().out
    assert "layers     conv1_1, conv2_1" in told
    assert "outputs    picture.gradient: float32 1 x 3 x height x width" in told


def test_a_damaged_graph_is_told_in_a_sentence(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.features.write_bytes(pair.features.read_bytes()[:5000])
    assert call(["verify", str(pair.features)]) == 65
    assert "is cut short, damaged or no graph" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["build", "--layer", "conv6_1"], 64, "VGG19 has no layer 'conv6_1'; it has conv1_1"),
        (["build", "--recipe", "besst"], 64, "did you mean 'best'"),
        (["build", "--weights", "none"], 69, "there are no weights 'none'"),
        (["build", "--precision", "int8"], 64, "int8"),
        (["show", "nowhere.features.onnx"], 66, "nowhere.features.onnx"),
        (["verify", "some.onnx"], 64, "is called neither NAME.features.onnx nor"),
        (["explain"], 64, "explain"),
    ],
)
def test_what_cannot_be_done_is_told_with_an_exit_code(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(words) == code
    assert told in capsys.readouterr().err
