"""`stylewatch report`: one file from a folder or the ledger, with the pictures that are there."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.cli.states import enter, entry
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.cli.client import Daemon
from stylewatch_daemon.cli.html.page import Figure, Figures
from stylewatch_daemon.cli.html.report import figures, receipt_of, view_of_folder
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.cli.show import view_of
from stylewatch_daemon.errors import InputError
from stylewatch_daemon.views.job import JobView


@pytest.fixture
def folder(tmp_path: Path, pictures: Path) -> Path:
    """A folder with all that a job leaves, its inputs too."""
    job = order(tmp_path / "job", pictures, steps=30, save_every=1)
    painted(job)
    pictures.rename(job.staging / "inputs")
    return job.staging


def figures_of(view: JobView, state: Path) -> Figures:
    return figures(view, receipt_of(view), state)


def image(figure: Figure) -> Image.Image:
    head, _, data = figure.data.partition(";base64,")
    assert head == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def change_receipt(folder: Path, **changes: Any) -> None:
    path = folder / "receipt.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def test_all_pictures_and_a_few_stages_are_in_it(folder: Path) -> None:
    view = view_of_folder(folder)
    found = figures_of(view, folder)
    assert (view.name, image(found.output).size) == ("a/job", (32, 24))
    assert [figure.caption for figure in found.inputs] == [
        "content: content.jpg", "style 1: style.jpg",
    ]  # fmt: skip
    assert [image(figure).size for figure in found.inputs] == [(48, 36), (40, 32)]
    steps = [int(figure.caption.removeprefix("step ")) for figure in found.stages]
    assert len(steps) == 8 and (steps[0], steps[-1]) == (1, 32)
    assert view.curve is not None and view.curve.terms


def test_pictures_that_are_gone_or_changed_are_empty(folder: Path) -> None:
    (folder / "inputs/content.jpg").rename(folder / "inputs/other-name.jpg")
    (folder / "inputs/style.jpg").write_bytes(b"changed")
    (folder / "losses.csv").unlink()
    (folder / "final.png").write_bytes(b"changed")
    for path in (folder / "stages").iterdir():
        path.unlink()
    view = view_of_folder(folder)
    found = figures_of(view, folder)
    assert image(found.inputs[0]).size == (48, 36), "it has another name only"
    assert found.inputs[1] == Figure("style 1: style.jpg")
    assert (found.output.data, found.stages, view.curve) == ("", [], None)


def test_the_output_of_a_flat_job_lies_beside_its_folder(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "out/_jobs/waves/a"
    place.parent.mkdir(parents=True)
    (tmp_path / "out/waves").mkdir()
    folder.rename(place)
    (place / "final.png").rename(tmp_path / "out/waves/a.png")
    change_receipt(place, final="../../../waves/a.png")
    assert image(figures_of(view_of_folder(place), place).output).size == (32, 24)


def test_a_receipt_of_others_leads_to_no_other_file(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    stages = receipt(order(folder.parent, folder / "inputs"))["stages"]
    stages[0]["file"] = "../secret.png"
    stages[1]["file"] = "stages/../../../secret.png"
    change_receipt(folder, final="../../secret.png", stages=stages, files=[])
    found = figures_of(view_of_folder(folder), folder)
    assert found.output.data == "" and not {"step 1", "step 2"} & {
        figure.caption for figure in found.stages
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "is not a receipt"),
        ("nonsense", "is not a receipt"),
        ('{"sweep": {}, "jobs": [{"name": "seed=1"}]}', "name one of its jobs, as staging/seed=1"),
        ('{"sweep": {}, "jobs": 3}', "that of a series"),
    ],
)
def test_other_receipts_are_refused(text: str, reason: str, folder: Path) -> None:
    (folder / "receipt.json").write_text(text)
    enter(folder / "state", entry("job", outbox=str(folder.parent), place=folder.name))
    with pytest.raises(InputError, match=reason):
        view_of_folder(folder)
    with pytest.raises(InputError, match=r"receipt|series"):
        receipt_of(view_of(Daemon(folder / "state"), "job"))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("running", r"not finished yet \(running\)"),
        ("queued", "not finished yet"),
        ("refused", r"has no output \(refused\)"),
        ("done", "its receipt is no longer in out"),
    ],
)
def test_a_job_without_a_receipt_has_no_report(state: str, reason: str, tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea", state))
    with pytest.raises(InputError, match=reason):
        receipt_of(view_of(Daemon(tmp_path / "state"), "sea"))


def test_thumbnails_stand_for_inputs_that_are_gone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    folder.rename(tmp_path / "out/sea")
    for path in (tmp_path / "out/sea/inputs").iterdir():
        path.unlink()
    enter(tmp_path / "state", entry("sea", "done", outbox=str(tmp_path / "out")))
    (tmp_path / "state/thumbs").mkdir()
    view = view_of(Daemon(tmp_path / "state"), "sea")
    content, _ = receipt_of(view).inputs
    Image.new("RGB", (9, 9)).save(tmp_path / f"state/thumbs/{content.sha256}.jpg")
    found = figures_of(view, tmp_path / "state")
    assert image(found.inputs[0]).size == (9, 9) and found.inputs[1].data == ""


@pytest.fixture
def sea(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder as `sea` of the current one."""
    folder.rename(tmp_path / "sea")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sea"


@pytest.mark.parametrize("name", ["sea", "sea/", "sea/receipt.json", "wave"])
def test_a_folder_or_a_job_becomes_one_file(
    name: str, sea: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(Path("state"), entry("wave", "done", outbox=str(sea.parent), place="sea"))
    assert call(["report", name, "--state", "state", "-o", "out.html"]) == 0
    assert capsys.readouterr().out == "out.html\n"
    html = Path("out.html").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>") and html.count("data:image/jpeg;base64,") == 11
    assert html.count("<svg") == 1 and 'class="term content"' in html
    assert ("<h1>sea</h1>" in html) == (name == "wave")


def test_a_file_is_replaced_only_by_force(sea: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [call(["report", "sea"]), call(["report", "sea", "-q"])] == [0, 0]
    assert capsys.readouterr().out == "a_job-report.html\n"
    assert Path("a_job-report-2.html").is_file()
    Path("out.html").write_text("mine")
    assert call(["report", "sea", "-o", "out.html"]) == 73
    assert "already there; --force replaces it" in capsys.readouterr().err
    assert Path("out.html").read_text() == "mine"
    assert call(["report", "sea", "-o", "out.html", "--force"]) == 0
    assert Path("out.html").read_text().startswith("<!DOCTYPE")
    for to, reason in (("no/out.html", "cannot be written"), ("sea", "a folder")):
        assert call(["report", "sea", "-o", to, "-f"]) == 73
        assert reason in capsys.readouterr().err


def test_an_unknown_job_is_answered_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(tmp_path / "state", entry("wave", "running"))
    out = tmp_path / "out.html"
    for job, code, reason in (("wav", 64, "did you mean 'wave'"), ("wave", 65, "not finished")):
        assert call(["report", job, "--state", str(tmp_path / "state"), "-o", str(out)]) == code
        assert reason in capsys.readouterr().err and not out.exists()
