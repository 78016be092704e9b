"""Reads a picture file into floats: sRGB, upright, with a list of all conversions."""

import hashlib
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import icc
from stylewatch_painter.images.bands import strips
from stylewatch_painter.images.decode import HEAD, Raster, decoded, decoding
from stylewatch_painter.images.depth import likely_white
from stylewatch_painter.images.metadata import UNTOLD, Tags
from stylewatch_painter.images.reduced import Enough, Size
from stylewatch_painter.stage import Pixels, Plane

WHITE = np.float32(255)
_ROWS = 512  # that are worked on at a time; even


def filled(pixels: Pixels, alpha: Plane) -> Pixels:
    """Replace hidden colors of a picture (height, width, 3) by visible ones nearby.

    Each color counts by its `alpha`, 0..1; the rest comes from a coarser picture, recursively (push
    and pull, Gortler and others, "The Lumigraph", 1996, section 3.4). White if nothing is visible.

    `pixels` is overwritten, because a copy of a large picture takes much memory.
    """
    if not alpha.any():
        return np.full_like(pixels, WHITE)
    if alpha.min() >= 1 or alpha.size == 1:
        return pixels
    seen = np.multiply(pixels, alpha[..., None], out=pixels)
    around = filled(*_coarser(seen, alpha))
    for channel in range(3):
        _lay_under(seen[..., channel], alpha, around[..., channel])
    return seen


def _lay_under(seen: Plane, alpha: Plane, around: Plane) -> None:
    """Add to a channel, where it is hidden, a channel of half the size."""
    height, width = alpha.shape
    coarse = Image.fromarray(np.ascontiguousarray(around))
    near = coarse.resize((2 * coarse.width, 2 * coarse.height), Image.Resampling.BILINEAR)
    for top in range(0, height, _ROWS):
        hidden = 1 - alpha[top : top + _ROWS]
        part = near.crop((0, top, width, top + len(hidden)))
        seen[top : top + _ROWS] += hidden * np.asarray(part)


