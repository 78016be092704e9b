"""Reading layers, from packed files, their copies and imported ones."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from tests.painter import networks
from tests.painter.networks import Network

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.weights import LAYERS, WeightsFile

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


def test_the_first_use_unpacks_and_the_second_does_not_need_the_packed_file(
    packed: tuple[WeightsFile, Network], tmp_path: Path
) -> None:
    file, arrays = packed
    mean, first = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert mean == RGB_MEAN
    assert networks.same(first, arrays)
    file.path.unlink()
    _, second = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert networks.same(second, arrays)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "garbage"])
def test_a_damaged_copy_is_made_again(
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


def test_two_at_once_both_get_the_weights_and_leave_one_copy(
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


def test_where_no_copy_can_be_kept_the_weights_come_all_the_same(
    packed: tuple[WeightsFile, Network], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, arrays = packed
    (tmp_path / "cache").write_text("a file where the folder should be")
    _, met = store.load(file, LAYERS, cache=tmp_path / "cache")
    assert networks.same(met, arrays)
    assert "cannot be kept" in caplog.text


def test_a_packed_file_with_another_digest_is_refused_with_both(
    packed: tuple[WeightsFile, Network], tmp_path: Path
) -> None:
    wrong = replace(packed[0], sha256="ab" * 32)
    with pytest.raises(WeightsError, match=f"expected sha256 {'ab' * 32}, met {packed[0].sha256}"):
        store.load(wrong, ["conv1_1"], cache=tmp_path / "cache")


def test_verifying_finds_damage_in_any_layer_of_imported_weights(
    packed: tuple[WeightsFile, Network], tmp_path: Path
) -> None:
    path = networks.save_torch(tmp_path / "x.pth", networks.network())
    file = import_file(path, home=tmp_path / "home")
    store.verify(file)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 128]))
    with pytest.raises(WeightsError, match="is not what was written"):
        store.verify(file)


def test_the_bundled_weights_are_vgg19s_and_their_copy_is_read_without_torch(
    tmp_path: Path,
) -> None:
    mean, met = store.load(weights.locate(), ["conv1_1", "conv5_1"], cache=tmp_path)
    assert mean == RGB_MEAN
    assert met["conv5_1.weight"].shape == (512, 512, 3, 3)
    assert met["conv1_1.weight"].dtype == np.float32
    code = (
        "import sys; from pathlib import Path;"
        "from stylewatch_painter.network import store, weights;"
        "store.load(weights.locate(), ['conv1_1'], cache=Path(sys.argv[1]));"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 0
