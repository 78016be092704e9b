"""Plans, seals and manifests of graphs, without any library for them."""

import json
from pathlib import Path
from typing import Any

import pytest

from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graph_file import FORM, Pair, Plan, check_seal, said_by, sealed

PLAN = Plan(weights="0" * 64, mean=(1, 2, 3), layers=("conv1_1",), pool="max", pool_edge="floor")
SAID: dict[str, Any] = {"form": FORM, "part": "features", **PLAN.model_dump(mode="json")}


@pytest.mark.parametrize(
    "changed",
    [
        {"weights": "1" * 64},
        {"mean": (3, 2, 1)},
        {"layers": ("conv1_2",)},
        {"pool": "average"},
        {"pool_edge": "ceil"},
        {"precision": "fp16"},
    ],
)
def test_every_plan_has_a_name_of_its_own_and_takes_no_other_graph(changed: dict[str, Any]) -> None:
    other = PLAN.model_copy(update=changed)
    assert other.stem != PLAN.stem
    (field,) = changed
    with pytest.raises(GraphError, match=f"here is a graph for {field} "):
        other.check(Path("here"), "features", json.dumps(SAID))


def test_a_plan_takes_its_own_graph_and_tells_the_parts_apart() -> None:
    PLAN.check(Path("here"), "features", json.dumps(SAID))
    with pytest.raises(GraphError, match="for part 'features', and 'gradient' is asked for"):
        PLAN.check(Path("here"), "gradient", json.dumps(SAID))


@pytest.mark.parametrize("manifest", ["", "[]", "{", '"text"', "{}"])
def test_a_graph_without_a_manifest_of_ours_is_refused(manifest: str) -> None:
    with pytest.raises(GraphError, match="here has no manifest of stylewatch's"):
        said_by(Path("here"), manifest)


def test_a_manifest_of_other_days_is_refused_by_its_form() -> None:
    with pytest.raises(GraphError, match="of the form stylewatch-graph/0, and stylewatch-graph/1"):
        said_by(Path("here"), json.dumps({**SAID, "form": "stylewatch-graph/0"}))


@pytest.mark.parametrize("model", [b"", b"a", b"graph" * 1000])
def test_a_seal_holds_until_a_byte_changes(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "graph.onnx"
    whole = sealed(model)
    path.write_bytes(whole)
    check_seal(path)
    for broken in (whole[:-1], whole + b"\0", whole[1:], b"x" + whole, b""):
        path.write_bytes(broken)
        with pytest.raises(GraphError, match="is cut short, damaged or no graph"):
            check_seal(path)


def test_a_pair_is_whole_with_both_files_sound(tmp_path: Path) -> None:
    pair = Pair.of(tmp_path, "one")
    assert not pair.whole
    pair.features.write_bytes(sealed(b"features"))
    assert not pair.whole
    pair.gradient.write_bytes(sealed(b"gradient"))
    assert pair.whole
    pair.gradient.write_bytes(b"gradient")
    assert not pair.whole
