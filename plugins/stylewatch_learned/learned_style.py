"""Files of learned styles, and the owner's folder of them.

A file is a safetensors file with the parameters of a `StyleNetwork`. Its metadata says which style
picture it was learned from, on which photographs, and how: it holds no picture, and claims no
license, because the owner of the pictures decides about that.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open

from stylewatch_learned import SUFFIX
from stylewatch_learned.network import StyleNetwork, Tensors
from stylewatch_painter import regular_file
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_painter.network.weights import sha256_of
from stylewatch_painter.validation import first_line

FORMAT = "stylewatch learned style 1"
"""Text in the metadata of each file; it names the network and the version of the metadata."""

MOST_BYTES = 4_000_000
"""Maximum size of a file; the network takes about a million bytes."""


@dataclass(frozen=True)
class About:
    """What a file says of itself.

    `style` is the SHA-256 of the style's file and `photographs` are those of the photographs it was
    trained on; `steps` is the number of steps that the parameters took, and `losses` are the means
    of the last ones by name. `recipe` holds the settings of the training.
    """

    style: str
    style_name: str
    photographs: tuple[str, ...]
    steps: int
    losses: Mapping[str, float]
    recipe: Mapping[str, float | int | str]

    @property
    def identity(self) -> str:
        """The digests of all pictures, in order."""
        return " ".join([self.style, *self.photographs])

    def metadata(self) -> dict[str, str]:
        """Return the metadata for a file."""
        return {"format": FORMAT, "about": json.dumps(vars(self))}

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "About":
        """Read metadata; raises ValueError for that of another file."""
        if metadata.get("format") != FORMAT:
            raise ValueError("it is no learned style, or of another version of stylewatch")
        plain = json.loads(metadata["about"])
        return cls(**{**plain, "photographs": tuple(plain["photographs"])})


@dataclass(frozen=True)
class LearnedStyle:
    """A learned style in a file, whose parameters are read on demand."""

    path: Path
    about: About

    @property
    def name(self) -> str:
        """The name by which people ask for it."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def sha256(self) -> str:
        """The digest of the file."""
        return sha256_of(self.path)

    @classmethod
    def at(cls, path: Path) -> "LearnedStyle":
        """Check a file without reading its parameters; raises WeightsError if it is another one."""
        with _opened(path) as file:
            return cls(path, _checked(path, file))

    def network(self) -> StyleNetwork:
        """Read the parameters; raises WeightsError if they do not fit the network."""
        with _opened(self.path) as file:
            _checked(self.path, file)
            tensors = {name: file.get_tensor(name) for name in _shapes()}
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise _refused(self.path, "it holds values that are not numbers")
        return StyleNetwork.of(tensors)


def folder() -> Path:
    """Return the owner's folder of learned styles, which need not exist."""
    return user_data_path("stylewatch") / "learned"


def find(name: str) -> LearnedStyle:
    """Return the learned style called `name`; raises WeightsError if there is none."""
    paths = {path.stem: path for path in _files()}
    if name not in paths:
        raise WeightsError(
            f"no learned style {name!r} is in {folder()}; there are {', '.join(paths) or 'none'}: "
            "`stylewatch learn` makes one"
        )
    return LearnedStyle.at(paths[name])


def of(style: str, name: str) -> LearnedStyle:
    """Return the latest learned style for a style's file with the SHA-256 `style`, called `name`.

    Raises WeightsError if there is none.
    """
    for learned in installed():
        if learned.about.style == style:
            return learned
    raise WeightsError(
        f"nothing in {folder()} was learned from {name}: `stylewatch learn` learns it from your "
        "photographs, or `backends.learned.weights` names another one"
    )


def installed() -> list[LearnedStyle]:
    """Return all learned styles of the owner, the latest first; other files are left out.

    Raises WeightsError if the folder cannot be listed.
    """
    found = []
    for path in sorted(_files(), key=lambda path: (-path.stat().st_mtime_ns, path.name)):
        try:
            found.append(LearnedStyle.at(path))
        except WeightsError:
            continue
    return found


def _files() -> list[Path]:
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
    store.write(path, tensors, about.metadata())


def _opened(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _refused(path, f"it is larger than {MOST_BYTES / 1e6:.0f} MB")
        return safe_open(path, "numpy")
    except (OSError, SafetensorError) as error:
        raise _refused(path, first_line(error)) from error


def _checked(path: Path, file: Any) -> About:
    """Return what a file says of itself, after comparing its tensors with the network's."""
    slices = {name: file.get_slice(name) for name in list(file.keys())}
    shapes = {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}
    if shapes != _shapes():
        raise _refused(path, "its tensors are not those of the network")
    try:
        return About.of(file.metadata() or {})
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(path, str(error)) from error


@cache
def _shapes() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and the shape of each tensor of the network."""
    with torch.device("meta"):  # nothing is allocated
        state = StyleNetwork().state_dict()
    return {name: ("F32", tuple(value.shape)) for name, value in state.items()}


def _refused(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path.name} cannot be used as a learned style: {why}")
