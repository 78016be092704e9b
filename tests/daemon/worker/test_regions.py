"""Masks of a job, from their files to the final picture and the receipt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.errors import PictureError

TORCH: dict[str, Any] = {"backend": "torch", "size": 48, "steps": 6, "save_every": 3}


def mask_file(folder: Path, name: str, size: tuple[int, int], *colors: str) -> Path:
    """A mask of two halves in these colors."""
    mask = Image.new("RGB", size, colors[0])
    mask.paste(colors[1], (size[0] // 2, 0, *size))
    mask.save(folder / name)
    return folder / name


def output(given: Order, name: str = "final.png") -> NDArray[np.float64]:
    return np.asarray(Image.open(given.staging / name)).astype(np.float64)


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures, fields={"scales": ()}, **TORCH)


@pytest.fixture
def left(given: Order, tmp_path: Path) -> Order:
    """The left half of the photograph has a style."""
    mask = mask_file(tmp_path, "content.mask.png", (48, 36), "white", "black")
    return replace(given, masks={"content-mask": mask})


@pytest.fixture
def photograph(given: Order) -> NDArray[np.float64]:
    return np.asarray(Image.open(given.main)).astype(np.float64)


def with_settings(given: Order, **settings: Any) -> Order:
    changed = given.settings.model_dump() | settings
    return replace(given, settings=type(given.settings).model_validate(changed))


def test_a_free_region_changes_less_and_the_receipt_has_the_masks(
    left: Order, photograph: NDArray[np.float64]
) -> None:
    painted(with_settings(left, mask={"feather": "2%"}))
    difference = np.abs(output(left) - photograph)
    assert difference[:, 32:].max() > 0
    assert difference[:, 32:].mean() < 0.5 * difference[:, :16].mean()
    record = receipt(left)
    assert [file["role"] for file in record["inputs"]] == ["content", "style-1", "content-mask"]
    assert record["inputs"][-1]["name"] == "content.mask.png"
    assert record["mask"] == {"feather": "2%", "outside": "free"}
    assert record["warnings"] == record["recipe"]["notes"]


def test_transparent_pixels_of_a_style_count_in_no_region(
    given: Order, left: Order, tmp_path: Path
) -> None:
    style = Image.new("RGBA", (40, 40), (200, 30, 10, 255))
    style.paste((0, 0, 0, 0), (20, 0, 40, 40))
    style.save(tmp_path / "clear.png")
    regions = mask_file(tmp_path, "regions.png", (48, 36), "red", "blue")
    styles = (tmp_path / "clear.png", *given.styles)
    two = replace(given, styles=styles, masks={"content-mask": regions})
    first, second = prepare(two).task.styles
    assert first.mask is not None and first.mask.shape == (40, 40, 2)
    assert first.mask.mean(axis=(0, 1)).tolist() == [0.5, 0.5]
    assert second.mask is None
    lower = Image.new("L", (40, 40), 255)
    lower.paste(0, (0, 20, 40, 40))
    lower.save(tmp_path / "lower.png")
    masks = {**left.masks, "style-1-mask": tmp_path / "lower.png"}
    (quarter,) = prepare(replace(left, styles=styles[:1], masks=masks)).task.styles
    assert quarter.mask is not None
    assert quarter.mask.mean() == pytest.approx(0.25, abs=0.02)


def test_masks_without_effect_and_of_another_shape_are_refused(left: Order, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"content\.mask\.png says where styles act"):
        prepare(with_settings(left, only="content"))
    with pytest.raises(SettingsError, match=r"content\.mask\.png: backend sketch does not look at"):
        prepare(with_settings(left, backend="sketch"))
    mask = mask_file(tmp_path, "high.png", (36, 48), "white", "black")
    with pytest.raises(PictureError, match=r"high\.png has 36x48 pixels and content\.jpg 48x36"):
        prepare(replace(left, masks={"content-mask": mask}))
