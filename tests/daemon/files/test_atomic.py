"""Files are complete or absent, links are not followed, and everything is synced in order."""

import errno
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.daemon.faults import failing, fill, killed_at, mounts, recorded_syncs, replaced, tree

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, entries, safe_dirs
from stylewatch_daemon.files.system import system


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


# -- moves, which may all cross a mount (law 6)


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Path]:
    """A folder with the mounts `one` and `two`, between which nothing is renamed or linked."""
    for name in ("one", "two/deep"):
        (tmp_path / name).mkdir(parents=True)
    with mounts(tmp_path / "one", tmp_path / "two"):
        yield tmp_path


def _move_opened(source: Path, to: Path) -> None:
    with safe_dirs.opened(source.parent) as one, safe_dirs.opened(to.parent) as two:
        atomic.move(source.name, to.name, one, two)


Mover = Callable[[Path, Path], object]
MOVERS: dict[str, Mover] = {
    "move": atomic.move,
    "move_unless_taken": atomic.move_unless_taken,
    "move_folder": atomic.move,
    "opened folders": _move_opened,
}


def what_to_move(name: str, folder: Path) -> Path:
    """Make a file, or a folder with files; return its path."""
    is_folder = name == "move_folder"
    fill(folder, *(("a/file", "a/inner/file", "a/.hidden") if is_folder else ("a",)))
    return folder / "a"


def whole(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path, *path.rglob("*")] if path.exists() else []
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in files if each.is_file()
    }


@pytest.mark.parametrize("name", MOVERS)
@pytest.mark.parametrize("where", ["one", "two/deep"])
def test_a_move_is_whole_on_the_same_mount_and_over_mounts(
    name: str, where: str, apart: Path
) -> None:
    source, to = what_to_move(name, apart / "one"), apart / where / "b"
    before, stamp = whole(source), (1_000_000_000, 2_000_000_001)
    os.utime(source, ns=stamp)
    with recorded_syncs() as events:
        MOVERS[name](source, to)
    assert (whole(to), source.exists()) == (before, False)
    assert events[-1] == ("sync", str(to.parent)), "the new name is durable"
    if to.is_file():
        assert to.stat().st_mtime_ns == stamp[1]
    assert {path.name for path in to.parent.iterdir()} == {"b"}


