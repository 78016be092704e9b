"""The bench for GPUs, as far as it can be tried without one."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench import gpu, gpu_rows
from bench.gpu_rows import Setting
from bench.limit import work

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import DivergedError
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.stage import Losses, Stage, Step

SECONDS_A_STEP = 0.5


class Painter:
    """Paints nothing, and moves the clock on by SECONDS_A_STEP for each step of each batch."""

    def __init__(self, clock: list[float], told: list[str]) -> None:
        self._clock = clock
        self._told = told

    def paint(self, task: Task, wish: Callable[[], object]) -> Iterator[Step]:
        for _, step in self.paint_many([task], [wish]):
            assert isinstance(step, Step)
            yield step

    def paint_many(
        self, tasks: Sequence[Task], wishes: Sequence[Callable[[], object]]
    ) -> Iterator[tuple[int, Step | Exception]]:
        assert len(tasks) == len(wishes)
        self._told.append(f"{tasks[0].recipe.name} x {len(tasks)}")
        self._clock[0] += 3  # targets and the like
        steps = sum(level.steps for level in tasks[0].levels())
        self._clock[0] += steps * SECONDS_A_STEP
        picture = np.zeros((2, 2, 3), np.float32)
        for index in range(len(tasks)):
            yield index, Stage(steps, steps, (2, 2), Losses(0), 0.0, picture=picture)


@pytest.fixture
def setting(pictures: Path) -> Setting:
    """Small pictures on the CPU."""
    asked = gpu.arguments(["--content", str(pictures / "content.jpg"),
                           "--style", str(pictures / "style.jpg"), "--batch", "4"])  # fmt: skip
    made = gpu.prepare(asked, pictures)
    short = replace(made, steps=20, short=2, long=6)
    return replace(short, device="cpu", side=64, box="40x30", large=1200, small=1200)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the painter was given, in a world whose clock only the painter moves."""
    clock, told = [0.0], list[str]()
    monkeypatch.setattr(gpu_rows, "backend", lambda *_: Painter(clock, told))
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    return told


def recipe_of(setting: Setting) -> Recipe:
    return gpu_rows.devos_fast(setting, scales=[])


def test_without_a_gpu_it_says_so_and_leaves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 69
    assert "no GPU here" in capsys.readouterr().err


def test_the_sample_pair_is_painted_where_no_other_is_named(tmp_path: Path) -> None:
    made = gpu.prepare(gpu.arguments([]), tmp_path)
    assert made.content.shape[2] == 3
    assert gpu.names(made) == "content.jpg + style.jpg"


def test_the_time_of_a_step_leaves_out_what_comes_before_it(
    setting: Setting, told: list[str]
) -> None:
    assert gpu_rows.per_step(setting, "auto", recipe_of(setting), 4) == SECONDS_A_STEP
    assert told == ["devos x 4"] * 3


def test_the_speed_of_a_batch_is_all_its_work_by_the_time_of_a_step(
    setting: Setting, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_rows, "matmul", lambda _: 0.5)
    readings = dict(gpu_rows.fraction(setting))
    speed = work(40, 30) / SECONDS_A_STEP / 1e12
    assert readings["alone_tflops"] == pytest.approx(speed)
    assert readings["batch_tflops"] == pytest.approx(4 * speed)
    assert readings["h200_fraction"] == pytest.approx(4 * speed / 0.5)


def test_a_whole_painting_is_timed_in_each_precision_by_a_warm_backend(
    setting: Setting, told: list[str]
) -> None:
    readings = dict(gpu_rows.devos(setting))
    assert {*readings} == {row.key for row in gpu_rows.MEASURES[0].rows}
    assert readings["devos_h200_s"] == 3 + 20 * SECONDS_A_STEP
    assert told == ["devos x 1"] * 6


def test_pictures_an_hour_are_those_of_a_batch_that_is_not_the_first(
    setting: Setting, told: list[str]
) -> None:
    readings = dict(gpu_rows.hourly(setting))
    steps = sum(level.steps for level in gpu_rows.tasks(setting, best(), 1)[0].levels())
    assert readings == {"h200_pictures_per_hour": 4 * 3600 / (3 + steps * SECONDS_A_STEP)}
    assert told == ["best x 4"] * 2


def best() -> Recipe:
    return book.find("best")


def test_pictures_of_a_batch_differ(setting: Setting) -> None:
    one, other = gpu_rows.tasks(setting, best(), 2)
    assert one.content is not None and other.content is not None
    assert one.content.shape == other.content.shape
    assert not np.array_equal(one.content, other.content)


def test_a_painting_that_fails_is_no_figure(setting: Setting) -> None:
    class Failing(Painter):
        def paint_many(self, *_: Any) -> Iterator[tuple[int, Step | Exception]]:
            yield 0, DivergedError("ran away")
            yield 1, DivergedError("ran away, too")

    with pytest.raises(DivergedError, match="ran away"):
        gpu_rows.paint(Failing([], []), gpu_rows.tasks(setting, best(), 2))


@pytest.mark.parametrize("count", [1, 2])
def test_the_real_backend_paints_what_is_timed(setting: Setting, count: int) -> None:
    given = gpu_rows.tasks(setting, recipe_of(setting), count)
    seconds, steps = gpu_rows.paint(gpu_rows.backend(setting), given)
    assert seconds > 0
    assert steps == 20


def test_a_ceiling_is_measured(setting: Setting) -> None:
    assert gpu_rows.matmul(setting) > 0
