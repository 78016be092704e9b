"""The masks of an order decide what is painted where, and the receipt tells of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.worker.contract import Done, Order
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import read
from stylewatch_plugins.contract import Wish

TORCH: dict[str, Any] = {"backend": "torch", "size": 48, "steps": 6, "save_every": 3}
AT_ONCE: dict[str, Any] = {"scales": ()}


def half(folder: Path, name: str, size: tuple[int, int], *colors: str) -> Path:
    """A mask of two halves in these colors."""
    mask = Image.new("RGB", size, colors[0])
    mask.paste(colors[1], (size[0] // 2, 0, *size))
    mask.save(folder / name)
    return folder / name


def shown(given: Order, name: str = "final.png") -> NDArray[np.float64]:
    return np.asarray(Image.open(given.staging / name)).astype(np.float64)


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures, fields=AT_ONCE, **TORCH)


@pytest.fixture
def left(given: Order, tmp_path: Path) -> Order:
    """The left half of the photograph is to be painted."""
    mask = half(tmp_path, "content.mask.png", (48, 36), "white", "black")
    return replace(given, masks={"content-mask": mask})


def picture_of(given: Order) -> Path:
    assert given.content is not None
    return given.content


def asking(given: Order, **mask: object) -> Order:
    settings = given.settings.model_dump() | {"mask": mask}
    return replace(given, settings=type(given.settings).model_validate(settings))


def test_outside_of_the_mask_the_photograph_is_kept_to_the_level(left: Order) -> None:
    photograph = np.asarray(Image.open(picture_of(left))).astype(np.float64)
    kept = asking(left, outside="keep")
    painted(kept)
    for name in ("stages/0003.png", "stages/0006.png", "final.png"):
        away = np.abs(shown(kept, name) - photograph)
        assert away[:, 24:].max() == 0
        assert away[:, :24].mean() > 3


def test_a_final_picture_that_is_larger_than_its_stages_keeps_the_photograph_too(
    left: Order,
) -> None:
    """Also where its colors are the photograph's, which was painted in gray."""
    photograph = np.asarray(Image.open(picture_of(left))).astype(np.float64)
    more = {"stages": {"size": 24}, "color": "luminance", "depth": 16}
    settings = left.settings.model_dump() | more | {"mask": {"outside": "keep"}}
    kept = replace(left, settings=type(left.settings).model_validate(settings))
    painted(kept)
    final = read(kept.staging / "final.png").pixels
    assert np.abs(final - photograph)[:, 24:].max() < 0.003
    assert np.abs(final - photograph)[:, :24].mean() > 3


def test_what_is_free_moves_less_than_what_is_painted(left: Order) -> None:
    photograph = np.asarray(Image.open(picture_of(left))).astype(np.float64)
    painted(left)
    away = np.abs(shown(left) - photograph)
    assert away[:, 32:].max() > 0
    assert away[:, 32:].mean() < 0.5 * away[:, :16].mean()


def test_a_painting_that_was_stopped_goes_on_to_the_same_picture(left: Order) -> None:
    soft = asking(left, outside="keep", feather="10%")
    painted(soft)
    whole = shown(soft)
    painted(soft, Wish.GO_ON, Wish.GO_ON, Wish.STOP)
    assert np.array_equal(shown(soft), whole) or not (soft.staging / "final.png").exists()
    painted(soft)
    assert np.array_equal(shown(soft), whole)


@pytest.mark.parametrize("swapped", [False, True])
def test_each_half_takes_the_colors_of_its_own_region(
    given: Order, tmp_path: Path, *, swapped: bool
) -> None:
    """Of a gray photograph, by a style that is red in one half and blue in the other."""
    Image.new("RGB", (48, 36), "gray").save(tmp_path / "content.png")
    style = np.random.default_rng(0).integers(0, 40, (40, 40, 3)) + np.array([90, 10, 10])
    style[:, 20:] += np.array([-60, 110, 200])
    Image.fromarray(style.clip(0, 255).astype(np.uint8)).save(tmp_path / "style.png")
    colors = ("red", "blue")
    fields = {**AT_ONCE, "objective.content": None, "optimizer": {"kind": "adam", "rate": 8}}
    made = order(
        tmp_path / "regions", picture_of(given).parent, fields=fields, **TORCH | {"steps": 15}
    )
    regions = replace(
        made,
        content=tmp_path / "content.png",
        styles=(tmp_path / "style.png",),
        masks={
            "content-mask": half(tmp_path, "c.png", (48, 36), *colors),
            "style-1-mask": half(tmp_path, "s.png", (40, 40), *colors[:: -1 if swapped else 1]),
        },
    )
    end = painted(regions)[-1]
    assert isinstance(end, Done), end
    red_less_blue = (shown(regions)[..., 0] - shown(regions)[..., 2]).mean(axis=0)
    left, right = red_less_blue[:20].mean(), red_less_blue[28:].mean()
    assert (left > right + 20) != swapped
    assert (right > left + 20) == swapped


def test_feather_is_in_pixels_of_the_painting_whatever_the_size_of_the_mask(
    given: Order, tmp_path: Path
) -> None:
    for size in ((48, 36), (480, 360)):
        mask = half(tmp_path, "content.mask.png", size, "white", "black")
        soft = asking(replace(given, masks={"content-mask": mask}), feather=6)
        found = prepare(soft).task.content_mask
        assert found is not None
        assert found.shape == (36, 48, 1)
        inside = (found[18, :, 0] > 0.001) & (found[18, :, 0] < 0.999)
        assert 10 <= inside.sum() <= 13


