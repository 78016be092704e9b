"""A snapshot is complete or missing, whatever happened to its file."""

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.faults import failing

from stylewatch_daemon.base.errors import OutputError, ShortageError
from stylewatch_daemon.worker import checkpoint
from stylewatch_daemon.worker.checkpoint import Snapshot, load, save
from stylewatch_painter.stage import Checkpoint


def snapshot(step: int = 3, side: int = 4) -> Snapshot:
    """A snapshot with floats, counts, bytes, a scalar and an empty array."""
    draw = np.random.Generator(np.random.PCG64(step))
    state: Checkpoint = {
        "task": draw.integers(0, 256, 32, dtype=np.uint8),
        "u": draw.standard_normal((1, 3, side, side)).astype(np.float32),
        "step": np.array(step),
        "optimizer.0.s": np.zeros((0, 3), dtype=np.float64),
    }
    return Snapshot(state, {"step": step, "rows": [[1, 0.1 + step]], "started": "2015-08-26"})


def plain(snapshot: Snapshot | None) -> object:
    """All that a snapshot has, to the last bit."""
    if snapshot is None:
        return None
    arrays = snapshot.checkpoint.items()
    return snapshot.record, [(n, a.dtype, a.shape, a.tobytes()) for n, a in arrays]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job") / "checkpoint.npz"


def test_what_is_saved_is_loaded_to_the_last_bit_even_if_the_file_was_replaced(path: Path) -> None:
    assert load(path) is None
    save(path, snapshot())
    before = load(path)
    large = snapshot(4, side=1200)  # 17 MB
    save(path, large)
    assert plain(load(path)) == plain(large)
    assert plain(before) == plain(snapshot())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_a_truncated_or_damaged_file_is_none_or_makes_no_difference(
    path: Path, share: float, bit: int
) -> None:
    save(path, snapshot())
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    path.write_bytes(content[:place])
    assert load(path) is None
    content[place] ^= 1 << bit
    path.write_bytes(content)
    assert plain(load(path)) in (None, plain(snapshot()))


@pytest.mark.parametrize(
    ("fault", "raised", "words"),
    [
        (OSError(errno.EMFILE, "Too many"), ShortageError, "out of file descriptors"),
        (OSError(errno.EIO, "odd"), OutputError, "checkpoint.npz cannot be read: odd"),
        (MemoryError("17 GB"), MemoryError, "17 GB"),
    ],
)
def test_a_file_that_cannot_be_read_now_is_not_damaged(
    fault: Exception, raised: type[Exception], words: str, path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    save(path, snapshot())
    monkeypatch.setattr(checkpoint, "open_regular", failing(fault))
    with pytest.raises(raised, match=words):
        load(path)


def test_other_arrays_are_none_and_objects_are_never_loaded(path: Path) -> None:
    record = np.frombuffer(b"{}", dtype=np.uint8)
    for arrays in ({"u": np.zeros(3)}, {"story": record, "u": np.array([{}], dtype=object)}):
        np.savez(path, **arrays)
        assert load(path) is None
