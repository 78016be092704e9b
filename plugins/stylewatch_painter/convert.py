"""Brings a decoded picture of any mode to floats: sRGB 0..255 on white, alpha beside."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter import icc
from stylewatch_painter.decode import Raster
from stylewatch_painter.grey import GREY, WIDE, from_grey
from stylewatch_painter.stage import Pixels, Plane

Said = tuple[str, ...]

_PLAIN = ("RGB", "RGBA", "RGBX")
_NAMES = {"P": "palette", "PA": "palette"}
_PILLOW_BITS = 8
"""What Pillow has for a channel of a colour picture."""


def to_floats(raster: Raster) -> tuple[Pixels, Plane | None, Said]:
    """The picture, its alpha (None where all is opaque) and all that was converted.

    Raises:
        PictureError: it holds values that are no numbers.
    """
    image = raster.image.convert("LA") if raster.image.mode == "La" else raster.image
    if image.mode in GREY:
        pixels, said = from_grey(image, raster)
    else:
        pixels, said = _from_colour(image, raster.depth.bits)
    alpha = _alpha(image)
    if alpha is None:
        return pixels, None, raster.said + said
    # In floats, and with the file's own colour only as far as it shows.
    pixels = pixels * alpha[..., None] + 255 * (1 - alpha[..., None])
    return pixels, alpha, (*raster.said, *said, "transparency laid over white, alpha kept beside")


def _alpha(image: Image.Image) -> Plane | None:
    """The alpha plane (height, width), 0..1; None where every pixel is opaque."""
    key = image.info.get("transparency")
    if image.mode.startswith("I;16") and key is not None:
        alpha = (np.asarray(image) != key).astype(np.float32)
    elif image.has_transparency_data and image.mode not in WIDE:
        plane = image.convert("RGBA").getchannel("A")
        alpha = np.asarray(plane, dtype=np.float32) / np.float32(255)
    else:
        return None
    return None if alpha.min() >= 1 else alpha


def _from_colour(image: Image.Image, bits: int) -> tuple[Pixels, Said]:
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


def _rgb(image: Image.Image) -> Image.Image:
    """Colours as they are under the alpha, whatever the alpha is."""
    straight = image.convert("RGBA") if image.has_transparency_data else image
    return straight.convert("RGB")


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
    inks = 1 - _floats(image) / np.float32(255)
    return 255 * inks[..., :3] * inks[..., 3:], (*about, "CMYK to RGB without a profile")


def _floats(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image).astype(np.float32)