@pytest.mark.parametrize("name", MOVERS)
def test_a_copy_that_reads_back_differently_replaces_and_removes_nothing(
    name: str, apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, to = what_to_move(name, apart / "one"), apart / "two/b"
    if name not in ("move_folder", "move_unless_taken"):
        to.write_text("an older one")
    before, older = whole(source), whole(to)
    monkeypatch.setattr(atomic, "digest", lambda *args: "something else")
    with pytest.raises(OSError, match="differs when read back"):
        MOVERS[name](source, to)
    assert (whole(source), whole(to)) == (before, older)
    assert [path.name for path in to.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", MOVERS)
def test_whenever_a_move_over_mounts_is_killed_one_name_has_the_whole_and_it_can_be_repeated(
    name: str, tmp_path: Path
) -> None:
    happened, kill = True, 0
    while happened:
        kill += 1
        root = tmp_path / str(kill)
        source, to = what_to_move(name, root / "one"), root / "two/b"
        to.parent.mkdir()
        before = whole(source)
        with mounts(root / "one", root / "two"):
            with killed_at(kill) as was_killed:
                MOVERS[name](source, to)
            happened = was_killed()
            assert before in (whole(source), whole(to))
            if source.exists() and not (name == "move_folder" and to.exists()):
                MOVERS[name](source, to)
                assert (whole(source), whole(to)) == ({}, before)
    assert kill > 3


@pytest.mark.parametrize("name", ["move", "move_folder"])
def test_a_move_that_is_repeated_removes_what_could_not_be_removed_before(
    name: str, apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, to = what_to_move(name, apart / "one"), apart / "two/b"
    monkeypatch.setattr(atomic, "digest", failing(OSError(errno.EIO, "Input/output error")))
    monkeypatch.setattr(entries, "attempt_removal", lambda *_: False)
    with pytest.raises(OSError):
        MOVERS[name](source, to)
    assert len([*to.parent.glob(".*")]) == 1, "the half"
    monkeypatch.undo()
    MOVERS[name](source, to)
    assert (to.exists(), [*to.parent.glob(".*")]) == (True, [])


@pytest.mark.parametrize("is_apart", [False, True])
def test_a_name_that_is_taken_is_left_to_its_owner(is_apart: bool, apart: Path) -> None:
    to = apart / ("two" if is_apart else "one") / "b"
    source = what_to_move("move", apart / "one")
    to.write_text("theirs")
    assert not atomic.move_unless_taken(source, to)
    assert (source.read_text(), to.read_text()) == ("a", "theirs")


def test_a_move_that_was_killed_between_its_two_names_is_completed(root: Path) -> None:
    fill(root, "a")
    os.link(root / "a", root / "b")
    assert atomic.move_unless_taken(root / "a", root / "b")
    assert tree(root) == {"b": "a"}


@pytest.mark.parametrize("where", ["one", "two"])
def test_a_folder_is_discarded_on_every_mount(where: str, apart: Path) -> None:
    fill(apart, "one/job/files/a", f"{where}/trash/earlier")
    for _ in range(2):  # the second time it is gone
        atomic.discard(apart / "one/job", apart / where / "trash")
    assert tree(apart) == {f"{where}/trash/earlier": f"{where}/trash/earlier"}


def test_a_folder_on_another_mount_than_the_trash_is_gone_or_is_discarded_again(
    apart: Path,
) -> None:
    fill(apart, "one/job/files/a")
    busy = failing(OSError(errno.EBUSY, "Device or resource busy"))
    with replaced(system, rmdir=busy), pytest.raises(OSError, match="busy"):
        atomic.discard(apart / "one/job", apart / "two/trash")
    atomic.discard(apart / "one/job", apart / "two/trash")
    assert not (apart / "one/job").exists()


def test_what_a_kill_has_left_is_swept_and_nothing_else(root: Path) -> None:
    with killed_at(1):
        atomic.write(root / "a", b"half")
    half = f".{atomic.unused_name()}.tmp"
    fill(root, half, ".hidden.tmp", "a.tmp", f"{half}.jpg")
    with safe_dirs.opened(root) as folder:
        atomic.sweep(folder)
    assert {path.name for path in root.iterdir()} == {".hidden.tmp", "a.tmp", f"{half}.jpg"}


# -- reading


def test_only_regular_files_of_a_limited_length_are_read(root: Path, elsewhere: Path) -> None:
    fill(root, "file")
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to(root / "file")
    assert atomic.read(root / "file", 4) == b"file"
    for name, most in (("pipe", 9), ("link", 9), ("file", 3)):
        with pytest.raises(ValueError, match=r"is (not a regular file|longer than 3 bytes)"):
            atomic.read(root / name, most)
    for name in ("pipe", "link"):
        with pytest.raises(InputError, match="is not a regular file; drop the file itself"):
            atomic.open_regular(root / name)
    with pytest.raises(FileNotFoundError):
        atomic.read(root / "nothing", 9)


def test_a_copy_has_the_holes_and_the_time_of_its_original_and_ends_where_it_ended(
    root: Path,
) -> None:
    content = b"start" + bytes(3 * atomic.CHUNK) + b"end"
    (root / "a").write_bytes(content)
    os.utime(root / "a", ns=(1, 2_000_000_000))
    grown = False

    def step() -> None:
        nonlocal grown
        if not grown:
            with (root / "a").open("ab") as file:
                file.write(b"written in the meantime")
        grown = True

    assert atomic.copy(root / "a", root / "b", step=step) == sha256(content).hexdigest()
    assert (root / "b").read_bytes() == content
    assert atomic.digest(root / "b") == sha256(content).hexdigest()
    status = (root / "b").stat()
    assert status.st_blocks * 512 < 3 * atomic.CHUNK
    assert status.st_mtime_ns == 2_000_000_000


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


def test_a_disk_that_is_unplugged_is_no_sign_that_a_file_is_no_regular_one(root: Path) -> None:
    fill(root, "a")
    gone = OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    with replaced(system, open=failing(gone)):
        with pytest.raises(OSError, match="No such device") as caught:
            atomic.open_regular(root / "a")
        assert not isinstance(caught.value, InputError)
        (root / "b").symlink_to("a")
        with pytest.raises(InputError):
            atomic.open_regular(root / "b")


def test_what_a_predecessor_with_the_same_process_id_left_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As process 1 of a container has, or the same process after `execv`."""
    names = {}
    for start in ("0a", "0b"):
        monkeypatch.setattr(atomic, "_START", start)
        names[start] = f".{atomic.this_process()}-{atomic.unused_name()}.tmp"
        fill(tmp_path, names[start])
    assert atomic.attempt_sweep(tmp_path, ours=False)
    assert [path.name for path in tmp_path.iterdir()] == [names["0b"]]
