"""A job begins only where the disks have room for it, by what its recipe may write."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests.daemon.disks import CAN_MOUNT, deep_tree, small_disk
from tests.daemon.world import make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import disk_space
from stylewatch_daemon.model import Job
from stylewatch_daemon.outbox.disk_need import SLACK, Need, check_job, most_pixels, need
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker import checkpoint
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Style, Task, Wish

MOST = 40_000_000


def recipe(**changes: object) -> Recipe:
    return book.change(book.find("devos"), changes)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [("640", 640**2), ("640x480", 640 * 480), ("0.25mp", 250_000), ("x400", 4 * 400**2),
     ("300x", 4 * 300**2)],
)  # fmt: skip
def test_the_rule_for_the_size_bounds_the_pixels(size: str, pixels: float) -> None:
    assert most_pixels(recipe(size=size).schedule) == pixels


def test_no_painting_is_reckoned_larger_than_any_may_be() -> None:
    wanted = [need(recipe(size=size), 1000) for size in ("640", "6400")]
    assert wanted[0] == wanted[1]


def test_an_average_is_kept_in_the_checkpoint_and_reckoned_with() -> None:
    """As many floats as the picture has, in each of the two that may lie there."""
    plain, averaged = (need(recipe(size="64x64", ema_decay=a), MOST) for a in (0.0, 0.9))
    assert averaged.state - plain.state == 2 * 64 * 64 * 3 * 4
    assert averaged.outbox == plain.outbox


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [({"kind": "adam"}, 3), ({"kind": "sgd", "rate": 1e-9}, 3),
     ({"kind": "lbfgs", "history": 4}, 3), ({"kind": "lbfgs", "history": 2}, 5)],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_takes_what_was_reckoned_and_not_much_less(
    optimizer: dict[str, object], steps: int, tmp_path: Path
) -> None:
    wanted = recipe(size="64", steps=steps, **{"schedule.optimizer": optimizer, "scales": ()})
    picture = np.random.default_rng(7).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    task = Task(wanted, picture, (Style(picture[::-1].copy(), name="style-1"),))
    torch = registry.load("torch", {"threads": 1})
    for step in torch.paint(task, lambda: Wish.CHECKPOINT):
        assert step.checkpoint is not None
        checkpoint.save(tmp_path / "checkpoint.npz", checkpoint.Snapshot(step.checkpoint, {}))
    written = (tmp_path / "checkpoint.npz").stat().st_size
    reckoned = need(wanted, MOST).state / 2
    assert reckoned / 4 - SLACK < written <= reckoned


def test_stages_and_inputs_are_reckoned_as_if_nothing_made_them_smaller() -> None:
    few, many = (need(recipe(size="100", steps=40, save_every=n), MOST) for n in (40, 10))
    assert many.outbox - few.outbox == 3 * (100 * 100 * 3 + SLACK)
    assert need(recipe(size="100", steps=40, save_every=40), MOST, 500) == Need(
        few.outbox + 500, few.state
    )


def test_a_content_of_known_size_is_reckoned_with_as_it_is() -> None:
    wanted = recipe(size="100", steps=40, save_every=40)
    small, large = (need(wanted, MOST, content=size) for size in ((50, 20), (900, 400)))
    assert large.outbox - small.outbox == 3 * 3 * (100 * 44 - 100 * 40)
    assert small.state < large.state < need(wanted, MOST).state


def test_the_steps_of_a_print_are_reckoned_with() -> None:
    """After those of its preview: five at each of two sizes, where the content's size is known."""
    plain = {"size": "400", "steps": 20, "save_every": 5, "upscale_steps": 5}
    for_all = [need(recipe(**plain), MOST, content=(800, 800)).outbox]
    for told in ({"preview": "100"}, {"stroke": 4}):
        for_all.append(need(recipe(**plain, **told), MOST, content=(800, 800)).outbox)
    stages = 2 * (400 * 400 * 3 + SLACK)
    assert for_all[1] - for_all[0] == for_all[2] - for_all[0] == stages + 10 * 1024
    unknown = [need(recipe(**plain, preview=one), MOST).outbox for one in (None, "100")]
    assert unknown[1] - unknown[0] > stages


