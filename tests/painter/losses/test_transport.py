"""Optimal transport of sampled hypercolumns, against the formulas in NumPy and float64."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.painter import small
from tests.painter.paintings import resumed
from tests.painter.small import WIDE, split
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.losses.transport import (
    Picture,
    generator,
    hypercolumns,
    moment_loss,
    moments,
    palette_loss,
    positions,
    self_similarity_loss,
    transport_loss,
)
from stylewatch_painter.paint.paint import measure
from stylewatch_painter.recipes import recipe
from stylewatch_painter.scene.scales import times
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Losses, Pixels, Regions
from stylewatch_painter.vgg import LayerName
from stylewatch_plugins.testing.tasks import stages

Array = NDArray[np.float64]

SMALL: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "steps": 2,
    "save_every": 1,
    "objective.network.pool_edge": "ceil",
    "objective.transport.samples": 100,
    "objective.transport.style_samples": 150,
}


def task(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of two sizes by recipe `strotss`."""
    return small.wide_task("strotss", {**SMALL, **(changes or {})}, styles, **fields)


def losses(made: Task, step: int = 0) -> Losses:
    """The losses of a start, gray in the middle of the colors, at the final size."""
    objective = small.objective(made)
    objective.step = step
    return objective.record(objective(small.content(objective).flip(-1)).terms)


# Formulas


def lengths(rows: Array) -> Array:
    return np.asarray(np.sqrt((rows**2).sum(1)))


def cosine_distances(x: Array, y: Array) -> Array:
    return 1 - x @ y.T / lengths(x)[:, None] / lengths(y)


def relaxed(costs: Array) -> float:
    return max(float(costs.min(1).mean()), float(costs.min(0).mean()))


def transported(x: Array, y: Array) -> float:
    return relaxed(cosine_distances(x, y))


def palettes(x: Array, y: Array) -> float:
    rotation = np.array([[0.577350, 0.577350, 0.577350], [-0.577350, 0.788675, -0.211325],
                         [-0.577350, -0.211325, 0.788675]])  # fmt: skip
    x, y = x @ rotation.T, y @ rotation.T
    squares = ((x[:, None] - y) ** 2).sum(2)
    return relaxed(cosine_distances(x, y) + np.sqrt(np.maximum(squares, 1e-5) / 3))


def moment_differences(x: Array, y: Array) -> float:
    covariances = [np.cov(rows.T, bias=True) for rows in (x, y)]
    means = np.abs(x.mean(0) - y.mean(0)).mean()
    return float(means + np.abs(covariances[0] - covariances[1]).mean())


def similarities(x: Array, y: Array) -> float:
    shares = [d / d.sum(0) for d in (cosine_distances(rows, rows) for rows in (x, y))]
    return float(np.abs(shares[0] - shares[1]).mean() * len(x))


def with_moments(x: Tensor, y: Tensor) -> Tensor:
    return moment_loss(x, *moments(y))


def with_directions(x: Tensor, y: Tensor) -> Tensor:
    return transport_loss(x, y / y.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("ours", "plain", "length"),
    [
        (with_directions, transported, 7),
        (palette_loss, palettes, 3),
        (with_moments, moment_differences, 7),
        (self_similarity_loss, similarities, 7),
    ],
)
def test_losses_follow_their_formulas(
    ours: Callable[[Tensor, Tensor], Tensor], plain: Callable[[Array, Array], float], length: int
) -> None:
    """In values and gradients, whichever side is farther from the other."""
    for own, others in ((9, 5), (5, 9)):
        draw = np.random.Generator(np.random.PCG64(own))
        x = draw.uniform(0.1, 1, (own, length))
        y = draw.uniform(0.1, 1, (own if ours is self_similarity_loss else others, length))
        a, b = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)
        assert ours(a, b).item() == pytest.approx(plain(x, y), rel=1e-5)
        assert torch.autograd.gradcheck(lambda a, b=b: ours(a, b), (a,))


# Positions and hypercolumns


def test_positions_form_a_grid_with_a_random_offset() -> None:
    """500x300 pixels are 9 times 128x128: every third row and column."""
    offsets = set()
    for step in range(20):
        at = positions(np.ones((300, 500), np.bool_), 1000, generator(0, step))
        rows, columns = np.divmod(at, 500)
        assert len(set(at.tolist())) == 1000
        offsets.add((*{*(rows % 3).tolist()}, *{*(columns % 3).tolist()}))
    assert len(offsets) > 5 and all(len(offset) == 2 for offset in offsets)
    few = np.zeros((300, 500), np.bool_)
    few[7, 8] = True
    assert positions(few, 1000, generator(0, 0)).tolist() == [7 * 500 + 8]


