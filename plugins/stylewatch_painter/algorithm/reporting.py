"""What is told of paintings on their way: as seldom as a device likes, as often as people need."""

import math
from collections.abc import Callable, Collection, Generator, Sequence

import torch
from torch import Tensor

from stylewatch_painter.algorithm.objective import Target
from stylewatch_painter.algorithm.scales import Level, Size
from stylewatch_painter.algorithm.state import Place
from stylewatch_painter.errors import DivergedError
from stylewatch_painter.stage import Losses, Stage, Step, Wish

Made = Step | DivergedError
"""A step, or the end of a painting whose loss is no longer a number."""

_DIVERGED = (
    "the loss was no longer a number at step {step}: a smaller rate, or another optimizer "
    "(schedule.optimizer.kind=lbfgs), keeps the painting from running away"
)
_MOST = 10
"""Steps that a device may be left alone with: to ask how far it came, it has to come to a halt."""
_OFTEN = 0.5
"""Seconds: so long nobody minds to hear nothing, and longer it is not, whatever a step takes."""


def at_once(device: torch.device, seconds: float) -> int:
    """How many steps of so many seconds are told of together."""
    if device.type == "cpu":  # it has no halt to come to
        return 1
    return _MOST if seconds * _MOST <= _OFTEN else max(1, int(_OFTEN / seconds))


class Teller:
    """Tells of the steps made at `place`: on the CPU of each, elsewhere of several at a time."""

    def __init__(self, place: Place, levels: Sequence[Level], clock: Callable[[], float]) -> None:
        self._place, self._levels, self._clock = place, levels, clock
        self._began = clock() - place.seconds
        self._save_every = place.canvases[0].task.recipe.schedule.save_every
        self._untold: list[Tensor] = []
        self._back = place.all_taken_back()
        self._at_once = 1

    def note(self, terms: Tensor) -> None:
        """A step was made from pictures whose terms, (B, K), these were."""
        self._untold.append(terms)

    def is_due(self, asked: Collection[Wish]) -> bool:
        """Whether it is time to tell of what was made."""
        return (
            self._stage_is_due
            or len(self._untold) >= self._at_once
            or not self._place.left(self._levels)
            or any(wish is not Wish.GO_ON for wish in asked)
        )

    def tell(
        self, target: Target, before: Tensor, asked: Sequence[Wish]
    ) -> Generator[tuple[int, Made], None, set[int]]:
        """Tell of all that is untold; returns the rows of paintings that have ended.

        `before` are the pictures as shown before the last step, `asked` is what is wanted after it.
        """
        place = self._place
        shown = [self._stage_is_due or wish is Wish.FINISH for wish in asked]
        if any(shown) and (place.average is not None or target.network.exact is not target.network):
            exact = target.exactly(before)  # no number where the last step is being taken back
            of_shown = torch.tensor(shown, device=exact.device).unsqueeze(1) & exact.isfinite()
            self._untold[-1] = torch.where(of_shown, exact, self._untold[-1])
        told = [target.losses(terms) for terms in torch.stack(self._untold).cpu()]
        sound: list[bool] = torch.isfinite(place.u).flatten(1).all(1).tolist()
        self._back = place.all_taken_back()
        self._untold.clear()
        moments = self._moments(len(told))
        ended = set()
        for row, wish in enumerate(asked):
            story = [losses[row] for losses in told]
            good = [math.isfinite(losses.total) for losses in story]
            good[-1] = good[-1] and sound[row]
            for back, losses in enumerate(story[:-1] if all(good) else story[: good.index(False)]):
                yield (
                    place.members[row],
                    Step(
                        *self._about(back, len(told), losses, moments), taken_back=self._back[row]
                    ),
                )
            if not all(good):
                first = place.step - len(told) + 1 + good.index(False)
                yield place.members[row], DivergedError(_DIVERGED.format(step=first))
                ended.add(row)
                continue
            about = self._about(len(told) - 1, len(told), story[-1], moments)
            yield place.members[row], self._last(row, about, wish, shown=shown[row])
            if wish in (Wish.STOP, Wish.FINISH):
                ended.add(row)
        return ended

    @property
    def _stage_is_due(self) -> bool:
        step = self._place.step
        return step % self._save_every == 0 or step == self._place.planned(self._levels)

    def _about(
        self, back: int, count: int, losses: Losses, moments: Sequence[float]
    ) -> tuple[int, int, Size, Losses, float]:
        """What a Step says first, of the step number `back` among the last `count`."""
        size = self._levels[self._place.level].size
        step = self._place.step - count + 1 + back
        return step, self._place.planned(self._levels), size, losses, moments[back]

    def _last(
        self, row: int, about: tuple[int, int, Size, Losses, float], wish: Wish, *, shown: bool
    ) -> Step:
        """The last step of a painting; with its picture, where one is to be shown."""
        place = self._place
        kept = place.save(row) if wish in (Wish.CHECKPOINT, Wish.STOP) else None
        if not shown:
            return Step(*about, checkpoint=kept, taken_back=self._back[row])
        canvas = place.canvases[row]
        picture = canvas.pixels(canvas.enlarged(place.shown()[row : row + 1], canvas.final))
        back = self._back[row]
        return Stage(*about, picture=picture, checkpoint=kept, taken_back=back)

    def _moments(self, count: int) -> list[float]:
        """When each of the last `count` steps was made, in seconds; from here on it is later."""
        place, since = self._place, self._place.seconds
        place.seconds = self._clock() - self._began
        each = (place.seconds - since) / count
        self._at_once = at_once(place.u.device, each)
        return [since + each * (i + 1) for i in range(count - 1)] + [place.seconds]
