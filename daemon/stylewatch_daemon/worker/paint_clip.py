"""Painting of a clip: frame after frame, each based on the painted frames before it.

Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610): a frame starts from the previous one, moved along
the optical flow, and the temporal loss keeps it there wherever the flow can be trusted. A frame
that has too little in common with the previous ones begins a scene: it is painted as a still
picture.

The painted frames of the open segment are files beside the staged ones. A complete segment is
encoded as one video file. Therefore neither memory nor temporary files grow with the length of the
clip.
"""

import io
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylewatch_daemon.base.model import REFERENCES, SEGMENT
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import CLIP_FOLDER
from stylewatch_daemon.worker.messages import Order, Saving
from stylewatch_daemon.worker.regions import divided
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images import flow, read_clip, write_clip
from stylewatch_painter.images.clip import Clip, Frame
from stylewatch_painter.images.encode import whole
from stylewatch_painter.images.flow import Known, Reference
from stylewatch_painter.images.masks import feathered
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene.task import Prior, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Losses, Pixels, Plane, Regions, Stage, Step, Wish
from stylewatch_plugins import checked
from stylewatch_plugins.contract import Backend, Checkpoint, Estimate

REFERENCE_EVERY = 12
"""Interval, in frames of a scene, at which a frame is kept as a reference for later frames."""

SOME_NEW = 0.002
"""Share of unfinished pixels in a frame above which they form regions of their own."""

MUCH_NEW = 0.03
"""Share of unfinished pixels in a frame above which the frame is first painted at smaller sizes.
This finishes all its pixels."""

FINE_ALONE = 0.125
"""Factor by which pixels mature more slowly in a frame that is painted only at its final size,
where large strokes form slowly."""

_FINISHED = 0.95
"""Maturity, 0..1 as in `Known`, from which a pixel is finished."""

_REACH = 0.05
"""Width of the edge by which a region of unfinished pixels extends into finished ones, as a share
of the frame's longer side. In this edge, new strokes join old ones."""

_COARSE = 0.25
"""The smallest scale at which frames with many unfinished pixels are painted first."""


_MAY_RISE = 1.02
"""Maximum factor by which a step may multiply the objective of a frame that starts near its
painting. The few steps of a frame cannot repair the damage of a larger rise, and the clip would
flash."""


@dataclass(frozen=True, eq=False)
class ClipJob:
    """A clip to paint: its order, its properties, and functions to prepare and show its frames.

    `still` takes a frame as it is in the file, and returns the task that paints it as a still
    picture with its last stage only. `shown` takes the painted frame and the frame of the clip,
    both in the `size` of the output, and returns the frame to write. `identity` is a digest of
    everything that determines the result; `earlier` are the identities that earlier versions gave
    the same clip.
    """

    order: Order
    clip: Clip
    size: Size
    identity: str
    still: Callable[[Bytes], Task]
    shown: Callable[[Pixels, Pixels], Pixels]
    earlier: tuple[str, ...] = ()

    def frames(self, first: int = 0) -> Iterator[Frame | None]:
        """Return the frames of the clip from number `first` on, and None for each earlier frame.

        Raises as `read_clip.frames` does.
        """
        return read_clip.decoded(self.order.main, self.order.clip_limits, first)

    def frame_file(self, number: int) -> Path:
        """Return the path of the painted frame `number`, a PNG in the staging folder."""
        return self.order.staging / CLIP_FOLDER / f"{number:08}.png"

    def segment_file(self, first: int) -> Path:
        """Return the path of the segment that begins with the frame number `first`."""
        return self.order.staging / CLIP_FOLDER / f"segment-{first:08}.mkv"


@dataclass(eq=False)
class Scene:
    """A scene: the number of its `first` frame, and how many `frames` of it are painted.

    `total` is the mean of the total losses of the painted frames; `losses` are the losses of the
    first frame. `unit` is the total loss of the first frame with a styled part, divided by that
    part's share of the frame; 0 before that frame.
    """

    first: int
    frames: int = 0
    total: float = 0.0
    losses: Mapping[str, Any] = field(default_factory=dict)
    unit: float = 0.0

    def add(self, losses: Losses, task: Task) -> None:
        """Count the painted frame of `task`, and record its `losses`."""
        if self.unit == 0 and task.styled_share > 0:
            self.unit = losses.total / task.styled_share
        self.total = (self.total * self.frames + losses.total) / (self.frames + 1)
        self.losses = self.losses or losses.as_json(len(task.styles))
        self.frames += 1

    @property
    def record(self) -> dict[str, Any]:
        """The scene in the form of the receipt."""
        return {key: value for key, value in asdict(self).items() if key != "unit"}


