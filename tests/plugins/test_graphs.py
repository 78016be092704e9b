"""Graphs are built once, into the cache, by the builder that is installed."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stylewatch_painter.weights import locate
from stylewatch_plugins import graphs
from stylewatch_plugins.errors import BackendMissingError
from stylewatch_plugins.graph_file import Plan


def plan() -> Plan:
    file = locate()
    return Plan(
        weights=file.sha256, mean=file.mean, layers=("conv1_1",), pool="max", pool_edge="floor"
    )


def test_a_builder_comes_with_the_installation() -> None:
    assert graphs.problem() is None


@pytest.mark.parametrize(
    ("gone", "found", "told"),
    [("find_spec", None, "the package onnx, which"), ("entry_points", (), "no builder of graphs")],
)
def test_without_a_builder_or_its_package_only_what_is_built_can_be_had(
    gone: str, found: object, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(graphs, gone, lambda *_, **__: found)
    assert str(graphs.problem()).startswith(told)
    graphs.cache_folder().mkdir(parents=True)
    (graphs.cache_folder() / "one.features.onnx").touch()
    assert graphs.problem() is None


def test_they_are_built_once_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), graphs.ready(plan(), "bundled", cache=tmp_path) as pair:
        assert pair.whole and pair.features.parent == tmp_path
    assert "building the ONNX graphs of the weights 'bundled'" in caplog.text
    made = pair.features.stat().st_mtime_ns
    caplog.clear()
    with graphs.ready(plan(), "bundled", cache=tmp_path) as again:
        assert again == pair and again.features.stat().st_mtime_ns == made
    assert caplog.text == ""


def test_several_at_once_build_them_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def ask(_: int) -> bool:
        with graphs.ready(plan(), "bundled", cache=tmp_path) as pair:
            return pair.whole

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor() as pool:
        assert all(pool.map(ask, range(3)))
    assert caplog.text.count("building") == 1


def test_a_damaged_one_is_built_anew(tmp_path: Path) -> None:
    with graphs.ready(plan(), "bundled", cache=tmp_path) as pair:
        before = pair.gradient.read_bytes()
    pair.gradient.write_bytes(before[:-10])
    with graphs.ready(plan(), "bundled", cache=tmp_path) as pair:
        assert pair.gradient.read_bytes() == before


def test_where_the_cache_cannot_be_written_they_stay_as_long_as_they_are_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with (
        caplog.at_level(logging.WARNING),
        graphs.ready(plan(), "bundled", cache=file / "cache") as pair,
    ):
        assert pair.whole
    assert not pair.features.exists()
    assert "the graphs cannot be kept" in caplog.text


def test_what_keeps_them_from_being_built_is_told_in_a_sentence(tmp_path: Path) -> None:
    other = plan().model_copy(update={"weights": "0" * 64})
    with (
        pytest.raises(BackendMissingError, match="cannot be built: the weights 'bundled' are"),
        graphs.ready(other, "bundled", cache=tmp_path),
    ):
        pass
    assert not list(tmp_path.glob("*.onnx"))
