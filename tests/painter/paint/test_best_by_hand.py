"""The default recipe: its terms and their gradient at a coarse scale and at the final size.

By the formulas of docs/recipe-reference.md, in NumPy and float64; nothing is taken from the
painter. Pictures are (3, height, width) in network units, hypercolumns (positions, sum of N).
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from tests.painter import small
from tests.painter.plain_vgg19 import Array, features_and_slope, filters
from tests.painter.small import WIDE

from stylewatch_painter.scene.scales import Level
from stylewatch_painter.size import Size

CONTENT, START, PAINTED, *STYLES = (
    small.in_network_units(small.picture(seed, *WIDE), "best") for seed in (0, 5, 7, 1, 2)
)
STYLE_SHARES = (0.25, 0.75)
CHANGES = {
    "scales": [{"scale": 1, "steps": 1}],
    "smallest": 1,
    "objective.neighbors.dimensions": 4,
    "objective.coarse.neighbors.dimensions": 20,
}
"""Both scales have the size of the pictures; the search has fewer dimensions than the small network
has maps."""

STYLE_SHARE = 0.9
"""Share of the style in mixed targets, 0.72 / 0.8."""
GRAM_WEIGHTS = {"conv1_1": 1.0, "conv2_1": 1.0, "conv3_1": 1.0, "conv4_1": 0.6}
COARSE_LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1",
                 "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3")  # fmt: skip

FILTERS = {name: array for name, array in filters(0).items() if not name.startswith("conv5")}

Terms = dict[tuple[str, str], tuple[float, float]]
"""Value and weight of each term, by the style, or else the side, and the layer."""


# features and hypercolumns


def features(x: Array) -> dict[str, Array]:
    """Features after ReLU, (N, rows, columns), of a picture that is reflected by 8 pixels."""
    padded = np.pad(x, ((0, 0), (8, 8), (8, 8)), "reflect")
    maps, _ = features_and_slope(FILTERS, padded, ["conv1_1"], "max", "floor")
    inside = {}
    for layer, whole in maps.items():
        side = 2 ** (int(layer[4]) - 1)
        rows, columns = (slice(8 // side, 8 // side + pixels // side) for pixels in x.shape[1:])
        inside[layer] = whole[:, rows, columns]
    return inside


def interpolation(length: int, to: int, *, corners: bool) -> Array:
    """Weights (to, length) of linear interpolation, with aligned corners or with aligned edges."""
    at = np.linspace(0, length - 1, to) if corners else (np.arange(to) + 0.5) * length / to - 0.5
    distances = np.abs(at.clip(0, length - 1)[:, None] - np.arange(length))
    return np.asarray(np.maximum(1 - distances, 0))


def interpolated(planes: Array, shape: Sequence[int], *, corners: bool) -> Array:
    """Planes (..., height, width) at another shape."""
    down, right = (
        interpolation(length, to, corners=corners)
        for length, to in zip(planes.shape[-2:], shape, strict=True)
    )
    return np.asarray(down @ planes @ right.T)


def grid(x: Array) -> tuple[int, int]:
    """A quarter of the rows and columns of a picture."""
    return x.shape[1] // 4, x.shape[2] // 4


def hypercolumns(x: Array, layers: Sequence[str]) -> Array:
    """The features of all layers at each position of the grid, each layer divided by N."""
    maps = features(x)
    parts = [
        interpolated(maps[layer], grid(x), corners=True).reshape(len(maps[layer]), -1).T
        / len(maps[layer])
        for layer in layers
    ]
    return np.concatenate(parts, axis=1)


def finest_detail(x: Array) -> Array:
    """A picture less itself at half its size, enlarged again."""
    half = interpolated(x, (x.shape[1] // 2, x.shape[2] // 2), corners=False)
    return x - interpolated(half, x.shape[1:], corners=False)


def to_match(content_share: float) -> Array:
    """The content and the start, which has the content's finest detail in place of its own."""
    sharp = START - finest_detail(START) + finest_detail(CONTENT)
    return content_share * CONTENT + (1 - content_share) * sharp


# detail


def brightness(x: Array) -> Array:
    """Luma (height, width), 0..1."""
    return np.asarray(np.tensordot([0.2126, 0.7152, 0.0722], x + small.MEAN, 1) / 255)


