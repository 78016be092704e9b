"""Masks are held against their pictures, and against one another, before a job is queued."""

from pathlib import Path

import pytest
from PIL import Image

from stylewatch_daemon.ingest.inspection.contract import Fine, Question, Refused
from stylewatch_daemon.ingest.inspection.inspect import examine


@pytest.fixture
def place(tmp_path: Path) -> Path:
    Image.new("RGB", (60, 40), "gray").save(tmp_path / "content.jpg")
    Image.new("RGB", (30, 40), "gray").save(tmp_path / "style-1.jpg")
    Image.new("RGB", (50, 40), "gray").save(tmp_path / "style-2.jpg")
    return tmp_path


def reason(place: Path, **masks: Image.Image) -> str:
    """Why a job with these masks is refused; empty where it is not."""
    files = [("content", "content.jpg"), ("style", "style-1.jpg"), ("style", "style-2.jpg")]
    for whose, mask in masks.items():
        role = f"{whose.replace('_', '-')}-mask"
        mask.save(place / f"{role}.png")
        files.append((role, f"{role}.png"))
    roles, names = zip(*files, strict=True)
    paths = tuple(place / name for name in names)
    *_, said = examine(Question("1", paths, 10_000, place / "thumbs", roles))
    assert isinstance(said, Fine | Refused)
    return said.reason if isinstance(said, Refused) else ""


def test_masks_that_lie_over_their_pictures_are_fine(place: Path) -> None:
    red, both = Image.new("RGB", (30, 40), "red"), Image.new("RGB", (120, 80), "red")
    both.paste("blue", (60, 0, 120, 80))
    assert reason(place, content=both, style_1=red) == ""
    assert reason(place, content=Image.new("L", (30, 20), 255)) == ""


def test_a_mask_is_held_against_its_own_picture(place: Path) -> None:
    told = reason(place, style_1=Image.new("L", (50, 40), 255))
    assert "style-1-mask.png has 50x40 pixels and style-1.jpg 30x40, which is another" in told
    assert reason(place, style_2=Image.new("L", (50, 40), 255)) == ""


def test_what_a_mask_lacks_is_told(place: Path) -> None:
    black = Image.new("L", (60, 40), 0)
    assert "content-mask.png is black all over" in reason(place, content=black)
    red, blue = (Image.new("RGB", size, color) for size, color in
                 (((60, 40), "red"), ((30, 40), "blue")))  # fmt: skip
    green = Image.new("RGB", (50, 40), "green")
    assert "has the color #ff0000" in reason(place, content=red, style_1=blue, style_2=green)


def test_masks_are_pictures_with_the_limits_of_pictures(place: Path) -> None:
    assert "the limit is 10,000 pixels" in reason(place, content=Image.new("L", (600, 400), 255))
