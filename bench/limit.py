"""Measure, and its probe: how near our step is to what the machine's convolutions allow.

A step is at least its convolutions, forward and back to the picture; back is a convolution of
the same size, with the channels the other way round. They are timed here alone, on random
numbers, in each data type and layout: the quickest of these is the limit.

`python -m bench.limit WIDTH HEIGHT` prints it.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import product

import torch
from bench.child import told
from bench.referee import CHAIN, Referee
from bench.rows import Measure, Reading, Row, Setting
from bench.steps import ours
from torch.nn import functional

LIMIT = Row("limit_s", "the convolutions of a step alone, best data type and layout", "s")
SPEED = Row("limit_gflops", "the speed of these convolutions", "GFLOP/s")
SHARE = Row("limit_share", "their share of our step: 1 is the machine's limit", higher=True)
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
REPEATS = 3

Shape = tuple[int, int, int, int]
"""Channels in, channels out, width and height of a convolution."""


def shapes(width: int, height: int) -> Iterator[Shape]:
    """Those of VGG19 up to conv5_1 for a picture of so many pixels."""
    channels = 3
    for layer in CHAIN:
        block = int(layer[0]) - 1
        wanted = min(512, 64 << block)
        yield channels, wanted, width >> block, height >> block
        channels = wanted


def work(width: int, height: int) -> float:
    """Floating-point operations of a step: a multiplication and an addition for each weight.

    The whole of it is twice the forward pass: each convolution has one on the way back.
    """
    return sum(2 * 2 * 9 * a * b * x * y for a, b, x, y in shapes(width, height))


def seconds(shape: Shape, kind: torch.dtype, layout: torch.memory_format) -> float:
    """Of one convolution there and one back, the best of REPEATS."""
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


def alone(width: int, height: int) -> dict[str, float]:
    """Seconds of all convolutions by data type and layout."""
    with torch.no_grad():
        return {
            f"{kind}, {layout}": sum(
                seconds(shape, TYPES[kind], LAYOUTS[layout]) for shape in shapes(width, height)
            )
            for kind, layout in product(TYPES, LAYOUTS)
        }


def share(setting: Setting) -> Iterator[Reading]:
    """The limit, and our step beside it, measured in turn."""
    size = Referee(setting.content, setting.style, setting.pixels).size
    least = min(told("limit", *size).values())
    yield LIMIT.key, least
    yield SPEED.key, work(*size) / least / 1e9
    yield SHARE.key, least / ours(setting)["step"]


MEASURES = (Measure((LIMIT, SPEED, SHARE), share),)

if __name__ == "__main__":
    print(json.dumps(alone(int(sys.argv[1]), int(sys.argv[2]))))
