"""Who is let in: by which name, from which site, with which token; and what browsers are told."""

from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.daemon.web.visitors import HERE, PEOPLE, TOKEN, asked, visitor

from stylewatch_daemon.web import middleware


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8787", "localhost", "LOCALHOST:9", "[::1]:8787", "192.168.1.7", "a.example"]
)
def test_addresses_and_the_names_of_the_settings_are_ours(host: str, tmp_path: Path) -> None:
    page = visitor(tmp_path, hosts=["A.example"])
    assert page.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", "a b", "[::1", "", "1.2.3"]
)
def test_another_name_is_not_answered_whatever_it_leads_to(host: str, tmp_path: Path) -> None:
    answer = visitor(tmp_path).get("/healthz", headers={"Host": host})
    assert (answer.status_code, "web.hosts" in answer.json()["error"]) == (421, True)


@pytest.mark.parametrize(
    "said",
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
def test_what_another_site_asks_is_not_done(said: dict[str, str], tmp_path: Path) -> None:
    page = visitor(tmp_path)
    del page.headers["Origin"]
    for path in ("/pause", "/upload", "/login", "/jobs/x/cancel", "/nothing"):
        assert page.post(path, headers=said).status_code == 403
    assert page.request("DELETE", "/pause", headers=said).status_code == 403
    assert asked(tmp_path) == []


def test_a_program_that_knows_the_token_needs_no_site(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    del page.headers["Origin"]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert page.post("/nothing", headers=bearer).status_code == 404
    from_elsewhere = {**bearer, "Sec-Fetch-Site": "cross-site"}
    assert page.post("/nothing", headers=from_elsewhere).status_code == 403


@pytest.mark.parametrize("path", ["/", "/metrics", "/jobs/x", "/nothing", "/static", "/login/"])
def test_without_the_token_nothing_is_told(path: str, tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    answer = page.get(path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
    to_login = page.get(path, headers=PEOPLE)
    assert (to_login.status_code, to_login.headers["Location"]) == (303, "/login")
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer \xe4", TOKEN):
        answer = page.get(path, headers={b"Authorization": wrong.encode("latin-1")})
        assert answer.status_code == 401
    assert page.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_what_asks_for_the_token_needs_none(tmp_path: Path) -> None:
    page = visitor(tmp_path, TOKEN)
    assert page.get("/healthz").status_code == 200
    assert page.get("/readyz").status_code == 503
    assert page.get("/login", headers=PEOPLE).status_code == 200
    assert page.get("/static/page.css").status_code == 200


@pytest.mark.parametrize(
    "path", ["/static/../metrics", "/static/%2e%2e/metrics", "/static//../../app.py",
             "/static/%2e%2e%2fapp.py", "/login/../metrics", "//metrics", "/healthz/../metrics"]
)  # fmt: skip
def test_no_trick_with_paths_leads_past_the_token(path: str, tmp_path: Path) -> None:
    answer = visitor(tmp_path, TOKEN).get(path)
    assert answer.status_code in (401, 404)
    assert "import" not in answer.text and "stylewatch_jobs" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/static/page.css", "/broken"])
def test_browsers_are_told_to_load_and_show_nothing_else(path: str, tmp_path: Path) -> None:
    page = visitor(tmp_path, extra=[Route("/broken", broken)])
    headers = page.get(path).headers
    policy = dict(one.split(" ", 1) for one in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy["script-src"], policy["style-src"], policy["form-action"]} == {"'self'"}
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def broken(request: Request) -> None:
    raise ValueError("a secret")


def test_a_fault_of_ours_is_told_to_the_log_and_not_to_the_visitor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = visitor(tmp_path, extra=[Route("/broken", broken)])
    answer = page.get("/broken")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "a secret" in caplog.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_of_too_many_at_once_some_are_told_to_try_again_and_health_is_always_told(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "AT_ONCE", {True: 1, False: 1})
    told: list[int] = []

    def again(request: Request) -> Response:
        told.append(page.request(method, "/nothing").status_code)
        told.append(page.get("/healthz").status_code)
        return Response()

    page = visitor(tmp_path, extra=[Route("/again", again, methods=[method])])
    for _ in range(2):  # what was answered counts no more
        assert page.request(method, "/again").status_code == 200
    assert told == [503, 200, 503, 200]


@pytest.mark.parametrize("path", ["/studio/healthz", "/healthz"])
def test_below_a_path_a_proxy_may_leave_that_or_take_it_away(path: str, tmp_path: Path) -> None:
    page = visitor(tmp_path, path="/studio")
    assert page.get(path).text == "ok\n"
    assert page.get("/studiohealthz").status_code == 404
    assert 'href="/studio/' in page.get("/studio/nothing", headers=PEOPLE).text
