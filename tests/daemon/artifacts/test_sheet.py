"""The sheet of a painting: what it came from, what it became, and the way there."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import BLUE, GREEN, RED, gone, painting

from stylewatch_daemon.artifacts import sheet
from stylewatch_daemon.artifacts.contract import Keepsakes
from stylewatch_painter.images import sheet as painter_sheet
from stylewatch_painter.images.sheet import Cell
from stylewatch_painter.stage import Pixels


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The labels on the sheets that are drawn, row by row."""
    seen: list[list[str]] = []
    real = painter_sheet.draw

    def draw(cells: list[list[Cell]], side: int) -> Pixels:
        seen.extend([one.label for one in row] for row in cells)
        return real(cells, side)

    monkeypatch.setattr(painter_sheet, "draw", draw)
    return seen


def drawn(asked: Keepsakes) -> Image.Image:
    return Image.open(io.BytesIO(sheet.draw(asked))).convert("RGB")


def test_all_its_pictures_are_on_it(tmp_path: Path) -> None:
    pixels = np.asarray(drawn(painting(tmp_path)), dtype=int)
    for color in (RED, GREEN, BLUE, (37, 91, 60)):
        assert (np.abs(pixels - color).max(axis=-1) < 3).sum() > 300


def test_the_first_row_is_what_it_came_from_and_became(
    rows: list[list[str]], tmp_path: Path
) -> None:
    drawn(painting(tmp_path, stages=2))
    assert rows == [["content", "style", "final"], ["step 1", "step 2"]]


def test_of_many_stages_those_are_chosen_that_fill_rows(
    rows: list[list[str]], tmp_path: Path
) -> None:
    drawn(painting(tmp_path, stages=60))
    assert [len(row) for row in rows] == [3, 3, 3, 3]
    assert rows[1][0] == "step 1" and rows[-1][-1] == "step 60"
    rows.clear()
    asked = painting(tmp_path, stages=60)
    drawn(replace(asked, styles=asked.styles * 2))
    assert [len(row) for row in rows] == [4, 4, 4]


def test_a_stage_that_is_gone_is_left_out_and_an_input_has_an_empty_field(
    rows: list[list[str]], tmp_path: Path
) -> None:
    asked = painting(tmp_path, stages=2)
    first, second = asked.stages
    (style,) = asked.styles
    drawn(replace(asked, stages=(gone(first), second), styles=(gone(style),)))
    assert rows == [["content", "style", "final"], ["step 2"]]


def test_beside_a_small_painting_the_others_are_shown_as_small(tmp_path: Path) -> None:
    assert drawn(painting(tmp_path)).size[0] < 3 * sheet.LEAST_SIDE
