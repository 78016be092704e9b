"""Paint a scene of a clip: frame after frame, each from what the painted frames before it show.

Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610): a frame starts from the one before it, moved along
the optical flow, and the temporal loss keeps it there wherever the flow can be trusted. The first
frame is painted as a still picture. With a backward pass, the frames of a segment are painted again
from the last to the first: what came into view only lately takes over what it became later.

Painted frames of the open segment are files beside the staged ones; a complete segment is encoded.
So neither memory nor temporary files grow with the length of the scene.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylewatch_daemon.base.model import REFERENCES, SEGMENT
from stylewatch_daemon.files import atomic
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import CLIP_FOLDER
from stylewatch_daemon.worker.messages import Order
from stylewatch_painter.algorithm.task import Prior, Task
from stylewatch_painter.images import clip, flow
from stylewatch_painter.images.clip import Clip, Frame
from stylewatch_painter.images.flow import Known, Reference
from stylewatch_painter.images.reduced import Size
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.stage import Bytes, Losses, Pixels, Plane, Stage

REFERENCE_EVERY = 12
"""Every so many frames one is kept for the long-term terms."""

MUCH_NEW = 0.1
"""Share of a frame that may be unfinished before it is painted at smaller sizes first."""

SOME_NEW, COARSE_EVERY = 0.01, 4
"""A smaller limit in every so many frames: within so many a new place is finished."""

LITTLE_BETTER = 0.001
"""Share of a frame that later frames must show better before the backward pass paints it again."""

_COARSE = 0.25
"""The smallest scale at which such frames are painted first."""

_BEFORE, _PAINTED = ".before", ".painted"
"""Kinds of files for the backward pass: a frame of the clip in the output's size, and the same as
it was painted, with its maturity as alpha."""


@dataclass(frozen=True, eq=False)
class ClipJob:
    """A clip to paint: its order, what its file holds, and how its frames are prepared and shown.

    `still` gives the task of a still picture like a frame, float32 (height, width, 3), 0..255, of
    the output's `size`, without other stages than the last. `shown` gives the frame to write, of a
    painted frame and the clip's own. Both take the frame's number, too: masks may differ from frame
    to frame. `identity` is a digest of all that determines the result.
    """

    order: Order
    clip: Clip
    size: Size
    identity: str
    still: Callable[[Pixels, int], Task]
    shown: Callable[[Pixels, Pixels, int], Pixels]

    @property
    def backward(self) -> bool:
        """True if each frame is painted twice."""
        return self.order.settings.clip.backward

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """The frames of the clip from a number on; raises as `clip.frames` does."""
        return clip.frames(self.order.main, self.order.clip_limits, first)

    def steps(self, frames: int) -> int:
        """Number of times that so many frames are painted."""
        return frames * (2 if self.backward else 1)


@dataclass(eq=False)
class Scene:
    """A scene, as far as it is painted: all that goes on from frame to frame."""

    first: int
    length: int
    """Number of its frames."""
    done: int = 0
    """Number of painted frames."""
    revised: int = 0
    """Number of them that the backward pass is done with."""
    total: float = 0.0
    """Mean of the total losses of all painted frames."""
    losses: Mapping[str, Any] = field(default_factory=dict)
    """Those of the first frame, which is painted as a still picture."""
    unit: float = 0.0
    """Total loss of the first frame that has a region, scaled up to a region of the whole frame."""
    ends: str = "0"
    """The end of the latest frame, in seconds from the start of the clip."""
    damaged: int = 0
    """Number of frames that cannot be decoded."""
    segments: list[int] = field(default_factory=list)
    """The first frames of the complete segments."""
    times: list[tuple[str, str]] = field(default_factory=list)
    """Time and duration, in seconds, of each frame in the open segment."""
    references: list[tuple[int, Reference]] = field(default_factory=list)
    """Earlier frames with their numbers, the latest first."""
    later: list[tuple[int, Reference]] = field(default_factory=list)
    """The frame that the backward pass was at, if it has begun with the open segment."""

    @property
    def next(self) -> int:
        """The number of the first frame that is not painted."""
        return self.first + self.done

    @property
    def steps(self) -> int:
        """Number of times that a frame was painted."""
        return self.done + self.revised

    @property
    def open_from(self) -> int:
        """The first frame of the open segment."""
        return self.next - len(self.times)

    @property
    def is_complete(self) -> bool:
        """True if all segments are encoded."""
        return self.done == self.length and not self.times

    @property
    def record(self) -> dict[str, Any]:
        """The scene in the receipt."""
        return {"first": self.first, "frames": self.done, "total": self.total,
                "losses": self.losses}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Draft:
    """A frame to be painted by `task`; `keep` takes the last stage of that."""

    task: Task
    keep: Callable[[Stage], None]


class ScenePainter:
    """Prepares and keeps the frames of a scene, which somebody else paints."""

    def __init__(self, job: ClipJob, scene: Scene) -> None:
        self.job, self.scene = job, scene
        self.number = scene.next - 1
        """The frame that was painted last."""
        self.losses = Losses(0.0)
        """Its losses."""
        self.picture: Pixels = np.empty((0, 0, 3), np.float32)
        """The same frame as it is shown, float32 (height, width, 3)."""
        self._frames: Iterator[Frame] | None = None
        self._draft: Draft | None = None
        """The next frame of the backward pass."""

    def draft(self) -> Draft:
        """Prepare the next frame. Raises PictureError and OSError."""
        if self.scene.later:
            self._advance()
            if self._draft is not None:
                return self._draft
        if self._frames is None:
            self._frames = self.job.frames(self.scene.next)
        return self._next(next(self._frames))

    @property
    def is_ready(self) -> bool:
        """True if all frames of the open segment are as they stay."""
        scene = self.scene
        if self.job.backward:
            return bool(scene.later) and scene.later[0][0] == scene.open_from
        return self._is_full

    def close_segment(self) -> list[Path]:
        """Encode the open segment; return its files, which may go once a checkpoint is saved."""
        scene, job = self.scene, self.job
        numbers = range(scene.open_from, scene.next)
        times = [(Fraction(at), Fraction(lasts)) for at, lasts in scene.times]
        frames = (
            Frame(number, at, lasts, _read(frame_file(job, number)))
            for number, (at, lasts) in zip(numbers, times, strict=True)
        )
        whole = segment_file(job, scene.open_from)
        part = whole.with_suffix(".part")
        settings = job.order.settings
        clip.write_segment(part, frames, settings.clip.format, settings.quality)
        atomic.sync_file(part)
        atomic.move(part, whole)
        files = open_files(job, scene)
        scene.segments.append(scene.open_from)
        scene.times, scene.later = [], []
        if scene.is_complete:
            scene.references = []
        return files

    @property
    def _is_full(self) -> bool:
        scene = self.scene
        return len(scene.times) == SEGMENT or scene.done == scene.length

    def _next(self, frame: Frame) -> Draft:
        """The first frame that is not painted yet."""
        content = resize(frame.pixels, self.job.size)
        known = flow.known(rounded(content), [earlier for _, earlier in self.scene.references])
        task = self.job.still(content, frame.number)
        if not known.is_cut:
            task = self.following(task, content, known)
        return Draft(task, partial(self._keep_next, task, frame, content, known))

    def following(self, still: Task, content: Pixels, known: Known) -> Task:
        """The task of a frame that follows others of its scene, which show what is `known`.

        `still` is that of a still picture like it.
        """
        scene, new = self.scene, content
        if scene.references:
            new = flow.recolored(content, scene.references[0][1])
        shown = known.shown[..., None]
        unfinished = 1 - float(known.maturity.mean())
        is_turn = scene.next % COARSE_EVERY == 0
        return self._held(
            still,
            start=shown * known.picture + (1 - shown) * new,
            # what is not finished may still change
            held=(known.picture, known.trust * known.maturity),
            coarse=unfinished > (SOME_NEW if is_turn else MUCH_NEW),
        )

    def _keep_next(
        self, task: Task, frame: Frame, content: Pixels, known: Known, painted: Stage
    ) -> None:
        scene, self.losses = self.scene, painted.losses
        if scene.unit == 0 and task.styled_share > 0:
            scene.unit = painted.losses.total / task.styled_share
        share = 1 if known.is_cut else task.recipe.schedule.frame_share
        maturity = np.minimum(known.maturity + np.float32(share), 1)
        reference = _reference(content, painted.picture, maturity)
        self._remember(frame.number, reference, [] if known.is_cut else scene.references)
        scene.total = (scene.total * scene.done + painted.losses.total) / (scene.done + 1)
        scene.losses = scene.losses or painted.losses.as_json()
        scene.times.append((str(frame.time), str(frame.duration)))
        scene.done, scene.ends = scene.done + 1, str(frame.time + frame.duration)
        scene.damaged += frame.is_damaged
        self._show(frame.number, content, painted.picture)
        if self.job.backward:
            plane = reference.maturity[..., None]
            self._stage(frame.number, reference.frame, _BEFORE)
            both = np.concatenate([reference.painted, plane], axis=-1)
            self._stage(frame.number, both, _PAINTED)
            if self._is_full:
                self._revised(frame.number, reference)
                self._advance()

    def _revision(self) -> Draft | None:
        """The frame before the one that the backward pass was at; None if it stays as it is."""
        number = self.scene.later[0][0] - 1
        before = _read(frame_file(self.job, number, _BEFORE))
        own, age = np.split(_read(frame_file(self.job, number, _PAINTED)), [3], axis=-1)
        known = flow.known(before, [later for _, later in self.scene.later])
        # where the later frame is finished further, and only there, it is taken over
        own_maturity: Plane = age[..., 0].astype(np.float32) / np.float32(255)
        further = known.maturity - own_maturity
        better: Plane = known.shown * (further > 0)
        if better.mean() <= LITTLE_BETTER:
            self._revised(number, Reference(before, own, age[..., 0]))
            return None
        start: Pixels = better[..., None] * known.picture + (1 - better[..., None]) * own
        maturity = own_maturity + better * np.maximum(further, 0)
        trust: Plane = np.where(better > 0, known.trust, np.float32(1)) * maturity
        content = before.astype(np.float32)
        still = self.job.still(content, number)
        task = self._held(still, start, held=(start, trust), coarse=False)
        return Draft(task, partial(self._keep_revision, task, number, content, maturity))

    def _keep_revision(
        self, task: Task, number: int, content: Pixels, maturity: Plane, painted: Stage
    ) -> None:
        self.losses = painted.losses
        grown = np.minimum(maturity + np.float32(task.recipe.schedule.frame_share), 1)
        self._show(number, content, painted.picture)
        self._revised(number, _reference(content, painted.picture, grown))
        self._draft = None
        self._advance()

    def _held(
        self, still: Task, start: Pixels, held: tuple[Pixels, Plane], *, coarse: bool
    ) -> Task:
        """The task of a frame that begins with `start`, held to a picture by its trust."""
        return replace(
            still,
            recipe=following(still.recipe, coarse=coarse),
            init=start,
            prior=Prior(*held, self.scene.unit * still.styled_share),
        )

    def _revised(self, number: int, reference: Reference) -> None:
        """Note that the backward pass is done with a frame."""
        scene = self.scene
        scene.later, scene.revised = [(number, reference)], scene.revised + 1
        scene.references = [
            (kept, reference if kept == number else old) for kept, old in scene.references
        ]

    def _advance(self) -> None:
        """Take the backward pass to the next frame that is to be painted again."""
        while self._draft is None and not self.is_ready:
            self._draft = self._revision()

    def _remember(
        self, number: int, reference: Reference, earlier: Sequence[tuple[int, Reference]]
    ) -> None:
        """Keep the frame for the next one, and those for the long-term terms."""
        first = self.scene.first
        kept = [old for old in earlier if (old[0] - first) % REFERENCE_EVERY == 0]
        self.scene.references = [(number, reference), *kept[:REFERENCES]]

    def _show(self, number: int, content: Pixels, painted: Pixels) -> None:
        """Keep the file of a painted frame as it is shown."""
        self.number, self.picture = number, self.job.shown(painted, content, number)
        self._stage(number, rounded(self.picture))

    def _stage(self, number: int, frame: Bytes, kind: str = "") -> None:
        content = io.BytesIO()
        Image.fromarray(frame).save(content, "PNG", compress_level=1)
        name = f"{CLIP_FOLDER}/{frame_file(self.job, number, kind).name}"
        publish.stage(self.job.order.staging, name, content.getvalue())


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


def shown_frames(job: ClipJob, scenes: Sequence[Scene]) -> set[int]:
    """Return the frames that are stages: the last one, and the first or last ones of segments.

    A backward pass leaves the last frame of a segment as it is. Of several that are less than
    SEGMENT apart, as in short scenes, the first one counts.
    """
    segments = [
        range(start, min(start + SEGMENT, scene.first + scene.length))
        for scene in scenes
        for start in range(scene.first, scene.first + scene.length, SEGMENT)
    ]
    numbers = [segment[-1 if job.backward else 0] for segment in segments]
    return {*{number // SEGMENT: number for number in reversed(numbers)}.values(), segments[-1][-1]}


def frame_file(job: ClipJob, number: int, kind: str = "") -> Path:
    """The path of a painted frame as it is shown, or of one of the other kinds."""
    return job.order.staging / CLIP_FOLDER / f"{number:08}{kind}.png"


def segment_file(job: ClipJob, first: int) -> Path:
    """The path of a segment by its first frame."""
    return job.order.staging / CLIP_FOLDER / f"segment-{first:08}.nut"


def open_files(job: ClipJob, scene: Scene) -> list[Path]:
    """The files of the open segment's frames."""
    kinds = ("", _BEFORE, _PAINTED) if job.backward else ("",)
    numbers = range(scene.open_from, scene.next)
    return [frame_file(job, number, kind) for number in numbers for kind in kinds]


def _reference(content: Pixels, painted: Pixels, maturity: Plane) -> Reference:
    return Reference(rounded(content), rounded(painted), rounded(255 * maturity))


def rounded(picture: Pixels) -> Bytes:
    """The picture in bytes."""
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def _read(path: Path) -> Bytes:
    with Image.open(path) as image:
        return np.asarray(image)
