"""Graphs used longest ago make room for new ones, and none that anybody uses."""

import os
from pathlib import Path

import pytest

from stylewatch_plugins.graph_cache import lock, make_room, note_use
from stylewatch_plugins.graph_file import Pair

NAMES = ("oldest", "older", "newest")


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Pair]:
    """Three of 20 bytes each, by name; the second file is always the younger one."""
    found = {name: Pair.of(tmp_path, name) for name in NAMES}
    for age, pair in enumerate(found.values()):
        for file, younger in ((pair.features, 0), (pair.gradient, 9)):
            file.write_bytes(bytes(10))
            os.utime(file, (1e9 + age + younger, 1e9 + age + younger))
    return found


def left(folder: Path) -> set[str]:
    """What is there of graphs, by name; only whole pairs are."""
    features, gradients = (
        {path.name.partition(".")[0] for path in folder.glob(f"*.{part}.onnx")}
        for part in ("features", "gradient")
    )
    assert features == gradients
    return features


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize(("most", "there"), [(60, 3), (59, 2), (40, 2), (39, 1), (0, 0)])
def test_the_oldest_go_until_there_is_room(tmp_path: Path, most: int, there: int) -> None:
    make_room(tmp_path, most)
    assert left(tmp_path) == {*NAMES[3 - there :]}


def test_what_was_used_since_is_not_the_oldest(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    note_use(pairs["oldest"])
    make_room(tmp_path, 40)
    assert left(tmp_path) == {"oldest", "newest"}


def test_what_somebody_holds_stays_and_the_next_goes(
    tmp_path: Path, pairs: dict[str, Pair]
) -> None:
    with lock(pairs["oldest"]):
        make_room(tmp_path, 40)
        assert left(tmp_path) == {"oldest", "newest"}
    make_room(tmp_path, 20)
    assert left(tmp_path) == {"newest"}


def test_what_cannot_be_removed_stays_and_the_next_goes(
    tmp_path: Path, pairs: dict[str, Pair]
) -> None:
    pairs["oldest"].gradient.unlink()
    pairs["oldest"].gradient.mkdir()
    make_room(tmp_path, 30 + pairs["oldest"].gradient.stat().st_size)
    assert left(tmp_path) == {"oldest", "newest"}


def test_half_a_pair_counts_and_goes_too(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    pairs["oldest"].gradient.unlink()
    make_room(tmp_path, 40)
    assert left(tmp_path) == {"older", "newest"}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.onnx").touch()
    make_room(tmp_path, -1)
    assert (tmp_path / "notes.onnx").exists()
