"""Mask pictures become regions, in one order for all masks of a painting."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tests.painter.files import decoded, saved

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.masks import (
    BLACK,
    WHITE,
    Mask,
    feathered,
    kept_outside,
    matched,
    near,
    regions_of,
    unused,
)
from stylewatch_painter.size import Size


def mask(*colors: tuple[int, int, int], name: str = "content.mask.png") -> Mask:
    return Mask.of(name, painted(*colors).astype(np.float32))


def test_gray_values_and_transparency_are_weights() -> None:
    """A gray pixel with an alpha of one half has half of its weight."""
    weights = mask(BLACK, (51, 51, 51), WHITE).weights((WHITE,), Size(120, 120))
    assert weights[0, [10, 60, 110], 0].tolist() == pytest.approx([0, 0.2, 1])
    alpha = np.full((120, 120), 0.5, dtype=np.float32)
    for level, wanted in ((255.0, 0.5), (102.0, 0.2)):
        gray = np.full((120, 120, 3), level, dtype=np.float32)
        weights = Mask.of("m.png", gray, alpha).weights((WHITE,), Size(120, 120))
        assert weights.mean() == pytest.approx(wanted, abs=0.01)


def test_colors_are_regions_in_requested_order_and_shrunk_but_not_enlarged() -> None:
    regions = mask(RED, BLACK, BLUE)
    weights = regions.weights((BLUE, RED), Size(120, 120))
    assert weights[0, [10, 60, 110]].tolist() == [[0, 1], [0, 0], [1, 0]]
    assert regions.weights((GREEN, RED), Size(120, 120))[..., 0].max() == 0
    content, style = mask((200, 0, 0), (249, 0, 0)), mask((201, 0, 0), (251, 0, 0))
    weights = style.weights(content.colors, Size(120, 120))
    assert weights[0, [10, 110]].tolist() == [[1, 0], [0, 1]]  # to the nearest color
    halves = mask(RED, BLUE)
    assert halves.weights((RED, BLUE), Size(30, 30)).sum(axis=2) == pytest.approx(np.ones((30, 30)))
    assert halves.weights((RED,), Size(500, 500)).shape == (120, 120, 1)


def test_regions_are_the_content_colors() -> None:
    content = mask(RED, BLUE)
    assert matched(content, [mask((237, 28, 36), (10, 0, 250))]) == content.colors
    assert matched(content, [mask(RED), mask(BLUE)]) == content.colors
    assert matched(content, [mask(RED), None]) == content.colors
    assert matched(content, []) == content.colors
    assert matched(None, [None]) == matched(None, [mask(RED), mask(WHITE)]) == (WHITE,)


def test_masks_that_do_not_match_or_show_nothing_are_refused() -> None:
    with pytest.raises(PictureError, match=r"t\.mask\.png has the color #ff0000, and s\.png"):
        matched(mask(RED, BLUE), [mask(BLUE, name="s.png")])
    with pytest.raises(PictureError, match=r"s\.png has 2 colors, and the content has no mask"):
        matched(None, [None, mask(RED, BLUE, name="s.png")])
    with pytest.raises(PictureError, match=r"content\.mask\.png is black all over"):
        mask(BLACK)
    noise = np.random.default_rng(1).integers(0, 256, (90, 120, 1)).repeat(3, 2)
    checkered = (np.indices((90, 120)).sum(0) % 2 * 255)[..., None] * np.array([1, 0, 1])
    for values in (noise, checkered):
        with pytest.raises(PictureError, match="has no area of one color: paint each region"):
            Mask.of("m.png", values.astype(np.float32))
    many = [(85 * (n % 4), 85 * (n // 4 % 4), 85 * (n // 16)) for n in range(64)]
    with pytest.raises(PictureError, match="more than 16 colors: paint each region in one flat"):
        Mask.of("m.png", painted(*many, side=640).astype(np.float32))
    (sentence,) = unused(mask(RED), [None, mask(RED), mask(RED, BLUE, name="s.png")])
    assert sentence == "s.png: content.mask.png has no #0000ff, so nothing is taken from there"


RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def painted(*colors: tuple[int, int, int], side: int = 120) -> NDArray[np.uint8]:
    """Upright bands of these colors."""
    bands = np.zeros((side, side, 3), dtype=np.uint8)
    for number, color in enumerate(colors):
        bands[:, number * side // len(colors) :] = color
    return bands


def test_noise_soft_edges_and_specks_make_no_colors() -> None:
    plain = painted(RED, GREEN, BLUE, BLACK)
    speckled = plain.copy()
    speckled[60:62, 60:62] = (0, 200, 200)
    soft = np.asarray(Image.fromarray(plain).filter(ImageFilter.GaussianBlur(1.5)))
    noisy = decoded(saved(Image.fromarray(plain), "JPEG", quality=60)).pixels
    for pixels in (plain, noisy.astype(np.uint8), soft, speckled):
        colors = regions_of(np.asarray(pixels))
        assert len(colors) == 3
        assert all(any(near(color, other) for other in colors) for color in (RED, GREEN, BLUE))
    assert regions_of(painted(WHITE, RED)) == tuple(sorted((WHITE, RED)))


def test_noisy_regions_are_found_beside_an_even_speck() -> None:
    """No exact color of the noise is as frequent as that of the speck."""
    random = np.random.default_rng(0)
    noisy = painted((215, 60, 60), (60, 60, 215), side=500) + random.integers(
        -12, 13, (500, 500, 3)
    )
    noisy[250:260, 250:260] = (0, 255, 0)
    red, blue = regions_of(noisy.astype(np.uint8))[::-1]
    assert near(red, (215, 60, 60)) and near(blue, (60, 60, 215))


def test_values_are_clipped_before_a_painting_and_a_photograph_are_mixed() -> None:
    dark, light = (np.full((4, 4, 3), level, np.float32) for level in (-100, 200))
    half = np.full((4, 4, 1), 0.5, np.float32)
    assert kept_outside(dark, light, half) == pytest.approx(100 * np.ones((4, 4, 3)))


def test_feather_reaches_to_both_sides() -> None:
    left = np.zeros((9, 60, 1), dtype=np.float32)
    left[:, :30] = 1
    middles = np.arange(60) + 0.5 - 30
    for reach in (3, 6.5):
        row = feathered(left, reach)[4, :, 0]
        assert (row[middles <= -reach - 0.5] == 1).all()
        assert row[middles >= reach + 0.5] == pytest.approx(0, abs=1e-6)
        assert (np.diff(row[np.abs(middles) < reach - 0.5]) < 0).all()
        assert row + row[::-1] == pytest.approx(np.ones(60), abs=1e-6)


def test_a_small_mask_has_hard_edges() -> None:
    dark, light = np.zeros((64, 64, 3), np.float32), np.full((64, 64, 3), 200, np.float32)
    half = np.zeros((8, 8, 1), np.float32)
    half[:, :4] = 1
    assert set(np.unique(kept_outside(dark, light, half))) == {0, 200}
