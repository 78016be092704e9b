"""Files of strangers are read up to a limit of bytes and of seconds."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import failing, replaced

from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.files import atomic, entries, strangers


def no_reading() -> None:
    raise AssertionError("the file is read")


def has_bytes(path: Path, size: int, step: Callable[[], object]) -> bool:
    with atomic.open_regular(path) as file:
        return strangers.has_bytes(file, atomic.digest(path), size, step)


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "final.png"
    path.write_bytes(b"12345678")
    assert has_bytes(path, 8, lambda: None)
    for size in (7, 9):
        assert not has_bytes(path, size, no_reading)
    with path.open("wb") as file:  # a sparse file takes no space
        file.truncate(strangers.MAX_UNKNOWN + 1)
    assert not has_bytes(path, 0, no_reading)


def test_a_file_that_grows_while_it_is_read_is_not_read_on(tmp_path: Path) -> None:
    path, steps = tmp_path / "final.png", list[int]()
    path.write_bytes(bytes(2 * atomic.CHUNK))

    def grow() -> None:
        steps.append(1)
        with path.open("r+b") as file:
            file.truncate(1 << 33)

    sha256 = atomic.digest(path)
    with atomic.open_regular(path) as file:
        assert not strangers.has_bytes(file, sha256, 2 * atomic.CHUNK, grow)
    assert len(steps) == 3, "one byte more shows that it is longer"


def test_a_file_that_is_read_too_slowly_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "final.png"
    path.write_bytes(b"12345678")
    monkeypatch.setattr(strangers, "PATIENCE_S", -1.0)
    with pytest.raises(TimeoutError, match="took longer than"):
        has_bytes(path, 8, lambda: None)


def test_a_file_that_cannot_be_read_is_waited_for_only_if_it_may_be_the_own_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "final.png"
    path.write_bytes(b"12345678")
    own = OutputFile("final.png", "final", atomic.digest(path), 8)
    locked = PermissionError(errno.EACCES, "Permission denied")
    with entries.opened(tmp_path) as folder:
        assert not strangers.is_taken("other.png", folder, own)
        assert not strangers.is_taken(path.name, folder, own)
        with replaced(atomic, open_regular=failing(locked)):
            assert strangers.is_taken(path.name, folder, own._replace(size=7))
            with pytest.raises(PermissionError):
                strangers.is_taken(path.name, folder, own)
