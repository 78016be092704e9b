"""Pictures in the size and units of a recipe, and the start."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import Array

from stylewatch_daemon.worker.regions import divided
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.images.color import with_matched_chroma
from stylewatch_painter.images.grain import with_grain_of
from stylewatch_painter.images.resize import resize
from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.recipes.book import change
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.task import Prior, Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Plane, Regions

WHOLE, HALF = Size(small.WIDTH, small.HEIGHT), Size(10, 9)


def canvas(task: Task) -> Canvas:
    red, green, blue = small.MEAN.ravel().tolist()
    return Canvas(task, (red, green, blue), torch.device("cpu"))


def corrected(made: Canvas, u: torch.Tensor) -> Pixels:
    """The picture that is shown for u."""
    return made.finished(made.painting(u))


def start_of(name: str, changes: dict[str, Any] | None = None, **task: Any) -> Array:
    """The start of a recipe in network units, (3, height, width)."""
    return small.array(canvas(replace(small.task(name, changes), **task)).start(WHOLE))


def test_recipe_starts_as_its_source() -> None:
    """Standard normal noise, pixel after pixel, around the mean that is subtracted."""
    draw = np.random.Generator(np.random.PCG64(5)).standard_normal((small.HEIGHT, small.WIDTH, 3))
    table: list[tuple[str, dict[str, Any], float, float]] = [
        ("gram", {}, 0, 1),
        ("devos", {}, 0, 1),
        ("devos", {"noise_ratio": 0.3}, 0.3, 0.7),
        ("gatys", {}, 30, 0),
        ("neural-style", {}, 0.001, 0),
        ("neural-style", {"start": "content"}, 0, 1),
    ]
    for name, changes, of_noise, of_content in table:
        content = small.in_network_units(small.picture(0), name)
        expected = of_noise * draw.transpose(2, 0, 1) + of_content * content
        np.testing.assert_allclose(start_of(name, changes, seed=5), expected, rtol=1e-5, atol=1e-4)


def test_start_from_style_or_picture_or_the_color_of_the_styles() -> None:
    """Pictures are resized to the painting; the color is the weighted mean of the styles, 1 : 3."""
    init = small.picture(9, 2 * small.WIDTH, 2 * small.HEIGHT)
    from_init = start_of("gram", {"start": "picture", "resample": "nearest"}, init=init)
    np.testing.assert_allclose(from_init + small.MEAN, small.plain(init)[:, 1::2, 1::2], atol=1e-4)
    style = start_of("gram", {"start": "style"})
    np.testing.assert_allclose(style + small.MEAN, small.plain(small.picture(1)), atol=1e-4)
    made = replace(small.task("gram", {"start": "style_color"}, styles=2), content=None)
    first, second = (small.plain(style.picture).mean((1, 2)) for style in made.styles)
    color = ((first + 3 * second) / 4 - small.MEAN.ravel())[:, None, None]
    flat = small.array(canvas(made).start(WHOLE))
    np.testing.assert_allclose(flat, np.broadcast_to(color, flat.shape), rtol=1e-4)
    with pytest.raises(RecipeError, match="style_color needs a style picture"):
        canvas(replace(made, content=small.picture(0), styles=())).start(WHOLE)


LARGE = np.broadcast_to(np.float32(200), (3000, 4000, 3))
HALVES = np.repeat(np.array([40, 80, 120, 160], np.float32), 10)[:, None] * np.ones((30, 1, 3))


@pytest.mark.parametrize(
    ("picture", "mask", "mean"),
    [
        (LARGE, None, 200),
        (HALVES, None, 100),
        (HALVES, np.array([[0, 1]]), 140),
        (HALVES, np.array([[[0.5, 0.5], [0, 0]]]), 60),
        (HALVES, np.zeros((1, 2)), 100),
    ],
)
def test_color_of_a_style_is_the_mean_of_what_its_mask_shows(
    picture: Array, mask: Array | None, mean: float
) -> None:
    """Also of a large picture, and of all of it if the mask shows nothing."""
    shown = None if mask is None else np.repeat(mask, 20, axis=1).astype(np.float32)
    style = Style(picture.astype(np.float32, copy=False), mask=shown)
    made = canvas(replace(small.task("strotss"), content=None, styles=(style,)))
    np.testing.assert_allclose(made.pixels(made.start(HALF)), mean, rtol=1e-3)


def enlarged_halves(task: Task) -> tuple[Canvas, torch.Tensor, torch.Tensor]:
    """A canvas, its content at half size, made brighter, and in full."""
    made = canvas(task)
    large, half = made.content(WHOLE), made.content(HALF)
    assert large is not None and half is not None
    return made, half + 7, large + 7


def test_enlarging_keeps_content_detail() -> None:
    """A painting that changed nothing is then the content in full; without, it is blurred.

    A stage of a small painting has the fine detail of what it starts from. With a prior only the
    change is enlarged, however fine the start is and whatever `keep_detail` says.
    """
    for share in (1.0, 0.0):
        made, half, large = enlarged_halves(small.task("gram", {"keep_detail": share}))
        error = float((made.enlarged(half, WHOLE) - large).abs().max())
        assert error < 1e-4 if share else error > 10
    for start in ("content", "noise"):
        made, half, large = enlarged_halves(
            small.task("best", {"start": start, "match_grain": False})
        )
        error = float(np.abs(corrected(made, half) - made.pixels(large)).max())
        assert error < 1e-3 if start == "content" else error > 10
    prior = Prior(small.picture(4), np.ones((2, 2), np.float32), 1.0)
    task = small.task("gram", {"start": "picture", "keep_detail": 0})
    made = canvas(replace(task, init=small.picture(3), prior=prior))
    large, half = made.start(WHOLE), made.start(HALF)
    assert (made.enlarged(half + 7, WHOLE) - 7 - large).abs().max() < 1e-4


def test_enlarging_keeps_detail_by_the_share_of_the_content() -> None:
    """By blend, 1 - s (1 - `keep_detail`) of it; the style's share s is 0.4 / 0.8."""
    for keep, share in ((0, 0.5), (0.5, 0.75), (1, 1)):
        task = small.task("best", {"strength": 0.4, "keep_detail": keep})
        made, half, _ = enlarged_halves(task)
        none, all_ = (made.enlarged(half, WHOLE, of) for of in (0, 1))
        error = float((made.enlarged(half, WHOLE) - torch.lerp(none, all_, share)).abs().max())
        assert error < 1e-3


