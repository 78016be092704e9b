"""The only painting loop: from coarse to fine, a Step after every step, a Stage when due.

A painting is a batch of one: several of one shape are painted together, step by step.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from stylewatch_painter.algorithm.canvas import Canvas, check_pictures
from stylewatch_painter.algorithm.cuda_graph import recorded
from stylewatch_painter.algorithm.memory_budget import AMPLE, Room
from stylewatch_painter.algorithm.objective import Target
from stylewatch_painter.algorithm.reporting import Made, Teller
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.state import Place
from stylewatch_painter.algorithm.style_cache import Looks
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.network.feature_maps import FeatureMaps
from stylewatch_painter.stage import Losses, Step, Wish, go_on

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
