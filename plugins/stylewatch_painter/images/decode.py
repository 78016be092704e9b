"""Decoding of picture files to upright pictures in sRGB, reduced if fewer pixels are enough."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import encoding, profiles
from stylewatch_painter.images.encoding import Encoding
from stylewatch_painter.images.loaders import SWAPPED, Loaded, Source, opened
from stylewatch_painter.images.metadata import NO_TAGS, Tags, tags_of
from stylewatch_painter.images.vips import hearing
from stylewatch_painter.process_memory import installed
from stylewatch_painter.size import Size

FULL_DECODING_PIXELS = 40_000_000
"""Default number of pixels up to which a picture is decoded in full (`NeededSize.above`)."""

OVERSAMPLING = 2
"""Minimum ratio of the sides of a reduced picture to the needed sides."""

_FLOAT_BYTES = 28
"""Bytes per pixel of a picture that is decoded in full: its floats, and the values that they are
made from."""

_WHITES = (1, 255, 65535, 2**31 - 1, 2**32 - 1)
"""Usual values of white in pictures of 32 bits per channel, whose files do not state white; 1 is
for floats only."""

_MOST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}

_OVERSHOOT = 1.5
"""Maximum ratio to white of the values of a picture in integers of 32 bits, because resampling can
raise values above white."""

_BRIGHTEST = 16
"""Maximum ratio of the brightest light to white in a picture of floats. It is about the square root
of 255, the ratio of two usual whites."""

_MOSTLY = 99
"""Percentile of the values from which white is derived; a few larger values are ignored."""

_MEGA = 1_000_000

HIDDEN = "alpha left out, as it hides everything"
"""Phrase for a picture that is transparent everywhere, of which only the colors are used (law
19)."""

_HARMLESS = re.compile(
    r"source: bad seek|unknown JFIF revision|Unknown Adobe color transform|"
    r"Invalid SOS parameters for sequential JPEG"
)
"""Pattern for messages that libraries also write about undamaged pictures. Any other message,
except one that matches `_STRAY`, means damage (law 19)."""

_DAMAGED = re.compile(r"Corrupt JPEG data: (.*)")
"""Pattern for messages of libjpeg about pictures that are partly gray or shifted."""

_STRAY = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker")
_MOST_STRAY, _MOST_UNREAD = 64, 32
"""Maximum numbers of bytes that cameras leave unused in undamaged pictures: between markers, and at
the end."""


@dataclass(frozen=True)
class NeededSize:
    """The size at which a picture is needed, so that a larger picture can be decoded reduced.

    `shown` is the largest size that the upright picture will be resized to, or a function that
    computes it from the picture's full size. `reduce` is `box` to average pixels, or `nearest` to
    pick pixels, for masks. A picture of at most `above` pixels is decoded in full.
    """

    shown: Size | Callable[[Size], Size]
    reduce: Literal["box", "nearest"] = "box"
    above: int = FULL_DECODING_PIXELS

    def factor(self, size: Size) -> int:
        """Return the integer by which both sides of a picture of `size` can be divided, or 1."""
        if size.area <= self.above:
            return 1
        shown = self.shown(size) if callable(self.shown) else self.shown
        sides = zip(size, shown, strict=True)
        return max(1, min(side // (OVERSAMPLING * needed) for side, needed in sides))


def long_side(side: int) -> Callable[[Size], Size]:
    """Return a function that scales the size of a picture to a long side of `side` pixels."""
    return lambda size: Size(*(max(1, round(each * side / size.long)) for each in size))


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture, upright, in sRGB.

    `values` is (height, width, bands), with 1 band of gray or 3 of color, and one more for alpha if
    `has_alpha`; it is uint8, uint16, float32 or float64. Black is 0 and white is `white`; float64
    values can be outside of this range. `conversions` has a phrase for each conversion, and
    `warnings` has sentences about possible faults. `size` is the upright size of the picture in the
    file, and `tags` is the file's metadata.
    """

    values: NDArray[Any]
    white: int
    has_alpha: bool
    conversions: tuple[str, ...]
    size: Size
    tags: Tags = NO_TAGS
    warnings: tuple[str, ...] = ()


def upright_size(data: bytes, max_pixels: int) -> Size:
    """Return the upright size of the picture in `data`, without decoding its pixels.

    Call this inside of a `read.decoding` context. Raises PictureError if the file is unsupported,
    exceeds a limit, or needs a missing extra, LibraryError if a library cannot be loaded, and any
    error of a library for data that it cannot read.
    """
    return opened(data, max_pixels).upright


