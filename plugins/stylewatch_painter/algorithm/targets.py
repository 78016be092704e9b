"""Targets of one painting at one size: content features P and style Gram matrices A."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.losses import ContentNorm, Look, content_norm, gram, style_target
from stylewatch_painter.algorithm.scales import Level, pools_before
from stylewatch_painter.algorithm.task import Style, shares
from stylewatch_painter.algorithm.tiles import Tile, View, tiles
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_painter.recipes.recipe import Style as StyleLosses
from stylewatch_painter.stage import Regions

Maps = Mapping[LayerName, Tensor]

Grams = Mapping[LayerName, Tensor]
"""A of each layer and region, (R, N, N) float32; R is 1 without regions."""

_SHALLOW = 3
"""Layers behind fewer pools see less than a brush stroke."""


@dataclass(frozen=True, eq=False)
class ContentTargets:
    """P (B, N, M) float32 of each layer, tile by tile.

    `norms` are the divisors of the content losses. Maps that are not `kept` are computed when they
    are needed, by `view` from `picture` (1, 3, height, width): those of large pictures take
    hundreds of megabytes.
    """

    norms: Mapping[LayerName, ContentNorm] = field(default_factory=dict)
    kept: Mapping[Tile, Maps] = field(default_factory=dict)
    view: View | None = None
    picture: Tensor | None = None

    @classmethod
    @torch.no_grad()
    def of(
        cls, view: View, picture: Tensor, parts: Sequence[Tile], *, keep: bool
    ) -> "ContentTargets":
        """The targets of a `picture` (1, 3, height, width), which will be needed at `parts`."""
        targets = cls({}, {}, view, picture)
        norms: dict[LayerName, ContentNorm] = {}
        kept: dict[Tile, Maps] = {}
        for tile in parts:
            maps = targets.at(tile)
            for layer, P in maps.items():
                norm = content_norm(P)
                norms[layer] = norms[layer] + norm if layer in norms else norm
            if keep:
                kept[tile] = maps
        return cls(norms, kept) if keep else replace(targets, norms=norms)

    @torch.no_grad()
    def at(self, tile: Tile) -> Maps:
        """P of each layer at a tile."""
        if tile in self.kept or self.view is None or self.picture is None:
            return self.kept.get(tile, {})
        maps = self.view.at(tile, tile.of(self.picture))
        # contiguous whatever the network's memory format: it decides the last bits of sums
        return {layer: P.float().contiguous() for layer, P in maps.items()}

    @classmethod
    def batched(cls, each: Sequence["ContentTargets"]) -> "ContentTargets":
        """The targets of paintings that are optimized together; none is divided into tiles."""
        first = each[0]
        if len(each) == 1:
            return first
        kept = {
            tile: {layer: torch.cat([one.kept[tile][layer] for one in each]) for layer in maps}
            for tile, maps in first.kept.items()
        }
        norms = {
            layer: ContentNorm(norm.entries, torch.cat([one.norms[layer].energy for one in each]))
            for layer, norm in first.norms.items()
        }
        return cls(norms, kept)


@dataclass(frozen=True, eq=False)
class StyleTarget:
    """A of a style, or of all styles blended; `share` is its weight among the styles."""

    name: str
    share: float
    grams: Grams


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of one painting at one size, as `network` sees them."""

    canvas: Canvas
    network: FeatureMaps
    level: Level
    cache: StyleCache

    def contents(self) -> ContentTargets:
        """Compute P."""
        objective = self.canvas.task.recipe.objective
        picture = self.canvas.content(self.level.size)
        if objective.content is None or not objective.content.layers or picture is None:
            return ContentTargets()
        view = View(self.network, objective.network, objective.content.layers)
        room = self.canvas.room
        parts = tiles(self.level.size, room.tile, objective.layers)
        keep = room.keeps_content or len(parts) == 1
        return ContentTargets.of(view, picture, parts, keep=keep)

    @torch.no_grad()
    def styles(self) -> tuple[StyleTarget, ...]:
        """Compute A of each style, or of one blend of all styles."""
        losses = self.canvas.task.recipe.objective.style
        styles = self.canvas.task.styles
        if losses is None or not losses.layers or not styles:
            return ()
        total = sum(style.weight for style in styles)
        targets = [
            StyleTarget(style.name, style.weight / total, self._scaled_grams(style, losses))
            for style in styles
        ]
        if losses.several == "grams" and len(targets) > 1:
            targets = [StyleTarget("blend", 1.0, self._blended([one.grams for one in targets]))]
        return tuple(
            replace(
                target,
                grams={layer: style_target(A, losses) for layer, A in target.grams.items()},
            )
            for target in targets
        )

    def _blended(self, each: list[Grams]) -> Grams:
        """Average the Gram matrices of all styles, region by region."""
        parts = torch.from_numpy(shares(self.canvas.task)).to(self.canvas.device, torch.float32)
        return {
            layer: sum(
                (part.view(-1, 1, 1) * grams[layer]
                 for part, grams in zip(parts, each, strict=True)),
                torch.tensor(0.0),
            )
            for layer in each[0]
        }  # fmt: skip

    def _scaled_grams(self, style: Style, losses: StyleLosses) -> Grams:
        """A of each layer, as for a style picture of the painting's scale.

        An unnormalized Gram matrix grows with its picture. Without the division a style seen at
        another scale would ask for a brighter painting, not for larger strokes.
        """
        grams = self._grams(style, losses)
        if losses.gram != "sum":
            return grams
        scale = self.canvas.task.style_scale(style)
        return {layer: A / scale**2 for layer, A in grams.items()}

    def _grams(self, style: Style, losses: StyleLosses) -> Grams:
        """A of each layer; shallow layers see the style at the scale `Task.grain` gives."""
        grain = self.canvas.task.grain(style, self.level.scale)
        larger = self.level.scale / grain
        if larger == 1:
            return self._grams_at_level(style, losses)
        shallow = {layer for layer in losses.layers if pools_before(layer) < _SHALLOW}
        closer = replace(self, level=replace(self.level, scale=grain))
        grams: dict[LayerName, Tensor] = {}
        for targets, layers in ((closer, shallow), (self, losses.layers.keys() - shallow)):
            part = {layer: weight for layer, weight in losses.layers.items() if layer in layers}
            if part:
                grams |= targets._grams_at_level(style, losses.model_copy(update={"layers": part}))
        if losses.gram == "sum":  # as if the style had been enlarged for the shallow layers too
            grams |= {layer: grams[layer] * larger**2 for layer in shallow}
        return {layer: grams[layer] for layer in losses.layers}

    def _grams_at_level(self, style: Style, losses: StyleLosses) -> Grams:
        look = self._look(style, losses).items()
        return {
            layer: torch.cat([gram(sums, losses) for sums in regions]) for layer, regions in look
        }

    def _look(self, style: Style, losses: StyleLosses) -> Look:
        """The sums of each layer for a style at this size, from the cache if possible."""
        task, tile = self.canvas.task, self.canvas.room.tile
        network = task.recipe.objective.network

        def compute() -> Look:
            view = View(self.network, network, losses.layers, losses.gram == "moments")
            return view.sums(self.canvas.style(style, self.level), tile, style.mask)

        if style.digest is None:
            return compute()
        schedule, size = task.recipe.schedule, task.style_size(style, self.level.scale)
        picture = (style.digest, size, schedule.resample, schedule.eight_bit, _digest(style.mask))
        settings = network.model_dump_json(), self.network.exact is self.network
        key = (*picture, *settings, losses.gram, tuple(losses.layers), tile)
        return self.cache.get(key, compute)


def _digest(mask: Regions | None) -> bytes:
    """The SHA-256 of a mask; empty without a mask."""
    if mask is None:
        return b""
    return hashlib.sha256(f"{mask.shape}".encode() + np.ascontiguousarray(mask).tobytes()).digest()
