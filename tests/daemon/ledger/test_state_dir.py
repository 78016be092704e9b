"""The state folder is for its owner alone, and holds nothing that is not stylewatch's."""

import stat
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree

from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.state_dir import StateDir


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "deep/state")


def test_the_state_folder_is_for_its_owner_alone_and_its_trash_is_emptied(state: StateDir) -> None:
    kept = {name: name for name in ("thumbs/1.jpg", "jobs/1/files/a.jpg", "claims/2/claim.json")}
    fill(state.root, *kept, "trash/1/a.jpg", "trash/b.jpg")
    (state.trash / "link").symlink_to(state.jobs)
    state.root.chmod(0o755)
    state.make()
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    assert tree(state.root) == kept
    assert stat.S_ISFIFO(state.wake.stat().st_mode)


def test_a_job_that_ended_goes_with_all_that_is_in_its_folders(state: StateDir) -> None:
    state.make()
    fill(state.root, "jobs/1/files/a.jpg", "claims/1/x", "jobs/2/claim.json", "jobs/3/claim.json")
    for _ in range(2):
        state.discard("1")
    assert state.claimed() == {"2", "3"}
    assert list(state.trash.iterdir()) == list(state.claims.iterdir()) == []


def test_only_thumbnails_of_known_pictures_are_kept(state: StateDir) -> None:
    state.make()
    wanted = thumbs.path_of(state.thumbs, "12ab")
    assert (wanted.name, thumbs.path_of(state.thumbs, "1", 1024).name) == ("12ab.jpg", "1-1024.jpg")
    fill(state.thumbs, "12ab.jpg", "34cd.jpg", "12ab.txt")
    for folder in (state.thumbs, state.root / "gone"):
        thumbs.sweep(folder, {"12ab"})
    assert list(state.thumbs.iterdir()) == [wanted]
