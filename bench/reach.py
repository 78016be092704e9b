"""Time to a picture as good as pastiche's after 300 steps.

The measure is the loss of objective `pastiche`, computed by the referee, of the picture as PNG. The
number of our steps that reaches pastiche's loss is looked up in a long run, untimed. Timed is our
whole command with that many steps; the loss of its PNG is checked. Pastiche's time runs from the
start of its command to the end of its last step.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator

from bench.common import area, ends_of_steps, pastiche
from bench.cpu import Setting, render, row
from bench.referee import Referee, read
from bench.rows import Measure, Reading, Row

PEER_STEPS = 300

MOST = 300
"""Steps of ours at the full size: if the loss takes more, it counts as not reached."""

EARLY = {0.25: 60, 0.5: 40}
"""Our steps at smaller sizes."""

CHANGES = {
    "scales": [{"scale": scale, "steps": steps} for scale, steps in EARLY.items()], "smallest": 1,
    "schedule.optimizer.history": 30,
}  # fmt: skip
"""Changes to the fast schedule of recipe `pastiche`: more early steps, and a longer memory than so
few steps as `best` has can fill."""


def reach(setting: Setting) -> Iterator[Reading]:
    """Yield our time to the loss, beside pastiche's."""
    referee = Referee(*setting.pair, setting.small)
    peer = ends_of_steps(pastiche(setting.pair, setting.small, PEER_STEPS, setting.out))[-1]
    loss = referee.loss(read(setting.out))
    seconds = seconds_to(setting, referee, loss, steps_to(setting, referee, loss))
    yield "png_ratio", seconds / peer
    yield "png_s", seconds
    yield "pastiche_300_steps_s", peer


def ours(setting: Setting, steps: int, *options: object) -> float:
    """Return the seconds of our command with so many steps at the full size."""
    changes = [f"--set={key}={json.dumps(value)}" for key, value in CHANGES.items()]
    return render(setting, "--recipe", "pastiche", "--schedule", "fast", "--steps", steps,
                  "--size", area(setting.small), *changes, *options).seconds  # fmt: skip


def steps_to(setting: Setting, referee: Referee, loss: float) -> int:
    """Return how many of our steps reach `loss`, by the pictures of a long run."""
    folder = setting.scratch / "ours"
    ours(setting, MOST, "--set=save_every=1", "-o", f"{folder}/")
    stages = sorted((folder / "stages").glob("*.png"), key=lambda path: int(path.stem))
    at_full_size = stages[sum(EARLY.values()) :]
    before = bisect_left(at_full_size, -loss, key=lambda path: -referee.loss(read(path)))
    return before + 1  # losses fall


def seconds_to(setting: Setting, referee: Referee, loss: float, steps: int) -> float:
    """Return the seconds of our command to a PNG of at most `loss`.

    A shorter run may have another picture after `steps` than the long run had: then a twentieth is
    added. Raises RuntimeError: MOST steps are too few.
    """
    while steps <= MOST:
        seconds = ours(setting, steps, "--set=save_every=1000")
        if referee.loss(read(setting.out)) <= loss:
            return seconds
        steps += max(1, steps // 20)
    raise RuntimeError(f"{MOST} steps do not reach the loss of pastiche's {PEER_STEPS}")


MEASURES: tuple[Measure[Setting], ...] = (
    Measure((
        row("png_ratio", f"to the loss of pastiche's PNG after {PEER_STEPS} steps, 256^2 pixels, "
            "ours / its", bf16=(0.10, 0.05), avx2=(0.12, 0.06)),
        Row("png_s", "our command to the loss of that PNG", "s"),
        Row("pastiche_300_steps_s", f"pastiche's start and {PEER_STEPS} steps", "s"),
    ), reach),
)  # fmt: skip
