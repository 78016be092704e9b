"""`stylewatch status`; with a real daemon it is tested in the line."""

import io
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_json import FILE_NAME
from stylewatch_daemon.outbox.status_txt import Refusal, Running, Status
from stylewatch_daemon.store.requests import PAUSED

EVIL = "a\x1b[2J\n\u202eb[red]"
BUSY = Status(
    running=(Running("trip", 3, 50, 0.25, (48, 36), 9.5, "cpu"),),
    waiting=["next"],
    incomplete=[Incomplete("half", "a style picture (style.jpg)")],
    trouble=["the outbox is full"],
    refused=[Refusal("bad", "first line\nsecond line"), Refusal(EVIL, EVIL)],
)


class Terminal(io.StringIO):
    """A stdout that people look at."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The stdout from now on."""
    here = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "stdout", here)
    return here


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_all_that_the_daemon_says_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, BUSY, waiting=4, running=1, refused=2)
    with lock.held(tmp_path / "lock"):
        assert call(["status", "--state", str(tmp_path)]) == 0
    first, *rest = lines(capsys)
    assert first.startswith("stylewatch ") and f" is at work with {tmp_path} since 20" in first
    assert rest == [
        "", "4 waiting, 1 running, 0 done, 2 refused, 0 failed, 0 cancelled",
        "", "painting:", "  trip  step 3 of 50 at 48x36, loss 0.25, 10 s left  cpu",
        "", "waiting their turn:", "  next", "  ... and 3 more",
        "", "waiting for another half:", "  half  a style picture (style.jpg)",
        "", "in the way:", "  the outbox is full",
        "", "refused, or failed:", "  bad            first line; second line",
        "  a?[2J??b[red]  a?[2J; ?b[red]",
    ]  # fmt: skip


def test_as_json_it_is_one_object_with_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, BUSY, waiting=4, running=1)
    with lock.held(tmp_path / "lock"):
        assert call(["status", "--json", "--state", str(tmp_path)]) == 0
    (line,) = lines(capsys)
    assert json.loads(line) == json.loads((tmp_path / FILE_NAME).read_text())


def test_where_nothing_ever_was_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["status", "--state", str(tmp_path / "none")]) == 0
    assert lines(capsys) == [
        f"no daemon is at work with {tmp_path / 'none'}",
        "", "0 waiting, 0 running, 0 done, 0 refused, 0 failed, 0 cancelled",
    ]  # fmt: skip
    assert call(["status", "--json", "--state", str(tmp_path / "none")]) == 0
    now = json.loads(lines(capsys)[0])
    assert set(now) >= {"counts", "running", "incomplete", "refused", "health"}
    assert list(tmp_path.iterdir()) == []


def test_of_a_daemon_that_was_killed_the_ledger_knows_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, BUSY, waiting=9)
    enter(tmp_path, entry("trip", "running"), entry("a"), entry("b", "queued"))
    (tmp_path / PAUSED).touch()
    assert call(["status", "--state", str(tmp_path), "--json"]) == 0
    now = json.loads(lines(capsys)[0])
    assert now["counts"] == {"waiting": 2, "running": 0, "done": 1, "refused": 0, "failed": 0,
                             "cancelled": 0}  # fmt: skip
    assert now["running"] == []
    assert [one["name"] for one in now["incomplete"]] == ["half"]
    assert (now["health"]["at_work"], now["health"]["paused"]) == (False, True)


def test_a_pause_and_an_observer_that_died_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, Status())
    (tmp_path / PAUSED).touch()
    said = json.loads((tmp_path / FILE_NAME).read_text())
    said["health"]["observer"] = False
    (tmp_path / FILE_NAME).write_text(json.dumps(said))
    with lock.held(tmp_path / "lock"):
        call(["status", "--state", str(tmp_path)])
    first = lines(capsys)[0]
    assert "; paused: nothing new is begun until `stylewatch resume`; no file events" in first


def test_on_a_terminal_it_is_tables_and_names_stay_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = terminal(monkeypatch)
    publish(tmp_path, BUSY, waiting=1)
    with lock.held(tmp_path / "lock"):
        assert call(["status", "--state", str(tmp_path)]) == 0
    text = here.getvalue()
    assert re.search("│ trip +│ step 3 of 50 at 48x36, loss 0.25, 10 s left +│ cpu +│", text)
    assert "a?[2J??b[red]" in text
    assert "\x1b[2J" not in text


def test_a_daemon_that_only_just_began_has_yet_to_say_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock.held(tmp_path / "lock"):
        assert call(["status", "--state", str(tmp_path)]) == 0
    assert lines(capsys)[0] == (
        f"a daemon is at work with {tmp_path}, and has yet to say how it stands"
    )


def then(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Any]) -> None:
    """Let `steps` happen, one at each look, and then Ctrl-C."""
    coming = iter(steps)

    def sleep(seconds: float) -> None:
        step = next(coming, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(time, "sleep", sleep)


def test_watching_tells_what_is_new_until_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, Status())
    then(monkeypatch, lambda: None, lambda: publish(tmp_path, Status(), done=1), lambda: None)
    with lock.held(tmp_path / "lock"):
        assert call(["status", "--watch", "--json", "--state", str(tmp_path)]) == 0
    first, second = map(json.loads, lines(capsys))
    assert (first["counts"]["done"], second["counts"]["done"]) == (0, 1)


def test_watching_on_a_terminal_redraws_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = terminal(monkeypatch)
    publish(tmp_path, Status())
    then(monkeypatch, lambda: publish(tmp_path, BUSY, waiting=1))
    with lock.held(tmp_path / "lock"):
        assert call(["status", "--watch", "--state", str(tmp_path)]) == 0
    text = here.getvalue()
    assert "0 waiting" in text and "1 waiting" in text
    assert "\x1b[1A" in text or "\x1b[2K" in text
