"""The losses, one in each module: formula, source, targets and value.

`losses_of` creates those of a scene. A new loss is a subclass of `Loss` in a module of its own,
with its settings in `recipes.recipe` and an entry in `_KINDS`.
"""

from collections.abc import Mapping
from typing import Any

from stylewatch_painter.losses.columns import Columns
from stylewatch_painter.losses.content import Content
from stylewatch_painter.losses.gram import GramStyle
from stylewatch_painter.losses.layer_match import LayerMatch
from stylewatch_painter.losses.loss import Loss
from stylewatch_painter.losses.temporal import Temporal
from stylewatch_painter.losses.total_variation import TotalVariation
from stylewatch_painter.losses.transport import Transport
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import LossSettings, Terms
from stylewatch_painter.scene.scene import Scene

_KINDS: Mapping[type[LossSettings], Any] = {
    recipe.Content: Content,
    recipe.Style: GramStyle,
    recipe.Neighbors: Columns,
    recipe.Transport: Transport,
    recipe.TotalVariation: TotalVariation,
}
"""The subclass of `Loss` for each kind of settings."""


def losses_of(scene: Scene) -> list[Loss]:
    """Return the losses of a scene, including their targets.

    Raises PictureError if a style is too small.
    """
    losses: list[Loss] = [_kind(settings)(settings, scene) for settings in _used(scene.terms)]
    if scene.task.prior is not None:
        losses.append(Temporal(scene.task.prior, scene))
    scene.free_features()
    return losses


def needs_start(terms: Terms) -> bool:
    """Return whether targets depend on the picture that a size starts from."""
    return any(_kind(settings).needs_start for settings in _used(terms))


def _used(terms: Terms) -> list[LossSettings]:
    """Return the settings of the losses that have something to compare."""
    return [settings for settings in terms.losses if settings.layer_names or not settings.compared]


def _kind(settings: LossSettings) -> Any:
    if isinstance(settings, recipe.Neighbors) and settings.each == "layer":
        return LayerMatch
    return _KINDS[type(settings)]