@dataclass(eq=False)
class ClipState:
    """The state of a clip: everything that goes into the checkpoint.

    `identity` is a digest of the clip and the settings; `seconds` is the time spent on it.
    """

    identity: str
    seconds: float = 0.0
    done: int = 0
    """Number of painted frames."""
    damaged: int = 0
    """Number of frames that cannot be decoded."""
    doubtful: int = 0
    """Number of frames that may be smeared."""
    segments: list[int] = field(default_factory=list)
    """Numbers of the first frames of the complete segments."""
    scenes: list[Scene] = field(default_factory=list)
    references: list[tuple[int, Reference]] = field(default_factory=list)
    """Earlier frames of the open scene with their numbers, the latest first."""

    @property
    def open_frames(self) -> range:
        """The frames of the open segment."""
        return range(SEGMENT * len(self.segments), self.done)

    def save(self) -> Checkpoint:
        """Return the state as arrays by name, from which `load` restores it."""
        plain = {**vars(self), "scenes": [*map(asdict, self.scenes)]}
        plain["references"] = [number for number, _ in self.references]
        planes = {
            f"reference.{number}.{name}": plane
            for number, reference in self.references
            for name, plane in vars(reference).items()
        }
        return {"clip": np.frombuffer(json.dumps(plain).encode(), np.uint8), **planes}

    @classmethod
    def load(cls, saved: Checkpoint) -> "ClipState":
        """Return the state restored from a checkpoint.

        Raises CheckpointError if the checkpoint is damaged, or not of a clip.
        """

        def reference(number: int) -> tuple[int, Reference]:
            frame, painted, maturity = (
                np.asarray(saved[f"reference.{number}.{name}"], np.uint8)
                for name in ("frame", "painted", "maturity")
            )
            # earlier versions lack these
            change = saved.get(f"reference.{number}.change", np.zeros(frame.shape))
            redone = saved.get(f"reference.{number}.redone", np.zeros(maturity.shape))
            return number, Reference(
                frame, painted, maturity, change.astype(np.float16), redone.astype(np.uint8)
            )

        try:
            plain = json.loads(np.asarray(saved["clip"], np.uint8).tobytes())
            plain["scenes"] = [Scene(**scene) for scene in plain["scenes"]]
            plain["references"] = [*map(reference, plain["references"])]
            return cls(**plain)
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError("this checkpoint is damaged, or not of a clip") from error


