"""Keepsakes on the whole line: with the painting, listed in its receipt, and reported of."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.outbox.retention import prune
from stylewatch_daemon.service.service import ServiceSettings, once
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Retention

ALL = {"losses.png", "progress.webp", "progress.gif", "sheet.png"}


def service(root: Path, **job: Any) -> ServiceSettings:
    said = {"backend": "sketch", "recipe": "neural-style", "size": "24", "steps": 6}
    said |= {"save_every": 2, "artifacts": ["losses", "progress", "gif", "sheet"], **job}
    return make_settings(
        (make_inbox(root / "in", root / "out"),),
        root / "state",
        quiet_s=0.0,
        job=JobSettings.model_validate(said),
        free_bytes=0,
        batch=8,
    )


@pytest.fixture
def root(tmp_path: Path, pictures: Path) -> Path:
    """A folder with a pair `sea` in its inbox."""
    (tmp_path / "in").mkdir()
    pictures.rename(tmp_path / "in/sea")
    return tmp_path


def held(folder: Path) -> dict[str, Any]:
    """The receipt in a folder, of which every file that it names is there as it says."""
    receipt: dict[str, Any] = json.loads((folder / "receipt.json").read_bytes())
    for one in receipt["files"]:
        found = hashlib.sha256((folder / one["file"]).read_bytes()).hexdigest()
        assert found == one["sha256"], one["file"]
    return receipt


def test_they_lie_beside_the_painting_and_its_receipt_names_them(root: Path) -> None:
    assert once(service(root)).exit_code == 0
    receipt = held(root / "out/sea")
    assert {one["file"] for one in receipt["files"]} == {*ALL, "losses.csv", "final.png"}
    with Image.open(root / "out/sea/progress.webp") as film:
        assert film.size == (24, 18) and getattr(film, "n_frames", 1) > 2
    assert not list((root / "out/.staging").rglob("*.png"))


def test_a_job_says_for_itself_what_it_keeps(root: Path) -> None:
    (root / "in/sea/job.yaml").write_text("artifacts: [sheet.png]\n")
    assert once(service(root, artifacts=[])).exit_code == 0
    names = {one["file"] for one in held(root / "out/sea")["files"]}
    assert names == {"sheet.png", "losses.csv", "final.png"}


def test_jobs_of_a_series_and_of_a_flat_album_have_their_own(root: Path) -> None:
    (root / "in/sea/job.yaml").write_text("{artifacts: [losses], sweep: {seed: [1, 2]}}\n")
    assert once(service(root, flat=True)).exit_code == 0
    folders = sorted(path.parent for path in root.glob("out/_jobs/sea/*/losses.png"))
    assert [one.name for one in folders] == ["seed=1", "seed=2"]
    for one in folders:
        assert {"losses.png", "losses.csv"} <= {said["file"] for said in held(one)["files"]}


def test_those_that_are_painted_at_once_have_them_too(root: Path) -> None:
    for name in "ab":
        folder = root / "in" / name
        folder.mkdir()
        for path in (root / "in/sea").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    assert once(service(root, artifacts=["sheet"])).exit_code == 0
    for name in ("a", "b", "sea"):
        assert "sheet.png" in {one["file"] for one in held(root / "out" / name)["files"]}


def test_they_stay_when_stages_go(root: Path) -> None:
    once(service(root))
    gone = {one.name for one in prune([root / "out"], Retention(stages=0, inputs=0))}
    assert {"stages/0002.png", "inputs/content.jpg"} <= gone
    assert {path.name for path in (root / "out/sea").iterdir()} >= ALL


def test_a_report_is_made_of_a_job_after_all_else_is_gone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once(service(root))
    prune([root / "out"], Retention(stages=0, inputs=0))
    state, out = ["--state", str(root / "state")], root / "report.html"
    assert call(["report", "sea", *state, "-o", str(out), "-q"]) == 0
    html = out.read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 3  # the painting, and two thumbnails
    assert capsys.readouterr().err == ""


def test_render_leaves_them_in_a_folder_and_repeats_them(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(root / "in/sea" / name) for name in ("content.jpg", "style.jpg")]
    how = ["--backend", "sketch", "--steps", "3", "-q"]
    paint = ["render", *pair, *how, "--artifact", "losses,sheet"]
    (root / "one").mkdir()
    assert call([*paint, "-o", str(root / "one")]) == 0
    assert {"losses.png", "sheet.png"} <= {one["file"] for one in held(root / "one")["files"]}
    (root / "two").mkdir()
    assert call(["render", "--from", str(root / "one"), "-q", "-o", str(root / "two")]) == 0
    held(root / "two")
    assert (root / "two/losses.png").read_bytes() == (root / "one/losses.png").read_bytes()
    capsys.readouterr()
    assert call([*paint, "-o", str(root / "a.png")]) == 64
    assert "--artifact is for a painting in a folder" in capsys.readouterr().err
    assert call(["render", "--from", str(root / "one"), "-q", "-o", str(root / "a.png")]) == 0


def test_who_paints_loads_nothing_to_draw_them(tmp_path: Path, pictures: Path) -> None:
    """So a worker that paints one job after the other does not grow by them."""
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.daemon.worker.orders import order, painted\n"
        "names = ['losses', 'gif', 'sheet']\n"
        "given = order(Path(sys.argv[1]), Path(sys.argv[2]), artifacts=names)\n"
        "painted(given)\n"
        "print([one for one in sys.modules if one == 'matplotlib' or one.endswith('.film')])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "job"), str(pictures)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
    assert (tmp_path / "job/staging/sheet.png").is_file()
