"""Access: by which host name, from which site, with which token or session; and headers."""

import errno
import json
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.daemon.web.world import BROWSER, HERE, OURS, TOKEN, Clock, client, requested

from stylewatch_daemon.files import atomic
from stylewatch_daemon.web import login, middleware
from stylewatch_daemon.web.login import COOKIE, LASTS_S, Sessions


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "WRONG_TOKEN_DELAY_S", 0.0)


def with_route(page: TestClient, route: Route) -> TestClient:
    assert isinstance(page.app, Starlette)
    page.app.router.routes.insert(0, route)
    return page


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.0.0.1:8787", "localhost", "LOCALHOST:9", "[::1]:8787",
                                   "192.168.1.7", "a.example")),
        *((host, 421) for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil",
                                   "a b", "[::1", "", "1.2.3")),
    ],
)  # fmt: skip
def test_only_addresses_and_configured_names_are_answered(
    host: str, status: int, tmp_path: Path
) -> None:
    answer = client(tmp_path, hosts=["A.example"]).get("/healthz", headers={"Host": host})
    assert answer.status_code == status
    assert status == 200 or "web.hosts" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": f"{HERE}.evil.example"},
        {"Origin": "http://127.0.0.1:8788"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": HERE},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)
def test_other_sites_cannot_act(headers: dict[str, str], tmp_path: Path) -> None:
    page = client(tmp_path)
    del page.headers["Origin"]
    for path in ("/pause", "/upload", "/login", "/jobs/x/cancel", "/nothing"):
        assert page.post(path, headers=headers).status_code == 403
    assert page.request("DELETE", "/pause", headers=headers).status_code == 403
    assert requested(tmp_path) == []


def test_a_program_with_the_token_needs_no_origin(tmp_path: Path) -> None:
    page = client(tmp_path, TOKEN)
    del page.headers["Origin"]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert page.post("/nothing", headers=bearer).status_code == 404
    other_site = {**bearer, "Sec-Fetch-Site": "cross-site"}
    assert page.post("/nothing", headers=other_site).status_code == 403


@pytest.mark.parametrize("path", ["/", "/metrics", "/jobs/x", "/nothing", "/static", "/login/"])
def test_without_the_token_nothing_is_shown(path: str, tmp_path: Path) -> None:
    page = client(tmp_path, TOKEN)
    answer = page.get(path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    to_login = page.get(path, headers=BROWSER)
    assert (to_login.status_code, to_login.headers["Location"]) == (303, "/login")
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer \xe4", TOKEN):
        headers = {b"Authorization": wrong.encode("latin-1")}
        assert page.get(path, headers=headers).status_code == 401
    assert page.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert page.get("/metrics", params={"token": TOKEN}).status_code == 401
    for public in ("/healthz", "/login", "/static/page.css"):
        assert page.get(public).status_code == 200


@pytest.mark.parametrize(
    "path", ["/static/../metrics", "/static/%2e%2e/metrics", "/static//../../app.py",
             "/static/%2e%2e%2fapp.py", "/login/../metrics", "//metrics", "/healthz/../metrics"]
)  # fmt: skip
def test_no_path_leads_past_the_token(path: str, tmp_path: Path) -> None:
    answer = client(tmp_path, TOKEN).get(path)
    assert answer.status_code in (401, 404)
    assert "import" not in answer.text and "stylewatch_jobs" not in answer.text


def broken(request: Request) -> None:
    raise ValueError("a secret")


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/static/page.css", "/broken"])
def test_browsers_load_nothing_from_elsewhere_and_errors_stay_in_the_log(
    path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = with_route(client(tmp_path), Route("/broken", broken)).get(path)
    headers = answer.headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy["script-src"], policy["style-src"], policy["form-action"]} == {"'self'"}
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert (answer.status_code == 500, "a secret" in caplog.text) == (path == "/broken",) * 2
    assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_too_many_requests_are_refused_but_health_is_answered(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "AT_ONCE", {True: 1, False: 1})
    statuses: list[int] = []

    def nested(request: Request) -> Response:
        statuses.append(page.request(method, "/nothing").status_code)
        statuses.append(page.get("/healthz").status_code)
        return Response()

    page = with_route(client(tmp_path), Route("/nested", nested, methods=[method]))
    for _ in range(2):  # an answered request does not count any more
        assert page.request(method, "/nested").status_code == 200
    assert statuses == [503, 200, 503, 200]


def test_a_proxy_may_keep_or_remove_the_path(tmp_path: Path) -> None:
    page = client(tmp_path, path="/base")
    assert page.get("/base/healthz").text == page.get("/healthz").text == "ok\n"
    assert page.get("/basehealthz").status_code == 404
    assert 'href="/base/' in page.get("/base/nothing", headers=BROWSER).text


@pytest.mark.parametrize(("root", "scheme"), [("", "http"), ("/base", "https")])
def test_the_token_gives_a_cookie_that_opens_the_page(
    root: str, scheme: str, tmp_path: Path
) -> None:
    page = client(tmp_path, TOKEN, path=root)
    headers = {"X-Forwarded-Proto": scheme}
    answer = page.post(f"{root}/login", data={"token": f" {TOKEN} "}, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{root}/")
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert TOKEN not in answer.headers["Set-Cookie"]
    assert cookie["httponly"] and cookie["samesite"] == "strict" and cookie["path"] == f"{root}/"
    assert bool(cookie["secure"]) == (scheme == "https")
    opened = page.get(f"{root}/metrics", headers={"Cookie": f"{COOKIE}={cookie.value}"})
    assert opened.status_code == 200


@pytest.mark.parametrize("fields", [{"token": "wrong" * 5}, {"token": ""}, {}, {"other": TOKEN}])
def test_a_wrong_token_gives_no_cookie(fields: dict[str, str], tmp_path: Path) -> None:
    page = client(tmp_path, TOKEN)
    answer = page.post("/login", params={"token": TOKEN}, data=fields, headers=BROWSER)
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers
    assert "wrong token" in answer.text
    for cookie in ("x", TOKEN, "9999999999.x.y", "9" * 3000):
        headers = {"Cookie": f"{COOKIE}={cookie}"}
        assert page.get("/metrics", headers=headers).status_code == 401


@pytest.mark.parametrize("end", ["/logout", "/login"])
def test_a_session_that_ended_is_dead_everywhere_and_others_live(end: str, tmp_path: Path) -> None:
    page = client(tmp_path, TOKEN)
    elsewhere = TestClient(page.app, HERE, headers=OURS, follow_redirects=False)
    for browser in (page, elsewhere):
        browser.post("/login", data={"token": TOKEN})
    stolen = {"Cookie": f"{COOKIE}={page.cookies[COOKIE]}"}
    page.post(end, data={"token": TOKEN})
    assert page.get("/metrics").status_code == (401 if end == "/logout" else 200)
    page.cookies.clear()
    for other in (page, client(tmp_path, TOKEN)):  # the same process, and one after a restart
        assert other.get("/metrics", headers=stolen).status_code == 401
    assert elsewhere.get("/metrics").status_code == 200


def test_without_a_token_there_is_no_login(tmp_path: Path) -> None:
    assert client(tmp_path).get("/login", headers=BROWSER).headers["Location"] == "/"
    open_to_all = Sessions(None, tmp_path / "sessions.json")
    assert not open_to_all.are_needed
    assert not open_to_all.knows("") and not open_to_all.holds("")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Sessions:
    return Sessions(SecretStr(TOKEN), tmp_path / "sessions.json", clock)


def test_only_the_token_is_the_token(sessions: Sessions) -> None:
    assert sessions.knows(TOKEN)
    for wrong in ("", TOKEN[:-1], f"{TOKEN} ", TOKEN.upper(), "\ud800", "ä" * 24):
        assert not sessions.knows(wrong)
    cookie = sessions.begin()
    for wrong in ("", ".", "..", cookie + "0", cookie[:-1], "9" * 9999, "\ud800", "\xe4"):
        assert not sessions.holds(wrong)


def test_a_session_lasts_its_time_and_ends_with_the_token(
    sessions: Sessions, tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "sessions.json"
    cookie = sessions.begin()
    assert Sessions(SecretStr(TOKEN), path, clock).holds(cookie)
    assert not Sessions(SecretStr(TOKEN + "2"), path, clock).holds(cookie)
    assert cookie not in path.read_text() and TOKEN not in path.read_text() + cookie
    assert not any(sessions.holds(signature) for signature in json.loads(path.read_text()))
    clock.now += LASTS_S - 1
    assert sessions.holds(cookie)
    clock.now += 1
    assert not sessions.holds(cookie)
    sessions.begin()
    assert len(json.loads(path.read_text())) == 1, "expired sessions are dropped"


def test_with_too_many_sessions_the_oldest_ends(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MAX_SESSIONS", 3)
    cookies = [sessions.begin() for _ in range(5)]
    assert [sessions.holds(cookie) for cookie in cookies] == [False, False, True, True, True]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": null}', b"[" * 99_999, b"\xff"])
def test_a_damaged_file_has_no_sessions(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "sessions.json").write_bytes(content)
    sessions = Sessions(SecretStr(TOKEN), tmp_path / "sessions.json")
    assert not sessions.holds("a")
    assert sessions.holds(sessions.begin())


def test_a_session_ends_for_good_though_the_disk_is_full(
    sessions: Sessions, tmp_path: Path, clock: Clock,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cookie = sessions.begin()
    monkeypatch.setattr(atomic, "write", full)
    sessions.end(cookie)
    assert not sessions.holds(cookie)
    assert not Sessions(SecretStr(TOKEN), tmp_path / "sessions.json", clock).holds(cookie)
    assert "cannot be written (No space left on device)" in caplog.text
