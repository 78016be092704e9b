"""A session can be had by the token alone, and by no trick with what the cookie says."""

import pytest
from pydantic import SecretStr

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
def sessions(clock: Clock) -> Sessions:
    return Sessions(SecretStr(TOKEN), clock)


def test_only_the_token_is_the_token(sessions: Sessions) -> None:
    assert sessions.knows(TOKEN)
    for wrong in ("", TOKEN[:-1], f"{TOKEN} ", TOKEN.upper(), "\ud800", "ä" * 24):
        assert not sessions.knows(wrong)


def test_a_session_lasts_its_time_and_a_new_process(sessions: Sessions, clock: Clock) -> None:
    cookie = sessions.begin()
    assert Sessions(SecretStr(TOKEN), clock).holds(cookie)
    clock.now += LASTS_S - 1
    assert sessions.holds(cookie)
    clock.now += 1
    assert not sessions.holds(cookie)


def test_a_session_ends_with_its_token_and_does_not_tell_it(sessions: Sessions) -> None:
    cookie = sessions.begin()
    assert TOKEN not in cookie
    assert cookie != sessions.begin()
    assert not Sessions(SecretStr(TOKEN + "2")).holds(cookie)


def test_nothing_else_is_a_session(sessions: Sessions) -> None:
    cookie = sessions.begin()
    until, chance, signature = cookie.split(".")
    for wrong in ("", ".", "..", cookie + "0", f"{int(until) + 9}.{chance}.{signature}",
                  f"{until}.{chance}.", f"{until}..{signature}", "9" * 9999, f"x.{signature}",
                  "\ud800.\ud800.\ud800", f"{until}.{chance}.\xe4"):  # fmt: skip
        assert not sessions.holds(wrong)


def test_without_a_token_nobody_needs_a_session_and_nobody_has_one() -> None:
    open_to_all = Sessions(None)
    assert not open_to_all.are_needed
    assert not open_to_all.knows("")