def averaged(plane: Array, shape: Sequence[int]) -> Array:
    """Means of a plane over windows that overlap if its sides are no multiples of the shape."""
    rows, columns = (
        [slice(i * length // of, -(-(i + 1) * length // of)) for i in range(of)]
        for length, of in zip(plane.shape, shape, strict=True)
    )
    return np.array([[plane[row, column].mean() for column in columns] for row in rows])


def protection(shape: Sequence[int]) -> Array:
    """The factor exp(2 r - 1) of each position (positions,); r is its rank, 0..1, by detail."""
    plane = brightness(CONTENT)
    by = [side // (4 * of) for side, of in zip(plane.shape, shape, strict=True)]
    reduced = np.pad(averaged(plane, (plane.shape[0] // by[0], plane.shape[1] // by[1])), 1, "edge")
    right, down = reduced[:, 2:] - reduced[:, :-2], reduced[2:] - reduced[:-2]  # Sobel's filter
    right = right[:-2] + 2 * right[1:-1] + right[2:]
    down = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    change = averaged(right**2 + down**2, shape)
    around = [
        change[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].mean()
        for row, column in np.ndindex(*shape)
    ]
    differences = np.subtract.outer(around, around)
    differences[np.abs(differences) < 1e-9 * np.max(around)] = 0  # windows may be the same ones
    ranks = (1 + np.sign(differences).mean(1)) / 2
    return np.asarray(np.exp(2 * ranks - 1))


# the targets of neighbors


def directions(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def evenly(rows: Array, most: int) -> Array:
    """Up to so many rows, evenly spaced."""
    count = min(most, len(rows))
    return np.asarray(rows[np.arange(count) * len(rows) // count])


def similarities(queries: Array, candidates: Array, dimensions: int) -> Array:
    """The cosines (Q, C) of centered rows, in their projection on principal components."""
    own, others = (directions(rows - rows.mean(0)) for rows in (queries, candidates))
    drawn = np.concatenate([evenly(rows, dimensions) for rows in (own, others)])
    axes = np.linalg.svd(drawn, full_matrices=False)[2][:dimensions]
    return np.asarray(own @ axes.T @ (others @ axes.T).T)


def mixed(chosen: Array, layers: Sequence[str]) -> Array:
    """The content's hypercolumns, mixed with those chosen from the style."""
    share = STYLE_SHARE ** protection(grid(CONTENT))[:, None]
    return np.asarray((1 - share) * hypercolumns(CONTENT, layers) + share * chosen)


@cache
def coarse_targets(number: int) -> Array:
    """Mixed hypercolumns for each position, with matches in the style in four orientations."""
    turned = [np.rot90(STYLES[number], quarter, (1, 2)) for quarter in range(4)]
    queries = hypercolumns(to_match(0.75), COARSE_LAYERS)
    candidates = np.concatenate([hypercolumns(picture, COARSE_LAYERS) for picture in turned])
    own, others = (
        np.concatenate([averaged(brightness(picture), grid(picture)).ravel() for picture in side])
        for side in ([CONTENT], turned)
    )
    own, others = ((bright - bright.mean()) / bright.std() for bright in (own, others))
    similar = similarities(queries, candidates, 20) - 0.2 * (own[:, None] - others) ** 2
    nearest = np.sort(evenly(similar, 1021), axis=0)[-round(0.05 * len(queries)) :]
    similar -= nearest.mean(0)  # the hubness of each candidate, brightness included
    return mixed(candidates[similar.argmax(1)], COARSE_LAYERS)


@cache
def fine_targets(number: int) -> Array:
    """Mixed features of conv3_3 for each position, matched with the picture at the start."""
    queries = hypercolumns(to_match(0), ["conv3_3"])
    candidates = hypercolumns(STYLES[number], ["conv3_3"])
    chosen = candidates[similarities(queries, candidates, 4).argmax(1)]
    return mixed(chosen, ["conv3_3"])


def distances(x: Array, targets: Array, layers: Sequence[str]) -> Array:
    """1 - cos (positions,) of the hypercolumns of a picture and their targets."""
    products = directions(hypercolumns(x, layers)) * directions(targets)
    return np.asarray(1 - products.sum(1))


# terms


def coarse_terms(x: Array) -> Terms:
    return {
        (f"style-{number + 1}", "neighbors"): (
            float(distances(x, coarse_targets(number), COARSE_LAYERS).mean()),
            share,
        )
        for number, share in enumerate(STYLE_SHARES)
    }


def gram(maps: Array) -> Array:
    """F F^T / M."""
    flat = maps.reshape(len(maps), -1)
    return np.asarray(flat @ flat.T / flat.shape[1])


def fine_terms(x: Array) -> Terms:
    own, content = features(x), features(CONTENT)
    _, *shape = content["conv4_2"].shape
    kept = protection(shape).reshape(shape)
    squares = kept / kept.mean() * (own["conv4_2"] - content["conv4_2"]) ** 2
    relative = squares.sum() / (content["conv4_2"] ** 2).sum()
    down, right = x[:, 1:, :-1] - x[:, :-1, :-1], x[:, :-1, 1:] - x[:, :-1, :-1]
    terms = {
        ("content", "conv4_2"): (float(relative), 0.3 * 2 * (1 - 0.72)),
        ("tv", ""): (float(np.hypot(down, right).mean()), 0.02 * STYLE_SHARE),
    }
    for number, share in enumerate(STYLE_SHARES):
        name, of_style = f"style-{number + 1}", features(STYLES[number])
        for layer, weight in GRAM_WEIGHTS.items():
            target = STYLE_SHARE * gram(of_style[layer]) + (1 - STYLE_SHARE) * gram(content[layer])
            square = ((gram(own[layer]) - target) ** 2).sum() / (target**2).sum()
            terms[name, layer] = float(square), weight * share
        targets = fine_targets(number)
        lengths = np.linalg.norm(targets, axis=1)
        counts = np.minimum(1, lengths / np.sqrt((lengths**2).mean()))
        value = (counts * distances(x, targets, ["conv3_3"])).mean()
        terms[name, "neighbors"] = float(value), 2 * share
    return terms


@pytest.mark.parametrize(("level", "by_hand"), [(0, coarse_terms), (1, fine_terms)])
def test_terms_and_gradient_are_those_of_the_formulas(
    level: int, by_hand: Callable[[Array], Terms]
) -> None:
    """With two styles of weights 1 and 3, for the network of `small`.

    Slopes of the formulas are differences, along the gradient and directions by chance.
    """
    task = small.wide_task("best", CHANGES, styles=2)
    objective = small.objective(task, level=level, start=small.tensor(START))
    evaluation = objective(small.tensor(PAINTED))
    losses = objective.record(evaluation.terms)
    found = {("content", layer): term for layer, term in losses.content.items()}
    for name, of_style in losses.style.items():
        found |= {(name, layer): term for layer, term in of_style.items()}
    if losses.tv is not None:
        found["tv", ""] = losses.tv
    expected = by_hand(PAINTED)
    assert found.keys() == expected.keys()
    for key, (value, weight) in expected.items():
        assert (found[key].value, found[key].weight) == pytest.approx((value, weight), rel=1e-4)

    def total(x: Array) -> float:
        return sum(value * weight for value, weight in by_hand(x).values())

    assert losses.total == pytest.approx(total(PAINTED), rel=1e-4)
    gradient = small.array(evaluation.gradient)
    norm = float(np.linalg.norm(gradient))
    draw = np.random.Generator(np.random.PCG64(3))
    for way in (gradient, *draw.standard_normal((3, *gradient.shape))):
        step = 1e-4 * way / np.linalg.norm(way)
        slope = (total(PAINTED + step) - total(PAINTED - step)) / 2
        assert (gradient * step).sum() == pytest.approx(slope, abs=1e-3 * 1e-4 * norm)


@pytest.mark.parametrize(("side", "has_neighbors"), [(801, True), (802, False)])
def test_pictures_up_to_801_pixels_have_neighbors(side: int, has_neighbors: bool) -> None:
    terms = small.task("best").terms(Level(Size(side, 600), 1.0, 10))
    assert ("neighbors" in terms.losses) == has_neighbors
    assert terms.losses.keys() >= {"content", "style", "tv"}
