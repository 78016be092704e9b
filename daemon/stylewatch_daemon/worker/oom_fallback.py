"""Fallbacks for a lack of memory: smaller tiles, fewer pixels, the CPU.

The choice is stored in the snapshot, and applies when the job continues with the same settings.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import Prepared
from stylewatch_painter.recipes import book
from stylewatch_painter.scene import scales

MIN_SIDE = 256
"""Minimum long side in pixels to which jobs are automatically reduced."""

MIN_TILE = 256
"""Minimum side in pixels to which tiles are reduced."""

_TILES = "there was not enough memory: this is painted in tiles of "
_PIXELS = "there was not enough memory for "


@dataclass(frozen=True)
class OomFallback:
    """Differences between the settings of a job and how it runs.

    `size` (as in the settings), `device` and `tile` (pixels) are None if they are as requested;
    `asked` is a digest of the settings, `notes` describe the differences in sentences.
    """

    asked: str = ""
    size: str | None = None
    device: str | None = None
    tile: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, order: Order, record: Mapping[str, Any]) -> "OomFallback":
        """Return the fallback in the `record` of an earlier attempt with the same settings.

        Without one, or with other settings, return a fallback without differences. Raises
        RecipeError if the recipe of `order` is invalid.
        """
        values = record.get("relief")
        if not values or values["asked"] != _digest(order):
            return cls()
        return cls(**{**values, "notes": tuple(values["notes"])})

    def as_json(self) -> dict[str, Any]:
        """Return the differences as plain values, from which `of` restores them."""
        return {**asdict(self), "notes": list(self.notes)}

    @property
    def decided(self) -> dict[str, str | int]:
        """The size, device and tile that differ from the request, for the receipt."""
        return ({} if self.size is None else {"size": self.size}) | self.options

    @property
    def options(self) -> dict[str, str | int]:
        """The device and tile that differ from the request, as options of the backend."""
        values = {"device": self.device, "tile": self.tile}
        return {key: value for key, value in values.items() if value is not None}

    def applied(self, order: Order) -> Order:
        """Return `order` with the size and the device of this fallback.

        The tile is an option of the backend alone; see `options`. Raises RecipeError if the recipe
        is invalid at that size.
        """
        settings = order.settings
        changes: dict[str, Any] = {k: value for k, value in self.decided.items() if k != "tile"}
        if self.size is not None:
            changes["set"] = {
                key: value for key, value in settings.set.items() if book.bare_name(key) != "size"
            }
        recipe = order.recipe
        if self.size is not None:
            recipe = book.change(book.check(recipe), {"size": self.size}).model_dump()
        return replace(order, settings=settings.model_copy(update=changes), recipe=recipe)

    def further(self, order: Order, prepared: Prepared) -> "OomFallback | None":
        """Return the next fallback after there was not enough memory for `prepared`.

        None if there is none, or if `order` does not allow it.
        """
        fallback: OomFallback | None = None
        if order.backend_options.get("tile", "auto") == "auto":
            fallback = self._smaller_tiles(prepared)
        if fallback is None and order.out_of_memory == "smaller":
            fallback = self._smaller_picture(order, prepared)
        elif fallback is None and order.out_of_memory == "cpu":
            fallback = self._on_cpu(prepared)
        return fallback and replace(fallback, asked=_digest(order))

    def _smaller_tiles(self, prepared: Prepared) -> "OomFallback | None":
        """Return the fallback with tiles of half the side; None if that is impossible.

        Tiles do not change the result.
        """
        task = prepared.task
        tile = prepared.backend.provenance(task).decided.get("tile")
        if tile is None or task.final_terms.needs_whole_picture:
            return None
        longest = task.final.long
        half = (longest if tile == "none" else min(int(tile), longest)) // 2
        if half < MIN_TILE:
            return None
        return replace(self, tile=half, notes=self._notes(_TILES, f"{_TILES}{half} pixels"))

    def _smaller_picture(self, order: Order, prepared: Prepared) -> "OomFallback | None":
        """Return the fallback with half the area; None if the picture would be too small."""
        task = prepared.task
        size = str(task.final.times(math.sqrt(0.5)))
        half = replace(task, recipe=book.change(task.recipe, {"size": size}))
        objective = task.recipe.objective
        minimum = scales.least_side(objective.network, objective.layers)
        if half.final.long < MIN_SIDE or half.final.short < minimum:
            return None
        full = replace(task, recipe=book.check(order.recipe))
        note = f"{_PIXELS}{full.final} pixels: this is painted at {half.final}"
        return replace(self, size=size, tile=None, notes=self._notes((_PIXELS, _TILES), note))

    def _on_cpu(self, prepared: Prepared) -> "OomFallback | None":
        device = prepared.backend.provenance(prepared.task).device
        devices = {device.name for device in prepared.backend.devices()}
        if self.device or device == "cpu" or "cpu" not in devices:
            return None
        note = f"{device} did not have enough memory: this is painted on the processor"
        return replace(self, device="cpu", tile=None, notes=self._notes(_TILES, note))

    def _notes(self, replaced: str | tuple[str, ...], note: str) -> tuple[str, ...]:
        """Return the notes with `note` added and those that begin with `replaced` removed."""
        return (*(old for old in self.notes if not old.startswith(replaced)), note)


AS_ASKED = OomFallback()
"""Fallback without differences."""


def _digest(order: Order) -> str:
    """Return a digest of the settings for which a fallback is valid."""
    recipe = book.check(order.recipe).model_dump_json()
    text = f"{order.settings.backend} {order.settings.device} {recipe}"
    return hashlib.sha256(text.encode()).hexdigest()
