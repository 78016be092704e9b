"""Training of a network for one style, on photographs of the user.

The loss is that of Johnson, Alahi, Fei-Fei 2016 (arXiv 1603.08155), section 3.2, with relative
distances of Gram matrices as in recipe `gram`, so that all layers count alike. The learning rate of
Adam (Kingma, Ba 2015, arXiv 1412.6980) grows linearly at first, and then falls along half a cosine.

The content has a larger weight at first. Otherwise the network, before it can draw, learns a single
mark of the style, repeats it everywhere in a grid, and never recovers.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from stylewatch_learned import SIDE
from stylewatch_learned.network import StyleNetwork, as_tensor, noise_for
from stylewatch_painter.errors import CheckpointError, DivergedError, PictureError
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.scene.task import Style
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Regions
from stylewatch_painter.vgg import LayerName

STYLE_LAYERS: tuple[LayerName, ...] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
"""Layers of the style. The deepest one contributes the palette, and curved strokes."""

CONTENT_LAYER: LayerName = "conv4_2"
LAYERS: tuple[LayerName, ...] = (*STYLE_LAYERS, CONTENT_LAYER)

_RATE, _LAST_RATE = 2e-3, 0.03
"""Maximum learning rate of Adam, and the share of it that remains at the end."""

_WARM_UP = 50
"""Number of steps in which the learning rate grows."""

_BETAS = 0.9, 0.99
_LONGEST_GRADIENT = 5.0
_ZOOM = 0.75, 1.25
"""Range of the random factors by which photographs are resized."""

_WINDOW = 100
"""Number of steps over which losses are averaged to judge the network."""

LEAST_SIDE = 32
"""Minimum side, in pixels, of a style or photograph, because VGG halves its maps in pools."""

_NETWORK = NetworkSettings()


@dataclass(frozen=True)
class LearningSettings:
    """Settings of a training.

    `side` is the long side, in pixels, of the paintings for which the network is trained. `crop` is
    the side, in pixels, of the part of a photograph that a step sees. `content` and `smoothness`
    are weights relative to the style's. During the first half of the steps, the weight of the
    content falls from `first_content` to `content`.
    """

    side: int = SIDE
    crop: int = 256
    content: float = 0.8
    first_content: float = 4.0
    smoothness: float = 0.05
    seed: int = 0

    @property
    def recipe(self) -> dict[str, float | int | str]:
        """The settings and the layers of a training, for the metadata of a learned style."""
        return {**vars(self), "style": ", ".join(STYLE_LAYERS)}


@dataclass
class _Progress:
    """Progress of a training: its steps, its recent losses, and its best losses so far."""

    step: int = 0
    recent: list[tuple[float, float]] = field(default_factory=list)
    """Losses of style and content of the steps since the last full window."""
    best: float = math.inf
    losses: dict[str, float] = field(default_factory=dict)
    """Mean losses of the best window."""


class Learning:
    """Training of a `StyleNetwork` on `photographs` in a `style`, for `steps` steps.

    Pictures are float32 (height, width, 3), RGB 0..255, with `settings.side` as the long side; the
    mask of the style weights its positions. `vgg` is the trained network with LAYERS. On the CPU,
    the same number of threads makes the same steps, byte for byte, also after `restore`. Raises
    PictureError without photographs, or if the style is too narrow or wholly transparent.
    """

    def __init__(
        self,
        style: Style,
        photographs: Sequence[Pixels],
        vgg: FeatureMaps,
        steps: int,
        settings: LearningSettings,
    ) -> None:
        if not photographs:
            raise PictureError("there is no photograph to learn on: name some")
        if min(style.picture.shape[:2]) < LEAST_SIDE:
            raise PictureError(f"{style.name} is too narrow to learn from: crop it")
        if style.mask is not None and not style.mask.any():
            raise PictureError(f"{style.name} is wholly transparent: nothing can be learned there")
        self.steps = steps
        self.asked = ""
        """The requested time or number of steps, in words, from which `steps` follows; empty if
        unknown."""
        self._settings = settings
        self._vgg = vgg
        self._mean = torch.tensor(vgg.mean, device=vgg.device).view(1, 3, 1, 1)
        self._photographs = [as_tensor(photograph) for photograph in photographs]
        with torch.no_grad():
            self._targets = _grams(
                self._features(as_tensor(style.picture).to(vgg.device)), style.mask
            )
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(settings.seed)
            network = StyleNetwork()
        self.network = network.to(vgg.device)
        self._best = self.network.tensors
        self._optimizer = torch.optim.Adam(self.network.parameters(), _RATE, _BETAS)
        self._draw = np.random.Generator(np.random.PCG64(settings.seed))
        self._progress = _Progress()

    @property
    def step(self) -> int:
        """Number of steps so far."""
        return self._progress.step

    @property
    def losses(self) -> dict[str, float]:
        """Mean losses of style and content of the best window of up to 100 steps so far.

        They are empty before the first window ends.
        """
        return dict(self._progress.losses)

    def best(self) -> StyleNetwork:
        """Return the best network so far.

        The steps since the last full window are judged first, and end that window.
        """
        if self._progress.recent:
            self._judge()
        return StyleNetwork.of(self._best)

    def learn(self) -> None:
        """Make a step of the training; raises DivergedError if the loss is not finite."""
        progress, settings = self._progress, self._settings
        for group in self._optimizer.param_groups:
            group["lr"] = _RATE * self._rate(progress.step + 1)
        photograph = self._example().to(self._vgg.device)
        size = Size(settings.crop, settings.crop)
        noise = noise_for(size, self._draw).to(self._vgg.device)
        painting = self.network(photograph, noise)
        with torch.no_grad():
            content = self._features(photograph)[CONTENT_LAYER].float()
        features = self._features(painting)
        style_loss = self._style_loss(features)
        content_loss = _relative(features[CONTENT_LAYER].float(), content)
        roughness = _roughness(painting)
        weight = self._content_weight()
        loss = style_loss + weight * content_loss + settings.smoothness * roughness
        if not math.isfinite(loss.item()):
            raise DivergedError(f"the loss is no longer a number at step {progress.step + 1}")
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip_grad_norm_(self.network.parameters(), _LONGEST_GRADIENT)
        self._optimizer.step()
        progress.step += 1
        progress.recent.append((style_loss.item(), content_loss.item()))
        if len(progress.recent) == _WINDOW or progress.step == self.steps:
            self._judge()

    def save(self, identity: str) -> bytes:
        """Return the whole state, serialized by torch.save.

        `restore` accepts it only with the same `identity`.
        """
        file = io.BytesIO()
        torch.save(
            {
                "identity": identity,
                "recipe": self._settings.recipe,
                "steps": self.steps,
                "asked": self.asked,
                "progress": vars(self._progress),
                "draw": self._draw.bit_generator.state,
                "network": self.network.state_dict(),
                "best": {name: torch.from_numpy(value) for name, value in self._best.items()},
                "optimizer": self._optimizer.state_dict(),
            },
            file,
        )
        return file.getvalue()

    def restore(self, saved: bytes, identity: str) -> None:
        """Replace the state of the training by `saved`, which `save` returned.

        Raises CheckpointError if it is damaged, or if it has another `identity` or other settings.
        """
        try:
            state = torch.load(io.BytesIO(saved), self._vgg.device, weights_only=True)
            if (state["identity"], state["recipe"]) != (identity, self._settings.recipe):
                raise CheckpointError("it was learned from other pictures, or with other settings")
            self.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._best = {name: value.cpu().numpy() for name, value in state["best"].items()}
            self._draw.bit_generator.state = state["draw"]
            self._progress = _Progress(**state["progress"])
            self.steps = state["steps"]
            self.asked = state["asked"]
        except CheckpointError:
            raise
        except Exception as error:  # what torch raises for a damaged file is not documented
            raise CheckpointError("what was learned so far is damaged") from error

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1, as a share of the maximum."""
        fallen = 0.5 * (1 + math.cos(math.pi * min(1, step / self.steps)))
        return min(1, step / _WARM_UP) * (_LAST_RATE + (1 - _LAST_RATE) * fallen)

    def _content_weight(self) -> float:
        """Return the weight of the content for the next step."""
        left = max(0.0, 1 - 2 * self._progress.step / self.steps)
        last = self._settings.content
        return last + left * (self._settings.first_content - last)

    def _example(self) -> Tensor:
        """Draw a random part of a random photograph, (1, 3, crop, crop).

        The photograph is resized by a random factor, and the part is mirrored at random.
        """
        draw = self._draw
        crop = self._settings.crop
        photograph = self._photographs[draw.integers(len(self._photographs))]
        shorter = min(photograph.shape[-2:])
        zoom = max(float(draw.uniform(*_ZOOM)), (crop + 0.5) / shorter)
        zoomed = functional.interpolate(
            photograph, scale_factor=zoom, mode="bilinear", antialias=True
        )
        top, left = (int(draw.integers(side - crop + 1)) for side in zoomed.shape[-2:])
        part = zoomed[..., top : top + crop, left : left + crop]
        return part.flip(-1) if draw.integers(2) else part

    def _features(self, picture: Tensor) -> dict[LayerName, Tensor]:
        """Return the features of a picture (1, 3, height, width), RGB 0..255, at LAYERS."""
        return self._vgg(picture - self._mean, LAYERS, _NETWORK)

    def _style_loss(self, features: dict[LayerName, Tensor]) -> Tensor:
        """Return the sum over layers of |G - A|^2 / |A|^2.

        G are the Gram matrices of `features`, A those of the style.
        """
        losses = [_relative(gram, self._targets[layer]) for layer, gram in _grams(features).items()]
        return torch.stack(losses).sum()

    def _judge(self) -> None:
        """Keep the network if the mean loss of the recent steps is the least so far.

        The recent steps are then cleared.
        """
        progress = self._progress
        style, content = (float(mean) for mean in np.mean(progress.recent, axis=0))
        total = style + self._settings.content * content
        if total < progress.best:
            progress.best = total
            progress.losses = {"style": style, "content": content}
            self._best = self.network.tensors
        progress.recent.clear()