def decode(data: bytes, max_pixels: int, needed_size: NeededSize | None = None) -> Raster:
    """Decode the main picture in `data`.

    Call this inside of a `read.decoding` context. With `needed_size` a large picture may be decoded
    reduced.

    Raises:
        PictureError: the picture has more than `max_pixels` or takes too much memory, its values
            are not finite, its colors cannot be converted, it is damaged, or an extra is missing.
        Exception: any error of a library for data that it cannot decode.
    """
    said: list[str] = []
    with hearing(said):
        source = opened(data, max_pixels)
        conversions = [*source.notes]
        if source.orientation > 1:
            conversions.append(f"turned upright (EXIF orientation {source.orientation})")
        loaded = _loaded(source, needed_size, conversions)
    image = loaded.image
    is_whole = Size(image.width, image.height) == source.size
    if image.get_typeof("palette"):
        conversions.append("palette to RGB")
    stated = loaded.encoding or source.encoding
    hdr = stated if stated is not None and stated.is_hdr else None
    if hdr is None:  # nothing is heard: a damaged profile is left out, and the picture is sound
        image = profiles.to_srgb(image, stated, conversions)
    has_alpha = image.hasalpha()
    with hearing(said):  # pixels are decoded as they are used
        values, white, warnings = _scaled(image, conversions)
    # a reduced picture need not ask for its last rows
    warnings += [*loaded.warnings, *_judged(said, loaded.unread() if is_whole else 0)]
    if has_alpha and not values[..., -1].any():
        values = values[..., :-1]
        has_alpha = False
        conversions.append(HIDDEN)
    if hdr is not None:
        values = _from_hdr(values, white, hdr, has_alpha=has_alpha)
        white = 255
        conversions.append(f"{hdr.name} mapped to the range of sRGB")
    if needed_size is None or needed_size.reduce != "nearest":  # a mask may have one region
        warnings += _flatness(values, has_alpha=has_alpha)
    return Raster(
        _turned(values, source.orientation),
        white,
        has_alpha,
        tuple(conversions),
        source.upright,
        _tags(source, loaded),
        tuple(warnings),
    )


