"""The animation: from the photograph, by the stages, to the painting, in frames of one size."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import GREEN, RED, gone, is_near, painting, seen

from stylewatch_daemon.artifacts import animation
from stylewatch_daemon.artifacts.contract import Keepsakes
from stylewatch_painter.errors import PictureError

BOTH = pytest.mark.parametrize("format", ["webp", "gif"])


def frames(asked: Keepsakes, format: str) -> list[tuple[Image.Image, int]]:
    """All frames, each with its milliseconds."""
    image = Image.open(io.BytesIO(animation.draw(asked, format)))
    assert image.format == format.upper() and image.info["loop"] == 0
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        found.append((image.convert("RGB"), int(image.info["duration"])))
    return found


@BOTH
def test_it_leads_from_the_photograph_to_the_painting_which_is_shown_longest(
    format: str, tmp_path: Path
) -> None:
    found = frames(painting(tmp_path, stages=3), format)
    assert [time for _, time in found] == [1000, 400, 400, 400, 2500]
    assert is_near(found[0][0].getpixel((5, 5)), RED)
    assert is_near(found[-1][0].getpixel((5, 5)), GREEN)


@BOTH
def test_frames_are_of_one_size_however_large_the_stages_were(format: str, tmp_path: Path) -> None:
    asked = painting(tmp_path)
    small = seen(tmp_path / "stages/0000.png", (9, 9, 99), size=(12, 9))
    found = frames(replace(asked, stages=(small, *asked.stages)), format)
    assert {image.size for image, _ in found} == {(48, 36)}


@BOTH
def test_large_paintings_are_shrunk_and_many_stages_are_thinned_out(
    format: str, tmp_path: Path
) -> None:
    asked = painting(tmp_path, stages=70)
    large = seen(tmp_path / "large.png", GREEN, size=(1700, 1000))
    found = frames(replace(asked, final=large), format)
    assert found[0][0].size[0] == animation.SIDES[format]
    assert len(found) == animation.MOST[format]


@BOTH
def test_without_a_photograph_it_begins_with_the_first_stage(format: str, tmp_path: Path) -> None:
    found = frames(replace(painting(tmp_path), content=None), format)
    assert [time for _, time in found] == [400, 400, 400, 2500]


def test_stages_that_are_gone_are_left_out(tmp_path: Path) -> None:
    asked = painting(tmp_path)
    first, *others = asked.stages
    assert len(frames(replace(asked, stages=(gone(first), *others)), "webp")) == 4
    nothing = replace(asked, content=None, stages=(), final=gone(asked.final))
    with pytest.raises(PictureError, match="none of its pictures"):
        animation.draw(nothing, "webp")


def test_a_single_picture_is_an_animation_too(tmp_path: Path) -> None:
    asked = replace(painting(tmp_path), content=None, stages=())
    image = Image.open(io.BytesIO(animation.draw(asked, "webp")))
    assert image.size == (48, 36)


def test_colors_of_a_gif_are_those_that_suit_each_frame(tmp_path: Path) -> None:
    """A palette for all of them would have none of the many reds, or none of the many blues."""
    asked = painting(tmp_path, stages=0)
    reds = Image.linear_gradient("L").resize((48, 36))
    black = Image.new("L", (48, 36))
    Image.merge("RGB", (reds, black, black)).save(tmp_path / "content.png")
    Image.merge("RGB", (black, black, reds)).save(tmp_path / "final.png")
    asked = replace(
        asked,
        content=replace(asked.content or asked.final, sha256=""),
        final=replace(asked.final, sha256=""),
    )
    for (image, _), channel in zip(frames(asked, "gif"), (0, 2), strict=True):
        assert len(image.getchannel(channel).getcolors() or []) > 30
