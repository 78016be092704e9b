"""Reading of metadata about the colors of still pictures that no library reads.

The amount of data that is read is limited, and damaged parts are ignored.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import takewhile

from PIL import Image
from PIL.ExifTags import IFD, Base

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.boxes import Numbers
from stylewatch_painter.images.encoding import (
    ADOBE_RGB,
    BT709,
    HDR_TRANSFERS,
    UNSTATED,
    Chromaticities,
    Encoding,
    of_numbers,
)

_MAX_TAGS = 10_000
"""Maximum number of tags that are read in one profile."""

_LARGEST_PROFILE = 32 * 2**20
"""Maximum bytes of a profile that are unpacked."""

_MAX_CHUNKS = 1_000_000
"""Maximum number of chunks that are read in one PNG; chunks with pixels may have only 8 kB each."""

_PNG_HEAD = 8  # bytes
_UNIT = 100_000
"""The number that stands for 1 in gAMA and cHRM."""

_LARGEST_GAMMA = 10 * _UNIT
_LEAST = 1e-3

_SRGB = of_numbers(1, 13)

_ADOBE = Encoding("Adobe RGB", ADOBE_RGB, 563 / 256)
"""Adobe RGB (1998), whose gamma is 2 51/256."""

_UNCALIBRATED, _ADOBE_BY_EXIF = 65535, 2
"""Values of EXIF's ColorSpace. The first refers to the index of interoperability; the second is
Adobe RGB, which some cameras write against the standard."""

_ADOBE_INDEX = "R03"
"""Index of interoperability of Adobe RGB (DCF 2.0)."""


def by_png(data: bytes) -> Encoding | None:
    """Return the encoding that a PNG states in cICP or, without a profile, in sRGB, gAMA and cHRM.

    The order is that of the PNG specification, third edition, section 4.3. None means that no chunk
    states a usable encoding. Raises PictureError if the values have a narrow range, or if the
    colors cannot be converted.
    """
    chunks = dict[bytes, memoryview]()
    for name, content in _png_chunks(data):
        if name == b"IDAT":
            break
        chunks.setdefault(name, content[:64])
    with suppress(struct.error):
        if b"cICP" in chunks:
            primaries, transfer, matrix, is_full = struct.unpack(">4B", chunks[b"cICP"])
            if not is_full:
                raise PictureError("has values of narrow range; export it with full range")
            encoding = by_numbers((primaries, transfer)) if matrix == 0 else None  # RGB
            if encoding is not None:
                return encoding
        if b"iCCP" not in chunks:
            return _SRGB if b"sRGB" in chunks else _by_gamma(chunks)
    return None


def _by_gamma(chunks: Mapping[bytes, memoryview]) -> Encoding | None:
    """Return the encoding that gAMA and cHRM state; None without gAMA or for impossible values.

    Raises struct.error if a chunk is too short.
    """
    if b"gAMA" not in chunks:
        return None
    (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
    stated = chunks.get(b"cHRM")
    light = BT709 if stated is None else _png_primaries(stated)
    if light is None or not 0 < gamma <= _LARGEST_GAMMA:
        return None
    return Encoding("colors by the PNG's gamma", light, _UNIT / gamma)


def png_profile(data: bytes) -> tuple[str, bytes]:
    """Return the name and the content of the ICC profile in the iCCP chunk of a PNG.

    Both are empty if there is no such chunk before the pixels, or if it cannot be decompressed. A
    truncated profile is returned as far as it can be decompressed, without an error.
    """
    content = b""
    for kind, body in takewhile(lambda chunk: chunk[0] != b"IDAT", _png_chunks(data)):
        if kind == b"iCCP":
            content = bytes(body[:_LARGEST_PROFILE])
            break
    name, _, packed = content.partition(b"\0")
    try:
        profile = zlib.decompressobj().decompress(packed[1:], _LARGEST_PROFILE)
    except zlib.error:
        return "", b""
    return name.decode("latin-1"), profile


def _png_primaries(stated: memoryview) -> Chromaticities | None:
    """Return the chromaticities in a cHRM chunk.

    None means that the primaries span no triangle, or that a y is almost 0. Raises struct.error for
    a chunk of another length.
    """
    values = [value / _UNIT for value in struct.unpack(">8I", stated)]
    white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y = values
    area = (green_x - red_x) * (blue_y - red_y) - (green_y - red_y) * (blue_x - red_x)
    if min(red_y, green_y, blue_y, white_y, abs(area)) < _LEAST:
        return None
    return red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y


def png_exif(data: bytes) -> bytes:
    """Return the EXIF of a PNG, which may come after the pixels; empty if there is none."""
    for kind, body in _png_chunks(data):
        if kind == b"eXIf":
            return bytes(body)
    return b""


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    at = _PNG_HEAD
    view = memoryview(data)
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[at : at + 4])
        if at + 12 + length > len(data):  # it is cut off, or its end
            return
        yield data[at + 4 : at + 8], view[at + 8 : at + 8 + length]
        at += 12 + length


def by_profile(profile: bytes, name: str) -> Encoding | None:
    """Return the encoding of an ICC profile for HDR; None for any other profile.

    A profile is for HDR by its tag `cicp` (ICC.1:2022, 9.2.17), or else by its `name`. The profile
    itself cannot be used to convert HDR, because its white is the brightest light of all. Raises
    PictureError if the colors cannot be converted.
    """
    numbers = _cicp(profile)
    part_of_name = _HDR_NAME.search(name)
    if numbers is None and part_of_name:
        numbers = 9, 18 if part_of_name[0] in ("HLG", "B67") else 16
    if numbers is None or not are_hdr(numbers):
        return None
    return of_numbers(*numbers)


_HDR_NAME = re.compile(r"(?<![A-Za-z])(?:PeQ|HLG|B67)(?![A-Za-z0-9])|ST ?2084|2100[ _]?PQ|PQ EOTF")
"""Pattern for parts of the names of HDR profiles, by ITU-R BT.2100, SMPTE ST 2084, libjxl, and the
W3C (`ITUR_2100_PQ_FULL`)."""


def are_hdr(numbers: Numbers | None) -> bool:
    """Return whether numbers state PQ or HLG."""
    return numbers is not None and numbers[1] in HDR_TRANSFERS


def _cicp(profile: bytes) -> Numbers | None:
    with suppress(struct.error):
        (count,) = struct.unpack_from(">I", profile, 128)
        for index in range(min(count, _MAX_TAGS)):
            name, start, _ = struct.unpack_from(">4sII", profile, 132 + 12 * index)
            if name == b"cicp":
                kind, primaries, transfer = struct.unpack_from(">4s4xBB", profile, start)
                return (primaries, transfer) if kind == b"cicp" else None
    return None


def by_exif(exif: bytes) -> Encoding | None:
    """Return Adobe RGB if EXIF states it; None otherwise."""
    with suppress(Exception):  # damaged EXIF raises nearly any error; it states nothing then
        read = Image.Exif()
        read.load(exif)
        space = read.get_ifd(IFD.Exif).get(Base.ColorSpace)
        return by_color_space(space, str(read.get_ifd(IFD.Interop).get(1, "")))
    return None


def by_color_space(space: object, index: str) -> Encoding | None:
    """Return Adobe RGB if ColorSpace or the index of interoperability states it; None otherwise."""
    is_by_index = space == _UNCALIBRATED and index.strip("\0 ") == _ADOBE_INDEX
    return _ADOBE if space == _ADOBE_BY_EXIF or is_by_index else None


def by_numbers(numbers: Numbers | None) -> Encoding | None:
    """Return the encoding of `numbers`; None if these are None or unstated.

    Raises PictureError if the colors cannot be converted.
    """
    if numbers is None or numbers == (UNSTATED, UNSTATED):
        return None
    return of_numbers(*numbers)
