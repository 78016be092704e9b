"""Locks on files."""

from pathlib import Path

import pytest

from stylewatch_daemon.files import lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_held_lock_excludes_others_and_a_shared_one_exclusive_ones(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock.is_held(path)
    with lock.held(path):
        assert lock.is_held(path)
        with pytest.raises(lock.HeldError), lock.held(path, 0.01):
            pass
    with lock.shared(path), lock.shared(path):
        assert not lock.is_held(path)
        with pytest.raises(lock.HeldError), lock.held(path):
            pass
    assert not lock.is_held(path)
