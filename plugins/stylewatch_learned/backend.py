"""Backend `learned`: paints with networks that were trained for the styles of a job."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stylewatch_learned import learned_style
from stylewatch_learned.learned_style import LearnedStyle
from stylewatch_learned.network import HALO, TILE
from stylewatch_painter.errors import PictureError
from stylewatch_painter.fields import Strict
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.network.weights import AUTO
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Losses, Pixels, Plane, Step, Term, Wish
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import (
    CONTRACT,
    Capabilities,
    Device,
    Estimate,
    Provenance,
    check_options,
)
from stylewatch_plugins.torch_autograd import TorchAutograd, TorchDevice

_PROCESS = 600_000_000
"""Memory of a process with torch, in bytes."""

_NETWORK, _PICTURES = 550, 120
"""Bytes for each pixel that the network paints at a time, and for each pixel of the painting."""

_MOST_GAIN = 1.5
"""Maximum factor that amplifies the detail of a frame after averaging with the previous frame."""

_TEMPORAL_UNIT = 3.0
"""Weight of the temporal loss in a recipe at which a frame is the mean of its painting and the
previous frame."""


class LearnedOptions(Strict):
    """The options under `backends: learned:`."""

    device: TorchDevice = "auto"
    weights: str = AUTO
    """Name of the learned style for all styles of a job; by default, the latest one that was
    learned from the file of each style."""


@dataclass(frozen=True, eq=False)
class Source:
    """A picture, float32 (height, width, 3), that a painting should resemble.

    `weight` is the weight of its loss. `shown`, float32 (height, width, 1) or (1, 1, 1), 0..1,
    multiplies the weight at each pixel.
    """

    picture: Pixels
    weight: float
    shown: NDArray[np.float32] = field(default_factory=lambda: np.ones((1, 1, 1), np.float32))

    @property
    def share(self) -> NDArray[np.float32]:
        """Weight at each pixel, in the shape of `shown`."""
        share: NDArray[np.float32] = np.float32(self.weight) * self.shown
        return share

    def term(self, picture: Pixels) -> Term:
        """Return the loss term: the mean squared distance from `picture`, with white as 1.

        The distance at each pixel is multiplied by `shown`.
        """
        distance = self.shown * np.square(picture - self.picture)
        return Term(float(distance.mean(dtype=np.float64)) / 255**2, self.weight)


@dataclass(frozen=True, eq=False)
class Goal:
    """The pictures that a painting of one size should resemble.

    `photograph` is the content or, without a content, the picture that the task starts from. It has
    a loss only if it `is_content`. `paintings` maps the names of styles to the photograph as their
    networks paint it. `previous` is the previous painted frame of a clip, moved to this frame, or
    None.
    """

    photograph: Source
    is_content: bool
    paintings: Mapping[str, Source]
    previous: Source | None

    def losses(self, picture: Pixels) -> Losses:
        """Return the losses of a picture: its distances from all sources."""
        content = {"colors": self.photograph.term(picture)} if self.is_content else {}
        style = {
            name: {"painting": painting.term(picture)} for name, painting in self.paintings.items()
        }
        temporal = None if self.previous is None else self.previous.term(picture)
        further = [] if temporal is None else [temporal]
        terms = [*content.values(), *(each["painting"] for each in style.values()), *further]
        return Losses(sum(term.weighted for term in terms), content, style, temporal=temporal)

    @property
    def nearest(self) -> Pixels:
        """The mean of all sources by their weights, which has the least total loss.

        Where no style is shown, the photograph takes the place of the paintings. In a mean with a
        previous frame, detail is sharpened afterwards, so that the loss is only nearly the least.
        """
        picture: Pixels = self.photograph.picture.copy()
        for painting in self.paintings.values():
            picture += painting.share * (painting.picture - self.photograph.picture)
        if self.previous is not None:
            share = self.previous.share
            mean = picture + share / (1 + share) * (self.previous.picture - picture)
            picture = _sharpened(mean, picture)
        return picture


class Learned:
    """Backend that paints with the networks that were trained for the styles.

    The losses are distances from the paintings of the networks and, below full strength, from the
    content. The first step at a size reaches their minimum. Of a recipe the backend uses start,
    sizes, steps, seed, strength and the temporal weight, and whether content and styles have a
    loss.
    """

    name = "learned"
    version = "1"
    contract = CONTRACT
    capabilities = Capabilities(masks=True, whole_styles=True)

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = check_options(self.name, LearnedOptions, options)
        self._torch = TorchAutograd({"device": self._options.device})
        self._known: dict[str, LearnedStyle] = {}
        """The learned styles by the digests of the styles' files. Each is chosen once, because a
        training may write a later one while a film is painted."""

    def devices(self) -> tuple[Device, ...]:
        """List the GPUs that torch can use here, then the CPU."""
        return self._torch.devices()

    def problem(self) -> str | None:
        """Explain why the backend cannot run with its options; None if it can."""
        return self._torch.device_problem()  # weights are needed to learn, not to paint

    def provenance(self, task: Task) -> Provenance:
        """Describe the backend and the learned styles of `task`.

        Raises WeightsError if a style has no learned style.
        """
        chosen = {style.name: self._chosen(style) for style in task.styles}
        about = Provenance(self.name, self.version, str(self._torch.device), "fp32")
        decided = {"device": about.device}
        sentences = []
        if any(style.mask is not None for style in task.styles):
            sentences.append(
                "a learned style paints as the whole of its picture: masks of styles only say "
                "which regions it paints"
            )
        digests = {learned.name: learned.sha256 for learned in chosen.values()}
        if len(digests) > 1:
            names = ", ".join(f"{name} by {learned.name}" for name, learned in chosen.items())
            sentences.append(f"several learned styles painted it: {names}")
        name = next(iter(digests)) if len(digests) == 1 else AUTO
        if len(digests) == 1:
            decided["weights"] = name
        joined = "\n".join(digests.values())
        sha256 = joined if len(digests) == 1 else hashlib.sha256(joined.encode()).hexdigest()
        weights: dict[str, str | int] = {"name": name, "sha256": sha256, "bits": 32}
        return replace(
            about,
            weights=weights if digests else {},
            decided=decided,
            warnings=tuple(sentences),
        )

    def estimate(self, task: Task) -> Estimate:
        """Return sizes, steps and memory; the time is unknown."""
        levels = task.levels()
        sizes = tuple(level.size for level in levels)
        whole = sizes[-1].area <= TILE**2
        pixels = sizes[-1].area if whole else (TILE + 2 * HALO) ** 2
        return Estimate(
            sizes,
            tuple(level.steps for level in levels),
            memory=_PROCESS + _NETWORK * pixels + _PICTURES * sizes[-1].area,
            tile=None if whole else TILE,
        )

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the picture that `task` starts from, at its final size."""
        size = task.levels()[-1].size
        return self._goal(task, size).losses(numpy_loop.start(task, size))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run `task` and yield its steps; the first step at each size reaches the minimum.

        Raises WeightsError if a style has no learned style, and the errors of `numpy_loop.paint`.
        """

        def at(size: Size) -> numpy_loop.Move:
            goal = self._goal(task, size)
            nearest = goal.nearest
            least = goal.losses(nearest)

            def move(picture: Pixels, step: int) -> tuple[Losses, Pixels]:
                return least if picture is nearest else goal.losses(picture), nearest

            return move

        return numpy_loop.paint(task, wish, at)

    def _goal(self, task: Task, size: Size) -> Goal:
        """Return the goal of a painting of `size`.

        Without a content the networks paint the picture that the task starts from. Raises
        PictureError if the recipe uses none of the given pictures.
        """
        compared = task.recipe.objective.fine.compared
        content = task.content if "content" in compared else None
        styles = task.styles if "style" in compared else ()
        if content is None and not styles:
            raise PictureError(f"recipe {task.recipe.name} has no use for the given pictures")
        photograph = numpy_loop.start(task, size) if content is None else resize(content, size)
        mix = task.style_mix if styles else 0.0
        paintings = {
            style.name: Source(
                self._painting(style, photograph, _seed(task)),
                mix * task.style_weight(style),
                _shown(task, style, size),
            )
            for style in styles
        }
        return Goal(Source(photograph, 1 - mix), content is not None, paintings,
                    _previous(task, size))  # fmt: skip

    def _painting(self, style: Style, photograph: Pixels, seed: int) -> Pixels:
        """Return the painting of a photograph by the network of a style."""
        return self._chosen(style).paint(photograph, seed, self._torch.device)

    def _chosen(self, style: Style) -> LearnedStyle:
        """Return the learned style for a style; raises WeightsError if there is none."""
        if style.sha256 not in self._known:
            name = self._options.weights
            self._known[style.sha256] = (
                learned_style.of(style.sha256, style.name)
                if name == AUTO
                else learned_style.find(name)
            )
        return self._known[style.sha256]


def _seed(task: Task) -> int:
    """Return the seed of the noise, which differs between photographs.

    Otherwise all photographs of an album would have strokes in the same places. A task without a
    content, or with a previous frame, uses its own seed: strokes keep their places within a scene.
    """
    if task.content is None or task.prior is not None:
        return task.seed
    return task.seed ^ zlib.crc32(np.ascontiguousarray(task.content).data)


def _shown(task: Task, style: Style, size: Size) -> NDArray[np.float32]:
    """Return the share, 0..1, of its weight that a style has at each pixel.

    It is float32 (height, width, 1), or (1, 1, 1) without a mask of the content.
    """
    if task.content_mask is None:
        return np.ones((1, 1, 1), np.float32)
    weights = task.region_style_weights()[task.styles.index(style)]
    most = max(weights.max(), 1e-9)
    planes = [
        region * np.float32(weight / most)
        for region, weight in zip(task.regions(size), weights, strict=True)
    ]
    shown: NDArray[np.float32] = np.sum(planes, axis=0)[..., None]
    return shown


def _sharpened(mean: Pixels, painting: Pixels) -> Pixels:
    """Return `mean`, with its fine detail amplified to the local contrast of `painting`.

    In a mean of several paintings, strokes in different places cancel each other. The factor is at
    least 1 and at most _MOST_GAIN.
    """
    detail = _detail(mean)
    gain = (_contrast(_detail(painting)) / _contrast(detail)).clip(1, _MOST_GAIN)
    return np.asarray(mean + (gain - 1)[..., None] * detail, np.float32)


def _detail(picture: Pixels) -> Pixels:
    """Return the detail that a picture loses if it is reduced to a quarter of its sides."""
    size = Size.of(picture)
    return picture - resize(resize(picture, size.times(1 / 4)), size)


def _contrast(detail: Pixels) -> Plane:
    """Return the local contrast of detail, (height, width), as a share of white, plus 0.001."""
    size = Size.of(detail)
    squares: Plane = np.square(detail / 255).mean(2)
    local = resize_plane(resize_plane(squares, size.times(1 / 16)), size)
    return np.sqrt(local) + np.float32(1e-3)


def _previous(task: Task, size: Size) -> Source | None:
    """Return the previous frame of a clip, moved to this frame, as a Source; None without one.

    It counts at each pixel by the trust in the pixel.
    """
    if task.prior is None:
        return None
    trust = resize_plane(task.prior.trust, size)[..., None]
    weight = task.recipe.objective.temporal / _TEMPORAL_UNIT
    return Source(resize(task.prior.picture, size), weight, trust)
