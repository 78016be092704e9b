"""The only painting loop: from coarse to fine, a Step after every step, a Stage when due.

A painting is a batch of one: several of one shape are painted together, step by step.
"""

import math
import time
from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stylewatch_painter.algorithm.caches import Looks
from stylewatch_painter.algorithm.canvas import Canvas, check_pictures
from stylewatch_painter.algorithm.objective import Target
from stylewatch_painter.algorithm.optimizers import Evaluation, Optimizer
from stylewatch_painter.algorithm.scales import Level, Size
from stylewatch_painter.algorithm.state import Place
from stylewatch_painter.algorithm.task import AMPLE, Room, Task
from stylewatch_painter.errors import DivergedError, PainterError
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes import recipe
from stylewatch_painter.stage import Losses, Stage, Step, Wish, go_on

_WORTH = 12
"""Steps that recording pays for: it takes as long as two or three."""
_WARM = 3
"""Steps after which nothing is chosen, or set up, any more."""


def recorded(
    optimizer: Optimizer, u: Tensor, target: Target, times: int
) -> Callable[[], Evaluation]:
    """What makes a step, moving u (B, 3, height, width) in place, `times` times.

    At small sizes a GPU is done with a kernel sooner than Python asks for the next. Those that are
    painted in tiles are not small.
    """
    if u.is_cuda and times >= _WORTH and target.can_be_recorded:
        return _Recording(optimizer, u, target)
    return lambda: optimizer.step(u, target)


class _Recording:
    """The first steps as they are; then the evaluation, or all of the step, from a CUDA graph."""

    def __init__(self, optimizer: Optimizer, u: Tensor, target: Target) -> None:
        self._optimizer, self._u, self._target = optimizer, u, target
        self._asked = u.clone()
        self._whole = optimizer.stays_in_place(u.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._made = 0

    def __call__(self) -> Evaluation:
        self._made += 1
        if self._made <= _WARM:
            return self._optimizer.step(self._u, self._target)
        if self._graph is None:
            self._record()
        return self._replay() if self._whole else self._optimizer.step(self._u, self._evaluate)

    def _record(self) -> None:
        """Nothing moves meanwhile: what is asked of the GPU is written down only."""
        self._graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._u.device)
        with torch.cuda.graph(self._graph):
            if self._whole:
                self._seen = self._optimizer.step(self._u, self._target)
            else:
                self._seen = self._target(self._asked)

    def _evaluate(self, u: Tensor) -> Evaluation:
        self._asked.copy_(u)
        return self._replay()

    def _replay(self) -> Evaluation:
        if self._graph is not None:
            self._graph.replay()
        seen = self._seen
        return replace(
            seen,
            terms=seen.terms.clone(),
            objective=seen.objective.clone(),
            gradient=seen.gradient.clone(),
        )


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


Clock = Callable[[], float]
Ask = Callable[[], Wish]


def paint(
    task: Task,
    network: FeatureMaps,
    wish: Ask = go_on,
    clock: Clock = time.monotonic,
    looks: Looks | None = None,
    room: Room = AMPLE,
) -> Iterator[Step]:
    """Paint `task`: a Step after every step, a Stage after every `save_every` and the last.

    After every step, `wish` says what is wanted. With `task.resume` the painting goes on from
    there, in the same bytes where the device computes the same way twice. `looks` keep what is
    worked out of styles for the next painting with `network`, `room` is what it has room for.

    Raises PictureError, RecipeError, CheckpointError before the first step, DivergedError.
    """
    for _, made in paint_batch([task], network, [wish], clock, looks, room):
        if isinstance(made, Exception):
            raise made
        yield made


def paint_batch(
    tasks: Sequence[Task],
    network: FeatureMaps,
    wishes: Sequence[Ask],
    clock: Clock = time.monotonic,
    looks: Looks | None = None,
    room: Room = AMPLE,
) -> Iterator[tuple[int, Made]]:
    """Paint tasks of one shape (see `together`) as `paint` does each, and say whose a Step is.

    A DivergedError, handed out, is the end of the painting that it is about. Raises
    PictureError, RecipeError, CheckpointError before the first step.
    """
    for task in tasks:
        check_pictures(task)
    canvases = [Canvas(task, network.mean, network.device, room) for task in tasks]
    levels = canvases[0].levels()
    if any(task.resume is not None for task in tasks):
        (alone,) = canvases  # two that were broken off need not stand at the same step
        place = Place.load(alone)
    else:
        place = Place.start(canvases, levels)
    teller = Teller(place, levels, clock)
    looks = Looks() if looks is None else looks
    while place.members and place.step < place.planned(levels):
        yield from _at_one_size(place, network, levels, wishes, teller, looks)
        if place.members and not place.left(levels) and place.level + 1 < len(levels):
            place.climb(levels)


