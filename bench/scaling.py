"""Measures: how a step and its memory grow with the pixels, and shrink with the threads."""

from collections.abc import Iterator
from dataclasses import replace

from bench import steps
from bench.rows import Measure, Reading, Row, Setting

SIZES = {"0.06mp": 62_500, "0.25mp": 250_000, "1mp": 1_000_000, "4mp": 4_000_000}
PEERS = ("0.06mp", "0.25mp", "1mp")
"""Where pastiche is measured, too: at four megapixels it wants more memory than most have."""

THREADS = (1, 2)
STEPS = 4
"""Enough at sizes where a step takes many seconds."""


def by_pixels(setting: Setting) -> Iterator[Reading]:
    """Seconds a step and megabytes at each size."""
    for name, pixels in SIZES.items():
        one = replace(setting, pixels=pixels, steps=STEPS)
        own = steps.ours(one)
        yield f"step_{name}_s", own["step"]
        yield f"peak_{name}_mb", own["peak"]
        if name in PEERS:
            peer = steps.theirs(one)
            yield f"pastiche_step_{name}_s", peer["step"]
            yield f"pastiche_peak_{name}_mb", peer["peak"]


def by_threads(setting: Setting) -> Iterator[Reading]:
    """Seconds a step with each number of threads."""
    for threads in THREADS:
        yield f"step_{threads}_threads_s", steps.ours(setting, threads=threads)["step"]


def _rows() -> Iterator[Row]:
    for name in SIZES:
        for whose, prefix in (("our", ""), ("pastiche's", "pastiche_")):
            if whose == "our" or name in PEERS:
                yield Row(f"{prefix}step_{name}_s", f"{whose} step at {name}", "s")
                yield Row(f"{prefix}peak_{name}_mb", f"{whose} peak memory at {name}", "MB")


MEASURES = (
    Measure(tuple(_rows()), by_pixels),
    Measure(
        tuple(Row(f"step_{n}_threads_s", f"our step, threads: {n}", "s") for n in THREADS),
        by_threads,
    ),
)
