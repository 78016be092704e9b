"""What one painting is held to at one size: its content's features, its styles' Gram matrices."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.algorithm.caches import Looks
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.losses import Look, Whole, gram, style_target, whole
from stylewatch_painter.algorithm.scales import Level, pools_before
from stylewatch_painter.algorithm.task import Style, shares
from stylewatch_painter.algorithm.tiles import Tile, View, tiles
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_painter.recipes.recipe import Style as StyleLosses
from stylewatch_painter.stage import Regions

Maps = Mapping[LayerName, Tensor]


@dataclass(frozen=True, eq=False)
class Contents:
    """P (1, N, M) of each layer, in float32: as much of it as a tile shows.

    `wholes` is what values are divided by. What is not `kept` is worked out when it is asked for,
    by `view`, from `picture` (1, 3, height, width): large pictures take hundreds of megabytes.
    """

    wholes: Mapping[LayerName, Whole]
    kept: Mapping[Tile, Maps] = field(default_factory=dict)
    view: View | None = None
    picture: Tensor | None = None

    @torch.no_grad()
    def at(self, tile: Tile) -> Maps:
        """P of each layer at a tile."""
        if tile in self.kept or self.view is None or self.picture is None:
            return self.kept.get(tile, {})
        found = self.view.at(tile, tile.of(self.picture))
        return {layer: one.float().contiguous() for layer, one in found.items()}


NOTHING = Contents({})
"""A painting that is held to no content."""


@torch.no_grad()
def contents(view: View, picture: Tensor, tiles: Sequence[Tile], *, keep: bool) -> Contents:
    """P of a `picture` (1, 3, height, width), at the `tiles` it will be asked for."""
    kept: dict[Tile, Maps] = {}
    wholes: dict[LayerName, Whole] = {}
    for tile in tiles:
        seen = view.at(tile, tile.of(picture))
        # map by map, whatever the network's order is: that of sums is a matter of bytes
        found = {layer: one.float().contiguous() for layer, one in seen.items()}
        for layer, one in found.items():
            wholes[layer] = wholes[layer] + whole(one) if layer in wholes else whole(one)
        if keep:
            kept[tile] = found
    return Contents(wholes, kept) if keep else Contents(wholes, {}, view, picture)


def together(each: Sequence[Contents]) -> Contents:
    """The contents of paintings that are painted at once, of which none is cut into tiles."""
    first = each[0]
    if len(each) == 1:
        return first
    kept = {
        tile: {layer: torch.cat([one.kept[tile][layer] for one in each]) for layer in found}
        for tile, found in first.kept.items()
    }
    energies = {layer: torch.cat([one.wholes[layer].energy for one in each])
                for layer in first.wholes}  # fmt: skip
    return Contents(
        {layer: Whole(one.entries, energies[layer]) for layer, one in first.wholes.items()}, kept
    )


Grams = Mapping[LayerName, Tensor]
"""A of each layer and region, (R, N, N) float32; R is 1 where there are no regions."""

_SHALLOW = 3
"""Layers behind fewer pools see less than a stroke."""


@dataclass(frozen=True, eq=False)
class Held:
    """What a painting is held to.

    `styles`: (name, share, A of each layer) of each style, or of all of them blended.
    """

    contents: Contents
    styles: tuple[tuple[str, float, Grams], ...]


@torch.no_grad()
def held_to(canvas: Canvas, network: FeatureMaps, level: Level, looks: Looks) -> Held:
    """What the painting on `canvas` is held to; `looks` are what `network` saw of styles before."""
    found = _Looking(canvas, network, level, looks)
    return Held(found.contents(), found.styles())


@dataclass(frozen=True, eq=False)
class _Looking:
    canvas: Canvas
    network: FeatureMaps
    level: Level
    looks: Looks

    def contents(self) -> Contents:
        objective = self.canvas.task.recipe.objective
        picture = self.canvas.content(self.level.size)
        if objective.content is None or not objective.content.layers or picture is None:
            return NOTHING
        view = View(self.network, objective.network, objective.content.layers)
        room = self.canvas.room
        parts = tiles(self.level.size, room.tile, objective.layers)
        return contents(view, picture, parts, keep=room.keeps_content or len(parts) == 1)

    def styles(self) -> tuple[tuple[str, float, Grams], ...]:
        wanted = self.canvas.task.recipe.objective.style
        styles = self.canvas.task.styles
        if wanted is None or not wanted.layers or not styles:
            return ()
        whole = sum(style.weight for style in styles)
        targets: list[tuple[str, float, Grams]] = []
        for style in styles:
            grams = self._grams(style, wanted)
            if wanted.gram == "sum":
                # an unnormalized Gram grows with the picture: one looked at in another scale
                # than the painting's would ask for a brighter painting, not for larger strokes
                asked = self.canvas.task.style_scale(style)
                grams = {layer: one / asked**2 for layer, one in grams.items()}
            targets.append((style.name, style.weight / whole, grams))
        if wanted.several == "grams" and len(targets) > 1:
            targets = [("blend", 1.0, self._blended([grams for _, _, grams in targets]))]
        return tuple(
            (name, share, {layer: style_target(one, wanted) for layer, one in grams.items()})
            for name, share, grams in targets
        )

    def _blended(self, each: list[Grams]) -> Grams:
        """One target for each region, in which every style has its share."""
        parts = torch.from_numpy(shares(self.canvas.task)).to(self.canvas.device, torch.float32)
        return {
            layer: sum(
                (part.view(-1, 1, 1) * grams[layer]
                 for part, grams in zip(parts, each, strict=True)),
                torch.tensor(0.0),
            )
            for layer in each[0]
        }  # fmt: skip

    def _grams(self, style: Style, wanted: StyleLosses) -> Grams:
        """A of each layer, shallow ones as `Task.grain` has it."""
        grain = self.canvas.task.grain(style, self.level.scale)
        larger = self.level.scale / grain
        if larger == 1:
            return self._grams_at_once(style, wanted)
        shallow = {layer for layer in wanted.layers if pools_before(layer) < _SHALLOW}
        closer = replace(self, level=replace(self.level, scale=grain))
        grams: dict[LayerName, Tensor] = {}
        for looking, layers in ((closer, shallow), (self, wanted.layers.keys() - shallow)):
            part = {layer: share for layer, share in wanted.layers.items() if layer in layers}
            if part:
                grams |= looking._grams_at_once(style, wanted.model_copy(update={"layers": part}))
        if wanted.gram == "sum":  # it grows with the picture: as if this had been enlarged
            grams |= {layer: grams[layer] * larger**2 for layer in shallow}
        return {layer: grams[layer] for layer in wanted.layers}

    def _grams_at_once(self, style: Style, wanted: StyleLosses) -> Grams:
        """A of each layer, all as they look at `style` at this size."""
        look = self._look(style, wanted).items()
        return {layer: torch.cat([gram(one, wanted) for one in regions]) for layer, regions in look}

    def _look(self, style: Style, wanted: StyleLosses) -> Look:
        """The sums of each layer, as the network sees `style` at this size; worked out once."""
        objective = self.canvas.task.recipe.objective

        def work_out() -> Look:
            view = View(self.network, objective.network, wanted.layers, wanted.gram == "moments")
            picture = self.canvas.style(style, self.level)
            return view.sums(picture, self.canvas.room.tile, style.mask)

        if style.digest is None:
            return work_out()
        recipe, size = self.canvas.task.recipe, self.canvas.task.style_size(style, self.level.scale)
        seen_as = (size, recipe.schedule.resample, recipe.schedule.eight_bit, _digest(style.mask))
        network = objective.network.model_dump_json(), self.network.exact is self.network
        key = (style.digest, *seen_as, *network, wanted.gram, tuple(wanted.layers))
        return self.looks.find((*key, self.canvas.room.tile), work_out)


def _digest(mask: Regions | None) -> bytes:
    """What tells a mask from others; empty where there is none."""
    if mask is None:
        return b""
    return hashlib.sha256(f"{mask.shape}".encode() + np.ascontiguousarray(mask).tobytes()).digest()
