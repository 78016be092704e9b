"""Conversion of decoded frames to sRGB, upright, with square pixels.

Values of BT.709 and BT.601 are taken for sRGB, as in browsers. Numbers for colors are FFmpeg's,
which are those of ITU-T H.273.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images import encoding, profiles
from stylewatch_painter.images.encoding import HDR_TRANSFERS, UNSTATED, Encoding
from stylewatch_painter.images.vips import vips
from stylewatch_painter.installation import library
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes

Axes = tuple[int, int, int, int]
"""(a, b, c, d), each -1, 0 or 1: a point (x, y) is shown at (a x + c y, b x + d y)."""

UPRIGHT: Axes = (1, 0, 0, 1)

OVER_WHITE = "transparent parts laid over white"
"""Phrase for a picture with alpha."""

RGB = "bgr0"
"""FFmpeg's name of the RGB format that FFV1 uses."""

_BT601 = 5
_BT709 = 1
_BT2020 = 9
_LIMITED_RANGE = 1
_FULL_RANGE = 2
_RGB = 3  # channels
_BITS = 8

_HIGHEST_SD = 576
"""Maximum number of rows of a picture that is assumed to use BT.601 if its file states no
matrix."""

_NAMES = {1: "BT.709", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
_WIDE = (9, 11, 12)
"""Numbers of the primaries whose colors are more saturated than sRGB's."""

_DISPLAY_MATRIX = 36  # bytes
_MOST_LIGHT = 72
"""Offset of the brightest light's luminance in the data about a mastering display, in bytes."""


@dataclass(frozen=True)
class Shown:
    """Orientation and colors of a film's pictures, as the first picture states them.

    `axes` are the directions of the axes on the display. `encoding` is None for sRGB, and for
    colors that are taken for sRGB.
    """

    axes: Axes = UPRIGHT
    encoding: Encoding | None = None


def shown(picture: Any) -> Shown:
    """Return the orientation and the colors of a film's pictures, by the first `picture`.

    Call this for one picture of a film only: PyAV keeps the side data of each such picture in
    memory. Raises PictureError if the colors cannot be converted.
    """
    attached = picture.side_data
    items = [attached[place] for place in range(len(attached))]  # iteration differs with versions
    data = {item.type.name: bytes(item) for item in items}
    is_hdr = picture.color_trc in HDR_TRANSFERS
    primaries = picture.color_primaries
    found = None
    if is_hdr or primaries in _WIDE:
        transfer = picture.color_trc if is_hdr else UNSTATED  # a camera's, not a display's
        found = encoding.of_numbers(primaries, transfer, _brightest(data))
    return Shown(_axes(data.get("DISPLAYMATRIX", b"")), found)


def keeps_sides(how: Shown) -> bool:
    """Return whether pictures keep their width and height when they are turned upright."""
    return how.axes[0] != 0


def _brightest(data: dict[str, bytes]) -> float:
    """Return the luminance of the brightest light in candela per square meter; 0 if not stated."""
    with suppress(struct.error, KeyError):
        (most,) = struct.unpack_from("=I", data["CONTENT_LIGHT_LEVEL"])
        if most:
            return float(most)
    with suppress(struct.error, KeyError, ZeroDivisionError):
        light, unit = struct.unpack_from("=2i", data["MASTERING_DISPLAY_METADATA"], _MOST_LIGHT)
        return float(light / unit)
    return 0.0


def to_srgb(picture: Any, size: Size, how: Shown) -> Bytes:
    """Convert a picture to sRGB, uint8 (height, width, 3), over white, turned upright.

    The picture is resampled to `size` before it is turned.
    """
    found = how.encoding
    if found is not None and found.is_hdr:
        pixels = _converted(picture, size, "rgb48le")
        return _turned(of_hdr(pixels, found, 65535), how.axes)
    pixels = opaque(_converted(picture, size, "rgba" if _has_alpha(picture) else "rgb24"))
    if found is not None:
        image = vips().Image.new_from_array(np.ascontiguousarray(pixels), interpretation="srgb")
        pixels = profiles.to_srgb(image, found, []).numpy()
    return _turned(pixels, how.axes)


def of_hdr(pixels: NDArray[Any], meaning: Encoding, white: int) -> Bytes:
    """Convert a frame of HDR, (height, width, 3) with values 0..`white`, to sRGB, uint8.

    `meaning` is the encoding of the values.
    """
    light = encoding.from_hdr(pixels, meaning, encoding.mastered(meaning), white=white)
    return np.rint(light, out=light).astype(np.uint8)


def _converted(picture: Any, size: Size, format: str) -> Any:
    colors = {"src_colorspace": _guessed_matrix(picture)}
    return picture.reformat(*size, format, **colors, **_exactly()).to_ndarray()


def conversions(picture: Any, how: Shown) -> tuple[str, ...]:
    """Return phrases about the conversions that `to_srgb` applies to a picture, except resizing."""
    bits = max((component.bits for component in picture.format.components), default=_BITS)
    found = how.encoding
    name = _color_name(picture)
    if found is not None:
        name = f"{found.name}, as {name}," if not picture.format.is_rgb else found.name
    what = "mapped to the range of sRGB" if found is not None and found.is_hdr else "to sRGB"
    phrases = {
        "turned upright (display matrix)": how.axes != UPRIGHT,
        f"{name} {what}": found is not None or not picture.format.is_rgb,
        f"{bits} bits a channel to 8": bits > _BITS,
        OVER_WHITE: _has_alpha(picture),
        "interlaced fields kept together": picture.interlaced_frame,
    }
    return tuple(phrase for phrase, applies in phrases.items() if applies)


def from_srgb(pixels: Bytes, format: str) -> Any:
    """Return a picture of PyAV for an encoder, in the pixel `format`, from uint8 sRGB pixels.

    The picture is in RGB for the format `RGB`, otherwise in YCbCr by BT.709 in limited range.
    """
    picture = library("av").VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
    if format == RGB:
        return picture.reformat(format=format)
    colors = {"dst_colorspace": _BT709, "dst_color_range": _LIMITED_RANGE}
    return picture.reformat(format=format, **colors, **_exactly())


def tag(encoder: Any) -> None:
    """Set the encoder's color tags to those of `from_srgb`."""
    if encoder.pix_fmt != RGB:
        encoder.color_range = _LIMITED_RANGE
        encoder.colorspace = encoder.color_primaries = encoder.color_trc = _BT709


def _exactly() -> dict[str, Any]:
    """Return options for conversions that are exact, and the same on every machine."""
    flags = library("av.video.reformatter").Interpolation
    exact = flags.ACCURATE_RND | flags.BITEXACT | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP
    return {"interpolation": flags.BICUBIC | exact, "threads": 1}


def _has_alpha(picture: Any) -> bool:
    return any(component.is_alpha for component in picture.format.components)


def _guessed_matrix(picture: Any) -> int | None:
    """Return the matrix to assume for a picture; None if it states a matrix or is in RGB."""
    if picture.colorspace != UNSTATED or picture.format.is_rgb:
        return None
    if picture.color_primaries == _BT2020 or picture.color_trc in HDR_TRANSFERS:
        return _BT2020
    return _BT709 if picture.height > _HIGHEST_SD else _BT601


def _color_name(picture: Any) -> str:
    guess = _guessed_matrix(picture)
    name = _NAMES.get(guess or picture.colorspace, "YCbCr") + (" (not stated)" if guess else "")
    return f"{name} in {'full' if picture.color_range == _FULL_RANGE else 'limited'} range"


def opaque(pixels: Bytes) -> Bytes:
    """Composite a picture (height, width, 4) over white; return one of 3 channels unchanged."""
    if pixels.shape[2] == _RGB:
        return pixels
    alpha = pixels[..., _RGB:].astype(np.uint16)
    over = (pixels[..., :_RGB] * alpha + 255 * (255 - alpha) + 127) // 255
    return over.astype(np.uint8)


def _axes(data: bytes) -> Axes:
    """Return the axes by the display matrix in `data`, rounded to multiples of 90 degrees.

    Without a complete matrix they are UPRIGHT.
    """
    if len(data) < _DISPLAY_MATRIX:
        return UPRIGHT
    a, b, c, d = (int(value) for value in np.frombuffer(data, np.int32)[[0, 1, 3, 4]])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def _turned(pixels: Bytes, axes: Axes) -> Bytes:
    a, b, c, d = axes
    if a == 0:
        pixels = pixels.swapaxes(0, 1)
        a = c
        d = b
    return np.ascontiguousarray(pixels[::d, ::a])
