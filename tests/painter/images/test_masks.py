"""Mask pictures become regions, in one order for all masks of a painting."""

import numpy as np
import pytest
from tests.painter.images.test_mask_colors import BLUE, GREEN, RED, painted, through

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.masks import BLACK, WHITE, Mask, check_shape, matched, unused


def mask(*colors: tuple[int, int, int], name: str = "content.mask.png") -> Mask:
    return Mask.of(name, painted(*colors).astype(np.float32))


def test_of_grays_the_lighter_belongs_the_more() -> None:
    weights = mask(BLACK, (51, 51, 51), WHITE).weights((WHITE,), (120, 120))
    assert weights.shape == (120, 120, 1)
    assert weights.dtype == np.float32
    assert weights[0, [10, 60, 110], 0].tolist() == pytest.approx([0, 0.2, 1])


def test_each_color_is_a_region_in_the_order_asked_for() -> None:
    found = mask(RED, BLACK, BLUE)
    assert found.weights((BLUE, RED), (120, 120))[0, [10, 60, 110]].tolist() == [
        [0, 1], [0, 0], [1, 0]
    ]  # fmt: skip
    assert found.weights((GREEN, RED), (120, 120))[..., 0].max() == 0


def test_what_lies_between_colors_belongs_to_the_nearest() -> None:
    noisy = Mask.of("m.jpg", through(painted(RED, BLUE), quality=70).astype(np.float32))
    weights = noisy.weights((RED, BLUE), (120, 120))
    assert np.array_equal(weights.sum(axis=2), np.ones((120, 120)))
    assert weights[:, :56, 0].min() == weights[:, 64:, 1].min() == 1


def test_a_mask_is_made_smaller_but_never_larger() -> None:
    found = mask(RED, BLUE)
    small = found.weights((RED, BLUE), (30, 30))
    assert small.shape == (30, 30, 2)
    assert small.sum(axis=2) == pytest.approx(np.ones((30, 30)))
    assert found.weights((RED,), (500, 500)).shape == (120, 120, 1)


def test_what_is_half_transparent_belongs_half() -> None:
    """Hidden colors are those nearby, and a gray that is half seen is half of that gray."""
    alpha = np.full((120, 120), 0.5, dtype=np.float32)
    for level, wanted in ((255.0, 0.5), (102.0, 0.2)):
        gray = np.full((120, 120, 3), level, dtype=np.float32)
        weights = Mask.of("m.png", gray, alpha).weights((WHITE,), (120, 120))
        assert weights.mean() == pytest.approx(wanted, abs=0.01)


def test_a_mask_that_is_black_or_has_too_many_colors_is_refused() -> None:
    with pytest.raises(PictureError, match=r"content\.mask\.png is black all over"):
        mask(BLACK)
    many = [(85 * (n % 4), 85 * (n // 4 % 4), 85 * (n // 16)) for n in range(64)]
    with pytest.raises(PictureError, match="more than 16 colors: paint each region in one flat"):
        Mask.of("m.png", painted(*many, side=640).astype(np.float32))


def test_regions_are_the_colors_of_the_contents_mask() -> None:
    content = mask(RED, BLUE)
    assert matched(content, [mask((237, 28, 36), (10, 0, 250))]) == content.colors
    assert matched(content, [mask(RED), mask(BLUE)]) == content.colors
    assert matched(content, [mask(RED), None]) == content.colors
    assert matched(content, []) == content.colors
    assert matched(None, [None]) == matched(None, [mask(RED), mask(WHITE)]) == (WHITE,)


def test_a_region_without_any_style_is_refused_with_its_color() -> None:
    with pytest.raises(PictureError, match=r"t\.mask\.png has the color #ff0000, and s\.png"):
        matched(mask(RED, BLUE), [mask(BLUE, name="s.png")])


def test_colors_of_a_style_need_a_mask_of_the_content() -> None:
    with pytest.raises(PictureError, match=r"s\.png has 2 colors, and the content has no mask"):
        matched(None, [None, mask(RED, BLUE, name="s.png")])


def test_what_is_not_used_of_a_style_is_told() -> None:
    (told,) = unused(mask(RED), [None, mask(RED), mask(RED, BLUE, name="s.png")])
    assert told == ("s.png: content.mask.png has no #0000ff, so that nothing is taken from there")


@pytest.mark.parametrize("size", [(300, 400), (400, 310), (400, 400), (133, 103)])
def test_a_mask_of_another_shape_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match=r"m\.png has .* and content\.jpg 400x300, which is ano"):
        check_shape("m.png", size, "content.jpg", (400, 300))