class ClipPainter:
    """Painter of the frames of a clip with `backend`, from the checkpoint `saved` or the start.

    Raises CheckpointError if the checkpoint belongs to another clip or other settings, if it is
    damaged, or if files of painted frames are missing.
    """

    def __init__(self, job: ClipJob, backend: Backend, saved: Checkpoint | None) -> None:
        self.job = job
        self._backend = backend
        self.state = state = ClipState.load(saved) if saved else ClipState(job.identity)
        if state.identity not in (job.identity, *job.earlier):
            raise CheckpointError("this checkpoint belongs to another clip, or other settings")
        kept = [*map(job.segment_file, state.segments), *map(job.frame_file, state.open_frames)]
        if not all(map(entries.is_file, kept)):
            raise CheckpointError("painted frames that this checkpoint refers to are missing")
        self._began = time.monotonic() - state.seconds
        self._losses = Losses(0.0)

    def paint(self, wish: Callable[[], Wish], ask: Callable[[], Wish]) -> Iterator[Step | Saving]:
        """Paint and save the remaining frames; yield a Step for each, and signs of life in between.

        The signs of life are Steps while a frame is painted, and Saving while frames are decoded
        again or a segment is encoded. `wish` is called once for each frame. `ask` returns the
        current request, and may be called at any time. The first step of each segment and the last
        step are Stages. A complete segment comes with a checkpoint. Raises as the backend does, and
        OSError if a file cannot be written.
        """
        for frame in self.job.frames(self.state.done):
            if frame is None:
                yield Saving()
                continue
            content = resize(frame.pixels, self.job.size)
            task, known = self._task(frame.pixels, content)
            painted = yield from self._painted(task, ask)
            if painted is None:  # stopped
                return
            picture = self._keep(frame, content, painted, task, known)
            del task  # it has the frame in full size: free that memory before the next frame
            wanted = wish()
            yield from self._step_of(frame.number, picture, wanted)
            if wanted in (Wish.FINISH, Wish.STOP):
                return

    def estimate(self) -> Estimate:
        """Return the estimated cost of the clip, assuming a single scene.

        The only size is that of the output, and its steps are the frames of the clip. The seconds
        are None if the backend cannot estimate them.
        """
        first = next(read_clip.frames(self.job.order.main, self.job.order.clip_limits))
        content = resize(first.pixels, self.job.size)
        count = self.job.clip.frames
        still = self.job.still(first.pixels)
        whole, none = np.ones(content.shape[:2], np.float32), np.zeros_like(content)
        known = Known(content, whole, whole, whole, none, none[..., 0])
        later = self._following(still, content, known, 0.0)
        costs = [self._backend.estimate(task) for task in (still, later)]
        seconds = [cost.seconds for cost in costs if cost.seconds is not None]
        total = seconds[0] + (count - 1) * seconds[1] if len(seconds) == len(costs) else None
        return replace(costs[0], sizes=(self.job.size,), steps=(count,), seconds=total)

    def record(self) -> dict[str, Any]:
        """Return the painted part of the clip in the form of the receipt."""
        times = self.job.clip.times
        return {
            "frames": self.state.done,
            "seconds": round(float(times[self.state.done] - times[0]), 3),
            "scenes": [scene.record for scene in self.state.scenes],
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on differences between the clip and its painting."""
        told = {
            "damaged frames of the clip, which show the one before": self.state.damaged,
            "frames of the clip near damage, which may be smeared": self.state.doubtful,
        }
        return tuple(f"{what}: {count}" for what, count in told.items() if count)

    def join(self, target: Path) -> tuple[str, ...]:
        """Join all segments into the file `target`; return warnings about what the file lacks."""
        order = self.job.order
        segments = [*map(self.job.segment_file, self.state.segments)]
        times = self.job.clip.times[: self.state.done + 1]
        return write_clip.join(target, segments, times, order.settings.clip.format, order.main)

    def _task(self, pixels: Bytes, content: Pixels) -> tuple[Task, Known]:
        """Return the task of the next frame, and the part of it that earlier frames show.

        `pixels` is the frame as in the file, `content` the frame in the size of the output. If the
        frame begins a scene (`Known.is_cut`), add the scene to `self.state`, drop the references
        there, and return the task of a still picture, of which nothing is known.
        """
        state = self.state
        still = self.job.still(pixels)
        frame, references = whole(content), [earlier for _, earlier in state.references]
        known = flow.known(frame, references, _regions(still, Size.of(content)))
        if not known.is_cut:
            return self._following(still, content, known, state.scenes[-1].unit), known
        state.scenes.append(Scene(state.done))
        state.references = []
        return still, flow.known(frame, [])

    def _following(self, still: Task, content: Pixels, known: Known, unit: float) -> Task:
        """Return the task of a frame that follows earlier frames of its scene.

        `still` is the task of a still picture for the frame, `known` the part of the frame that
        earlier frames show, and `unit` as in Scene. A frame that shows only the photograph does not
        depend on other frames.
        """
        if still.is_photograph:
            short = following(still.recipe, coarse=False)
            return replace(still, recipe=book.change(short, {"start": "content"}))
        new = content
        references = self.state.references
        if references:
            new = flow.recolored(content, references[0][1])
        shown = known.shown[..., None]
        init = shown * known.picture + (1 - shown) * new
        # unfinished parts may still change
        trust = known.trust * known.maturity
        size = Size.of(content)
        regions = _regions(still, size)
        if regions is not None and still.content is not None:
            styled = np.minimum(regions.sum(2), 1)  # elsewhere a still is the photograph
            init += (1 - styled[..., None]) * (resize(still.content, size) - init)
            trust *= styled
        # at smaller sizes a pixel also has colors of neighbors of which nothing is known
        picture = np.where(trust[..., None] > 0, known.picture, init)
        prior = Prior(picture, trust, unit * still.styled_share)
        if known.unfinished > SOME_NEW:
            still = divided(still, _around_unfinished(known.maturity))
        return replace(
            still,
            recipe=following(still.recipe, coarse=known.unfinished > MUCH_NEW),
            init=init,
            prior=prior,
        )

    def _painted(self, task: Task, ask: Callable[[], Wish]) -> Generator[Step, None, Stage | None]:
        """Paint a frame and yield steps meanwhile; return its last stage, or None if stopped."""

        def wish() -> Wish:  # only a request to stop interrupts a frame
            return Wish.STOP if ask() is Wish.STOP else Wish.GO_ON

        for step in checked.paint(self._backend, task, wish):
            self._losses = step.losses
            yield self._step()
            if isinstance(step, Stage) and step.step == step.steps:
                return step
        return None

    def _keep(
        self, frame: Frame, content: Pixels, painted: Stage, task: Task, known: Known
    ) -> Pixels:
        """Add a painted frame to the state and write its file; return the picture in the file."""
        state = self.state
        scene = self.state.scenes[-1]
        number = frame.number
        maturity: Plane = np.minimum(known.maturity + np.float32(_finished_by(task, known)), 1)
        reference = Reference(
            whole(content),
            whole(painted.picture if painted.painting is None else painted.painting),
            whole(255 * maturity),
            known.change.astype(np.float16),
            whole(255 * known.redone),
        )
        distant = [
            earlier
            for earlier in state.references
            if (earlier[0] - scene.first) % REFERENCE_EVERY == 0
        ]
        state.references = [(number, reference), *distant[:REFERENCES]]
        scene.add(painted.losses, task)
        state.done = number + 1
        state.damaged += frame.is_damaged
        state.doubtful += frame.is_doubtful
        picture = self.job.shown(painted.picture, content)
        png = io.BytesIO()
        shown = whole(picture, task.recipe.schedule.rounding)
        Image.fromarray(shown).save(png, "PNG", compress_level=1)
        name = f"{CLIP_FOLDER}/{self.job.frame_file(number).name}"
        publish.stage(self.job.order.staging, name, png.getvalue())
        return picture

    def _step_of(self, number: int, picture: Pixels, wanted: Wish) -> Iterator[Step | Saving]:
        """Yield the step of a painted frame; encode the open segment if it is complete or last.

        The files of encoded frames are removed after the step, whose checkpoint refers to the
        segment.
        """
        state = self.state
        is_end = wanted is Wish.FINISH or state.done == self.job.clip.frames
        closed = list[Path]()
        if state.done == self.job.clip.frames:
            state.references = []
        if is_end or len(state.open_frames) == SEGMENT:
            closed = yield from self._close_segment()
        step = self._step()
        if closed or wanted in (Wish.CHECKPOINT, Wish.STOP):
            step = replace(step, checkpoint=state.save())
        if is_end or number % SEGMENT == 0:
            step = Stage(**vars(step), picture=picture, frame=number + 1)
        yield step
        for path in closed:  # now the checkpoint refers to the segment
            path.unlink(missing_ok=True)

    def _close_segment(self) -> Generator[Saving, None, list[Path]]:
        """Encode the open segment, yielding Saving meanwhile; return the files of its frames.

        The caller removes the files once a checkpoint is saved.
        """
        state = self.state
        job = self.job
        files = [*map(job.frame_file, state.open_frames)]
        whole = job.segment_file(state.open_frames.start)
        part = whole.with_suffix(".part")
        settings = job.order.settings
        frames = map(_read, files)
        for _ in write_clip.write_segment(part, frames, settings.clip.format, settings.quality):
            yield Saving()
        atomic.sync_file(part)
        atomic.move(part, whole)
        state.segments.append(state.open_frames.start)
        return files

    def _step(self) -> Step:
        """Return the step for the frames painted so far, and update the seconds of the state."""
        state = self.state
        count = self.job.clip.frames
        state.seconds = time.monotonic() - self._began
        return Step(state.done, count, self.job.size, self._losses, state.seconds)


def following(recipe: Recipe, *, coarse: bool) -> Recipe:
    """Return the recipe of a frame that starts from earlier frames, with only a share of the steps.

    With `coarse`, the frame is first painted like a still picture at scales from `_COARSE` on, at
    which large shapes form in its new parts.
    """
    schedule = recipe.schedule

    def shared(steps: int) -> int:
        return max(1, round(schedule.frame_share * steps))

    scales = [
        {"scale": scale.scale, "steps": scale.steps if scale.scale < 1 else shared(scale.steps)}
        for scale in schedule.scales
        if scale.scale >= (_COARSE if coarse else 1)
    ]
    optimizer = schedule.optimizer if coarse else schedule.optimizer.undoing_rises(_MAY_RISE)
    changes = {
        "start": "picture",
        "scales": scales,
        "initial_steps": None,
        "steps": shared(schedule.steps),
        "optimizer": optimizer.model_dump(),
    }
    return book.change(recipe, changes)


def _finished_by(task: Task, known: Known) -> float:
    """Return the increase in maturity of the pixels of a painted frame, 0..1.

    It is at least 1/255, the resolution of `Reference.maturity`, so that pixels are finished at
    last.
    """
    if task.prior is None or any(level.scale < 1 for level in task.levels()):
        return 1.0
    share = task.recipe.schedule.frame_share
    return max(share if known.unfinished > MUCH_NEW else share * FINE_ALONE, 1 / 255)


def _regions(still: Task, size: Size) -> Regions | None:
    """Return the regions of a still picture in another size, (height, width, R), if it has any."""
    planes = still.regions(size)
    return np.stack(planes, axis=2) if planes else None


def _around_unfinished(maturity: Plane) -> Plane:
    """Return the region of unfinished pixels, in the shape of `maturity`, with soft edges.

    The edges lie in the finished pixels.
    """
    unfinished = (maturity < _FINISHED).astype(np.float32)[..., None]
    soft = feathered(unfinished, _REACH * max(maturity.shape))
    return np.minimum(2 * soft[..., 0], 1)


def even(size: Size) -> Size:
    """Return the nearest size with even sides, which most clip formats require."""
    return Size(*(max(2, 2 * round(side / 2)) for side in size))


def _read(path: Path) -> Bytes:
    with Image.open(path) as image:
        return np.asarray(image)
