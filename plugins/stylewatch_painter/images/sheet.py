"""Drawing of sheets of labeled pictures in rows."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stylewatch_painter.stage import Pixels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SIDE = 320
"""Maximum side of a picture on a sheet, in pixels."""

_PAPER = "#ffffff"
_INK = "#202020"
_NOTHING = "#e8e8e8"
_LETTERS = 16  # ratio of a picture's side to the height of letters
_LEAST = 13  # minimum height of letters in pixels, for legibility
_LABEL = 9  # minimum width available to a label, in heights of letters
_LINE = 1.35  # distance of lines, in heights of letters
_LATIN = "\u017f"  # the last letter in Pillow's own font
_MORE_LETTERS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf")
"""Fonts with more letters, in the systems' folders of fonts; the first one installed is used."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell of a sheet: a picture, float32 (height, width, 3), 0..255, or None, and its label.

    A label may have several lines.
    """

    label: str = ""
    picture: Pixels | None = None


def draw(rows: Sequence[Sequence[Cell]], side: int = SIDE) -> Pixels:
    """Return a sheet of `rows`, float32 (height, width, 3), 0..255.

    Pictures are shrunk to fit a square of `side` pixels, never enlarged or stretched, with their
    labels below. Labels are cut to `side`, or to about 14 letters if that is wider. A gray field
    represents a missing picture.
    """
    letter = max(_LEAST, side // _LETTERS)
    strips = [_strips(row, side, letter) for row in rows]
    wide = max(strip.width for row in strips for strip in row)
    heights = [max(strip.height for strip in row) + letter for row in strips]
    size = letter + max(len(row) for row in rows) * (wide + letter), letter + sum(heights)
    sheet = Image.new("RGB", size, _PAPER)
    for row, top in zip(strips, accumulate(heights, initial=letter), strict=False):
        for column, strip in enumerate(row):
            left = letter + column * (wide + letter) + (wide - strip.width) // 2
            sheet.paste(strip, (left, top))
    return np.asarray(sheet, dtype=np.float32)


def _strips(row: Sequence[Cell], side: int, letter: int) -> list[Image.Image]:
    """Return the pictures of a row, aligned at the bottom, with their labels below.

    `letter` is the height of letters in pixels.
    """
    empty = Image.new("RGB", (side * 3 // 4, side * 3 // 4), _NOTHING)
    pictures = [empty if c.picture is None else _image(c.picture, side) for c in row]
    tall = max(picture.height for picture in pictures)
    step = round(_LINE * letter)
    strips = []
    for picture, cell in zip(pictures, row, strict=True):
        font = _font(cell.label, letter)
        widest = max(side, _LABEL * letter)
        lines = [_fitting(line, font, widest) for line in cell.label.splitlines()]
        width = max(picture.width, *(math.ceil(font.getlength(line)) for line in lines), 0)
        strip = Image.new("RGB", (width, tall + step // 3 + step * len(lines)), _PAPER)
        strip.paste(picture, ((width - picture.width) // 2, tall - picture.height))
        ink = ImageDraw.Draw(strip)
        for number, line in enumerate(lines):
            at = (width / 2, tall + step // 3 + number * step)
            ink.text(at, line, _INK, font, anchor="ma")
        strips.append(strip)
    return strips


def _font(label: str, letter: int) -> Font:
    """Return Pillow's own font, or a font of the system if Pillow's lacks letters of the label."""
    is_latin = label.isascii() or max(label) <= _LATIN
    for name in () if is_latin else _MORE_LETTERS:
        with suppress(OSError):  # it is not installed
            return ImageFont.truetype(name, letter)
    return ImageFont.load_default(letter)


def in_rows(cells: Sequence[Cell], columns: int) -> list[Sequence[Cell]]:
    """Arrange cells in rows of `columns`; the last row may be shorter."""
    return [cells[at : at + columns] for at in range(0, len(cells), columns)]


def shrunk(picture: Pixels, side: int = SIDE) -> Pixels:
    """Shrink a picture, float32 (height, width, 3), to its size on a sheet, to save memory."""
    return np.asarray(_image(picture, side), dtype=np.float32)


def _image(picture: Pixels, side: int) -> Image.Image:
    image = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _fitting(line: str, font: Font, width: int) -> str:
    """Shorten `line` to at most `width` pixels, with an ellipsis at the end."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}...") > width:
        line = line[:-1]
    return f"{line}..."
