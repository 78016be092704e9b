"""Animations and contact sheets; a fault at one file does not affect the others."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import (
    BLUE,
    GREEN,
    RED,
    gone,
    is_near,
    painting,
    source,
)
from tests.painter.films import film, flat

from stylewatch_daemon.artifacts import drawing
from stylewatch_daemon.artifacts.drawing import draw, job_sheet, thumbnail
from stylewatch_daemon.artifacts.request import ArtifactRequest, Source
from stylewatch_daemon.settings.job import ARTIFACTS
from stylewatch_painter.images import sheet
from stylewatch_painter.images.sheet import Cell
from stylewatch_painter.stage import Pixels

MAX_PIXELS = 1_000_000
KINDS = {"progress.webp": "WEBP", "progress.gif": "GIF", "sheet.png": "PNG"}


def test_each_file_has_the_format_of_its_name(tmp_path: Path) -> None:
    request = painting(tmp_path, wanted=ARTIFACTS)
    curve, *pictures = draw(request)
    assert (curve.name, curve.content[:5]) == ("losses.svg", b"<svg ")
    files = {file.name: Image.open(io.BytesIO(file.content)).format for file in pictures}
    assert files == KINDS
    assert {curve.name, *files} == {*ARTIFACTS}


def test_a_fault_at_one_file_is_its_problem_and_the_next_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"progress.webp": MemoryError(), "progress.gif": KeyError("x")}

    def fail(_: object, format: str) -> bytes:
        raise errors[f"progress.{format}"]

    monkeypatch.setattr(drawing, "animation", fail)
    *failed, drawn = draw(painting(tmp_path, wanted=[*errors, "sheet.png"]))
    problems = ["there was not enough memory", "a fault of stylewatch, KeyError"]
    for file, problem in zip(failed, problems, strict=True):
        assert file.problem.startswith(problem) and not file.content
    assert drawn.content and not drawn.problem


# Thumbnails


def test_a_picture_is_read_from_any_of_its_paths_if_it_is_the_same(tmp_path: Path) -> None:
    picture = source(tmp_path / "published/a.png", RED)
    picture = replace(picture, paths=(str(tmp_path / "staging/a.png"), *picture.paths))
    large = thumbnail(picture, 480, MAX_PIXELS)
    assert large is not None and large.shape == (36, 48, 3), "it is not enlarged"
    source(tmp_path / "published/a.png", GREEN)
    assert thumbnail(picture, 24, MAX_PIXELS) is None


# Animations


def frames(request: ArtifactRequest, format: str) -> list[tuple[Image.Image, int]]:
    """All frames, each with its milliseconds."""
    image = Image.open(io.BytesIO(drawing.animation(request, format)))
    assert image.info["loop"] == 0
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append((image.convert("RGB"), int(image.info["duration"])))
    return frames


@pytest.mark.parametrize("format", ["webp", "gif"])
def test_an_animation_leads_from_the_content_to_the_final_picture(
    format: str, tmp_path: Path
) -> None:
    request = painting(tmp_path, stages=3)
    shown = frames(request, format)
    assert [time for _, time in shown] == [1000, 400, 400, 400, 2500]
    assert is_near(shown[0][0].getpixel((5, 5)), RED)
    assert is_near(shown[-1][0].getpixel((5, 5)), GREEN)
    small = source(tmp_path / "stages/0000.png", (9, 9, 99), size=(12, 9))
    stages = (small, gone(request.stages[1]), request.stages[2])
    shown = frames(replace(request, content=None, stages=stages), format)
    assert {image.size for image, _ in shown} == {(48, 36)} and len(shown) == 3
    gone_content = gone(request.content) if request.content else None
    shown = frames(replace(request, content=gone_content), format)
    assert [time for _, time in shown] == [400, 400, 400, 2500], "a stage is not the content image"
    assert len(frames(painting(tmp_path, stages=45), format)) == drawing.MAX_FRAMES[format]


def test_of_a_film_the_first_frame_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [flat(color) for color in (GREEN, RED)]
    path = film(tmp_path / "film.mkv", "ffv1", frames=pages, pix_fmt="bgr0")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pixels = thumbnail(Source((str(path),), digest), 32, MAX_PIXELS)
    assert pixels is not None and pixels.shape == (24, 32, 3)
    assert is_near(pixels.mean(axis=(0, 1)), GREEN)
    assert thumbnail(Source((str(path),), "a" * 64), 32, MAX_PIXELS) is None
    monkeypatch.setattr(drawing, "is_film", lambda path: path.suffix == ".mkv")
    assert thumbnail(Source((str(tmp_path / "gone.mkv"),), ""), 32, MAX_PIXELS) is None


def test_a_sheet_has_inputs_and_final_picture_then_stages_in_whole_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[list[str]] = []
    draw_sheet = sheet.draw

    def record(cells: list[list[Cell]], side: int) -> Pixels:
        rows[:] = [[cell.label for cell in row] for row in cells]
        return draw_sheet(cells, side)

    monkeypatch.setattr(sheet, "draw", record)
    request = painting(tmp_path, stages=2)
    image = Image.open(io.BytesIO(job_sheet(request))).convert("RGB")
    assert rows == [["content", "style", "final"], ["step 1", "step 2"]]
    pixels = np.asarray(image, dtype=int)
    for color in (RED, GREEN, BLUE):
        assert (np.abs(pixels - color).max(axis=-1) < 3).sum() > 300
    first, second = request.stages
    job_sheet(replace(request, stages=(gone(first), second), styles=(gone(request.styles[0]),)))
    assert rows == [["content", "style", "final"], ["step 2"]], "a missing input is an empty cell"


def test_letters_beyond_latin_are_drawn_with_a_font_of_the_system_or_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sheet, "_MORE_LETTERS", ("no such font.ttf", "DejaVuSans.ttf"))
    label = "\u041d\u043e\u0447\u044c"
    drawn = sheet.draw([[Cell(label)]], 200)
    assert (drawn < 128).any()
    monkeypatch.setattr(sheet, "_MORE_LETTERS", ("no such font.ttf",))
    assert sheet.draw([[Cell(label)]], 200).shape[2] == 3
