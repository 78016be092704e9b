"""Brings a decoded picture of any mode to floats: sRGB 0..255, alpha beside."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.images import icc, icc_exact
from stylewatch_painter.images.alpha import filled
from stylewatch_painter.images.bands import strips
from stylewatch_painter.images.decode import Raster
from stylewatch_painter.images.gray import GRAY, WIDE, from_gray
from stylewatch_painter.stage import Pixels, Plane

Said = tuple[str, ...]

_PLAIN = ("RGB", "RGBA", "RGBX")
_NAMES = {"P": "palette", "PA": "palette"}
_PILLOW_BITS = 8
"""What Pillow has for a channel of a color picture."""

_WHOLE_WHITE = 65535

FILLED = "transparent parts filled with the visible colors nearby, alpha kept beside"
"""What is said of a picture whose hidden colors were filled."""


def to_floats(raster: Raster) -> tuple[Pixels, Plane | None, Said]:
    """The picture, its alpha (None where all is opaque) and all that was converted.

    Raises:
        PictureError: it holds values that are no numbers.
    """
    pixels, alpha, said = unfilled(raster)
    if alpha is None:
        return pixels, None, said
    return filled(pixels, alpha), alpha, (*said, FILLED)


def unfilled(raster: Raster) -> tuple[Pixels, Plane | None, Said]:
    """Do the same as `to_floats`, but leave hidden colors as they are in the file.

    Filling takes much memory, so that who fills a large picture frees the raster first.

    Raises:
        PictureError: it holds values that are no numbers.
    """
    image = raster.image.convert("LA") if raster.image.mode == "La" else raster.image
    if image.mode in GRAY:
        pixels, said = from_gray(image, raster)
    else:
        pixels, said = _from_color(image, raster)
    return pixels, _alpha(image, raster), raster.said + said


def _alpha(image: Image.Image, raster: Raster) -> Plane | None:
    """The alpha plane (height, width), 0..1; None where every pixel is opaque."""
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
        found = _uncut(raster.whole[..., :3], image.info.get("icc_profile"))
        if found is not None:
            return found
    bits = raster.depth.bits
    said: Said = (f"{bits} bits a channel cut to 8",) if bits > _PILLOW_BITS else ()
    if image.mode == "LAB":
        return _floats(icc.lab_to_srgb(image)), (*said, "CIE Lab to sRGB")
    if image.mode == "CMYK":
        pixels, about = _from_cmyk(image)
        return pixels, said + about
    if image.mode not in _PLAIN:
        said += (f"{_NAMES.get(image.mode, image.mode)} to RGB",)
    pixels, about = _from_rgb(_rgb(image))
    return pixels, said + about


def _uncut(values: NDArray[np.uint16], profile: bytes | None) -> tuple[Pixels, Said] | None:
    """Colors of 16 bits in sRGB; None where their profile can only be followed in 8."""
    if profile is None or icc.is_srgb(profile):
        pixels = values.astype(np.float32)
        pixels *= np.float32(255 / _WHOLE_WHITE)
        return pixels, ()
    converted = icc_exact.to_srgb(values, profile)
    return None if converted is None else (converted, (icc.phrase(profile),))


def _rgb(image: Image.Image) -> Image.Image:
    """Colors as they are under the alpha, whatever the alpha is."""
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
    """What `of` makes of the values of some rows, for all rows; with shape (height, width, 3).

    A plane gives (height, width).
    """
    shape = (image.height, image.width)
    found = np.empty(shape if len(image.getbands()) == 1 else (*shape, 3), dtype=np.float32)
    for rows, strip in strips(image):
        found[rows] = of(np.asarray(strip, dtype=np.float32))
    return found


def _without_inks(cmyk: NDArray[np.float32]) -> NDArray[np.float32]:
    left = 1 - cmyk / np.float32(255)
    return 255 * left[..., :3] * left[..., 3:]
