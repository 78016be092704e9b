"""The page leaves a photograph for the daemon to be tried, or nothing at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill
from tests.daemon.web.world import client, requested

from stylewatch_daemon.app.tries import ALIVE, BUSY, RESULT
from stylewatch_daemon.client.condition import IDLE, PAUSED
from stylewatch_daemon.web import actions, tries


@pytest.fixture(autouse=True)
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the answer of a daemon to a try, as in its file."""
    said: dict[str, Any] = {"previews": [{"name": "s 00", "done": True, "reason": ""}]}

    async def ask(site: object, leave: Any) -> bool:
        leave()
        for folder in (tmp_path / "state/tries").iterdir():
            (folder / RESULT).write_text(json.dumps(said))
        return bool(said)

    monkeypatch.setattr(actions, "ask", ask)
    monkeypatch.setattr(tries, "condition", lambda status: IDLE)
    fill(tmp_path / "styles", *(f"s {number:02}.jpg" for number in range(14)))
    return said


def send(root: Path, content: str = "sea.jpg", **fields: str) -> Any:
    files = [("content", (content, b"a photograph", "image/jpeg"))]
    return client(root).post("/tries", files=files, data=fields)


def left(root: Path) -> list[Path]:
    return [*(root / "state/tries").iterdir()]


def test_a_try_is_left_shown_and_ended(tmp_path: Path) -> None:
    begun = send(tmp_path, strength="0.25").json()
    (folder,) = left(tmp_path)
    assert begun == {"address": f"/tries/{folder.name}", "preview": "160", "left": 2}
    assert (folder / "content.jpg").read_bytes() == b"a photograph"
    (asked,) = requested(tmp_path)
    assert asked["settings"]["strength"] == 0.25 and asked["settings"]["size"] == "160"
    assert [*asked["styles"]] == [f"s {number:02}" for number in range(12)]
    page = client(tmp_path)
    assert page.post(begun["address"]).json()["previews"][0]["done"]
    fill(folder, "1/final.jpg")
    assert page.get(f"{begun['address']}/1").content == b"1/final.jpg"
    assert page.get(f"{begun['address']}/2").status_code == 404
    assert page.post(f"{begun['address']}/more").json() == {"left": 1, "acted": True}
    assert len(requested(tmp_path)[1]["styles"]) == 12
    page.post(f"{begun['address']}/end")
    page.post(begun["address"])
    assert not (folder / ALIVE).exists(), "a late sign of life begins nothing"


@pytest.mark.parametrize(
    ("said", "recipe", "expected"),
    [
        ({"reason": BUSY}, "best", (409, BUSY)),
        ({}, "best", (503, "stylewatch does not answer")),
        ({}, "bets", (400, "recipe: there is no recipe")),
    ],
)
def test_nothing_is_left_of_a_try_that_is_refused(
    said: Mapping[str, Any],
    recipe: str,
    expected: tuple[int, str],
    tmp_path: Path,
    daemon: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon.clear()
    daemon.update(said)
    answer = send(tmp_path, recipe=recipe)
    assert answer.status_code == expected[0]
    assert answer.json()["error"].startswith(expected[1])
    monkeypatch.setattr(tries, "condition", lambda status: PAUSED)
    assert send(tmp_path).json()["error"] == PAUSED.sentence
    assert not (tmp_path / "state/tries").exists() or left(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "small"),
    [("640", "160"), ("96", "96"), ("800x400", "160x80"), ("x400", "160"), ("0.25mp", "160")],
)
def test_previews_have_the_shape_of_the_large_picture(
    size: str, small: str, tmp_path: Path
) -> None:
    preview = send(tmp_path, size=size).json()["preview"]
    (asked,) = requested(tmp_path)
    assert asked["settings"]["size"] == small
    assert preview == ("" if small == size else small)
