"""An album with `learn: true`, by real processes: learned once, then painted."""

import json
from hashlib import sha256
from pathlib import Path
from shutil import copy

import pytest
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.app import learner
from stylewatch_daemon.app.daemon import once
from stylewatch_learned import learned_style


def test_an_album_is_learned_and_painted(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner, "LEARN", "tests.learned.examples:learn_in_short")
    monkeypatch.setattr(learner, "STEADY_S", 1.0)
    album = tmp_path / "in/album"
    album.mkdir(parents=True)
    copy(pictures / "style.jpg", album / "style.jpg")
    for name in ("one", "two"):
        copy(pictures / "content.jpg", album / f"{name}.jpg")
    (album / "job.yaml").write_text("learn: true\nsize: 64\n")
    inboxes = [make_inbox(tmp_path / "in", tmp_path / "out")]
    limits = {"quiet_s": 0.0, "learn_minutes": 0.01}
    summary = once(make_settings(inboxes, tmp_path / "state", **limits))
    assert summary.exit_code == 0
    digest = sha256((pictures / "style.jpg").read_bytes()).hexdigest()
    learned = learned_style.of(digest, "style")
    for name in ("one", "two"):
        receipt = json.loads((tmp_path / f"out/album/{name}/receipt.json").read_text())
        assert receipt["weights"]["sha256"] == learned.sha256
        assert receipt["settings"]["learn"] and receipt["settings"]["backend"] == "learned"
    learned.path.unlink()
