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
from stylewatch_daemon.web import access
from stylewatch_daemon.web import sessions as sessions_module
from stylewatch_daemon.web.access import COOKIE
from stylewatch_daemon.web.sessions import LASTS_S, Sessions


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_TOKEN_DELAY_S", 0.0)


def with_route(page: TestClient, route: Route) -> TestClient:
    assert isinstance(page.app, Starlette)
    page.app.router.routes.insert(0, route)
    return page


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.0.0.1:8787", "LOCALHOST:9", "[::1]:8787", "192.168.1.7",
                                   "a.example")),
        *((host, 421) for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil",
                                   "[::1", "", "1.2.3")),
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
        *({"Origin": origin} for origin in ("http://evil.example", "null", "",
                                            f"{HERE}.evil.example", "http://127.0.0.1:8788")),
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": HERE},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)  # fmt: skip
def test_other_sites_cannot_act(headers: dict[str, str], tmp_path: Path) -> None:
    page = client(tmp_path)
    del page.headers["Origin"]
    for path in ("/pause", "/upload", "/login", "/jobs/x/cancel", "/nothing"):
        assert page.post(path, headers=headers).status_code == 403
    assert page.request("DELETE", "/pause", headers=headers).status_code == 403
    assert requested(tmp_path) == []


@pytest.mark.parametrize("path", ["/", "/metrics", "/static"])
def test_without_the_token_nothing_is_shown(path: str, tmp_path: Path) -> None:
    page = client(tmp_path, TOKEN)
    answer = page.get(path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    to_login = page.get(path, headers=BROWSER)
    assert (to_login.status_code, to_login.headers["Location"]) == (303, "/login")
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer \xe4", TOKEN):
        headers = {b"Authorization": wrong.encode("latin-1")}
        assert page.get(path, headers=headers).status_code == 401
    for cookie in ("x", TOKEN, "9999999999.x.y", "9" * 3000):
        assert page.get(path, headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401
    assert page.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert page.get("/metrics", params={"token": TOKEN}).status_code == 401
    del page.headers["Origin"]  # which a program with the token need not send
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert page.post("/nothing", headers=known).status_code == 404
    other_site = {**known, "Sec-Fetch-Site": "cross-site"}
    assert page.post("/nothing", headers=other_site).status_code == 403


def test_no_path_leads_past_the_token(tmp_path: Path) -> None:
    page = client(tmp_path, TOKEN)
    for path in ("/static/../metrics", "/static/%2e%2e/metrics", "/static//../../app.py",
                 "/static/%2e%2e%2fapp.py", "/login/../metrics", "//metrics"):  # fmt: skip
        answer = page.get(path)
        assert answer.status_code in (401, 404)
        assert "import" not in answer.text and "stylewatch_jobs" not in answer.text


def broken(request: Request) -> None:
    raise ValueError("a secret")


def test_browsers_load_nothing_from_elsewhere_and_errors_stay_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = with_route(client(tmp_path), Route("/broken", broken))
    for path in ("/healthz", "/nothing", "/static/page.css", "/broken"):
        assert "a secret" not in caplog.text
        answer = page.get(path)
        policy = answer.headers["Content-Security-Policy"]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'none'" and "unsafe" not in policy
        assert {rules["script-src"], rules["style-src"], rules["form-action"]} == {"'self'"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "secret" not in answer.text
    assert answer.status_code == 500 and "a secret" in caplog.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_too_many_requests_are_refused_but_health_is_answered(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "AT_ONCE", {True: 1, False: 1})
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
    for wrong in ({"token": "wrong" * 5}, {"token": ""}, {"other": TOKEN}):
        answer = page.post(f"{root}/login", params={"token": TOKEN}, data=wrong, headers=BROWSER)
        assert answer.status_code == 403 and "Set-Cookie" not in answer.headers
        assert "wrong token" in answer.text
    headers = {"X-Forwarded-Proto": scheme}
    answer = page.post(f"{root}/login", data={"token": f" {TOKEN} "}, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{root}/")
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert TOKEN not in answer.headers["Set-Cookie"]
    assert cookie["httponly"] and cookie["samesite"] == "strict" and cookie["path"] == f"{root}/"
    assert bool(cookie["secure"]) == (scheme == "https")
    opened = page.get(f"{root}/metrics", headers={"Cookie": f"{COOKIE}={cookie.value}"})
    assert opened.status_code == 200


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


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(SecretStr(TOKEN), tmp_path / "sessions.json", Clock())


def again(root: Path, token: str = TOKEN, seconds: float = 0.0) -> Sessions:
    """The sessions after a restart, after so many seconds."""
    clock = Clock()
    clock.now += seconds
    return Sessions(SecretStr(token), root / "sessions.json", clock)


def test_only_the_token_is_the_token(sessions: Sessions) -> None:
    assert sessions.is_token(TOKEN)
    for wrong in ("", TOKEN[:-1], f"{TOKEN} ", TOKEN.upper(), "\ud800", "ä" * 24):
        assert not sessions.is_token(wrong)


def test_a_session_lasts_its_time_and_ends_with_the_token(
    sessions: Sessions, tmp_path: Path
) -> None:
    cookie, content = sessions.begin(), (tmp_path / "sessions.json").read_text()
    assert again(tmp_path).is_open(cookie)
    assert again(tmp_path, seconds=LASTS_S - 1).is_open(cookie)
    assert not again(tmp_path, seconds=LASTS_S).is_open(cookie)
    assert not again(tmp_path, TOKEN + "2").is_open(cookie)
    assert cookie not in content and TOKEN not in content + cookie
    for wrong in ("", cookie + "0", cookie[:-1], "9" * 9999, "\ud800", *json.loads(content)):
        assert not sessions.is_open(wrong)
    again(tmp_path, seconds=LASTS_S).begin()
    assert len(json.loads((tmp_path / "sessions.json").read_text())) == 1, "expired ones are gone"


def test_with_too_many_sessions_the_oldest_ends(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "MAX_SESSIONS", 3)
    cookies = [sessions.begin() for _ in range(5)]
    assert [sessions.is_open(cookie) for cookie in cookies] == [False, False, True, True, True]


def test_a_damaged_file_has_no_sessions(tmp_path: Path) -> None:
    for content in (b"", b"[1]", b'{"a": null}', b"[" * 99_999, b"\xff"):
        (tmp_path / "sessions.json").write_bytes(content)
        assert not again(tmp_path).is_open("a")


def test_a_session_ends_for_good_though_the_disk_is_full(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cookie = sessions.begin()
    monkeypatch.setattr(atomic, "write", full)
    sessions.end(cookie)
    assert not sessions.is_open(cookie) and not again(tmp_path).is_open(cookie)
    assert "cannot be written (No space left on device)" in caplog.text
