"""Folders are entered part by part, and no link in the place of one leads out."""

import os
from pathlib import Path

import pytest
from tests.daemon.faults import fill, mounts, recorded_syncs, tree

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import safe_dirs


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder in which nothing may be written."""
    (tmp_path / "elsewhere" / "deeper").mkdir(parents=True)
    return tmp_path / "elsewhere"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_missing_folders_are_made_only_if_asked_for_and_each_is_told(root: Path) -> None:
    told: list[int] = []
    with pytest.raises(FileNotFoundError), safe_dirs.opened(root, "a/b"):
        pass
    with safe_dirs.opened(root, "a/b", told.append) as folder:
        safe_dirs.write(folder, "file", b"x")
    assert len(told) == 2
    assert tree(root) == {"a/b/file": "x"}


@pytest.mark.parametrize("at", ["job", "job/stages"])
@pytest.mark.parametrize("make", [True, False])
def test_a_link_in_the_place_of_a_folder_is_not_entered(
    at: str, make: bool, root: Path, elsewhere: Path
) -> None:
    (root / at).parent.mkdir(exist_ok=True)
    (root / at).symlink_to(elsewhere)
    entered = (lambda handle: None) if make else None
    with (
        pytest.raises(OutputError, match=r"leads out of the outbox by the link"),
        safe_dirs.opened(root, "job/stages/deeper", entered),
    ):
        pass
    assert not tree(elsewhere)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../../elsewhere"])
def test_no_path_leads_upwards(path: str, root: Path, elsewhere: Path) -> None:
    (root / "a").mkdir()
    with pytest.raises(OutputError, match="leads out"), safe_dirs.opened(root, path):
        pass


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with safe_dirs.opened(tmp_path / "link", "a", lambda handle: None) as folder:
        safe_dirs.write(folder, "file", b"x")
    assert tree(root) == {"a/file": "x"}


def test_a_folder_that_becomes_a_link_after_it_was_opened_is_written_to_all_the_same(
    root: Path, elsewhere: Path, tmp_path: Path
) -> None:
    with safe_dirs.opened(root, "job", lambda handle: None) as folder:
        (root / "job").rename(tmp_path / "moved")
        (root / "job").symlink_to(elsewhere)
        safe_dirs.write(folder, "file", b"x")
    assert tree(tmp_path / "moved") == {"file": "x"}
    assert not tree(elsewhere)


def test_a_file_is_whole_or_not_there(root: Path) -> None:
    fill(root, "file")
    with (
        safe_dirs.opened(root) as folder,
        pytest.raises(KeyError),
        safe_dirs.beside(folder, "file") as file,
    ):
        file.write(b"half")
        raise KeyError
    assert [path.name for path in root.iterdir()] == ["file"]
    assert tree(root) == {"file": "file"}


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(
    root: Path, elsewhere: Path
) -> None:
    fill(elsewhere, "theirs")
    (root / "file").symlink_to(elsewhere / "theirs")
    with safe_dirs.opened(root) as folder:
        safe_dirs.write(folder, "file", b"ours")
    assert tree(elsewhere) == {"theirs": "theirs"}
    assert not (root / "file").is_symlink()


def test_a_copy_has_the_time_of_the_original_and_is_made_of_regular_files_only(
    root: Path, elsewhere: Path
) -> None:
    fill(elsewhere, "a")
    os.utime(elsewhere / "a", ns=(1, 10**18))
    (elsewhere / "link").symlink_to("a")
    with safe_dirs.opened(root) as folder:
        safe_dirs.copy(elsewhere / "a", folder, "b")
        with pytest.raises(InputError, match="not a regular file"):
            safe_dirs.copy(elsewhere / "link", folder, "c")
    assert tree(root) == {"b": "a"}
    assert (root / "b").stat().st_mtime_ns == 10**18


def test_a_folder_is_discarded_with_the_links_in_it_but_not_what_they_lead_to(
    root: Path, elsewhere: Path
) -> None:
    fill(elsewhere, "theirs")
    fill(root, "doomed/a/b")
    (root / "doomed" / "link").symlink_to(elsewhere)
    (root / "trash").mkdir()
    with safe_dirs.opened(root) as folder, safe_dirs.opened(root, "trash") as trash:
        safe_dirs.discard(folder, "doomed", trash)
    assert list(root.rglob("*")) == [root / "trash"]
    assert tree(elsewhere) == {"theirs": "theirs"}


def test_what_lasts_is_synced_before_it_gets_its_name_and_once_it_was_moved(root: Path) -> None:
    fill(root, "below/old")
    with safe_dirs.opened(root) as folder, safe_dirs.opened(root, "below") as below:
        with recorded_syncs() as told:
            safe_dirs.write(folder, "file", b"x")
            safe_dirs.move(folder, "file", below)
        (_, temporary), *rest = told
    assert temporary.endswith(".tmp")
    assert rest == [("rename", f"{root}/file"), ("rename", f"{root}/below/file"),
                    ("sync", f"{root}/below")]  # fmt: skip


def test_nothing_is_synced_for_what_need_not_last(root: Path) -> None:
    fill(root, "doomed/a", "trash/b")
    with recorded_syncs() as told, safe_dirs.opened(root) as folder:
        safe_dirs.write(folder, "file", b"x", lasting=False)
        with safe_dirs.opened(root, "trash", lambda handle: None) as trash:
            safe_dirs.discard(folder, "doomed", trash)
    assert [what for what, _ in told] == ["rename", "rename"]
    assert tree(root) == {"file": "x", "trash/b": "trash/b"}


def test_a_folder_lasts_once_it_was_made(root: Path) -> None:
    with recorded_syncs() as told, safe_dirs.opened(root, "a/b", lambda handle: None):
        pass
    assert told == [("sync", str(root)), ("sync", f"{root}/a")]


def test_what_was_cut_off_is_swept_and_nothing_else(root: Path) -> None:
    fill(root, ".0123456789abcdef.tmp", ".0123456789abcdef.jpg", "0123456789abcdef.tmp", "deep/a")
    (root / ".fedcba9876543210.tmp").mkdir()
    with safe_dirs.opened(root) as folder:
        safe_dirs.sweep(folder)
    left = {path.name for path in root.rglob("*") if path.is_file()}
    assert left == {".0123456789abcdef.jpg", "0123456789abcdef.tmp", "a"}
    assert (root / ".fedcba9876543210.tmp").is_dir()


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("photo")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "to").mkdir()
    return tmp_path


def linked(root: Path) -> bool:
    with safe_dirs.opened(root, "to") as folder:
        return safe_dirs.link(root / "a", folder, "b")


def test_a_link_has_the_permissions_of_a_new_file(ours: Path) -> None:
    (ours / "new").touch()
    assert linked(ours)
    assert (ours / "a").samefile(ours / "to/b")
    assert (ours / "to/b").stat().st_mode == (ours / "new").stat().st_mode
    assert [path.name for path in (ours / "to").iterdir()] == ["b"]


def test_a_file_with_more_names_is_not_linked_as_its_permissions_are_theirs_too(
    ours: Path,
) -> None:
    os.link(ours / "a", ours / "mine")
    assert not linked(ours)
    assert (ours / "mine").stat().st_mode & 0o777 == 0o600
    assert list((ours / "to").iterdir()) == []


def test_over_mounts_and_with_other_attributes_nothing_is_linked(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounts(ours / "to"):
        assert not linked(ours)
    monkeypatch.setattr(os, "listxattr", lambda handle: ["system.posix_acl_access"])
    monkeypatch.setattr(os, "getxattr", lambda handle, name: b"%d" % handle)
    assert not linked(ours)
    assert list((ours / "to").iterdir()) == []
