"""Backend `learned`: paints with networks that were trained for the styles of a job."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch

from stylewatch_learned import learned_style
from stylewatch_learned.learned_style import LearnedStyle
from stylewatch_learned.network import as_picture, as_tensor
from stylewatch_painter.errors import PictureError
from stylewatch_painter.fields import Strict, written_as
from stylewatch_painter.images.resize import resize
from stylewatch_painter.network.weights import AUTO
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Losses, Pixels, Step, Term, Wish
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import (
    CONTRACT,
    BackendMissingError,
    Device,
    Estimate,
    Provenance,
    check_options,
)


class LearnedOptions(Strict):
    """The options under `backends: learned:`."""

    device: Annotated[str, *written_as(r"auto|cpu|cuda(:[0-9]+)?", "auto, cpu, cuda or cuda:1")] = (
        "auto"
    )
    weights: str = AUTO
    """Name of the learned style for all styles of a job; by default, the latest one that was
    learned from the file of each style."""


@dataclass(frozen=True, eq=False)
class Goal:
    """Goal of a painting of one size: a mix of the content and of what networks make of it.

    `content` is float32 (height, width, 3), 0..255, or None. `paintings` are the names of the
    styles, the pictures that their networks make of the content, and their shares, which add up to
    `mix`; the content has the rest.
    """

    content: Pixels | None
    paintings: Sequence[tuple[str, Pixels, float]]
    mix: float

    def losses(self, picture: Pixels) -> Losses:
        """Return the mean squared distances of a picture from the content and the paintings."""
        content = {}
        if self.content is not None:
            content["colors"] = Term(_distance(picture, self.content), 1 - self.mix)
        style = {
            name: {"painting": Term(_distance(picture, painting), share)}
            for name, painting, share in self.paintings
        }
        terms = [*content.values(), *(term for each in style.values() for term in each.values())]
        return Losses(sum(term.weighted for term in terms), content, style)

    @property
    def nearest(self) -> Pixels:
        """The picture with the least losses."""
        sources = [(painting, share) for _, painting, share in self.paintings]
        if self.content is not None:
            sources.append((self.content, 1 - self.mix))
        picture: Pixels = np.zeros_like(sources[0][0])
        for source, share in sources:
            picture += np.float32(share) * source
        return picture


class Learned:
    """Backend that moves a picture to the paintings that the networks of its styles make.

    The losses are distances from these paintings and, below full strength, from the content, so
    that the first step at a size reaches their minimum. Of a recipe the backend uses start, sizes,
    steps, seed and strength, and whether the content and the styles have a loss.
    """

    name = "learned"
    version = "1"
    contract = CONTRACT

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = check_options(self.name, LearnedOptions, options)
        self._known: dict[str, LearnedStyle] = {}
        """The learned styles by the digests of the styles' files. They are chosen once, because a
        training may write a later one while a film is painted."""

    def devices(self) -> tuple[Device, ...]:
        """List the GPUs of NVIDIA and AMD that torch can use here, then the CPU."""
        gpus = (
            Device(f"cuda:{index}", torch.cuda.get_device_name(index))
            for index in range(torch.cuda.device_count())
        )
        return (*gpus, Device("cpu", f"{torch.get_num_threads()} threads"))

    def problem(self) -> str | None:
        """Explain why the backend cannot run with its options; None if it can."""
        asked = self._options.device
        names = [device.name for device in self.devices()]
        if asked not in ("auto", *names, *(name.partition(":")[0] for name in names)):
            return f"torch finds no device {asked} here; there are {', '.join(names)}"
        return None

    def provenance(self, task: Task) -> Provenance:
        """Describe the backend and the learned styles; raises WeightsError without one."""
        chosen = {style.name: self._chosen(style) for style in task.styles}
        about = Provenance(self.name, self.version, str(self._device), "fp32")
        decided = {"device": about.device}
        sentences = []
        if task.content_mask is not None or any(style.mask is not None for style in task.styles):
            sentences.append("a learned style does not look at masks")
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
        """Return sizes and steps; the time is unknown."""
        levels = task.levels()
        sizes = tuple(level.size for level in levels)
        return Estimate(sizes, tuple(level.steps for level in levels))

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the picture that `task` starts from, at its final size."""
        size = task.levels()[-1].size
        return self._goal(task, size).losses(numpy_loop.start(task, size))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run `task`; raises WeightsError without a learned style for each of its styles."""

        def at(size: Size) -> numpy_loop.Move:
            goal = self._goal(task, size)
            nearest = goal.nearest
            return lambda picture, step: (goal.losses(picture), nearest)

        return numpy_loop.paint(task, wish, at)

    def _goal(self, task: Task, size: Size) -> Goal:
        """Return what a painting of `size` should be; raises PictureError without any picture.

        Without a content the networks paint the picture that the task starts from.
        """
        compared = task.recipe.objective.fine.compared
        content = task.content if "content" in compared else None
        styles = task.styles if "style" in compared else ()
        if content is None and not styles:
            raise PictureError(f"recipe {task.recipe.name} has no use for the given pictures")
        shown = numpy_loop.start(task, size) if content is None else resize(content, size)
        mix = task.style_mix if styles else 0.0
        paintings = [
            (style.name, self._painting(style, shown), mix * task.style_weight(style))
            for style in styles
        ]
        return Goal(None if content is None else shown, paintings, mix)

    def _painting(self, style: Style, photograph: Pixels) -> Pixels:
        """Return a photograph as the network of a style paints it."""
        network = self._chosen(style).network.to(self._device)
        with torch.inference_mode():
            painting = network(as_tensor(photograph).to(self._device))
        return as_picture(painting).clip(0, 255)

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

    @property
    def _device(self) -> torch.device:
        problem = self.problem()
        if problem is not None:
            raise BackendMissingError(problem)
        asked = self._options.device
        return torch.device(self.devices()[0].name if asked == "auto" else asked)


def _distance(picture: Pixels, other: Pixels) -> float:
    """Return the mean squared difference of two pictures, with white as 1."""
    return float(np.square(picture - other).mean(dtype=np.float64)) / 255**2
