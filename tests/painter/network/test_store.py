"""Our own form of a trained network, written and read."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests.painter.networks import narrow, network, same

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.weights import LAYERS, WeightsFile

ABOUT = WeightsFile("x", Path("x"), "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none").metadata()


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)


def test_what_was_written_is_read_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.safetensors"
    arrays = network()
    store.write(path, arrays, ABOUT)
    assert same(store.read(path, list(LAYERS)), arrays)
    assert weights.described(path).mean == (1.0, 2.0, 3.0)


def test_an_array_that_lies_backwards_in_memory_is_written_as_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays = network()
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]
    store.write(path, arrays, ABOUT)
    met = store.read(path, ["conv1_1"])
    assert np.array_equal(met["conv1_1.weight"], arrays["conv1_1.weight"])


def test_one_flipped_bit_in_an_array_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    store.write(path, network(), ABOUT)
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match="is not what was written"):
        store.read(path, list(LAYERS))


@pytest.mark.parametrize("length", [0, 7, 100, 3000, -1])
def test_a_file_that_is_cut_off_anywhere_is_found(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.safetensors"
    store.write(path, network(), ABOUT)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="damaged"):
        store.read(path, ["conv1_1"])


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    store.write(path, network(), ABOUT)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(path, network(1), ABOUT)
    assert path.read_bytes() == before