def _loaded(source: Source, needed_size: NeededSize | None, conversions: list[str]) -> Loaded:
    """Load a picture, reduced if `needed_size` allows it.

    A reduction appends a phrase to `conversions`. Raises PictureError if the picture cannot be
    reduced and does not fit in memory.
    """
    size = source.upright
    factor = 1
    shrink = 1
    if needed_size is not None:
        factor = needed_size.factor(size)
        if needed_size.reduce == "box":
            shrink = max((each for each in source.shrinks if each <= factor), default=1)
            factor = factor // shrink * shrink
    if factor == 1:
        _check_whole(size.area)
        return source.load(1)
    conversions.append(f"decoded at 1/{factor} of {size} pixels")
    assert needed_size is not None
    loaded = source.load(shrink)
    return replace(loaded, image=_reduced(loaded.image, factor // shrink, needed_size))


def _tags(source: Source, loaded: Loaded) -> Tags:
    """Return the metadata of a picture that is turned upright."""
    tags = tags_of(loaded.exif or source.exif, source.dpi)
    dpi = tags.dpi
    if dpi is not None and source.orientation in SWAPPED:
        dpi = dpi[1], dpi[0]
    return replace(tags, dpi=dpi, packed=loaded.has_packed_exif)


def _check_whole(pixels: int) -> None:
    """Raise PictureError if a picture above FULL_DECODING_PIXELS does not fit in memory."""
    needed = _FLOAT_BYTES * pixels
    available = installed()
    if pixels > FULL_DECODING_PIXELS and needed > available:
        raise PictureError(
            f"is {pixels / _MEGA:.4g} MP and would be decoded whole for this size, in about "
            f"{needed / 1e9:.2g} GB of memory; there are {available / 1e9:.2g} GB: ask for a "
            "smaller size, or make the picture smaller (limits.max_pixels refuses such pictures)"
        )


def _reduced(image: Any, factor: int, needed_size: NeededSize) -> Any:
    """Reduce a picture by `factor` on each side.

    A pixel of the result is one pixel of a square if `needed_size.reduce` is `nearest`, or else the
    mean of the square. The mean is weighted by alpha, except for CMYK.
    """
    if needed_size.reduce == "nearest":
        return image.subsample(factor, factor)
    if factor == 1:
        return image
    if not image.hasalpha() or image.interpretation == "cmyk":
        return image.shrink(factor, factor, ceil=True)
    alpha = image[-1]  # `premultiply` would have to be told the largest alpha, which varies
    colors = image[:-1].cast("float") * alpha
    is_float = image.format in ("float", "double")
    if is_float:
        colors = (alpha == 0).ifthenelse(0, colors)  # hidden colors may be no numbers
    shown = colors.bandjoin(alpha).shrink(factor, factor, ceil=True)
    alpha = shown[-1]
    shown = (shown[:-1] / alpha).bandjoin(alpha)
    return shown if is_float else shown.rint().cast(image.format)


def _scaled(image: Any, conversions: list[str]) -> tuple[NDArray[Any], int, list[str]]:
    """Return decoded pixels (height, width, bands), the value of white, and warnings.

    Values are not rescaled, except that float alpha of at most 1 is multiplied by white. uint8 and
    uint16 keep their type, all others become float64. Phrases about gray, 32-bit and float pictures
    are appended to `conversions`. A warning names the assumed white if the values exceed the usual
    one, which is 1 for floats and 255 for integers of 32 bits. Raises PictureError for visible
    values that are not finite.
    """
    values = image.numpy()
    values = values.reshape(image.height, image.width, image.bands)
    is_gray = image.bands - image.hasalpha() == 1
    white = _MOST.get(values.dtype)
    if white is None:
        return _with_guessed_white(values, conversions, is_gray=is_gray, has_alpha=image.hasalpha())
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
    if is_gray and white > _MOST[np.dtype(np.uint8)]:
        conversions.append(f"16-bit gray to RGB, unrounded, white at {white}")
    elif is_gray:
        conversions.append("black and white to RGB" if bits == 1 else "gray to RGB")
    return values, white, []


def _with_guessed_white(
    values: NDArray[Any], conversions: list[str], *, is_gray: bool, has_alpha: bool
) -> tuple[NDArray[np.float64], int, list[str]]:
    """Return floats or values of 32 bits, whose white no file states, as `_scaled` does."""
    is_float = values.dtype.kind == "f"
    colors = _visible(values, has_alpha=has_alpha)
    if not (np.isfinite(colors).all() and np.isfinite(values[..., -1]).all()):
        raise PictureError("has values that are not numbers; export it again with 8 or 16 bits")
    most = float(np.percentile(colors, _MOSTLY))
    del colors  # a copy, if there is alpha
    usual = _WHITES if is_float else _WHITES[1:]
    white = _white(most, usual, _BRIGHTEST if is_float else _OVERSHOOT)
    what = "gray" if is_gray else "color"
    depth = "float" if is_float else "32-bit"
    conversions.append(f"{depth} {what} to RGB, unrounded, white at {white}")
    values = values.astype(np.float64)
    if has_alpha:
        alpha = values[..., -1]
        opaque = _white(float(alpha.max()), usual, _OVERSHOOT)
        alpha *= white / (1 if opaque == 1 else max(opaque, white))
        alpha.clip(0, white, out=alpha)
        if alpha.any():
            values[alpha == 0, :-1] = 0  # they may be no numbers
    is_usual = most <= usual[0] * _OVERSHOOT
    doubt = f"has values up to {most:.4g} and does not say which is white: {white} is taken for it"
    return values, white, [] if is_usual else [doubt]


def _visible(values: NDArray[Any], *, has_alpha: bool) -> NDArray[Any]:
    """Return the colors, (pixels, bands), that alpha does not hide; all if it hides everything.

    Whatever is measured in a picture is measured in these colors.
    """
    if not has_alpha:
        return values.reshape(-1, values.shape[-1])
    colors = values[..., :-1]
    shown = values[..., -1] != 0
    return colors[shown] if shown.any() else colors.reshape(-1, colors.shape[-1])


def _white(most: float, usual: tuple[int, ...], brightest: float) -> int:
    """Guess the value of white of a picture whose file does not state it.

    Return the first of the `usual` values for which `most` is at most `brightest` times white, or
    the last one if there is none. `most` is a value that few pixels exceed.
    """
    for white in usual:
        if most <= white * brightest:
            return white
    return usual[-1]


def _from_hdr(
    values: NDArray[Any], white: int, hdr: Encoding, *, has_alpha: bool
) -> NDArray[np.float32]:
    """Convert HDR values in 0..`white` to sRGB, float32 (height, width, 3) in 0..255.

    Alpha is kept as a fourth channel, scaled to 0..255.
    """
    colors = values[..., :-1] if has_alpha else values
    if colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    peak = encoding.brightest(_visible(values, has_alpha=has_alpha)[:, np.newaxis], hdr, white)
    shown = encoding.from_hdr(colors, hdr, peak, white=white)
    if not has_alpha:
        return shown
    alpha = values[..., -1:].astype(np.float32) * np.float32(255 / white)
    return np.concatenate([shown, alpha], axis=-1)


def _judged(said: Iterable[str], unread: int) -> list[str]:
    """Return a list with a warning if a picture may be damaged, or else an empty list.

    Raises PictureError if the picture is damaged. `said` are the lines that libraries wrote about
    it, and `unread` is the number of bytes of pixel data that were not decoded. Some cameras leave
    a few such bytes in undamaged pictures.
    """
    stray = 0
    for line in said:
        stray_bytes = _STRAY.search(line)
        if stray_bytes:
            stray += int(stray_bytes[1])
        elif not _HARMLESS.search(line):
            damage = _DAMAGED.search(line)
            what = damage[1] if damage else "some of its pixels cannot be read"
            raise PictureError(f"is damaged ({what}); copy or export it again")
    if stray > _MOST_STRAY or unread > _MOST_UNREAD:
        return [f"may be damaged: {stray + unread} bytes in it belong to no pixel"]
    return []


def _flatness(values: NDArray[Any], *, has_alpha: bool) -> list[str]:
    """Return a list with a warning if all visible pixels have the same color (law 19).

    Otherwise, and for a single pixel, the list is empty.
    """
    colors = _visible(values, has_alpha=has_alpha)
    if values.shape[0] * values.shape[1] > 1 and (colors == colors[0]).all():
        return ["shows one color alone"]
    return []


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of `values`, turned upright by an EXIF `orientation`."""
    if orientation in SWAPPED:
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::down, ::right]
