"""Probe: one painting in a process of its own, and when each of its steps was there.

`python -m bench.probes WHOSE REQUEST`, with REQUEST as JSON, paints and prints JSON. WHOSE is
`theirs`, the program pastiche by its own `main`, or `ours`, its objective in our backend.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from bench.common import ROOT, area, peak, run, task
from bench.referee import BLUE_GREEN_RED, CHAIN, Floats

Seen = Iterator[tuple[int, float, Floats | None]]
"""The number of a step, the moment of its end in seconds, and its picture if it is kept."""


@dataclass(frozen=True, eq=False)
class Painting:
    """Steps of a painting, and the seconds from its start to each; the peak of memory in MB.

    `pictures` has (step, seconds, picture) of the steps whose picture was kept. Steps count at the
    full size; before it they are zero or less.
    """

    seconds: list[float]
    peak: float
    pictures: list[tuple[int, float, Floats]]

    @property
    def per_step(self) -> float:
        """The median seconds of a step."""
        return per_step(self.seconds)


@dataclass(frozen=True)
class Request:
    """A painting of `pair` at about so many pixels, with so many steps, into the PNG `out`.

    Ours is by recipe `pastiche` with `changes`, with the fast schedule if `fast`, by a backend with
    `options`; its pictures are those of its stages. Theirs are kept after the steps `keep`.
    """

    pair: Sequence[Path]
    pixels: int
    steps: int
    out: Path
    device: str = "cpu"
    backend: str = "torch"
    options: Mapping[str, object] = field(default_factory=dict)
    changes: Mapping[str, object] = field(default_factory=dict)
    fast: bool = False
    keep: Collection[int] = ()


def painted(whose: str, request: Request) -> Painting:
    """Return a painting by `ours` or `theirs`, made in a process of its own."""
    began = time.monotonic()
    plain = json.dumps(asdict(request), default=str)
    _, output = run(sys.executable, "-m", "bench.probes", whose, plain, cwd=ROOT)
    found = json.loads(output.splitlines()[-1])
    pictures = np.load(request.out.with_suffix(".npy"))
    kept = [(step, moment - began, picture)
            for (step, moment), picture in zip(found["kept"], pictures, strict=True)]  # fmt: skip
    return Painting([moment - began for moment in found["moments"]], found["peak"], kept)


def ours(request: Request) -> Seen:
    """Paint with one of our backends."""
    from stylewatch_painter.recipes import book
    from stylewatch_painter.stage import Stage, go_on
    from stylewatch_plugins import registry

    recipe = book.find("pastiche")
    wanted = {**request.changes, "size": area(request.pixels), "steps": request.steps}
    content, style = request.pair
    given = task(book.fast(recipe) if request.fast else recipe, (content, style), wanted)
    before = sum(level.steps for level in given.levels()[:-1])
    backend = registry.load(request.backend, {"device": request.device, **request.options})
    for step in backend.paint(given, go_on):
        picture = step.picture if isinstance(step, Stage) else None
        yield step.step - before, time.monotonic(), picture


def theirs(request: Request) -> Seen:
    """Run pastiche's command with its own step watched."""
    from pastiche import pastiche

    seen: list[tuple[int, float, Floats | None]] = []
    draw: Callable[[Any], None] = pastiche.PasticheArtist.draw

    def watched(artist: Any) -> None:
        draw(artist)
        step, moment = len(seen) + 1, time.monotonic()
        seen.append((step, moment, _upright(artist.pastiche) if step in request.keep else None))

    content, style = map(str, request.pair)
    pastiche.PasticheArtist.draw = watched
    try:
        pastiche.main([
            "pastiche", "--content", content, "--styles", style, "--output", str(request.out),
            "--size-pixels", str(request.pixels), "--num-steps", str(request.steps),
            "--device", request.device, "--no-verbose",
        ])  # fmt: skip
    finally:
        pastiche.PasticheArtist.draw = draw
    yield from seen


def _upright(picture: Any) -> Floats:
    """Convert pastiche's array, (1, 3, height, width) in BGR less the mean, to an RGB picture."""
    plain = picture.detach().cpu().numpy()[0].transpose(1, 2, 0)
    upright: Floats = (plain + np.array(BLUE_GREEN_RED, np.float32))[..., ::-1].copy()
    return upright


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


def work(width: int, height: int) -> float:
    """Return the floating-point operations of a step at so many pixels, up to conv5_1.

    These are two for each weight and position, in the forward and in the backward pass.
    """
    total, channels = 0.0, 3
    for layer in CHAIN:
        block = int(layer[0]) - 1
        wanted = min(512, 64 << block)
        total += 2 * 2 * 9 * channels * wanted * (width >> block) * (height >> block)
        channels = wanted
    return total


def main(whose: str, plain: dict[str, Any]) -> None:
    """Paint; keep the pictures beside the PNG, and print the moments and the peak of memory."""
    paths = {"pair": [Path(name) for name in plain["pair"]], "out": Path(plain["out"])}
    request = Request(**{**plain, **paths})
    seen = list({"ours": ours, "theirs": theirs}[whose](request))
    kept = [(step, moment, picture) for step, moment, picture in seen if picture is not None]
    np.save(request.out.with_suffix(".npy"), np.array([picture for _, _, picture in kept]))
    moments = [moment for _, moment, _ in seen]
    times = {"moments": moments, "kept": [(step, moment) for step, moment, _ in kept]}
    print(json.dumps({**times, "peak": peak()}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
