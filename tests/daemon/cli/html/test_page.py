"""The HTML of a report is whole in itself, and names from outside are only text in it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web.world import receipt

from stylewatch_daemon.cli.html.page import GONE, Figure, Figures, page
from stylewatch_daemon.cli.html.report import receipt_of, view_of_folder

PIXEL = "data:image/png;base64,AAAA"
EVIL = '<script>alert("x")</script>\' onerror=alert(1) & $title'
TABLE = "step,width,height,seconds,total,content.conv4_2\n1,8,6,1,9,1\n2,8,6,1,3,1\n"
FIGURES = Figures(
    Figure("output", PIXEL), [Figure("content", PIXEL), Figure("style")], [Figure("step 2", PIXEL)]
)
INPUT = {"role": "content", "name": "sea\n.jpg", "sha256": "a" * 64, "size": [48, 36],
         "converted": ["turned upright", "CMYK to RGB"]}  # fmt: skip


class Parsed(HTMLParser):
    """The elements of a page with their attributes, the tables, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("th", "td"):
            self.cells.append(data)


def html_of(folder: Path, figures: Figures = FIGURES, name: str = "sea", **changes: Any) -> str:
    """The report of a job whose receipt has these `changes`."""
    (folder / "receipt.json").write_text(json.dumps(receipt(name, **changes)))
    (folder / "losses.csv").write_text(TABLE)
    view = view_of_folder(folder)
    return page(view, receipt_of(view), figures)


def test_a_report_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    html = html_of(tmp_path)
    parsed = Parsed(html)
    assert parsed.open == []
    images = [attributes for tag, attributes in parsed.elements if tag == "img"]
    assert [attributes["alt"] for attributes in images] == ["output", "content", "step 2"]
    assert all(str(attributes["src"]).startswith("data:image/") for attributes in images)
    assert GONE in parsed.text and "the filters are not normalized" in parsed.text
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in parsed.elements}
    assert not re.search(r"https?:|url\(|@import", html)
    policy = next(attributes for _, attributes in parsed.elements if attributes.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'; img-src data:;")
    viewport = next(found for _, found in parsed.elements if found.get("name") == "viewport")
    assert viewport["content"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_all_that_the_receipt_says_is_in_it(tmp_path: Path) -> None:
    weights = {"name": "mine", "sha256": "d" * 64, "bits": 32}
    attempts = [{"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"},
                {"backend": "torch", "ended": "done"}]  # fmt: skip
    html = html_of(
        tmp_path, inputs=[INPUT], weights=weights, retry_of="lake", attempts=attempts,
        color={"mode": "luminance", "space": "oklab"},
    )  # fmt: skip
    parsed = Parsed(html)
    line = "recipe gatys · 8x6 pixels · sketch on cpu · 1 min 1 s · 2026-01-02 12:01:01 UTC"
    assert line in parsed.text
    assert re.findall("<h2>(.*?)</h2>", html) == [
        "Inputs", "Stages", "Losses", "Result", "Input files", "Final losses", "Attempts",
        "Settings of the recipe", "Output files",
    ]  # fmt: skip
    for cell in ("mine, 32 bits", "d" * 64, "lake", "luminance, in oklab", "sea?.jpg", "48x36",
                 "turned upright; CMYK to RGB", "a" * 64, "content conv4_2", "objective.start",
                 "torch (cuda:0)", "it burnt", "final.png", "b" * 64):  # fmt: skip
        assert cell in parsed.cells
    assert "started" not in parsed.cells[parsed.cells.index("it burnt") - 6 :], "an empty column"


@pytest.mark.parametrize("gone", [True, False])
def test_names_and_sentences_are_only_text(gone: bool, tmp_path: Path) -> None:
    attempts = [{"backend": EVIL, "device": EVIL, "ended": f"failed: {EVIL}"}]
    evil = {"role": EVIL, "name": EVIL, "sha256": EVIL, "size": [1, 1], "converted": [EVIL]}
    figure = replace(Figure(EVIL), data="" if gone else PIXEL)
    html = html_of(
        tmp_path, Figures(figure, [figure], [figure]), EVIL, warnings=[EVIL], version=EVIL,
        inputs=[evil], attempts=attempts, recipe={"name": EVIL, EVIL: EVIL},
        files=[{"file": EVIL, "sha256": EVIL}],
        backend={"name": EVIL, "version": EVIL, "device": EVIL, "precision": EVIL},
    )  # fmt: skip
    parsed = Parsed(html)
    assert parsed.open == []
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert "script" not in {tag for tag, _ in parsed.elements}
    assert parsed.text.count('<script>alert("x")</script>') > 15


def test_empty_parts_have_no_heading(tmp_path: Path) -> None:
    headings = re.findall("<h2>(.*?)</h2>", html_of(tmp_path, Figures(Figure("output"), [], [])))
    assert headings == [
        "Losses", "Result", "Final losses", "Attempts", "Settings of the recipe", "Output files",
    ]  # fmt: skip