def test_prints_have_no_aliases_of_fine_detail() -> None:
    """Enlarged by two, a wave of 0.3 cycles per pixel has 0.15, and its alias 0.35.

    The filter of the scales before a print leaves an alias.
    """
    at = np.arange(120)
    wave = np.broadcast_to(np.cos(0.6 * np.pi * at[:60])[:, None], (50, 60, 3)).astype(np.float32)
    larger = {"size": "120x100", "fit": "stretch", "enlarge": True}
    aliases = []
    for changes in (larger, {**larger, "preview": "60x50"}):
        made = canvas(small.task("gram", changes))
        row = made.pixels(made.enlarged(made.units(wave), Size(120, 100)))[50, :, 0]
        waves = np.exp(-2j * np.pi * np.outer((0.15, 0.35), at)) @ (row * np.hanning(120))
        aliases.append(abs(waves[1] / waves[0]))
    of_scale, of_print = aliases
    assert of_print < 0.2 * of_scale


def test_finished_picture_has_matched_chroma_where_the_recipe_says_so() -> None:
    """The styles are in the size in which they are painted."""
    made = replace(
        small.task("nnst", {"style_size": "8"}, styles=2), content=small.picture(5, 40, 30)
    )
    here = canvas(made)
    u = here.start(made.final)
    styles = [Weighted(resize(each.picture, made.style_size(each))) for each in made.styles]
    expected = with_matched_chroma(
        here.pixels(u), resize(small.picture(5, 40, 30), made.final), styles
    )
    np.testing.assert_array_equal(corrected(here, u), expected)
    off = canvas(replace(made, recipe=change(made.recipe, {"match_chroma": False})))
    np.testing.assert_array_equal(corrected(off, u), here.pixels(u))


def test_finished_picture_has_no_more_grain_than_the_style_as_it_is_painted() -> None:
    """With strength 0 it is the content."""
    made = small.task("best", {"style_size": "8", "strength": 0.4})
    here = canvas(made)
    u = here.start(made.final)
    style = resize(made.styles[0].picture, made.style_size(made.styles[0]))
    pixels = here.pixels(u)
    expected = with_grain_of(pixels, [([Weighted(style)], np.ones(pixels.shape[:2], np.float32))])
    assert np.abs(expected - pixels).max() > 10
    np.testing.assert_array_equal(corrected(here, u), expected)
    photograph = canvas(small.task("best", {"style_size": "8", "strength": 0}))
    np.testing.assert_array_equal(corrected(photograph, u), pixels)


