"""Metadata of picture files: dots per inch, camera, date, author, place.

Only EXIF tags that are valid for the painting are copied, not those that describe the file itself,
and no thumbnail. The orientation that is written is always upright.
"""

from collections.abc import Mapping
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
# a maker note refers to places in the file, and libvips rewrites it
_OF_THE_FILE = {Base.ColorSpace, Base.ExifImageWidth, Base.ExifImageHeight,
                Base.ExifInteroperabilityOffset, Base.ComponentsConfiguration,
                Base.CompressedBitsPerPixel, Base.MakerNote}  # fmt: skip

MOST = 60_000
"""Maximum bytes of EXIF that are copied. A JPEG has room for 65,533."""

_LARGEST_DPI = 100_000
INCH = 25.4
"""Millimeters per inch."""

_PER_INCH = {2: 1.0, 3: 2.54}
"""Length of an inch in units of ResolutionUnit (inch, centimeter), by the value of that tag."""

_SRGB = 1


@dataclass(frozen=True)
class Tags:
    """Metadata: `dpi` (across, down), and tags of EXIF by their numbers.

    `main` are the tags of IFD 0, `shot` those of the Exif IFD, and `place` those of the GPS IFD.
    `dpi` is None if unknown. `damaged` is True if the file has EXIF that cannot be read, and
    `packed` if it has compressed EXIF, which is not read.
    """

    dpi: tuple[float, float] | None = None
    main: Mapping[int, Any] = field(default_factory=dict)
    shot: Mapping[int, Any] = field(default_factory=dict)
    place: Mapping[int, Any] = field(default_factory=dict)
    damaged: bool = False
    packed: bool = False

    def kept(self, keep: Keep) -> "Tags":
        """Return the metadata to copy: `none`, `all`, or only the `safe` tags.

        Safe are the resolution, the camera, dates, the author, the copyright and the exposure, but
        no GPS, no serial numbers and no descriptions.
        """
        if keep == "none":
            return NO_TAGS
        if keep == "all":
            return self
        main = {tag: value for tag, value in self.main.items() if tag in _AUTHOR}
        shot = {tag: value for tag, value in self.shot.items() if tag in _SHOT}
        return replace(self, main=main, shot=shot, place={})

    def exif(self) -> bytes:
        """Return the tags as EXIF, with its header and upright orientation; empty without tags."""
        exif = Image.Exif()
        exif.update(_writable(self.main))
        for which, tags in self._tables().items():
            exif.get_ifd(which).update(tags)
        if not exif and not self._tables():
            return b""
        exif[Base.Orientation] = 1
        return exif.tobytes()

    def _tables(self) -> dict[int, dict[int, Any]]:
        """Return the Exif IFD and the GPS IFD, unless empty, by the tags that point to them."""
        shot = {**self.shot, Base.ColorSpace: _SRGB} if self.shot else {}
        tables = {int(IFD.Exif): shot, int(IFD.GPSInfo): dict(self.place)}
        return {which: _writable(tags) for which, tags in tables.items() if tags}


class _Text(str):
    """Text that Pillow writes with the bytes that the file has, of any encoding.

    Pillow reads text as Latin-1, and writes it in ASCII.
    """

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "replace") -> bytes:
        return super().encode("latin-1", "replace")


def _writable(tags: Mapping[int, Any]) -> dict[int, Any]:
    """Return tags whose text keeps its bytes when Pillow writes it."""
    return {tag: _Text(value) if isinstance(value, str) else value for tag, value in tags.items()}


NO_TAGS = Tags()
"""No metadata."""


def exif_orientation(data: bytes) -> int:
    """Return the orientation that EXIF states; 1 if it states none or is damaged."""
    with suppress(Exception):  # damaged bytes raise nearly any error
        exif = Image.Exif()
        exif.load(data)
        return orientation_of(exif.get(Base.Orientation))
    return 1


def orientation_of(value: Any) -> int:
    """Return a tag's `value` as EXIF orientation; 1, which is upright, if the value is invalid."""
    return int(value) if value in range(1, 9) else 1


def tags_of(data: bytes, dpi: tuple[float, float] | None = None) -> Tags:
    """Read the metadata in the EXIF `data`, with or without EXIF's header.

    If the EXIF is damaged, the result has only `dpi`, and `damaged` is True. Tags that cannot be
    written again, or exceed MOST bytes, are left out. `dpi` are the dots per inch that the file
    states elsewhere; they take precedence over EXIF's.
    """
    dpi = _dpi(dpi)
    exif = Image.Exif()
    if not data:
        return Tags(dpi)
    try:
        exif.load(data)
        main = dict(exif)
        shot = exif.get_ifd(IFD.Exif)
        place = exif.get_ifd(IFD.GPSInfo)
    except Exception:  # damaged bytes raise nearly any error; the picture is still usable
        return Tags(dpi, damaged=True)
    scale = _PER_INCH.get(main.get(Base.ResolutionUnit, 0))
    if dpi is None and scale is not None:
        dpi = _dpi((main.get(Base.XResolution), main.get(Base.YResolution)), scale)
    left = MOST

    def fitting(field: str, tags: Mapping[int, Any]) -> dict[int, Any]:
        """Return the `tags` that can be written again as the `field` of Tags.

        All fields together get at most MOST bytes.
        """
        nonlocal left
        kept = {}
        for tag, value in tags.items():
            with suppress(Exception):  # the value has a wrong type for its tag
                alone: dict[str, Any] = {field: {tag: value}}
                length = len(Tags(**alone).exif())
                if length <= left:
                    kept[tag] = value
                    left -= length
        return kept

    return Tags(
        dpi,
        fitting("main", {tag: main[tag] for tag in main if tag in _AUTHOR | _ALSO}),
        fitting("shot", {tag: shot[tag] for tag in shot if tag not in _OF_THE_FILE}),
        fitting("place", {tag: place[tag] for tag in place if tag in set(GPS)}),
    )


def _dpi(dpi: Any, scale: float = 1.0) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        across, down = (float(value) * scale for value in dpi)
        if all(0 < value <= _LARGEST_DPI for value in (across, down)):
            return across, down
    return None
