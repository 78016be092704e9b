"""Converts decoded pictures of films to sRGB, upright, with square pixels.

Codes of BT.709 and BT.601 are taken for those of sRGB, as browsers do. Numbers for colors are
FFmpeg's, which are those of ITU-T H.273.
"""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import color
from stylewatch_painter.images.reduced import Size
from stylewatch_painter.stage import Bytes, Pixels

Axes = tuple[int, int, int, int]
"""(a, b, c, d), each -1, 0 or 1: a point (x, y) is shown at (a x + c y, b x + d y)."""

UPRIGHT: Axes = (1, 0, 0, 1)

OVER_WHITE, OVER_BLACK = "transparent parts laid over white", "transparent parts laid over black"
"""The phrases for a picture with alpha, and for a mask."""

RGB = "bgr0"
"""FFmpeg's name of RGB as FFV1 takes it."""

_PQ, _HLG = 16, 18
_BT601, _BT709, _UNSTATED = 5, 1, 2
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_RGB = 3  # channels
_BITS = 8

_HIGHEST_SD = 576
"""Rows of the highest picture that has the matrix of BT.601 if its file states none."""

_NAMES = {1: "BT.709", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020", 11: "P3", 12: "P3"}
_P3 = ((1.22494, -0.22494, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274))
_BT2020 = (
    (1.660491, -0.587641, -0.07285),
    (-0.12455, 1.1329, -0.008349),
    (-0.018151, -0.100579, 1.11873),
)
_WIDE = {9: _BT2020, 11: _P3, 12: _P3}
"""Matrices of linear light from wide primaries to those of sRGB."""

_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # of HLG, in BT.2100, table 5
_LUMINANCE = (0.2627, 0.678, 0.0593)  # of BT.2020
_GAMMA = 1.2  # of a display with 1000 cd/m2 for HLG
_HIGHLIGHTS = 1000 / 203
"""The brightest light of HLG as a multiple of white (BT.2408)."""

_KNEE = 0.5  # of linear light, above which highlights are compressed
_DARKEST = 1e-6  # luminance, so that its power exists

_DISPLAY_MATRIX = 36  # bytes


def to_srgb(picture: Any, size: Size, axes: Axes, *, is_mask: bool = False) -> Bytes:
    """Convert a picture to 8 bits of sRGB (height, width, 3), over white, turned by `axes`.

    It is resampled to `size`, (width, height) before it is turned. Of a mask pixels are picked, and
    it is laid over black.

    Raises PictureError: it is HDR of a kind that is not read.
    """
    if picture.color_trc == _PQ:
        raise PictureError("is HDR of the kind PQ, which is not read; export it as SDR or HLG")
    is_wide = picture.color_trc == _HLG or picture.color_primaries in _WIDE
    is_picked = is_mask and size != (picture.width, picture.height)
    kind = ("rgba" if _has_alpha(picture) else "rgb") + ("64le" if is_wide else "")
    pixels = picture.reformat(
        *size,
        {"rgb": "rgb24", "rgb64le": "rgb48le"}.get(kind, kind),
        src_colorspace=_guessed_matrix(picture),
        **_exactly("POINT" if is_picked else "BICUBIC"),
    ).to_ndarray()
    pixels = _narrowed(pixels, picture) if is_wide else pixels
    return _turned(_opaque(pixels, 0 if is_mask else 255), axes)


def conversions(picture: Any, axes: Axes) -> tuple[str, ...]:
    """Describe what `to_srgb` does with a picture, but for its size."""
    bits = max((part.bits for part in picture.format.components), default=_BITS)
    phrases = {
        "turned upright (display matrix)": axes != UPRIGHT,
        f"{_color_name(picture)} to sRGB": not picture.format.is_rgb,
        "HLG (HDR) to SDR": picture.color_trc == _HLG,
        f"colors of {_NAMES.get(picture.color_primaries)} to sRGB": (
            picture.color_primaries in _WIDE
        ),
        f"{bits} bits a channel to 8": bits > _BITS,
        OVER_WHITE: _has_alpha(picture),
        "interlaced fields kept together": picture.interlaced_frame,
    }
    return tuple(phrase for phrase, applies in phrases.items() if applies)


def from_srgb(pixels: Bytes, format: str) -> Any:
    """Make a picture for an encoder: in RGB, or YCbCr by BT.709 in limited range."""
    picture = import_module("av").VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
    if format == RGB:
        return picture.reformat(format=format)
    colors = {"dst_colorspace": _BT709, "dst_color_range": _LIMITED_RANGE}
    return picture.reformat(format=format, **colors, **_exactly())


def tag(encoder: Any) -> None:
    """State the colors of `from_srgb` in what is encoded."""
    if encoder.pix_fmt != RGB:
        encoder.color_range = _LIMITED_RANGE
        encoder.colorspace = encoder.color_primaries = encoder.color_trc = _BT709


def _exactly(filter_name: str = "BICUBIC") -> dict[str, Any]:
    """Return options for conversions that are exact, and the same on every machine."""
    flags = import_module("av.video.reformatter").Interpolation
    exact = flags.ACCURATE_RND | flags.BITEXACT | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP
    return {"interpolation": flags[filter_name] | exact, "threads": 1}


def _has_alpha(picture: Any) -> bool:
    return any(part.is_alpha for part in picture.format.components)


def _guessed_matrix(picture: Any) -> int | None:
    """Return the matrix to take for a picture that states none."""
    if picture.colorspace != _UNSTATED or picture.format.is_rgb:
        return None
    return _BT709 if picture.height > _HIGHEST_SD else _BT601


def _color_name(picture: Any) -> str:
    guess = _guessed_matrix(picture)
    name = _NAMES.get(guess or picture.colorspace, "YCbCr") + (" (not stated)" if guess else "")
    return f"{name} in {'full' if picture.color_range == _FULL_RANGE else 'limited'} range"


def _opaque(pixels: Bytes, background: int) -> Bytes:
    """Lay a picture with alpha over a gray `background`, 0..255."""
    if pixels.shape[2] == _RGB:
        return pixels
    alpha = pixels[..., _RGB:].astype(np.uint16)
    over = (pixels[..., :_RGB] * alpha + background * (255 - alpha) + 127) // 255
    return over.astype(np.uint8)


def _narrowed(pixels: NDArray[np.uint16], picture: Any) -> Bytes:
    """Convert 16 bits of HLG or wide colors to 8 bits of sRGB; alpha stays as it is."""
    matrix = np.array(_WIDE.get(picture.color_primaries, np.eye(3)))

    def narrowed(rows: NDArray[np.uint16]) -> Pixels:
        values = rows.astype(np.float32) * np.float32(255 / 65535)
        if picture.color_trc == _HLG:
            linear = _compressed(
                _light_of_hlg(color.to_space(values[..., :_RGB], "srgb")) @ matrix.T
            )
        else:
            linear = color.to_space(values[..., :_RGB], "linear") @ matrix.T
        values[..., :_RGB] = color.from_space(linear, "linear")
        whole: Pixels = np.rint(values.clip(0, 255))
        return whole

    return color.by_rows(narrowed, pixels).astype(np.uint8)


def _light_of_hlg(codes: color.Floats) -> color.Floats:
    """Light of a display with 1000 cd/m2 by BT.2100, where 1 is white."""
    scene = np.where(codes <= 1 / 2, codes**2 / 3, (np.exp((codes - _C) / _A) + _B) / 12)
    luminance = np.maximum(scene @ np.array(_LUMINANCE), _DARKEST)
    light: color.Floats = _HIGHLIGHTS * scene * luminance[..., None] ** (_GAMMA - 1)
    return light


def _compressed(linear: color.Floats) -> color.Floats:
    """Bring highlights below 1; the channels keep their ratio.

    The largest one, if it is beyond the knee, approaches 1 exponentially.
    """
    largest = np.maximum(linear.max(axis=-1, keepdims=True), _KNEE)
    bent = 1 - (1 - _KNEE) * np.exp((_KNEE - largest) / (1 - _KNEE))
    dimmed: color.Floats = linear * (bent / largest)
    return dimmed


def axes(picture: Any) -> Axes:
    """Return where a picture's axes point on the display.

    For one picture of a film: PyAV keeps in memory whatever has been asked for this.
    """
    kinds = {item.type.name: bytes(item) for item in picture.side_data}
    data = kinds.get("DISPLAYMATRIX", b"")
    if len(data) < _DISPLAY_MATRIX:
        return UPRIGHT
    a, b, c, d = (int(value) for value in np.frombuffer(data, np.int32)[[0, 1, 3, 4]])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def _turned(pixels: Bytes, axes: Axes) -> Bytes:
    a, b, c, d = axes
    if a == 0:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[::d, ::a])
