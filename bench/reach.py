"""Time to a picture as good as pastiche's after 300 steps.

The measure is the loss of objective `pastiche`, computed by the referee, of the picture as PNG. The
number of our steps that reaches pastiche's loss is looked up in a long run, untimed. Timed is our
whole command with that many steps; the loss of its PNG is checked. Pastiche's time runs from the
start of its command to the end of its last step.
"""

import json
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from bench.common import area, ends_of_steps, pastiche
from bench.cpu import Setting, render, row
from bench.referee import Referee, read
from bench.rows import Measure, Reading, Row

PEER_STEPS = 300
PEER_EVERY = 10
"""Steps between the pictures of pastiche that are judged, for the plot."""

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

CURVES = "bench-curves.json"

Pictures = list[tuple[float, Path]]
"""Pictures of a painting on its way, and the seconds from the start of the command to each."""


class Reach:
    """Our time to the loss, beside pastiche's; the first run also finds the steps that reach it."""

    def __init__(self) -> None:
        self._goal: tuple[float, int] | None = None

    def __call__(self, setting: Setting) -> Iterator[Reading]:
        referee = Referee(*setting.pair, setting.small)
        peer, pictures = theirs(setting)
        if self._goal is None:
            self._goal = goal(setting, referee, pictures)
        seconds = seconds_to(setting, referee, *self._goal)
        yield "png_ratio", seconds / peer
        yield "png_s", seconds
        yield "pastiche_300_steps_s", peer


def theirs(setting: Setting) -> tuple[float, Pictures]:
    """Return the seconds of pastiche's steps, and its pictures."""
    folder, began = setting.scratch / "theirs", time.time()
    options = ("--workspace", folder, "--workspace-step", PEER_EVERY)
    done = pastiche(setting.pair, setting.small, PEER_STEPS, setting.out, *options)
    return ends_of_steps(done)[-1], _pictures(folder, began)[1:]  # the first is the content


def ours(setting: Setting, steps: int, *options: object) -> float:
    """Return the seconds of our command with so many steps at the full size."""
    changes = [f"--set={key}={json.dumps(value)}" for key, value in CHANGES.items()]
    return render(setting, "--recipe", "pastiche", "--schedule", "fast", "--steps", steps,
                  "--size", area(setting.small), *changes, *options).seconds  # fmt: skip


def _pictures(folder: Path, began: float) -> Pictures:
    """Return the pictures in a folder by the numbers that are their names."""
    files = sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    return [(path.stat().st_mtime - began, path) for path in files]


def goal(setting: Setting, referee: Referee, peer: Pictures) -> tuple[float, int]:
    """Return the loss to reach and our steps that reach it; keep the curves of the plot."""
    folder, began = setting.scratch / "ours", time.time()
    ours(setting, MOST, "--set=save_every=1", "-o", f"{folder}/")
    own = _pictures(folder / "stages", began)[sum(EARLY.values()) :]
    curves = {"ours": judged(referee, own), "pastiche": judged(referee, peer)}
    (setting.results / CURVES).write_text(json.dumps(curves), encoding="utf-8")
    loss, losses = curves["pastiche"]["losses"][-1], curves["ours"]["losses"]
    return loss, bisect_left(losses, -loss, key=lambda value: -value) + 1  # losses fall


def judged(referee: Referee, pictures: Pictures) -> dict[str, list[float]]:
    """Return seconds and losses of pictures."""
    return {
        "seconds": [seconds for seconds, _ in pictures],
        "losses": [referee.loss(read(path)) for _, path in pictures],
    }


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
    ), Reach()),
)  # fmt: skip
