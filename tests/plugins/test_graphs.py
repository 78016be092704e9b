"""Plans, seals and manifests of graphs; their cache; and how they are built into it, once."""

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.small_vgg import small_vgg

from stylewatch_painter.network import weights
from stylewatch_plugins import graphs
from stylewatch_plugins.errors import BackendMissingError, GraphError
from stylewatch_plugins.graphs import FORM, Pair, Plan, check_seal, make_room, sealed

PLAN = Plan(weights="0" * 64, mean=(1, 2, 3), layers=("conv1_1",), pool="max", pool_edge="floor")
MANIFEST: dict[str, Any] = {"form": FORM, "part": "features", **PLAN.model_dump(mode="json")}
NAMES = ("oldest", "older", "newest")


def test_plan_has_its_own_name_and_accepts_no_other_graph() -> None:
    changes: list[dict[str, Any]] = [
        {"weights": "1" * 64},
        {"mean": (3, 2, 1)},
        {"layers": ("conv1_2",)},
        {"pool": "average"},
        {"pool_edge": "ceil"},
        {"precision": "fp16"},
        {"architecture": "vgg16"},
    ]
    for changed in changes:
        other = PLAN.model_copy(update=changed)
        assert other.stem != PLAN.stem
        (field,) = changed
        with pytest.raises(GraphError, match=f"here is a graph for {field} "):
            other.check(Path("here"), "features", json.dumps(MANIFEST))


def test_other_manifest_is_refused() -> None:
    PLAN.check(Path("here"), "features", json.dumps(MANIFEST))
    for manifest, message in (
        *((text, "here has no manifest of stylewatch's") for text in ("", "[]", "{", "{}")),
        (json.dumps({**MANIFEST, "form": "stylewatch-graph/0"}), "and stylewatch-graph/1"),
        (json.dumps({**MANIFEST, "part": "gradient"}), "for part 'gradient', and 'features' is"),
    ):
        with pytest.raises(GraphError, match=message):
            PLAN.check(Path("here"), "features", manifest)


def test_seal_breaks_with_any_byte(tmp_path: Path) -> None:
    pair, whole = Pair.of(tmp_path, "graph"), sealed(b"graph" * 1000)
    pair.gradient.write_bytes(sealed(b""))
    assert not pair.whole
    pair.features.write_bytes(whole)
    assert pair.whole
    for broken in (whole[:-1], whole + b"\0", whole[1:], b"x" + whole, b""):
        pair.features.write_bytes(broken)
        with pytest.raises(GraphError, match="is cut short, damaged or no graph"):
            check_seal(pair.features)
        assert not pair.whole


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Pair]:
    """Three pairs of 20 bytes, by name; of each pair the second file is the younger one."""
    made = {name: Pair.of(tmp_path, name) for name in NAMES}
    for age, pair in enumerate(made.values()):
        for path, younger in ((pair.features, 0), (pair.gradient, 9)):
            path.write_bytes(bytes(10))
            os.utime(path, (1e9 + age + younger, 1e9 + age + younger))
    return made


def left(folder: Path) -> set[str]:
    """List the pairs in the cache; both files of each are there."""
    features, gradients = (
        {path.name.partition(".")[0] for path in folder.glob(f"*.{part}.onnx")}
        for part in ("features", "gradient")
    )
    assert features == gradients
    return features


def test_oldest_pairs_that_are_not_locked_are_removed_until_the_rest_fits(
    tmp_path: Path, pairs: dict[str, Pair]
) -> None:
    make_room(tmp_path, 60)
    assert left(tmp_path) == {*NAMES}
    with pairs["oldest"].lock():
        make_room(tmp_path, 59)
        assert left(tmp_path) == {"oldest", "newest"}
    make_room(tmp_path, 20)
    assert left(tmp_path) == {"newest"}
    make_room(tmp_path, 0)
    assert left(tmp_path) == set()


