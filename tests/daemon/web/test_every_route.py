"""Every route of the page, as the application lists them: hostile requests, and no token."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.types import Message
from tests.daemon.web.world import (
    CHECK,
    HERE,
    TOKEN,
    a_job,
    enter,
    finished_job,
    publish,
    receipt,
    settings,
)

from stylewatch_daemon.web import access, actions, doctor_runner
from stylewatch_daemon.web.serve import application

PARAMETERS = {"job": "id-sea", "job:path": "id-sea", "side": "320", "what": "final", "name": "wave"}
"""Values for the variable parts of a path, so that each route leads to something."""

PUBLIC = {"/healthz", "/readyz", "/login", "/favicon.ico", "/static/page.css"}
"""Routes that need no token, as in docs/web.md."""

Headers = Mapping[str, bytes]


def site(root: Path, **web: Any) -> Starlette:
    """The page of a daemon with one painted, one refused and one running job."""
    for name in ("in", "out", "state"):
        (root / name).mkdir()
    jobs = (finished_job(root, "sea"), a_job("bad", "refused"), a_job("now", "running"))
    enter(root / "state", *jobs)
    publish(root)
    return application(settings(root, **web), SecretStr(TOKEN))


def addresses(app: Starlette) -> Iterator[tuple[str, str]]:
    """Each method and path that the application answers."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/page.css"
            continue
        assert isinstance(route, Route), f"{route} is a kind of route that no test asks for"
        path = re.sub(r"{([^}]+)}", lambda match: PARAMETERS[match[1]], route.path)
        for method in sorted(route.methods or ()):
            yield method, path


async def answer(
    app: Starlette, method: str, path: str, headers: Headers, query: bytes = b"", body: bytes = b""
) -> int | None:
    """The status of the answer to a raw request; None where there is none."""
    sent = [{"type": "http.request", "body": body}]
    status: list[int] = []

    async def receive() -> Message:
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": method,
        "http_version": "1.1", "scheme": "http", "path": path, "root_path": "", "state": {},
        "raw_path": path.encode(), "query_string": query, "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8787),
        "headers": [(name.lower().encode(), value) for name, value in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    return status[0] if status else None


def answers(app: Starlette, requests: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """The status of each answer to these raw requests."""

    async def every() -> list[int | None]:
        return [await answer(app, *request) for request in requests]

    return asyncio.run(every())


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "WAIT_S", 0.0)
    monkeypatch.setattr(access, "WRONG_TOKEN_DELAY_S", 0.0)
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK)


PLAIN: Headers = {"Host": b"127.0.0.1:8787", "Origin": HERE.encode()}
KNOWN: Headers = {**PLAIN, "Authorization": f"Bearer {TOKEN}".encode()}
FORM = b"application/x-www-form-urlencoded"
LONG = b"x" * 60_000

BAD = b"\xff\x00"
HOSTILE: tuple[Headers, ...] = tuple(
    {name: value}
    for names, values in {
        "Origin Referer": (b"http://[::1", b"http://\xe2\x84\x80.example", b"\x00\xff://"),
        "Host": (b"", b"[::1", b"127.0.0.1:99999999", b"\xff\xfe"),
        "Cookie": (b"stylewatch", b"stylewatch=\xff; =; ; stylewatch=\"\\777\"", b"a=b;" * 9_999),
        "Authorization": (b"Bearer " + BAD, b"Bearer " + LONG),
        "Content-Length": (b"9" * 5_000, b"-1", b"\xb2"),
        "Content-Type": (b"multipart/form-data; boundary=\xff", FORM + b"; charset=\xff", LONG),
        "Range": (b"bytes=" + b"0-1," * 9_999, b"bytes=-" + b"9" * 5_000, b"bytes=\xb2-\xb3",
                  b"bytes=5-1,-,--,-0,99999999999999999999-"),
        "Accept If-Range If-None-Match If-Modified-Since X-Forwarded-Proto": (BAD, LONG),
    }.items()
    for name in names.split()
    for value in values
)  # fmt: skip
QUERIES = (
    b"page=%00", b"page=%ff&page=now", b"state=\xff", b"before=%00~%00", b"d=%ff", b"=&&=&%",
    b"before=%ed%a0%80~%ed%a0%80", b"a=b&" * 20_000, b"page[]=now&before[]=1",
)  # fmt: skip
PARTS = (
    "\0", "\ufffd", "..", "a/../b", "x" * 60_000, "9" * 5_000, "-1", "", "stage-" + "9" * 5_000,
    "input-99", "\u0663", "'; DROP TABLE jobs; --", "\n",
)  # fmt: skip


