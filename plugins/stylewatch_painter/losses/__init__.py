"""The losses, one in each module: settings, formula with its source, targets and value.

`kinds` lists the settings of those that recipes can name. A new loss is a module with a subclass of
`LossSettings` and one of `Loss`, and an entry of `_OWN`.
"""

from stylewatch_painter.losses.columns import NeighborsSettings
from stylewatch_painter.losses.content import ContentSettings
from stylewatch_painter.losses.gram import StyleSettings
from stylewatch_painter.losses.loss import LossSettings
from stylewatch_painter.losses.total_variation import TotalVariationSettings
from stylewatch_painter.losses.transport import TransportSettings

_OWN: tuple[type[LossSettings], ...] = (
    ContentSettings,
    StyleSettings,
    NeighborsSettings,
    TransportSettings,
    TotalVariationSettings,
)


def kinds() -> dict[str, type[LossSettings]]:
    """Return the settings of all losses by their names, in the order in which they are summed."""
    return {settings.name: settings for settings in _OWN}
