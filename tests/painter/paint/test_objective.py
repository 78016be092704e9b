"""The objective: recipes against reference values, scales, caches, tiles and regions."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.host_traffic import HostTraffic
from tests.painter.tensor_bytes import peak
from torch import Tensor

from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.losses.gram import GramStyle
from stylewatch_painter.losses.loss import AdditiveLoss, Label, Loss, Weight
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.paint import objective as objective_module
from stylewatch_painter.paint.memory_plan import MemoryPlan
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.recipes.book import change, names
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.scene import Maps
from stylewatch_painter.scene.task import Prior, check_masks
from stylewatch_painter.scene.tiles import Tile
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Losses
from stylewatch_painter.vgg import LayerName

REFERENCE = {
    "gram": (0.04265347, 1.010855, 0, 0.03992792, -0.03024699),
    "blank-canvas": (6.198868, 2742030, 0, 79908.39, -24253.23),
    "crowson": (328.1527, 246.5145, 17406.67, 7.098343, -7.038503),
    "devos": (7.672476, 105565.1, 0, 1116.826, -1126.075),
    "gatys": (0.2329265, 31051.49, 0, 363.5499, -596.0755),
    "keras": (1.549717e-07, 0.06093889, 302217841, 0.3603551, -0.01808116),
    "neural-style": (7571.632, 2.711054e08, 11226730, 2.591094e07, 1.804168e07),
    "nnst": (0, 0.4680071, 0, 0.003399279, 3.368736e-05),
    "pastiche": (6.053667, 4500.838, 84.66670, 73.27788, -50.4186),
}
"""Weighted content and style losses, smoothness without its weight, the norm of the gradient and
its product with a fixed direction, for two styles of weights 1 and 3: from each recipe's published
formulas, in NumPy and float64 with gradients derived by hand, for the network of `small`. Those of
`best` are in `test_best_by_hand`."""


def weighted(losses: Losses) -> tuple[float, float]:
    content = sum(term.value * term.weight for term in losses.content.values())
    layers = [term for terms in losses.style.values() for term in terms.values()]
    return content, sum(term.value * term.weight for term in layers)


@pytest.mark.parametrize("name", REFERENCE)
def test_recipe_matches_its_published_formulas(name: str) -> None:
    content, style, tv, norm, product = REFERENCE[name]
    u = small.tensor(small.in_network_units(small.picture(7), name))
    objective = small.objective(small.task(name, styles=2))
    evaluation = objective(u)
    losses = objective.record(evaluation.terms)
    assert weighted(losses) == pytest.approx((content, style), rel=1e-4)
    smoothness = losses.tv
    assert (0 if smoothness is None else smoothness.value) == pytest.approx(tv, rel=1e-4)
    total = content + style + (0 if smoothness is None else tv * smoothness.weight)
    assert losses.total == pytest.approx(total, rel=1e-4)
    gradient = small.array(evaluation.gradient)
    direction = np.random.Generator(np.random.PCG64(3)).standard_normal(gradient.shape)
    assert np.linalg.norm(gradient) == pytest.approx(norm, rel=2e-3)
    assert (gradient * direction).sum() == pytest.approx(product, abs=2e-3 * norm)


def test_losses_share_one_pass_over_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, forward = list[Tensor](), Vgg19.__call__

    def counted(self: Vgg19, x: Tensor, *others: Any) -> Any:
        seen.append(x)
        return forward(self, x, *others)

    monkeypatch.setattr(Vgg19, "__call__", counted)
    mixed = {"objective.strength": 0.4, "objective.strength_by": "blend"}
    objective = small.objective(small.task("gram", mixed))
    content = small.content(objective)
    assert [x.equal(content) for x in seen] == [True, False], "the content, the style"
    objective(content.clone())
    assert len(seen) == 3, "a painting that equals the content"
    objective.scene.features(content, ["conv4_2"])
    assert len(seen) == 4, "no features are kept beside the targets"


def test_strength_scales_content_weights() -> None:
    """And, where it mixes targets, smoothness: 0 is the photograph."""

    def losses(name: str, strength: float) -> Losses:
        objective = small.objective(small.task(name, {"strength": strength}))
        return objective.record(objective(small.tensor(np.zeros((3, 18, 21)))).terms)

    for strength, weight in ((0.0, 1.6), (0.5, 0.4), (1.0, 0.1)):
        seen = losses("gram", strength)
        assert seen.content["conv4_2"].weight == pytest.approx(weight)
        assert seen.style["style-1"]["conv1_1"].weight == 1
    smoothness = losses("best", 0.4).tv
    assert smoothness is not None and smoothness.weight == pytest.approx(0.01)


@pytest.mark.parametrize(("name", "grows"), [("devos", True), ("keras", True), ("gram", False)])
def test_sums_are_scaled_to_the_first_size(name: str, grows: bool) -> None:
    """A quarter of the positions give a quarter of the sum, so it is multiplied by four."""

    def terms(size: str) -> Tensor:
        task = small.task(name, {"objective.network.pool_edge": "ceil", "size": size}, styles=0)
        objective = small.objective(task, level=Level(Size(10, 9), 1.0, 1))
        return objective(torch.zeros(1, 3, 9, 10)).terms

    factor = 21 * 18 / (10 * 9) if grows else 1.0
    torch.testing.assert_close(terms("21x18"), terms("10x9") * factor)


def test_shallow_layers_see_the_style_unenlarged() -> None:
    """A painting three times as large as the style."""
    task = small.task("gram")
    larger = {"size": "63x54", "fit": "stretch", "enlarge": True, "enlarge_styles": True}
    enlarged = replace(task, recipe=change(task.recipe, larger))
    u = torch.randn(1, 3, 54, 63, generator=torch.Generator().manual_seed(1)) * 50
    both, shallow, deep = (
        objective.record(objective.evaluate_terms(u)).style["style-1"]
        for objective in (
            small.objective(made, level=Level(Size(63, 54), scale, 1))
            for made, scale in ((task, 3.0), (task, 1.0), (enlarged, 1.0))
        )
    )
    for layer, term in both.items():
        is_shallow = layer in ("conv1_1", "conv2_1", "conv3_1")
        assert term.value == (shallow[layer] if is_shallow else deep[layer]).value


@pytest.mark.parametrize(
    ("name", "padding", "edge"),
    [("devos", "reflect", "ceil"), ("crowson", "replicate", "floor"), ("keras", "zeros", "ceil")],
)
def test_tiles_match_whole_with_all_controls(name: str, padding: str, edge: str) -> None:
    """Above a preview, in overlapping regions, padded, with smoothness and a high-pass filter."""
    network = {"objective.network.padding": padding, "objective.network.pool_edge": edge}
    smooth = {"objective.tv": {"loss": "nine_point", "weight": 0.1}, "objective.protect_detail": 1}
    sizes = {"size": "75x101", "fit": "stretch", "enlarge": True, "preview": "25x34", "stroke": 2}
    task = small.task(name, {**sizes, "style_size": "area", **network, **smooth})
    mask = np.random.Generator(np.random.PCG64(5)).random((10, 12, 2)).astype(np.float32)
    first = replace(task.styles[0], mask=mask[::-1])
    other = replace(first, picture=small.picture(3, 60, 44), weight=2.0)
    task = replace(task, content_mask=mask, styles=(first, other))
    assert task.levels()[-1].slowest > 0 and task.levels()[-1].scale > 1
    u = torch.randn(1, 3, 101, 75, generator=torch.Generator().manual_seed(2)) * 50
    whole = small.objective(task)(u)
    objective = small.objective(task, MemoryPlan(48))
    assert not objective.is_whole
    evaluation = objective(u)
    for terms in (evaluation.terms, objective.evaluate_terms(u)):
        torch.testing.assert_close(terms, whole.terms, rtol=1e-4, atol=0)
    torch.testing.assert_close(evaluation.objective, whole.objective, rtol=1e-5, atol=0)
    assert (evaluation.gradient - whole.gradient).norm() < 1e-5 * whole.gradient.norm()


def test_masks_that_do_not_match_are_refused() -> None:
    task, mask = small.task("gram"), np.zeros((18, 21, 2), dtype=np.float32)
    mask[:, :10, 0] = 1
    left = (replace(task.styles[0], mask=mask),)
    both = mask + mask[:, ::-1, ::-1]
    with pytest.raises(PictureError, match="the mask of style-1 has 2 regions and the painting 1"):
        check_masks(replace(task, styles=left))
    with pytest.raises(PictureError, match="shows anything for region 2 of 2"):
        check_masks(replace(task, content_mask=both, styles=left))
    ignored = (*left, replace(left[0], mask=both, weight=0.0))
    with pytest.raises(PictureError, match="weight is above 0 shows anything for region 2 of 2"):
        check_masks(replace(task, content_mask=both, styles=ignored))
    transparent = (replace(left[0], mask=np.zeros((2, 2), np.float32)),)
    with pytest.raises(PictureError, match="shows anything: it is wholly transparent"):
        check_masks(replace(task, content_mask=None, styles=transparent))


@pytest.mark.parametrize("name", ["gram", "nnst", "strotss", "crowson"])
def test_empty_regions_change_nothing(name: str) -> None:
    """As in the frames of a clip. Without any region no style acts; neighbors keep the content."""
    task, half = small.task(name), np.zeros((18, 21, 1), dtype=np.float32)
    half[:, :10] = 1
    empty = np.zeros_like(half)
    one, two, none = (
        small.objective(replace(task, content_mask=mask))
        for mask in (half, np.concatenate([half, empty], axis=2), empty)
    )
    u = one.scene.canvas.units(small.picture(9))
    alone, both, nothing = one(u), two(u), none(u)
    torch.testing.assert_close(both.terms, alone.terms)
    torch.testing.assert_close(both.gradient, alone.gradient)
    assert nothing.gradient.isfinite().all()
    losses, of_content = (
        none.record(evaluation.terms) for evaluation in (nothing, none(small.content(none)))
    )
    for term, loss in losses.style["style-1"].items():
        if term == "neighbors":
            assert of_content.style["style-1"][term].value == pytest.approx(0, abs=1e-6)
        else:
            assert loss.value == 0


@pytest.mark.parametrize("tile", [None, 16])
def test_temporal_loss_holds_trusted_pixels_to_the_prior(tile: int | None) -> None:
    """Its value is by the published formula, its gradient that of the formula, in tiles, too."""
    made = small.task("gram", {"objective.temporal": 3.0})
    trust = np.zeros((small.HEIGHT, small.WIDTH), np.float32)
    trust[:, :7] = 0.5
    prior = Prior(small.picture(5), trust, unit=2.0)
    without, given = (
        small.objective(task, MemoryPlan(tile=tile)) for task in (made, replace(made, prior=prior))
    )
    u = given.scene.canvas.units(small.picture(9))
    evaluation = given(u)
    losses = given.record(evaluation.terms)
    difference = (small.picture(9) - small.picture(5)) / 255
    expected = (trust[..., None] * difference**2).mean()
    assert losses.temporal is not None and losses.temporal.weight == 6.0
    assert losses.temporal.value == pytest.approx(expected, rel=1e-5)
    slope = 6 * 2 * trust[..., None] * difference / 255 / difference.size
    added = (evaluation.gradient - without(u).gradient).squeeze(0).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(added, slope, rtol=1e-3, atol=2e-7)


@pytest.mark.parametrize("several", ["losses", "grams"])
def test_a_region_whose_only_style_is_left_out_at_a_size_has_no_style_loss_there(
    several: str,
) -> None:
    """Its style is too small for a coarse scale, where that of the other region remains."""
    changes = {"objective.style.several": several, "objective.strength_by": "weight"}
    task = small.wide_task("gram", changes, content_mask=small.split(16))
    left = small.split(16)
    left[..., 1] = 0
    task = replace(task, styles=tuple(replace(style, mask=left) for style in task.styles))
    made = small.objective(task)
    evaluation = made(small.content(made).clone())
    assert made.record(evaluation.terms).total < 10
    factors = made.scene.region_factors(blended=several == "grams")
    assert factors is not None and factors[0, 0] > 0 and factors[0, 1] == 0


class Energy(Loss):
    """Mean squared features, whose gradient needs the features themselves."""

    def __init__(self, label: Label) -> None:
        self.layers = frozenset[LayerName]({"conv2_1"})
        self.label = label
        self.weights = {self.label: Weight(1.0)}

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        return {self.label: maps["conv2_1"].float().square().mean()}


def test_a_loss_may_read_maps_that_another_one_could_overwrite() -> None:
    made = small.objective(small.task("gram"))
    (style,) = (loss for loss in made.losses if isinstance(loss, GramStyle))
    style.can_overwrite_maps = True  # as with compiled convolutions
    both = Objective(made.scene, [*made.losses, Energy(Label("style", "energy", "style-1"))])
    assert not style.overwrites_maps
    assert both(small.content(made).clone()).gradient.isfinite().all()


@pytest.mark.parametrize(
    ("labels", "term"),
    [
        ((Label("style", "conv2_1", "style-1"),) * 2, ".*conv2_1"),
        ((Label("content", "conv2_1", "a"), Label("content", "conv2_1", "b")), r"content\.conv2_1"),
        ((Label("tv", "conv2_1", "a"), Label("tv", "conv2_1", "b")), "tv"),
    ],
)
def test_two_losses_that_receipts_cannot_tell_apart_are_refused(
    labels: Sequence[Label], term: str
) -> None:
    scene = small.objective(small.task("gram")).scene
    with pytest.raises(RecipeError, match=f"two losses have a term {term}:"):
        Objective(scene, [Energy(label) for label in labels])


class Mean(AdditiveLoss):
    """Mean of the features, by their sum and their number."""

    def __init__(self) -> None:
        self.layers = frozenset[LayerName]({"conv2_1"})
        self.label = Label("style", "mean", "style-1")
        self.weights = {self.label: Weight(1.0)}

    def sums(self, maps: Maps, tile: Tile | None = None) -> Sequence[Tensor]:
        own = maps["conv2_1"].float()
        return [own.sum(), own.new_tensor(float(own.numel()))]

    def values_of(self, sums: Sequence[Tensor]) -> dict[Label, Tensor]:
        return {self.label: sums[0] / sums[1]}


def test_a_sum_in_tiles_may_be_constant() -> None:
    plans = MemoryPlan(), MemoryPlan(tile=16)
    bases = [small.objective(small.task("gram"), plan) for plan in plans]
    whole, tiled = (Objective(made.scene, [*made.losses, Mean()]) for made in bases)
    assert not tiled.is_whole
    one, other = (made(small.content(made).clone()) for made in (whole, tiled))
    torch.testing.assert_close(other.terms, one.terms, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.gradient, one.gradient, rtol=1e-3, atol=1e-7)


class FailingBackward(torch.autograd.Function):
    """The identity, whose backward pass fails like an operation that lacks memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise RuntimeError("not enough memory")


