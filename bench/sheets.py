"""Sheets to judge paintings by eye, without knowing whose is whose."""

import random
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

GAP, LINE = 12, 22  # pixels
BACKGROUND, INK = "white", "black"


def blinded(
    shown: Sequence[Image.Image], hidden: Mapping[str, Image.Image], chance: random.Random
) -> tuple[Image.Image, dict[str, str]]:
    """A sheet, and its key: above what is `shown`, below what is `hidden`, in an order by chance.

    Paintings have one size. They are marked A, B, C ...; the key says which name each of them has.
    """
    order = list(hidden)
    chance.shuffle(order)
    key = {chr(ord("A") + place): name for place, name in enumerate(order)}
    paintings = [hidden[name] for name in order]
    high = paintings[0].height
    above = [_as_high(one, high) for one in shown]
    rows = [([" "] * len(above), above), (list(key), paintings)]
    width = max(sum(one.width + GAP for one in row) for _, row in rows) + GAP
    height = 2 * (high + LINE + GAP) + GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    pen, top = ImageDraw.Draw(sheet), GAP
    for marks, row in rows:
        left = GAP
        for mark, one in zip(marks, row, strict=True):
            sheet.paste(one, (left, top))
            pen.text((left, top + high + 2), mark, fill=INK, font_size=LINE - 6)
            left += one.width + GAP
        top += high + LINE + GAP
    return sheet, key


def _as_high(picture: Image.Image, height: int) -> Image.Image:
    """A picture, brought to a height."""
    width = round(picture.width * height / picture.height)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
