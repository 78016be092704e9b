"""Differences between the backends `onnx` and `torch`, for each recipe: `make parity`.

Both are evaluated at the pictures of torch's first steps. A gradient depends on decisions (which
features are above zero, which of four is the greatest, which column of the style is the nearest);
where two values are almost equal, another order of summation may decide otherwise. So torch's
gradient is computed twice: with torch's own decisions, and with those of the graph, from whose
features the losses then decide, too. Differences of the features are those of the terms.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from bench.common import task
from torch import Tensor

from stylewatch_export.verify import LIMIT, distance, opened, torch_back
from stylewatch_painter.images.resize import resize
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import Mean, Vgg19
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.paint.paint import scene
from stylewatch_painter.recipes import book
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.stage import Pixels
from stylewatch_painter.vgg import LayerName, layers_up_to
from stylewatch_plugins import graphs
from stylewatch_plugins.graphs import Plan
from stylewatch_plugins.onnx_runtime import OrtVgg19
from stylewatch_plugins.testing.tasks import picture, terms


@dataclass(frozen=True)
class Difference:
    """Differences at a picture: of its gradients, and the largest of its terms to the limit."""

    terms: float
    gradient: float
    gradient_as_decided: float


class GraphDecisions:
    """VGG19 in torch, whose backward pass takes the decisions of the graph."""

    rereads_maps = True

    def __init__(self, vgg: Vgg19, graph: OrtVgg19, plan: Plan) -> None:
        self.mean: Mean = vgg.mean
        self.device = vgg.device
        self.parts = (vgg, graph, plan)

    @property
    def exact(self) -> "GraphDecisions":
        return self

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: NetworkSettings
    ) -> dict[LayerName, Tensor]:
        features: tuple[Tensor, ...] = _GraphDecisions.apply(x, self)
        named = zip(self.parts[2].layers, features, strict=True)
        return {layer: maps for layer, maps in named if layer in layers}


class _GraphDecisions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decided: GraphDecisions) -> tuple[Tensor, ...]:
        _, graph, plan = ctx.parts = decided.parts
        features, state = graph.forward(x, keep=True)
        ctx.kept = {**dict(zip(plan.layers, features, strict=True)), **state}
        return tuple(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        vgg, _, plan = ctx.parts
        own = dict(zip(plan.layers, gradients, strict=True))
        return torch_back(vgg, plan, ctx.kept, own), None


def differences(name: str, size: tuple[int, int], steps: int) -> Iterator[Difference]:
    """Yield the differences at the pictures of the first steps; `size` is (width, height)."""
    width, height = size
    changes = {"size": f"{width}x{height}", "fit": "stretch", "enlarge": True, "scales": []}
    pair = _grained(width, height, 0), _grained(height, width, 1)
    given = task(book.find(name), pair, changes)
    file = weights.locate()
    plan = Plan.of(given.recipe.objective, file)
    _, arrays = store.load(file, layers_up_to(plan.layers))
    vgg = Vgg19({name: torch.from_numpy(array) for name, array in arrays.items()}, file.mean)
    graph = opened(graphs.ready(plan, "bundled"), plan)
    canvas = Canvas(given, file.mean, vgg.device)
    level = canvas.task.levels()[-1]
    networks = (vgg, graph, GraphDecisions(vgg, graph, plan))
    objectives = [Objective(scene(canvas, each, level)) for each in networks]
    u, descent = canvas.start(level.size), given.recipe.schedule.optimizer.new()
    for _ in range(steps):
        in_torch, in_graph, decided = (objective(u) for objective in objectives)
        losses = objectives[0].record(in_torch.terms)
        term_weights = torch.tensor([term.weight for term in terms(losses)])
        off = ((in_torch.terms - in_graph.terms) * term_weights).abs()
        term_sizes = (in_torch.terms * term_weights).abs()
        allowed = LIMIT * torch.clamp(term_sizes, min=1e-3 * abs(losses.total))
        yield Difference(
            float((off / allowed).max()),
            distance(in_graph.gradient, in_torch.gradient),
            distance(in_graph.gradient, decided.gradient),
        )
        descent.step(u, objectives[0])


def _grained(width: int, height: int, seed: int) -> Pixels:
    """Return a smooth picture with some grain, so that no equal values are decided by chance."""
    large: Pixels = resize(picture(6, 5, seed), (width, height), "bicubic")
    grain = np.random.Generator(np.random.PCG64(seed)).normal(0, 6, large.shape)
    return np.clip(large + grain, 0, 255).astype(np.float32)


def main() -> int:
    """Print the largest differences of each recipe; return 1 if one is above the limit."""
    parser = ArgumentParser(prog="python -m tests.plugins.parity", description=__doc__)
    parser.add_argument("--size", default="321x240", help="width x height in pixels")
    parser.add_argument("--steps", type=int, default=20, help="pictures of each recipe")
    parser.add_argument("recipes", nargs="*", default=book.names(), help="default: all")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    print("recipe, terms / allowed, gradient as the graph decided, as torch decided itself")
    code = 0
    for name in options.recipes:
        found = differences(name, (width, height), options.steps)
        worst = Difference(*map(max, zip(*map(astuple, found), strict=True)))
        print(f"{name:14} {worst.terms:.3f} {worst.gradient_as_decided:.1e} {worst.gradient:.1e}",
              flush=True)  # fmt: skip
        code |= worst.terms > 1 or worst.gradient_as_decided > LIMIT
    return code


if __name__ == "__main__":
    sys.exit(main())
