"""Our own form of a trained network, written and read."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from tests.painter import networks
from tests.painter.networks import Network, narrow, network, same

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.weights import LAYERS, WeightsFile

ABOUT = WeightsFile("x", Path("x"), "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none").metadata()


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)


def test_write_and_read_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.safetensors"
    arrays = network()
    store.write(path, arrays, ABOUT)
    assert same(store.read(path, list(LAYERS)), arrays)
    assert weights.described(path).mean == (1.0, 2.0, 3.0)


def test_non_contiguous_array_is_written_as_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays = network()
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]
    store.write(path, arrays, ABOUT)
    met = store.read(path, ["conv1_1"])
    assert np.array_equal(met["conv1_1.weight"], arrays["conv1_1.weight"])


def test_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    store.write(path, network(), ABOUT)
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match="is not what was written"):
        store.read(path, list(LAYERS))


@pytest.mark.parametrize("length", [0, 7, 100, 3000, -1])
def test_truncated_file_is_found(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.safetensors"
    store.write(path, network(), ABOUT)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="damaged"):
        store.read(path, ["conv1_1"])


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    store.write(path, network(), ABOUT)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(path, network(1), ABOUT)
    assert path.read_bytes() == before


RGB_MEAN = (123.68, 116.779, 103.939)


@pytest.fixture
def packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[WeightsFile, Network]]:
    """A little file in 8 bits as the package has the large one, and what it stands for."""
    networks.narrow(monkeypatch)
    path = tmp_path / "x.bin"
    arrays = networks.save_quantized(path)
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1]
    digest = sha256(path.read_bytes()).hexdigest()
    yield WeightsFile("bundled", path, digest, 8, RGB_MEAN, "a test", "none"), arrays


def _copy(cache: Path) -> Path:
    (found,) = cache.glob("*.safetensors")
    return found


def test_packed_file_is_unpacked_once(packed: tuple[WeightsFile, Network], tmp_path: Path) -> None:
    file, arrays = packed
    mean, first = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert mean == RGB_MEAN
    assert networks.same(first, arrays)
    file.path.unlink()
    _, second = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert networks.same(second, arrays)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "garbage"])
def test_damaged_copy_is_made_again(
    packed: tuple[WeightsFile, Network], tmp_path: Path, damage: str
) -> None:
    file, arrays = packed
    store.load(file, LAYERS, cache=tmp_path / "cache")
    copy = _copy(tmp_path / "cache")
    whole = copy.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    broken = {"cut": whole[:-9], "flip": flipped, "empty": b"", "garbage": b"?" * 999}[damage]
    copy.write_bytes(broken)
    _, met = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert networks.same(met, arrays)
    assert networks.same(store.read(copy, LAYERS), arrays)


def test_concurrent_loads_leave_one_copy(
    packed: tuple[WeightsFile, Network], tmp_path: Path
) -> None:
    file, arrays = packed
    got: list[Network] = []

    def load() -> None:
        got.append(store.load(file, LAYERS, cache=tmp_path / "cache")[1])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(networks.same(one, arrays) for one in got)
    assert len(got) == 4
    assert _copy(tmp_path / "cache").exists()
    assert not list((tmp_path / "cache").glob("*.part"))


def test_unwritable_cache_is_ignored(
    packed: tuple[WeightsFile, Network], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, arrays = packed
    (tmp_path / "cache").write_text("a file where the folder should be")
    _, met = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert networks.same(met, arrays)
    assert "cannot be kept" in caplog.text


def test_wrong_digest_of_packed_file_is_refused(
    packed: tuple[WeightsFile, Network], tmp_path: Path
) -> None:
    wrong = replace(packed[0], sha256="ab" * 32)
    with pytest.raises(WeightsError, match=f"expected sha256 {'ab' * 32}, met {packed[0].sha256}"):
        store.load(wrong, ["conv1_1"], cache=tmp_path / "cache")


def test_verify_finds_damage_in_any_layer(
    packed: tuple[WeightsFile, Network], tmp_path: Path
) -> None:
    path = networks.save_torch(tmp_path / "x.pth", networks.network())
    file = import_file(path, home=tmp_path / "home")
    store.verify(file)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 128]))
    with pytest.raises(WeightsError, match="is not what was written"):
        store.verify(file)
