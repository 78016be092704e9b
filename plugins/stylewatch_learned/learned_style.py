"""Files of learned styles, and the owner's folder of them.

A file is a safetensors file with the parameters of a `StyleNetwork`. Its metadata says which style
picture it was learned from, on which photographs, and how: it holds no picture, and claims no
license, because the owner of the pictures decides about that.
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
"""Key in the metadata of each file; it names the network and the version of the metadata."""

_MOST_GAIN = 2.0
"""Largest factor by which the contrast of colors changes."""

_SEEN = 512
"""Number of pixels along the long side of a picture by which its colors are known."""

_LENGTH = 8
"""Number of bytes for the length of the header."""

MOST_BYTES = 8_000_000
"""Maximum size of a file; the network takes about half of that."""


@dataclass(frozen=True)
class About:
    """Metadata of a learned style.

    `style` and `photographs` are the SHA-256 of the files that it was learned from. `steps` is the
    number of steps of the training, `losses` are the mean losses of its best steps, by name, and
    `recipe` holds its settings. `palette` are the mean and the rows of the covariance of the
    style's colors, in levels of 0..255.
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
        """The digests of all pictures, in order."""
        return " ".join([self.style, *self.photographs])

    def metadata(self) -> dict[str, str]:
        """Return the metadata for a file: under a single key, as several have no fixed order."""
        return {FORMAT: json.dumps(vars(self))}

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "About":
        """Read metadata; raises ValueError for that of another file."""
        if FORMAT not in metadata:
            raise ValueError("it is no learned style, or of another version of stylewatch")
        plain = json.loads(metadata[FORMAT])
        palette = np.asarray(plain["palette"], np.float64).reshape(4, 3).tolist()
        tuples = {"photographs": tuple(plain["photographs"]), "palette": tuple(map(tuple, palette))}
        return cls(**{**plain, **tuples})


@dataclass(frozen=True, eq=False)
class LearnedStyle:
    """A learned style as it was read from a file, whose digest is `sha256` (hex)."""

    path: Path
    about: About
    sha256: str
    network: StyleNetwork

    @property
    def name(self) -> str:
        """The name by which people ask for it."""
        return self.path.name.removesuffix(SUFFIX)

    def paint(self, photograph: Pixels, seed: int, device: torch.device) -> Pixels:
        """Return the painting of a photograph, both (height, width, 3), RGB 0..255.

        Its colors get the mean and the covariance of the style's, because networks that were
        trained for some minutes make them dull; no contrast changes by a factor above _MOST_GAIN.
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
        """Read a file; raises WeightsError if it is no learned style."""
        try:
            with regular_file.opened(path) as file:
                content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES / 1e6:.0f} MB")
            about = _checked(content)  # before anything is allocated for what the header says
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
    """Return the palette of a style, where its mask shows it, for About."""
    mean, covariance = _moments(style.picture, style.mask)
    return tuple(tuple(map(float, row)) for row in (mean, *covariance))


def _moments(picture: Pixels, mask: Plane | None = None) -> tuple[Floats, Floats]:
    """Return the mean and the covariance of the colors of a picture where a mask shows it."""
    every = max(1, max(picture.shape[:2]) // _SEEN)
    colors = picture[::every, ::every].reshape(-1, 3).astype(np.float64)
    weights = None if mask is None else mask[::every, ::every].ravel()
    mean = np.average(colors, axis=0, weights=weights)
    return mean, np.cov(colors.T, aweights=weights, bias=True)


def folder() -> Path:
    """Return the owner's folder of learned styles, which need not exist."""
    return user_data_path("stylewatch") / "learned"


def find(name: str) -> LearnedStyle:
    """Return the learned style called `name`; raises WeightsError if there is none.

    A name that differs in its form or in capitals is found if it fits one file only.
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
    """Return what names have in common that people read as one, such as those of a Mac (law 8)."""
    return unicodedata.normalize("NFC", name).casefold()


def of(style: str, name: str) -> LearnedStyle:
    """Return the latest learned style for a style's file with the SHA-256 `style`, called `name`.

    Other files in the folder are left out. Raises NotLearnedError if there is none, and
    WeightsError if the folder cannot be listed.
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
    """Sort files by the time of their last change; those that are gone or closed are left out."""
    times = []
    for path in paths:
        try:
            times.append((-path.stat().st_mtime_ns, path.name, path))
        except OSError:
            continue
    return [path for *_, path in sorted(times)]


def files() -> list[Path]:
    """Return the files in the owner's folder that may be learned styles, sorted."""
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
    """Write a learned style atomically; raises OSError."""
    store.write_file(path, save(dict(tensors), about.metadata()))


def _checked(content: bytes) -> About:
    """Return what the bytes of a file say of themselves.

    Raises ValueError, KeyError, TypeError or RecursionError unless they have the tensors of the
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
    """Return the type and the shape of each tensor of the network."""
    with torch.device("meta"):  # nothing is allocated
        state = StyleNetwork().state_dict()
    return {name: ("F32", tuple(value.shape)) for name, value in state.items()}