def measure(task: Task, network: FeatureMaps, room: Room = AMPLE) -> Losses:
    """The losses of the float picture that `task` starts from at its final size."""
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device, room)
    level = canvas.levels()[-1]
    target = Target([canvas], network, level)
    return target.losses(target.exactly(canvas.start(level.size)))[0]


def _at_one_size(
    place: Place,
    network: FeatureMaps,
    levels: Sequence[Level],
    wishes: Sequence[Ask],
    teller: Teller,
    looks: Looks,
) -> Iterator[tuple[int, Made]]:
    """Make the steps that are left at this size, or those until a painting of the batch ends."""
    target = Target(place.canvases, network, levels[place.level], looks)
    if place.level + 1 == len(levels):
        for canvas in place.canvases:
            canvas.let_go()
    step = recorded(place.optimizer, place.u, target, place.left(levels))
    while place.left(levels):
        before = place.shown().clone()
        seen = step()
        place.count()
        place.settle(seen.objective, levels)
        asked = [wishes[member]() for member in place.members]
        teller.note(seen.terms)
        if teller.is_due(asked):
            gone = yield from teller.tell(target, before, asked)
            if gone:
                place.keep([row for row in range(len(asked)) if row not in gone])
                return


def paint_many(
    tasks: Sequence[Task],
    network: FeatureMaps,
    wishes: Sequence[Callable[[], Wish]],
    looks: Looks | None = None,
    at_once: Callable[[Task], int] | None = None,
) -> Iterator[tuple[int, Step | Exception]]:
    """Paint each task as `paint` does, and say by its number whose a Step is.

    Of those that are like one task so many are painted together, at most, as `at_once` says. An
    error of one task is handed out, as its end, and stops no other.
    """
    sound = []
    for number, task in enumerate(tasks):
        try:
            check_pictures(task)
        except PainterError as error:
            yield number, error
        else:
            sound.append(number)
    found = groups([tasks[number] for number in sound])
    together = [[sound[one] for one in group] for group in found]
    for members in [part for group in together for part in _parts(group, tasks, at_once)]:
        yield from _group(members, tasks, network, wishes, looks)


def _group(
    members: Sequence[int],
    tasks: Sequence[Task],
    network: FeatureMaps,
    wishes: Sequence[Callable[[], Wish]],
    looks: Looks | None,
) -> Iterator[tuple[int, Step | Exception]]:
    """Paint tasks of one shape; where one of several keeps them from beginning, each by itself."""
    begun = False
    theirs = [tasks[member] for member in members], network, [wishes[member] for member in members]
    try:
        for row, made in paint_batch(*theirs, looks=looks):
            begun = True
            yield members[row], made
    except PainterError as error:
        if begun:
            raise
        if len(members) == 1:
            yield members[0], error
            return
        for member in members:
            yield from _group([member], tasks, network, wishes, looks)


def _parts(
    group: list[int], tasks: Sequence[Task], at_once: Callable[[Task], int] | None
) -> list[list[int]]:
    """The numbers of a `group` in parts as alike in length as may be."""
    if at_once is None:
        return [group]
    most = min(len(group), at_once(tasks[group[0]]))
    count = math.ceil(len(group) / most)
    return [group[len(group) * n // count : len(group) * (n + 1) // count] for n in range(count)]


def shape(task: Task) -> Hashable:
    """What tasks that are painted together have in common; weights and strength may differ.

    Raises PictureError.
    """
    objective = task.recipe.objective
    sides = objective.content, objective.style
    return (
        task.recipe.schedule.model_dump_json(),
        objective.network.model_dump_json(),
        *(side and side.model_dump_json(exclude={"layers"}) for side in sides),
        *(side and tuple(side.layers) for side in sides),
        objective.tv and objective.tv.loss,
        task.levels(),
        task.content is None,
        len(task.styles),
    )


def groups(tasks: Sequence[Task]) -> list[list[int]]:
    """The numbers of `tasks` that are painted together, in the order they came.

    One that goes on from a checkpoint is painted by itself, and so is one with masks, one whose
    optimizer searches along a line, or that ends once nothing moves: every picture would search,
    and go on, for as long as the slowest. Raises PictureError.
    """
    found: dict[Hashable, list[int]] = {}
    for number, task in enumerate(tasks):
        key = number if _is_by_itself(task) else shape(task)
        found.setdefault(key, []).append(number)
    return list(found.values())


def _is_by_itself(task: Task) -> bool:
    schedule = task.recipe.schedule
    settings = schedule.optimizer
    searches = isinstance(settings, recipe.Lbfgs) and settings.line_search != "none"
    masked = any(mask is not None for mask in (task.content_mask, *(s.mask for s in task.styles)))
    return task.resume is not None or masked or searches or schedule.until != "steps"
