"""Animations, sheets and small pictures of a job."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import BLUE, GREEN, RED, gone, is_near, painting, seen
from tests.painter.deep import png

from stylewatch_daemon.artifacts import drawing
from stylewatch_daemon.artifacts.contract import Keepsakes, Seen
from stylewatch_daemon.artifacts.drawing import small
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import sheet
from stylewatch_painter.images.sheet import Cell
from stylewatch_painter.stage import Pixels

MAX_PIXELS = 1_000_000
FORMATS = pytest.mark.parametrize("format", ["webp", "gif"])


def test_a_picture_is_shrunk_and_never_enlarged(tmp_path: Path) -> None:
    source = seen(tmp_path / "a.png", size=(48, 36))
    for side, shape in ((24, (18, 24, 3)), (480, (36, 48, 3))):
        pixels = small(source, side, MAX_PIXELS)
        assert pixels is not None and pixels.shape == shape and is_near(pixels[0, 0], RED)


def test_a_picture_is_found_in_any_of_its_places_if_it_is_the_same(tmp_path: Path) -> None:
    source = seen(tmp_path / "published/a.png", RED)
    source = replace(source, paths=(str(tmp_path / "staging/a.png"), *source.paths))
    assert small(source, 24, MAX_PIXELS) is not None
    assert small(gone(source), 24, MAX_PIXELS) is None
    seen(tmp_path / "published/a.png", GREEN)
    assert small(source, 24, MAX_PIXELS) is None
    assert small(replace(source, sha256=""), 24, MAX_PIXELS) is not None


def test_a_file_that_is_no_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"a\.png holds text"):
        small(Seen((str(tmp_path / "a.png"),)), 24, MAX_PIXELS)


def test_transparent_pictures_are_white_and_deep_ones_keep_their_levels(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    (tmp_path / "deep.png").write_bytes(png(np.full((6, 8, 3), 257 * 90, dtype=np.uint16)))
    for name, color in (("clear.png", (255, 255, 255)), ("deep.png", (90, 90, 90))):
        pixels = small(Seen((str(tmp_path / name),)), 24, MAX_PIXELS)
        assert pixels is not None and is_near(pixels[0, 0], color)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_a_large_picture_looks_the_same_when_small(mode: str, tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize((900, 600))
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.merge("RGB", (ramp,) * 3).convert(mode).save(path)
    reduced, full = (small(Seen((str(path),)), side, MAX_PIXELS) for side in (60, 900))
    assert reduced is not None and full is not None and reduced.shape == (40, 60, 3)
    assert np.abs(reduced - full[7::15, 7::15]).max() < 6


def frames(request: Keepsakes, format: str) -> list[tuple[Image.Image, int]]:
    """All frames, each with its milliseconds."""
    image = Image.open(io.BytesIO(drawing.animation(request, format)))
    assert image.format == format.upper() and image.info["loop"] == 0
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        found.append((image.convert("RGB"), int(image.info["duration"])))
    return found


@FORMATS
def test_an_animation_leads_from_the_content_to_the_final_picture(
    format: str, tmp_path: Path
) -> None:
    request = painting(tmp_path, stages=3)
    found = frames(request, format)
    assert [time for _, time in found] == [1000, 400, 400, 400, 2500]
    assert is_near(found[0][0].getpixel((5, 5)), RED)
    assert is_near(found[-1][0].getpixel((5, 5)), GREEN)
    first = seen(tmp_path / "stages/0000.png", (9, 9, 99), size=(12, 9))
    texture = replace(request, content=None, stages=(first, *request.stages[1:]))
    found = frames(texture, format)
    assert [time for _, time in found] == [400, 400, 400, 2500]
    assert {image.size for image, _ in found} == {(48, 36)}


@FORMATS
def test_large_frames_are_shrunk_and_stages_thinned_out(format: str, tmp_path: Path) -> None:
    large = seen(tmp_path / "large.png", GREEN, size=(1700, 1000))
    found = frames(replace(painting(tmp_path, stages=70), final=large), format)
    assert found[0][0].size[0] == drawing.FRAME_SIDE[format]
    assert len(found) == drawing.MAX_FRAMES[format]


def test_an_animation_leaves_out_missing_stages(tmp_path: Path) -> None:
    request = painting(tmp_path)
    first, *others = request.stages
    assert len(frames(replace(request, stages=(gone(first), *others)), "webp")) == 4
    single = replace(request, content=None, stages=())
    image = Image.open(io.BytesIO(drawing.animation(single, "webp")))
    assert image.size == (48, 36)
    with pytest.raises(PictureError, match="none of its pictures"):
        drawing.animation(replace(single, final=gone(request.final)), "webp")


def test_each_frame_of_a_gif_has_its_own_palette(tmp_path: Path) -> None:
    request = painting(tmp_path, stages=0)
    ramp = Image.linear_gradient("L").resize((48, 36))
    black = Image.new("L", (48, 36))
    Image.merge("RGB", (ramp, black, black)).save(tmp_path / "content.png")
    Image.merge("RGB", (black, black, ramp)).save(tmp_path / "final.png")
    assert request.content is not None
    request = replace(
        request,
        content=replace(request.content, sha256=""),
        final=replace(request.final, sha256=""),
    )
    for (image, _), channel in zip(frames(request, "gif"), (0, 2), strict=True):
        assert len(image.getchannel(channel).getcolors() or []) > 30


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The labels on the sheets that are drawn, row by row."""
    labels: list[list[str]] = []
    draw = sheet.draw

    def record(cells: list[list[Cell]], side: int) -> Pixels:
        labels.extend([cell.label for cell in row] for row in cells)
        return draw(cells, side)

    monkeypatch.setattr(sheet, "draw", record)
    return labels


def test_a_sheet_has_inputs_and_final_picture_then_stages(
    rows: list[list[str]], tmp_path: Path
) -> None:
    image = Image.open(io.BytesIO(drawing.job_sheet(painting(tmp_path, stages=2)))).convert("RGB")
    assert rows == [["content", "style", "final"], ["step 1", "step 2"]]
    assert image.size[0] < 3 * drawing.MIN_SIDE, "a small picture is not enlarged"
    pixels = np.asarray(image, dtype=int)
    for color in (RED, GREEN, BLUE):
        assert (np.abs(pixels - color).max(axis=-1) < 3).sum() > 300


def test_many_stages_fill_whole_rows(rows: list[list[str]], tmp_path: Path) -> None:
    request = painting(tmp_path, stages=60)
    drawing.job_sheet(request)
    assert [len(row) for row in rows] == [3, 3, 3, 3]
    assert rows[1][0] == "step 1" and rows[-1][-1] == "step 60"
    rows.clear()
    drawing.job_sheet(replace(request, styles=request.styles * 2))
    assert [len(row) for row in rows] == [4, 4, 4]


def test_a_missing_stage_is_left_out_and_a_missing_input_is_an_empty_cell(
    rows: list[list[str]], tmp_path: Path
) -> None:
    request = painting(tmp_path, stages=2)
    first, second = request.stages
    (style,) = request.styles
    drawing.job_sheet(replace(request, stages=(gone(first), second), styles=(gone(style),)))
    assert rows == [["content", "style", "final"], ["step 2"]]
