"""The state folder is for its owner alone, and holds nothing that is not stylewatch's."""

import errno
import stat
from pathlib import Path

import pytest
from tests.daemon.faults import failing, fill, tree

from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.state_dir import StateDir


def test_the_state_folder_is_for_its_owner_alone_and_its_trash_is_emptied(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "deep/state")
    kept = {name: name for name in ("thumbs/1.jpg", "jobs/1/files/a.jpg", "claims/2/claim.json")}
    fill(state.root, *kept, "trash/1/a.jpg", "trash/b.jpg")
    (state.trash / "link").symlink_to(state.jobs)
    state.root.chmod(0o755)
    state.make()
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    assert tree(state.root) == kept
    assert stat.S_ISFIFO(state.wake.stat().st_mode)


def test_what_a_killed_daemon_left_goes_as_soon_as_the_disk_lets_it_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, half = StateDir(tmp_path), f".1-{16 * 'a'}.tmp"
    halves = [tmp_path / half, tmp_path / "jobs" / half / "claim.json", tmp_path / "tries/1/a"]
    fill(state.root, half, f"jobs/{half}/claim.json", "tries/1/a")
    monkeypatch.setattr(system, "unlink", failing(OSError(errno.EROFS, "read-only")))
    state.make()
    assert all(path.exists() for path in halves) and state.claimed() == set()
    monkeypatch.undo()
    state.tidy()
    assert not any(path.exists() for path in halves)
    fill(state.root, half, "tries/2/a")
    probe = tmp_path / atomic.PROBE
    probe.touch()  # its removal failed
    state.tidy()
    assert (tmp_path / half).exists(), "this is of another program, which is writing it"
    assert not probe.exists()
