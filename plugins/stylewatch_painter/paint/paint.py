"""The painting loop over sizes, coarse to fine, which yields a Step or a Stage for every step."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stylewatch_painter.errors import DivergedError
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.optimizers.optimizer import Evaluation, Optimizer
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.paint.state import PaintState
from stylewatch_painter.process_memory import trim_heap
from stylewatch_painter.scene.canvas import Canvas, check_pictures
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.scene import Scene
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Losses, Stage, Step, Wish, go_on

Ask = Callable[[], Wish]

_DIVERGED = "the loss is no longer a number at step {step}: lower schedule.optimizer.rate{other}"
_MAX_UNREPORTED = 10
"""Maximum number of steps between two reports on a GPU, which must synchronize for a report."""
_REPORT_S = 0.5
"""Maximum time between two reports in seconds, unless a single step takes longer."""

_MIN_GRAPH_STEPS = 12
"""Minimum number of steps for which a CUDA graph is captured. The capture takes as long as two to
three steps."""
_WARM_UP = 3
"""Number of steps before the capture, in which CUDA libraries choose their algorithms."""


def paint(
    task: Task,
    network: FeatureMaps,
    wish: Ask = go_on,
    memory_plan: MemoryPlan = UNLIMITED,
) -> Iterator[Step]:
    """Paint `task`, and yield a Step for every step, or a Stage if one is due.

    A Stage is due after every `save_every` steps and after the last step. With `save_start` the
    first Stage, with step 0, is the initial picture, unless its loss is not finite. After every
    step, `wish` is called and tells how to continue (see `Wish`). On a GPU the Steps of several
    steps may be yielded together. With `task.resume` the painting continues from that checkpoint,
    byte for byte if the device is deterministic. `memory_plan` limits the memory. Raises
    PictureError, RecipeError and CheckpointError before the first step, and DivergedError if the
    loss or the picture is no longer finite.
    """
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device)
    begin = PaintState.start if task.resume is None else PaintState.load
    state = begin(canvas, memory_plan)
    reporter = _Reporter(state)
    while state.step < state.planned:
        is_over = yield from _paint_level(state, network, wish, reporter)
        if is_over:
            return
        if not state.left and state.level + 1 < len(state.levels):
            state.next_level()
            if network.device.type == "cpu":
                trim_heap()  # the next maps are larger and would not fit into the freed blocks


def measure(task: Task, network: FeatureMaps, memory_plan: MemoryPlan = UNLIMITED) -> Losses:
    """Return the losses, in float32, of the initial picture of `task` at its final size.

    Nothing is painted. Raises PictureError as `check_pictures` does, and RecipeError as
    `Canvas.start` does.
    """
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device)
    level = task.levels()[-1]
    u = canvas.start(level.size)
    objective = Objective(scene(canvas, network.exact, level, u, memory_plan))
    return objective.record(objective.evaluate_terms(u))


def scene(
    canvas: Canvas,
    network: FeatureMaps,
    level: Level,
    start: Tensor | None = None,
    memory_plan: MemoryPlan = UNLIMITED,
) -> Scene:
    """Return the scene of a painting at `level`.

    `start` (1, 3, height, width) is the picture that the size starts from, or None if no target
    depends on it. The scene has tiles if `memory_plan` has tiles and the losses allow them.
    """
    terms = canvas.task.terms(level)
    tile = None if terms.needs_whole_picture else memory_plan.tile
    return Scene(canvas, network, level, terms, start, tile)


def _paint_level(
    state: PaintState,
    network: FeatureMaps,
    wish: Ask,
    reporter: "_Reporter",
) -> Generator[Step, None, bool]:
    """Make the remaining steps at the current size, and yield them as they are reported.

    Return True if the caller ended the painting.
    """
    level = state.levels[state.level]
    objective = Objective(scene(state.canvas, network, level, state.begun, state.memory_plan))
    if state.level + 1 == len(state.levels):
        state.canvas.free_content()
    if state.step == 0:
        yield from reporter.start(objective)
    step = stepper(state.optimizer, state.u, objective, state.left)
    while state.left:
        objective.step = state.step
        evaluation = step()
        state.count_step()
        asked = wish()
        reporter.add(evaluation.terms)
        if reporter.is_due(asked):
            yield from reporter.report(objective, asked)
            if asked in (Wish.STOP, Wish.FINISH):
                return True
    return False


class _Reporter:
    """Converter of the terms of steps to Steps and Stages.

    On a GPU it copies the terms of several steps to the host at once, because each copy
    synchronizes.
    """

    def __init__(self, state: PaintState) -> None:
        self._state = state
        self._began = time.monotonic() - state.seconds
        self._schedule = state.canvas.task.recipe.schedule
        self._unreported: list[Tensor] = []
        self._group = 1

    def start(self, objective: Objective) -> Iterator[Stage]:
        """Yield the initial picture as step 0 if the schedule asks for it.

        Nothing is yielded if its loss is not finite.
        """
        if not self._schedule.save_start:
            return
        state = self._state
        size = self._state.levels[0].size
        losses = objective.record(objective.evaluate_terms(state.shown()))
        if math.isfinite(losses.total):
            yield self._with_picture(Step(0, state.planned, size, losses, state.seconds))

    def add(self, terms: Tensor) -> None:
        """Add the terms (K,) of the picture before a step."""
        self._unreported.append(terms)

    def is_due(self, asked: Wish) -> bool:
        """Return whether the steps so far must be reported now."""
        return (
            self._is_stage_due
            or len(self._unreported) >= self._group
            or not self._state.left
            or asked is not Wish.GO_ON
        )

    def report(self, objective: Objective, asked: Wish) -> Iterator[Step]:
        """Yield all unreported steps, the last one with a checkpoint or a picture if due.

        `asked` is the wish after the last step. Raises DivergedError at the first step whose loss
        is not finite, or at the last one if the picture after it is not finite.
        """
        state = self._state
        losses = [objective.record(terms) for terms in torch.stack(self._unreported).cpu()]
        is_finite = bool(torch.isfinite(state.u).all())
        taken_back = state.all_taken_back()
        self._unreported.clear()
        seconds = self._step_seconds(len(losses))
        size = state.levels[state.level].size
        planned = state.planned
        first = state.step - len(losses) + 1
        for number, losses_of_step in enumerate(losses):
            is_last = number == len(losses) - 1
            if not math.isfinite(losses_of_step.total) or (is_last and not is_finite):
                other = self._schedule.optimizer.steadier
                raise DivergedError(_DIVERGED.format(step=first + number, other=other))
            step = Step(
                first + number,
                planned,
                size,
                losses_of_step,
                seconds[number],
                taken_back=taken_back,
            )
            yield self._last(step, asked) if is_last else step

    @property
    def _is_stage_due(self) -> bool:
        return self._schedule.is_stage_due(self._state.step, self._state.planned)

    def _last(self, step: Step, asked: Wish) -> Step:
        """Return the last unreported step, with a checkpoint if requested, and a picture if due."""
        if asked in (Wish.CHECKPOINT, Wish.STOP):
            step = replace(step, checkpoint=self._state.save())
        is_shown = self._is_stage_due or asked is Wish.FINISH
        return self._with_picture(step) if is_shown else step

    def _with_picture(self, step: Step) -> Stage:
        canvas = self._state.canvas
        painting = canvas.painting(self._state.shown())
        kept = painting if canvas.task.is_frame else None
        return Stage(**vars(step), picture=canvas.finished(painting), painting=kept)

    def _step_seconds(self, count: int) -> list[float]:
        """Return the end time of each of the last `count` steps, in seconds since the start.

        Update the time in the state, and the number of steps that are reported together next.
        """
        state = self._state
        since = self._state.seconds
        state.seconds = time.monotonic() - self._began
        each = (state.seconds - since) / count
        self._group = report_group(state.u.device, each)
        return [since + each * (i + 1) for i in range(count - 1)] + [state.seconds]


def report_group(device: torch.device, seconds: float) -> int:
    """Return the number of steps, of `seconds` each, that are reported together; 1 on a CPU."""
    if device.type == "cpu":  # a CPU needs no synchronization
        return 1
    if seconds * _MAX_UNREPORTED <= _REPORT_S:
        return _MAX_UNREPORTED
    return max(1, int(_REPORT_S / seconds))


def stepper(
    optimizer: Optimizer, u: Tensor, objective: Objective, times: int
) -> Callable[[], Evaluation]:
    """Return a function that makes a step, which changes u in place.

    It returns the evaluation before the step. u is (1, 3, height, width); `times` is the number of
    steps to make. At small sizes a GPU completes a kernel before Python starts the next one.
    Therefore steps are captured in a CUDA graph if the objective allows it and there are at least
    _MIN_GRAPH_STEPS.
    """
    if u.is_cuda and times >= _MIN_GRAPH_STEPS and objective.is_capturable:
        return _GraphedStep(optimizer, u, objective)
    return lambda: optimizer.step(u, objective)


class _GraphedStep:
    """Step function that makes the first steps directly and then replays a CUDA graph.

    The graph contains the whole step if the optimizer allows it, or else the evaluation.
    """

    def __init__(self, optimizer: Optimizer, u: Tensor, objective: Objective) -> None:
        self._optimizer = optimizer
        self._u = u
        self._objective = objective
        self._input = u.clone()
        self._captures_step = optimizer.stays_in_place(u.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._made = 0

    def __call__(self) -> Evaluation:
        self._made += 1
        if self._made <= _WARM_UP:
            return self._optimizer.step(self._u, self._objective)
        if self._graph is None:
            self._capture()
        if self._captures_step:
            return self._replay()
        return self._optimizer.step(self._u, self._evaluate)

    def _capture(self) -> None:
        """Capture the kernels of a step or an evaluation without running them."""
        self._graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._u.device)
        with torch.cuda.graph(self._graph):
            if self._captures_step:
                self._output = self._optimizer.step(self._u, self._objective)
            else:
                self._output = self._objective(self._input)

    def _evaluate(self, u: Tensor) -> Evaluation:
        self._input.copy_(u)
        return self._replay()

    def _replay(self) -> Evaluation:
        if self._graph is not None:
            self._graph.replay()
        return self._output.copied()