def ink_task(*colored: bool, **changes: Any) -> Task:
    """A task of `best` whose styles are drawn in one ink, except the `colored` ones."""
    made = small.task("best", {"match_grain": False, **changes}, styles=len(colored))
    gray = [style.picture.mean(axis=2, keepdims=True).repeat(3, axis=2) for style in made.styles]
    styles = zip(made.styles, gray, colored, strict=True)
    return replace(
        made,
        styles=tuple(each if has else replace(each, picture=own) for each, own, has in styles),
    )


def colorfulness(pixels: Pixels) -> float:
    return float(np.ptp(pixels, axis=2).max())


def test_finished_picture_has_the_colors_of_styles_drawn_in_one_ink() -> None:
    for made, is_gray in (
        (ink_task(False), True),
        (ink_task(False, False), True),
        (ink_task(True), False),
        (ink_task(False, True), False),
        (ink_task(False, one_ink=False), False),
        (replace(ink_task(False), styles=()), False),
    ):
        here = canvas(made)
        u = here.start(made.final)
        assert (colorfulness(corrected(here, u)) < 3) is is_gray
        if not is_gray:
            np.testing.assert_array_equal(corrected(here, u), here.pixels(u))


def test_with_less_strength_less_of_the_color_is_that_of_the_ink() -> None:
    content = small.picture(0)
    colors = []
    for strength in (0, 0.2, 0.4):
        here = canvas(ink_task(False, strength=strength))
        colors.append(colorfulness(corrected(here, here.start(WHOLE))))
    assert colors[0] == colorfulness(content) and colors[2] < 3
    assert colors[1] == pytest.approx(colors[0] / 2, rel=0.05)


def test_only_the_regions_of_styles_drawn_in_one_ink_get_its_colors() -> None:
    made = ink_task(False, True)
    mask = np.zeros((small.HEIGHT, small.WIDTH, 2), np.float32)
    mask[:, :7, 0] = mask[:, 7:14, 1] = 1
    one, other = np.zeros_like(mask), np.zeros_like(mask)
    one[..., 0] = other[..., 1] = 1
    styles = tuple(
        replace(style, mask=own) for style, own in zip(made.styles, (one, other), strict=True)
    )
    here = canvas(replace(made, content_mask=mask, styles=styles))
    u = here.start(made.final)
    finished, pixels = corrected(here, u), here.pixels(u)
    assert colorfulness(finished[:, :7]) < 3
    np.testing.assert_array_equal(finished[:, 7:], pixels[:, 7:])


INSET = slice(4, 14), slice(5, 17)


def inset() -> Plane:
    """Return the mask of a part in the middle of a picture."""
    mask = np.zeros((small.HEIGHT, small.WIDTH), np.float32)
    mask[INSET] = 1
    return mask


def with_inset(made: Task, picture: Pixels, mask: Regions | None = None) -> Task:
    """Return a task whose style has a part of `picture` in its middle, which its mask selects."""
    (style,) = made.styles
    sheet = style.picture.copy()
    sheet[INSET] = picture[INSET]
    mask = inset() if mask is None else mask
    return replace(made, styles=(replace(style, picture=sheet, mask=mask),))


def test_only_the_part_of_a_style_that_its_mask_selects_is_drawn_in_one_ink() -> None:
    gray, colored = ink_task(False), ink_task(True)
    for made, is_gray in (
        (with_inset(gray, colored.styles[0].picture), False),
        (with_inset(colored, gray.styles[0].picture), True),
    ):
        here = canvas(made)
        u = here.start(made.final)
        assert (colorfulness(corrected(here, u)) < 3) is is_gray
        if not is_gray:
            np.testing.assert_array_equal(corrected(here, u), here.pixels(u))