@pytest.mark.parametrize("bilinear", [True, False])
def test_hypercolumns_are_read_at_halved_coordinates(bilinear: bool) -> None:
    draw = np.random.Generator(np.random.PCG64(1))
    colors = torch.from_numpy(draw.uniform(0, 1, (1, 3, 9, 13)))
    shapes: dict[LayerName, tuple[int, int]] = {
        "conv1_2": (9, 13), "conv2_1": (4, 6), "conv3_2": (2, 3),
    }  # fmt: skip
    maps = {name: torch.from_numpy(draw.uniform(0, 9, (5, *s))) for name, s in shapes.items()}
    factors: dict[LayerName, float] = {"conv1_2": 1.0, "conv2_1": 0.5, "conv3_2": 2.0}
    settings = recipe.Transport.model_validate({"layers": factors, "pixels": 3})
    picture = Picture((13, 9), colors, {name: f.flatten(1) for name, f in maps.items()})
    at = np.array([0, 5, 8 * 13 + 12, 3 * 13 + 6, 8 * 13])
    network = recipe.Network()
    got = hypercolumns(picture, at, settings, network, bilinear=bilinear)
    for number, (row, column) in enumerate(zip(*np.divmod(at, 13), strict=True)):
        expected = [3 * colors[0, :, row, column].numpy()]
        for halvings, (name, f) in enumerate(maps.items()):
            y, x = row / 2**halvings, column / 2**halvings
            if not bilinear:
                y, x = np.floor(y), np.floor(x)
            height, width = f.shape[1:]
            place = torch.tensor([[[[2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1]]]])
            read = functional.grid_sample(
                f[None], place.double(), padding_mode="border", align_corners=True
            )
            expected.append(factors[name] * read.flatten().numpy())
        np.testing.assert_allclose(got[number].numpy(), np.concatenate(expected), rtol=1e-6)


# Paintings


def test_painting_that_is_its_content_and_style_has_no_loss() -> None:
    made = task({"objective.transport.samples": 2000, "objective.transport.style_samples": 2000})
    assert made.content is not None
    same = replace(made, styles=(replace(made.styles[0], picture=made.content),))
    objective = small.objective(same)
    result = objective.record(objective(small.content(objective)).terms)
    values = {**result.content, **result.style["style-1"]}
    assert values["self-similarity"].value == 0
    assert values["palette"].value == pytest.approx(np.sqrt(1e-5 / 3), rel=1e-3)
    assert losses(made).total > 0.05


def test_weights_follow_the_size_of_the_scale() -> None:
    """16 for 64 pixels of the long side, 32 for 32 ..., over that weight and 2."""
    made = task()
    for scale, content in ((1.0, 32.0), (0.5, 64.0)):
        level = replace(made.levels()[0], size=times(WIDE, scale), scale=scale)
        weights = {
            label.layer: w.total for label, w in small.objective(made, level=level).weights.items()
        }
        assert weights["self-similarity"] == pytest.approx(content / (content + 2))
        assert weights["moments"] == pytest.approx(1 / (content + 2))
        assert weights["palette"] == pytest.approx(weights["moments"] / content)
    for changes in ({"strength": 0.75}, {"objective.transport.content_side": None}):
        weight = losses(task(changes)).content["self-similarity"].weight
        assert weight == pytest.approx(16 / (16 + 2))


def test_each_step_and_seed_draws_other_positions() -> None:
    made = task()
    first = losses(made)
    assert losses(made) == first
    for other in (losses(made, step=1), losses(replace(made, seed=1))):
        assert other.total != first.total
        assert other.total == pytest.approx(first.total, rel=0.5)


def palette(made: Task, picture: Pixels, mask: Regions | None = None) -> float:
    """The palette loss with another style."""
    style = replace(made.styles[0], picture=picture, mask=mask)
    return losses(replace(made, styles=(style,))).style["style-1"]["palette"].value


def test_each_region_follows_its_region_of_the_style_and_counts_by_its_area() -> None:
    """Halves that are alike have no palette loss, halves that are swapped have one.

    Then the left quarter of the picture, or the rest, is bright where its style is dark.
    """
    mask = split(16)
    dark, bright = 0.1 * small.picture(4, 16, 28), 255 - 0.1 * small.picture(5, 16, 28)
    content = np.concatenate([dark, bright], 1)
    made = task(content=content[:, ::-1].copy(), content_mask=mask)  # `losses` mirrors the content
    same, swapped, anywhere = (
        palette(made, content, of_style) for of_style in (mask, mask[..., ::-1].copy(), None)
    )
    assert 5 * same < 0.5 < swapped and anywhere < swapped
    by_area = []
    for mask in (split(8), split(24)):
        mirrored = 0.1 * small.picture(4, *WIDE) + 200 * mask[:, ::-1, :1]  # mirrored once more
        made = task(content=mirrored.copy(), content_mask=mask)
        by_area.append(palette(made, 0.1 * small.picture(5, *WIDE)))
    assert by_area[1] == pytest.approx(3 * by_area[0], rel=0.2)


def test_resumed_painting_is_byte_identical_at_both_sizes() -> None:
    whole = resumed(task(styles=2), 1, 3, 4)
    assert len(set(stages(whole).values())) == len(whole) == 5


def test_either_side_paints_alone_and_the_palette_can_be_left_out() -> None:
    alone = {"start": "noise", "objective.transport.palette": False}
    texture = measure(task(alone, content=None), small.network())
    assert texture.style["style-1"].keys() == {"transport", "moments"}
    assert texture.style["style-1"]["transport"].weight == 1 / 2
    reconstruction = measure(task(alone, styles=0), small.network())
    assert set(reconstruction.content) == {"self-similarity"} and not reconstruction.style
    with pytest.raises(RecipeError, match="strength_by: weight"):
        task({"objective.strength_by": "blend"})
