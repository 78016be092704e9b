"""A job begins only if the disks have room for what it will write, and not for much more."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ByteSize
from tests.daemon.disks import deep_tree

from stylewatch_daemon.base.errors import FullError
from stylewatch_daemon.base.model import CHECKPOINT, Input, Job
from stylewatch_daemon.outbox.disk_need import check_job, most_pixels, need
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Limits
from stylewatch_daemon.worker import checkpoint
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Style, Task, Wish

MOST = 40_000_000
SERVICE = ServiceSettings().model_copy(update={"limits": Limits(free_bytes=ByteSize(0))})


def recipe(name: str = "devos", **changes: object) -> Recipe:
    return book.change(book.find(name), changes)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [("640", 640**2), ("640x480", 640 * 480), ("0.25mp", 250_000), ("x400", 4 * 400**2),
     ("300x", 4 * 300**2), ("300-short", 4 * 300**2)],
)  # fmt: skip
def test_the_size_setting_limits_the_pixels(size: str, pixels: float) -> None:
    assert most_pixels(recipe(size=size).schedule) == pixels
    assert need(recipe(size="6400"), 1000) == need(recipe(size="640"), 1000)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gram", {"optimizer.history": 2}),
        ("best", {"optimizer.history": 9}),
        ("nnst", {"scales": [{"scale": 1, "steps": 5}], "steps": 1}),
        ("strotss", {}),
        ("pastiche", {"ema_decay": 0.9}),
    ],
)
def test_a_checkpoint_takes_at_most_what_was_estimated(
    name: str, changes: Mapping[str, object], tmp_path: Path
) -> None:
    wanted = recipe(name, **{"size": "128", "steps": 5, "scales": (), **changes})
    picture = np.random.default_rng(7).uniform(0, 255, (128, 128, 3)).astype(np.float32)
    task = Task(wanted, picture, (Style(picture[::-1].copy(), name="style-1"),))
    torch = registry.load("torch", {"threads": 1})
    for step in torch.paint(task, lambda: Wish.CHECKPOINT):
        assert step.checkpoint is not None
        checkpoint.save(tmp_path / f"{step.step}.npz", checkpoint.Snapshot(step.checkpoint, {}))
    written = max(file.stat().st_size for file in tmp_path.iterdir())
    estimated = need(wanted, MOST).state / 2
    assert 0.4 * estimated < written <= estimated


def test_textures_stages_deep_pictures_artifacts_and_frames_count() -> None:
    wanted = recipe(size="640x480", steps=4, fit="within", enlarge=False)
    alone = JobSettings(only="style")
    assert need(wanted, MOST, content=(20, 20), settings=alone) == need(wanted, MOST)

    def outbox(recipe: Recipe, frames: int = 1, **values: Any) -> int:
        settings = JobSettings.model_validate(values)
        return need(recipe, MOST, settings=settings, frames=frames).outbox

    wanted = recipe(size="4000", steps=100, save_every=10)
    whole = outbox(wanted)
    assert outbox(wanted, stages={"size": 400}) < outbox(wanted, stages={"size": None}) / 5
    started = recipe(size="4000", steps=100, save_every=10, save_start=True)
    assert outbox(started) / whole == pytest.approx(13 / 12, abs=0.02)
    assert outbox(wanted, depth=16) > 1.9 * whole
    assert outbox(wanted, artifacts=["sheet", "gif"]) == whole + (32 << 20)
    clips = [outbox(wanted, frames) for frames in (10, 1000)]
    assert clips[1] - clips[0] >= 2 * 990 * 4000**2, "a clip is joined of its segments"


def free_bytes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let every disk have so many bytes free."""
    real = os.statvfs

    def statvfs(path: Path) -> os.statvfs_result:
        seen = list(real(path))
        seen[1], seen[4] = 1, count  # f_frsize, f_bavail
        return os.statvfs_result(seen)

    monkeypatch.setattr(os, "statvfs", statvfs)


def test_files_that_a_job_has_written_already_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job").mkdir()
    settings = JobSettings(size="100", steps=4)
    new = Job("1", "job", str(tmp_path), str(tmp_path / "out"), "then")
    begun, folder = replace(new, place="job"), tmp_path / "job"
    wanted = need(settings.resolve(), MOST, 10_000)
    free_bytes(monkeypatch, wanted.outbox + wanted.state - 1)
    with pytest.raises(FullError, match="1 bytes more must be free"):
        check_job(begun, 10_000, folder, settings, SERVICE)
    (tmp_path / "out/job/stages").mkdir(parents=True)
    (tmp_path / "out/job/stages/1.png").write_bytes(b"x")
    check_job(begun, 10_000, folder, settings, SERVICE)
    with pytest.raises(FullError):
        check_job(new, 10_000, folder, settings, SERVICE)
    (tmp_path / "job" / CHECKPOINT).write_bytes(b"x")
    check_job(new, 10_000, folder, settings, SERVICE)
    with deep_tree(tmp_path / "out/job/mine"):  # which others can make there
        check_job(begun, 10_000, folder, settings, SERVICE)


def test_a_small_picture_that_is_enlarged_needs_room_and_the_reason_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = Input("content", "a.png", "a.png", 100, pixels=(64, 48))
    job = Job("1", "job", str(tmp_path), str(tmp_path), "then", inputs=(content,))
    free_bytes(monkeypatch, 3_000_000)
    with pytest.raises(FullError, match="set a smaller `size`: this one makes it 640x480 pixels"):
        check_job(job, 100, tmp_path, JobSettings(recipe="devos"), SERVICE)
    with pytest.raises(FullError, match=r"must be free$"):
        check_job(job, 100, tmp_path, JobSettings(recipe="devos", only="style"), SERVICE)
    check_job(job, 100, tmp_path, JobSettings(recipe="gram"), SERVICE)
