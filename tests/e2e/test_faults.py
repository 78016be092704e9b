"""A sample of the fault matrix of `make faults`, with real daemons and kill -9."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.faults import Row, short
from tests.e2e.invariants import Workspace

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("row", short(), ids=lambda row: f"{row.fault}, {row.step}")
def test_after_a_fault_and_a_restart_the_invariants_hold(row: Row, tmp_path: Path) -> None:
    assert row.run(tmp_path) == []


def test_killed_at_a_change_of_the_disk_nothing_is_lost_or_done_twice() -> None:
    command = [sys.executable, "-m", "tests.e2e.changes", "--sample"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_lost_and_partial_files_are_found(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    space.drop("a")
    assert list(space.violations({})) == []
    (space.outbox / "a").mkdir(parents=True)
    (space.outbox / "a/final.png").write_bytes(b"half of")
    (space.inbox / "a/content.jpg").unlink()
    assert list(space.violations({"a/final.png": b"half of it"})) == [
        "a is lost",
        "a/final.png differs from an undisturbed run",
    ]