def test_each_region_follows_the_ink_of_its_part_of_a_style() -> None:
    made = with_inset(
        ink_task(True),
        ink_task(False).styles[0].picture,
        np.stack([inset(), 1 - inset()], axis=2),
    )
    mask = np.zeros((small.HEIGHT, small.WIDTH, 2), np.float32)
    mask[:, :7, 0] = mask[:, 7:, 1] = 1
    here = canvas(replace(made, content_mask=mask))
    u = here.start(made.final)
    finished = corrected(here, u)
    assert colorfulness(finished[:, :7]) < 3
    np.testing.assert_array_equal(finished[:, 7:], here.pixels(u)[:, 7:])


def test_finished_picture_has_the_grain_of_the_part_that_a_mask_selects() -> None:
    even = np.full((small.HEIGHT, small.WIDTH, 3), (90, 120, 160), np.float32)
    grainy = small.task("best", {"one_ink": False})
    flat = replace(grainy, styles=(replace(grainy.styles[0], picture=even),))
    for made in (with_inset(grainy, even), with_inset(flat, 0.5 * small.picture(7))):
        here = canvas(made)
        u = here.start(made.final)
        pixels = here.pixels(u)
        part = Weighted(made.styles[0].picture[INSET][1:-1, 1:-1])
        expected = with_grain_of(pixels, [([part], np.ones(pixels.shape[:2], np.float32))])
        assert np.abs(expected - pixels).max() > 10
        np.testing.assert_allclose(corrected(here, u), expected, atol=1e-3)


def test_finished_picture_has_the_chroma_of_the_part_that_a_mask_selects() -> None:
    made = with_inset(small.task("nnst"), 0.3 * small.picture(7) + 90)
    here = canvas(made)
    u = here.start(made.final)
    assert made.content is not None
    part = Weighted(made.styles[0].picture[INSET][1:-1, 1:-1])
    expected = with_matched_chroma(here.pixels(u), made.content, [part])
    np.testing.assert_allclose(corrected(here, u), expected, atol=0.01)


@pytest.mark.parametrize("drawn", [True, False], ids=["ink", "grain"])
def test_two_regions_of_a_frame_that_follow_the_same_look_like_one(drawn: bool) -> None:
    """The new and the old pixels in a frame of a clip are such regions."""
    made = ink_task(False) if drawn else small.task("best", {"style_size": "8"})
    content = small.picture(0)
    content[:, :9] = 0.5 * content[:, :9] + 64  # of less grain where it is old
    made = replace(made, content=content)
    part = np.zeros((small.HEIGHT, small.WIDTH), np.float32)
    part[:] = np.linspace(0, 1, small.WIDTH)
    for whole in (made, with_inset(made, 0.5 * made.styles[0].picture)):
        u = canvas(whole).start(made.final)
        expected = corrected(canvas(whole), u)
        assert np.abs(expected - canvas(whole).pixels(u)).max() > 10
        in_two = canvas(divided(whole, part))
        np.testing.assert_allclose(corrected(in_two, u), expected, atol=0.1)


def test_the_order_of_regions_does_not_count() -> None:
    made = small.task("best", {"style_size": "8", "one_ink": False}, styles=2)
    soft = np.linspace(0, 1, small.WIDTH, dtype=np.float32)
    mask = np.stack([soft, 1 - soft], axis=1)[None].repeat(small.HEIGHT, axis=0)
    one, other = (np.zeros_like(mask) for _ in range(2))
    one[..., 0] = other[..., 1] = 1
    masks = (one, other)
    styles = [replace(style, mask=each) for style, each in zip(made.styles, masks, strict=True)]
    turned = [
        replace(style, mask=style.mask[..., ::-1]) for style in styles if style.mask is not None
    ]
    pictures = []
    for content_mask, given in ((mask, styles), (mask[..., ::-1], turned)):
        here = canvas(replace(made, content_mask=content_mask, styles=tuple(given)))
        u = here.start(made.final)
        pictures.append(corrected(here, u))
    assert np.abs(pictures[0] - here.pixels(u)).max() > 10
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-3)


def test_without_a_mask_is_as_with_a_mask_of_everything() -> None:
    everything = np.ones((3, 4), np.float32)
    for made in (ink_task(False), small.task("best", {"style_size": "8"})):
        masked = tuple(replace(style, mask=everything) for style in made.styles)
        u = canvas(made).start(made.final)
        np.testing.assert_array_equal(
            corrected(canvas(replace(made, styles=masked, content_mask=everything)), u),
            corrected(canvas(made), u),
        )
