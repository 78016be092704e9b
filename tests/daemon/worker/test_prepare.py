"""From an order to a task: pictures read, styles weighed, mistakes told before the work begins."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.job import MaskSettings
from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_plugins.errors import BackendMissingError, BackendOptionError


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


def said(given: Order, **settings: Any) -> Order:
    return replace(given, settings=given.settings.model_copy(update=settings))


def test_pictures_come_as_floats_and_are_told_with_their_digests(given: Order) -> None:
    found = prepare(given)
    assert found.backend.name == "sketch"
    assert found.task.content is not None
    assert found.task.content.shape == (36, 48, 3)
    assert found.task.content.dtype == np.float32
    content, style = found.inputs
    assert (content.role, content.name, content.size, content.weight) == (
        "content", "content.jpg", (48, 36), None,
    )  # fmt: skip
    assert (style.role, style.name, style.size, style.weight) == (
        "style-1", "style.jpg", (40, 32), 1.0,
    )  # fmt: skip
    assert content.sha256 == hashlib.sha256(given.main.read_bytes()).hexdigest()


def test_the_recipe_the_seed_and_the_checkpoint_are_the_orders(given: Order) -> None:
    checkpoint = {"step": np.array(3)}
    task = prepare(said(given, seed=7, strength=0.8), checkpoint).task
    assert (task.seed, task.recipe.objective.strength) == (7, 0.8)
    assert task.resume is checkpoint
    assert prepare(given).task.resume is None


def test_a_style_has_the_digest_of_its_file(given: Order) -> None:
    (style,) = prepare(given).task.styles
    assert style.digest == hashlib.sha256(given.styles[0].read_bytes()).hexdigest()


def test_several_styles_have_names_by_number_and_weigh_alike(given: Order) -> None:
    several = replace(given, styles=(given.styles[0], given.main, given.styles[0]))
    found = prepare(several)
    assert [style.name for style in found.task.styles] == ["style-1", "style-2", "style-3"]
    assert [style.weight for style in found.task.styles] == [1, 1, 1]
    assert [one.role for one in found.inputs] == ["content", "style-1", "style-2", "style-3"]


def test_styles_weigh_what_was_said(given: Order) -> None:
    several = replace(given, styles=(given.styles[0], given.main))
    found = prepare(said(several, style_weights=(3.0, 1.0)))
    assert [style.weight for style in found.task.styles] == [3, 1]
    assert [one.weight for one in found.inputs] == [None, 3, 1]


@pytest.mark.parametrize("weights", [(), (1.0, 2.0)])
def test_as_many_weights_as_styles_are_asked_for(weights: tuple[float], given: Order) -> None:
    with pytest.raises(SettingsError) as caught:
        prepare(said(given, style_weights=weights))
    assert str(caught.value) == (
        f"style_weights has {len(weights)} numbers for 1 style pictures: give one for each"
    )


def test_a_picture_to_start_from_is_started_from(given: Order) -> None:
    found = prepare(replace(given, init=given.styles[0]))
    assert found.task.init is not None and found.task.init.shape == (32, 40, 3)
    assert found.task.recipe.schedule.start == "picture"
    assert (found.inputs[-1].role, found.inputs[-1].name) == ("init", "style.jpg")


def test_a_start_that_was_said_stands_beside_a_picture_to_start_from(given: Order) -> None:
    found = prepare(said(replace(given, init=given.styles[0]), init="noise"))
    assert found.task.recipe.schedule.start == "noise"
    assert prepare(said(given, init="style")).task.recipe.schedule.start == "style"
    by_field = said(replace(given, init=given.styles[0]), set={"schedule.start": "noise"})
    assert prepare(by_field).task.recipe.schedule.start == "noise"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"size": "3000x3000", "fit": "stretch"}, "the painting would be 3000x3000"),
        ({"style_size": "3000"}, "style-1 would be 3000x2400"),
        (
            {"size": "3000", "preview": "300", "style_size": "300", "stroke": 1.2},
            "style-1 would be 4320x3456",
        ),
    ],
)
def test_what_would_become_too_large_is_told_before_it_is_made(
    settings: dict[str, Any], told: str, given: Order
) -> None:
    large = replace(said(given, enlarge=True, **settings), max_pixels=7_000_000)
    with pytest.raises(SettingsError, match=told):
        prepare(large)


def test_what_is_transparent_is_handed_on_and_told(given: Order, pictures: Path) -> None:
    Image.new("RGBA", (20, 10), (10, 20, 30, 0)).save(pictures / "clear.png")
    found = prepare(replace(given, content=pictures / "clear.png"))
    assert found.task.alpha is not None and found.task.alpha.shape == (10, 20)
    assert found.inputs[0].converted
    assert prepare(given).task.alpha is None


def test_of_a_style_only_what_is_seen_counts(given: Order, pictures: Path) -> None:
    Image.new("RGBA", (20, 10), (10, 20, 30, 51)).save(pictures / "clear.png")
    (style,) = prepare(replace(given, styles=(pictures / "clear.png",))).task.styles
    assert style.mask is not None and np.allclose(style.mask, 0.2)
    assert prepare(given).task.styles[0].mask is None


def test_colors_reach_what_is_painted_and_are_told(given: Order) -> None:
    plain = prepare(given)
    match, gray = (prepare(said(given, color=color)) for color in ("match", "luminance"))
    (style,), (recolored,) = plain.task.styles, match.task.styles
    assert recolored.digest != style.digest
    assert not np.allclose(recolored.picture, style.picture, atol=5)
    assert match.inputs[1].converted[-1].startswith("recolored by mean and covariance")
    assert match.inputs[1].sha256 == plain.inputs[1].sha256
    assert match.task.content is not None and plain.task.content is not None
    assert np.array_equal(match.task.content, plain.task.content)
    assert gray.task.content is not None and np.ptp(gray.task.content, axis=2).max() == 0
    start = prepare(replace(said(given, color="luminance"), init=given.styles[0])).task.init
    assert start is not None and np.ptp(start, axis=2).max() == 0


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"content": Path("absent.jpg")}, PictureError, "absent.jpg is not there"),
        ({"styles": (Path("absent.jpg"),)}, PictureError, "absent.jpg is not there"),
        ({"init": Path("absent.jpg")}, PictureError, "absent.jpg is not there"),
        ({"max_pixels": 100}, PictureError, "content.jpg"),
        ({"backend_options": {"speed": 3}}, BackendOptionError, "unknown key 'speed'"),
    ],
)
def test_what_is_wrong_with_an_order_is_told(
    changes: Mapping[str, Any], error: type[Exception], told: str, given: Order
) -> None:
    with pytest.raises(error, match=told):
        prepare(replace(given, **changes))


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"recipe": "bset"}, RecipeError, "did you mean 'best'"),
        ({"set": {"stepps": 1}}, RecipeError, "did you mean 'steps'"),
        ({"style_weights": (1.0, 2.0)}, SettingsError, "give one for each"),
        ({"backend": "tortch"}, BackendMissingError, "did you mean 'torch'"),
        ({"device": "cuda:7", "backend": "torch"}, BackendMissingError, "finds no device cuda:7"),
        ({"device": "cuda:7"}, BackendOptionError, "device"),
    ],
)
def test_what_is_wrong_with_the_settings_is_told_before_a_picture_is_read(
    settings: Mapping[str, Any], error: type[Exception], told: str, given: Order
) -> None:
    """Reading may take seconds; these take none."""
    with pytest.raises(error, match=told):
        prepare(said(replace(given, content=Path("absent.jpg")), **settings))


def test_options_of_the_backend_reach_it_and_the_jobs_device_beats_theirs(given: Order) -> None:
    slow = prepare(replace(given, backend_options={"seconds_per_step": 0.5}))
    assert slow.backend.estimate(slow.task).seconds == 4
    for_cpu = replace(said(given, device="cpu"), backend_options={"device": "cuda:7"})
    assert prepare(for_cpu).backend.provenance(slow.task).device == "cpu"


def test_recipes_of_ones_own_are_found(given: Order, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: best\nabout: Mine.\n")
    found = prepare(replace(said(given, recipe="mine"), recipe_folders=(tmp_path,)))
    assert found.task.recipe.about == "Mine."


def test_from_a_step_on_only_what_comes_after_it_is_left(given: Order, pictures: Path) -> None:
    start = replace(said(given, from_step=2), init=pictures / "style.jpg")
    levels = prepare(start).task.levels()
    assert [(level.size, level.steps) for level in levels] == [((16, 12), 1), ((32, 24), 5)]
    later = replace(said(given, from_step=7), init=pictures / "style.jpg")
    assert [level.steps for level in prepare(later).task.levels()] == [1]
    with pytest.raises(SettingsError, match="leaves nothing to do"):
        prepare(replace(said(given, from_step=8), init=pictures / "style.jpg"))


def test_without_a_picture_to_start_from_no_step_is_behind(given: Order) -> None:
    with pytest.raises(SettingsError, match=r"drop it as init\.png"):
        prepare(said(given, from_step=2))


def test_each_style_is_looked_at_in_its_own_size_which_is_told(given: Order) -> None:
    """By rules that are absolute or relative; the receipt has the size that came of it."""
    several = replace(given, styles=(given.styles[0], given.styles[0]))
    found = prepare(said(several, style_size=("16", "50%")))
    assert [(one.size, one.scale) for one in found.task.styles] == [("16", 1.0), (None, 0.5)]
    _, one, other = found.inputs
    assert (one.style_size, other.style_size) == ("16", "50%")
    whole = prepare(several).inputs[2]
    assert whole.seen is not None and other.seen is not None and one.seen is not None
    assert max(one.seen) == 16
    assert other.seen[0] == pytest.approx(whole.seen[0] / 2, abs=1)
    assert whole.style_size is None


def test_as_many_sizes_as_styles_are_asked_for(given: Order) -> None:
    with pytest.raises(SettingsError, match="2 sizes for 1 style pictures: give one for each"):
        prepare(said(given, style_size=("50%", "area")))


def test_only_the_side_that_is_wanted_is_read(given: Order) -> None:
    """What is wrong with the other is nothing to it, nor how many of it there are."""
    gone = given.styles[0].with_name("gone.jpg")
    alone = prepare(said(replace(given, styles=(gone, gone)), only="content", style_weights=(1,)))
    assert (alone.task.styles, [one.role for one in alone.inputs]) == ((), ["content"])
    texture = prepare(said(replace(given, content=gone), only="style", size="48x16"))
    assert texture.task.content is None is texture.task.alpha
    assert texture.task.final == (48, 16)
    assert [one.role for one in texture.inputs] == ["style-1"]


def test_a_limit_of_memory_reaches_a_backend_that_keeps_to_one(given: Order) -> None:
    """What the backend's own options say beats it; others do not hear of it."""
    limited = replace(given, memory=1000)
    prepare(limited)
    on_torch = replace(
        limited, settings=limited.settings.model_copy(update={"backend": "torch", "device": "cpu"})
    )
    made = prepare(on_torch)
    with pytest.raises(PictureError, match=r"limits\.memory"):
        made.backend.provenance(made.task)
    made = prepare(replace(on_torch, backend_options={"memory": 10**12}))
    assert made.backend.provenance(made.task).decided["tile"] == "none"