class Failing(Loss):
    """Mean of the pixels, whose backward pass fails before those of the network run."""

    def __init__(self) -> None:
        self.layers = frozenset[LayerName]()
        self.label = Label("style", "failing", "style-1")
        self.weights = {self.label: Weight(1.0)}

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        fail: Any = FailingBackward.apply
        return {self.label: fail(u).mean()}


def bytes_left_by_a_failed_evaluation() -> int:
    """Fail in a backward pass, and return the bytes of the tensors that outlive it."""
    made = small.objective(small.task("gram"))
    failing = Objective(made.scene, [*made.losses, Failing()])
    u = small.content(made).clone()
    made(u)  # what libraries keep for good
    with peak() as count, pytest.raises(RuntimeError, match="not enough memory"):
        failing(u)
    # a traceback keeps the frames of the evaluation, and these form cycles
    gc.collect()
    return count.now


def test_a_failed_backward_pass_leaves_no_maps() -> None:
    assert bytes_left_by_a_failed_evaluation() == 0


def test_torch_keeps_the_maps_of_a_failed_backward_pass_until_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If torch frees them at once some day, `_release_graph` has no purpose any more."""
    with monkeypatch.context() as patch:
        patch.setattr(objective_module, "_release_graph", lambda: None)
        left = bytes_left_by_a_failed_evaluation()
    objective_module._release_graph()
    assert left > 0


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("is_frame", [False, True])
def test_an_evaluation_that_can_be_captured_exchanges_nothing_with_the_host(
    name: str, is_masked: bool, is_frame: bool
) -> None:
    fields: dict[str, Any] = {"content_mask": small.split(16)} if is_masked else {}
    if is_frame:
        height, width = small.WIDE[1], small.WIDE[0]
        pixels = np.zeros((height, width, 3), np.float32)
        fields["prior"] = Prior(pixels, np.ones((height, width), np.float32), unit=1.0)
    made = small.objective(small.wide_task(name, {}, styles=2, **fields))
    u = small.content(made).clone()
    made(u)
    with HostTraffic() as traffic:
        made(u)
    assert not (made.is_capturable and traffic.seen)
