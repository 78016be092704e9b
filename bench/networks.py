"""A step of recipe `devos` with VGG19 in eager torch, in backend `torch` and in backend `onnx`.

Steps are taken in turn in one process, so that a machine whose speed drifts treats all alike;
what counts is the ratio, step by step. Peaks of memory, and the time from the first word to the
first evaluation's beginning, come from processes of their own. `eager` is what programs do that
were written for the paper: autograd through plain convolutions, channel after channel.
"""

import json
import statistics
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Collection
from pathlib import Path

import torch
from bench import common
from torch import Tensor
from torch.nn import functional

from stylewatch_painter import sample
from stylewatch_painter.network import store as weights_read
from stylewatch_painter.network import weights
from stylewatch_painter.network.vgg19 import FeatureMaps, Mean, Vgg19
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.paint.paint import scene
from stylewatch_painter.paint.state import optimizer
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Network
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import go_on
from stylewatch_painter.vgg import LayerName, layers_up_to
from stylewatch_plugins import graphs, registry
from stylewatch_plugins.graphs import Plan
from stylewatch_plugins.onnx_runtime import OrtVgg19

CPU = torch.device("cpu")


class Eager:
    """VGG19 as torch's own functions make it, its gradient left to autograd."""

    rereads_maps = True

    def __init__(self, arrays: dict[str, Tensor], mean: Mean) -> None:
        self.mean = mean
        self.device = CPU
        self._arrays = arrays

    @property
    def exact(self) -> "Eager":
        return self

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        found = {}
        chain = layers_up_to(layers)
        for layer, after in zip(chain, (*chain[1:], None), strict=True):
            weight, bias = (self._arrays[f"{layer}.{part}"] for part in ("weight", "bias"))
            x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
            found[layer] = x
            if after is not None and after.endswith("_1"):
                x = functional.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        return {layer: maps for layer, maps in found.items() if layer in layers}


def task(folder: Path, size: str, steps: int) -> Task:
    """The sample pair, painted by `devos` at `size`."""
    pair = folder / "content.jpg", folder / "style.jpg"
    changes = {"size": size, "fit": "stretch", "enlarge": True, "steps": steps, "scales": []}
    return common.task(book.find("devos"), pair, changes)


def networks(made: Task, threads: int) -> dict[str, FeatureMaps]:
    """The three of them."""
    file = weights.locate()
    objective = made.recipe.objective
    chain = layers_up_to(objective.all_layers)
    mean, arrays = weights_read.load(file, chain)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    plan = Plan.of(objective, file)
    pair = graphs.ready(plan, "bundled")
    onnx = OrtVgg19(pair, plan, CPU, [("CPUExecutionProvider", {})], threads)
    return {"eager": Eager(tensors, mean), "torch": Vgg19(tensors, mean), "onnx": onnx}


def in_turn(made: Task, threads: int) -> dict[str, list[float]]:
    """Seconds of each step, by network; the first of each is left out."""
    seconds: dict[str, list[float]] = {}
    pictures = {}
    for name, network in networks(made, threads).items():
        canvas = Canvas(made, network.mean, network.device)
        level = canvas.task.levels()[-1]
        moves = optimizer(made.recipe.schedule.optimizer)
        pictures[name] = (Objective(scene(canvas, network, level)), canvas.start(level.size), moves)
        seconds[name] = []
    for _ in range(made.recipe.schedule.steps + 1):
        for name, (target, u, moves) in pictures.items():
            began = time.perf_counter()
            moves.step(u, target)
            seconds[name].append(time.perf_counter() - began)
    return {name: times[1:] for name, times in seconds.items()}


def alone(backend: str, folder: Path, size: str, threads: int) -> None:
    """Print, as JSON, the peak of memory of three steps of one backend, in megabytes."""
    made = task(folder, size, 3)
    precision = {"precision": "fp32"} if backend == "torch" else {}
    options = {"device": "cpu", "threads": threads, **precision}
    list(registry.load(backend, options).paint(made, go_on))
    print(json.dumps(common.peak()))


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="640x480", help="width x height in pixels")
    parser.add_argument("--steps", type=int, default=8, help="steps of each network")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", help="one backend's peak of memory, given --folder")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        alone(options.alone, options.folder, options.size, options.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        sample.write(Path(name))
        # before this process grows: a child's peak counts what it was forked from
        for backend in ("torch", "onnx"):
            words = ["--alone", backend, "--folder", name, "--size", options.size]
            print(f"{backend:6} peak of {common.probe('networks', *words):.0f} MB")
        seconds = in_turn(task(Path(name), options.size, options.steps), options.threads)
        print(f"a step of devos at {options.size}, {options.threads} threads; s, ratio to eager")
        for network, times in seconds.items():
            ratios = [a / b for a, b in zip(times, seconds["eager"], strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
            print(f"{network:6} {statistics.median(times):6.2f}  {spread}")
        began = time.perf_counter()
        networks(task(Path(name), options.size, 1), options.threads)
        print(f"all three networks made ready in {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
