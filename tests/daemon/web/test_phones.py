"""Phones: a code lets one in, guesses do not, and each session is named and can be ended."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient
from tests.daemon.clock import Clock
from tests.daemon.faults import failing
from tests.daemon.web.world import BROWSER, HERE, OURS, TOKEN, client

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.web import access
from stylewatch_daemon.web.codes import ALPHABET, FILE_NAME, LASTS_S, LENGTH, NO_CODE, TRIES, Codes

KNOWN = {"Authorization": f"Bearer {TOKEN}"}
SECRET = SecretStr(TOKEN)
WRONG = "0000-0000"


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_TOKEN_DELAY_S", 0.0)


def other(page: TestClient) -> TestClient:
    """Another phone at the same page."""
    return TestClient(page.app, HERE, headers=OURS, follow_redirects=False)


def test_a_code_is_random_valid_once_for_ten_minutes_and_hidden_from_others(tmp_path: Path) -> None:
    codes = Codes(tmp_path, SECRET, lambda: Clock.now)
    made = {codes.make() for _ in range(100)}
    assert len(made) == 100 and len({*ALPHABET}) ** LENGTH >= 2**40
    code, file = codes.make(), tmp_path / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and code[:4] not in file.read_text()
    codes.take(f" {code.lower().replace('0', 'o').replace('1', 'l')} ")
    with pytest.raises(InputError, match="no code is valid"):
        codes.take(code)
    Codes(tmp_path, SECRET, lambda: Clock.now + LASTS_S - 1).take(codes.make())
    for seconds in (LASTS_S, -1.0):
        with pytest.raises(InputError, match="no code is valid"):
            Codes(tmp_path, SECRET, partial(float, Clock.now + seconds)).take(codes.make())
    for damaged in (b"", b"[]", b"{}", b'{"digest": 1, "end": "x", "tries": 1}', b"\xff"):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="no code is valid"):
            codes.take(code)


def test_all_clients_together_have_five_tries_and_slips_cost_none(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN)
    codes = Codes(tmp_path / "state", SECRET)
    code = codes.make()
    for slip in ("", code[:-1], f"{code}0", "\0", "x" * 9_000):
        answer = other(page).post("/pair", data={"code": slip})
        assert answer.status_code == 403 and "has 8 letters" in answer.json()["error"]
    left = [other(page).post("/pair", data={"code": WRONG}).json()["error"] for _ in range(TRIES)]
    assert left == [
        *(f"wrong code; tries left: {n}" for n in (4, 3, 2, 1)),
        f"wrong code; {NO_CODE}",
    ]
    answer = other(page).post("/pair", data={"code": code}, headers=BROWSER)
    assert (
        answer.status_code == 403 and NO_CODE in answer.text and "Set-Cookie" not in answer.headers
    )
    assert 'name="code"' in answer.text, "the form stays"
    assert other(page).post("/pair", data={"code": codes.make()}).status_code == 303


def test_a_code_outlives_a_restart_but_not_the_token(tmp_path: Path) -> None:
    """The page may start after the code was made, as the daemon is at work before its page."""
    client(tmp_path, token=TOKEN)
    for token, status in ((TOKEN, 303), (f"new-{TOKEN}", 403)):
        code = Codes(tmp_path / "state", SECRET).make()
        restarted = client(tmp_path, token=token)
        assert restarted.post("/pair", data={"code": code}).status_code == status


def test_guesses_at_the_same_time_have_five_tries_and_one_phone_gets_in(tmp_path: Path) -> None:
    code = Codes(tmp_path, SECRET).make()

    def take(text: str) -> str:
        try:
            Codes(tmp_path, SECRET).take(text)
        except InputError as error:
            return str(error)
        return "in"

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(take, [code] * 16)) == ["in", *[NO_CODE] * 15]
        Codes(tmp_path, SECRET).make()
        guesses = [*pool.map(take, [WRONG] * 16)]
    assert sum(guess.startswith("wrong code") for guess in guesses) == TRIES


def test_an_error_of_the_disk_gives_no_further_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = Codes(tmp_path, SECRET).make()
    monkeypatch.setattr(Codes, "_write", failing(OSError("full")))
    for text in (WRONG, code):
        with pytest.raises(OSError, match="full"):
            Codes(tmp_path, SECRET).take(text)


def test_each_phone_has_a_session_with_a_name_that_lasts_and_can_be_ended(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN, path="/base", url="https://a.example")
    for method, path in (("GET", "/phones"), ("POST", "/phones"), ("POST", "/phones/end")):
        assert other(page).request(method, path).status_code == 401
    agents = ("Mozilla/5.0 (iPhone; CPU)", "curl/8")
    phones = [other(page) for _ in range(3)]
    for phone, name, agent in zip(phones, ("<b>" + "x" * 90, "", ""), ("", *agents), strict=True):
        code = page.post("/phones", headers=KNOWN | BROWSER)
        assert code.headers["Cache-Control"] == "no-store" and "<svg" in code.text
        (text,) = re.findall(r"<strong>(\w{4}-\w{4})<", code.text)
        fields = {"code": text, "name": name}
        answer = phone.post("/base/pair", data=fields, headers={"User-Agent": agent})
        assert (
            answer.headers["Location"] == "/base/"
            and "Max-Age=15552000" in answer.headers["Set-Cookie"]
        )
    again = client(tmp_path, token=TOKEN, path="/base")  # a restart
    listed = again.get("/phones", headers=KNOWN | BROWSER).text
    assert listed.index("<strong>phone<") < listed.index("<strong>iPhone<")
    assert f"<strong>&lt;b&gt;{'x' * 37}<" in listed
    key = listed.partition('name="phone" value="')[2][:16]
    again.post("/phones/end", data={"phone": key}, headers=KNOWN)
    again.post("/phones/end", data={"phone": ""}, headers=KNOWN)
    for phone, status in zip(phones, (200, 200, 401), strict=True):
        own = {"Cookie": "; ".join(f"{name}={value}" for name, value in phone.cookies.items())}
        assert again.get("/metrics", headers=own).status_code == status
        may_add = again.post("/phones", headers=own).json()
        if status == 401:
            assert may_add["error"].startswith("the session has ended")
            continue
        assert "a phone cannot add another one" in may_add["error"]
        shown = again.get("/phones", headers=own | BROWSER).text
        assert "Add a phone" not in shown and "/phones/end" not in shown
        assert again.post("/phones/end", data={"phone": key}, headers=own).status_code == 403


@pytest.mark.parametrize(
    ("origin", "web", "url"),
    [
        ("http://192.168.1.7:8787", {}, "http://192.168.1.7:8787/base/pair"),
        ("https://a.example:8443", {"hosts": ["a.example"]}, "https://a.example:8443/base/pair"),
        ("", {"url": "https://a.example"}, "https://a.example/base/pair"),
        ("http://[::1]:8787", {}, "only this machine can reach the page"),
    ],
)  # fmt: skip
def test_the_code_comes_with_the_address_that_phones_reach(
    origin: str, web: dict[str, Any], url: str, tmp_path: Path
) -> None:
    page = client(tmp_path, token=TOKEN, path="/base", **web)
    del page.headers["Origin"]  # which a program with the token need not send
    at = {"Origin": origin, "Host": origin.partition("//")[2]} if origin else {}
    shown = page.post("/phones", headers={**KNOWN, **BROWSER, **at}).text
    assert url in shown
    assert ("nothing is encrypted" in shown) is url.startswith("http:")


def test_without_a_token_nobody_needs_a_code(tmp_path: Path) -> None:
    page = client(tmp_path)
    for answer in (page.get("/pair"), page.post("/pair", data={"code": WRONG})):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
