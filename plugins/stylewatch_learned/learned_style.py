"""Files of learned styles, and the user's folder with them.

A learned style is a safetensors file with the parameters of a `StyleNetwork`. Its metadata has the
digests of the style picture and of the photographs, and the settings of the training. It holds no
picture, and states no license, because the owner of the pictures decides about that.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_data_path
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stylewatch_learned import SUFFIX
from stylewatch_learned.network import StyleNetwork, Tensors
from stylewatch_painter import regular_file
from stylewatch_painter.errors import NotLearnedError, WeightsError
from stylewatch_painter.images.color import Floats, Spread
from stylewatch_painter.network import store
from stylewatch_painter.scene.task import Style
from stylewatch_painter.stage import Pixels, Plane
from stylewatch_painter.validation import first_line

FORMAT = "stylewatch learned style 1"
"""Key of the metadata in each file. It changes with the network or the form of the metadata."""

_MOST_GAIN = 2.0
"""Maximum factor by which the contrast of colors grows or shrinks."""

_SEEN = 512
"""Minimum number of pixels, along the long side of a larger picture, that color statistics use."""

_LENGTH = 8
"""Number of bytes of a safetensors file that hold the length of the header."""

MOST_BYTES = 8_000_000
"""Maximum size in bytes of the file of a learned style, about twice that of the network."""


@dataclass(frozen=True)
class About:
    """Metadata of a learned style.

    `style` and `photographs` are SHA-256 digests (hex) of the files of the style picture, named
    `style_name`, and of the training photographs. `steps` is the number of training steps, `losses`
    maps names to mean losses of the best steps, and `recipe` holds the settings of the training.
    `palette` has four rows of three numbers: the mean RGB color of the style, in levels of 0..255,
    and the covariance matrix of its colors, in squared levels.
    """

    style: str
    style_name: str
    photographs: tuple[str, ...]
    steps: int
    losses: Mapping[str, float]
    recipe: Mapping[str, float | int | str]
    palette: tuple[tuple[float, ...], ...]

    @property
    def identity(self) -> str:
        """The digests of the style and of the photographs, in order, separated by spaces."""
        return " ".join([self.style, *self.photographs])

    def metadata(self) -> dict[str, str]:
        """Return the metadata for a file, as JSON under the single key FORMAT.

        Several keys would have no fixed order in the file.
        """
        return {FORMAT: json.dumps(vars(self))}

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "About":
        """Return the About in the metadata of a file.

        Raises ValueError, KeyError, TypeError or RecursionError if it has none, or an invalid one.
        """
        if FORMAT not in metadata:
            raise ValueError("it is no learned style, or of another version of stylewatch")
        plain = json.loads(metadata[FORMAT])
        palette = np.asarray(plain["palette"], np.float64).reshape(4, 3).tolist()
        tuples = {"photographs": tuple(plain["photographs"]), "palette": tuple(map(tuple, palette))}
        return cls(**{**plain, **tuples})


@dataclass(frozen=True, eq=False)
class LearnedStyle:
    """A learned style, read from the file at `path`, whose SHA-256 (hex) is `sha256`."""

    path: Path
    about: About
    sha256: str
    network: StyleNetwork

    @property
    def name(self) -> str:
        """The name by which users choose the style: its file name without suffix."""
        return self.path.name.removesuffix(SUFFIX)

    def paint(self, photograph: Pixels, seed: int, device: torch.device) -> Pixels:
        """Return the painting of a photograph, both float32 (height, width, 3), RGB 0..255.

        A linear map moves the mean and the covariance of the painting's colors to those of the
        style, because a network that was trained for some minutes makes colors dull. Along each
        axis, contrast changes by at most the factor _MOST_GAIN. The network is moved to `device`.
        """
        painting = self.network.to(device).paint(photograph, seed)
        mine = Spread(*map(np.asarray, _moments(painting)))
        mean, *covariance = np.asarray(self.about.palette)
        gains, axes = np.linalg.eigh(mine.way_to(Spread(mean, np.asarray(covariance))))
        way = (axes * gains.clip(1 / _MOST_GAIN, _MOST_GAIN)) @ axes.T
        moved = (painting - mine.mean.astype(np.float32)) @ way.T.astype(np.float32)
        return np.asarray((moved + mean.astype(np.float32)).clip(0, 255), np.float32)

    @classmethod
    def at(cls, path: Path) -> "LearnedStyle":
        """Read the learned style at `path`.

        Raises WeightsError if the file cannot be read, or is not a learned style.
        """
        try:
            with regular_file.opened(path) as file:
                content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES / 1e6:.0f} MB")
            about = _checked(content)  # before memory is allocated for the declared tensors
            tensors = load(content)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            why = getattr(error, "strerror", None) or first_line(error)
            raise WeightsError(f"{path.name} cannot be used as a learned style: {why}") from error
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise WeightsError(
                f"{path.name} cannot be used as a learned style: it holds values that are no "
                "numbers"
            )
        return cls(path, about, sha256(content).hexdigest(), StyleNetwork.of(tensors))


def palette_of(style: Style) -> tuple[tuple[float, ...], ...]:
    """Return the palette of a style for About, with each color weighted by the mask."""
    mean, covariance = _moments(style.picture, style.mask)
    return tuple(tuple(map(float, row)) for row in (mean, *covariance))


def _moments(picture: Pixels, mask: Plane | None = None) -> tuple[Floats, Floats]:
    """Return the mean (3,) and the covariance (3, 3) of a picture's colors, weighted by `mask`."""
    every = max(1, max(picture.shape[:2]) // _SEEN)
    if mask is not None and not mask[::every, ::every].any():
        every = 1  # only details of the picture count
    colors = picture[::every, ::every].reshape(-1, 3).astype(np.float64)
    weights = None if mask is None else mask[::every, ::every].ravel()
    mean = np.average(colors, axis=0, weights=weights)
    return mean, np.cov(colors.T, aweights=weights, bias=True)


def folder() -> Path:
    """Return the user's folder of learned styles, which may not exist."""
    return user_data_path("stylewatch") / "learned"


def find(name: str) -> LearnedStyle:
    """Return the learned style called `name` in the user's folder.

    The name may differ from that of the file in case or Unicode form if it fits a single file.
    Raises WeightsError if there is none, or if it cannot be used.
    """
    paths = {path.stem: path for path in files()}
    alike = [stem for stem in paths if _folded(stem) == _folded(name)]
    if name not in paths and len(alike) == 1:
        name = alike[0]
    if name not in paths:
        raise WeightsError(
            f"no learned style {name!r} is in {folder()}; there are {', '.join(paths) or 'none'}: "
            "`stylewatch learn` makes one"
        )
    return LearnedStyle.at(paths[name])


def _folded(name: str) -> str:
    """Return a name in the form in which names are compared: Unicode NFC, without case (law 8)."""
    return unicodedata.normalize("NFC", name).casefold()


def of(style: str, name: str) -> LearnedStyle:
    """Return the latest learned style for the style's file with the SHA-256 `style` (hex).

    `name` is the style's name for the message. Files that are not learned styles are skipped.
    Raises NotLearnedError if there is no learned style, and WeightsError if the folder cannot be
    listed.
    """
    for path in _latest_first(files()):
        try:
            learned = LearnedStyle.at(path)
        except WeightsError:
            continue
        if learned.about.style == style:
            return learned
    raise NotLearnedError(
        f"nothing in {folder()} was learned from the file of {name}: `stylewatch learn` learns it "
        "from your photographs, or `backends.learned.weights` names another one"
    )


def _latest_first(paths: Iterable[Path]) -> list[Path]:
    """Return the files sorted by modification time, latest first.

    Files whose status cannot be read are left out.
    """
    times = []
    for path in paths:
        try:
            times.append((-path.stat().st_mtime_ns, path.name, path))
        except OSError:
            continue
    return [path for *_, path in sorted(times)]


def files() -> list[Path]:
    """Return the files in the user's folder with the suffix of learned styles, sorted.

    The list is empty if the folder does not exist. Raises WeightsError if it cannot be listed.
    """
    try:
        listed = regular_file.listed(folder())
    except FileNotFoundError:  # the first training makes the folder
        return []
    except OSError as error:
        raise WeightsError(
            f"the folder of learned styles {folder()} cannot be listed: {error.strerror}: make it "
            "readable"
        ) from error
    return [path for path in listed if path.suffix == SUFFIX]


def write(path: Path, tensors: Tensors, about: About) -> None:
    """Write a learned style to `path`, atomically; raises OSError if that fails."""
    store.write_file(path, save(dict(tensors), about.metadata()))


def _checked(content: bytes) -> About:
    """Return the About in the bytes of a file, of which only the header is decoded.

    Raises ValueError, KeyError, TypeError or RecursionError unless the file has the tensors of the
    network, and the metadata of a learned style.
    """
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    if not isinstance(header, dict):
        raise ValueError("it is no safetensors file")
    metadata = header.pop("__metadata__")
    shapes = {name: (each["dtype"], tuple(each["shape"])) for name, each in header.items()}
    if shapes != _shapes():
        raise ValueError("its tensors are not those of the network")
    return About.of(metadata)


@cache
def _shapes() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the safetensors type and the shape of each tensor of the network, by name."""
    with torch.device("meta"):  # nothing is allocated
        state = StyleNetwork().state_dict()
    return {name: ("F32", tuple(value.shape)) for name, value in state.items()}
