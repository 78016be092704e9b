"""Masks of a job, from their files to the task of the backend."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.worker.orders import with_settings

from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import prepare


def mask_file(folder: Path, name: str, size: tuple[int, int], *colors: str) -> Path:
    """A mask of two halves in these colors."""
    mask = Image.new("RGB", size, colors[0])
    mask.paste(colors[1], (size[0] // 2, 0, *size))
    mask.save(folder / name)
    return folder / name


@pytest.fixture
def left(given: Order, tmp_path: Path) -> Order:
    """The left half of the photograph has a style."""
    mask = mask_file(tmp_path, "content.mask.png", (48, 36), "white", "black")
    return replace(with_settings(given, backend="torch"), masks={"content-mask": mask})


def test_a_mask_and_the_transparency_of_a_style_say_together_what_counts(
    left: Order, tmp_path: Path
) -> None:
    style = Image.new("RGBA", (40, 40), (200, 30, 10, 255))
    style.paste((0, 0, 0, 0), (20, 0, 40, 40))
    style.save(tmp_path / "clear.png")
    regions = mask_file(tmp_path, "regions.png", (48, 36), "red", "blue")
    styles = (tmp_path / "clear.png", *left.styles)
    prepared = prepare(replace(left, styles=styles, masks={"content-mask": regions}))
    first, second = prepared.task.styles
    assert first.mask is not None and first.mask.shape == (40, 40, 2)
    assert first.mask.mean(axis=(0, 1)).tolist() == [0.5, 0.5]
    assert second.mask is None
    lower = Image.new("L", (40, 40), 255)
    lower.paste(0, (0, 20, 40, 40))
    lower.save(tmp_path / "lower.png")
    masks = {**left.masks, "style-1-mask": tmp_path / "lower.png"}
    prepared = prepare(replace(left, styles=styles[:1], masks=masks))
    (quarter,) = prepared.task.styles
    assert quarter.mask is not None
    assert quarter.mask.mean() == pytest.approx(0.25, abs=0.02)
    names = [record.name for record in prepared.inputs]
    assert names == ["content.jpg", "clear.png", "content.mask.png", "lower.png"]
