"""Pause, resume, drain: what is wanted of the daemon."""

from pathlib import Path

import pytest

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.store.control import Control
from stylewatch_daemon.store.requests import leave


class Told(Reporter):
    """Remembers what was asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def asked(self, what: str) -> None:
        self.heard.append(what.partition(":")[0])


@pytest.fixture
def told() -> Told:
    return Told()


def test_at_first_nothing_holds(tmp_path: Path, told: Told) -> None:
    control = Control(tmp_path, told)
    assert not control.holds
    assert control.folder.is_dir()


def test_a_pause_holds_over_restarts_until_it_is_resumed(tmp_path: Path, told: Told) -> None:
    control = Control(tmp_path, told)
    leave(tmp_path, "pause")
    control.act()
    assert control.paused and control.holds
    again = Control(tmp_path, told)
    assert again.holds
    leave(tmp_path, "resume")
    again.act()
    assert not again.holds
    assert not Control(tmp_path, told).holds
    assert told.heard == ["paused", "resumed"]


def test_the_last_word_holds(tmp_path: Path, told: Told) -> None:
    control = Control(tmp_path, told)
    for verb in ("pause", "pause", "resume", "resume", "pause"):
        leave(tmp_path, verb)
    control.act()
    assert control.paused
    assert told.heard == ["paused", "resumed", "paused"]


def test_what_was_asked_while_no_daemon_ran_is_done_at_the_next_start(
    tmp_path: Path, told: Told
) -> None:
    leave(tmp_path, "pause")
    control = Control(tmp_path, told)
    control.act()
    assert control.paused


def test_draining_begins_nothing_and_is_forgotten_at_the_next_start(
    tmp_path: Path, told: Told
) -> None:
    control = Control(tmp_path, told)
    leave(tmp_path, "drain")
    control.act()
    assert control.draining and control.holds and not control.paused
    leave(tmp_path, "drain")  # for a daemon that is killed before it hears of it
    again = Control(tmp_path, told)
    again.act()
    assert not again.draining


def test_more_can_be_asked_for(tmp_path: Path, told: Told) -> None:
    control, ended = Control(tmp_path, told), list[str]()

    def cancel(job: str) -> None:
        ended.append(job)

    control.acts["cancel"] = cancel
    leave(tmp_path, "cancel", job="sea")
    control.act()
    assert ended == ["sea"]
