"""All controls in one job, which is repeated from its receipt.

The job is a print of a picture with transparency, in two regions, one with a style that has
transparency too, with the content's colors, kept outside, smoothed, averaged, in tiles, in 16 bits.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.app.daemon import once
from stylewatch_daemon.cli.main import call

JOB: Mapping[str, Any] = {
    "backend": "torch", "size": 48, "preview": 24, "steps": 2, "save_every": 1,
    "style_weights": [1, 2], "style_size": ["50%", "40"],
    "color": "content", "mask": {"feather": "4%", "outside": "keep"},
    "depth": 16,
    "set": {
        "scales": [], "upscale_steps": 2, "ema_decay": 0.5,
        "objective.network": {"padding": "reflect", "pool_edge": "ceil"},
        "objective.tv": {"loss": "nine_point", "weight": 0.1}, "objective.neighbors.largest": 40,
    },
}  # fmt: skip
EXACT: Mapping[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1, "tile": 24}


@pytest.fixture
def pair(pictures: Path) -> Path:
    """A folder with content.png, style-1.jpg, style-2.png and masks; the right third is black."""
    content = Image.open(pictures / "content.jpg").convert("RGBA")
    content.paste((0, 0, 0, 0), (0, 0, 48, 6))
    content.save(pictures / "content.png")
    style = Image.open(pictures / "style.jpg").convert("RGBA")
    style.paste((255, 0, 0, 0), (0, 0, 20, 32))
    style.save(pictures / "style-2.png")
    (pictures / "style.jpg").rename(pictures / "style-1.jpg")
    mask = np.zeros((36, 48, 3), dtype=np.uint8)
    mask[:, :16] = (255, 0, 0)
    mask[:, 16:32] = (0, 0, 255)
    Image.fromarray(mask).save(pictures / "content.mask.png")
    Image.new("RGB", (40, 32), "red").save(pictures / "style-1.mask.png")
    (pictures / "content.jpg").unlink()
    return pictures


def test_a_job_with_all_controls_is_the_same_once_it_is_repeated(
    tmp_path: Path, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pair, tmp_path / "inbox/sea")
    (tmp_path / "inbox/sea/job.yaml").write_text(yaml.safe_dump(dict(JOB)))
    inboxes = (make_inbox(tmp_path / "inbox", tmp_path / "outbox"),)
    settings = make_settings(
        inboxes, tmp_path / "state", quiet_s=0.0, backends={"torch": EXACT}, free_bytes=0
    )
    assert once(settings).exit_code == 0
    job, again = tmp_path / "outbox/sea", tmp_path / "again"
    exact = {key: value for key, value in EXACT.items() if key != "tile"}
    config = {"job": {"depth": 8, "format": "jpg"}, "backends": {"torch": exact}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    render = ["render", "--from", "outbox/sea", "-o", "again/", "--quiet"]
    assert call([*render, "--config", "config.yaml"]) == 0
    decided = json.loads((again / "receipt.json").read_bytes())["attempts"][-1]["decided"]
    assert decided["tile"] == EXACT["tile"]
    for name in ("final.png", "stages/0003.png"):
        assert (again / name).read_bytes() == (job / name).read_bytes()