def test_a_preview_of_another_shape_is_for_whoever_paints_it_to_tell() -> None:
    odd = recipe(size="400x400", preview="100x50", fit="stretch", steps=20)
    plain = recipe(size="400x400", fit="stretch", steps=20)
    assert need(odd, MOST, content=(800, 800)) == need(plain, MOST, content=(800, 800))


def test_a_texture_is_as_large_as_is_asked_whatever_the_picture() -> None:
    wanted = recipe(size="640x480", steps=4, fit="within", enlarge=False)
    alone = JobSettings(only="style")
    assert need(wanted, MOST, content=(20, 20), settings=alone) == need(wanted, MOST)


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
    with pytest.raises(OutputError, match=r"1.5 kB free; .* 1.0 kB, .* 501 bytes: .* 1 bytes more"):
        disk_space.check(needs, 501)


def test_what_a_job_has_written_already_need_not_be_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job").mkdir()
    settings = JobSettings(size="100", steps=4)
    service = make_settings((), tmp_path, free_bytes=0)
    job = Job("1", "job", tmp_path / "job", tmp_path / "out", tmp_path / "content.jpg", (),
              archived=10_000)  # fmt: skip
    wanted = need(settings.resolve(), MOST, 10_000)
    free_bytes(monkeypatch, wanted.outbox + wanted.state - 1)
    with pytest.raises(OutputError, match="once 1 bytes more are free"):
        check_job(job, "job", settings, service)
    (tmp_path / "out" / "job" / "stages").mkdir(parents=True)
    (tmp_path / "out" / "job" / "stages" / "1.png").write_bytes(b"x")
    check_job(job, "job", settings, service)
    with pytest.raises(OutputError):
        check_job(job, None, settings, service)
    (tmp_path / "job" / "checkpoint.npz").write_bytes(b"x")
    check_job(job, None, settings, service)
    with deep_tree(tmp_path / "out/job/mine"):  # which others can make there
        check_job(job, "job", settings, service)


@pytest.mark.parametrize("disk", ["tmpfs" if CAN_MOUNT else "the test's own"])
def test_each_disk_is_asked_for_itself(disk: str, tmp_path: Path) -> None:
    if disk == "tmpfs":
        with small_disk(tmp_path / "small", 256) as small:
            assert disk_space.free(small / "not" / "there") == 256 << 10
            disk_space.check([(small, 200 << 10), (tmp_path, 200 << 10)], 0)
            with pytest.raises(OutputError, match="small has 262 kB free"):
                disk_space.check([(small, 200 << 10), (tmp_path, 1)], 100 << 10)
    else:
        assert disk_space.free(tmp_path) > 0


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_340_000, "2.3 MB"), (12e6, "12 MB"),
     (5.04e9, "5.0 GB")],
)  # fmt: skip
def test_bytes_are_told_as_people_say_them(count: float, told: str) -> None:
    assert disk_space.amount(count) == told


def test_a_disk_that_does_not_tell_its_size_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, *[0] * 8]))
    assert disk_space.free(tmp_path) > 10**12
    disk_space.check([(tmp_path, 10**9)], 10**9)


def test_stages_count_as_large_as_they_may_be_and_deep_pictures_twice() -> None:
    wanted = recipe(size="4000", steps=100, save_every=10)
    whole, small, deep = (
        need(wanted, MOST, settings=JobSettings.model_validate(said)).outbox
        for said in ({"stages": {"size": None}}, {"stages": {"size": 400}}, {"depth": 16})
    )
    assert small < whole / 5
    assert deep > 1.9 * need(wanted, MOST).outbox


def test_each_keepsake_is_reckoned_with() -> None:
    wanted = recipe(size="400", steps=10)
    none, two = (
        need(wanted, MOST, settings=JobSettings.model_validate({"artifacts": said})).outbox
        for said in ([], ["losses", "gif"])
    )
    assert two - none == 2 * (16 << 20)
