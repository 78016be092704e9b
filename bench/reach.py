"""Time to a picture as good as pastiche's after 300 steps.

The measure is the loss of objective `pastiche`, computed by the referee, of the PNG or of the float
picture. The number of our steps that reaches pastiche's loss is determined first, untimed, in a
long run, and verified by a run of exactly that many steps. Timed is our whole command with that
many steps; the loss of its PNG is checked again. Pastiche's time runs from the start of its
command to the end of the step.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from bench import common
from bench.cpu import Setting, render, row_with_goals
from bench.probes import Painting, Request, painted
from bench.referee import Floats, Referee, as_written, read
from bench.rows import Measure, Reading, Row

PEER_STEPS = 300
SAMPLED = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 250, PEER_STEPS)
"""Steps of pastiche after which the picture is judged, for the plot."""

MOST = 300
"""Steps of ours at the full size: if a loss takes more, it counts as not reached."""

CURVES = "bench-curves.json"


@dataclass(frozen=True)
class Kind:
    """A way to judge pictures: rounded as a PNG (`written`) or not; the recipe's changes for it.

    The changes are more early steps, a longer memory than so few steps as `best` has can fill, no
    pictures on the way, and for pictures that nobody rounds, no thought of the range.
    """

    name: str
    written: bool
    more: dict[str, object]

    @property
    def changes(self) -> dict[str, object]:
        """The changes to the fast schedule of recipe `pastiche`."""
        scales = [{"scale": 0.25, "steps": 60}, {"scale": 0.5, "steps": 40}]
        return {"scales": scales, "smallest": 1, "save_every": 1000, **self.more}

    def judge(self, referee: Referee, picture: Floats) -> float:
        """Return the loss of a float picture, or of its PNG."""
        return referee.loss(as_written(picture) if self.written else picture)


KINDS = (
    Kind("png", True, {"schedule.optimizer.history": 30}),
    Kind("float", False, {"schedule.optimizer.history": 60, "keep_range": False}),
)

TITLE = f"to the loss of pastiche's PNG after {PEER_STEPS} steps, 256^2 pixels, ours / its"
ROWS = (
    row_with_goals("png_ratio", TITLE),
    row_with_goals("float_ratio", "the same of pictures that are not rounded"),
    Row("png_s", "our command to the loss of that PNG", "s"),
    Row("float_s", "our command to the loss of its float picture", "s"),
    Row("pastiche_300_steps_s", f"pastiche's start and {PEER_STEPS} steps", "s"),
)


class Reach:
    """Our time to each loss, beside pastiche's; the first run also finds what is to be reached."""

    def __init__(self) -> None:
        self._goals: dict[str, tuple[float, int]] = {}

    def __call__(self, setting: Setting) -> Iterator[Reading]:
        asked = Request(setting.pair, setting.small, PEER_STEPS, setting.out, keep=SAMPLED)
        peer = painted("theirs", asked)
        referee = Referee(*setting.pair, setting.small)
        if not self._goals:
            self._goals = goals(setting, referee, peer)
        for kind in KINDS:
            seconds = time_of(setting, referee, kind, *self._goals[kind.name])
            yield f"{kind.name}_ratio", seconds / peer.seconds[-1]
            yield f"{kind.name}_s", seconds
        yield "pastiche_300_steps_s", peer.seconds[-1]


def ours(setting: Setting, steps: int, kind: Kind, save_every: int) -> Painting:
    """Return a painting of ours, on the way to a PNG or to a float picture."""
    changes = {**kind.changes, "save_every": save_every}
    asked = Request(setting.pair, setting.small, steps, setting.out, fast=True, changes=changes)
    return painted("ours", asked)


def goals(setting: Setting, referee: Referee, peer: Painting) -> dict[str, tuple[float, int]]:
    """Return the loss to reach and the steps that reach it, by kind; the curves are kept, too."""
    curves: dict[str, dict[str, object]] = {"ours": {}, "pastiche": {}}
    found = {}
    for kind in KINDS:
        own = ours(setting, MOST, kind, 1)
        curves["ours"][kind.name] = judged(own, referee, kind)
        curves["pastiche"][kind.name] = judged(peer, referee, kind)
        loss = kind.judge(referee, peer.pictures[-1][2])
        found[kind.name] = loss, needed_steps(setting, referee, own, kind, loss)
    (setting.results / CURVES).write_text(json.dumps(curves), encoding="utf-8")
    return found


def needed_steps(setting: Setting, referee: Referee, own: Painting, kind: Kind, loss: float) -> int:
    """Return the fewest steps at the full size whose picture has at most `loss`.

    The steps are looked up in a long run, where losses fall, and then verified: the picture of a
    shorter run may be another one. Raises RuntimeError: MOST steps are too few.
    """
    final = [(step, picture) for step, _, picture in own.pictures if step > 0]
    index = bisect_left(final, -loss, key=lambda one: -kind.judge(referee, one[1]))
    steps = final[index][0] if index < len(final) else MOST + 1
    while steps <= MOST:
        last = ours(setting, steps, kind, MOST).pictures[-1][2]
        if kind.judge(referee, last) <= loss:
            return steps
        steps += max(1, steps // 20)
    raise RuntimeError(f"{kind.name}: {MOST} steps do not reach pastiche's {PEER_STEPS}")


def judged(painting: Painting, referee: Referee, kind: Kind) -> dict[str, list[float]]:
    """Return seconds and losses for the plot, without most of the early and of the late steps."""
    shown = [(seconds, picture) for step, seconds, picture in painting.pictures
             if 0 < step <= 50 or step % 5 == 0]  # fmt: skip
    return {
        "seconds": [seconds for seconds, _ in shown],
        "losses": [kind.judge(referee, picture) for _, picture in shown],
    }


def time_of(setting: Setting, referee: Referee, kind: Kind, loss: float, steps: int) -> float:
    """Return the seconds of our command with so many steps.

    Raises RuntimeError: the PNG has a loss above `loss`.
    """
    options = ("--recipe", "pastiche", "--schedule", "fast", "--steps", steps,
               "--size", common.area(setting.small))  # fmt: skip
    changes = [f"--set={key}={json.dumps(value)}" for key, value in kind.changes.items()]
    seconds = render(setting, *options, *changes)
    met = referee.loss(read(setting.out))
    if kind.written and met > loss:
        raise RuntimeError(f"{steps} steps gave a PNG of loss {met}, not {loss}")
    return seconds


MEASURES = (Measure(ROWS, Reach()),)
