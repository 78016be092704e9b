"""A session can be had by the token alone, and by no trick with what the cookie says."""

import errno
import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from stylewatch_daemon.files import atomic
from stylewatch_daemon.web.sessions import LASTS_S, Sessions

TOKEN = "a-token-of-twenty-four-l"


class Clock:
    """One that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


@pytest.fixture
def sessions(path: Path, clock: Clock) -> Sessions:
    return Sessions(SecretStr(TOKEN), path, clock)


def test_only_the_token_is_the_token(sessions: Sessions) -> None:
    assert sessions.knows(TOKEN)
    for wrong in ("", TOKEN[:-1], f"{TOKEN} ", TOKEN.upper(), "\ud800", "ä" * 24):
        assert not sessions.knows(wrong)


def test_a_session_lasts_its_time_and_survives_a_restart(
    sessions: Sessions, path: Path, clock: Clock
) -> None:
    cookie = sessions.begin()
    assert Sessions(SecretStr(TOKEN), path, clock).holds(cookie)
    clock.now += LASTS_S - 1
    assert sessions.holds(cookie)
    clock.now += 1
    assert not sessions.holds(cookie)


def test_a_session_that_was_ended_stays_so_over_restarts_and_others_go_on(
    sessions: Sessions, path: Path, clock: Clock
) -> None:
    stolen, other = sessions.begin(), sessions.begin()
    sessions.end(stolen)
    sessions.end("never begun")
    for one in (sessions, Sessions(SecretStr(TOKEN), path, clock)):
        assert (one.holds(stolen), one.holds(other)) == (False, True)


def test_a_session_ends_with_its_token_and_the_file_gives_nothing_away(
    sessions: Sessions, path: Path, clock: Clock
) -> None:
    cookie = sessions.begin()
    assert TOKEN not in cookie
    assert cookie != sessions.begin()
    assert not Sessions(SecretStr(TOKEN + "2"), path, clock).holds(cookie)
    assert cookie not in path.read_text() and TOKEN not in path.read_text()
    assert not any(sessions.holds(kept) for kept in json.loads(path.read_text()))


def test_there_is_a_limit_to_sessions_and_the_oldest_ends_first(
    sessions: Sessions, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylewatch_daemon.web.sessions.MOST", 3)
    cookies = [sessions.begin() for _ in range(5)]
    assert [sessions.holds(one) for one in cookies] == [False, False, True, True, True]
    clock.now += LASTS_S
    sessions.begin()
    assert len(json.loads(path.read_text())) == 1, "those that are over are not kept"


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": null}', b"[" * 99_999, b"\xff"])
def test_a_damaged_file_is_one_without_sessions(content: bytes, path: Path, clock: Clock) -> None:
    path.write_bytes(content)
    sessions = Sessions(SecretStr(TOKEN), path, clock)
    assert not sessions.holds("a")
    assert sessions.holds(sessions.begin())


def test_a_session_ends_for_good_though_the_disk_is_full(
    sessions: Sessions,
    path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cookie = sessions.begin()
    monkeypatch.setattr(atomic, "write", full)
    sessions.end(cookie)
    assert not sessions.holds(cookie)
    assert not Sessions(SecretStr(TOKEN), path, clock).holds(cookie)
    assert "cannot be written (No space left on device)" in caplog.text


def test_nothing_else_is_a_session(sessions: Sessions) -> None:
    cookie = sessions.begin()
    for wrong in ("", ".", "..", cookie + "0", cookie[:-1], "9" * 9999, "\ud800", "\xe4"):
        assert not sessions.holds(wrong)


def test_without_a_token_nobody_needs_a_session_and_nobody_has_one(path: Path) -> None:
    open_to_all = Sessions(None, path)
    assert not open_to_all.are_needed
    assert not open_to_all.knows("")
    assert not open_to_all.holds("")
    assert not path.exists()
