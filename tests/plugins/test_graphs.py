"""Plans and manifests of graphs, and the cache into which each graph is built once."""

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stylewatch_painter.network import weights
from stylewatch_plugins import graphs
from stylewatch_plugins.errors import BackendMissingError, GraphError
from stylewatch_plugins.graphs import FORM, Pair, Plan, make_room

PLAN = Plan(weights="0" * 64, mean=(1, 2, 3), layers=("conv1_1",), pool="max", pool_edge="floor")
MANIFEST: dict[str, Any] = {"form": FORM, "part": "features", **PLAN.model_dump(mode="json")}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of graphs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return graphs.cache_folder()


def real_plan() -> Plan:
    file = weights.locate()
    return PLAN.model_copy(update={"weights": file.sha256, "mean": file.mean})


def test_plan_has_its_own_name_and_accepts_no_other_graph() -> None:
    for field, value in {"weights": "1" * 64, "mean": (3, 2, 1), "layers": ("conv1_2",),
                         "pool": "average", "pool_edge": "ceil",
                         "architecture": "vgg16"}.items():  # fmt: skip
        other = PLAN.model_copy(update={field: value})
        assert other.stem != PLAN.stem
        with pytest.raises(GraphError, match=f"here is a graph for {field} "):
            other.check(Path("here"), "features", json.dumps(MANIFEST))


def test_other_manifest_is_refused() -> None:
    PLAN.check(Path("here"), "features", json.dumps(MANIFEST))
    other_form = json.dumps({**MANIFEST, "form": "stylewatch-graph/0"})
    for manifest in ("", "[]", "{", "{}", other_form):
        with pytest.raises(GraphError, match="here is not a graph of the form stylewatch-graph/1"):
            PLAN.check(Path("here"), "features", manifest)
    with pytest.raises(GraphError, match="for part 'features', and 'gradient' is needed"):
        PLAN.check(Path("here"), "gradient", json.dumps(MANIFEST))


def test_pairs_used_least_recently_are_removed_until_the_rest_fits(tmp_path: Path) -> None:
    pairs = [Pair.of(tmp_path, name) for name in ("oldest", "older", "newest")]
    left = [tmp_path / "a.features.onnx", tmp_path / "b.gradient.onnx", tmp_path / ".c.onnx.part"]
    for age, paths in enumerate([left, *([pair.features, pair.gradient] for pair in pairs)]):
        for path in paths:
            path.write_bytes(bytes(10))
            os.utime(path, (1e9 + age, 1e9 + age))
    for limit, kept in ((60, 3), (59, 2), (20, 1), (0, 0)):
        make_room(tmp_path, limit)
        assert [pair.is_complete for pair in pairs] == [False] * (3 - kept) + [True] * kept
        assert not any(path.exists() for path in left), "of processes that were killed"


def test_graphs_are_built_once_in_a_child_process(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Several threads ask for the graphs at the same time."""

    def ask(_: int) -> tuple[Pair, int]:
        pair = graphs.ready(real_plan(), "bundled")
        assert pair.is_complete and pair.features.parent == cache
        return pair, pair.features.stat().st_ino

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor() as pool:
        assert len(set(pool.map(ask, range(3)))) == 1
    assert caplog.text.count("building the ONNX graphs of the weights 'bundled'") == 1


def test_why_graphs_cannot_be_built_or_kept_is_one_sentence(cache: Path) -> None:
    with pytest.raises(BackendMissingError, match="cannot be built: there are no weights 'none'"):
        graphs.ready(PLAN, "none")
    with pytest.raises(BackendMissingError, match="the weights 'bundled' changed while"):
        graphs.ready(PLAN, "bundled")
    for file in cache.iterdir():
        file.unlink()
    cache.rmdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(BackendMissingError, match=r"cannot be kept in .*graphs: .*File exists"):
        graphs.ready(real_plan(), "bundled")
