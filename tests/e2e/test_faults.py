"""A sample of the table of `make faults`, with real daemons and kill -9."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e import changes, faults
from tests.e2e.faults import Row
from tests.e2e.invariants import Workspace
from tests.e2e.planted import DAEMON, INSPECTION, WORKER


@pytest.mark.parametrize(
    ("process", "target"), [(INSPECTION, INSPECTION), (WORKER, "both"), (DAEMON, DAEMON)]
)
def test_after_a_kill_and_a_restart_the_promises_hold(
    process: str, target: str, tmp_path: Path
) -> None:
    assert faults.killed(faults.middle(process, ""), target).run(tmp_path) == []


@pytest.mark.parametrize("row", [*faults.around_the_daemon()], ids=lambda row: row.fault)
def test_a_daemon_that_watches_goes_on_after_a_fault(row: Row, tmp_path: Path) -> None:
    assert row.run(tmp_path) == []


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
