"""The state folder is for its owner alone, and holds nothing that is not stylewatch's."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.make()
    return state


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_the_state_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "deep/state")
    with umask(0o022):
        fill(
            state.root, "thumbs/1.jpg", "lock", "worker.lock", "lock.json", "status.json", "paused"
        )
        LedgerWriter.open(state.ledger).close()
        state.ledger.chmod(0o644)
        state.make()
        with closing(LedgerWriter.open(state.ledger)) as ledger:
            ledger.forget("/in/a.jpg")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in state.root.iterdir()}
        folders = {state.root / name for name in ("thumbs", "claims", "jobs", "trash")}
        assert {path for path, mode in modes.items() if mode == 0o700} == folders
        assert {mode for path, mode in modes.items() if path not in folders} == {0o600}
        assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    assert tree(state.thumbs) == {"1.jpg": "thumbs/1.jpg"}
    assert stat.S_ISFIFO(state.wake.stat().st_mode)


FOLDERS = ("claims", "jobs", "trash", "thumbs", "previews", "uploads")
FILES = ("lock.json", "status.json", ".status.json.tmp", "paused", "alive")


def link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "elsewhere")


ODD: list[tuple[str, str, Callable[[Path], object]]] = [
    *((name, "folder", make) for name in FOLDERS for make in (Path.touch, link)),
    *((name, "file", make) for name in FILES for make in (Path.mkdir, os.mkfifo, link)),
    *(("wake", "file", make) for make in (Path.touch, Path.mkdir, link)),
]


@pytest.mark.parametrize(
    ("name", "kind", "make"), ODD, ids=[f"{name}-{make.__name__}" for name, _, make in ODD]
)
def test_something_else_with_the_name_of_its_files_is_refused_and_stays(
    name: str, kind: str, make: Callable[[Path], object], tmp_path: Path
) -> None:
    state = StateDir(tmp_path / "state")
    fill(tmp_path, "elsewhere/theirs")
    (tmp_path / "elsewhere").chmod(0o755)
    state.root.mkdir()
    make(state.root / name)
    before = (state.root / name).lstat().st_mode
    message = rf"{name} is not a {kind} of stylewatch, which needs that name: move it away"
    with pytest.raises(OutputError, match=message):
        state.make()
    assert (state.root / name).lstat().st_mode == before
    assert tree(tmp_path / "elsewhere") == {"theirs": "elsewhere/theirs"}
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["lock", "worker.lock"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_lock_may_be_of_any_kind(
    name: str, make: Callable[[Path], object], state: StateDir
) -> None:
    make(state.root / name)
    state.make()


def test_the_trash_is_emptied_and_nothing_else(state: StateDir) -> None:
    fill(state.trash, "1/a.jpg", "b.jpg")
    fill(state.root, "jobs/1/files/a.jpg", "claims/2/claim.json")
    (state.trash / "link").symlink_to(state.jobs)
    state.make()
    assert tree(state.root) == {
        "jobs/1/files/a.jpg": "jobs/1/files/a.jpg",
        "claims/2/claim.json": "claims/2/claim.json",
    }


def test_a_job_that_ended_goes_with_all_that_is_in_its_folders(state: StateDir) -> None:
    fill(state.root, "jobs/1/files/a.jpg", "claims/1/x", "jobs/2/claim.json", "jobs/3/claim.json")
    for _ in range(2):
        state.discard("1")
    assert state.claimed() == {"2", "3"}
    assert list(state.trash.iterdir()) == list(state.claims.iterdir()) == []


def test_the_holder_of_the_lock_is_described_on_one_line(state: StateDir) -> None:
    assert state.holder() == "which one is not known"
    state.write_holder()
    assert state.holder().startswith(f"process {os.getpid()} on ")
    holder = state.root / "lock.json"
    for content in (b"{", b"\xff", b"[]", b"[" * 5000, b'{"pid": 1}', b"x" * 20_000):
        holder.write_bytes(content)
        assert state.holder() == "which one is not known"
    holder.write_bytes(b'{"pid": 1, "host": "a\\u001b[2J\\nb", "since": 2}')
    assert state.holder() == "process 1 on a?[2J?b, since 2"


def test_a_folder_that_cannot_be_written_shows_when_it_is_probed(state: StateDir) -> None:
    state.probe()
    assert not (state.root / ".probe").exists()
    (state.root / ".probe").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        state.probe()


def test_only_thumbnails_of_known_pictures_are_kept(state: StateDir) -> None:
    wanted = thumbs.path_of(state.thumbs, "12ab")
    larger = thumbs.path_of(state.thumbs, "12ab", 1024)
    fill(state.thumbs, "12ab.jpg", "34cd.jpg", "12ab.txt")
    assert (wanted.name, larger.name) == ("12ab.jpg", "12ab-1024.jpg")
    thumbs.sweep(state.thumbs, {"12ab"})
    assert list(state.thumbs.iterdir()) == [wanted]
    thumbs.sweep(state.root / "gone", {"12ab"})
