"""Paint a clip: frame after frame, each from what the painted frames before it show.

Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610): a frame starts from the one before it, moved along
the optical flow, and the temporal loss keeps it there wherever the flow can be trusted. Where a
frame has little in common with those before it, a scene begins, and its first frame is painted as
a still picture.

For the job a frame is a step. Painted frames of the open segment are files beside the staged ones;
a complete segment is encoded, and at the end all segments are joined, without encoding them again.
So neither memory nor temporary files grow with the length of the clip, apart from the clip itself.
"""

import io
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylewatch_daemon.files import atomic
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.disk_need import REFERENCES, SEGMENT
from stylewatch_daemon.outbox.publish import CLIP_FOLDER
from stylewatch_painter.algorithm.task import Prior, Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images import clip, flow
from stylewatch_painter.images.clip import Clip, ClipLimits, Format, Frame
from stylewatch_painter.images.flow import Known, Reference
from stylewatch_painter.images.reduced import Size
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.stage import Bytes, Losses, Pixels, Stage, Step, Wish
from stylewatch_plugins.contract import Backend, Checkpoint, Estimate

REFERENCE_EVERY = 12
"""Every so many frames one is kept for the long-term terms."""

MUCH_NEW = 0.1
"""Share of a frame that may be unfinished before it is painted at smaller sizes first."""

SOME_NEW, COARSE_EVERY = 0.01, 4
"""The same for every so many frames: in so many frames a new place is finished."""

_FOR_CUTS = 160
"""Pixels of the long side that are enough to find cuts."""

_COARSE = 0.25
"""The smallest scale at which such frames are painted first."""


@dataclass(frozen=True)
class Scene:
    """A scene: its first frame and number of frames; `total` is the mean of their total losses."""

    first: int
    frames: int = 0
    total: float = 0.0
    losses: Mapping[str, Any] = field(default_factory=dict)
    """Of its first frame, which is painted as a still picture."""

    def plus(self, losses: Losses) -> "Scene":
        """The scene with one more frame."""
        mean = (self.total * self.frames + losses.total) / (self.frames + 1)
        first = self.losses or losses.as_json()
        return replace(self, frames=self.frames + 1, total=mean, losses=first)


@dataclass(eq=False)
class ClipState:
    """All that goes on from frame to frame, and into the checkpoint."""

    identity: str
    """A digest of the clip and the settings."""
    done: int = 0
    seconds: float = 0.0
    unit: float = 0.0
    """Total loss of the scene's first frame."""
    ends: str = "0"
    """The end of the latest frame, in seconds from the start of the clip."""
    damaged: int = 0
    """Frames that cannot be decoded."""
    scenes: list[Scene] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    """The first frames of the complete segments."""
    times: list[tuple[str, str]] = field(default_factory=list)
    """Time and duration, in seconds, of each frame in the open segment."""
    references: list[tuple[int, Reference]] = field(default_factory=list)
    """Earlier frames of the scene with their numbers, the latest first."""

    @property
    def open_from(self) -> int:
        """The first frame of the open segment."""
        return self.done - len(self.times)

    def save(self) -> Checkpoint:
        """Plain arrays, as `load` takes them."""
        plain = {name: value for name, value in vars(self).items() if name != "references"}
        plain["scenes"] = [asdict(scene) for scene in self.scenes]
        plain["references"] = [number for number, _ in self.references]
        arrays = {"clip": np.frombuffer(json.dumps(plain).encode(), np.uint8)}
        for number, reference in self.references:
            arrays |= {f"{name}.{number}": plane for name, plane in vars(reference).items()}
        return arrays

    @classmethod
    def load(cls, identity: str, saved: Checkpoint | None) -> "ClipState":
        """Restore a checkpoint; raises CheckpointError if it is of another clip or damaged."""
        if not saved:
            return cls(identity)
        try:
            plain = json.loads(np.asarray(saved["clip"], np.uint8).tobytes())
            references = [
                (
                    number,
                    Reference(
                        *(
                            np.asarray(saved[f"{name}.{number}"], np.uint8)
                            for name in ("frame", "painted", "maturity")
                        )
                    ),
                )
                for number in plain.pop("references")
            ]
            plain["scenes"] = [Scene(**scene) for scene in plain["scenes"]]
            state = cls(**plain, references=references)
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError("this checkpoint is damaged, or not of a clip") from error
        if state.identity != identity:
            raise CheckpointError("this checkpoint belongs to another clip, or other settings")
        return state


