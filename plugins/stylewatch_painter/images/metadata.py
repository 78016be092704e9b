"""What a picture's file tells beside its pixels: dots per inch, camera, date, author, place.

Of EXIF only tags that mean something for another picture are ever taken over: none that describes
the file itself, no small picture of the unpainted one. What is upright already stays so.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

Keep = Literal["none", "safe", "all"]

_AUTHOR = {Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright}
_ALSO = {Base.ImageDescription, Base.Software, Base.HostComputer, Base.XPTitle, Base.XPComment,
         Base.XPAuthor, Base.XPKeywords, Base.XPSubject}  # fmt: skip
_SHOT = {
    Base.ExposureTime, Base.FNumber, Base.ExposureProgram, Base.ISOSpeedRatings,
    Base.DateTimeOriginal, Base.DateTimeDigitized, Base.OffsetTime, Base.OffsetTimeOriginal,
    Base.OffsetTimeDigitized, Base.SubsecTime, Base.SubsecTimeOriginal, Base.SubsecTimeDigitized,
    Base.ShutterSpeedValue, Base.ApertureValue, Base.ExposureBiasValue, Base.MaxApertureValue,
    Base.MeteringMode, Base.LightSource, Base.Flash, Base.FocalLength,
    Base.FocalLengthIn35mmFilm, Base.WhiteBalance, Base.LensSpecification, Base.LensMake,
    Base.LensModel,
}  # fmt: skip
_OF_THE_FILE = {Base.ColorSpace, Base.ExifImageWidth, Base.ExifImageHeight,
                Base.ExifInteroperabilityOffset, Base.ComponentsConfiguration,
                Base.CompressedBitsPerPixel}  # fmt: skip

MOST = 60_000
"""Bytes of EXIF that are taken over: a JPEG has room for 65,533."""

_LARGEST_DPI = 100_000
_INCHES = 2
_SRGB = 1


@dataclass(frozen=True)
class Tags:
    """What is told: `dpi` (across, down); of EXIF the main tags, those of the shot, the place.

    `damaged` tells that there is EXIF that cannot be read.
    """

    dpi: tuple[float, float] | None = None
    main: Mapping[int, Any] = field(default_factory=dict)
    shot: Mapping[int, Any] = field(default_factory=dict)
    place: Mapping[int, Any] = field(default_factory=dict)
    damaged: bool = False

    def kept(self, how: Keep) -> "Tags":
        """What of it may go on: `none`, `all`, or what is `safe`: no place, no serial number."""
        if how == "none":
            return UNTOLD
        if how == "all":
            return self
        main = {tag: value for tag, value in self.main.items() if tag in _AUTHOR}
        shot = {tag: value for tag, value in self.shot.items() if tag in _SHOT}
        return replace(self, main=main, shot=shot, place={})

    def exif(self, *, with_dpi: bool = False) -> bytes:
        """As EXIF, with its head; empty where nothing is told.

        `with_dpi` is for formats that have no better place for them.
        """
        found = Image.Exif()
        found.update(self.texts())
        if with_dpi and self.dpi is not None:
            found.update(self.resolution())
        for which, tags in self.below().items():
            found.get_ifd(which).update(tags)
        if not found and not self.below():
            return b""
        found[Base.Orientation] = 1
        return found.tobytes()

    def texts(self) -> dict[int, Any]:
        """The main tags, text in the very bytes that it was read from, in whatever code that is."""
        return {
            tag: value.encode("latin-1", "replace") if isinstance(value, str) else value
            for tag, value in self.main.items()
        }

    def below(self) -> dict[int, dict[int, Any]]:
        """The tables that EXIF has below its main one, by the tags that lead there."""
        shot = {**self.shot, Base.ColorSpace: _SRGB} if self.shot else {}
        tables = {int(IFD.Exif): shot, int(IFD.GPSInfo): dict(self.place)}
        return {which: dict(tags) for which, tags in tables.items() if tags}

    def resolution(self) -> dict[int, Any]:
        """The dots per inch as the tags of EXIF and TIFF have them."""
        if self.dpi is None:
            return {}
        across, down = self.dpi
        return {Base.XResolution: across, Base.YResolution: down, Base.ResolutionUnit: _INCHES}


UNTOLD = Tags()
"""Nothing is told."""


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation that the file gives, 2 to 8; 1 where it is upright or says nothing.

    Some formats' readers turn by themselves as they load.
    """
    found = image.getexif().get(Base.Orientation, 1)
    orientation = image.info.get("original_orientation") or found
    return orientation if orientation in range(2, 9) else 1


def tags_of(image: Image.Image) -> Tags:
    """What the file of a loaded picture tells; damaged metadata tells nothing."""
    dpi = _dpi(image.info.get("dpi"))
    try:
        exif = image.getexif()
        main, shot = dict(exif), exif.get_ifd(IFD.Exif)
        place = exif.get_ifd(IFD.GPSInfo)
    except Exception:  # over broken bytes nearly anything is raised, and they cost no picture
        return Tags(dpi, damaged=True)
    if Base.XResolution not in main and image.format == "TIFF":
        dpi = None  # where nothing is said there, Pillow says 1
    elif dpi is None and main.get(Base.ResolutionUnit) == _INCHES:
        dpi = _dpi((main.get(Base.XResolution), main.get(Base.YResolution)))
    told = Tags(
        dpi,
        {tag: value for tag, value in main.items() if tag in _AUTHOR | _ALSO},
        {tag: value for tag, value in shot.items() if tag not in _OF_THE_FILE},
        {tag: value for tag, value in place.items() if tag in set(GPS)},
    )
    return _writable(told)


def _writable(told: Tags) -> Tags:
    """Without what cannot be written again, or is too long beside the rest."""
    left = MOST

    def fitting(as_tags: Callable[[Mapping[int, Any]], Tags], tags: Mapping[int, Any]) -> Any:
        nonlocal left
        found = {}
        for tag, value in tags.items():
            with suppress(Exception):  # a value of a kind that its tag does not have
                length = len(as_tags({tag: value}).exif())
                if length <= left:
                    found[tag] = value
                    left -= length
        return found

    main = fitting(lambda one: Tags(main=one), told.main)
    shot = fitting(lambda one: Tags(shot=one), told.shot)
    return replace(
        told, main=main, shot=shot, place=fitting(lambda one: Tags(place=one), told.place)
    )


def _dpi(said: object) -> tuple[float, float] | None:
    if not isinstance(said, tuple) or len(said) != len(("across", "down")):
        return None
    with suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        across, down = (float(one) for one in said)
        if all(0 < one <= _LARGEST_DPI for one in (across, down)):
            return across, down
    return None
