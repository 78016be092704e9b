"""A sample of the table of `make faults`: real daemons, kill -9, and every kind of change."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import WORKER
from tests.e2e import changes, faults
from tests.e2e.invariants import Workspace


def test_after_a_kill_and_a_restart_the_promises_hold(tmp_path: Path) -> None:
    assert faults.killed(faults.middle(WORKER, ""), "both").run(tmp_path) == []


def test_killed_at_a_change_of_the_disk_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    assert changes.wrong(tmp_path, sample=True) == []


def half(space: Workspace) -> None:
    (space.outbox / "a").mkdir()
    (space.outbox / "a/final.png").write_bytes(b"half of")


@pytest.mark.parametrize(
    ("break_it", "found"),
    [
        (lambda space: None, []),
        (lambda space: (space.inbox / "a/content.jpg").unlink(), ["a is lost"]),
        (half, ["a/final.png differs from an undisturbed run"]),
    ],
)
def test_lost_and_partial_files_are_found(
    break_it: Callable[[Workspace], object], found: list[str], tmp_path: Path
) -> None:
    space = Workspace(tmp_path)
    space.drop("a")
    break_it(space)
    assert list(space.violations({"a/final.png": b"half of it"})) == found
