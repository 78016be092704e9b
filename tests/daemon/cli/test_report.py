"""`stylewatch report`: one HTML file with the pictures in it, which loads and runs nothing."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.states import enter, entry
from tests.daemon.web import world
from tests.daemon.worker.orders import order, painted

from stylewatch_daemon.cli.jobs import view_of
from stylewatch_daemon.cli.report import (
    MISSING,
    Figure,
    Figures,
    figures,
    page,
    receipt_of,
    view_of_folder,
)
from stylewatch_daemon.errors import InputError

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
    (folder / "receipt.json").write_text(json.dumps(world.receipt(name, **changes)))
    (folder / "losses.csv").write_text(TABLE)
    view = view_of_folder(folder)
    return page(view, receipt_of(view), figures)


def headings(html: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", html)


def test_a_report_is_complete_and_loads_nothing(tmp_path: Path) -> None:
    attempts = [{"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"},
                {"backend": "torch", "ended": "done"}]  # fmt: skip
    html = html_of(
        tmp_path, inputs=[INPUT], weights={"name": "mine", "sha256": "d" * 64, "bits": 32},
        retry_of="lake", attempts=attempts, color={"mode": "luminance", "space": "oklab"},
    )  # fmt: skip
    parsed = Parsed(html)
    assert parsed.open == []
    images = [attributes for tag, attributes in parsed.elements if tag == "img"]
    assert [attributes["alt"] for attributes in images] == ["output", "content", "step 2"]
    assert all(str(attributes["src"]).startswith("data:image/") for attributes in images)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in parsed.elements}
    assert not re.search(r"https?:|url\(|@import", html)
    policy = next(attributes for _, attributes in parsed.elements if attributes.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'; img-src data:;")
    line = "recipe gatys · 8x6 pixels · sketch on cpu · 1 min 1 s · 2026-01-02 12:01:01 UTC"
    for text in (line, MISSING, "the filters are not normalized"):
        assert text in parsed.text
    assert headings(html) == [
        "Inputs", "Stages", "Losses", "Result", "Input files", "Final losses", "Attempts",
        "Settings of the recipe", "Output files",
    ]  # fmt: skip
    for cell in ("mine, 32 bits", "d" * 64, "lake", "luminance, in oklab", "sea?.jpg", "48x36",
                 "turned upright; CMYK to RGB", "a" * 64, "content conv4_2", "objective.start",
                 "torch (cuda:0)", "it burnt", "final.png", "b" * 64):  # fmt: skip
        assert cell in parsed.cells
    assert "started" not in parsed.cells[parsed.cells.index("it burnt") - 6 :], "an empty column"


def test_empty_parts_have_no_heading(tmp_path: Path) -> None:
    assert headings(html_of(tmp_path, Figures(Figure("output"), [], []))) == [
        "Losses", "Result", "Final losses", "Attempts", "Settings of the recipe", "Output files",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", [True, False])
def test_names_and_sentences_are_only_text(missing: bool, tmp_path: Path) -> None:
    attempts = [{"backend": EVIL, "device": EVIL, "ended": f"failed: {EVIL}"}]
    evil = {"role": EVIL, "name": EVIL, "sha256": EVIL, "size": [1, 1], "converted": [EVIL]}
    figure = Figure(EVIL, "" if missing else PIXEL)
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


@pytest.fixture
def folder(tmp_path: Path, pictures: Path) -> Path:
    """A folder `sea` with all files of a job, its inputs too."""
    job = order(tmp_path / "job", pictures, steps=30, save_every=1)
    painted(job)
    pictures.rename(job.staging / "inputs")
    return job.staging.rename(tmp_path / "sea")


def figures_of(folder: Path) -> Figures:
    view = view_of_folder(folder)
    return figures(view, receipt_of(view), folder)


def image(figure: Figure) -> Image.Image:
    head, _, data = figure.data.partition(";base64,")
    assert head == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def change_receipt(folder: Path, **changes: Any) -> None:
    path = folder / "receipt.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def test_all_inputs_and_a_few_stages_are_included(folder: Path) -> None:
    made = figures_of(folder)
    captions = ["content: content.jpg", "style 1: style.jpg"]
    assert [figure.caption for figure in made.inputs] == captions
    assert [image(figure).size for figure in made.inputs] == [(48, 36), (40, 32)]
    steps = [int(figure.caption.removeprefix("step ")) for figure in made.stages]
    assert len(steps) == 8 and (steps[0], steps[-1]) == (1, 32)
    assert image(made.output).size == (32, 24)


def test_missing_and_changed_pictures_are_empty(folder: Path) -> None:
    (folder / "inputs/content.jpg").rename(folder / "inputs/other-name.jpg")
    (folder / "inputs/style.jpg").write_bytes(b"changed")
    (folder / "final.png").write_bytes(b"changed")
    for path in (folder / "stages").iterdir():
        path.unlink()
    made = figures_of(folder)
    assert image(made.inputs[0]).size == (48, 36), "only its name has changed"
    assert made.inputs[1] == Figure("style 1: style.jpg")
    assert (made.output.data, made.stages) == ("", [])


def test_the_output_of_a_flat_job_lies_beside_its_folder(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "out/_jobs/waves/a"
    place.parent.mkdir(parents=True)
    (tmp_path / "out/waves").mkdir()
    folder.rename(place)
    (place / "final.png").rename(tmp_path / "out/waves/a.png")
    change_receipt(place, final="../../../waves/a.png")
    assert image(figures_of(place).output).size == (32, 24)


def test_a_receipt_leads_to_no_file_elsewhere(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    stages = json.loads((folder / "receipt.json").read_bytes())["stages"]
    stages[0]["file"] = "../secret.png"
    stages[1]["file"] = "stages/../../../secret.png"
    change_receipt(folder, final="../../secret.png", stages=stages, files=[])
    made = figures_of(folder)
    assert made.output.data == ""
    assert not {"step 1", "step 2"} & {figure.caption for figure in made.stages}


def test_thumbnails_replace_inputs_that_are_gone(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "inputs").iterdir():
        path.unlink()
    state = tmp_path / "state"
    enter(state, entry("sea", outbox=str(tmp_path)))
    (state / "thumbs").mkdir()
    view = view_of(state, "sea")
    receipt = receipt_of(view)
    Image.new("RGB", (9, 9)).save(state / f"thumbs/{receipt.inputs[0].sha256}.jpg")
    made = figures(view, receipt, state)
    assert image(made.inputs[0]).size == (9, 9) and made.inputs[1].data == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "is not a receipt"),
        ("{}", "is not a receipt"),
        ('{"sweep": {}, "jobs": [{"name": "seed=1"}]}', "name one of its jobs, as sea/seed=1"),
        ('{"sweep": {}, "jobs": 3}', "that of a series"),
    ],
)
def test_other_receipts_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "sea").mkdir()
    (tmp_path / "sea/receipt.json").write_text(text)
    enter(tmp_path / "state", entry("sea", outbox=str(tmp_path)))
    with pytest.raises(InputError, match=reason):
        view_of_folder(tmp_path / "sea")
    with pytest.raises(InputError, match=r"receipt|series"):
        receipt_of(view_of(tmp_path / "state", "sea"))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("running", r"not finished yet \(running\)"),
        ("refused", r"has no output \(refused\)"),
        ("done", "its receipt is no longer in out"),
    ],
)
def test_a_job_without_a_receipt_has_no_report(state: str, reason: str, tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea", state))
    with pytest.raises(InputError, match=reason):
        receipt_of(view_of(tmp_path / "state", "sea"))


def test_the_command_writes_one_file_for_a_folder_or_a_job(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    enter(
        Path("state"), entry("wave", outbox=str(folder.parent), place="sea"), entry("new", "done")
    )
    for job in ("sea/receipt.json", "wave"):
        ended = run("report", job, "--state", "state", "-o", "out.html", "--force")
        assert (ended.code, ended.out) == (0, "out.html\n")
        html = Path("out.html").read_text(encoding="utf-8")
        assert html.startswith("<!DOCTYPE html>") and html.count("data:image/jpeg;base64,") == 11
        assert html.count("<svg") == 1 and 'class="term content"' in html
        assert ("<h1>sea</h1>" in html) == (job == "wave")
    assert [run("report", "sea").out, run("report", "sea", "-q").out] == ["a_job-report.html\n", ""]
    assert Path("a_job-report-2.html").is_file()
    for words, code, message in (
        (("sea", "-o", "out.html"), 73, "already there; --force replaces it"),
        (("sea", "-o", "no/out.html"), 73, "cannot be written"),
        (("sea", "-o", "sea", "-f"), 73, "a folder"),
        (("seaa", "--state", "state"), 64, "did you mean 'sea'"),
        (("new", "--state", "state"), 65, "has no report"),
    ):
        ended = run("report", *words)
        assert ended.code == code and message in ended.err
