"""Graphs are built once, into the cache, by the builder that is installed."""

import logging
from concurrent.futures import ThreadPoolExecutor
from os import utime
from pathlib import Path

import pytest

from stylewatch_painter.network.weights import locate
from stylewatch_plugins import graphs
from stylewatch_plugins.errors import BackendMissingError
from stylewatch_plugins.graph_cache import lock, make_room
from stylewatch_plugins.graph_file import Pair, Plan


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
    made = pair.features.stat().st_ino
    caplog.clear()
    with graphs.ready(plan(), "bundled", cache=tmp_path) as again:
        assert again == pair and again.features.stat().st_ino == made
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


def test_whole_ones_are_used_where_nothing_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with graphs.ready(plan(), "bundled", cache=tmp_path) as pair:
        pass
    in_the_way = tmp_path / f"{plan().stem}.lock"
    in_the_way.unlink()
    in_the_way.mkdir()
    caplog.clear()
    with graphs.ready(plan(), "bundled", cache=tmp_path) as again:
        assert again == pair
    assert caplog.text == ""


def test_what_is_built_makes_others_go_but_none_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MOST", 0)
    old, used = (Pair.of(tmp_path, name) for name in ("old", "used"))
    for pair in (old, used):
        pair.features.write_bytes(b"features")
        pair.gradient.write_bytes(b"gradient")
    with lock(used), graphs.ready(plan(), "bundled", cache=tmp_path) as new:
        assert not old.features.exists() and not old.gradient.exists()
        assert used.features.exists() and used.gradient.exists()
        make_room(tmp_path, 0)  # as another process does that builds
        assert new.whole


def test_those_asked_for_are_no_longer_the_oldest(tmp_path: Path) -> None:
    with graphs.ready(plan(), "bundled", cache=tmp_path) as pair:
        utime(pair.features, (1e9, 1e9))
    other = Pair.of(tmp_path, "other")
    other.features.write_bytes(b"features")
    utime(other.features, (1e9 + 1, 1e9 + 1))
    with graphs.ready(plan(), "bundled", cache=tmp_path):
        pass
    make_room(tmp_path, pair.features.stat().st_size + pair.gradient.stat().st_size)
    assert pair.whole and not other.features.exists()


def test_what_keeps_them_from_being_built_is_told_in_a_sentence(tmp_path: Path) -> None:
    other = plan().model_copy(update={"weights": "0" * 64})
    with (
        pytest.raises(BackendMissingError, match="cannot be built: the weights 'bundled' are"),
        graphs.ready(other, "bundled", cache=tmp_path),
    ):
        pass
    assert not list(tmp_path.glob("*.onnx"))
