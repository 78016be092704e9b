"""Paints many tasks, those together whose every tensor has the same shape and meaning."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence

from stylewatch_painter.algorithm.canvas import check_pictures
from stylewatch_painter.algorithm.paint import paint_batch
from stylewatch_painter.algorithm.style_cache import Looks
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import PainterError
from stylewatch_painter.network.feature_maps import FeatureMaps
from stylewatch_painter.recipes import recipe
from stylewatch_painter.stage import Step, Wish


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
