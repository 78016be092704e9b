"""Artifacts on the whole pipeline: beside the final picture, in the receipt, kept by retention."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.outbox.retention import prune
from stylewatch_daemon.service.daemon import once
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Retention

ALL = {"losses.png", "progress.webp", "progress.gif", "sheet.png"}


def names(folder: Path) -> set[str]:
    """The files that a receipt names, each with the stated checksum."""
    receipt: dict[str, Any] = json.loads((folder / "receipt.json").read_bytes())
    for entry in receipt["files"]:
        digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["file"]
    return {entry["file"] for entry in receipt["files"]}


def test_every_job_has_its_artifacts_and_they_stay_when_stages_go(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    yaml = {"sea": "", "own": "artifacts: [sheet.png]", "flat": "flat: yes",
            "series": "{artifacts: [losses], sweep: {seed: [1, 2]}}"}  # fmt: skip
    for name, text in yaml.items():
        shutil.copytree(pictures, tmp_path / "in" / name)
        (tmp_path / "in" / name / "job.yaml").write_text(text)
    job = {"backend": "sketch", "recipe": "neural-style", "size": "24", "steps": 6,
           "save_every": 2, "artifacts": ["losses", "progress", "gif", "sheet"]}  # fmt: skip
    settings = make_settings(
        (make_inbox(tmp_path / "in", tmp_path / "out"),), tmp_path / "state", quiet_s=0.0,
        job=JobSettings.model_validate(job), free_bytes=0, batch=8,
    )  # fmt: skip
    assert once(settings).exit_code == 0
    out = tmp_path / "out"
    assert names(out / "sea") == {*ALL, "losses.csv", "final.png"}
    with Image.open(out / "sea/progress.webp") as film:
        assert film.size == (24, 18) and getattr(film, "n_frames", 1) > 2
    assert names(out / "own") == {"sheet.png", "losses.csv", "final.png"}
    assert names(out / "_jobs/flat") >= ALL
    for seed in (1, 2):
        assert {"losses.png", "losses.csv"} <= names(out / f"series/seed={seed}")
    assert not list((out / ".staging").rglob("*.png"))

    gone = {removed.name for removed in prune([out], Retention(stages=0, inputs=0))}
    assert {"0002.png", "content.jpg"} <= gone
    assert {path.name for path in (out / "sea").iterdir()} >= ALL
    state, report = ["--state", str(tmp_path / "state")], tmp_path / "report.html"
    assert call(["report", "sea", *state, "-o", str(report), "-q"]) == 0
    assert report.read_text(encoding="utf-8").count("data:image/jpeg;base64,") == 3
    assert capsys.readouterr().err == ""
