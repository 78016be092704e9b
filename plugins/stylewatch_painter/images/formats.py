"""Recognition of the formats of picture files, by their heads and tags (law 18)."""

import re
from collections.abc import Mapping

from stylewatch_painter.images import tiff

HEAD = 4096
"""Number of bytes at the start of a file by which its format is recognized."""

RAW = "camera raw"
JXL = "JPEG XL"
READABLE = f"JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF, HEIC, {JXL}, {RAW}"

_HEADS = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    RAW: re.compile(rb"II\*\0....CR|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "GIF": re.compile(rb"GIF8"),
    "BMP": re.compile(rb"BM"),
    "PPM": re.compile(rb"P[1-6f]"),
    JXL: re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
}
"""Patterns for the first bytes of each format. The patterns of camera raw are those of Canon,
Olympus, Panasonic and Fujifilm; other cameras write TIFF."""

_BRANDS = {"AVIF": rb"avi[fs]", "HEIC": rb"he[iv][cmsx]", RAW: rb"crx "}
"""Brands of still pictures in the ISO base media format."""

_STILL_BRANDS = rb"av(?:if|is)|mi[af]\d|msf1|he[iv][cmsx]|crx "

_FILMS = {
    "mov,mp4,m4a,3gp,3g2,mj2": re.compile(
        rb"....(?:ftyp(?!%b)|moov|mdat|wide|free|skip|pnot)" % _STILL_BRANDS, re.DOTALL
    ),
    "matroska,webm": re.compile(rb"\x1a\x45\xdf\xa3"),
}
"""Patterns for the first bytes of films, by FFmpeg's names of their containers."""


_FOREIGN = {
    "AVI": re.compile(rb"RIFF....AVI ", re.DOTALL),
    "MPEG-TS": re.compile(rb"(?:....)?G(?:.{187}|.{191})G(?:.{187}|.{191})G", re.DOTALL),
    "MPEG": re.compile(rb"\0\0\x01[\xba\xb3]"),
    "WMV or ASF": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "FLV": re.compile(rb"FLV\x01"),
    "Ogg": re.compile(rb"OggS"),
}
"""Patterns for the first bytes of films in unsupported containers, by the containers' names."""


def kind_of(head: bytes) -> str:
    """Return the format of a file by its first bytes; empty for an unsupported format.

    The result is TIFF for camera raw that begins like a TIFF; see `kind_in`.
    """
    brands = head[8 : int.from_bytes(head[:4])] if head[4:8] == b"ftyp" else b""
    for kind, brand in _BRANDS.items():
        if re.search(brand, brands):
            return kind
    return _named(_HEADS, head)


def kind_in(data: bytes) -> str:
    """Return the format of a whole file; empty for an unsupported format."""
    kind = kind_of(data[:HEAD])
    return RAW if kind == "TIFF" and tiff.is_raw(data) else kind


def film_container(head: bytes) -> str:
    """Return FFmpeg's name of a film's container by its first bytes; empty for another file."""
    return _named(_FILMS, head)


def is_film(head: bytes) -> bool:
    """Return whether a file is a film by its first bytes, in a supported container or another."""
    return bool(film_container(head) or foreign_film(head))


def foreign_film(head: bytes) -> str:
    """Return the name, for people, of a film's unsupported container; empty for another file."""
    return _named(_FOREIGN, head)


def _named(starts: Mapping[str, re.Pattern[bytes]], head: bytes) -> str:
    """Return the first name whose pattern the first bytes of a file match; empty if none."""
    for name, start in starts.items():
        if start.match(head):
            return name
    return ""
