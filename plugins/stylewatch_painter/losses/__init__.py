"""The losses, one in each module: settings, formula with its source, targets and value.

`kinds` lists the settings of the losses that recipes can name. A new loss is a module with a
subclass of `LossSettings` and one of `Loss`. It has an entry in `_OWN`, or an entry point of the
group `stylewatch.losses` with the name of the loss. A loss imports the network's layers, torch only
where it is used, and the scene for its types alone. Begin with `loss`, then `gram`.
"""

import re
from inspect import isabstract
from typing import Any

from stylewatch_painter import installed
from stylewatch_painter.fields import Strict
from stylewatch_painter.losses.columns import NeighborsSettings
from stylewatch_painter.losses.content import ContentSettings
from stylewatch_painter.losses.gram import StyleSettings
from stylewatch_painter.losses.loss import LossSettings
from stylewatch_painter.losses.total_variation import TotalVariationSettings

_OWN: tuple[type[LossSettings], ...] = (
    ContentSettings,
    StyleSettings,
    NeighborsSettings,
    TotalVariationSettings,
)

OTHER_FIELDS = frozenset(
    {"network", "coarse", "largest", "temporal", "strength", "strength_by", "protect_detail"}
)
"""Fields of an objective that hold no loss. No loss can have one of these names."""

METHODS = frozenset({"fine", "scales", "at", "layers", "weighed"})
"""Names of the methods of an objective. No loss can have one of these names."""


def kinds() -> dict[str, type[LossSettings]]:
    """Return the settings classes of all losses by name, in the order in which losses are summed.

    The painter's own losses come first. Invalid entry points are left out.
    """
    return {**own(), **installed.load("losses", _misfit, own())}


def own() -> dict[str, type[LossSettings]]:
    """Return the settings classes of the painter's own losses by name."""
    return {settings.name: settings for settings in _OWN}


def _misfit(name: str, settings: Any) -> str | None:
    """Return why the class `settings` cannot be the loss `name` of an objective; None if it can."""
    if not (isinstance(settings, type) and issubclass(settings, LossSettings)):
        return "it is no subclass of LossSettings"
    if isabstract(settings):
        return f"it lacks {', '.join(sorted(settings.__abstractmethods__))}"
    if getattr(settings, "name", None) != name:
        return f"its settings do not have the name {name}"
    is_taken = name in OTHER_FIELDS | METHODS or hasattr(Strict, name)
    if is_taken or not re.fullmatch("[a-z][a-z0-9_]*", name):
        return "no field can have that name"
    settings.model_rebuild()  # fails if the type of a field is not defined
    return None
