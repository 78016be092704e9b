"""Access: by which host name, from which site, with which token or session; and headers."""

import json
import re
from html import unescape
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from tests.daemon.clock import Clock
from tests.daemon.faults import failing
from tests.daemon.web.world import (
    BROWSER,
    HERE,
    OURS,
    TOKEN,
    client,
    requested,
)

from stylewatch_daemon.settings.sections import WebSettings
from stylewatch_daemon.web import access
from stylewatch_daemon.web import sessions as sessions_module
from stylewatch_daemon.web.sessions import LASTS_S, Sessions

KNOWN = {"Authorization": f"bearer {TOKEN}"}


def cookie_name(page: TestClient) -> str:
    assert isinstance(page.app, Starlette)
    return str(page.app.state.context.sessions.cookie)


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_TOKEN_DELAY_S", 0.0)


def test_only_addresses_and_configured_names_are_answered(tmp_path: Path) -> None:
    page = client(tmp_path, hosts=["my_nas"], url="https://A.example.:8443")
    for host in ("LOCALHOST:9", "[::1]:8787", "192.168.1.7", "a.example", "a.example.:9", "my_nas"):
        assert page.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", ""):
        answer = page.get("/healthz", headers={"Host": host})
        assert answer.status_code == 421 and "web.hosts" in answer.json()["error"]
    twice = [("Host", "a.example"), ("Host", "evil.example")]
    assert page.get("/healthz", headers=twice).status_code == 421


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        ("http://a.example:8943", {"Host": "a.example", "X-Forwarded-Port": "8943"}),
        ("http://a.example:8943", {"Host": "a.example", "X-Forwarded-Host": "a.example:8943"}),
        ("https://A.example", {"X-Forwarded-Host": "a.example, 10.0.0.1:80"}),
        ("https://a.example", {"Host": "a.example:443"}),
        ("http://a.example", {"Host": "a.example:80"}),
        ("https://[::1]:8943", {"Host": "[::1]:8787", "X-Forwarded-Port": "8943"}),
        ("http://my_nas.example.", {"Host": "my_nas.example."}),
    ],
)
def test_a_proxy_on_another_port_or_with_another_host_is_passed(
    origin: str, headers: dict[str, str], tmp_path: Path
) -> None:
    page = client(tmp_path, hosts=["a.example", "my_nas.example."])
    assert page.post("/nothing", headers={"Origin": origin, **headers}).status_code == 404
    evil = {"Origin": "http://evil.example:8943", **headers}
    refused = page.post("/nothing", headers=evil)
    assert refused.status_code == 403
    for word in ("X-Forwarded-Host", "X-Forwarded-Port", "evil.example", "docs/web.md"):
        assert word in refused.json()["error"]


def test_no_path_of_the_page_is_a_prefix_of_it(tmp_path: Path) -> None:
    """A proxy may remove the prefix: then it could not be told from the page's own path."""
    page = client(tmp_path)
    assert isinstance(page.app, Starlette)
    paths = [each.path for each in page.app.routes if isinstance(each, Route | Mount)]
    own = {path.split("/")[1] for path in paths} - {""}
    for name in own:
        with pytest.raises(ValidationError, match=f"the page itself has /{re.escape(name)}"):
            WebSettings(path=f"/{name}/x")
    assert WebSettings(path="/stylewatch").path == "/stylewatch"


