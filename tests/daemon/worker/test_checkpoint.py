"""A memo is whole or not there, whatever became of its file."""

import io
from pathlib import Path

import numpy as np
import pytest
from tests.daemon.faults import killed_at

from stylewatch_daemon.worker import checkpoint as memo
from stylewatch_daemon.worker.checkpoint import Snapshot
from stylewatch_painter.stage import Checkpoint


def some(step: int = 3, side: int = 4) -> Snapshot:
    """A memo as painters leave them: floats, counts, bytes, a number by itself, nothing."""
    draw = np.random.Generator(np.random.PCG64(step))
    checkpoint: Checkpoint = {
        "task": draw.integers(0, 256, 32, dtype=np.uint8),
        "u": draw.standard_normal((1, 3, side, side)).astype(np.float32),
        "step": np.array(step),
        "optimizer.0.s": np.zeros((0, 3), dtype=np.float64),
    }
    return Snapshot(checkpoint, {"step": step, "rows": [[1, 0.1 + step]], "started": "2015-08-26"})


def same(one: Snapshot | None, other: Snapshot) -> bool:
    """Whether both hold the same, to the last bit."""
    return (
        one is not None
        and one.record == other.record
        and list(one.checkpoint) == list(other.checkpoint)
        and all(
            array.dtype == other.checkpoint[name].dtype
            and array.shape == other.checkpoint[name].shape
            and array.tobytes() == other.checkpoint[name].tobytes()
            for name, array in one.checkpoint.items()
        )
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.npz"


def test_what_is_kept_comes_back_to_the_last_bit(path: Path) -> None:
    memo.save(path, some())
    assert same(memo.load(path), some())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_large_arrays_come_back_too(path: Path) -> None:
    large = some(side=1200)  # 17 MB
    memo.save(path, large)
    assert same(memo.load(path), large)


def test_a_later_memo_takes_the_place_of_an_earlier_one(path: Path) -> None:
    memo.save(path, some(3))
    memo.save(path, some(4))
    assert same(memo.load(path), some(4))


def test_killed_at_whatever_moment_it_leaves_the_old_one_or_the_new_one(path: Path) -> None:
    memo.save(path, some(3))
    change, again = 1, True
    while again:
        with killed_at(change) as was_killed:
            memo.save(path, some(4))
        found = memo.load(path)
        assert same(found, some(3)) or same(found, some(4))
        change, again = change + 1, was_killed()
    assert change > 3
    assert same(memo.load(path), some(4))


def test_where_there_is_none_there_is_none(path: Path) -> None:
    assert memo.load(path) is None


def test_one_that_is_cut_off_is_none_wherever_it_ends(path: Path) -> None:
    memo.save(path, some())
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        assert memo.load(path) is None


def test_a_damaged_one_is_none_wherever_the_damage_is(path: Path) -> None:
    """Or else it makes no difference: every array has its checksum."""
    memo.save(path, some())
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = memo.load(path)
        assert found is None or same(found, some())


@pytest.mark.parametrize("content", [b"", b"no memo at all", b"\x93NUMPY", b"PK\x05\x06"])
def test_a_file_of_another_kind_is_none(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert memo.load(path) is None


def test_other_files_of_arrays_are_none(path: Path) -> None:
    np.savez(path, u=np.zeros(3))
    assert memo.load(path) is None
    np.savez(path, story=np.frombuffer(b"no json", dtype=np.uint8))
    assert memo.load(path) is None
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    path.write_bytes(single.getvalue())
    assert memo.load(path) is None


def test_objects_are_never_brought_to_life(path: Path) -> None:
    """They could be anything: a program too."""
    np.savez(path, story=np.frombuffer(b"{}", dtype=np.uint8), u=np.array([{}], dtype=object))
    assert memo.load(path) is None


def test_arrays_are_read_when_they_are_asked_for_even_if_another_took_their_place(
    path: Path,
) -> None:
    memo.save(path, some())
    found = memo.load(path)
    assert found is not None
    memo.save(path, memo.Snapshot({"u": np.zeros(1)}, {}))
    assert same(found, some())
    name = next(iter(found.checkpoint))
    assert found.checkpoint[name] is not found.checkpoint[name]
    with pytest.raises(KeyError):
        found.checkpoint["story"]
