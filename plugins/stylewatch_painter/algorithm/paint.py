"""The painting loop: from coarse to fine, a Step after every step, a Stage when one is due.

Every painting runs in a batch, mostly a batch of one: tasks of one shape run together.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas, check_pictures
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.optimizers import Evaluation, Optimizer
from stylewatch_painter.algorithm.state import PaintState
from stylewatch_painter.algorithm.task import UNLIMITED, MemoryPlan, Task, searches_line
from stylewatch_painter.errors import DivergedError, PainterError
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.process_memory import trim_heap
from stylewatch_painter.recipes.recipe import Lbfgs
from stylewatch_painter.stage import Losses, Stage, Step, Wish, go_on

Ask = Callable[[], Wish]

Result = Step | DivergedError
"""A step, or the end of a painting whose loss is no longer finite."""

_DIVERGED = "the loss is no longer a number at step {step}: lower schedule.optimizer.rate{other}"
_OTHER_OPTIMIZER = ", or use another optimizer (schedule.optimizer.kind=lbfgs)"
_MAX_UNREPORTED = 10
"""Steps between two reports on a GPU, which has to synchronize for a report."""
_REPORT_S = 0.5
"""Seconds between two reports, unless a single step takes longer."""

_MIN_GRAPH_STEPS = 12
"""Steps from which capturing a CUDA graph pays off; it costs two to three steps."""
_WARM_UP = 3
"""Steps before the capture, in which CUDA libraries choose their algorithms."""


def paint(
    task: Task,
    network: FeatureMaps,
    wish: Ask = go_on,
    styles: StyleCache | None = None,
    memory_plan: MemoryPlan = UNLIMITED,
) -> Iterator[Step]:
    """Paint `task`: yield a Step after every step, a Stage after every `save_every` and the last.

    With `save_start` the first Stage is the picture that it starts from, with step 0.
    After every step, `wish` is asked what to do next. With `task.resume` the painting continues
    from there, byte for byte where the device is deterministic. `styles` caches style sums for
    `network`; `memory_plan` limits the memory.

    Raises PictureError, RecipeError, CheckpointError before the first step, DivergedError.
    """
    for _, result in paint_batch([task], network, [wish], styles, memory_plan):
        if isinstance(result, Exception):
            raise result
        yield result


def paint_batch(
    tasks: Sequence[Task],
    network: FeatureMaps,
    wishes: Sequence[Ask],
    styles: StyleCache | None = None,
    memory_plan: MemoryPlan = UNLIMITED,
) -> Iterator[tuple[int, Result]]:
    """Paint tasks of one `shape` together; yield the number of a task with each Step.

    A DivergedError is yielded and ends only the painting it belongs to. Raises PictureError,
    RecipeError, CheckpointError before the first step.
    """
    for task in tasks:
        check_pictures(task)
    canvases = [Canvas(task, network.mean, network.device, memory_plan) for task in tasks]
    if any(task.resume is not None for task in tasks):
        (canvas,) = canvases  # checkpoints may be at different steps, so each resumes alone
        state = PaintState.load(canvas)
    else:
        state = PaintState.start(canvases)
    reporter = _Reporter(state)
    styles = StyleCache() if styles is None else styles
    while state.members and state.step < state.planned:
        yield from _paint_level(state, network, wishes, reporter, styles)
        if state.members and not state.left and state.level + 1 < len(state.levels):
            state.next_level()
            if network.device.type == "cpu":
                trim_heap()  # the next maps are larger and fit into no hole


def paint_many(
    tasks: Sequence[Task],
    network: FeatureMaps,
    wishes: Sequence[Ask],
    styles: StyleCache | None = None,
    max_batch: Callable[[Task], int] | None = None,
) -> Iterator[tuple[int, Step | Exception]]:
    """Paint each task as `paint` does, in batches; yield the number of a task with each Step.

    `max_batch` limits the size of the batch that a task is in. An error of one task is yielded,
    ends that task and stops no other.
    """
    valid = []
    for number, task in enumerate(tasks):
        try:
            check_pictures(task)
        except PainterError as error:
            yield number, error
        else:
            valid.append(number)
    for group in groups([tasks[number] for number in valid]):
        size = len(group)
        most = size if max_batch is None else max_batch(tasks[valid[group[0]]])
        count = math.ceil(size / most)
        for part in range(count):  # of about equal size
            rows = group[size * part // count : size * (part + 1) // count]
            yield from _paint_group([valid[row] for row in rows], tasks, network, wishes, styles)


def measure(task: Task, network: FeatureMaps, memory_plan: MemoryPlan = UNLIMITED) -> Losses:
    """Compute the losses, in float32, of the picture that `task` starts from at its final size.

    Raises PictureError as `check_pictures` does, and RecipeError as `Canvas.start` does.
    """
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device, memory_plan)
    level = task.levels()[-1]
    u = canvas.start(level.size)
    objective = Objective([canvas], network, level, start=u)
    return objective.losses(objective.exact_terms(u))[0]


def groups(tasks: Sequence[Task]) -> list[list[int]]:
    """Group the numbers of `tasks` that can be painted together, in their order.

    A task runs alone if it resumes a checkpoint, has masks, or uses an optimizer with a line
    search or a stop criterion: then the number of evaluations differs from picture to picture.
    Raises PictureError.
    """
    members: dict[Hashable, list[int]] = {}
    for number, task in enumerate(tasks):
        key = number if _runs_alone(task) else shape(task)
        members.setdefault(key, []).append(number)
    return list(members.values())


def shape(task: Task) -> Hashable:
    """Key that is equal for tasks that can be painted together.

    They may differ in strength and in the weights of content and style layers, `tv` and `temporal`,
    but not in those of `neighbors`, `transport` and `coarse`. Raises PictureError.
    """
    objective = task.recipe.objective
    sides = objective.content, objective.style
    others = objective.network, objective.neighbors, objective.transport, objective.coarse
    return (
        task.recipe.schedule.model_dump_json(),
        *(side and side.model_dump_json(exclude={"layers"}) for side in sides),
        *(side and tuple(side.layers) for side in sides),
        *(part and part.model_dump_json() for part in others),
        objective.tv and objective.tv.loss,
        task.levels(),
        task.content is None,
        task.prior is None,
        len(task.styles),
    )


def _runs_alone(task: Task) -> bool:
    schedule = task.recipe.schedule
    searches = searches_line(schedule.optimizer)
    masked = any(mask is not None for mask in (task.content_mask, *(s.mask for s in task.styles)))
    return task.resume is not None or masked or searches or schedule.until != "steps"


def _paint_group(
    members: Sequence[int],
    tasks: Sequence[Task],
    network: FeatureMaps,
    wishes: Sequence[Ask],
    styles: StyleCache | None,
) -> Iterator[tuple[int, Step | Exception]]:
    """Paint a batch; if it cannot start because of one task, paint each task alone."""
    started = False
    batch, asks = [tasks[member] for member in members], [wishes[member] for member in members]
    try:
        for row, result in paint_batch(batch, network, asks, styles=styles):
            started = True
            yield members[row], result
    except PainterError as error:
        if started:
            raise
        if len(members) == 1:
            yield members[0], error
        else:
            for member in members:
                yield from _paint_group([member], tasks, network, wishes, styles)


def _paint_level(
    state: PaintState,
    network: FeatureMaps,
    wishes: Sequence[Ask],
    reporter: "_Reporter",
    styles: StyleCache,
) -> Iterator[tuple[int, Result]]:
    """Make the remaining steps at this size, or those until a painting of the batch ends."""
    objective = Objective(state.canvases, network, state.levels[state.level], styles, state.begun)
    if state.level + 1 == len(state.levels):
        for canvas in state.canvases:
            canvas.free_content()
    if state.step == 0:
        yield from reporter.start(objective)
    step = stepper(state.optimizer, state.u, objective, state.left)
    while state.left:
        before = state.shown().clone()
        objective.step = state.step
        evaluation = step()
        state.count_step()
        state.skip_if_converged(evaluation.objective)
        asked = [wishes[member]() for member in state.members]
        reporter.add(evaluation.terms)
        if reporter.is_due(asked):
            results, ended = reporter.report(objective, before, asked)
            yield from results
            if ended:
                state.keep([row for row in range(len(asked)) if row not in ended])
                return


class _Reporter:
    """Turns the terms of steps into Steps and Stages: on the CPU one by one, on a GPU in groups."""

    def __init__(self, state: PaintState) -> None:
        self._state = state
        self._began = time.monotonic() - state.seconds
        self._schedule = state.canvases[0].task.recipe.schedule
        self._unreported: list[Tensor] = []
        self._group = 1

    def start(self, objective: Objective) -> Iterator[tuple[int, Stage]]:
        """The pictures before the first step, if the schedule wants them and they have a loss."""
        if not self._schedule.save_start:
            return
        state, size = self._state, self._state.levels[0].size
        losses = objective.losses(objective.exact_terms(state.shown()))
        for row, member in enumerate(state.members):
            if math.isfinite(losses[row].total):
                step = Step(0, state.planned, size, losses[row], state.seconds)
                yield member, self._with_picture(row, step)

    def add(self, terms: Tensor) -> None:
        """Add the terms (B, K) of the pictures before a step."""
        self._unreported.append(terms)

    def is_due(self, asked: Sequence[Wish]) -> bool:
        """True if the steps so far must be reported now."""
        return (
            self._is_stage_due
            or len(self._unreported) >= self._group
            or not self._state.left
            or any(wish is not Wish.GO_ON for wish in asked)
        )

    def report(
        self, objective: Objective, before: Tensor, asked: Sequence[Wish]
    ) -> tuple[list[tuple[int, Result]], set[int]]:
        """Report all unreported steps; return the results and the rows of paintings that ended.

        `before` are the shown pictures before the last step, `asked` the wishes after it.
        """
        state = self._state
        shown = [self._is_stage_due or wish is Wish.FINISH for wish in asked]
        is_exact = objective.network.exact is objective.network
        if any(shown) and (state.average is not None or not is_exact):
            exact = objective.exact_terms(before)  # not finite where the last step was taken back
            replaced = torch.tensor(shown, device=exact.device).unsqueeze(1) & exact.isfinite()
            self._unreported[-1] = torch.where(replaced, exact, self._unreported[-1])
        losses = [objective.losses(terms) for terms in torch.stack(self._unreported).cpu()]
        finite: list[bool] = torch.isfinite(state.u).flatten(1).all(1).tolist()
        taken_back = state.all_taken_back()
        self._unreported.clear()
        seconds = self._step_seconds(len(losses))
        size, planned = state.levels[state.level].size, state.planned
        first = state.step - len(losses) + 1
        results: list[tuple[int, Result]] = []
        ended = {row for row, wish in enumerate(asked) if wish in (Wish.STOP, Wish.FINISH)}
        for row, member in enumerate(state.members):
            for number in range(len(losses)):
                own, is_last = losses[number][row], number == len(losses) - 1
                if not math.isfinite(own.total) or (is_last and not finite[row]):
                    is_lbfgs = isinstance(self._schedule.optimizer, Lbfgs)
                    other = "" if is_lbfgs else _OTHER_OPTIMIZER
                    error = DivergedError(_DIVERGED.format(step=first + number, other=other))
                    results.append((member, error))
                    ended.add(row)
                    break
                step = Step(
                    first + number, planned, size, own, seconds[number], taken_back=taken_back[row]
                )
                if is_last:
                    step = self._last(row, step, asked[row], shown=shown[row])
                results.append((member, step))
        return results, ended

    @property
    def _is_stage_due(self) -> bool:
        step = self._state.step
        return step % self._schedule.save_every == 0 or step == self._state.planned

    def _last(self, row: int, step: Step, wish: Wish, *, shown: bool) -> Step:
        """The last step of a painting, with its checkpoint and picture if they are wanted."""
        state = self._state
        if wish in (Wish.CHECKPOINT, Wish.STOP):
            step = replace(step, checkpoint=state.save(row))
        return self._with_picture(row, step) if shown else step

    def _with_picture(self, row: int, step: Step) -> Stage:
        canvas, u = self._state.canvases[row], self._state.shown()[row : row + 1]
        return Stage(**vars(step), picture=canvas.finished(u))

    def _step_seconds(self, count: int) -> list[float]:
        """When each of the last `count` steps ended, in seconds; updates the state's seconds."""
        state, since = self._state, self._state.seconds
        state.seconds = time.monotonic() - self._began
        each = (state.seconds - since) / count
        self._group = report_group(state.u.device, each)
        return [since + each * (i + 1) for i in range(count - 1)] + [state.seconds]


def report_group(device: torch.device, seconds: float) -> int:
    """Number of steps of so many seconds that are reported together."""
    if device.type == "cpu":  # which needs no synchronization
        return 1
    if seconds * _MAX_UNREPORTED <= _REPORT_S:
        return _MAX_UNREPORTED
    return max(1, int(_REPORT_S / seconds))


def stepper(
    optimizer: Optimizer, u: Tensor, objective: Objective, times: int
) -> Callable[[], Evaluation]:
    """A function that makes one of `times` steps, changing u (B, 3, height, width) in place.

    At small sizes a GPU finishes a kernel before Python starts the next, so that steps are
    captured in a CUDA graph.
    """
    if u.is_cuda and times >= _MIN_GRAPH_STEPS and objective.is_capturable:
        return _GraphedStep(optimizer, u, objective)
    return lambda: optimizer.step(u, objective)


class _GraphedStep:
    """Makes the first steps directly; then replays the evaluation, or the step, as a CUDA graph."""

    def __init__(self, optimizer: Optimizer, u: Tensor, objective: Objective) -> None:
        self._optimizer, self._u, self._objective = optimizer, u, objective
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
        """Capture the kernels; none of them runs meanwhile."""
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
