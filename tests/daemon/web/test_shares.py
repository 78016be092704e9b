"""Photographs that a phone shares wait for a confirmation, then are jobs as any uploaded ones."""

import time
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web.test_upload import PAIR, dropped
from tests.daemon.web.world import BROWSER, OURS, TOKEN, client, picture, write

from stylewatch_daemon.client import submit
from stylewatch_daemon.web import serve, shares

FILES: list[Any] = [
    ("content", (f"../{name}.jpg", picture(shade, "JPEG"), "image/jpeg"))
    for name, shade in (("sea", 10), ("coast", 200), ("sea", 90))
]
BY_WILL = {"Sec-Fetch-Site": "none", "Origin": "null"}
"""Headers of a request that the user of a browser makes, for example by sharing."""


def test_shared_photographs_are_shown_and_painted_in_the_chosen_style(tmp_path: Path) -> None:
    write(tmp_path / "styles/wave.png", b"wave")
    page = client(tmp_path)
    to = page.post("/share", files=FILES, headers=BY_WILL | BROWSER).headers["Location"]
    shown = page.get(to, headers=BROWSER).text
    assert "these 3 photographs" in shown and "sea.jpg" in shown and 'value="wave"' in shown
    for number in range(3):
        assert page.get(f"{to}/{number}").headers["Content-Type"] == "image/jpeg"
    for wrong in (f"{to}/3", f"{to}/x", f"{to}/-1", "/share/..%2f..", "/share/share-0"):
        assert page.get(wrong).status_code in (404, 422)
    fields = [("shared", (None, to.rpartition("/")[2])), ("library", (None, "wave"))]
    mistaken = page.post("/jobs", files=[*fields, ("size", (None, "wide"))], headers=BROWSER)
    assert mistaken.status_code == 400 and 'value="wide"' in mistaken.text
    assert "these 3 photographs" in mistaken.text, "they need not be shared again"
    made = page.post("/jobs", files=fields).json()
    assert made == {"jobs": ["sea-wave", "coast-wave", "sea-wave-2"], "page": "/"}
    assert dropped(tmp_path)["coast-wave/content.jpg"] == FILES[1][1][1]
    for gone in (page.get(to), page.post("/jobs", files=fields)):
        assert gone.status_code == 422 and "share them again" in gone.json()["error"]


def test_two_forms_at_once_paint_a_share_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "styles/wave.png", b"wave")
    page = client(tmp_path)
    to = page.post("/share", files=FILES).headers["Location"]
    fields = [("shared", (None, to.rpartition("/")[2])), ("library", (None, "wave"))]
    put_all = submit.put_all
    others = list[int]()

    def slow(*words: Any, **more: Any) -> Any:
        monkeypatch.setattr(submit, "put_all", put_all)
        others.append(page.post("/jobs", files=fields).status_code)
        return put_all(*words, **more)

    monkeypatch.setattr(submit, "put_all", slow)
    assert page.post("/jobs", files=fields).status_code == 200
    assert others == [422]
    assert {path.partition("/")[0] for path in dropped(tmp_path)} == {
        "sea-wave", "coast-wave", "sea-wave-2",
    }  # fmt: skip


def test_only_the_latest_shares_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MOST_SHARES", 2)
    page = client(tmp_path)
    shared = [page.post("/share", files=FILES).headers["Location"] for _ in range(3)]
    assert [page.get(to).status_code for to in shared] == [422, 200, 200]


def test_what_nobody_confirms_is_removed_after_an_hour_and_at_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shares.SHARED_S == 3600
    monkeypatch.setattr(shares, "SHARED_S", 0.3)
    with client(tmp_path) as page:  # one event loop for all requests
        to = page.post("/share", files=FILES).headers["Location"]
        assert page.get(to).status_code == 200
        until = time.monotonic() + 20
        while page.get(to).status_code == 200:
            assert time.monotonic() < until
    assert dropped(tmp_path) == {}
    client(tmp_path).post("/share", files=FILES)
    client(tmp_path)
    assert dropped(tmp_path) == {}


def test_other_sites_and_strangers_share_nothing(tmp_path: Path) -> None:
    page = client(tmp_path, token=TOKEN)
    assert page.post("/share", files=FILES, headers=BY_WILL).status_code == 401
    page = client(tmp_path)
    for site in ("cross-site", "same-site"):
        answer = page.post("/share", files=FILES, headers={"Sec-Fetch-Site": site, **OURS})
        assert answer.status_code == 403
    assert page.post("/jobs", files=PAIR, headers=BY_WILL).status_code == 403
    assert page.post("/share", files=PAIR[1:]).status_code == 422
    assert dropped(tmp_path) == {}


def test_the_manifest_fits_the_page_below_any_path(tmp_path: Path) -> None:
    page = client(tmp_path, path="/base")
    address = "/base/static/manifest.webmanifest"
    assert f'rel="manifest" href="{address}"' in page.get("/base/", headers=BROWSER).text
    answer = page.get(address)
    assert answer.headers["Content-Type"] == "application/manifest+json"
    assert "manifest-src 'self'" in answer.headers["Content-Security-Policy"]
    target = answer.json()["share_target"]
    assert (target["action"], target["params"]["files"][0]["name"]) == ("../share", "content")
    for icon in answer.json()["icons"]:
        content = (serve.HERE / "static" / icon["src"]).read_bytes()
        width = int.from_bytes(content[16:20])
        assert icon["sizes"] == f"{width}x{width}"