def _coarser(seen: Pixels, alpha: Plane) -> tuple[Pixels, Plane]:
    """Half the size: the mean visible color of four pixels, and the sum of their alpha."""
    height, width = alpha.shape
    four: NDArray[np.float32] = np.empty(((height + 1) // 2, (width + 1) // 2, 4), dtype=np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        four[top // 2 : (top + _ROWS) // 2] = _fours(seen[rows], alpha[rows])
    whole = four[..., 3]
    visible: Plane = np.maximum(whole, 1e-6, dtype=np.float32)
    colors: Pixels = np.divide(four[..., :3], visible[..., None], dtype=np.float32)
    return colors, np.minimum(whole, 1)


def _fours(seen: Pixels, alpha: Plane) -> NDArray[np.float32]:
    """The sums over two by two pixels of colors and alpha, (height / 2, width / 2, 4)."""
    planes = np.concatenate([seen, alpha[..., None]], axis=-1)
    height, width = alpha.shape
    planes = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    sums: NDArray[np.float32] = planes.reshape(
        planes.shape[0] // 2, 2, planes.shape[1] // 2, 2, 4
    ).sum(axis=(1, 3))
    return sums


WIDE = ("I", "F")
"""Modes of 32 bits a pixel."""

GRAY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N", *WIDE)
"""Pillow's modes with one plane of gray."""


def from_gray(image: Image.Image, raster: Raster) -> tuple[Pixels, tuple[str, ...]]:
    """Convert a picture in one of the modes `GRAY` to sRGB, unrounded; list the conversions.

    Raises:
        PictureError: it holds values that are not finite.
    """
    plane, conversions = _plane(image, raster)
    profile = image.info.get("icc_profile")
    curve = None
    if profile:
        curve, about = _curve(profile)
        conversions += about
    if curve is None:
        return np.repeat(plane[..., None], 3, axis=2), conversions
    # A curve goes between its points too, so that what is finer than 8 bits stays so.
    levels = np.arange(256)
    channels = [np.interp(plane, levels, curve[:, c]).astype(np.float32) for c in range(3)]
    return np.stack(channels, axis=2), conversions


def _plane(image: Image.Image, raster: Raster) -> tuple[Plane, tuple[str, ...]]:
    """The plane (height, width), 0..255, in full precision."""
    if image.mode == "1":
        return np.asarray(image.convert("L")).astype(np.float32), ("black and white to RGB",)
    if image.mode in ("L", "LA"):
        return np.asarray(image.getchannel(0)).astype(np.float32), ("gray to RGB",)
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise PictureError("holds values that are no numbers; export it again with 8 or 16 bits")
    white = raster.depth.white or likely_white(values.max(), floats=image.mode == "F")
    if raster.depth.inverted:
        values = white - values
    plane = np.clip(values * (255 / white), 0, 255).astype(np.float32)
    bits = "float" if image.mode == "F" else f"{raster.depth.bits}-bit"
    return plane, (f"{bits} gray to RGB, unrounded, white at {white}",)


def _curve(profile: bytes) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    try:
        curve = icc.gray_curve(profile)
        return curve, () if curve is None else (icc.phrase(profile),)
    except icc.ProfileError:
        return None, (icc.left_out("sRGB gray"),)


Said = tuple[str, ...]

_PLAIN = ("RGB", "RGBA", "RGBX")
_NAMES = {"P": "palette", "PA": "palette"}
_PILLOW_BITS = 8
"""Bits that Pillow has for a channel of a color picture."""

_WHOLE_WHITE = 65535

FILLED = "transparent parts filled with the visible colors nearby, alpha kept beside"
"""The phrase for a picture whose hidden colors were filled."""


def to_floats(raster: Raster) -> tuple[Pixels, Plane | None, Said]:
    """The picture, its alpha (None if all is opaque) and the list of conversions.

    Raises:
        PictureError: it holds values that are not finite.
    """
    pixels, alpha, conversions = unfilled(raster)
    if alpha is None:
        return pixels, None, conversions
    return filled(pixels, alpha), alpha, (*conversions, FILLED)


def unfilled(raster: Raster) -> tuple[Pixels, Plane | None, Said]:
    """The same as `to_floats`, with hidden colors as they are in the file.

    Filling takes much memory, so the caller can free the raster of a large picture first.

    Raises:
        PictureError: it holds values that are not finite.
    """
    image = raster.image.convert("LA") if raster.image.mode == "La" else raster.image
    if image.mode in GRAY:
        pixels, conversions = from_gray(image, raster)
    else:
        pixels, conversions = _from_color(image, raster)
    return pixels, _alpha(image, raster), raster.said + conversions


def _alpha(image: Image.Image, raster: Raster) -> Plane | None:
    """The alpha plane (height, width), 0..1; None if every pixel is opaque."""
    key = image.info.get("transparency")
    whole = raster.whole
    if image.mode.startswith("I;16") and key is not None:
        alpha = (np.asarray(image) != key).astype(np.float32)
    elif whole is not None and whole.shape[-1] == len("RGBA"):
        alpha = whole[..., 3].astype(np.float32)
        alpha /= np.float32(_WHOLE_WHITE)
    elif image.has_transparency_data and image.mode not in WIDE:
        clear = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = _floats(clear.getchannel("A"))
        alpha /= np.float32(255)
    else:
        return None
    return None if alpha.min() >= 1 else alpha


def _from_color(image: Image.Image, raster: Raster) -> tuple[Pixels, Said]:
    if raster.whole is not None:
        exact = _uncut(raster.whole[..., :3], image.info.get("icc_profile"))
        if exact is not None:
            return exact
    bits = raster.depth.bits
    conversions: Said = (f"{bits} bits a channel cut to 8",) if bits > _PILLOW_BITS else ()
    if image.mode == "LAB":
        return _floats(icc.lab_to_srgb(image)), (*conversions, "CIE Lab to sRGB")
    if image.mode == "CMYK":
        pixels, about = _from_cmyk(image)
        return pixels, conversions + about
    if image.mode not in _PLAIN:
        conversions += (f"{_NAMES.get(image.mode, image.mode)} to RGB",)
    pixels, about = _from_rgb(_rgb(image))
    return pixels, conversions + about


def _uncut(values: NDArray[np.uint16], profile: bytes | None) -> tuple[Pixels, Said] | None:
    """Convert colors of 16 bits to sRGB; None if their profile is only supported in 8 bits."""
    if profile is None or icc.is_srgb(profile):
        pixels = values.astype(np.float32)
        pixels *= np.float32(255 / _WHOLE_WHITE)
        return pixels, ()
    converted = icc.exact_to_srgb(values, profile)
    return None if converted is None else (converted, (icc.phrase(profile),))


def _rgb(image: Image.Image) -> Image.Image:
    """The colors in mode RGB, without regard to alpha."""
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_rgb(image: Image.Image) -> tuple[Pixels, Said]:
    profile = image.info.get("icc_profile")
    if not profile:
        return _floats(image), ()
    try:
        converted = icc.to_srgb(image, profile)
        return _floats(converted), () if converted is image else (icc.phrase(profile),)
    except icc.ProfileError:
        return _floats(image), (icc.left_out("sRGB"),)


def _from_cmyk(image: Image.Image) -> tuple[Pixels, Said]:
    profile = image.info.get("icc_profile")
    about: Said = ()
    if profile:
        try:
            return _floats(icc.to_srgb(image, profile)), ("CMYK to RGB", icc.phrase(profile))
        except icc.ProfileError:
            about = (icc.left_out("plain CMYK"),)
    return _floats(image, _without_inks), (*about, "CMYK to RGB without a profile")


def _floats(
    image: Image.Image, of: Callable[[NDArray[np.float32]], NDArray[np.float32]] = np.asarray
) -> NDArray[np.float32]:
    """Apply `of` to float32 values in blocks of rows: (height, width, 3), or (height, width)."""
    shape = (image.height, image.width)
    floats = np.empty(shape if len(image.getbands()) == 1 else (*shape, 3), dtype=np.float32)
    for rows, strip in strips(image):
        floats[rows] = of(np.asarray(strip, dtype=np.float32))
    return floats


def _without_inks(cmyk: NDArray[np.float32]) -> NDArray[np.float32]:
    left = 1 - cmyk / np.float32(255)
    return 255 * left[..., :3] * left[..., 3:]


MAX_PIXELS = 40_000_000
"""Default limit of pixels (width x height)."""

MAX_BYTES = 512 * 2**20
"""Size of the largest file in bytes."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it was read.

    `pixels` is float32 (height, width, 3), sRGB 0..255; transparent parts are filled with the
    visible colors nearby. `alpha` is float32 (height, width), 0..1, or None if all is opaque.
    `converted` has a phrase for each conversion, in order. `sha256` (hex) and `bytes` (the count)
    are of the file's content, exactly as it was decoded. `tags` is the metadata. `size_of_file` is
    (width, height) of the picture in the file, upright, if it was decoded smaller.
    """

    pixels: Pixels
    alpha: Plane | None
    converted: tuple[str, ...]
    sha256: str
    bytes: int
    tags: Tags = UNTOLD
    size_of_file: Size | None = None

    @property
    def size(self) -> Size:
        """(width, height) in pixels of the picture in the file, upright."""
        height, width, _ = self.pixels.shape
        return self.size_of_file or (width, height)


def read(path: Path, *, max_pixels: int = MAX_PIXELS, enough: Enough | None = None) -> Picture:
    """Read the picture at `path`.

    The file is read once; its size in pixels is checked before decoding. A process decodes one
    picture at a time, in any number of threads. With `enough` a large picture may be decoded
    smaller.

    Raises: PictureError: the file is missing, not a regular file, empty, too large, truncated or
    damaged, has more than `max_pixels`, or is in a format that cannot be read.
    """
    name = path.name or str(path)
    data = file_bytes(path)
    digest, length = hashlib.sha256(data).hexdigest(), len(data)
    with decoding(name, data[:HEAD]):
        raster = decoded(data, max_pixels, uncut=True, enough=enough)
        del data  # each of these takes hundreds of megabytes: none is held longer than needed
        tags, size_of_file = raster.tags, raster.size_of_file
        pixels, alpha, converted = unfilled(raster)
        del raster
        if alpha is not None:
            pixels, converted = filled(pixels, alpha), (*converted, FILLED)
    return Picture(pixels, alpha, converted, digest, length, tags, size_of_file)


def file_bytes(path: Path) -> bytes:
    """Read a picture file; symbolic links are followed.

    Raises:
        PictureError: the file is missing, not a regular file, empty or too large.
    """
    name = path.name or str(path)
    try:
        with io.FileIO(path, opener=_at_once) as file:
            _check(os.fstat(file.fileno()), name)
            return file.readall()
    except FileNotFoundError as error:
        raise PictureError(f"{name} is not there; check its name and folder") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name} is a folder; name a picture in it") from error
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{name} cannot be read: {reason}; check its permissions") from error


def _at_once(path: str, flags: int) -> int:
    """Open without blocking, as a pipe without a writer would."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(f"{name} is a pipe or a device, not a file; copy the picture to a file")
    if status.st_size == 0:
        raise PictureError(f"{name} is empty; copy the picture again")
    if status.st_size > MAX_BYTES:
        raise PictureError(
            f"{name} has {status.st_size:,} bytes; the limit is {MAX_BYTES:,}: "
            "save it compressed or smaller"
        )
