"""What a painting does without where memory does not suffice: large tiles, pixels, its device.

What was chosen is kept beside the checkpoint, and holds again when the painting goes on. It ends
where other settings are asked for.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.prepare import Prepared
from stylewatch_painter.algorithm import scales
from stylewatch_painter.recipes import book

SMALLEST = 256
"""Pixels of the long side under which no painting is made smaller by itself."""

SMALLEST_TILE = 256
"""The same of tiles."""

_TILES = "memory did not suffice: this is painted in tiles of "
_PIXELS = "memory did not suffice for "


@dataclass(frozen=True)
class Relief:
    """How a painting departs from what was asked.

    `size` (as settings have it), `device` and `tile` (pixels) are None where they are as asked;
    `asked` is the digest of that, `notes` say what was departed from in sentences.
    """

    asked: str = ""
    size: str | None = None
    device: str | None = None
    tile: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, order: Order, story: Mapping[str, Any]) -> "Relief":
        """What the `story` of an earlier attempt at `order` tells, if the same is asked; or none.

        Raises RecipeError.
        """
        told = story.get("relief")
        if not told or told["asked"] != _digest(order):
            return cls()
        return cls(**{**told, "notes": tuple(told["notes"])})

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `of` takes them."""
        return {**asdict(self), "notes": list(self.notes)}

    @property
    def decided(self) -> dict[str, str | int]:
        """What was chosen, as the receipt has it."""
        chosen = {"size": self.size, **self.options}
        return {key: value for key, value in chosen.items() if value is not None}

    @property
    def options(self) -> dict[str, str | int]:
        """What was chosen of a backend's options."""
        chosen = {"device": self.device, "tile": self.tile}
        return {key: value for key, value in chosen.items() if value is not None}

    def applied(self, order: Order) -> Order:
        """`order` as it is to be painted."""
        settings = order.settings
        changes: dict[str, Any] = {key: one for key, one in self.decided.items() if key != "tile"}
        if self.size is not None:
            beaten = {"size", "schedule.size"}
            changes["set"] = {key: one for key, one in settings.set.items() if key not in beaten}
        return replace(order, settings=settings.model_copy(update=changes))

    def further(self, order: Order, prepared: Prepared) -> "Relief | None":
        """What to do without now that there was no memory for `prepared`; None: nothing is left."""
        said = order.backend_options.get("tile", "auto") != "auto"
        less = None if said else self._in_smaller_tiles(prepared)
        if less is not None:
            return replace(less, asked=_digest(order))
        if order.out_of_memory == "smaller":
            less = self._smaller(order, prepared)
        elif order.out_of_memory == "cpu":
            less = self._on_the_processor(prepared)
        return less and replace(less, asked=_digest(order))

    def _in_smaller_tiles(self, prepared: Prepared) -> "Relief | None":
        """Tiles half as long, where the backend has any: the painting stays the same."""
        task = prepared.task
        now = prepared.backend.provenance(task).decided.get("tile")
        if now is None:
            return None
        side = max(task.final) if now == "none" else min(int(now), max(task.final))
        if side // 2 < SMALLEST_TILE:
            return None
        return replace(self, tile=side // 2, notes=self._noted(_TILES, f"{side // 2} pixels"))

    def _noted(self, about: str, rest: str) -> tuple[str, ...]:
        """The notes, with a new one in place of what was noted `about` the same."""
        return (*(note for note in self.notes if not note.startswith(about)), about + rest)

    def _smaller(self, order: Order, prepared: Prepared) -> "Relief | None":
        """Half the area; as often as it takes."""
        task = prepared.task
        asked = "x".join(str(side) for side in scales.times(task.final, math.sqrt(0.5)))
        half = replace(task, recipe=book.change(task.recipe, {"size": asked}))
        objective = task.recipe.objective
        least = scales.least_side(objective.network, objective.layers)
        if max(half.final) < SMALLEST or min(half.final) < least:
            return None
        whole = replace(task, recipe=order.settings.resolve(*order.recipe_folders))
        wanted, here = ("x".join(str(side) for side in one.final) for one in (whole, half))
        notes = self._noted(_PIXELS, f"{wanted} pixels: this is painted at {here}")
        notes = tuple(note for note in notes if not note.startswith(_TILES))
        return replace(self, size=asked, tile=None, notes=notes)

    def _on_the_processor(self, prepared: Prepared) -> "Relief | None":
        device = prepared.backend.provenance(prepared.task).device
        devices = {one.name for one in prepared.backend.devices()}
        if self.device or device == "cpu" or "cpu" not in devices:
            return None
        note = f"memory of {device} did not suffice: this is painted on the processor"
        kept = tuple(one for one in self.notes if not one.startswith(_TILES))
        return replace(self, device="cpu", tile=None, notes=(*kept, note))


AS_ASKED = Relief()
"""Nothing is done without."""


def _digest(order: Order) -> str:
    """What tells whether the same painting is asked for."""
    recipe = order.settings.resolve(*order.recipe_folders)
    told = f"{order.settings.backend} {order.settings.device} {recipe.model_dump_json()}"
    return hashlib.sha256(told.encode()).hexdigest()
