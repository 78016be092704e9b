"""How near backend `onnx` comes to backend `torch`, recipe by recipe: `make parity`.

Both are evaluated at the pictures of torch's first steps. A gradient depends on decisions (which
features are above zero, which of four is the greatest), and where two values are as good as equal
any two ways to add up may decide otherwise. So torch's gradient is worked out twice: as torch
decides, and as the graph decided.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_export.verify import distance, network, opened, torch_back
from stylewatch_painter.algorithm.canvas import Canvas, optimizer
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.images.resize import resize
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.vgg19 import Mean, Vgg19, layers_up_to
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import LayerName, Network
from stylewatch_painter.stage import Pixels
from stylewatch_plugins import graphs
from stylewatch_plugins.graphs import Plan
from stylewatch_plugins.onnx_runtime import OrtVgg19
from stylewatch_plugins.testing.tasks import picture, terms


@dataclass(frozen=True)
class Difference:
    """At one picture: of the terms the greatest, as a share of what is allowed; of gradients."""

    terms: float
    gradient: float
    gradient_as_decided: float


class Decided:
    """VGG19 in torch, whose way back takes the decisions of the graph."""

    rereads_maps = True

    def __init__(self, vgg: Vgg19, graph: OrtVgg19, plan: Plan) -> None:
        self.mean: Mean = vgg.mean
        self.device = vgg.device
        self.parts = (vgg, graph, plan)

    @property
    def exact(self) -> "Decided":
        return self

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        found: tuple[Tensor, ...] = _Decided.apply(x, self)
        named = zip(self.parts[2].layers, found, strict=True)
        return {layer: maps for layer, maps in named if layer in layers}


class _Decided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decided: Decided) -> tuple[Tensor, ...]:
        vgg, graph, plan = ctx.parts = decided.parts
        features, state = graph.forward(x, keep=True)
        ctx.kept = {**dict(zip(plan.layers, features, strict=True)), **state}
        found = vgg(x, plan.layers, network(plan))
        return tuple(found[layer] for layer in plan.layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        vgg, _, plan = ctx.parts
        own = dict(zip(plan.layers, gradients, strict=True))
        return torch_back(vgg, plan, ctx.kept, own), None


def differences(name: str, size: tuple[int, int], steps: int) -> Iterator[Difference]:
    """At the pictures of the first `steps` steps of recipe `name`, at `size` (width, height)."""
    width, height = size
    recipe = book.change(
        book.find(name),
        {"size": f"{width}x{height}", "fit": "stretch", "enlarge": True, "scales": []},
    )
    task = Task(recipe, _grained(width, height, 0), (Style(_grained(height, width, 1)),))
    file = weights.locate()
    plan = Plan.of(recipe.objective, file)
    _, arrays = store.load(file, layers_up_to(plan.layers))
    vgg = Vgg19({name: torch.from_numpy(array) for name, array in arrays.items()}, file.mean)
    with graphs.ready(plan, "bundled") as pair:
        graph = opened(pair, plan)
    canvas = Canvas(task, file.mean, vgg.device)
    level = canvas.task.levels()[-1]
    targets = [Objective([canvas], maps, level) for maps in (vgg, graph, Decided(vgg, graph, plan))]
    u, moves = canvas.start(level.size), optimizer(recipe.schedule.optimizer)
    for _ in range(steps):
        ours, theirs, decided = (target(u) for target in targets)
        losses = targets[0].losses(ours.terms)[0]
        weighted = torch.tensor([term.weight for term in terms(losses)])
        one, two = ours.terms[0] * weighted, theirs.terms[0] * weighted
        allowed = 1e-4 * torch.clamp(one.abs(), min=1e-3 * abs(losses.total))
        yield Difference(
            float(((one - two).abs() / allowed).max()),
            distance(theirs.gradient, ours.gradient),
            distance(theirs.gradient, decided.gradient),
        )
        moves.step(u, targets[0])


def _grained(width: int, height: int, seed: int) -> Pixels:
    """Broad shades with some grain, as photographs have them."""
    coarse = picture(6, 5, seed)
    large: Pixels = resize(coarse, (width, height), "bicubic")
    grain = np.random.Generator(np.random.PCG64(seed)).normal(0, 6, large.shape)
    return np.clip(large + grain, 0, 255).astype(np.float32)


def main() -> None:
    """Print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="321x240", help="width x height in pixels")
    parser.add_argument("--steps", type=int, default=20, help="pictures of each recipe")
    parser.add_argument("recipes", nargs="*", default=book.names(), help="all, if not said")
    asked = parser.parse_args()
    width, height = (int(side) for side in asked.size.split("x"))
    print(f"{asked.steps} pictures of {width}x{height}; greatest difference of all")
    print(f"{'':14} {'terms':>9} {'gradient, as the graph decided':>31} {'as torch did':>13}")
    good = True
    for name in asked.recipes:
        seen = list(differences(name, (width, height), asked.steps))
        worst = max(one.terms for one in seen) * 1e-4
        decided = max(one.gradient_as_decided for one in seen)
        free = sorted(one.gradient for one in seen)
        print(f"{name:14} {worst:9.1e} {decided:31.1e} {free[-1]:13.1e}", flush=True)
        good = good and worst <= 1e-4 and decided <= 1e-4
    sys.exit(not good)


if __name__ == "__main__":
    main()
