"""What the terms of an objective are called, how much each counts, and the record made of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from stylewatch_painter.recipes.recipe import LayerName, Objective
from stylewatch_painter.stage import Losses, Term


@dataclass(frozen=True)
class Label:
    """What a term is called, and how much it counts in the total (weight) and the gradient (pull).

    `style` is the name of the style picture that a term of side `style` is about.
    """

    side: str
    layer: str
    weight: float
    pull: float
    style: str = ""


def label_terms(
    objective: Objective,
    contents: Collection[LayerName],
    styles: Sequence[tuple[str, float, Collection[LayerName]]],
) -> Iterator[Label]:
    """The labels of all terms: content layers, then the layers of each style, then smoothness.

    `styles` gives (name, share, layers) of each style.
    """
    if objective.content is not None:
        for layer in contents:
            weight = objective.content.layers[layer] * 16 ** (0.5 - objective.strength)
            yield Label("content", layer, weight, weight)
    if objective.style is not None:
        for name, share, layers in styles:
            for layer in layers:
                weight = objective.style.layers[layer] * share
                yield Label("style", layer, weight, weight, name)
    if objective.tv is not None:
        pull = objective.tv.gradient_weight
        weight = objective.tv.weight
        yield Label("tv", "", weight, weight if pull is None else pull)


def as_losses(labels: Sequence[Label], values: Sequence[float]) -> Losses:
    """The values of terms as a record: what each is of, and their weighted sum."""
    total = 0.0
    content: dict[str, Term] = {}
    style: dict[str, dict[str, Term]] = {}
    tv = None
    for label, value in zip(labels, values, strict=True):
        aside = label.pull if label.pull != label.weight else None
        term = Term(value, label.weight, aside)
        total += value * label.weight
        if label.side == "content":
            content[label.layer] = term
        elif label.side == "style":
            style.setdefault(label.style, {})[label.layer] = term
        else:
            tv = term
    return Losses(total, content, style, tv)
