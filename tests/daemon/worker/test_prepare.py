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
from stylewatch_daemon.settings.job import JobSettings, MaskSettings
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import (
    ColorTransfer,
    enlarged_start,
    prepare,
    remaining_recipe,
    selected,
)
from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.task import Task
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
        ({"style_size": "3000"}, "style-1 would be 3000x2400"),
        (
            {"size": "3000", "preview": "300", "style_size": "300", "stroke": 1.2},
            "style-1 would be 4320x3456",
        ),
    ],
)
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
        ({"content": ABSENT}, PictureError, "absent.jpg is not there"),
        ({"styles": (ABSENT,)}, PictureError, "absent.jpg is not there"),
        ({"init": ABSENT}, PictureError, "absent.jpg is not there"),
        ({"max_pixels": 100}, PictureError, "content.jpg"),
        ({"backend_options": {"speed": 3}}, BackendOptionError, "unknown key 'speed'"),
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
        ({"set": {"stepps": 1}}, RecipeError, "did you mean 'steps'"),
        (
            {"style_weights": (1.0, 2.0)},
            SettingsError,
            "style_weights has 2 numbers for 1 style pictures: give one for each",
        ),
        ({"style_weights": ()}, SettingsError, "has 0 numbers for 1 style pictures"),
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


def test_options_reach_the_backend_and_the_device_of_the_job_beats_them(given: Order) -> None:
    slow = prepare(replace(given, backend_options={"seconds_per_step": 0.5}))
    assert slow.backend.estimate(slow.task).seconds == 4
    on_cpu = replace(with_settings(given, device="cpu"), backend_options={"device": "cuda:7"})
    assert prepare(on_cpu).backend.provenance(slow.task).device == "cpu"


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
    assert selected(given) == given
    gone = given.styles[0].with_name("gone.jpg")
    content = with_settings(replace(given, styles=(gone, gone)), only="content", style_weights=(1,))
    found = prepare(content)
    assert (found.task.styles, [record.role for record in found.inputs]) == ((), ["content"])
    found = prepare(with_settings(replace(given, content=gone), only="style", size="48x16"))
    assert found.task.content is None is found.task.alpha
    assert found.task.final == (48, 16)
    assert [record.role for record in found.inputs] == ["style-1"]


@pytest.mark.parametrize(
    ("only", "changes", "message"),
    [
        (None, {"content": None}, "there is no content picture: add one, or say only: style"),
        (None, {"styles": ()}, "there is no style picture: add one, or say only: content"),
        ("style", {"styles": ()}, "there is no style picture: add one, or leave out only: style"),
    ],
)
def test_a_missing_side_is_refused(
    only: str | None, changes: dict[str, Any], message: str, given: Order
) -> None:
    with pytest.raises(SettingsError, match=message):
        selected(replace(with_settings(given, only=only), **changes))


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


def test_a_start_from_a_smaller_stage_is_a_warning(recipe: Recipe) -> None:
    content = np.zeros((48, 64, 3), dtype=np.float32)
    plain = book.change(recipe, {"size": "64", "scales": []})
    task = Task(plain, content, (), init=content[::2, ::2])
    assert enlarged_start(task, 35) == (
        "it goes on from a stage of 32x24 pixels, enlarged to 64x48: stages.size made it smaller",
    )
    assert enlarged_start(task, 0) == enlarged_start(replace(task, init=content), 35) == ()
    assert enlarged_start(replace(task, init=None), 35) == ()


def picture(seed: int, scale: float, alpha: Any = None) -> Picture:
    pixels = np.random.default_rng(seed).uniform(0, 255, (20, 30, 3)) * scale
    return Picture(pixels.astype(np.float32), alpha, ("turned upright",), str(seed) * 64, 1)


CONTENT, STYLE = picture(1, 0.5), picture(2, 1.0)


def transfer(content: Picture = CONTENT, **settings: Any) -> ColorTransfer:
    return ColorTransfer(JobSettings.model_validate(settings), content)


@pytest.mark.parametrize("color", ["style", "content"])
def test_by_default_colors_are_not_changed(color: str) -> None:
    colors = transfer(color=color)
    assert colors.style(STYLE) is STYLE and colors.digest(STYLE) == STYLE.sha256
    assert colors.content_pixels(CONTENT.pixels) is CONTENT.pixels


def test_luminance_makes_all_pictures_gray(given: Order) -> None:
    colors = transfer(color="luminance")
    style, content = colors.style(STYLE), colors.content_pixels(CONTENT.pixels)
    for gray in (style.pixels, content):
        assert np.array_equal(gray[..., 0], gray[..., 1])
    light = luminance(CONTENT.pixels, "oklab")
    assert np.allclose(luminance(content, "oklab"), light, atol=1e-5)
    assert np.isclose(luminance(style.pixels, "oklab").mean(), light.mean(), atol=0.01)
    assert style.converted[-1].startswith("reduced to its luminance")
    task = prepare(replace(with_settings(given, color="luminance"), init=given.styles[0])).task
    for pixels in (task.content, task.init):
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


@pytest.mark.parametrize("color", ["match", "luminance"])
def test_transparent_pixels_of_the_content_do_not_count(color: str) -> None:
    alpha = np.ones((20, 30), dtype=np.float32)
    alpha[10:] = 0
    half = Picture(CONTENT.pixels[:10], None, (), "", 1)
    masked = Picture(CONTENT.pixels, alpha, (), "", 1)
    first, second = (transfer(each, color=color).style(STYLE).pixels for each in (masked, half))
    assert np.allclose(first, second, atol=0.01)


@pytest.mark.parametrize(
    ("color", "content", "styles", "message"),
    [
        ("content", None, 1, "color: content goes by a photograph, and there is none"),
        ("match", CONTENT, 0, "color: match recolors the styles, and there are none"),
    ],
)
def test_colors_of_missing_pictures_are_refused(
    color: str, content: Picture | None, styles: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        ColorTransfer(JobSettings.model_validate({"color": color}), content).check(styles)


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


def test_a_large_style_has_as_many_pixels_as_its_size_needs(given: Order, tmp_path: Path) -> None:
    path = large(tmp_path / "style.jpg")
    for rule, side in (("area", 34), ("1500", 1500)):
        changed = with_settings(given, style_size=rule, size="32")
        task = prepare(replace(changed, styles=(path,))).task
        style = task.styles[0]
        assert task.style_size(style) == (side, round(0.65 * side))
        assert style.own == (8000, 5200) and 2 * side <= style.picture.shape[1] <= 8000 / 2
    texture = replace(with_settings(given, only="style", size="100"), content=None, styles=(path,))
    assert prepare(texture).task.final == (100, 65)


def test_a_large_mask_fits_its_large_picture(given: Order, tmp_path: Path) -> None:
    mask = Image.new("L", (8000, 5200))
    mask.paste(255, (0, 2600, 8000, 5200))
    mask.save(tmp_path / "mask.png", compress_level=1)
    found = prepare(
        replace(
            with_settings(given, size="160", backend="torch", mask=MaskSettings(feather="0")),
            content=large(tmp_path / "content.jpg"),
            masks={"content-mask": tmp_path / "mask.png"},
        )
    )
    regions = found.task.content_mask
    assert regions is not None and regions.shape == (104, 160, 1)
    assert (regions[:51] == 0).all() and (regions[53:] == 1).all()
    assert found.inputs[-1].size == (8000, 5200)
    assert found.inputs[-1].converted == ("decoded at 1/25 of 8000x5200 pixels", "gray to RGB")
