"""The suite on painting many at once finds out backends that do not paint each as if alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from tests.plugins.promises import keeps

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.stage import Stage, Step, Wish
from stylewatch_plugins.sketch import Sketch

Wishes = Sequence[Callable[[], Wish]]
Told = Iterator[tuple[int, Step | Exception]]


class _MixesThemUp(Sketch):
    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        for number, said in super().paint_many(tasks, wishes):
            yield (number + 1) % len(tasks), said


class _PaintsTheFirstForAll(Sketch):
    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        return super().paint_many([tasks[0]] * len(tasks), wishes)


class _ShowsNoStages(Sketch):
    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        for number, said in super().paint_many(tasks, wishes):
            if not isinstance(said, Stage):
                yield number, said


class _StopsAll(Sketch):
    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        return super().paint_many(tasks, [wishes[1]] * len(tasks))


class _RaisesForAll(Sketch):
    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        for number, said in super().paint_many(tasks, wishes):
            if isinstance(said, Exception):
                raise AssertionError from said
            yield number, said


class _SharpensAll(Sketch):
    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        for number, said in super().paint_many(tasks, wishes):
            sharp = replace(said, picture=said.picture * 1.2) if isinstance(said, Stage) else said
            yield number, sharp


class _AveragesTogether(Sketch):
    """Where averages are wanted, they are those of all."""

    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        if tasks[0].recipe.schedule.ema_decay:
            tasks = [replace(task, content=tasks[0].content) for task in tasks]
        return super().paint_many(tasks, wishes)


class _SharpensWhoStays(Sketch):
    """Once one has stopped, the others are not what they were."""

    def paint_many(self, tasks: Sequence[Task], wishes: Wishes) -> Told:
        heard: list[Wish] = []

        def asked(wish: Callable[[], Wish]) -> Wish:
            heard.append(wish())
            return heard[-1]

        for number, said in super().paint_many(tasks, [partial(asked, wish) for wish in wishes]):
            if isinstance(said, Stage) and Wish.STOP in heard:
                yield number, replace(said, picture=said.picture * 1.2)
            else:
                yield number, said


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (_MixesThemUp, "each_of_many_is_painted_as_if_alone"),
        (_PaintsTheFirstForAll, "each_of_many_is_painted_as_if_alone"),
        (_ShowsNoStages, "each_of_many_is_painted_as_if_alone"),
        (_SharpensAll, "each_of_many_is_painted_as_if_alone"),
        (_AveragesTogether, "each_of_many_is_painted_as_if_alone"),
        (_SharpensWhoStays, "one_of_many_that_is_stopped_stops_alone"),
        (_StopsAll, "one_of_many_that_is_stopped_stops_alone"),
        (_RaisesForAll, "one_of_many_that_cannot_be_painted_ends_alone"),
    ],
)
def test_a_backend_that_paints_many_wrongly_is_found_out(wrong: type[Sketch], promise: str) -> None:
    assert not keeps(wrong, f"test_{promise}")
