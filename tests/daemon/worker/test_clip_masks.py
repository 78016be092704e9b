"""A mask of the content that is a clip: regions of each frame, refusals, the painted clip."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import files, painted, receipt, with_settings
from tests.daemon.worker.test_paint_clip import (
    COUNT,
    CUT,
    SIZE,
    clip_order,
    clip_painter,
    continued,
    damaged,
    lossless,
    recorded,
    shown,
    stopped,
    view,
)
from tests.painter.films import film as write_film
from tests.painter.images.test_clip import animation

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.worker import paint_scene, regions, run_job
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.paint_clip import ClipPainter
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.regions import MaskFrames
from stylewatch_painter.algorithm.task import Prior
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import clip
from stylewatch_painter.images.clip import ClipLimits, Frame
from stylewatch_painter.images.masks import WHITE
from stylewatch_painter.stage import Bytes, Regions, go_on

LIMITS = ClipLimits(10_000, 100, 60)
WIDE = 16
"""Columns of the region that moves."""


def moving(number: int, color: tuple[int, int, int] = WHITE) -> Bytes:
    """A mask (32, 48, 3) whose region moves by four columns a frame."""
    mask = np.zeros((*SIZE[::-1], 3), np.uint8)
    mask[:, 4 * number : 4 * number + WIDE] = color
    return mask


def with_mask(given: Order, mask: Path) -> Order:
    return replace(given, masks={"content-mask": mask})


def regions_of(painter: ClipPainter, number: int) -> Regions:
    """The mask of the task for a frame."""
    weights = painter.job.still(view(0).astype(np.float32), number).content_mask
    assert weights is not None
    return weights


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    """An order for a clip and its mask, whose region moves."""
    film = lossless(tmp_path / "film.mkv", [view(number) for number in range(COUNT)])
    mask = lossless(tmp_path / "mask.mkv", [moving(number) for number in range(COUNT)])
    return with_mask(clip_order(tmp_path / "job", pictures, film), mask)


def test_each_frame_is_painted_in_its_own_region(given: Order) -> None:
    painted(given := with_settings(given, mask=given.settings.mask.model_copy(
        update={"outside": "keep"})))  # fmt: skip
    for number, frame in enumerate(shown(given.staging / "final.mkv")):
        changed = np.abs(frame.astype(int) - view(number)).mean(axis=(0, 2))
        inside = np.zeros(SIZE[0], np.bool_)
        inside[4 * number : 4 * number + WIDE] = True
        assert changed[~inside].max() <= 1, number
        assert changed[inside].mean() > 5, number
    record = receipt(given)
    assert [(file["role"], file["name"]) for file in record["inputs"]][-1] == (
        "content-mask", "mask.mkv"
    )  # fmt: skip
    assert record["mask"] == {"feather": "0", "outside": "keep"}


def test_edges_are_soft_in_each_frame(given: Order) -> None:
    soft = given.settings.mask.model_copy(update={"feather": "4"})
    painter = clip_painter(with_settings(given, mask=soft))
    for number in (0, 5):
        edge = regions_of(painter, number)[0, 4 * number + WIDE - 4 : 4 * number + WIDE + 4, 0]
        assert (np.diff(edge) < 0).all() and 0.4 < edge[3:5].mean() < 0.6


@pytest.mark.parametrize("at", [2, CUT, COUNT - 1])
def test_stopped_it_continues_with_the_mask_of_the_next_frame(
    at: int, given: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paint_scene, "SEGMENT", 3)
    monkeypatch.setattr(run_job, "CHECKPOINT_COST", 0)
    (tmp_path / "whole/staging").mkdir(parents=True)
    whole = replace(given, staging=tmp_path / "whole/staging", checkpoint=tmp_path / "whole/c.npz")
    painted(whole)
    step = stopped(given, after=COUNT + at * 3)
    assert 0 < step < COUNT and continued(given) == step
    assert files(given)["final.mkv"] == files(whole)["final.mkv"]


@pytest.mark.parametrize("changed", ["clip", "mask"])
def test_with_another_clip_or_mask_it_starts_anew(
    changed: str, given: Order, tmp_path: Path
) -> None:
    assert stopped(given, after=COUNT + 9) > 0
    other = lossless(tmp_path / "other.mkv", [moving(0)] * COUNT)
    given = with_mask(given, other) if changed == "mask" else replace(given, content=other)
    assert continued(given) == 0


def test_a_color_that_appears_late_is_a_region_of_the_whole_clip(
    given: Order, tmp_path: Path
) -> None:
    """Also where a compression has blurred the colors."""
    frames = [moving(number, (220, 30, 30)) for number in range(COUNT)]
    frames[CUT][:, :12] = (30, 60, 220)
    mask = write_film(tmp_path / "mask.mp4", frames=frames, options={"crf": "28"})
    painter = clip_painter(with_mask(given, mask))
    for number in range(COUNT):
        weights = regions_of(painter, number)
        assert weights.shape == (*SIZE[::-1], 2)
        shares = weights.mean(axis=(0, 1))
        wide = min(WIDE, SIZE[0] - 4 * number)
        assert shares == pytest.approx([12 / 48 * (number == CUT), wide / 48], abs=0.03), number


def test_frames_without_a_region_get_no_style(
    given: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporal loss is about as heavy in a region that comes or grows later."""
    dark = np.zeros_like(moving(0))
    film = lossless(tmp_path / "still.mkv", [view(0)] * 4)
    tasks = recorded(monkeypatch)
    units = {}
    narrow = moving(2)
    narrow[:, 9:] = 0
    for name, masks in {
        "late": [dark, dark, moving(2), moving(2)],
        "narrow": [narrow, *[moving(2)] * 3],
        "all": [moving(2)] * 4,
    }.items():
        mask = lossless(tmp_path / f"{name}.mkv", masks)
        painter = clip_painter(with_mask(replace(given, content=film), mask))
        tasks.clear()
        assert all(np.isfinite(step.losses.total) for step in painter.paint(go_on, go_on))
        priors = [task.prior for task in tasks]
        units[name] = [prior.unit for prior in priors if isinstance(prior, Prior)]
    assert units["late"][:2] == [0, 0]
    for unit in (units["late"][2], *units["narrow"]):
        assert 0.5 < unit / units["all"][0] < 4


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (range(COUNT - 1), "mask.mkv has 7 frames and film.mkv 8: a mask that is a clip has a"),
        (range(COUNT + 1), "mask.mkv has 9 frames and film.mkv 8"),
        (range(1), "mask.mkv has 1 frames and film.mkv 8"),
        ([20] * COUNT, "mask.mkv is black all over"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(
    frames: list[int], sentence: str, given: Order, tmp_path: Path
) -> None:
    mask = lossless(tmp_path / "mask.mkv", [moving(number) for number in frames])
    with pytest.raises(PictureError, match=sentence):
        prepare(with_mask(given, mask))


def test_other_shapes_pictures_with_clips_and_clips_of_styles_are_refused(
    given: Order, tmp_path: Path, pictures: Path
) -> None:
    wide = lossless(tmp_path / "wide.mkv", [moving(0)[:16]] * COUNT)
    with pytest.raises(PictureError, match=r"wide\.mkv has 48x16 pixels and film\.mkv 48x32"):
        prepare(with_mask(given, wide))
    gif = animation(tmp_path / "mask.gif", COUNT)
    for order, sentence in (
        (replace(with_mask(given, gif), content=pictures / "content.jpg"),
         r"mask\.gif is a clip, and content\.jpg is used as a picture: give it a picture as mask"),
        (replace(given, masks={"style-1-mask": gif}), r"mask\.gif is a clip, and style\.jpg is"),
    ):  # fmt: skip
        with pytest.raises(PictureError, match=sentence):
            prepare(order)
    with pytest.raises(SettingsError, match=r"mask\.mkv: backend sketch does not look at masks"):
        prepare(with_settings(given, backend="sketch"))


def test_transparent_parts_are_in_no_region(given: Order, tmp_path: Path) -> None:
    clear = [np.full((*SIZE[::-1], 4), 255, np.uint8) for _ in range(COUNT)]
    for number, frame in enumerate(clear):
        frame[..., 3] = moving(number)[..., 0]
    images = [Image.fromarray(frame) for frame in clear]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], lossless=True)
    movie = write_film(tmp_path / "a.mov", "qtrle", frames=clear, pix_fmt="argb")
    for mask in (tmp_path / "a.webp", movie):
        prepared = prepare(with_mask(given, mask))
        assert prepared.inputs[-1].converted[-1] == "transparent parts laid over black"
        assert prepared.clip is not None
        weights = regions_of(prepared.clip, 3)
        assert weights[0, :, 0] == pytest.approx(moving(3)[0, :, 0] / 255)


