"""A job starts only where the disks have room for it, by what its recipe may write."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.daemon.disks import CAN_MOUNT, deep_tree, small_disk
from tests.daemon.world import make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import disk_space
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.outbox.disk_need import SLACK, check_job, most_pixels, need
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.worker import checkpoint
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Style, Task, Wish

MOST = 40_000_000


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
        ("devos", {"schedule.optimizer": {"kind": "lbfgs", "history": 2}}),
        ("gram", {"optimizer.history": 2}),
        ("best", {"optimizer.history": 2}),
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
    assert estimated / 4 - SLACK < written <= estimated


def test_textures_small_stages_deep_pictures_and_artifacts_count() -> None:
    wanted = recipe(size="640x480", steps=4, fit="within", enlarge=False)
    alone = JobSettings(only="style")
    assert need(wanted, MOST, content=(20, 20), settings=alone) == need(wanted, MOST)
    wanted = recipe(size="4000", steps=100, save_every=10)
    whole, small, deep, drawn = (
        need(wanted, MOST, settings=JobSettings.model_validate(values)).outbox
        for values in (
            {"stages": {"size": None}}, {"stages": {"size": 400}}, {"depth": 16},
            {"stages": {"size": None}, "artifacts": ["losses", "gif"]},
        )
    )  # fmt: skip
    assert small < whole / 5
    started = need(recipe(size="4000", steps=100, save_every=10, save_start=True), MOST)
    assert started.outbox / need(wanted, MOST).outbox == pytest.approx(13 / 12, abs=0.02)
    assert deep > 1.9 * need(wanted, MOST).outbox
    assert drawn - whole == 2 * (16 << 20)


def free_bytes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let every disk have so many bytes free."""
    real = os.statvfs

    def statvfs(path: Path) -> os.statvfs_result:
        seen = list(real(path))
        seen[1], seen[4] = 1, count  # f_frsize, f_bavail
        return os.statvfs_result(seen)

    monkeypatch.setattr(os, "statvfs", statvfs)


def test_needs_on_one_disk_are_added_and_the_reserve_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = [(tmp_path / "not" / "there", 600), (tmp_path, 400)]
    free_bytes(monkeypatch, 1500)
    disk_space.check(needs, 500)
    with pytest.raises(OutputError, match=r"1.5 kB free; .* 1.0 kB, .* 501 bytes: 1 bytes more"):
        disk_space.check(needs, 501)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, *[0] * 8]))
    disk_space.check([(tmp_path, 10**9)], 10**9)  # a disk that does not report its size


def test_files_that_a_job_has_written_already_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job").mkdir()
    settings = JobSettings(size="100", steps=4)
    service = make_settings((), tmp_path, free_bytes=0)
    content = File("content", "a.jpg", tmp_path / "a.jpg", Look(1, 10_000, 3), own=True)
    new = Journal("1", "job", tmp_path, tmp_path / "out", "archive", (content,))
    begun, folder = replace(new, place="job"), tmp_path / "job"
    wanted = need(settings.resolve(), MOST, 10_000)
    free_bytes(monkeypatch, wanted.outbox + wanted.state - 1)
    with pytest.raises(OutputError, match="1 bytes more must be free"):
        check_job(begun, folder, settings, service)
    (tmp_path / "out/job/stages").mkdir(parents=True)
    (tmp_path / "out/job/stages/1.png").write_bytes(b"x")
    check_job(begun, folder, settings, service)
    with pytest.raises(OutputError):
        check_job(new, folder, settings, service)
    (tmp_path / "job/checkpoint.npz").write_bytes(b"x")
    check_job(new, folder, settings, service)
    with deep_tree(tmp_path / "out/job/mine"):  # which others can make there
        check_job(begun, folder, settings, service)


@pytest.mark.parametrize("kib", [256] if CAN_MOUNT else [])
def test_each_disk_is_checked_by_itself(kib: int, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", kib) as small:
        assert disk_space.free(small / "not" / "there") == 256 << 10
        disk_space.check([(small, 200 << 10), (tmp_path, 200 << 10)], 0)
        with pytest.raises(OutputError, match="small has 262 kB free"):
            disk_space.check([(small, 200 << 10), (tmp_path, 1)], 100 << 10)


def test_a_size_beyond_a_limit_is_given_in_bytes_where_it_looks_like_the_limit() -> None:
    assert disk_space.excess(120_000, 100_000) == "is 120 kB; the limit is 100 kB"
    assert disk_space.excess(100_001, 100_000) == "is 100,001 bytes; the limit is 100,000 bytes"
