"""Requests of commands and of the page: any process writes them, and the daemon is woken."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from stylewatch_daemon.base.errors import LedgerError, LockedError, OutputError
from stylewatch_daemon.files import disks, pipes
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.make()
    LedgerWriter.open(state.ledger).close()
    return state


def verbs(state: StateDir) -> list[tuple[str, Any]]:
    return [(request.verb, request.arguments) for request in requests.waiting(state.root)]


def test_a_request_waits_until_the_daemon_removes_it(state: StateDir) -> None:
    names = ["Ärger", "latin\udce9"]
    ids = [requests.leave(state.root, "cancel", job="1"),
           requests.leave(state.root, "dismiss", jobs=names, until="")]  # fmt: skip
    assert verbs(state) == [("cancel", {"job": "1"}), ("dismiss", {"jobs": names, "until": ""})]
    asked: tuple[tuple[bool, str, dict[str, Any]], ...] = (
        (True, "cancel", {}), (True, "cancel", {"job": "1"}), (False, "cancel", {"job": "2"}),
        (False, "finish", {}), (True, "dismiss", {"jobs": names}),
        (False, "cancel", {"job": "1", "more": 1}),
    )  # fmt: skip
    for is_asked, verb, more in asked:
        assert requests.is_asked(state.root, verb, **more) == is_asked
    for left in ([True, True, False], [False, True, False], [False, False, False]):
        assert [not requests.wait(state.root, [each], 0.0) for each in (*ids, 99)] == left
        with closing(LedgerWriter.open(state.ledger)) as ledger:
            ledger.remove_request(ids[left[:2].index(True)] if any(left) else 99)
    assert requests.leave(state.root, "resume") > ids[1], "an id is never used again"


def test_a_ledger_that_another_program_has_locked_is_tried_again_later(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BUSY_S", 0.0)
    with closing(sqlite3.connect(state.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedError, match="another program has locked the ledger") as caught:
            requests.leave(state.root, "pause")
    assert "full" not in str(caught.value) and "user" not in str(caught.value)


@pytest.mark.parametrize("may_write", [True, False])
def test_another_account_is_advised_only_if_this_one_may_not_write(
    may_write: bool, state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise LedgerError("the ledger cannot be used (database or disk is full)")

    monkeypatch.setattr(requests, "_add", fail)
    monkeypatch.setattr(disks, "may_write", lambda folder: may_write)
    with pytest.raises(OutputError, match="disk is full") as caught:
        requests.leave(state.root, "pause")
    assert ("ask as the user" in str(caught.value)) is not may_write


def test_whoever_leaves_a_request_wakes_the_daemon(state: StateDir) -> None:
    woken = Event()
    requests.leave(state.root, "pause")  # nobody reads: it does not wait for a reader
    with pipes.waking(state.wake, woken.set):
        for _ in range(2):
            woken.clear()
            requests.leave(state.root, "pause")
            assert woken.wait(60)
    with pytest.raises(OSError, match="No such device"):  # nobody reads any more
        os.open(state.wake, os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize(
    ("asked", "is_paused", "will_be"),
    [
        ([], False, False), ([], True, True), (["pause"], False, True), (["resume"], True, False),
        (["pause", "drain", "resume"], False, False), (["resume", "pause", "cancel"], True, True),
    ],
)  # fmt: skip
def test_waiting_requests_count_for_whether_the_daemon_is_paused(
    asked: list[str], is_paused: bool, will_be: bool, state: StateDir
) -> None:
    if is_paused:
        (state.root / requests.PAUSED).touch()
    for verb in asked:
        requests.leave(state.root, verb)
    assert requests.is_paused(state.root) == will_be
