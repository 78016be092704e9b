"""Paint a clip: find its scenes, paint each by itself, and join them.

For the job a frame is a step; with a backward pass each frame is two. Scenes know nothing of each
other, so frames of several can be painted at once, and scenes by different machines. At the end
their segments are joined, without encoding them again.
"""

import json
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylewatch_daemon.worker.paint_scene import (
    ClipJob,
    Scene,
    ScenePainter,
    open_files,
    segment_file,
    shown_frames,
)
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images import clip, flow
from stylewatch_painter.images.clip import Frame
from stylewatch_painter.images.flow import Known, Reference
from stylewatch_painter.images.reduced import Size
from stylewatch_painter.images.resize import resize
from stylewatch_painter.stage import Losses, Stage, Step, Wish
from stylewatch_plugins.contract import Backend, Checkpoint, Estimate

_FOR_CUTS = 160
"""Pixels of the long side that are enough to find cuts."""

_KEPT = ("references", "later")
"""The attributes of a scene that are lists of frames."""


class ClipState:
    """The scenes of a clip, as far as they are painted: all that goes into the checkpoint.

    `identity` is a digest of the clip and the settings; `seconds` have been spent on it.
    """

    def __init__(self, identity: str, scenes: Iterable[Scene] = (), seconds: float = 0.0) -> None:
        self.identity, self.scenes, self.seconds = identity, list(scenes), seconds

    @property
    def steps(self) -> int:
        """Number of times that a frame was painted."""
        return sum(scene.steps for scene in self.scenes)

    @property
    def is_complete(self) -> bool:
        """True if no scene is left to paint."""
        return bool(self.scenes) and all(scene.is_complete for scene in self.scenes)

    @property
    def so_far(self) -> list[Scene]:
        """The complete scenes up to the first other one, and what is painted of that."""
        whole = list(takewhile(lambda scene: scene.is_complete, self.scenes))
        return whole + [scene for scene in self.scenes[len(whole) :][:1] if scene.done]

    def save(self) -> Checkpoint:
        """Plain arrays, as `load` takes them."""
        scenes, arrays = [], {}
        for scene in self.scenes:
            numbers = {}
            for kept in _KEPT:
                frames = getattr(scene, kept)
                numbers[kept] = [number for number, _ in frames]
                for number, reference in frames:
                    for name, plane in vars(reference).items():
                        arrays[f"{kept}.{number}.{name}"] = plane
            scenes.append({**vars(scene), **numbers})
        plain = {"identity": self.identity, "seconds": self.seconds, "scenes": scenes}
        return {"clip": np.frombuffer(json.dumps(plain).encode(), np.uint8), **arrays}

    @classmethod
    def load(cls, saved: Checkpoint) -> "ClipState":
        """Restore a checkpoint; raises CheckpointError if it is damaged, or not of a clip."""

        def reference(kept: str, number: int) -> tuple[int, Reference]:
            planes = (
                np.asarray(saved[f"{kept}.{number}.{name}"], np.uint8)
                for name in ("frame", "painted", "maturity")
            )
            return number, Reference(*planes)

        try:
            plain = json.loads(np.asarray(saved["clip"], np.uint8).tobytes())
            scenes = []
            for scene in plain.pop("scenes"):
                frames = {kept: [reference(kept, n) for n in scene[kept]] for kept in _KEPT}
                scenes.append(Scene(**{**scene, **frames}))
            return cls(**plain, scenes=scenes)
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError("this checkpoint is damaged, or not of a clip") from error


