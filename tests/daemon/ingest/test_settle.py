"""Files are ready when they stopped changing, and are complete or were waited for."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.clock import Clock

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.ingest.settle import SettleTracker, TruncatedFiles

A, B = Path("in/a\n.jpg"), Path("in/b.jpg")
LOOK = Look(inode=1, size=2, mtime_ns=3)
CHANGED = [replace(LOOK, **{part: 9}) for part in ("inode", "size", "mtime_ns")]
TRUNCATED = "the rest of a?.jpg: it ends too early, and may still be on its way"
OPEN = "a?.jpg, which is still being written: a program has it open"


@pytest.mark.parametrize("look", [*CHANGED, replace(LOOK, mtime_ns=2**62), None])
def test_a_file_settles_after_two_scans_and_the_quiet_time_without_a_change(
    look: Look | None,
) -> None:
    clock = Clock()
    tracker = SettleTracker(clock, quiet_s=2)
    seen = {A: look or LOOK}
    tracker.settled({A: LOOK})
    if look is None:
        tracker.settled({})  # a file that comes back is new
    for seconds in (2, 1.9):
        clock.now += seconds
        assert tracker.settled(seen) == set()
    clock.now += 0.1
    assert tracker.settled({**seen, B: LOOK}) == {A}


def test_one_scan_never_settles_even_without_a_quiet_time() -> None:
    tracker = SettleTracker(Clock(), quiet_s=0)
    assert [tracker.settled({A: LOOK}) for _ in range(2)] == [set(), {A}]


@pytest.mark.parametrize("look", [None, *CHANGED])
def test_a_truncated_file_is_waited_for_until_it_changes_or_its_time_is_over(
    look: Look | None,
) -> None:
    clock = Clock()
    truncated = TruncatedFiles(clock, wait_s=60)
    assert (truncated.any_awaited, truncated.waits_for([A, B])) == (False, "")
    truncated.add(A, LOOK)
    clock.now += 50
    truncated.add(A, LOOK)  # again, which does not restart the wait
    truncated.update({A: LOOK}, lambda path: False)
    clock.now += 9
    assert (truncated.any_awaited, truncated.waits_for([A, B])) == (True, TRUNCATED)
    assert (truncated.waits_for([B]), truncated.gave_up([A, B])) == ("", False)
    clock.now += 1
    assert (truncated.any_awaited, truncated.waits_for([A])) == (False, "")
    assert (truncated.gave_up([A]), truncated.gave_up([B])) == (True, False)
    truncated.update({} if look is None else {A: look}, lambda path: False)
    assert not truncated.gave_up([A])


def test_a_file_is_waited_for_while_a_program_has_it_open() -> None:
    truncated = TruncatedFiles(Clock(), wait_s=60)
    truncated.add(A, LOOK, is_open=True)
    truncated.add(B, LOOK)
    truncated.update({A: LOOK, B: LOOK}, lambda path: True)
    assert truncated.waits_for([A]) == OPEN
    assert truncated.waits_for([A, B]).startswith("the rest of b.jpg: it ends")
    assert truncated.waits_for([A, B]).endswith(OPEN)
    truncated.update({A: LOOK, B: LOOK}, lambda path: False)
    truncated.add(A, LOOK)
    assert truncated.waits_for([A, B]).startswith("the rest of a?.jpg and b.jpg: they end")