LINE = b"multipart/form-data; boundary=line"
HEAD = b"--line\r\nContent-Disposition: form-data; "
BODIES = (
    (FORM, b"\xff\x00"), (FORM, b"token=%ff&token=%00"), (FORM, b"from_stage=" + b"9" * 9_000),
    (FORM, b"from_stage=" + b"0" * 5_000), (FORM, b"from_stage=%b2"), (FORM, b"&" * 9_000),
    (FORM, LONG), (b"", b"x"),
    (LINE, b"--line\r\n" * 9_000), (LINE, b"--line--\r\n" * 9_000),
    (LINE, HEAD + b"name=\"content\"; filename*=x''%ff\r\n\r\nx\r\n--line--\r\n"),
    (LINE, HEAD + b"\r\n\r\nx\r\n--line--\r\n"),
    (LINE, HEAD + b'name="content"; filename="\x00/\xff.jpg"\r\n\r\nx\r\n'
     + HEAD + b'name="style"; filename="\xff"\r\n\r\nx\r\n--line--\r\n'),
)  # fmt: skip


def test_no_header_query_path_or_form_makes_a_route_fail(tmp_path: Path) -> None:
    app = site(tmp_path)
    requests: list[tuple[Any, ...]] = []
    for method, path in addresses(app):
        person = {**KNOWN, "Accept": b"text/html", "Content-Type": FORM}
        requests += [(method, path, {**person, **headers}) for headers in HOSTILE]
        requests += [(method, path, KNOWN, query) for query in QUERIES]
        varied = [*PARAMETERS.values(), path.rpartition("/")[2]]
        paths = {path.replace(value, part) for value in filter(None, varied) for part in PARTS}
        requests += [(method, other, KNOWN) for other in sorted(paths)]
        if method == "POST":
            forms = (({**KNOWN, "Content-Type": kind}, b"", body) for kind, body in BODIES)
            requests += [(method, path, *form) for form in forms]
    statuses = zip(requests, answers(app, requests), strict=True)
    assert not [str(request)[:300] for request, status in statuses if status == 500]


RECEIPTS: tuple[Mapping[str, Any], ...] = (
    {"final": "\ud800.png"}, {"final": "a\0b/x.png"}, {"extra": ["\udfff"]}, {"\udfff": 1},
    {"seconds": float("inf")}, {"extra": float("nan")}, {"seconds": 10**400},
    {"size": [9 * 10**4_000, 1]}, {"recipe": {"schedule": 3}},
)  # fmt: skip
LOSSES = (f"step,total\n1,5\n1{'0' * 400},4\n", f"step,total\n1,5\n2,{'4' * 200_000}\n")


def test_no_file_in_the_outbox_makes_a_route_fail(tmp_path: Path) -> None:
    app, person = site(tmp_path), {**KNOWN, "Accept": b"text/html"}
    files = [("receipt.json", json.dumps({**receipt("sea"), **more})) for more in RECEIPTS]
    files += (("losses.csv", text) for text in LOSSES)
    names = [f"sea-{number}" for number in range(len(files))]
    enter(tmp_path / "state", *(finished_job(tmp_path, name) for name in names))
    for name, (file, text) in zip(names, files, strict=True):
        (tmp_path / "out" / name / file).write_text(text)
    paths = [path for method, path in addresses(app) if method == "GET"]
    jobs = {path.replace("id-sea", f"id-{name}") for path in paths for name in names}
    requests = [("GET", path, person, query) for path in jobs for query in (b"", b"print=")]
    statuses = zip(requests, answers(app, requests), strict=True)
    assert not [request for request, status in statuses if status == 500]


@pytest.mark.parametrize("root", ["", "/base"])
def test_without_the_token_every_route_but_the_public_ones_refuses(
    root: str, tmp_path: Path
) -> None:
    app = site(tmp_path, path=root)
    closed = [(method, f"{root}{path}") for method, path in addresses(app) if path not in PUBLIC]
    assert set(answers(app, [(method, path, PLAIN) for method, path in closed])) == {401}
    let_in = answers(app, [(method, path, KNOWN) for method, path in closed])
    assert 401 not in let_in and 200 in let_in
    public = [("GET", f"{root}{path}", PLAIN) for path in sorted(PUBLIC)]
    assert set(answers(app, public)) == {200, 503}, "/readyz says 503, as no daemon is at work"
