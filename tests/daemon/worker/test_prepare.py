"""From an order to a task: pictures read, styles weighed, mistakes reported before the work."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import (
    ColorTransfer,
    prepare,
    remaining_recipe,
)
from stylewatch_painter.algorithm import scales
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.images.color import luminance
from stylewatch_painter.images.read import Picture
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_plugins.errors import BackendMissingError, BackendOptionError

ABSENT = Path("absent.jpg")


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


def with_settings(given: Order, **settings: Any) -> Order:
    return replace(given, settings=given.settings.model_copy(update=settings))


def test_pictures_are_floats_and_recorded_with_their_digests(given: Order) -> None:
    state = {"step": np.array(3)}
    found = prepare(with_settings(given, seed=7, strength=0.8), state)
    task = found.task
    assert found.backend.name == "sketch"
    assert (task.seed, task.recipe.objective.strength) == (7, 0.8)
    assert task.resume is state
    assert task.content is not None and task.content.shape == (36, 48, 3)
    assert task.content.dtype == np.float32
    content, style = found.inputs
    assert (content.role, content.name, content.size, content.weight) == (
        "content", "content.jpg", (48, 36), None,
    )  # fmt: skip
    assert (style.role, style.name, style.size, style.weight) == (
        "style-1", "style.jpg", (40, 32), 1.0,
    )  # fmt: skip
    assert content.sha256 == hashlib.sha256(given.main.read_bytes()).hexdigest()
    assert task.styles[0].digest == hashlib.sha256(given.styles[0].read_bytes()).hexdigest()


def test_styles_have_names_weights_and_sizes(given: Order) -> None:
    several = replace(given, styles=(given.styles[0],) * 2)
    plain = prepare(several)
    assert [(style.name, style.weight) for style in plain.task.styles] == [
        ("style-1", 1), ("style-2", 1),
    ]  # fmt: skip
    found = prepare(with_settings(several, style_weights=(3.0, 1.0), style_size=("16", "50%")))
    assert [style.weight for style in found.task.styles] == [3, 1]
    assert [record.weight for record in found.inputs] == [None, 3, 1]
    assert [(style.size, style.scale) for style in found.task.styles] == [("16", 1.0), (None, 0.5)]
    _, first, second = found.inputs
    assert (first.style_size, second.style_size) == ("16", "50%")
    whole = plain.inputs[2]
    assert whole.style_size is None
    assert whole.seen is not None and first.seen is not None and second.seen is not None
    assert max(first.seen) == 16
    assert second.seen[0] == pytest.approx(whole.seen[0] / 2, abs=1)


def test_an_init_picture_is_the_start_unless_the_settings_say_otherwise(given: Order) -> None:
    init = replace(given, init=given.styles[0])
    found = prepare(init)
    assert found.task.init is not None and found.task.init.shape == (32, 40, 3)
    assert (found.inputs[-1].role, found.inputs[-1].name) == ("init", "style.jpg")
    for changed, start in (
        (init, "picture"),
        (with_settings(init, init="noise"), "noise"),
        (with_settings(init, set={"schedule.start": "noise"}), "noise"),
        (with_settings(given, init="style"), "style"),
    ):
        assert prepare(changed).task.recipe.schedule.start == start


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "3000x3000", "fit": "stretch"}, "the painting would be 3000x3000"),
        ({"size": "3000", "preview": "300", "style_size": "300", "stroke": 1.2},
         "style-1 would be 4320x3456"),
    ],
)  # fmt: skip
def test_sizes_above_the_limit_are_refused(
    settings: dict[str, Any], message: str, given: Order
) -> None:
    large = replace(with_settings(given, enlarge=True, **settings), max_pixels=7_000_000)
    with pytest.raises(SettingsError, match=message):
        prepare(large)


def test_transparency_of_the_content_is_kept_and_that_of_a_style_does_not_count(
    given: Order, pictures: Path
) -> None:
    Image.new("RGBA", (20, 10), (10, 20, 30, 51)).save(pictures / "clear.png")
    clear = pictures / "clear.png"
    found = prepare(replace(given, content=clear, styles=(clear,)))
    assert found.task.alpha is not None and found.task.alpha.shape == (10, 20)
    assert found.inputs[0].converted
    mask = found.task.styles[0].mask
    assert mask is not None and np.allclose(mask, 0.2)
    opaque = prepare(given).task
    assert opaque.alpha is None is opaque.styles[0].mask


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"styles": (ABSENT,)}, PictureError, "absent.jpg is not there"),
        ({"init": ABSENT}, PictureError, "absent.jpg is not there"),
        ({"max_pixels": 100}, PictureError, "content.jpg"),
        ({"backend_options": {"speed": 3}}, BackendOptionError, "unknown key 'speed'"),
        ({"content": None}, SettingsError, "no content picture: add one, or say only: style"),
        ({"styles": ()}, SettingsError, "no style picture: add one, or say only: content"),
    ],
)
def test_mistakes_in_an_order_are_errors(
    changes: dict[str, Any], error: type[Exception], message: str, given: Order
) -> None:
    with pytest.raises(error, match=message):
        prepare(replace(given, **changes))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"recipe": "bset"}, RecipeError, "did you mean 'best'"),
        ({"style_weights": (1.0, 2.0)}, SettingsError, "2 numbers for 1 style pictures: give one"),
        ({"style_size": ("50%", "area")}, SettingsError, "2 sizes for 1 style pictures"),
        ({"backend": "tortch"}, BackendMissingError, "did you mean 'torch'"),
        ({"device": "cuda:7", "backend": "torch"}, BackendMissingError, "finds no device cuda:7"),
        ({"device": "cuda:7"}, BackendOptionError, "device"),
    ],
)
def test_mistakes_in_the_settings_are_errors_before_a_picture_is_read(
    settings: dict[str, Any], error: type[Exception], message: str, given: Order
) -> None:
    with pytest.raises(error, match=message):
        prepare(with_settings(replace(given, content=ABSENT), **settings))


def test_the_memory_limit_reaches_a_backend_that_has_one(given: Order) -> None:
    limited = replace(given, memory=1000)
    prepare(limited)  # sketch has none
    on_torch = with_settings(limited, backend="torch", device="cpu")
    prepared = prepare(on_torch)
    with pytest.raises(PictureError, match=r"limits\.memory"):
        prepared.backend.provenance(prepared.task)
    prepared = prepare(replace(on_torch, backend_options={"memory": 10**12}))
    assert prepared.backend.provenance(prepared.task).decided["tile"] == "none"


def test_only_selects_a_side_and_the_other_is_not_read(given: Order) -> None:
    gone = given.styles[0].with_name("gone.jpg")
    content = with_settings(replace(given, styles=(gone, gone)), only="content", style_weights=(1,))
    found = prepare(content)
    assert (found.task.styles, [record.role for record in found.inputs]) == ((), ["content"])
    found = prepare(with_settings(replace(given, content=gone), only="style", size="48x16"))
    assert found.task.content is None is found.task.alpha
    assert found.task.final == (48, 16)
    assert [record.role for record in found.inputs] == ["style-1"]


def test_settings_that_need_a_missing_side_are_refused(given: Order) -> None:
    for settings, message in (
        ({"only": "style", "color": "content"}, "color: content goes by a photograph"),
        ({"only": "content", "color": "match"}, "color: match recolors the styles"),
    ):
        with pytest.raises(SettingsError, match=message):
            prepare(with_settings(given, **settings))
    with pytest.raises(SettingsError, match="add one, or leave out only: style"):
        prepare(replace(with_settings(given, only="style"), styles=()))


@pytest.fixture
def recipe() -> Recipe:
    scales = [
        {"scale": 0.125, "steps": 5},
        {"scale": 0.25, "steps": 10},
        {"scale": 0.5, "steps": 20},
    ]
    changes = {"start": "picture", "scales": scales, "steps": 30, "smallest": 16}
    return book.change(book.find("gatys"), {**changes, "initial_steps": 99})


def test_from_a_step_the_earlier_steps_are_left_out(
    recipe: Recipe, given: Order, pictures: Path
) -> None:
    start = replace(with_settings(given, from_step=2), init=pictures / "style.jpg")
    levels = prepare(start).task.levels()
    assert [(level.size, level.steps) for level in levels] == [((16, 12), 1), ((32, 24), 5)]
    levels = scales.levels(recipe, (128, 96))
    assert [level.steps for level in levels] == [99, 20, 30]
    for step, steps in ((98, [1, 20, 30]), (100, [19, 30])):
        remaining = remaining_recipe(recipe, levels, step)
        left = scales.after(levels, remaining.schedule.done)
        assert [level.steps for level in left] == steps
    for step in (149, 150):
        with pytest.raises(SettingsError, match="leaves nothing to do, there are 149 steps"):
            remaining_recipe(recipe, levels, step)
    with pytest.raises(SettingsError, match=r"drop it as init\.png"):
        prepare(with_settings(given, from_step=2))


def picture(seed: int, scale: float, alpha: Any = None) -> Picture:
    pixels = np.random.default_rng(seed).uniform(0, 255, (20, 30, 3)) * scale
    return Picture(pixels.astype(np.float32), alpha, ("turned upright",), str(seed) * 64, 1)


CONTENT, STYLE = picture(1, 0.5), picture(2, 1.0)


def transfer(content: Picture = CONTENT, **settings: Any) -> ColorTransfer:
    return ColorTransfer(JobSettings.model_validate(settings), content)


def test_luminance_makes_all_pictures_gray_and_by_default_colors_are_not_changed(
    given: Order,
) -> None:
    colors = transfer(color="content")
    assert colors.style(STYLE) is STYLE and colors.digest(STYLE) == STYLE.sha256
    assert colors.content_pixels(CONTENT.pixels) is CONTENT.pixels
    style = transfer(color="luminance").style(STYLE)
    light = luminance(CONTENT.pixels, "oklab")
    assert np.isclose(luminance(style.pixels, "oklab").mean(), light.mean(), atol=0.01)
    assert style.converted[-1].startswith("reduced to its luminance")
    task = prepare(replace(with_settings(given, color="luminance"), init=given.styles[0])).task
    for pixels in (task.content, task.init, task.styles[0].picture):
        assert pixels is not None and np.ptp(pixels, axis=2).max() == 0


def test_a_changed_style_has_a_digest_of_its_own(given: Order) -> None:
    digests = [
        transfer(picture(seed, 0.5), color=color, color_space=space).digest(STYLE)
        for seed in (1, 3)
        for color in ("match", "luminance")
        for space in ("linear", "oklab")
    ]
    assert len({STYLE.sha256, *digests}) == 9
    plain, match = prepare(given), prepare(with_settings(given, color="match"))
    assert match.task.styles[0].digest != plain.task.styles[0].digest
    assert not np.allclose(match.task.styles[0].picture, plain.task.styles[0].picture, atol=5)
    assert match.inputs[1].sha256 == plain.inputs[1].sha256
    assert match.inputs[1].converted[-1].startswith("recolored by mean and covariance")


def large(path: Path, **options: Any) -> Path:
    """A picture of 41.6 megapixels: black, blue at the right, and red below."""
    image = Image.new("RGB", (8000, 5200))
    image.paste((0, 0, 255), (4000, 0, 8000, 2600))
    image.paste((255, 0, 0), (0, 2600, 8000, 5200))
    image.save(path, **options)
    return path


def test_a_large_content_is_decoded_at_a_fraction_and_sizes_are_those_of_the_file(
    given: Order, tmp_path: Path
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    path = large(tmp_path / "content.jpg", exif=turned)
    found = prepare(replace(with_settings(given, size="333"), content=path))
    assert found.task.final == (216, 333), "the ratio of 5200x8000"
    assert found.task.content is not None and found.task.content.shape == (1000, 650, 3)
    assert found.inputs[0].size == (5200, 8000)
    assert found.inputs[0].converted[-1] == "decoded at 1/8 of 5200x8000 pixels"
    red, blue = found.task.content[100, 100], found.task.content[900, 600]
    assert np.abs(red - (254, 0, 0)).max() < 3 and np.abs(blue - (0, 0, 254)).max() < 3
    found = prepare(replace(with_settings(given, size="4001"), content=path))
    assert found.task.content is not None and found.task.content.shape == (8000, 5200, 3)
