"""`stylewatch report`: one HTML file with the pictures in it, which loads and runs nothing."""

import base64
import io
import json
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.states import enter, entry
from tests.daemon.web import world
from tests.daemon.worker.orders import order, painted

from stylewatch_daemon.cli import report
from stylewatch_daemon.cli.report import MISSING, Figure, Figures, receipt_of, view_of_folder

MAX_PIXELS = 10_000
PIXEL = "data:image/png;base64,AAAA"
EVIL = '<script>alert("x")</script>\' onerror=alert(1) & $title'
TABLE = "step,width,height,seconds,total,content.conv4_2\n1,8,6,1,9,1\n2,8,6,1,3,1\n"
FIGURES = (
    Figure("output", PIXEL),
    [Figure("content", PIXEL), Figure("style")],
    [Figure("step 2", PIXEL)],
)
INPUT = {"role": "content", "name": "sea\n.jpg", "sha256": "a" * 64, "size": [48, 36],
         "converted": ["turned upright", "CMYK to RGB"]}  # fmt: skip

NETWORK = {"name": "mine", "sha256": "d" * 64, "bits": 32, "architecture": "vgg16"}


def html_of(folder: Path, figures: Figures = FIGURES, name: str = "sea", **changes: Any) -> str:
    """The report of a job whose receipt has these `changes`."""
    (folder / "receipt.json").write_text(json.dumps(world.receipt(name, **changes)))
    (folder / "losses.csv").write_text(TABLE)
    view = view_of_folder(folder)
    return report.page(view, receipt_of(view), figures)


def test_a_report_is_complete_and_loads_nothing(tmp_path: Path) -> None:
    attempts = [{"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"},
                {"backend": "torch", "ended": "done"}]  # fmt: skip
    html = html_of(
        tmp_path, inputs=[INPUT], weights=NETWORK, retry_of="lake",
        attempts=attempts, color={"mode": "luminance", "space": "oklab"},
    )  # fmt: skip
    images = re.findall(r'<img src="data:image/png;base64,AAAA" alt="(.*?)">', html)
    assert images == ["output", "content", "step 2"] and html.count("<img") == 3
    assert not re.search(r"<script|<link|<iframe|<object|<form|https?:|url\(|@import", html)
    assert "default-src 'none'; img-src data:;" in html
    line = "recipe gatys · 8x6 pixels · sketch on cpu · 1 min 1 s · 2026-01-02 12:01:01 UTC"
    for cell in (line, MISSING, "the filters are not normalized", "mine (VGG16), 32 bits", "d" * 64,
                 "lake", "luminance, in oklab", "sea?.jpg", "turned upright; CMYK to RGB", "a" * 64,
                 "content conv4_2", "objective.start", "torch (cuda:0)", "b" * 64):  # fmt: skip
        assert f">{cell}</" in html


def test_a_report_of_a_clip_counts_frames(tmp_path: Path) -> None:
    clip = {"frames": 2, "seconds": 0.1, "format": "mp4", "scenes": []}
    html = html_of(tmp_path, inputs=[INPUT], clip=clip)
    assert "loss 9 at frame 1, 3 at frame 2" in html


def test_names_and_sentences_are_only_text(tmp_path: Path) -> None:
    attempts = [{"backend": EVIL, "device": EVIL, "ended": f"failed: {EVIL}"}]
    evil = {"role": EVIL, "name": EVIL, "sha256": EVIL, "size": [1, 1], "converted": [EVIL]}
    figure = Figure(EVIL, PIXEL)
    html = html_of(
        tmp_path, (figure, [figure], [figure]), EVIL, warnings=[EVIL], version=EVIL,
        inputs=[evil], attempts=attempts, recipe={"name": EVIL, EVIL: EVIL},
        files=[{"file": EVIL, "sha256": EVIL}],
        backend={"name": EVIL, "version": EVIL, "device": EVIL, "precision": EVIL},
    )  # fmt: skip
    assert html.count("onerror") == html.count(escape(EVIL)) > 15