def real_plan() -> Plan:
    file = weights.locate()
    return PLAN.model_copy(update={"weights": file.sha256, "mean": file.mean})


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[None]:
    """Build in this process, from the small network."""
    with small_vgg(tmp_path / "home"):
        yield


def test_without_a_builder_or_onnx_only_built_graphs_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert graphs.problem() is None
    monkeypatch.setattr(graphs, "entry_points", lambda **_: ())
    assert str(graphs.problem()).startswith("no builder of graphs")
    monkeypatch.setattr(graphs, "find_spec", lambda _: None)
    assert str(graphs.problem()).startswith("the package onnx, which")
    graphs.cache_folder().mkdir(parents=True)
    (graphs.cache_folder() / "some.features.onnx").touch()
    assert graphs.problem() is None


def test_graphs_are_built_once_in_a_child_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when several ask at the same time."""

    def ask(_: int) -> tuple[Pair, int]:
        with graphs.ready(real_plan(), "bundled", cache=tmp_path) as pair:
            assert pair.whole and pair.features.parent == tmp_path
            return pair, pair.features.stat().st_ino

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor() as pool:
        assert len(set(pool.map(ask, range(3)))) == 1
    assert caplog.text.count("building the ONNX graphs of the weights 'bundled'") == 1


@pytest.mark.usefixtures("fast")
def test_cache_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Built graphs are used, others are temporary."""
    with graphs.ready(real_plan(), "bundled", cache=tmp_path) as pair:
        pass
    lock = tmp_path / f"{real_plan().stem}.lock"
    lock.unlink()
    lock.mkdir()
    with graphs.ready(real_plan(), "bundled", cache=tmp_path) as again:
        assert again == pair
    assert caplog.text.count("the graphs cannot be kept") == 0
    pair.features.unlink()
    with graphs.ready(real_plan(), "bundled", cache=tmp_path) as temporary:
        assert temporary.whole and temporary != pair
    assert not temporary.features.exists()
    assert "the graphs cannot be kept" in caplog.text


@pytest.mark.usefixtures("fast")
def test_build_removes_other_pairs_but_none_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: dict[str, Pair]
) -> None:
    monkeypatch.setattr(graphs, "MAX_CACHE", 0)
    with pairs["older"].lock(), graphs.ready(real_plan(), "bundled", cache=tmp_path) as new:
        make_room(tmp_path, 0)  # as another process does after its build
        assert left(tmp_path) == {"older", real_plan().stem}
        os.utime(new.features, (1, 1))
    with graphs.ready(real_plan(), "bundled", cache=tmp_path):
        pass
    make_room(tmp_path, new.bytes())
    assert left(tmp_path) == {real_plan().stem}, "a pair in use becomes the newest"


def test_error_of_the_builder_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(BackendMissingError, match="cannot be built: the weights 'bundled' are"),
        graphs.ready(PLAN, "bundled", cache=tmp_path),
    ):
        pass
    assert not list(tmp_path.glob("*.onnx"))


def test_builder_is_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the plan, the name of the weights, and the files to write."""
    (tmp_path / "other_builder.py").write_text(
        "def build(plan, weights, pair):\n    pair.features.write_text(f'{weights} {plan.pool}')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    entries: list[EntryPoint] = []
    monkeypatch.setattr(graphs, "entry_points", lambda **_: entries)
    pair = Pair.of(tmp_path, "graph")
    words = [PLAN.model_dump_json(), "mine", str(pair.features), str(pair.gradient)]
    monkeypatch.setattr("sys.argv", ["-c", *words])
    with pytest.raises(SystemExit, match="no builder of graphs is installed"):
        graphs.main()
    entries[:] = [EntryPoint(graphs.NAME, "no_such_package:build", graphs.GROUP)]
    with pytest.raises(SystemExit, match=r"a package is not installed .*no_such_package"):
        graphs.main()
    entries[:] = [EntryPoint(graphs.NAME, "other_builder:build", graphs.GROUP)]
    graphs.main()
    assert pair.features.read_text() == "mine max"
