"""Pictures that come through the page lie in the inbox as any others, or nowhere."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message
from tests.daemon.web.visitors import PEOPLE, enter, entry, visitor

from stylewatch_daemon.web import upload

PAIR: list[Any] = [
    ("content", ("sea.jpg", b"content", "image/jpeg")),
    ("style", ("wave.png", b"style", "image/png")),
]


HEAD = b'--line\r\nContent-Disposition: form-data; name="content"; filename="c.jpg"\r\n\r\n'


def sent(root: Path, files: list[Any] = PAIR, **said: str) -> Any:
    return visitor(root).post("/upload", files=files, data=said)


def dropped(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root / "in").as_posix(): path.read_bytes()
        for path in (root / "in").rglob("*")
        if path.is_file()
    }


def test_a_pair_lies_in_the_inbox_as_submit_puts_it(tmp_path: Path) -> None:
    assert sent(tmp_path).json() == {"job": "sea-wave"}
    assert dropped(tmp_path) == {
        "sea-wave/content.jpg": b"content",
        "sea-wave/style.png": b"style",
    }
    assert list((tmp_path / "state/uploads").iterdir()) == []


def test_several_styles_and_wishes_come_along(tmp_path: Path) -> None:
    more = [*PAIR, ("style", ("b.png", b"b", "image/png"))]
    answer = sent(tmp_path, more, name="mine", recipe="gatys", size="640", backend="")
    assert answer.json() == {"job": "mine"}
    found = dropped(tmp_path)
    assert yaml.safe_load(found.pop("mine/job.yaml")) == {"recipe": "gatys", "size": "640"}
    assert sorted(found) == ["mine/content.jpg", "mine/style-1.png", "mine/style-2.png"]


def test_people_are_led_to_the_first_page(tmp_path: Path) -> None:
    answer = visitor(tmp_path).post("/upload", files=PAIR, headers=PEOPLE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_no_two_jobs_have_one_name(tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea-wave"))
    assert sent(tmp_path).json() == {"job": "sea-wave-2"}
    assert sent(tmp_path).json() == {"job": "sea-wave-3"}


def test_the_pictures_own_names_lead_nowhere(tmp_path: Path) -> None:
    files = [
        ("content", ("../../../etc/.sea.sh", b"c", "image/jpeg")),
        ("style", ("C:\\pictures\\wave.job.yaml", b"s", "image/jpeg")),
    ]
    assert sent(tmp_path, files).status_code == 200
    assert all(path.count("/") == 1 and ".." not in path for path in dropped(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "state"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"name": "../sea"}, "cannot be called"),
        ({"name": "/etc/x"}, "cannot be called"),
        ({"name": "x.tmp"}, "leaves alone"),
        ({"recipe": "no"}, "recipe should be one of"),
        ({"recipe": "/etc/passwd"}, "recipe should be one of"),
        ({"recipe": "../best.yaml"}, "recipe should be one of"),
        ({"backend": "os:system"}, "backend should be one of"),
        ({"size": "wide"}, "size"),
        ({"size": "-5"}, "size"),
    ],
)
def test_a_wrong_wish_is_a_sentence_and_no_job(
    said: dict[str, str], told: str, tmp_path: Path
) -> None:
    answer = sent(tmp_path, PAIR, **said)
    assert answer.status_code == 400 and told in answer.json()["error"]
    assert dropped(tmp_path) == {} and list((tmp_path / "state/uploads").iterdir()) == []


def test_what_else_is_said_goes_nowhere(tmp_path: Path) -> None:
    more = {"init": "/etc/passwd", "final": "../../x", "job.yaml": "x", "set": "y"}
    sent(tmp_path, PAIR, **more)
    assert "job.yaml" not in "".join(dropped(tmp_path))


@pytest.mark.parametrize(
    "files",
    [
        PAIR[:1],
        PAIR[1:],
        [*PAIR, PAIR[0]],
        [*PAIR, ("job", ("job.yaml", b"x: y", "text/yaml"))],
        [PAIR[0], ("style", ("s.png", b"", "image/png"))],
    ],
    ids=["no style", "no content", "two contents", "something else", "empty"],
)
def test_what_is_no_pair_is_refused(files: list[Any], tmp_path: Path) -> None:
    answer = sent(tmp_path, files)
    assert answer.status_code == 422 and answer.json()["error"]
    assert dropped(tmp_path) == {}


def test_too_much_is_not_even_read(tmp_path: Path) -> None:
    page = visitor(tmp_path, upload="1kB")
    big = [("content", ("c.jpg", b"x" * 2000, "image/jpeg")), PAIR[1]]
    answer = page.post("/upload", files=big)
    assert answer.status_code == 413 and "web.upload" in answer.json()["error"]


def test_too_much_is_noticed_though_nobody_said_how_much_it_is(tmp_path: Path) -> None:
    page = visitor(tmp_path, upload="1kB")
    kind = {"Content-Type": "multipart/form-data; boundary=line"}
    head = b'--line\r\nContent-Disposition: form-data; name="content"; filename="c.jpg"\r\n\r\n'
    answer = page.post("/upload", content=iter([head, *[b"x" * 100] * 20]), headers=kind)
    assert answer.status_code == 413
    assert list((tmp_path / "state/uploads").iterdir()) == []


def test_a_disk_without_room_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_free", lambda path: 256_000_000)
    assert sent(tmp_path).status_code == 507


def test_only_a_few_send_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "AT_ONCE", 0)
    answer: Response = sent(tmp_path)
    assert answer.status_code == 503


@pytest.mark.parametrize("said", [[], [HEAD, *[b"x"] * 999]], ids=["nothing", "little"])
def test_who_sends_nothing_or_little_for_long_is_not_waited_for(
    said: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "SILENT_S", 0.05)

    async def go() -> int:
        async def receive() -> Message:
            await asyncio.sleep(0.01 if said else 60)
            return {"type": "http.request", "body": said.pop(0), "more_body": True}

        kind = b"multipart/form-data; boundary=line"
        scope = {"type": "http", "headers": [(b"content-type", kind)]}
        try:
            await upload._received(Request(scope, receive), 9999, tmp_path)
        except HTTPException as error:
            return error.status_code
        return 200

    assert asyncio.run(go()) == 408