@dataclass(frozen=True, eq=False)
class ClipJob:
    """A clip to paint: its file, what that holds, and how its frames are prepared and written.

    `still` gives the task of a still picture like a frame, float32 (height, width, 3), 0..255, of
    the output's size, without other stages than the last. `shown` gives the frame to write, of a
    painted frame and the clip's own. Painted frames and segments are kept below `staging`.
    `identity` is a digest of all that determines the result.
    """

    path: Path
    limits: ClipLimits
    clip: Clip
    size: Size
    format: Format
    quality: int
    staging: Path
    identity: str
    still: Callable[[Pixels], Task]
    shown: Callable[[Pixels, Pixels], Pixels]


def first_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the first frame of each scene; cuts are looked for in small copies of the frames."""
    before: list[Reference] = []
    for frame in frames:
        height, width, _ = frame.pixels.shape
        scale = min(1.0, _FOR_CUTS / max(height, width))
        size = max(1, round(scale * width)), max(1, round(scale * height))
        small = _rounded(resize(frame.pixels, size))
        if flow.known(small, before).is_cut:
            yield frame
        before = [Reference(small, small, np.zeros(size[::-1], np.uint8))]


class ClipPainter:
    """Paints the frames of a clip with a backend, from a checkpoint on or from the start.

    Raises CheckpointError where the checkpoint is of another clip, damaged, or frames are missing.
    """

    def __init__(
        self,
        job: ClipJob,
        backend: Backend,
        saved: Checkpoint | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job, self._backend, self._clock = job, backend, clock
        self.state = state = ClipState.load(job.identity, saved)
        kept = [*map(self._segment, state.segments)]
        kept += map(self._file, range(state.open_from, state.done))
        if not all(path.is_file() for path in kept):
            raise CheckpointError("painted frames that this checkpoint refers to are missing")
        self._began = clock() - self.state.seconds
        self._losses = Losses(0.0)

    def paint(self, wish: Callable[[], Wish], ask: Callable[[], Wish]) -> Iterator[Step]:
        """Yield a Step for every frame, and steps with no new frame meanwhile, as signs of life.

        `wish` is called once for each frame, `ask` at any time: it returns the current request.
        The first frame of a segment is a Stage, and so is the last one. A segment that is complete
        comes with a checkpoint. Raises as the backend does; OSError where a file cannot be written.
        """
        state, count = self.state, self.job.clip.frames
        for frame in self._frames(state.done):
            picture = yield from self._painted(frame, ask)
            if picture is None:  # stopped
                return
            wanted, is_key = wish(), len(state.times) == 1
            is_last = state.done == count or wanted is Wish.FINISH
            closed = self._close_segment() if is_last or len(state.times) == SEGMENT else ()
            step = self._step()
            if closed or wanted in (Wish.CHECKPOINT, Wish.STOP):
                step = replace(step, checkpoint=state.save())
            yield Stage(**vars(step), picture=picture) if is_key or is_last else step
            for number in closed:  # the checkpoint refers to the segment now
                self._file(number).unlink(missing_ok=True)
            if is_last or wanted is Wish.STOP:
                return

    def estimate(self) -> Estimate:
        """Estimate the cost of the clip, as if it had a single scene."""
        content = self._content(next(self._frames(0)))
        still = self.job.still(content)
        whole = np.ones(content.shape[:2], np.float32)
        blank = Known(content, whole, whole, whole)
        costs = [self._backend.estimate(task) for task in (still, self._following(content, blank))]
        seconds = [cost.seconds for cost in costs if cost.seconds is not None]
        frames = self.job.clip.frames
        total = seconds[0] + (frames - 1) * seconds[1] if len(seconds) == len(costs) else None
        return replace(costs[0], sizes=(self.job.size,), steps=(frames,), seconds=total)

    def record(self) -> dict[str, Any]:
        """The clip so far, as the receipt has it."""
        state, job = self.state, self.job
        return {
            "frames": state.done,
            "seconds": round(float(Fraction(state.ends)), 3),
            "format": job.format,
            "scenes": [asdict(scene) for scene in state.scenes],
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on differences between the clip and what is painted."""
        if not self.state.damaged:
            return ()
        return (f"damaged frames of the clip, which show the one before: {self.state.damaged}",)

    def join(self, target: Path) -> tuple[str, ...]:
        """Join all segments in the file `target`; return warnings."""
        job = self.job
        segments = [self._segment(first) for first in self.state.segments]
        return clip.join(target, segments, job.format, job.path)

    def _painted(
        self, frame: Frame, ask: Callable[[], Wish]
    ) -> Generator[Step, None, Pixels | None]:
        """Paint a frame and keep its file; the frame as shown, or None if it was stopped."""
        state, content = self.state, self._content(frame)
        known = flow.known(_rounded(content), [reference for _, reference in state.references])
        task = self.job.still(content) if known.is_cut else self._following(content, known)
        painted: Stage | None = None
        for step in self._backend.paint(task, lambda: _unless_stopped(ask())):
            painted = step if isinstance(step, Stage) and step.step == step.steps else None
            self._losses = step.losses
            yield self._step()
        if painted is None:
            return None
        if known.is_cut:
            state.scenes.append(Scene(frame.number))
            state.references, state.unit = [], painted.losses.total
        share = np.float32(1 if known.is_cut else task.recipe.schedule.frame_share)
        maturity = np.minimum(known.maturity + share, 1)
        self._remember(
            frame.number,
            Reference(_rounded(content), _rounded(painted.picture), _rounded(255 * maturity)),
        )
        shown = self.job.shown(painted.picture, content)
        name = self._file(frame.number).relative_to(self.job.staging)
        publish.stage(self.job.staging, str(name), _png(_rounded(shown)))
        state.scenes[-1] = state.scenes[-1].plus(painted.losses)
        state.times.append((str(frame.time), str(frame.duration)))
        state.done, state.ends = frame.number + 1, str(frame.time + frame.duration)
        state.damaged += frame.is_damaged
        return shown

    def _frames(self, first: int) -> Iterator[Frame]:
        return clip.frames(self.job.path, self.job.limits, first)

    def _content(self, frame: Frame) -> Pixels:
        return resize(frame.pixels, self.job.size)

    def _following(self, content: Pixels, known: Known) -> Task:
        """The task of a frame that follows others of its scene, which show what is `known`."""
        task = self.job.still(content)
        latest = next((reference for _, reference in self.state.references), None)
        shown, new = known.shown[..., None], content
        if latest is not None:
            new = flow.recolored(content, latest)
        is_turn = self.state.done % COARSE_EVERY == 0
        unfinished = 1 - float(known.maturity.mean())
        return replace(
            task,
            recipe=following(task.recipe, coarse=unfinished > (SOME_NEW if is_turn else MUCH_NEW)),
            init=shown * known.picture + (1 - shown) * new,
            # what is not finished may still change
            prior=Prior(known.picture, known.trust * known.maturity, self.state.unit),
        )

    def _remember(self, number: int, reference: Reference) -> None:
        """Keep the frame for the next one, and those for the long-term terms."""
        first = self.state.scenes[-1].first
        earlier = [
            (kept, old)
            for kept, old in self.state.references
            if (kept - first) % REFERENCE_EVERY == 0
        ]
        self.state.references = [(number, reference), *earlier[:REFERENCES]]

    def _close_segment(self) -> Sequence[int]:
        """Encode the open segment; return the numbers of its frames, whose files may go."""
        state, job = self.state, self.job
        first = state.open_from
        numbers = range(first, state.done)
        times = [(Fraction(at), Fraction(lasts)) for at, lasts in state.times]
        frames = (
            Frame(number, at, lasts, _read(self._file(number)))
            for number, (at, lasts) in zip(numbers, times, strict=True)
        )
        whole = self._segment(first)
        part = whole.with_name("part.nut")
        clip.write_segment(part, frames, job.format, job.quality)
        atomic.sync_file(part)
        atomic.move(part, whole)
        state.segments.append(first)
        state.times = []
        return numbers

    def _segment(self, first: int) -> Path:
        return self.job.staging / CLIP_FOLDER / f"segment-{first:08}.nut"

    def _file(self, number: int) -> Path:
        return self.job.staging / CLIP_FOLDER / f"{number:08}.png"

    def _step(self) -> Step:
        """The step after the frames so far."""
        state = self.state
        state.seconds = self._clock() - self._began
        return Step(state.done, self.job.clip.frames, self.job.size, self._losses, state.seconds)


