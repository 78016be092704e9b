"""Taking over a file of one's own."""

from hashlib import md5, sha256
from pathlib import Path

import numpy as np
import pytest
from tests.painter import networks

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import weights
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.store import load
from stylewatch_painter.network.weights import LAYERS, Known


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.narrow(monkeypatch)


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A torch file whose names do not tell which pictures it was trained on."""
    return networks.save_torch(tmp_path / "My VGG.pth", networks.numbered(networks.network()))


def _known(path: Path, normalization: str, *, algorithm: str = "sha256", digits: int = 8) -> Known:
    digest = {"sha256": sha256, "md5": md5}[algorithm](path.read_bytes()).hexdigest()[:digits]
    return Known("official", path.name, algorithm, digest, "a test", normalization, "o", "l")


def test_an_imported_file_is_listed_with_its_digest_and_leaves_the_original_alone(
    tmp_path: Path, numbered: Path
) -> None:
    before = numbered.read_bytes()
    file = import_file(numbered, home=tmp_path / "home", normalization="caffe")
    assert file.name == "my-vgg"
    assert file.sha256 == sha256(before).hexdigest()
    assert file.mean == (123.68, 116.779, 103.939)
    assert weights.locate("my-vgg", home=tmp_path / "home") == file
    assert numbered.read_bytes() == before


def test_a_file_whose_names_do_not_tell_needs_the_normalization(
    tmp_path: Path, numbered: Path
) -> None:
    with pytest.raises(WeightsError, match=r"say `--normalization torchvision` .* or `--norm"):
        import_file(numbered, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("algorithm", "digits"), [("sha256", 8), ("sha256", 64), ("md5", 32)])
def test_a_file_with_a_known_digest_needs_none_and_gets_its_known_name(
    tmp_path: Path, numbered: Path, algorithm: str, digits: int
) -> None:
    entry = _known(numbered, "torchvision", algorithm=algorithm, digits=digits)
    file = import_file(numbered, home=tmp_path / "home", catalogue=[entry])
    assert (file.name, file.origin, file.license) == ("official", "o", "l")
    assert file.mean == pytest.approx((123.675, 116.28, 103.53))


def test_a_known_name_without_its_digest_proves_nothing(tmp_path: Path, numbered: Path) -> None:
    path = numbered.rename(tmp_path / "vgg19-dcbb9e9d.pth")
    with pytest.raises(WeightsError, match="its digest is not known"):
        import_file(path, home=tmp_path / "home")


def test_a_name_that_is_taken_is_not_overwritten(tmp_path: Path, numbered: Path) -> None:
    import_file(numbered, home=tmp_path / "home", normalization="caffe", name="mine")
    other = networks.save_torch(tmp_path / "mine.pth", networks.network(1))
    with pytest.raises(WeightsError, match="'mine' already names other weights"):
        import_file(other, home=tmp_path / "home")


@pytest.mark.parametrize("name", ["bundled", "../out", "Mine", "a b", ".hidden"])
def test_names_that_would_mislead_are_refused(tmp_path: Path, numbered: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"--name|cannot name weights"):
        import_file(numbered, home=tmp_path / "home", normalization="caffe", name=name)
    assert not (tmp_path / "home").exists()


def test_a_file_of_our_own_form_moves_between_machines_with_all_it_says(
    tmp_path: Path, numbered: Path
) -> None:
    here = import_file(numbered, home=tmp_path / "here", normalization="torchvision")
    there = import_file(here.path, home=tmp_path / "there")
    assert there.sha256 == here.sha256
    assert there.mean == here.mean
    some, others = (load(file, LAYERS)[1] for file in (here, there))
    assert networks.same(some, others)


def test_what_is_not_vgg19_leaves_nothing_behind(tmp_path: Path) -> None:
    arrays = networks.network()
    arrays["conv5_4.bias"] = np.zeros(1, dtype=np.float32)
    path = networks.save_torch(tmp_path / "x.pth", arrays)
    with pytest.raises(WeightsError, match="is not VGG19"):
        import_file(path, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