@pytest.fixture
def folder(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `sea` in the current one with all files of a job, its inputs too."""
    job = order(tmp_path / "job", pictures, steps=30, save_every=1)
    painted(job)
    pictures.rename(job.staging / "inputs")
    monkeypatch.chdir(tmp_path)
    return job.staging.rename(tmp_path / "sea")


def figures_of(folder: Path) -> Figures:
    view = view_of_folder(folder)
    return report.figures(view, receipt_of(view), folder, MAX_PIXELS)


def size(figure: Figure) -> tuple[int, int]:
    head, _, data = figure.data.partition(";base64,")
    assert head == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True))).size


def test_inputs_thumbnails_and_a_few_stages_are_included_if_unchanged(
    folder: Path,
) -> None:
    output, inputs, stages = figures_of(folder)
    captions = ["content: content.jpg", "style 1: style.jpg"]
    assert [figure.caption for figure in inputs] == captions
    assert [size(figure) for figure in inputs] == [(48, 36), (40, 32)]
    steps = [int(figure.caption.removeprefix("step ")) for figure in stages]
    assert (len(steps), steps[0], steps[-1]) == (8, 1, 32)
    assert size(output) == (32, 24)
    (folder / "inputs/style.jpg").write_bytes(b"changed")
    (folder / "final.png").write_bytes(b"changed")
    for path in (folder / "stages").iterdir():
        path.unlink()
    (folder / "inputs/content.jpg").unlink()
    view = view_of_folder(folder)
    receipt, thumbs = receipt_of(view), folder.parent / "state/thumbs"
    thumbs.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(thumbs / f"{receipt.inputs[0].sha256}.jpg")
    output, inputs, stages = report.figures(view, receipt, thumbs.parent, MAX_PIXELS)
    assert size(inputs[0]) == (9, 9) and inputs[1] == Figure("style 1: style.jpg")
    assert (output.data, stages) == ("", [])


def test_a_flat_output_lies_beside_its_folder_and_other_files_are_not_read(folder: Path) -> None:
    place = folder.parent / "out/_jobs/waves/a"
    place.parent.mkdir(parents=True)
    (folder.parent / "out/waves").mkdir()
    folder.rename(place)
    (place / "final.png").rename(folder.parent / "out/waves/a.png")
    receipt = json.loads((place / "receipt.json").read_bytes())
    (place / "receipt.json").write_text(json.dumps({**receipt, "final": "../../../waves/a.png"}))
    assert size(figures_of(place)[0]) == (32, 24)
    (folder.parent / "out/waves/a.png").rename(folder.parent / "secret.png")
    secret = {**receipt, "final": "../../../../secret.png", "files": []}
    (place / "receipt.json").write_text(json.dumps(secret))
    assert figures_of(place)[0].data == ""


def test_the_command_writes_one_file_for_a_folder_or_a_job(folder: Path, run: Run) -> None:
    wave = entry("wave", outbox=str(folder.parent), place="sea")
    enter(Path("state"), wave, entry("a"), entry("b", "running"), entry("~draft", "running"))
    for job in ("sea/receipt.json", "wave"):
        ended = run("report", job, "--state", "state", "-o", "out.html", "--force")
        assert (ended.code, ended.out) == (0, "out.html\n")
        html = Path("out.html").read_text(encoding="utf-8")
        assert html.startswith("<!DOCTYPE html>") and html.count("data:image/jpeg;base64,") == 11
        assert html.count("<svg") == 1 and ("<h1>sea</h1>" in html) == (job == "wave")
    assert run("report", "sea").out == "a_job-report.html\n"
    Path("small.yaml").write_text("limits: {max_pixels: 1000}")
    run("report", "sea", "--config", "small.yaml", "-o", "small.html")
    html = Path("small.html").read_text(encoding="utf-8")
    assert (html.count("data:image/jpeg;base64,"), html.count(MISSING)) == (9, 2)
    Path("config.yaml").write_text("limits: {max_pixels: many}")
    for job, code in (("sea", 0), ("wave", 78)):
        ended = run("report", job, "-o", "out.html", "--force")
        assert ended.code == code and "config.yaml line 1: " in ended.err
    world.write(Path("waves/receipt.json"), b'{"sweep": {}}')
    for words, code, message in (
        (["sea", "-o", "out.html"], 73, "already there; --force replaces it"),
        (["sea", "-o", "no/out.html"], 73, "cannot be written"),
        (["waves"], 65, "that of a series: name the receipt of one of its jobs"),
        (["a"], 65, "its receipt in out is missing or damaged"),
        (["b"], 65, "not finished yet (running)"),
        (["~draft"], 65, "not finished yet (running)"),
    ):
        ended = run("report", *words, "--state", "state")
        assert ended.code == code and message in ended.err
