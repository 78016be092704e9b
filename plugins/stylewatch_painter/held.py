"""What one painting is held to at one size: its content's features, its styles' Gram matrices."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylewatch_painter.canvas import Canvas
from stylewatch_painter.feature_maps import FeatureMaps
from stylewatch_painter.looks import Grams, Looks
from stylewatch_painter.losses import gram, maps, style_target
from stylewatch_painter.pyramid import Level, pools_before
from stylewatch_painter.recipe import LayerName
from stylewatch_painter.recipe import Style as StyleLosses
from stylewatch_painter.task import Style

_SHALLOW = 3
"""Layers behind fewer pools see less than a stroke."""


@dataclass(frozen=True, eq=False)
class Held:
    """What a painting is held to.

    `contents`: P (1, N, M) of each content layer. `styles`: (name, share, A of each layer) of
    each style, or of all of them blended; A is (N, N).
    """

    contents: Mapping[LayerName, Tensor]
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

    def contents(self) -> dict[LayerName, Tensor]:
        wanted = self.canvas.task.recipe.objective.content
        picture = self.canvas.content(self.level.size)
        if wanted is None or not wanted.layers or picture is None:
            return {}
        return {layer: maps(f) for layer, f in self._features(picture, wanted.layers).items()}

    def styles(self) -> tuple[tuple[str, float, Grams], ...]:
        wanted = self.canvas.task.recipe.objective.style
        styles = self.canvas.task.styles
        if wanted is None or not wanted.layers or not styles:
            return ()
        whole = sum(style.weight for style in styles)
        targets: list[tuple[str, float, Grams]] = []
        for style in styles:
            grams = self._look(style, wanted)
            if wanted.gram == "sum":
                # an unnormalised Gram grows with the picture: one looked at in another scale
                # than the painting's would ask for a brighter painting, not for larger strokes
                asked = self.canvas.task.style_scale(style)
                grams = {layer: one / asked**2 for layer, one in grams.items()}
            targets.append((style.name, style.weight / whole, grams))
        if wanted.several == "losses" or len(targets) == 1:
            return tuple((name, share, self._targets(grams)) for name, share, grams in targets)
        blended = {
            layer: sum((share * grams[layer] for _, share, grams in targets), torch.tensor(0.0))
            for layer in wanted.layers
        }
        return (("blend", 1.0, self._targets(blended)),)

    def _targets(self, grams: Grams) -> Grams:
        style = self.canvas.task.recipe.objective.style
        return {layer: style_target(a, style) for layer, a in grams.items()} if style else grams

    def _look(self, style: Style, wanted: StyleLosses) -> Grams:
        """A of each layer, shallow ones as `Task.grain` has it."""
        grain = self.canvas.task.grain(style, self.level.scale)
        larger = self.level.scale / grain
        if larger == 1:
            return self._look_at(style, wanted)
        shallow = {layer for layer in wanted.layers if pools_before(layer) < _SHALLOW}
        closer = replace(self, level=replace(self.level, scale=grain))
        grams: dict[LayerName, Tensor] = {}
        for looking, layers in ((closer, shallow), (self, wanted.layers.keys() - shallow)):
            part = {layer: share for layer, share in wanted.layers.items() if layer in layers}
            if part:
                grams |= looking._look_at(style, wanted.model_copy(update={"layers": part}))
        if wanted.gram == "sum":  # it grows with the picture: as if this had been enlarged
            grams |= {layer: grams[layer] * larger**2 for layer in shallow}
        return {layer: grams[layer] for layer in wanted.layers}

    def _look_at(self, style: Style, wanted: StyleLosses) -> Grams:
        """A of each layer, as the network sees `style` at this size; worked out only once."""

        def work_out() -> Grams:
            found = self._features(self.canvas.style(style, self.level), wanted.layers)
            return {layer: gram(maps(f), wanted).squeeze(0) for layer, f in found.items()}

        if style.digest is None:
            return work_out()
        recipe, size = self.canvas.task.recipe, self.canvas.task.style_size(style, self.level.scale)
        seen_as = (size, recipe.schedule.resample, recipe.schedule.eight_bit)
        network = recipe.objective.network.model_dump_json()
        key = (style.digest, *seen_as, network, wanted.gram, tuple(wanted.layers))
        return self.looks.find(key, work_out)

    def _features(self, picture: Tensor, layers: Collection[LayerName]) -> dict[LayerName, Tensor]:
        return self.network(picture, layers, self.canvas.task.recipe.objective.network)
