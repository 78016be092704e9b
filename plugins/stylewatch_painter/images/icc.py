"""Brings colors to sRGB by the profile that a picture carries."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# Black-point compensation keeps a print's black from becoming gray; between the profiles of
# cameras and screens it changes nothing.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

_SAME = 1
"""Levels (of 255) by which two ways of writing sRGB down may differ."""

ProfileError = (OSError, ImageCms.PyCMSError)
"""What a damaged profile raises, or one that belongs to another kind of picture."""


def phrase(profile: bytes) -> str:
    """What the receipt says where colors were converted, with the profile's own name.

    Raises:
        ProfileError: the profile is damaged.
    """
    text = " ".join(ImageCms.getProfileDescription(_opened(profile)).split())
    return f"colors from profile '{text[:60] or 'unnamed'}' to sRGB"


def left_out(taken_as: str) -> str:
    """What the receipt says where the profile could not be used."""
    return f"color profile left out, it is damaged or does not fit: taken as {taken_as}"


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture in mode RGB or CMYK as sRGB of 8 bits; the very same object where it is that.

    Raises:
        ProfileError: the profile is damaged or does not fit the mode.
    """
    transform = _transform(_opened(profile), image.mode)
    if image.mode == "RGB" and _changes_nothing(transform, _cube()):
        return image
    return _applied(transform, image)


def is_srgb(profile: bytes) -> bool:
    """Whether colors of a picture with this profile are those of sRGB already."""
    try:
        return _changes_nothing(_transform(_opened(profile), "RGB"), _cube())
    except ProfileError:
        return False


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """A picture in mode LAB (CIE L*a*b*, D50) as sRGB of 8 bits."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return _applied(_transform(lab, "LAB"), image)


def gray_curve(profile: bytes) -> NDArray[np.uint8] | None:
    """What each gray 0..255 is in sRGB, as (256, 3); None where it stays as it is.

    Takes profiles of gray, and profiles of RGB with red, green and blue alike.

    Raises:
        ProfileError: the profile is damaged, or of neither kind.
    """
    opened = _opened(profile)
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    if opened.profile.xcolor_space.strip() != "GRAY":
        ramp = ramp.convert("RGB")
    transform = _transform(opened, ramp.mode)
    if _changes_nothing(transform, ramp):
        return None
    return np.asarray(_applied(transform, ramp), dtype=np.uint8).reshape(256, 3)


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, mode, "RGB", _INTENT, _FLAGS)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:  # only where it works in place
        raise ImageCms.PyCMSError("the transform gave no picture")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, sample: Image.Image) -> bool:
    before = np.asarray(sample.convert("RGB"), dtype=np.int16)
    after = np.asarray(_applied(transform, sample), dtype=np.int16)
    return bool(np.abs(after - before).max() <= _SAME)


def _cube() -> Image.Image:
    """Colors from everywhere in RGB, 9 levels of each."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(colors.reshape(9, 81, 3))