def test_damaged_frames_show_the_one_before(given: Order, tmp_path: Path) -> None:
    mask = damaged(tmp_path / "mask.mov", [moving(number) for number in range(COUNT)])
    prepared = prepare(with_mask(given, mask))
    assert prepared.regions.warnings == (
        "damaged frames of mask.mov, which show the one before: 1",
    )
    assert prepared.regions.content_mask is not None
    for number, wide in ((1, 1), (2, 1), (3, 3)):
        weights = prepared.regions.content_mask(number)
        np.testing.assert_array_equal(weights[..., 0], moving(wide)[..., 0] / np.float32(255))


def test_frames_are_decoded_once_in_rising_order_and_kept_for_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "SEGMENT", 3)
    path = lossless(tmp_path / "mask.mkv", [moving(number) for number in range(COUNT)])
    frames = MaskFrames(path, LIMITS, 32)
    read, opened = clip.frames, list[int]()

    def noted(path: Path, limits: ClipLimits, first: int, mask_side: int) -> Iterator[Frame]:
        opened.append(first)
        return read(path, limits, first, mask_side)

    monkeypatch.setattr(clip, "frames", noted)
    for number in (0, 1, 2, 2, 1, 0, 3, 4, 3, 2, 6, 7, 1):
        np.testing.assert_array_equal(frames.at(number).pixels, moving(number))
    assert opened == [6, 1]


def test_a_long_mask_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    most = []
    for count in (60, 240):
        path = lossless(tmp_path / f"{count}.mkv", [moving(n % 8) for n in range(count)])
        tracemalloc.start()
        frames = MaskFrames(path, ClipLimits(10_000, 1000, 60), 32)
        for number in range(count):
            frames.at(number)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 1.3 * most[0]


def test_of_a_large_mask_pixels_are_picked(tmp_path: Path) -> None:
    frames = [np.repeat(np.repeat(moving(number), 5, 0), 5, 1) for number in range(3)]
    path = lossless(tmp_path / "mask.mkv", frames)
    mask = MaskFrames(path, ClipLimits(100_000, 100, 60), 24).at(2)
    np.testing.assert_array_equal(mask.pixels, moving(2))
