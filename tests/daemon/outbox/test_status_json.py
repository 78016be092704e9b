"""`status.json` can be read at any moment, and safely printed."""

import os
from pathlib import Path

import pytest
from tests.daemon.clock import Clock

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.outbox.status_json import (
    AT_LEAST_EVERY,
    AT_MOST_EVERY,
    FILE_NAME,
    SHARE,
    StatusJsonWriter,
    is_at_work,
    nothing,
    read,
)
from stylewatch_daemon.outbox.status_txt import Refusal, Running, Status

BUSY = Status(
    running=(Running("trip", 3, 50, 0.25, (48, 36), 9.5, "cpu"),),
    waiting=["next"],
    incomplete=[
        Incomplete(
            "half",
            "a style picture (style.jpg)",
            pair=Pair("half", Path("in/half/content.jpg"), ()),
        )
    ],
    trouble=["the outbox is full"],
    refused=[Refusal("bad", "bad.jpg is no picture")],
    notes=["sea is skipped"],
    paused=True,
)
COUNTS = {"waiting": 1, "running": 1, "done": 0}


def test_it_has_the_whole_status(tmp_path: Path) -> None:
    writer = StatusJsonWriter(tmp_path, meters=lambda: {"scans": 1})
    writer.show(BUSY, COUNTS, True, [(Path("in"), Path("out"))])
    plain = read(tmp_path)
    assert plain is not None
    assert (nothing().keys(), nothing()["health"].keys()) == (plain.keys(), plain["health"].keys())
    health = plain.pop("health")
    assert plain.pop("at").endswith("+00:00")
    assert plain == {
        "inboxes": [{"path": "in", "outbox": "out"}],
        "counts": COUNTS,
        "running": [{"job": "trip", "step": 3, "steps": 50, "loss": 0.25, "size": [48, 36],
                     "seconds_left": 9.5, "device": "cpu", "id": "", "unit": "step"}],
        "waiting": ["next"],
        "incomplete": [
            {
                "name": "half",
                "waits_for": "a style picture (style.jpg)",
                "files": ["in/half/content.jpg"],
            }
        ],
        "refused": [{"job": "bad", "reason": "bad.jpg is no picture"}],
        "meters": {"scans": 1},
    }  # fmt: skip
    assert health.pop("since").endswith("+00:00")
    assert health.pop("version")[0].isdigit()
    assert health == {"at_work": True, "pid": os.getpid(), "paused": True, "observer": True,
                      "trouble": ["the outbox is full"],
                      "notes": ["sea is skipped"], "set_aside": 0}  # fmt: skip


def test_it_is_rewritten_after_a_change_or_a_while_and_not_too_often(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / FILE_NAME
    writer = StatusJsonWriter(tmp_path, clock, lambda: {"time": clock.now})

    def is_written(status: Status) -> bool:
        path.unlink(missing_ok=True)
        writer.show(status, COUNTS)
        return path.exists()

    assert writer.due() and is_written(BUSY) and not writer.due()
    clock.now += AT_MOST_EVERY
    assert writer.due() and not is_written(BUSY), "metrics alone cause no rewrite"
    assert not writer.due(1.0)
    assert is_written(Status(leaving=True))
    plain = read(tmp_path) or {}
    assert (plain["health"]["at_work"], plain["meters"]) == (False, {"time": clock.now})
    clock.now += SHARE
    assert writer.due(1.0) and is_written(Status()) and not is_written(Status())
    clock.now += AT_LEAST_EVERY
    assert is_written(Status())
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_no_text_in_it_forges_a_line_or_reaches_a_terminal(tmp_path: Path) -> None:
    evil, safe = "a\x1b[2J\u202e\x9b\udcff\nb", "a?[2J????b"
    status = Status(
        running=(Running(evil),), waiting=[evil], incomplete=[Incomplete(evil, evil)],
        refused=[Refusal(evil, "first\x1b\nsecond")],
    )  # fmt: skip
    StatusJsonWriter(tmp_path).show(status, {})
    plain = read(tmp_path) or {}
    assert (plain["running"][0]["job"], plain["waiting"]) == (safe, [safe])
    assert plain["incomplete"] == [{"name": safe, "waits_for": safe, "files": []}]
    assert plain["refused"] == [{"job": safe, "reason": "first?\nsecond"}]


def test_a_daemon_is_at_work_while_it_holds_the_lock(tmp_path: Path) -> None:
    assert not is_at_work(tmp_path)
    with lock.held(tmp_path / "lock"):
        assert is_at_work(tmp_path)
    with lock.shared(tmp_path / "lock"):
        assert not is_at_work(tmp_path), "a shared lock is no daemon"
    with pytest.raises(OutputError, match="cannot be read"):
        is_at_work(tmp_path / "lock")
