"""`_status.txt` has the status for people who can see only the share."""

import stat
from datetime import UTC, datetime
from pathlib import Path

from tests.daemon.faults import recorded_syncs

from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_txt import (
    FAREWELL,
    HELD,
    Refusal,
    Running,
    Status,
    StatusTextWriter,
    merge_statuses,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BUSY = Status(
    running=(Running("trip", 3, 50, 0.25), Running("soon")),
    waiting=["next"],
    incomplete=[Incomplete("half", "a style picture (style.jpg)")],
    trouble=["the outbox is full"],
    refused=[Refusal("bad", "bad.jpg is no picture")],
)


def test_the_statuses_of_all_outboxes_are_one_in_which_equal_lines_appear_once() -> None:
    other = Status(paused=True, waiting=["far"], more=2, trouble=["the outbox is full", "no net"])
    assert str(merge_statuses([BUSY, other])).split("\n\n") == [
        HELD,
        "Running:\n  trip: step 3 of 50, loss 0.25\n  soon: being prepared",
        "Queue:\n  next\n  far\n  ... and 2 more",
        "Incomplete:\n  half: waits for a style picture (style.jpg)",
        "Problems:\n  the outbox is full\n  no net",
        "Refused or failed (see _refused):\n  bad: bad.jpg is no picture",
    ]
    assert "drop a pair into the inbox" in str(Status())


def test_it_is_written_without_a_sync_and_only_when_something_changed(tmp_path: Path) -> None:
    writer, path = StatusTextWriter(tmp_path, Sharing(mode=0o664)), tmp_path / "_status.txt"
    (tmp_path / ".0123456789abcdef.tmp").touch()  # by an earlier start that was killed
    with recorded_syncs() as events:
        writer.show(BUSY, NOON)
        writer.show(BUSY, NOON)
    assert events == [("rename", str(path))]
    assert [file.name for file in tmp_path.iterdir()] == ["_status.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    writer.show(Status(leaving=True, waiting=["next"]), NOON)
    assert path.read_text().startswith(f"stylewatch, 2026-01-02 12:00:00 UTC\n\n{FAREWELL}\n")
    assert path.read_text().endswith("  next\n")
