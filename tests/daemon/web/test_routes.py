"""Every route: without the token, with hostile requests and files, and what an action does."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from zipfile import ZipFile

import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import Message
from tests.daemon.states import publish
from tests.daemon.web.world import (
    BROWSER,
    CHECK,
    FORM,
    HERE,
    OURS,
    TOKEN,
    a_job,
    client,
    enter,
    finished_job,
    page_of,
    picture,
    receipt,
    requested,
    settings,
    stalled,
    write,
)

from stylewatch_daemon.ledger import favorites, requests
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.web import access, actions, doctor_runner, http, live_updates, previews
from stylewatch_daemon.web.serve import application

PARAMETERS = {"job": "id-sea", "job:path": "id-sea", "side": "320", "what": "final",
              "name": "wave", "try": "0" * 32, "number": "1", "share": "share-0"}  # fmt: skip
"""Values for the variable parts of a path, so that each route leads to something."""

PUBLIC = {"/healthz", "/readyz", "/login", "/pair", "/favicon.ico", "/static/page.css"}
"""Routes that need no token, as in docs/web.md."""

Headers = Mapping[str, bytes]
PLAIN: Headers = {"Host": b"127.0.0.1:8787", "Origin": HERE.encode()}
KNOWN: Headers = {**PLAIN, "Authorization": f"Bearer {TOKEN}".encode()}
PERSON: Headers = {**KNOWN, "Accept": b"text/html", "Content-Type": FORM.encode()}


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "WAIT_S", 0.0)
    monkeypatch.setattr(access, "WRONG_TOKEN_DELAY_S", 0.0)
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK)


# Hostile requests


def site(root: Path, **web: Any) -> Starlette:
    """The page of a daemon with one painted, one refused and one running job."""
    for name in ("in", "out", "state"):
        (root / name).mkdir()
    jobs = (finished_job(root, "sea"), a_job("bad", "refused"), a_job("now", "running"))
    enter(root / "state", *jobs)
    publish(root / "state")
    return application(page_of(settings(root, **web), TOKEN))


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


LINE, PLAIN_FORM = b"multipart/form-data; boundary=line", FORM.encode()
HOSTILE: tuple[Headers, ...] = tuple(
    {name: value}
    for names, values in {
        "Origin Referer": (b"http://[::1", b"\x00\xff://"),
        "Host": (b"", b"[::1", b"127.0.0.1:99999999"),
        "Cookie": (b"stylewatch=\xff; =; ; stylewatch=\"\\777\"", b"a=b;" * 9_999),
        "Content-Length": (b"9" * 5_000, b"-1", b"\xb2"),
        "Content-Type": (LINE.replace(b"line", b"\xff\x00"), PLAIN_FORM + b"; charset=\xff"),
        "Range": (b"bytes=" + b"0-1," * 9_999, b"bytes=-" + b"9" * 5_000, b"bytes=\xb2-\xb3"),
        "Authorization If-Range If-None-Match If-Modified-Since": (b"\xff\x00",),
    }.items()
    for name in names.split()
    for value in values
)  # fmt: skip
QUERIES = (b"page=%00", b"before=%00~%00", b"before=%ed%a0%80~%ed%a0%80", b"d=%ff", b"=&&=&%")
PARTS = ("\0", "\ufffd", "..", "x" * 60_000, "9" * 5_000, "", "stage-" + "9" * 5_000, "\u0663")
BODIES = (
    (PLAIN_FORM, b"\xff\x00"), (PLAIN_FORM, b"token=%ff"), (PLAIN_FORM, b"&" * 9_000), (b"", b"x"),
    (PLAIN_FORM, b"from_stage=" + b"9" * 9_000), (PLAIN_FORM, b"from_stage=%b2"),
    (LINE, b"--line\r\n" * 9_000), (LINE, b"--line--\r\n" * 9_000),
    (LINE, b"--line\r\nContent-Disposition: form-data; \r\n\r\nx\r\n--line--\r\n"),
)  # fmt: skip


def test_no_header_query_path_or_form_makes_a_route_fail(tmp_path: Path) -> None:
    app = site(tmp_path)
    requests: list[tuple[Any, ...]] = []
    cookie = app.state.context.sessions.cookie.encode()
    hostile = [
        {name: value.replace(b"stylewatch", cookie) for name, value in headers.items()}
        for headers in HOSTILE
    ]
    for method, path in addresses(app):
        requests += [(method, path, {**PERSON, **headers}) for headers in hostile]
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
    app = site(tmp_path)
    files = [("receipt.json", json.dumps({**receipt("sea"), **more})) for more in RECEIPTS]
    files += (("losses.csv", text) for text in LOSSES)
    names = [f"sea-{number}" for number in range(len(files))]
    enter(tmp_path / "state", *(finished_job(tmp_path, name) for name in names))
    for name, (file, text) in zip(names, files, strict=True):
        (tmp_path / "out" / name / file).write_text(text)
    paths = [path for method, path in addresses(app) if method == "GET"]
    jobs = {path.replace("id-sea", f"id-{name}") for path in paths for name in names}
    requests = [("GET", path, PERSON, query) for path in jobs for query in (b"", b"print=")]
    statuses = zip(requests, answers(app, requests), strict=True)
    assert not [request for request, status in statuses if status == 500]


def test_without_the_token_every_route_but_the_public_ones_refuses(tmp_path: Path) -> None:
    app = site(tmp_path, path="/base")
    closed = [(method, f"/base{path}") for method, path in addresses(app) if path not in PUBLIC]
    assert set(answers(app, [(method, path, PLAIN) for method, path in closed])) == {401}
    let_in = answers(app, [(method, path, KNOWN) for method, path in closed])
    assert 401 not in let_in and 200 in let_in
    public = [("GET", f"/base{path}", PLAIN) for path in sorted(PUBLIC)]
    assert set(answers(app, public)) == {200, 503}, "/readyz says 503, as no daemon is at work"


@pytest.mark.parametrize("name", ["id-trip/sea", "trip/sea", "TRIP/sea"])
def test_every_route_about_a_job_takes_its_id_or_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[str] = []

    def leave(state: Path, verb: str, **arguments: Any) -> int:
        jobs.extend(arguments.get("jobs", [arguments.get("job")]))
        return 1

    monkeypatch.setattr(requests, "leave", leave)
    monkeypatch.setattr(live_updates.Hub, "watch", seen_once(jobs))
    monkeypatch.setattr(previews.Previews, "known", lambda *_: Path(__file__))
    app = site(tmp_path)
    painted = finished_job(tmp_path, "trip/sea", settings={"backend": "sketch"})
    enter(tmp_path / "state", painted)
    multipart = ({**KNOWN, "Content-Type": LINE}, b"", b"--line--\r\n")
    job = f"job={name}".encode()
    asked: list[tuple[Any, ...]] = [
        ("GET", "/delete", KNOWN, job), ("GET", "/pictures.zip", KNOWN, job),
        ("GET", "/events", KNOWN, f"page={name}".encode()),
        ("POST", "/delete", {**KNOWN, "Content-Type": PLAIN_FORM}, b"", job),
    ]  # fmt: skip
    for method, path in addresses(app):
        if "id-sea" in path:
            named = path.replace("id-sea", name).replace("320", "512")
            asked.append((method, named, *(multipart if path.endswith("again") else (KNOWN,))))
    assert len(asked) > 25
    statuses = zip(asked, answers(app, asked), strict=True)
    assert [each[:2] for each, status in statuses if status == 404] == []
    assert {*jobs} <= {"id-trip/sea", None} and "id-trip/sea" in jobs


def seen_once(jobs: list[str]) -> Any:
    """Return a stream of live updates that records the job, and ends."""

    async def watch(hub: live_updates.Hub, name: str) -> AsyncIterator[bytes]:
        jobs.append(name)
        yield b""

    return watch


# Actions


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    """A page with the job `sea`, which has files, and others; no daemon runs."""
    had = {"backend": "sketch", "seed": 7, "file_names": {"style.jpg": "../Wave.JPG"}}
    return client(
        tmp_path, finished_job(tmp_path, settings=had), a_job("new", "waiting"),
        a_job("now", "running", settings={}), a_job("bad", "refused"),
        a_job("old", finished="2026-01-02T13:00:00+00:00"),
    )  # fmt: skip


def test_an_action_leaves_a_request_and_says_that_the_daemon_has_not_acted(
    page: TestClient, tmp_path: Path
) -> None:
    page = client(tmp_path, path="/base")
    for path, data, request, to in (
        ("/pause", {}, {"verb": "pause"}, "/"),
        ("/resume", {}, {"verb": "resume"}, "/"),
        ("/jobs/id-new/cancel", {}, {"verb": "cancel", "job": "id-new"}, "/jobs/id-new"),
        ("/jobs/id-now/finish", {}, {"verb": "finish", "job": "id-now"}, "/jobs/id-now"),
        ("/jobs/id-bad/dismiss", {}, {"verb": "dismiss", "jobs": ["id-bad"]}, "/"),
        ("/dismiss", {}, {"verb": "dismiss"}, "/"),
        ("/delete", {"job": "id-old"}, {"verb": "delete", "job": "id-old"}, "/gallery"),
        ("/jobs/id-sea/retry", {}, {"verb": "retry", "from_stage": None}, "/jobs/id-sea"),
        ("/jobs/id-sea/retry", {"from_stage": "5"}, {"verb": "retry", "from_stage": 5},
         "/jobs/id-sea"),
    ):  # fmt: skip
        answer = page.post(path, data=data, headers=BROWSER)
        assert answer.status_code == 202 and "You need not ask again." in answer.text
        assert f'<a href="/base{to}">Go on</a>' in answer.text
        assert requested(tmp_path)[-1].items() >= request.items()
        assert page.get(f"/base{path}").status_code in (405, 404)
    for path in ("/jobs", "/pause"):  # the address of a form that was refused
        answer = page.get(f"/base{path}", headers=BROWSER)
        assert answer.status_code == 405 and 'href="/base/">Back to the overview' in answer.text


def test_an_action_that_is_not_possible_says_why_and_leaves_nothing(
    page: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, data: Mapping[str, Any], status: int, reason: str) -> None:
        answer = page.post(path, data=data)
        assert answer.status_code == status and reason in answer.json()["error"]
        assert ("mistakes" in answer.json()) == (status == 400)
        assert requested(tmp_path) == []

    cases: tuple[tuple[str, Mapping[str, Any], int, str], ...] = (
        ("/delete", {"job": ["id-old", "id-now"]}, 409, "now has not ended"),
        ("/delete", {"job": "id-none"}, 404, "no such job"),
        ("/jobs/id-sea/retry", {"from_stage": "0"}, 422, "sea has no stage 0"),
        ("/jobs/id-sea/retry", {"from_stage": "-1"}, 400, "from_stage: should be a number"),
        ("/jobs/id-sea/retry", {"from-stage": "5"}, 400, "did you mean 'from_stage'?"),
        ("/jobs/x/cancel", {}, 404, "there is no such job"),
    )  # fmt: skip
    for case in cases:
        refused(*case)
    answer = page.post("/jobs/id-sea/again", data={"steps": "0"}, files={"style": ("", b"")})
    assert (answer.status_code, requested(tmp_path)) == (400, [])
    assert answer.json()["error"].startswith("steps: 0 only measures")
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    refused("/jobs/id-sea/retry", {}, 422, "style.jpg")
    monkeypatch.setattr(actions, "MAX_REQUESTS", 0)
    refused("/pause", {}, 503, "too many requests")
    (tmp_path / "state/ledger.sqlite3").write_bytes(b"no ledger" * 999)
    refused("/jobs/x/cancel", {}, 503, "is damaged")


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_job_is_run_again_unless_the_daemon_refuses(
    is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(state: Path, verb: str, **arguments: Any) -> int:
        """Act on a request at once."""
        if not is_refused:
            enter(state, a_job("again", "waiting", id=arguments["new"]))
        return 1

    monkeypatch.setattr(requests, "leave", leave)
    page = client(tmp_path, finished_job(tmp_path))
    for path, files in (("retry", None), ("again", {"style": ("", b"")})):
        answer = page.post(f"/jobs/id-sea/{path}", files=files)
        if is_refused:
            assert answer.status_code == 422 and "could not be run again" in answer.json()["error"]
        else:
            assert answer.json()["acted"] is True


def test_requests_wait_for_the_daemon_at_the_same_time(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flood() -> list[Response]:
        visitor = AsyncClient(transport=ASGITransport(page.app), base_url=HERE, headers=OURS)
        return await asyncio.gather(*(visitor.post("/pause") for _ in range(everyone.parties)))

    everyone = threading.Barrier(5, timeout=60.0)
    monkeypatch.setattr(requests, "wait", lambda *_: everyone.wait() >= 0)
    assert [answer.json() for answer in asyncio.run(flood())] == [{"acted": True}] * 5


def test_several_jobs_are_deleted_or_their_pictures_downloaded_together(
    page: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = Mock(return_value=True)
    monkeypatch.setattr(requests, "wait", wait)
    client(tmp_path, finished_job(tmp_path, "sky"))
    chosen = {"job": ["id-sea", "id-sky"]}
    archive = ZipFile(BytesIO(page.get("/pictures.zip", params=chosen).content))
    assert archive.namelist() == ["pictures/sea.png", "pictures/sky.png"]
    assert archive.read("pictures/sea.png") == (tmp_path / "out/sea/final.png").read_bytes()
    question = page.get("/delete", params=chosen, headers=BROWSER).text
    assert "Delete 2 jobs?" in question and question.count('name="job"') == 2 * 2
    assert 'alt="sea, output"' in question and "harbour in the style of wave" in question
    answer = page.post("/delete", data=chosen, headers=BROWSER)
    assert answer.headers["Location"] == "/gallery"
    assert [request["job"] for request in requested(tmp_path)] == ["id-sea", "id-sky"]
    assert len(wait.call_args.args[1]) == 2, "both at once"
    page.post("/delete", data={"job": ["gone", "id-sky"]})
    assert [request["job"] for request in requested(tmp_path)][2:] == [], "it waits already"
    for nothing in ({}, {"job": "gone"}, {"job": ["id-sea"] * 101}):
        assert page.get("/pictures.zip", params=nothing).status_code == 404


def test_jobs_are_moved_into_the_trash_and_back_together_but_for_favorites(
    page: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "wait", lambda *_: True)
    trashed = a_job("wood", trashed="2026-01-03T12:00:00+00:00")
    client(tmp_path, finished_job(tmp_path, "sky"), trashed)
    (tmp_path / "state/favorites").mkdir()
    with reading(tmp_path / "state" / FILE_NAME) as ledger:
        favorites.mark(tmp_path / "state", ledger, a_job("sea"))
    both = {"job": ["id-sea", "id-sky"]}
    question = page.get("/delete", params=both, headers=BROWSER).text
    assert (
        "Delete sky?" in question
        and "Favorites stay when several jobs are deleted: sea" in question
    )
    assert "The trash</strong> keeps it for 30 days" in question
    assert "It is a favorite" not in question
    for verb in ("trash", "delete"):
        assert page.post(f"/{verb}", data=both).json() == {"acted": True, "kept": ["id-sea"]}
    alone = page.get("/delete", params={"job": "id-sea"}, headers=BROWSER).text
    assert "Move to the trash" in alone and "It is a favorite" in alone
    assert page.post("/trash", data={"job": "id-wood"}).status_code == 409
    assert page.post("/restore", data=both).status_code == 409, "they are not in the trash"
    some = {"job": ["id-wood", "id-sea"]}  # another tab may have restored one of them
    assert page.post("/restore", data=some, headers=BROWSER).status_code == 303
    asked = [(each["verb"], each["job"]) for each in requested(tmp_path)]
    assert asked == [("trash", "id-sky"), ("delete", "id-sky"), ("restore", "id-wood")]
    bin_ = page.get("/gallery?state=trash", headers=BROWSER).text
    assert "moved into the trash" in bin_ and "30 days after a job was moved here" in bin_
    shown = page.get("/jobs/id-wood", headers=BROWSER).text
    assert "In the trash since" in shown and "Restore" in shown and "Paint again" not in shown
    question = page.get("/delete", params={"job": "id-wood"}, headers=BROWSER).text
    assert "Delete for good" in question and "Move to the trash" not in question
    marked = page.get("/gallery?state=favorites", headers=BROWSER).text
    assert re.findall(r"<h2><a.*?>(\w+)<", marked) == ["sea"] and "★" in marked
    assert "★ Favorite" in page.get("/jobs/id-sea", headers=BROWSER).text
    assert "☆ Favorite" in page.get("/jobs/id-sky", headers=BROWSER).text


def test_a_job_that_is_restored_after_the_question_is_not_deleted(tmp_path: Path) -> None:
    trashed = a_job("wood", trashed="2026-01-03T12:00:00+00:00")
    page = client(tmp_path, finished_job(tmp_path), trashed)
    for name, is_told in (("wood", True), ("sea", False)):
        question = page.get("/delete", params={"job": f"id-{name}"}, headers=BROWSER).text
        assert ('name="trashed" value="yes"' in question) is is_told
    late = page.post("/delete", data={"job": "id-sea", "trashed": "yes"})
    assert late.status_code == 409 and "restored from the trash since" in late.json()["error"]
    assert page.post("/delete", data={"job": "id-wood", "trashed": "yes"}).status_code == 200
    assert [each["job"] for each in requested(tmp_path)] == ["id-wood"]


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        (["id-sky", "id-sea"], ["id-sea"]),
        (["gone", "id-sea"], ["id-sea"]),  # several were selected, and one has been deleted since
        (["id-sky", "sea", "id-sea"], ["id-sea"]),
        (["sea", "id-sea"], []),  # one job, by its name and its id
    ],
)
def test_jobs_count_once_however_they_are_named(
    named: list[str], kept: list[str], page: TestClient, tmp_path: Path
) -> None:
    client(tmp_path, finished_job(tmp_path, "sky"))
    (tmp_path / "state/favorites").mkdir()
    with reading(tmp_path / "state" / FILE_NAME) as ledger:
        favorites.mark(tmp_path / "state", ledger, a_job("sea"))
    question = page.get("/delete", params={"job": named}, headers=BROWSER).text
    assert ("Favorites stay" in question) == bool(kept)
    assert page.post("/trash", data={"job": named}).json()["kept"] == kept


def test_a_job_that_is_called_like_a_part_of_another_is_meant_by_its_name(
    tmp_path: Path,
) -> None:
    page = client(tmp_path, finished_job(tmp_path, "id-sea"))
    assert isinstance(page.app, Starlette)
    parts = [part for how, part in addresses(page.app) if how == "GET" and "id-sea/" in part]
    assert len(parts) == 8
    for number, part in enumerate(parts):
        before, name = part.split("/jobs/")
        for spelled in (part, part.replace("id-sea", "ID-SEA")):
            assert page.get(spelled).status_code in (200, 302, 404)
        enter(tmp_path / "state", a_job(name, id=f"other-{number}", place=name))
        for spelled in (part, part.replace("id-sea", "ID-SEA")):
            answer = page.get(spelled)
            to = answer.json()["id"] if before else answer.headers["Location"]
            assert to == ("" if before else "/jobs/") + f"other-{number}"


def test_a_style_is_kept_in_the_library_and_never_replaces_one(
    page: TestClient, tmp_path: Path
) -> None:
    def keep(**fields: str) -> tuple[int, str]:
        answer = page.post("/jobs/id-sea/keep", data={"input": "1", **fields})
        return answer.status_code, str(answer.json())

    assert keep() == (200, "{'style': 'Wave'}")
    assert keep(name="../sea", source="Hokusai,\x00 1831") == (200, "{'style': '__sea'}")
    write(tmp_path / "styles/notes.txt", b"mine")
    for fields, status, reason in (
        ({"name": "wave"}, 400, "has a file called Wave.jpg"),
        ({"name": "notes"}, 400, "has a file called notes.txt"),
        ({"name": "a.mask"}, 400, "no file called"), ({"input": "0"}, 400, "number of a style"),
        ({"nam": "sea"}, 400, "did you mean 'name'?"),
    ):  # fmt: skip
        answer = keep(**fields)
        assert answer[0] == status and reason in answer[1]
    write(tmp_path / "out/sea/inputs/style.jpg", b"another picture")
    assert keep(name="other")[0] == 422
    kept = {path.name: path.read_bytes() for path in (tmp_path / "styles").iterdir()}
    jpeg = picture(90, "JPEG")
    assert kept == {"Wave.jpg": jpeg, "__sea.jpg": jpeg, "__sea.txt": b"Hokusai,? 1831\n",
                    "notes.txt": b"mine"}  # fmt: skip
    had = {"file_names": {"style.jpg": "without suffix"}}
    page = client(tmp_path, finished_job(tmp_path, settings=had))
    assert keep() == (200, "{'style': 'without suffix'}")
    assert (tmp_path / "styles/without suffix.png").read_bytes() == jpeg
    page = client(tmp_path, finished_job(tmp_path), styles=tmp_path / "in/styles")
    assert keep()[0] == 400 and "lies in the inbox" in keep()[1]


def test_an_invalid_long_or_slow_form_is_refused(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body, kind, status in (
        (b"{}", "application/json", 415), (b"a=" + b"x" * http.MAX_FORM_BYTES, FORM, 413),
        (b"a=\xff", FORM, 400), (b"&".join([b"a=1"] * 111), FORM, 400),
    ):  # fmt: skip
        answer = page.post("/jobs/x/retry", content=body, headers={"Content-Type": kind})
        assert answer.status_code == status
    monkeypatch.setattr(http, "FORM_TIMEOUT_S", 0.05)
    (answer,) = stalled(page, "/delete", b"job=", FORM)
    assert answer.status_code == 408
