"""From an order to a task: pictures read, styles weighed, mistakes reported before the work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import with_settings

from stylewatch_daemon.base.model import CONTENT_MASK, MASK
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.images.color import Spread, gray, lightness
from stylewatch_painter.size import Size


def test_styles_have_names_weights_and_sizes(given: Order) -> None:
    several = replace(given, styles=(given.styles[0],) * 2)
    plain = prepare(several)
    assert [(style.name, style.weight) for style in plain.task.styles] == [
        ("style-1", 1), ("style-2", 1),
    ]  # fmt: skip
    prepared = prepare(with_settings(several, style_weights=(3.0, 1.0), style_size=("16", "50%")))
    assert [(style.weight, style.size, style.scale) for style in prepared.task.styles] == [
        (3, "16", 1.0), (1, None, 0.5),
    ]  # fmt: skip
    assert [record.weight for record in prepared.inputs] == [None, 3, 1]
    whole, first, second = plain.inputs[2], *prepared.inputs[1:]
    assert whole.seen is not None and first.seen is not None and second.seen is not None
    assert max(first.seen) == 16
    assert second.seen[0] == pytest.approx(whole.seen[0] / 2, abs=1)


def test_the_style_of_a_print_is_seen_in_the_size_of_its_last_scale(given: Order) -> None:
    changes = {"scales": [], "style_size": "area", "upscale_steps": 1}
    preview = with_settings(given, size="20", set=changes)
    large = with_settings(given, size="40", preview="20", set=changes)
    small_size, large_size = (prepare(each).inputs[1].seen for each in (preview, large))
    assert small_size is not None and large_size == Size(*small_size).times(2)


def test_an_init_picture_is_the_start_unless_the_settings_say_otherwise(given: Order) -> None:
    init = replace(given, init=given.styles[0])
    prepared = prepare(init)
    assert prepared.task.init is not None and prepared.task.init.shape == (30, 40, 3)
    assert prepared.inputs[-1].converted == ("cropped to 40x30, the shape of the photograph",)
    assert (prepared.inputs[-1].role, prepared.inputs[-1].name) == ("init", "style.jpg")
    for changed, start in (
        (init, "picture"),
        (with_settings(init, init="noise"), "noise"),
        (with_settings(init, set={"schedule.start": "noise"}), "noise"),
        (with_settings(given, init="style"), "style"),
    ):
        assert prepare(changed).task.recipe.schedule.start == start


def test_transparency_of_the_content_is_kept_and_that_of_a_style_does_not_count(
    given: Order, pictures: Path
) -> None:
    Image.new("RGBA", (20, 10), (10, 20, 30, 51)).save(pictures / "clear.png")
    clear = pictures / "clear.png"
    prepared = prepare(replace(given, content=clear, styles=(clear,)))
    content = prepared.output.content
    assert content is not None and content.alpha is not None and content.alpha.shape == (10, 20)
    assert prepared.inputs[0].converted
    mask = prepared.task.styles[0].mask
    assert mask is not None and np.allclose(mask, 0.2)
    opaque = prepare(given)
    assert opaque.output.content is not None and opaque.output.content.alpha is None
    assert opaque.task.styles[0].mask is None


def test_doubts_about_a_mask_are_told(given: Order, pictures: Path) -> None:
    left = np.zeros((30, 40), np.uint8)
    left[:, :20] = 255
    Image.fromarray(left).save(pictures / "mask.jpg", quality=98)
    data = (pictures / "mask.jpg").read_bytes()
    (pictures / "mask.jpg").write_bytes(data[:-2] + bytes(300) + data[-2:])
    masked = replace(given, masks={CONTENT_MASK: pictures / "mask.jpg"})
    prepared = prepare(with_settings(masked, backend="torch", device="cpu"))
    assert any("mask.jpg may be damaged" in each for each in prepared.of_masks)


def test_a_mask_of_one_region_is_not_doubted(given: Order, pictures: Path) -> None:
    """The whole style serves the red region of the photograph (docs/regions.md)."""
    with Image.open(given.styles[0]) as style:
        Image.new("RGB", style.size, (255, 0, 0)).save(pictures / "style.mask.png")
    halves = np.zeros((30, 40, 3), np.uint8)
    halves[:, :20, 0] = 255
    Image.fromarray(halves).save(pictures / "content.mask.png")
    masks = {CONTENT_MASK: pictures / "content.mask.png",
             f"style-1{MASK}": pictures / "style.mask.png"}  # fmt: skip
    masked = replace(given, masks=masks)
    assert prepare(with_settings(masked, backend="torch", device="cpu")).of_masks == ()


def test_by_color_styles_are_gray_or_recolored(given: Order) -> None:
    plain, match = prepare(given), prepare(with_settings(given, color="match"))
    assert not np.allclose(match.task.styles[0].picture, plain.task.styles[0].picture, atol=5)
    assert match.inputs[1].sha256 == plain.inputs[1].sha256
    assert match.inputs[1].converted[-1].startswith("recolored by mean and covariance")
    grays = prepare(replace(with_settings(given, color="luminance"), init=given.styles[0]))
    for pixels in (grays.task.content, grays.task.init, grays.task.styles[0].picture):
        assert pixels is not None and np.ptp(pixels, axis=2).max() == 0
    assert grays.inputs[1].converted[-1].startswith("reduced to its lightness")


@pytest.mark.parametrize("color", ["match", "luminance"])
def test_colors_are_those_of_the_parts_that_masks_select(
    given: Order, pictures: Path, color: str
) -> None:
    draw = np.random.default_rng(0)
    sheet = draw.integers(0, 90, (30, 40, 3), np.uint8)
    sheet[:, 20:] += np.array([130, 60, 0], np.uint8)
    right = np.zeros((30, 40), np.uint8)
    right[:, 20:] = 255
    for name, pixels in (("left", right[:, ::-1]), ("right", right), ("sheet", sheet)):
        Image.fromarray(pixels).save(pictures / f"{name}.png")
    masks = {CONTENT_MASK: pictures / "left.png", f"style-1{MASK}": pictures / "right.png"}
    order = replace(
        with_settings(given, color=color, backend="torch", device="cpu"),
        content=pictures / "sheet.png", styles=(pictures / "sheet.png",), masks=masks,
    )  # fmt: skip
    task = prepare(order).task
    assert task.content is not None
    seen = Spread.of(task.styles[0].picture[:, 20:])
    content = sheet[:, :20].astype(np.float32)
    wanted = Spread.of(content if color == "match" else gray(lightness(content)))
    np.testing.assert_allclose(seen.mean, wanted.mean, atol=0.01)
    np.testing.assert_allclose(seen.covariance, wanted.covariance, atol=2e-3)


def test_a_large_content_is_decoded_at_a_fraction_and_sizes_are_those_of_the_file(
    given: Order, tmp_path: Path
) -> None:
    image = Image.new("RGB", (8000, 5200))  # black, blue at the right, and red below
    image.paste((0, 0, 255), (4000, 0, 8000, 2600))
    image.paste((255, 0, 0), (0, 2600, 8000, 5200))
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / "content.jpg"
    image.save(path, exif=turned)
    prepared = prepare(replace(with_settings(given, size="333"), content=path))
    content, record = prepared.task.content, prepared.inputs[0]
    assert prepared.task.final == (216, 333), "the ratio of 5200x8000"
    assert content is not None and content.shape == (1000, 650, 3)
    assert record.size == (5200, 8000)
    assert record.converted[-1] == "decoded at 1/8 of 5200x8000 pixels"
    assert np.abs(content[100, 100] - (254, 0, 0)).max() < 3
    assert np.abs(content[900, 600] - (0, 0, 254)).max() < 3