def large(path: Path, **options: Any) -> Path:
    """A picture of 41.6 megapixels: black, blue at the right, and red below."""
    picture = Image.new("RGB", (8000, 5200))
    picture.paste((0, 0, 255), (4000, 0, 8000, 2600))
    picture.paste((255, 0, 0), (0, 2600, 8000, 5200))
    picture.save(path, **options)
    return path


def test_a_large_content_is_decoded_reduced_and_sizes_go_by_the_file(
    given: Order, tmp_path: Path
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    path = large(tmp_path / "content.jpg", exif=turned)
    found = prepare(replace(said(given, size="333"), content=path))
    assert found.task.final == (216, 333), "the ratio of 5200x8000"
    assert found.task.content is not None and found.task.content.shape == (1000, 650, 3)
    assert found.inputs[0].size == (5200, 8000)
    assert found.inputs[0].converted[-1] == "decoded at 1/8 of 5200x8000 pixels"
    red, blue = found.task.content[100, 100], found.task.content[900, 600]
    assert np.abs(red - (254, 0, 0)).max() < 3 and np.abs(blue - (0, 0, 254)).max() < 3


def test_a_large_style_has_as_many_pixels_as_it_is_looked_at(given: Order, tmp_path: Path) -> None:
    path = large(tmp_path / "style.png", compress_level=1)
    for rule, seen in (("area", 34), ("1500", 1500)):
        task = prepare(replace(said(given, style_size=rule, size="32"), styles=(path,))).task
        style = task.styles[0]
        assert task.style_size(style) == (seen, round(0.65 * seen))
        assert style.own == (8000, 5200) and 2 * seen <= style.picture.shape[1] < 3 * seen


def test_a_texture_has_the_shape_of_its_large_style(given: Order, tmp_path: Path) -> None:
    path = large(tmp_path / "style.jpg")
    found = prepare(replace(said(given, only="style", size="100"), content=None, styles=(path,)))
    assert found.task.final == (100, 65)
    assert found.inputs[0].size == (8000, 5200)


def test_for_a_large_painting_all_pixels_are_decoded(given: Order, tmp_path: Path) -> None:
    path = large(tmp_path / "content.jpg")
    found = prepare(replace(said(given, size="4001"), content=path))
    assert found.task.content is not None and found.task.content.shape == (5200, 8000, 3)
    assert found.inputs[0].converted == ()


def test_a_large_mask_lies_over_its_large_picture(given: Order, tmp_path: Path) -> None:
    content = large(tmp_path / "content.jpg")
    mask = Image.new("L", (8000, 5200))
    mask.paste(255, (0, 2600, 8000, 5200))
    mask.save(tmp_path / "mask.png", compress_level=1)
    order = replace(
        said(given, size="160", backend="torch", mask=MaskSettings(feather="0")),
        content=content,
        masks={"content-mask": tmp_path / "mask.png"},
    )
    found = prepare(order)
    regions, picture = found.task.content_mask, found.task.content
    assert regions is not None and picture is not None
    assert regions.shape == (104, 160, 1)
    assert (regions[:51] == 0).all() and (regions[53:] == 1).all()
    assert found.inputs[-1].size == (8000, 5200)
    assert found.inputs[-1].converted == ("decoded at 1/25 of 8000x5200 pixels", "gray to RGB")
