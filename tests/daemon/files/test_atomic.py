"""Files are complete or absent, links are not followed, and everything is synced in order."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, mounts, recorded_syncs, tree

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import atomic, safe_dirs


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder in which nothing may be written."""
    (tmp_path / "elsewhere" / "deeper").mkdir(parents=True)
    return tmp_path / "elsewhere"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_a_file_is_synced_then_renamed_then_its_folder_synced(root: Path) -> None:
    with recorded_syncs() as events:
        atomic.write(root / "a", b"text")
    (what, temporary), *rest = events
    assert what == "sync" and temporary.endswith(".tmp")
    assert rest == [("rename", str(root / "a")), ("sync", str(root))]
    assert tree(root) == {"a": "text"}


@pytest.mark.parametrize("is_same", [True, False])
def test_a_move_over_mounts_is_a_checked_copy(
    is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "one/a", tmp_path / "two/deep/a"
    fill(source.parent, "a")
    atomic.make_folder(target.parent)
    if not is_same:
        monkeypatch.setattr(atomic, "digest", lambda path: "something else")
    expected: Any = nullcontext() if is_same else pytest.raises(OSError, match="read back")
    with mounts(tmp_path / "one", tmp_path / "two"), expected:
        atomic.move(source, target)
    assert source.exists() != is_same


def test_no_path_leads_out_and_handles_stay_with_their_folder(
    root: Path, elsewhere: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(root)  # the root may be one
    with safe_dirs.opened(tmp_path / "link", "job", make=True) as folder:
        (root / "job").rename(tmp_path / "moved")
        (root / "job").symlink_to(elsewhere)
        (tmp_path / "moved/file").symlink_to(elsewhere / "theirs")
        atomic.write("file", b"x", folder)
    assert tree(tmp_path / "moved") == {"file": "x"}
    for make in (True, False):
        with pytest.raises(OutputError), safe_dirs.opened(root, "job/new", make=make):
            pass
    assert not tree(elsewhere)
