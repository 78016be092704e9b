"""Uploaded pictures lie in the inbox as any others, or nowhere."""

import asyncio
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from tests.daemon.web.world import BROWSER, client, enter, entry

from stylewatch_daemon.web import upload
from stylewatch_daemon.web.upload import MAX_FIELD, MAX_FILES, MAX_PIECES

PAIR: list[Any] = [
    ("content", ("sea.jpg", b"content", "image/jpeg")),
    ("style", ("wave.png", b"style", "image/png")),
]
KIND = "multipart/form-data; boundary=line"
PICTURE = bytes(range(256)) * 9 + b"\r\n--lin\r\n"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    header = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        header += f'; filename="{filename}"'
    return b"--line\r\n" + header.encode() + b"\r\nContent-Type: image/x\r\n\r\n" + value + b"\r\n"


def send(root: Path, files: list[Any] = PAIR, **fields: str) -> Any:
    return client(root).post("/upload", files=files, data=fields)


def post(root: Path, content: Any, kind: str = KIND, **web: Any) -> Any:
    """Send a body as it is; an iterator has its pieces."""
    return client(root, **web).post("/upload", content=content, headers={"Content-Type": kind})


def dropped(root: Path) -> dict[str, bytes]:
    """The files in the inbox; checks that none is left in the state folder."""
    uploads = root / "state/uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == []
    files = (path for path in (root / "in").rglob("*") if path.is_file())
    return {path.relative_to(root / "in").as_posix(): path.read_bytes() for path in files}


def test_a_pair_lies_in_the_inbox_as_submitted(tmp_path: Path) -> None:
    assert send(tmp_path).json() == {"job": "sea-wave"}
    pair = {"sea-wave/content.jpg": b"content", "sea-wave/style.png": b"style"}
    assert dropped(tmp_path) == pair
    answer = client(tmp_path).post("/upload", files=PAIR, headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    enter(tmp_path / "state", entry("sea-wave-3"))
    assert send(tmp_path).json() == {"job": "sea-wave-4"}, "no two jobs have one name"


def test_styles_and_settings_come_along_and_other_fields_and_paths_do_not(tmp_path: Path) -> None:
    files = [
        ("content", ("../../../etc/.sea.jpg", b"c", "image/jpeg")), PAIR[1],
        ("style", ("C:\\pictures\\b.png", b"b", "image/png")),
    ]  # fmt: skip
    fields = {"recipe": "gatys", "size": "640", "backend": "", "set": "y", "init": "/etc/passwd",
              "final": "../../x", "job.yaml": "x"}  # fmt: skip
    assert send(tmp_path, files, **fields, name="mine").json() == {"job": "mine"}
    made = dropped(tmp_path)
    assert yaml.safe_load(made.pop("mine/job.yaml")) == {"recipe": "gatys", "size": "640"}
    assert sorted(made) == ["mine/content.jpg", "mine/style-1.png", "mine/style-2.png"]
    assert send(tmp_path, files).status_code == 200
    assert all(path.count("/") == 1 and ".." not in path for path in dropped(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "state"}


def test_only_pairs_with_valid_settings_make_a_job(tmp_path: Path) -> None:
    for name, value, reason in (
        ("name", "../sea", "cannot be called"), ("name", "x.tmp", ""),
        ("recipe", "/etc/passwd", "recipe should be one of"), ("size", "wide", "size"),
        ("backend", "os:system", "backend should be one of"),
    ):  # fmt: skip
        answer = send(tmp_path, PAIR, **{name: value})
        assert answer.status_code == 400 and reason in answer.json()["error"]
    for files in (
        PAIR[:1], PAIR[1:], [*PAIR, PAIR[0]], [*PAIR, ("job", ("job.yaml", b"x: y", "text/yaml"))],
        [PAIR[0], ("style", ("s.png", b"", "image/png"))],
    ):  # fmt: skip
        answer = send(tmp_path, files)
        assert answer.status_code == 422 and answer.json()["error"]
    assert dropped(tmp_path) == {}


@pytest.mark.parametrize("join", [b"".join, iter], ids=["announced", "not announced"])
def test_a_large_upload_is_refused_whether_it_says_its_size_or_not(
    join: Callable[[list[bytes]], Any], tmp_path: Path
) -> None:
    body = [part("content", b"", "c.jpg")[:-2], *[b"x" * 100] * 20]
    answer = post(tmp_path, join(body), upload="1kB")
    assert answer.status_code == 413 and "web.upload" in answer.json()["error"]
    assert dropped(tmp_path) == {}


def test_a_full_disk_or_too_many_uploads_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=256_000_000))
        assert send(tmp_path).status_code == 507
    monkeypatch.setattr(upload, "_slots", asyncio.Semaphore(0))
    assert send(tmp_path).status_code == 503
    assert dropped(tmp_path) == {}


@pytest.mark.parametrize("pause_s", [0.01, 60], ids=["slow", "silent"])
def test_a_slow_or_silent_upload_is_given_up(
    pause_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "SILENT_S", 0.05)
    chunks = chain([part("content", b"", "c.jpg")], repeat(b"x"))

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": next(chunks), "more_body": True}

    scope = {"type": "http", "headers": [(b"content-type", KIND.encode())]}
    with pytest.raises(HTTPException) as caught:
        asyncio.run(upload._received(Request(scope, receive), 9999, tmp_path))
    assert caught.value.status_code == 408


WHOLE = (
    part("content", PICTURE, "My Sea.JPG")
    + part("style", b"", "")
    + part("style", b"wave", "../../wave.png")
    + part("name", " sea ä ".encode())
    + part("size", b"")
    + b"--line--\r\n"
)


@pytest.mark.parametrize("size", [1, 61, 9999])
def test_a_form_makes_the_same_job_in_pieces_of_any_size(size: int, tmp_path: Path) -> None:
    pieces = (WHOLE[start : start + size] for start in range(0, len(WHOLE), size))
    assert post(tmp_path, pieces).json() == {"job": "sea ä"}
    assert dropped(tmp_path) == {"sea ä/content.jpg": PICTURE, "sea ä/style.png": b"wave"}


def test_a_form_that_ends_too_early_or_is_another_kind_of_body_makes_no_job(tmp_path: Path) -> None:
    for end in (5, 500, len(WHOLE) - 6):
        assert post(tmp_path, WHOLE[:end]).status_code == 422
    for kind in ("", "text/plain", "multipart/form-data", "application/json; boundary=x",
                 f"multipart/form-data; boundary={'x' * 999}"):  # fmt: skip
        assert post(tmp_path, WHOLE, kind).status_code == 422
    assert dropped(tmp_path) == {}


@pytest.mark.parametrize(
    "body",
    [
        part("note", b"x" * (MAX_FIELD + 1)),
        part("f", b"", "") * MAX_PIECES,
        b"--line\r\n\r\n\r\n" * (MAX_PIECES + 1),
        part("content", b"x", "x" * MAX_FIELD),
        part("style", b"x", "x.png") * (MAX_FILES + 1),
    ],
    ids=["field", "empty files", "empty parts", "a long name", "files"],
)  # fmt: skip
def test_an_excessive_form_is_refused(body: bytes, tmp_path: Path) -> None:
    answer = post(tmp_path, body + WHOLE)
    assert answer.status_code == 422 and "too many" in answer.json()["error"]