def following(recipe: Recipe, *, coarse: bool) -> Recipe:
    """The recipe of a frame that starts from earlier ones: a share of the steps at the final size.

    With `coarse`, the scales that are not much smaller come first: there new parts of the frame
    take their large forms.
    """
    schedule = recipe.schedule
    share = schedule.frame_share
    least = _COARSE if coarse else 1
    scales = [
        {"scale": scale.scale, "steps": max(1, round(share * scale.steps))}
        for scale in schedule.scales
        if scale.scale >= least
    ]
    steps = max(1, round(share * schedule.steps))
    changes = {"start": "picture", "scales": scales, "initial_steps": None, "steps": steps}
    return book.change(recipe, changes)


def even(size: Size) -> Size:
    """The nearest size whose sides are even, as most formats of clips need them."""
    return max(2, 2 * round(size[0] / 2)), max(2, 2 * round(size[1] / 2))


def _unless_stopped(wish: Wish) -> Wish:
    """Only a request to stop interrupts a frame."""
    return Wish.STOP if wish is Wish.STOP else Wish.GO_ON


def _rounded(picture: Pixels) -> Bytes:
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def _read(path: Path) -> Bytes:
    with Image.open(path) as image:
        return np.asarray(image)


def _png(frame: Bytes) -> bytes:
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "PNG", compress_level=1)
    return content.getvalue()
