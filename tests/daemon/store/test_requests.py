"""What commands leave for the daemon is acted on once, in order, and never brings it down."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import killed_at

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.requests import FOLDER, LONGEST, Requests, leave


class Told(Reporter):
    """Remembers what is wrong."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.waits: list[str] = []

    def left_alone(self, path: Path, why: str) -> None:
        self.left.append(why)

    def paused(self, what: str, reason: str) -> None:
        self.waits.append(reason)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def asked(tmp_path: Path, told: Told) -> Requests:
    return Requests(tmp_path, told)


def waiting(state: Path) -> list[str]:
    return sorted(path.name for path in (state / FOLDER).iterdir())


def put(state: Path, content: bytes, name: str = "1.json") -> Path:
    path = state / FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_requests_are_acted_on_once_in_the_order_they_came(tmp_path: Path, asked: Requests) -> None:
    done: list[Any] = []
    for number in range(5):
        leave(tmp_path, "note", number=number)

    def note(number: int) -> None:
        done.append(number)

    asked.act({"note": note})
    asked.act({"note": note})
    assert done == [0, 1, 2, 3, 4]
    assert waiting(tmp_path) == []


def test_a_request_says_what_is_asked_and_when(tmp_path: Path) -> None:
    plain = json.loads(leave(tmp_path, "retry", job="sea").read_bytes())
    assert (plain["verb"], plain["arguments"]) == ("retry", {"job": "sea"})
    assert plain["made"].endswith("+00:00")


def test_where_nothing_was_ever_asked_there_is_nothing_to_do(
    asked: Requests, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    asked.act({})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe{", "decode"),
        (b"[1]", "mapping"),
        (b"{}", "verb"),
        (b'{"verb": 1, "arguments": {}}', "no verb"),
        (b'{"verb": "note", "arguments": []}', "no verb"),
        (b'{"verb": "dance", "arguments": {}}', "'dance'"),
        (b'{"verb": "note", "arguments": {"other": 1}}', "note: "),
        (b'{"verb": "note", "extra": 1}', "extra"),
        (b'{"verb": "a\\u001b[2J\\nb", "arguments": {}}', "nothing is known"),
        (b"[" * 50_000, "recursion"),
        (b" " * (LONGEST + 1), "longer than"),
    ],
)
def test_what_cannot_be_acted_on_is_set_aside_with_a_warning(
    tmp_path: Path, asked: Requests, told: Told, content: bytes, why: str
) -> None:
    put(tmp_path, content)
    asked.act({"note": lambda number=0: None})
    assert waiting(tmp_path) == []
    assert (tmp_path / "damaged/1.json").read_bytes() == content
    assert why in told.left[0]
    assert told.left[0].isprintable()


def test_a_fault_of_ours_in_acting_brings_nothing_down(
    tmp_path: Path, asked: Requests, told: Told
) -> None:
    leave(tmp_path, "note", job="sea")
    nothing: dict[str, str] = {}
    asked.act({"note": lambda job: nothing[job]})
    assert waiting(tmp_path) == []
    assert "'sea'" in told.left[0]


def test_links_pipes_and_folders_are_set_aside_too(
    tmp_path: Path, asked: Requests, told: Told
) -> None:
    link = put(tmp_path, b"", "real").with_name("1.json")
    link.symlink_to("real")
    link.with_name("2.json").mkdir()
    asked.act({})
    assert waiting(tmp_path) == ["real"]
    assert len(told.left) == 2


def test_half_written_requests_are_not_looked_at(tmp_path: Path, asked: Requests) -> None:
    put(tmp_path, b"{", ".1.json")
    put(tmp_path, b"{", "1.tmp")
    asked.act({})
    assert waiting(tmp_path) == [".1.json", "1.tmp"]


def test_one_that_the_disk_keeps_from_being_done_is_tried_again_and_told_once(
    tmp_path: Path, asked: Requests, told: Told
) -> None:
    done: list[str] = []

    def full() -> None:
        raise OSError(28, "No space left on device")

    leave(tmp_path, "note")
    asked.act({"note": full})
    asked.act({"note": full})
    assert len(told.waits) == 1
    asked.act({"note": lambda: done.append("done")})
    assert done == ["done"]
    assert waiting(tmp_path) == []


def test_a_kill_before_it_is_done_loses_no_request(tmp_path: Path, asked: Requests) -> None:
    leave(tmp_path, "note")
    done: list[str] = []
    with killed_at(1):
        asked.act({"note": lambda: done.append("first")})
    asked.act({"note": lambda: done.append("again")})
    assert done == ["first", "again"]
    assert waiting(tmp_path) == []


def test_verbs_that_came_too_late_can_be_dropped(tmp_path: Path, asked: Requests) -> None:
    leave(tmp_path, "drain")
    kept = leave(tmp_path, "pause")
    put(tmp_path, b"{")
    asked.drop("drain")
    assert waiting(tmp_path) == ["1.json", kept.name]


def test_a_state_folder_that_cannot_be_written_is_told_with_what_helps(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    with pytest.raises(OutputError, match="as the user whom the daemon runs as"):
        requests.leave(tmp_path, "pause")