def _grams(
    features: dict[LayerName, Tensor], shown: Regions | None = None
) -> dict[LayerName, Tensor]:
    """Return the Gram matrix (N, N), the mean over positions, of each layer of the style.

    With `shown`, float32 (height, width), 0..1, positions are weighted by it.
    """
    grams = {}
    for layer in STYLE_LAYERS:
        maps = features[layer][0].float()
        rows, columns = maps.shape[1:]
        weights = maps.new_ones(rows * columns)
        if shown is not None:
            plane = torch.from_numpy(shown).to(maps)[None]
            weights = functional.adaptive_avg_pool2d(plane, (rows, columns)).flatten()
        flat = maps.flatten(1)
        grams[layer] = (flat * weights) @ flat.T / weights.sum()
    return grams


def _relative(x: Tensor, target: Tensor) -> Tensor:
    """Return |x - target|^2 / |target|^2 as a tensor ()."""
    return (x - target).square().sum() / target.square().sum().clamp(min=1e-12)


def _roughness(painting: Tensor) -> Tensor:
    """Return the roughness () of a painting, with white as 1.

    It is the mean absolute difference of horizontal neighbors, plus that of vertical neighbors.
    """
    across = (painting[..., 1:] - painting[..., :-1]).abs().mean()
    down = (painting[..., 1:, :] - painting[..., :-1, :]).abs().mean()
    return (across + down) / 255
