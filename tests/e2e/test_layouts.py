"""What the outbox has of a job: artifacts, finals, file modes, and what retention leaves."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.faults import fill, tree
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.app.daemon import once
from stylewatch_daemon.outbox import removal
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Retention

ARTIFACTS = {"losses.png", "progress.webp", "progress.gif", "sheet.png"}


def names(folder: Path) -> set[str]:
    """The files that a receipt names, each with the stated checksum."""
    receipt: dict[str, Any] = json.loads((folder / "receipt.json").read_bytes())
    for entry in receipt["files"]:
        digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["file"]
    return {entry["file"] for entry in receipt["files"]}


def test_jobs_have_their_artifacts_and_finals_and_they_stay_when_stages_go(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"sea": "", "trips/own": "artifacts: [sheet.png]"}.items():
        shutil.copytree(pictures, tmp_path / "in" / name)
        (tmp_path / "in" / name / "job.yaml").write_text(text)
    out, finals = tmp_path / "out", tmp_path / "finals"
    fill(finals, "sea.png")  # somebody else's
    inbox = make_inbox(tmp_path / "in", out).model_copy(update={"finals": finals})
    job = {"backend": "sketch", "recipe": "neural-style", "size": "24", "steps": 6,
           "save_every": 2, "artifacts": ["losses", "progress", "gif", "sheet"]}  # fmt: skip
    settings = make_settings(
        (inbox,), tmp_path / "state", quiet_s=0.0, job=JobSettings.model_validate(job),
        free_bytes=0,
    )  # fmt: skip
    assert once(settings).exit_code == 0
    assert names(out / "sea") == {*ARTIFACTS, "losses.csv", "final.png"}
    with Image.open(out / "sea/progress.webp") as film:
        assert film.size == (24, 18) and getattr(film, "n_frames", 1) > 2
    assert names(out / "trips/own") == {"sheet.png", "losses.csv", "final.png"}
    assert not list((out / ".staging").rglob("*.png"))
    assert tree(finals).keys() == {"sea.png", "sea-2.png", "trips/own.png"}
    assert (finals / "sea.png").read_text() == "sea.png"
    assert (finals / "sea-2.png").samefile(out / "sea/final.png")
    assert (finals / "trips/own.png").samefile(out / "trips/own/final.png")

    again = settings.model_copy(update={"retention": Retention(stages=0, inputs=0)})
    monkeypatch.setattr(removal, "cutoff", lambda days: "9999")
    assert once(again).exit_code == 0
    kept = {*names(out / "sea"), "receipt.json"}
    assert {path.name for path in (out / "sea").iterdir()} == kept
    assert (finals / "sea-2.png").exists()
