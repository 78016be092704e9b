"""Reads the convolutions of VGG19 from the file formats in which others publish them."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.weights import LAYERS, Normalization

Arrays = dict[str, NDArray[Any]]

_OURS = re.compile(r"(features\.\d+|conv\d_\d|block\d_conv\d)[._]")  # all but the classifier
_WEIGHT = re.compile(r"\.weight$|_W_q$")
_KERNEL, _BIAS = 4, 1  # dimensions
_VGG16 = 13  # convolutions


@dataclass(frozen=True)
class Foreign:
    """A network as its file has it.

    `arrays` are `<layer>.weight`, float32 (out, in, 3, 3), and `<layer>.bias`, float32 (out,);
    `bits` are those of a weight in the file; `normalization` follows from the file's form, None if
    unknown.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    bits: int
    normalization: str | None


def read_foreign(path: Path) -> Foreign:
    """Read the network in `path`: a torch state dict, safetensors or Keras .h5 file.

    Raises WeightsError: unreadable, not VGG19, or with values that are not finite.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise WeightsError(f"{path.name} is of no form that can be read; there are {known}")
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    arrays = reader(path)
    bits = [8 * array.itemsize for name, array in arrays.items() if _WEIGHT.search(name)]
    named, normalization = _named(arrays, path)
    return Foreign(checked(named, path), min(max(bits, default=32), 32), normalization)


def canonical(foreign: Foreign, normalization: Normalization) -> dict[str, NDArray[np.float32]]:
    """The arrays for a picture in RGB 0..255 minus the mean: conv1_1 scaled and red first.

    Only the scale may be folded into conv1_1: at the border the convolution sees zeros, which stand
    for the mean color, so a mean folded into the bias would be wrong there.
    """
    arrays = dict(foreign.arrays)
    first = arrays["conv1_1.weight"].astype(np.float64)
    if normalization.bgr:
        first = first[:, ::-1]
    scale = np.asarray(normalization.scale).reshape(1, 3, 1, 1)
    arrays["conv1_1.weight"] = np.ascontiguousarray(first * scale, dtype=np.float32)
    return arrays


def library(name: str, help_: str) -> Any:
    """Import a library that only some files need.

    Raises WeightsError: not installed; `help_` names the installation command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WeightsError(f"this file needs {name}, which is not installed; {help_}") from error


def _torch(path: Path) -> Arrays:
    torch = library("torch", "`pip install torch` brings it")
    try:
        # weights_only: a pickle could otherwise run anything
        plain = torch.load(path, map_location="cpu", weights_only=True)
        return {
            name: tensor.detach().numpy()
            for name, tensor in plain.items()
            if _OURS.match(name) and isinstance(tensor, torch.Tensor)
        }
    except Exception as error:  # torch raises whatever it stumbles over
        raise WeightsError(f"{path.name} is no torch state dict: {_first_line(error)}") from error


def _safetensors(path: Path) -> Arrays:
    library_ = library("safetensors", "`pip install safetensors` brings it")
    try:
        with library_.safe_open(path, framework="numpy") as file:
            names = [name for name in list(file.keys()) if _OURS.match(name)]
            return {name: file.get_tensor(name) for name in names}
    except (library_.SafetensorError, TypeError, OSError) as error:
        raise WeightsError(
            f"{path.name} is no safetensors file that can be read: {_first_line(error)}"
        ) from error


def _keras(path: Path) -> Arrays:
    h5py = library("h5py", "`pip install 'stylewatch[keras]'` brings it")
    arrays: Arrays = {}

    def visit(name: str, node: Any) -> None:
        layer = re.search(r"block(\d)_conv(\d)", name)
        if layer is None or not isinstance(node, h5py.Dataset):
            return
        if node.ndim == _KERNEL:  # Keras has (rows, columns, in, out)
            arrays[f"conv{layer[1]}_{layer[2]}.weight"] = np.transpose(node[()], (3, 2, 0, 1))
        elif node.ndim == _BIAS:
            arrays[f"conv{layer[1]}_{layer[2]}.bias"] = node[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path.name} is no Keras file: {_first_line(error)}") from error
    return arrays


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".bin": _torch,
    ".pt": _torch,
    ".pth": _torch,
    ".safetensors": _safetensors,
    ".h5": _keras,
    ".hdf5": _keras,
}


def _named(arrays: Arrays, path: Path) -> tuple[Arrays, str | None]:
    """The arrays by our names, and the normalization that their own names imply."""
    if any(name.endswith(".running_mean") for name in arrays):
        raise WeightsError(
            f"{path.name} is a variant with batch normalization; the plain VGG19 is needed"
        )
    count = sum(1 for name in arrays if _WEIGHT.search(name) and arrays[name].ndim == _KERNEL)
    if count != len(LAYERS):
        seems = "VGG16" if count == _VGG16 else "another network"
        raise WeightsError(
            f"{path.name} holds {count} convolutions with names that are known, as {seems} would; "
            f"VGG19 has {len(LAYERS)}"
        )
    if any(name.endswith("_W_q") for name in arrays):
        return _dequantized(arrays, path), "caffe"
    if any(name.startswith("conv") for name in arrays):
        return arrays, "caffe"
    return _unnumbered(arrays), None


def _dequantized(packed: Arrays, path: Path) -> Arrays:
    """Weights from 8-bit indices and a table of 256 values for each layer."""
    arrays: Arrays = {}
    for layer in LAYERS:
        theirs = layer.replace("conv", "block").replace("_", "_conv")
        try:
            indices, table = packed[f"{theirs}_W_q"], packed[f"{theirs}_W_table"]
            arrays[f"{layer}.weight"] = table[indices]
            arrays[f"{layer}.bias"] = packed[f"{theirs}_b"]
        except (KeyError, IndexError) as error:
            raise WeightsError(f"{path.name} lacks a part of {layer}: {error}") from error
    return arrays


def _unnumbered(numbered: Arrays) -> Arrays:
    """Rename `features.0` and so on: a convolution, a ReLU, and a pool after each block."""
    arrays: Arrays = {}
    for place, layer in enumerate(LAYERS):
        block = int(layer[len("conv")])
        for part in ("weight", "bias"):
            theirs = f"features.{2 * place + block - 1}.{part}"
            if theirs in numbered:
                arrays[f"{layer}.{part}"] = numbered[theirs]
    return arrays


def checked(arrays: Arrays, path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of VGG19 in order, as float32.

    Raises WeightsError: one is missing, has another shape, or holds values that are not finite.
    """
    checked: dict[str, NDArray[np.float32]] = {}
    for layer, (out, before) in LAYERS.items():
        for part, shape in (("weight", (out, before, 3, 3)), ("bias", (out,))):
            name = f"{layer}.{part}"
            array = arrays.get(name)
            if array is None:
                raise WeightsError(f"{path.name} is not VGG19: it lacks {name}")
            if array.shape != shape:
                raise WeightsError(
                    f"{path.name} is not VGG19: {name} has the shape {array.shape}, "
                    f"where VGG19 has {shape}"
                )
            if not np.isfinite(array).all():
                raise WeightsError(
                    f"{path.name} is damaged: {name} holds values that are no number"
                )
            checked[name] = np.ascontiguousarray(array, dtype=np.float32)
    return checked


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