def with_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Yield each frame, and whether a scene begins with it; small copies are looked at."""
    before: list[Reference] = []
    for frame in frames:
        image = Image.fromarray(frame.pixels)
        image.thumbnail((_FOR_CUTS, _FOR_CUTS), reducing_gap=2.0)
        small = np.asarray(image)
        yield frame, flow.known(small, before).is_cut
        before = [Reference(small, small, np.zeros(small.shape[:2], np.uint8))]


class ClipPainter:
    """Paints the frames of a clip with a backend, from a checkpoint on or from the start.

    Raises CheckpointError where the checkpoint is of another clip, damaged, or frames are missing.
    """

    def __init__(self, job: ClipJob, backend: Backend, saved: Checkpoint | None) -> None:
        self.job, self._backend = job, backend
        self.state = state = ClipState.load(saved) if saved else ClipState(job.identity)
        if state.identity != job.identity:
            raise CheckpointError("this checkpoint belongs to another clip, or other settings")
        kept = [segment_file(job, first) for scene in state.scenes for first in scene.segments]
        kept += [path for scene in state.scenes for path in open_files(job, scene)]
        if not all(path.is_file() for path in kept):
            raise CheckpointError("painted frames that this checkpoint refers to are missing")
        self._began = time.monotonic() - state.seconds
        self._losses = Losses(0.0)
        self._shown: Collection[int] = ()
        """The frames that are stages."""

    def paint(self, wish: Callable[[], Wish], ask: Callable[[], Wish]) -> Iterator[Step]:
        """Yield a Step for every frame, and steps with no new frame meanwhile, as signs of life.

        `wish` is called once for each frame, `ask` at any time: it returns the current request.
        The steps of `shown_frames`, and the last one, are a Stage. A segment that is complete comes
        with a checkpoint. Raises as the backend does; OSError where a file cannot be written.
        """
        if not self.state.scenes:
            yield from self._find_scenes(ask)
            if not self.state.scenes:  # stopped
                return
        self._shown = shown_frames(self.job, self.state.scenes)
        unfinished = [scene for scene in self.state.scenes if not scene.is_complete]
        painters = [ScenePainter(self.job, scene) for scene in unfinished]
        while painters:
            painter = painters[0]
            draft = painter.draft()
            stage = yield from self._painted(draft.task, ask)
            if stage is None:  # stopped
                return
            draft.keep(stage)
            wanted = wish()
            yield from self._kept({self.state.steps: painter}, wanted)
            if wanted in (Wish.FINISH, Wish.STOP):
                return
            painters = [painter for painter in painters if not painter.scene.is_complete]

    def estimate(self) -> Estimate:
        """Estimate the cost of the clip, as if it had a single scene."""
        content = resize(next(self.job.frames()).pixels, self.job.size)
        still = self.job.still(content, 0)
        whole = np.ones(content.shape[:2], np.float32)
        blank = Known(content, whole, whole, whole)
        painter = ScenePainter(self.job, Scene(0, self.job.clip.frames))
        later = painter.following(still, content, blank)
        costs = [self._backend.estimate(task) for task in (still, later)]
        seconds = [cost.seconds for cost in costs if cost.seconds is not None]
        steps = self.job.steps(self.job.clip.frames)
        total = seconds[0] + (steps - 1) * seconds[1] if len(seconds) == len(costs) else None
        return replace(costs[0], sizes=(self.job.size,), steps=(steps,), seconds=total)

    def record(self) -> dict[str, Any]:
        """The clip so far, as the receipt has it."""
        scenes = self.state.so_far
        return {
            **self.job.order.settings.clip.model_dump(),
            "frames": sum(scene.done for scene in scenes),
            "seconds": round(float(Fraction(scenes[-1].ends)), 3),
            "scenes": [scene.record for scene in scenes],
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on differences between the clip and what is painted."""
        damaged = sum(scene.damaged for scene in self.state.so_far)
        if not damaged:
            return ()
        return (f"damaged frames of the clip, which show the one before: {damaged}",)

    def join(self, target: Path) -> tuple[str, ...]:
        """Join all segments in the file `target`; return warnings."""
        job, scenes = self.job, self.state.so_far
        segments = [segment_file(job, first) for scene in scenes for first in scene.segments]
        return clip.join(target, segments, job.order.settings.clip.format, job.order.main)

    def _find_scenes(self, ask: Callable[[], Wish]) -> Iterator[Step]:
        """Look at the whole clip; a request to stop leaves no scenes."""
        starts = []
        for frame, is_cut in with_cuts(self.job.frames()):
            if ask() is Wish.STOP:
                return
            if is_cut:
                starts.append(frame.number)
            yield self._step()
        ends = [*starts[1:], self.job.clip.frames]
        self.state.scenes = [
            Scene(first, end - first) for first, end in zip(starts, ends, strict=True)
        ]

    def _painted(self, task: Task, ask: Callable[[], Wish]) -> Generator[Step, None, Stage | None]:
        """Paint a frame; return its last stage, None if it was stopped."""

        def wish() -> Wish:  # only a request to stop interrupts a frame
            return Wish.STOP if ask() is Wish.STOP else Wish.GO_ON

        for step in self._backend.paint(task, wish):
            self._losses = step.losses
            yield self._step()
            if isinstance(step, Stage) and step.step == step.steps:
                return step
        return None

    def _kept(self, painters: Mapping[int, ScenePainter], wanted: Wish) -> Iterator[Step]:
        """Encode complete segments, and yield the step of each frame that was painted at once.

        The `painters` are given by the numbers of these steps.
        """
        closed = [
            path
            for painter in painters.values()
            if painter.is_ready
            for path in painter.close_segment()
        ]
        if wanted is Wish.FINISH:
            closed += [
                path
                for scene in self.state.so_far
                if scene.times
                for path in ScenePainter(self.job, scene).close_segment()
            ]
        is_end = wanted is Wish.FINISH or self.state.is_complete
        for number, painter in painters.items():
            is_last = number == self.state.steps
            self._losses = painter.losses
            step = replace(self._step(), step=number)
            if is_last and (closed or wanted in (Wish.CHECKPOINT, Wish.STOP)):
                step = replace(step, checkpoint=self.state.save())
            if painter.number in self._shown or (is_last and is_end):
                step = Stage(**vars(step), picture=painter.picture, frame=painter.number + 1)
            yield step
        for path in closed:  # the checkpoint refers to segments now
            path.unlink(missing_ok=True)

    def _step(self) -> Step:
        """The step after the frames so far."""
        state = self.state
        state.seconds = time.monotonic() - self._began
        steps = self.job.steps(self.job.clip.frames)
        return Step(state.steps, steps, self.job.size, self._losses, state.seconds)


def even(size: Size) -> Size:
    """The nearest size whose sides are even, as most formats of clips need them."""
    return max(2, 2 * round(size[0] / 2)), max(2, 2 * round(size[1] / 2))