def test_other_sites_cannot_act(tmp_path: Path) -> None:
    page = client(tmp_path)
    del page.headers["Origin"]
    cases: tuple[dict[str, str], ...] = (
        {"Origin": "null"}, {"Origin": f"{HERE}.evil.example"}, {"Origin": "http://127.0.0.1:8788"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Origin": HERE},
        {"Sec-Fetch-Site": "none"}, {}, {**KNOWN, "Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip
    for headers in cases:
        for path in ("/pause", "/jobs", "/login", "/jobs/x/cancel", "/nothing"):
            assert page.post(path, headers=headers).status_code == 403
        assert page.request("DELETE", "/pause", headers=headers).status_code == 403
    assert requested(tmp_path) == []


def test_only_the_token_or_a_session_shows_anything(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN)
    answer = page.get("/metrics")
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    to_login = page.get("/metrics", headers=BROWSER)
    assert (to_login.status_code, to_login.headers["Location"]) == (303, "/login?next=%2Fmetrics")
    tokens = (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer \xe4", TOKEN)
    wrong = [{b"Authorization": text.encode("latin-1")} for text in tokens]
    wrong += [{b"Cookie": f"{cookie_name(page)}={text}".encode()} for text in ("x", TOKEN)]
    for headers in wrong:
        assert page.get("/metrics", headers=headers).status_code == 401
    assert page.get("/metrics", params={"token": TOKEN}).status_code == 401
    del page.headers["Origin"]  # which a program with the token need not send
    assert page.get("/metrics", headers=KNOWN).status_code == 200
    assert page.post("/nothing", headers=KNOWN).status_code == 404
    for path in ("/static/../metrics", "/static/%2e%2e%2fapp.py"):
        assert page.get(path).status_code in (401, 404)
    assert page.get("/jobs/static/x").status_code == 401


def test_whoever_has_to_log_in_again_comes_back_to_the_same_page(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN, path="/base")
    assert isinstance(page.app, Starlette)
    for route in page.app.routes:
        if not isinstance(route, Route) or "POST" not in (route.methods or ()):
            continue
        path = f"/base{route.path.replace('{job:path}', 'sea')}"
        if path in ("/base/login", "/base/logout", "/base/pair") or "/api/" in path:
            continue
        sent_from = {"Referer": f"{HERE}/base/jobs/sea?print", **BROWSER}
        answer = page.post(path, headers=sent_from)
        assert answer.status_code == 401 and "nothing was done: log in" in answer.text, path
        assert 'name="next" type="hidden" value="/jobs/sea?print"' in answer.text, path
        assert page.post(path).json()["error"].startswith("the token is missing")
    wrong = {"token": "wrong", "next": "/jobs/sea?print"}
    answer = page.post("/base/login", data=wrong, headers=BROWSER)
    assert answer.status_code == 403 and "wrong token: try again" in answer.text
    assert 'value="/jobs/sea?print"' in answer.text and 'name="token"' in answer.text
    assert page.post("/base/login", data=wrong).json() == {"error": "wrong token: try again"}


def broken(request: Request) -> None:
    raise ValueError("a secret")


def test_browsers_load_nothing_from_elsewhere_and_errors_stay_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = client(tmp_path)
    assert isinstance(page.app, Starlette)
    page.app.router.routes.insert(0, Route("/broken", broken))
    page.app.router.routes.insert(0, Route("/large", failing(MemoryError())))
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
    assert page.get("/large").status_code == 500
    assert caplog.messages[-1] == "the page failed at a request: out of memory"


def test_wrong_tokens_are_slowed_and_logged_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("stylewatch_daemon.web.access.asyncio.sleep", sleep)
    page = client(tmp_path, token=TOKEN)
    page.get("/metrics")
    assert not slept, "no token is no guess"
    guess = {"Authorization": "Bearer guess"}
    for headers in (guess, {**guess, **BROWSER}):
        page.get("/metrics", headers=headers)
    page.post("/login", data={"token": "guess"})
    assert slept == [access.WRONG_TOKEN_DELAY_S] * 3
    assert caplog.text.count("the page got a wrong token") == 1
    assert "once, now from testclient" in caplog.text and "guess" not in caplog.text


@pytest.mark.parametrize(
    ("root", "proto"), [("", "http"), ("", "http, https"), ("/base", "https"), ("", "HTTPS, http")]
)
def test_the_token_gives_a_cookie_that_opens_the_page(
    root: str, proto: str, tmp_path: Path
) -> None:
    """Also behind a proxy, which may have TLS, and keep or remove the path."""
    page = client(tmp_path, token=TOKEN, path=root)
    assert page.get(f"{root}/healthz").text == page.get("/healthz").text == "ok\n"
    assert not root or page.get(root).headers["Location"] == f"{root}/"
    wrong = page.post(f"{root}/login", params={"token": TOKEN}, data={"token": ""})
    assert wrong.status_code == 403 and "Set-Cookie" not in wrong.headers
    headers = {"X-Forwarded-Proto": proto}
    answer = page.post(f"{root}/login", data={"token": f" {TOKEN} "}, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{root}/")
    assert TOKEN not in answer.headers["Set-Cookie"]
    has_tls = proto.lower().startswith("https")
    name = cookie_name(page) + "-tls" * has_tls  # without TLS no cookie of TLS can be replaced
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[name]
    assert cookie["httponly"] and cookie["samesite"] == "lax", "links from elsewhere open the page"
    assert bool(cookie["secure"]) == has_tls and cookie["path"] == f"{root}/"
    page.cookies.clear()
    kept = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert page.get(f"{root}/metrics", headers={**headers, **kept}).status_code == 200
    if has_tls:
        assert page.get(f"{root}/metrics", headers=kept).status_code == 401


def test_a_login_leads_to_the_page_that_asked_for_it(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN, path="/base")
    asked = page.get("/base/jobs/a%23 %C3%A4?print=1&x=%23", headers=BROWSER).headers["Location"]
    (given,) = re.findall('name="next" type="hidden" value="([^"]*)"', page.get(asked).text)
    for root, wanted, to in (
        ("/base", unescape(given), "/base/jobs/a%23%20%C3%A4?print=1&x=%23"),
        ("", "//evil.example/x", "/evil.example/x"),
        ("", "/\\evil.example", "/%5Cevil.example"),
        ("", "https://evil.example", "/https://evil.example"),
    ):
        page = client(tmp_path, token=TOKEN, path=root)
        answer = page.post("/login", data={"token": TOKEN, "next": wanted})
        assert (answer.status_code, answer.headers["Location"]) == (303, to)


def test_daemons_on_one_host_have_cookies_of_their_own(tmp_path: Path) -> None:
    names = {cookie_name(client(each, token=TOKEN)) for each in (tmp_path, tmp_path / "in")}
    assert len(names) == 2


def test_a_session_that_ended_is_dead_everywhere_and_others_live(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN)
    elsewhere = TestClient(page.app, HERE, headers=OURS, follow_redirects=False)
    for browser in (page, elsewhere):
        browser.post("/login", data={"token": TOKEN})
    for end in ("/login", "/logout"):
        stolen = {"Cookie": "; ".join(f"{name}={page.cookies[name]}" for name in page.cookies)}
        page.post(end, data={"token": TOKEN})
        same = TestClient(page.app, HERE)
        for other in (same, client(tmp_path, token=TOKEN)):  # one process, and the next one
            assert other.get("/metrics", headers=stolen).status_code == 401
    assert elsewhere.get("/metrics").status_code == 200


def test_a_session_lasts_its_time_and_ends_with_the_token_or_for_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after(seconds: float, token: str = TOKEN) -> Sessions:
        """The sessions of a page that starts after so many seconds."""
        return Sessions(SecretStr(token), file, lambda: Clock.now + seconds)

    file = tmp_path / "sessions.json"
    sessions = after(0.0)
    cookie, content = sessions.begin(), file.read_text()
    assert after(LASTS_S - 1).is_open(cookie)
    assert not after(LASTS_S).is_open(cookie)
    assert cookie not in content and TOKEN not in content + cookie
    for wrong in ("", cookie + "0", cookie[:-1], "\ud800", *json.loads(content)["ends"]):
        assert not sessions.is_open(wrong)
    assert not after(0.0, TOKEN + "2").is_open(cookie)
    assert not after(0.0).is_open(cookie), "it does not return with its token"
    ours = json.loads(file.read_text())["token"]
    ends = (b"null", b"[1]", b'{"a": null}')
    of_token = (b'{"token": "%s", "ends": %s}' % (ours.encode(), each) for each in ends)
    for damaged in (b"", *ends, b'{"token": 1}', *of_token, b"[" * 99_999, b"\xff"):
        file.write_bytes(damaged)
        assert not after(0.0).is_open("a")
    monkeypatch.setattr(sessions_module, "MAX_SESSIONS", 3)
    cookies = [sessions.begin() for _ in range(5)]
    assert [sessions.is_open(cookie) for cookie in cookies] == [False, False, True, True, True]