def test_a_style_with_transparency_serves_each_of_several_regions(
    given: Order, tmp_path: Path
) -> None:
    mask = half(tmp_path, "content.mask.png", (48, 36), "red", "blue")
    style = Image.new("RGBA", (40, 40), (200, 30, 10, 255))
    style.paste((0, 0, 0, 0), (20, 0, 40, 40))
    style.save(tmp_path / "clear.png")
    styles = (tmp_path / "clear.png", *given.styles)
    two = replace(given, styles=styles, masks={"content-mask": mask})
    first, second = prepare(two).task.styles
    assert first.mask is not None and first.mask.shape == (40, 40, 2)
    assert first.mask.mean(axis=(0, 1)).tolist() == [0.5, 0.5]
    assert second.mask is None
    assert isinstance(painted(two)[-1], Done)


def test_a_styles_mask_is_as_fine_as_the_style_is_looked_at(given: Order, tmp_path: Path) -> None:
    """Beside a print that is at its last size, not at its first."""
    mask = half(tmp_path, "style.mask.png", (400, 320), "white", "black")
    sizes = {"size": "48", "style_size": "40", "enlarge": True}
    for preview, wide in ((None, 40), ("16", 120)):
        settings = given.settings.model_dump() | sizes | {"preview": preview}
        made = replace(given, settings=type(given.settings).model_validate(settings))
        (style,) = prepare(replace(made, masks={"style-1-mask": mask})).task.styles
        assert style.mask is not None and style.mask.shape[1] == wide


def test_of_the_content_alone_a_mask_says_nothing_but_what_is_kept(left: Order) -> None:
    settings = left.settings.model_dump() | {"only": "content"}
    alone = replace(left, settings=type(left.settings).model_validate(settings))
    with pytest.raises(SettingsError, match=r"content\.mask\.png says where styles act"):
        prepare(alone)
    photograph = np.asarray(Image.open(picture_of(left))).astype(np.float64)
    kept = asking(alone, outside="keep")
    painted(kept)
    away = np.abs(shown(kept) - photograph)
    assert away[:, 24:].max() == 0 and away[:, :24].mean() > 3


def test_the_receipt_names_the_masks_and_how_they_were_taken(left: Order) -> None:
    painted(asking(left, feather="2%"))
    told = receipt(left)
    assert [one["role"] for one in told["inputs"]] == ["content", "style-1", "content-mask"]
    assert told["inputs"][-1]["name"] == "content.mask.png"
    assert told["mask"] == {"feather": "2%", "outside": "free"}
    assert told["warnings"] == receipt(left)["recipe"]["notes"]


def test_without_masks_the_receipt_says_nothing_of_them(given: Order) -> None:
    painted(asking(given, outside="keep"))
    assert "mask" not in receipt(given)


def test_colors_that_are_not_used_are_told_in_a_warning(left: Order, tmp_path: Path) -> None:
    both = half(tmp_path, "style.mask.png", (40, 32), "white", "red")
    masks = {**left.masks, "style-1-mask": both}
    painted(replace(left, masks=masks))
    assert "style.mask.png: content.mask.png has no #ff0000" in receipt(left)["warnings"][-1]


def test_a_backend_that_looks_at_no_masks_is_no_choice(left: Order) -> None:
    sketch = left.settings.model_copy(update={"backend": "sketch"})
    with pytest.raises(SettingsError, match=r"content\.mask\.png: backend sketch does not look at"):
        prepare(replace(left, settings=sketch))


def test_a_mask_of_another_shape_is_refused(left: Order, tmp_path: Path) -> None:
    mask = half(tmp_path, "high.png", (36, 48), "white", "black")
    with pytest.raises(PictureError, match=r"high\.png has 36x48 pixels and content\.jpg 48x36"):
        prepare(replace(left, masks={"content-mask": mask}))


def test_a_masked_style_is_told_from_the_same_style_without(given: Order, tmp_path: Path) -> None:
    (plain,) = prepare(given).task.styles
    mask = half(tmp_path, "s.png", (40, 32), "white", "black")
    (masked,) = prepare(replace(given, masks={"style-1-mask": mask})).task.styles
    assert masked.mask is not None
    assert masked.digest != plain.digest


def test_what_is_clear_in_a_masked_style_counts_no_more_than_before(
    left: Order, tmp_path: Path
) -> None:
    """Its right half is transparent, its lower half is masked out: a quarter is left."""
    style = Image.new("RGBA", (40, 40), (200, 30, 10, 255))
    style.paste((0, 0, 0, 0), (20, 0, 40, 40))
    style.save(tmp_path / "clear.png")
    mask = Image.new("L", (40, 40), 255)
    mask.paste(0, (0, 20, 40, 40))
    mask.save(tmp_path / "clear.mask.png")
    masks = {**left.masks, "style-1-mask": tmp_path / "clear.mask.png"}
    found = prepare(replace(left, styles=(tmp_path / "clear.png",), masks=masks)).task.styles[0]
    assert found.mask is not None
    assert found.mask.mean() == pytest.approx(0.25, abs=0.02)
