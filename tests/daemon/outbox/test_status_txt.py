"""`_status.txt` has the status for people who can see only the share."""

import stat
from datetime import UTC, datetime
from pathlib import Path

from tests.daemon.faults import told_of_syncs

from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_txt import (
    FAREWELL,
    HELD,
    Board,
    Refusal,
    Running,
    Status,
    together,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BUSY = Status(
    running=(Running("trip", 3, 50, 0.25),),
    waiting=["next"],
    incomplete=[Incomplete("half", "a style picture (style.jpg)")],
    trouble=["the outbox is full"],
    refused=[Refusal("bad", "bad.jpg is no picture")],
)


def test_it_has_the_whole_status() -> None:
    assert str(BUSY).split("\n\n") == [
        "Painting:\n  trip: step 3 of 50, loss 0.25",
        "Waiting their turn:\n  next",
        "Waiting for another half:\n  half: a style picture (style.jpg)",
        "In the way:\n  the outbox is full",
        "Refused (see _refused):\n  bad: bad.jpg is no picture",
    ]


def test_a_short_status() -> None:
    assert "drop a pair into the inbox" in str(Status())
    assert str(Running("trip")) == "trip: being prepared"
    assert str(Status(paused=True)) == HELD
    assert str(Status(paused=True, waiting=["next"], more=3)).splitlines() == [
        HELD, "", "Waiting their turn:", "  next", "  ... and 3 more",
    ]  # fmt: skip


def test_equal_lines_of_several_outboxes_appear_once() -> None:
    other = Status(waiting=["far"], more=2, trouble=["the outbox is full", "no network"])
    both = together([BUSY, other])
    assert both.running == list(BUSY.running)
    assert both.waiting == ["next", "far"]
    assert both.more == 2
    assert both.trouble == ["the outbox is full", "no network"]
    assert both.refused == [Refusal("bad", "bad.jpg is no picture")]


def test_it_is_written_only_when_something_changed(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.show(BUSY, NOON)
    first = (tmp_path / "_status.txt").stat()
    board.show(BUSY, NOON)
    assert (tmp_path / "_status.txt").stat().st_ino == first.st_ino
    board.show(Status(leaving=True, waiting=["next"]), NOON)
    text = (tmp_path / "_status.txt").read_text()
    assert text.startswith(f"stylewatch, 2026-01-02 12:00:00 UTC\n\n{FAREWELL}\n")
    assert text.endswith("  next\n")
    Board(tmp_path / "gone").show(BUSY, NOON)
    assert not (tmp_path / "gone").exists()


def test_the_status_is_whole_but_never_waits_for_the_disk(tmp_path: Path) -> None:
    half = tmp_path / ".0123456789abcdef.tmp"
    half.touch()
    with told_of_syncs() as told:
        Board(tmp_path, Sharing(mode=0o664)).show(BUSY, NOON)
    assert not half.exists(), "a new start removes what the last one did not finish"
    assert stat.S_IMODE((tmp_path / "_status.txt").stat().st_mode) == 0o664
    assert told == [("rename", str(tmp_path / "_status.txt"))]
