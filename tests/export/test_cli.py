"""The stylewatch-export command: its arguments, its exit codes, and what `verify` reports."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.daemon.faults import failing
from tests.export import little
from tests.painter.networks import as_vgg16, save_torch

from stylewatch_export import graph
from stylewatch_export.cli import call
from stylewatch_export.graph import load
from stylewatch_export.verify import verify
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.weights import locate
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import Pair

LAYERS = ("--layer", "conv1_1", "--layer", "conv2_1")


def change(path: Path, name: str, factor: float) -> None:
    """Multiply one of a graph's constants."""
    _, model = load(path)
    (constant,) = [each for each in model.graph.initializer if each.name == name]
    constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * factor, name))
    graph.write(path, model)


@pytest.fixture
def pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Pair:
    assert call(["build", "-o", str(tmp_path), *LAYERS]) == 0
    pair = Pair(*(Path(line) for line in capsys.readouterr().out.splitlines()))
    assert pair.features.parent == tmp_path and pair.is_complete
    return pair


def test_recipe_gives_layers_and_pools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An option overrides the recipe."""
    assert call(["build", "-o", str(tmp_path), "--recipe", "devos", "--pool-edge", "floor"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert call(["show", first, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["pool"], shown["pool_edge"]) == ("average", "floor")
    assert shown["layers"] == ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1"]


def test_show_and_verify_print_a_graph_and_its_errors(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["show", str(pair.gradient)]) == 0
    shown = capsys.readouterr().out
    assert "layers     conv1_1, conv2_1" in shown
    assert "outputs    picture.gradient: float32 1 x 3 x height x width" in shown
    assert call(["verify", str(pair.gradient)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("conv1_1", "conv2_1", "gradient", "gradient", "conv1_1", "conv2_1", "gradient")
    ]
    assert all(float(line.split()[-1]) < 1e-4 for line in lines)
    pair.features.write_bytes(pair.features.read_bytes()[:5000])
    assert call(["verify", str(pair.features)]) == 65
    assert "is not an ONNX model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "name", "factor"),
    [
        ("features", "conv2_1.bias", np.nan),
        ("features", "conv2_1.weight", 1.01),
        ("features", "conv2_1.weight", 0.99),
        ("gradient", "conv1_2.turned", 1.01),
    ],
)
def test_verify_ends_with_65_for_a_wrong_graph(
    pair: Pair, part: str, name: str, factor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """A graph's values are too large, too small, or NaN, which comparisons do not notice."""
    change(getattr(pair, part), name, factor)
    assert call(["verify", str(pair.features)]) == 65
    assert "; 1e-04 is allowed" in capsys.readouterr().err


def test_the_end_of_the_reader_has_an_exit_code(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "write", failing(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert call(["show", str(pair.features)]) == 141


def without_its_data(model: onnx.ModelProto) -> None:
    constant = model.graph.initializer[0]
    constant.ClearField("raw_data")
    constant.data_location = onnx.TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="gone.bin")


def without_a_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 0


def without_layers(model: onnx.ModelProto) -> None:
    (manifest,) = model.metadata_props
    manifest.value = json.dumps({**json.loads(manifest.value), "layers": []})


def with_a_deep_manifest(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "[" * 100_000


@pytest.mark.parametrize(
    "damage", [without_its_data, without_a_type, without_layers, with_a_deep_manifest]
)
def test_damage_of_any_kind_is_a_sentence(
    damage: Callable[[onnx.ModelProto], object],
    pair: Pair,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, model = load(pair.features)
    damage(model)
    pair.features.write_bytes(model.SerializeToString())
    for verb in ("show", "verify"):
        assert call([verb, str(pair.features)]) == 65
        assert capsys.readouterr().err.startswith("stylewatch-export: ")


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_a_pipe_is_a_sentence(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "some.features.onnx")
    assert call([verb, str(tmp_path / "some.features.onnx")]) == 65
    assert "onnx cannot be read: it is a pipe or a device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "--layer", "conv6_1"], 64, "VGG19 has no layer 'conv6_1'; it has conv1_1"),
        (["build", "--weights", "none"], 69, "there are no weights 'none'"),
        (["build", "-o", "/dev/null/folder", *LAYERS], 73, "Not a directory"),
        (["build", "-o", "/proc/folder", *LAYERS], 73, "No such file"),
        (["show", "nowhere.features.onnx"], 66, "nowhere.features.onnx"),
        (["verify", "some.onnx"], 64, "is called neither NAME.features.onnx nor"),
        (["explain"], 64, "explain"),
    ],
)
def test_errors_have_exit_codes(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(words) == code
    assert message in capsys.readouterr().err


def test_graphs_of_vgg16_are_built_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    import_file(save_torch(tmp_path / "own.pth", as_vgg16(little.arrays(monkeypatch))))
    build = ["build", "-o", str(tmp_path / "out"), "--weights", "own", "--layer"]
    assert call([*build, "conv4_1"]) == 0
    path = capsys.readouterr().out.splitlines()[0]
    assert Path(path).name.startswith("vgg16-")
    import_file(tmp_path / "own.pth", name="another", normalization="torchvision")
    assert call(["verify", path]) == 0, capsys.readouterr().err
    assert call([*build, "conv3_4"]) == 64
    assert "'own' are a VGG16, which has no layer conv3_4" in capsys.readouterr().err


def built(folder: Path, kind: str) -> Pair:
    """The graphs for two shallow layers of the bundled weights."""
    file = locate()
    plan = little.plan(weights=file.sha256, mean=file.mean, pool=kind, pool_edge="ceil")
    pair = Pair.of(folder, plan.stem)
    graph.build(plan, "bundled", pair)
    return pair


def test_correct_graphs_agree_with_torch_and_the_reference(tmp_path: Path) -> None:
    comparisons = list(verify(built(tmp_path, "max"), (33, 27)))
    assert {each.against for each in comparisons} == {
        "torch", "torch, as the graph decided", "torch, as it decided itself", "onnx.reference"
    }  # fmt: skip
    assert all(each.error < 1e-5 for each in comparisons if each.judged)


def test_graphs_that_are_no_pair_or_of_missing_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, mean = built(tmp_path, "max"), built(tmp_path, "average")
    with pytest.raises(GraphError, match="are not of the same network"):
        next(verify(Pair(largest.features, mean.gradient)))
    arrays, plan, pair = little.arrays(monkeypatch), little.plan(), Pair.of(tmp_path, "strange")
    graph.write(pair.features, graph.features(plan, arrays))
    graph.write(pair.gradient, graph.gradient(plan, arrays))
    with pytest.raises(WeightsError, match=r"the weights 000000000000... .* are not installed"):
        next(verify(pair))
