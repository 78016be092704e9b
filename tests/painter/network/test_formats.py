"""Files as others publish them, sound and unsound."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stylewatch_painter.network.formats import canonical, read_foreign
from tests.painter import networks
from tests.painter.networks import Network, network, numbered, same

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.weights import NORMALIZATIONS


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.narrow(monkeypatch)


@pytest.mark.parametrize("old", [False, True])
def test_numbered_torch_state_dict(tmp_path: Path, old: bool) -> None:
    arrays = network()
    met = read_foreign(networks.save_torch(tmp_path / "x.pth", numbered(arrays), old=old))
    assert same(dict(met.arrays), arrays)
    assert (met.bits, met.normalization) == (32, None)


@pytest.mark.parametrize(("name", "kind"), [(dict, "caffe"), (numbered, None)])
def test_safetensors_by_either_naming(
    tmp_path: Path, name: type[Network], kind: str | None
) -> None:
    arrays = network()
    met = read_foreign(networks.save_safetensors(tmp_path / "x.safetensors", name(arrays)))
    assert same(dict(met.arrays), arrays)
    assert met.normalization == kind


def test_keras_kernels_are_transposed(tmp_path: Path) -> None:
    arrays = network()
    met = read_foreign(networks.save_keras(tmp_path / "x.h5", arrays))
    assert same(dict(met.arrays), arrays)
    assert (met.bits, met.normalization) == (32, "caffe")


def test_8_bit_weights_are_dequantized(tmp_path: Path) -> None:
    arrays = networks.save_quantized(tmp_path / "x.bin")
    met = read_foreign(tmp_path / "x.bin")
    assert same(dict(met.arrays), arrays)
    assert (met.bits, met.normalization) == (8, "caffe")


def test_caffe_weights_become_rgb(tmp_path: Path) -> None:
    arrays = network()
    met = read_foreign(networks.save_torch(tmp_path / "x.pth", arrays))
    ours = canonical(met, NORMALIZATIONS["caffe"])
    assert np.array_equal(ours["conv1_1.weight"], arrays["conv1_1.weight"][:, ::-1])
    assert np.array_equal(ours["conv1_2.weight"], arrays["conv1_2.weight"])


def test_torchvision_weights_match_normalized_input(
    tmp_path: Path,
) -> None:
    arrays = network()
    met = read_foreign(networks.save_torch(tmp_path / "x.pth", numbered(arrays)))
    kind = NORMALIZATIONS["torchvision"]
    ours = canonical(met, kind)
    picture = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, size=(1, 3, 6, 5)))

    def filtered(weights: Network, seen: torch.Tensor) -> torch.Tensor:
        weight = torch.from_numpy(weights["conv1_1.weight"].astype(np.float64))
        bias = torch.from_numpy(weights["conv1_1.bias"].astype(np.float64))
        return torch.nn.functional.conv2d(seen, weight, bias, padding=1)

    theirs = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).double()
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1).double()
    expected = filtered(arrays, (picture / 255 - theirs) / deviation)
    got = filtered(ours, picture - torch.tensor(kind.mean).view(1, 3, 1, 1).double())
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_vgg16_is_refused(tmp_path: Path) -> None:
    arrays = {
        name: array
        for name, array in network().items()
        if not name.startswith(("conv3_4", "conv4_4", "conv5_4"))
    }
    with pytest.raises(WeightsError, match=r"holds 13 convolutions .* as VGG16 would"):
        read_foreign(networks.save_torch(tmp_path / "x.pth", arrays))


def test_batch_normalization_is_refused(tmp_path: Path) -> None:
    arrays = {**numbered(network()), "features.1.running_mean": np.zeros(3, dtype=np.float32)}
    with pytest.raises(WeightsError, match="batch normalization"):
        read_foreign(networks.save_torch(tmp_path / "x.pth", arrays))


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    arrays = network()
    arrays["conv2_1.bias"] = np.zeros(9, dtype=np.float32)
    with pytest.raises(WeightsError, match=r"conv2_1\.bias has the shape \(9,\).*\(4,\)"):
        read_foreign(networks.save_torch(tmp_path / "x.pth", arrays))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    arrays = network()
    arrays["conv4_2.weight"][0, 0, 1, 1] = value
    with pytest.raises(WeightsError, match=r"conv4_2\.weight holds values that are no number"):
        read_foreign(networks.save_safetensors(tmp_path / "x.safetensors", arrays))


class _Harmful:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_pickle_is_not_executed(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(pickle.dumps(_Harmful(tmp_path / "was here")))
    with pytest.raises(WeightsError, match="no torch state dict"):
        read_foreign(tmp_path / "x.pth")
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.h5"])
def test_garbage_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"garbage" * 99)
    with pytest.raises(WeightsError, match=r"^x\.\w+ is no "):
        read_foreign(tmp_path / name)


def test_keras_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = networks.save_keras(tmp_path / "x.h5", network())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"pip install 'stylewatch\[keras\]'"):
        read_foreign(path)
