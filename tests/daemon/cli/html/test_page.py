"""The page: whole in itself, with nothing in it that came from outside as anything but text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.daemon.cli.html.reports import reported

from stylewatch_daemon.cli.html.gallery import Gallery, Shown
from stylewatch_daemon.cli.html.page import page
from stylewatch_daemon.cli.html.painted import Painted

PIXEL = "data:image/png;base64,AAAA"
EVIL = '<script>alert("x")</script>\' onerror=alert(1) & $title'
PICTURES = Gallery(
    Shown("painted", PIXEL), (Shown("content", PIXEL), Shown("style")), (Shown("step 2", PIXEL),),
    Shown("losses", PIXEL),
)  # fmt: skip


class Seen(HTMLParser):
    """What is in a page: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def painted(tmp_path: Path) -> Painted:
    return reported(tmp_path, warnings=["it is large"])


def test_every_element_is_closed_and_every_picture_has_its_words(painted: Painted) -> None:
    found = Seen(page(painted, PICTURES))
    assert found.open == []
    images = [attributes for tag, attributes in found.elements if tag == "img"]
    assert [one["alt"] for one in images] == ["painted", "content", "step 2", "losses"]
    assert all(str(one["src"]).startswith("data:image/") for one in images)
    assert "this picture is not there any more" in found.text
    assert "it is large" in found.text and "2015-08-26 12:00:01 UTC" in found.text


def test_it_asks_nobody_for_anything_and_has_no_script(painted: Painted) -> None:
    html = page(painted, PICTURES)
    found = Seen(html)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in found.elements}
    assert not re.search(r"https?:|url\(|@import", html)
    policy = next(one for tag, one in found.elements if one.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'; img-src data:;")


def test_whatever_names_and_sentences_say_is_text(tmp_path: Path) -> None:
    attempts = [{"backend": EVIL, "device": EVIL, "ended": f"failed: {EVIL}"}]
    evil = {"role": EVIL, "name": EVIL, "sha256": EVIL, "size": [1, 1], "converted": [EVIL]}
    painted = reported(
        tmp_path, job=EVIL, warnings=[EVIL], version=EVIL, inputs=[evil], attempts=attempts,
        recipe={"name": EVIL, EVIL: EVIL}, files=[{"file": EVIL, "sha256": EVIL}],
        backend={"name": EVIL, "version": EVIL, "device": EVIL, "precision": EVIL},
    )  # fmt: skip
    painted = Painted(EVIL, painted.receipt, painted.folder, painted.final)
    hurt = Gallery(Shown(EVIL, PIXEL), (Shown(EVIL),), (Shown(EVIL, PIXEL),), Shown(EVIL, PIXEL))
    found = Seen(page(painted, hurt))
    assert found.open == []
    names = {name for _, attributes in found.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert "script" not in {tag for tag, _ in found.elements}
    assert found.text.count('<script>alert("x")</script>') > 15


def test_it_is_for_light_and_dark_for_paper_and_for_small_screens(painted: Painted) -> None:
    html = page(painted, PICTURES)
    assert "prefers-color-scheme: dark" in html and "@media print" in html
    viewport = next(one for _, one in Seen(html).elements if one.get("name") == "viewport")
    assert viewport["content"] == "width=device-width, initial-scale=1"


def test_what_there_is_nothing_of_has_no_heading(tmp_path: Path) -> None:
    nothing = Gallery(Shown("painted"), (), (), Shown("losses"))
    headings = re.findall("<h2>(.*?)</h2>", page(reported(tmp_path), nothing))
    assert headings == ["Made with", "Losses", "Attempts", "Settings of the recipe", "Files"]
