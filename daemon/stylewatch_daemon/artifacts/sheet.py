"""Draws sheet.png of a painting: what it was made from and became, and below it the way there."""

from stylewatch_daemon.artifacts.contract import Keepsakes, Seen
from stylewatch_daemon.artifacts.pictures import small
from stylewatch_daemon.artifacts.sampling import evenly
from stylewatch_painter.images import sheet
from stylewatch_painter.images.encode import encode

LEAST_SIDE = 200
"""Pixels; pictures as small as that stand beside labels that need no less."""

MOST_STAGES = 9
MOST_COLUMNS = 5
LEAST_COLUMNS = 3


def draw(asked: Keepsakes) -> bytes:
    """The sheet, as PNG: content, styles and the painting, then stages, evenly chosen, in rows.

    Raises PictureError, SaveError.
    """
    side = _side(asked)
    head = [*([asked.content] if asked.content else []), *asked.styles, asked.final]
    columns = min(MOST_COLUMNS, max(LEAST_COLUMNS, len(head)))
    found = [(one, _cell(one, side, asked.max_pixels)) for one in (*head, *_chosen(asked, columns))]
    top = [cell for _, cell in found[: len(head)]]
    way = [cell for _, cell in found[len(head) :] if cell.picture is not None]
    return encode(sheet.draw([*sheet.in_rows(top, columns), *sheet.in_rows(way, columns)], side))


def _side(asked: Keepsakes) -> int:
    """Of a small painting, which is not enlarged, the others are shown as small."""
    final = small(asked.final, sheet.SIDE, asked.max_pixels)
    return sheet.SIDE if final is None else max(LEAST_SIDE, *final.shape[:2])


def _chosen(asked: Keepsakes, columns: int) -> list[Seen]:
    """Stages that fill whole rows, where there are enough for one."""
    count = min(len(asked.stages), MOST_STAGES)
    whole = count - count % columns if count > columns else count
    return [asked.stages[number] for number in evenly(len(asked.stages), whole)]


def _cell(seen: Seen, side: int, max_pixels: int) -> sheet.Cell:
    return sheet.Cell(seen.label, small(seen, side, max_pixels))
