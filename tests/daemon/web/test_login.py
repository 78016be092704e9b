"""Logging in: the token goes in by a form alone, and a cookie comes out that is not the token."""

from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.daemon.web.visitors import HERE, OURS, PEOPLE, TOKEN, visitor

from stylewatch_daemon.web import login
from stylewatch_daemon.web.sessions import COOKIE


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "PAUSE_S", 0.0)


def test_the_token_gives_a_cookie_that_opens_the_page(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    answer = page.post("/login", data={"token": f" {TOKEN} "})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert TOKEN not in answer.headers["Set-Cookie"]
    assert cookie["httponly"] and cookie["samesite"] == "strict" and cookie["path"] == "/"
    assert not cookie["secure"]
    assert page.get("/metrics").status_code == 200


def test_where_a_proxy_speaks_tls_the_cookie_is_for_that_alone(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN, path="/studio")
    answer = page.post(
        "/studio/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"}
    )
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert cookie["secure"] and cookie["path"] == "/studio/"
    assert answer.headers["Location"] == "/studio/"


@pytest.mark.parametrize("said", [{"token": "wrong" * 5}, {"token": ""}, {}, {"other": TOKEN}])
def test_anything_else_gives_none(said: dict[str, str], tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    answer = page.post("/login", data=said, headers=PEOPLE)
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers
    assert "that is not the token" in answer.text


def test_the_token_is_not_taken_from_an_address(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    assert page.get("/metrics", params={"token": TOKEN}).status_code == 401
    assert page.post("/login", params={"token": TOKEN}).status_code == 403


@pytest.mark.parametrize("cookie", ["x", f"{TOKEN}", "9999999999.x.y", "9" * 3000])
def test_a_made_up_cookie_opens_nothing(cookie: str, tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    assert page.get("/metrics", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401


def test_logging_out_takes_the_cookie_away(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    page.post("/login", data={"token": TOKEN})
    assert page.post("/logout").headers["Location"] == "/login"
    assert page.get("/metrics").status_code == 401


def test_a_stolen_cookie_is_dead_after_logout(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    page.post("/login", data={"token": TOKEN})
    stolen = {"Cookie": f"{COOKIE}={page.cookies[COOKIE]}"}
    page.post("/logout")
    for other in (page, visitor(tmp_path, TOKEN)):  # the same process, and one after a restart
        assert other.get("/metrics", headers=stolen).status_code == 401


def test_logging_in_again_ends_the_session_of_before(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    page.post("/login", data={"token": TOKEN})
    before = page.cookies[COOKIE]
    page.post("/login", data={"token": TOKEN})
    assert page.cookies[COOKIE] != before and page.get("/metrics").status_code == 200
    page.cookies.clear()
    old = page.get("/metrics", headers={"Cookie": f"{COOKIE}={before}"})
    assert old.status_code == 401


def test_a_browser_elsewhere_stays_logged_in(tmp_path: Path) -> None:
    here = visitor(tmp_path, TOKEN)
    there = TestClient(here.app, HERE, headers=OURS, follow_redirects=False)
    for page in (here, there):
        page.post("/login", data={"token": TOKEN})
    here.post("/logout")
    assert there.get("/metrics").status_code == 200


def test_where_no_token_is_needed_there_is_nothing_to_log_in_to(tmp_path: Path) -> None:
    assert visitor(tmp_path).get("/login", headers=PEOPLE).headers["Location"] == "/"
