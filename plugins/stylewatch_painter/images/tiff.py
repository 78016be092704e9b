"""Reading of the directories of a TIFF file, which describe its pictures (TIFF 6.0, DNG 1.7).

Only a bounded number of directories is read, and no pixels.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_PLAIN, _BIG = 42, 43
"""Version numbers in the heads of TIFF and of BigTIFF."""

_SHORTEST = 16  # bytes
_MAX_DIRECTORIES = 1_000
_MAX_ENTRIES = 4_096
_MAX_VALUES, _MOST_PARTS, _MAX_RAW = 64, 100_000, 16
"""Maximum numbers of values of a tag, of offsets of strips or tiles, and of raw pictures that are
read."""

_LARGEST_TAGS = 16 * 2**20
"""Maximum bytes of all values in the directories of a file that is read as EXIF."""

SUBFILE = 254
OLD_SUBFILE = 255
BITS = 258
COMPRESSION = 259
PHOTOMETRIC = 262
SAMPLES = 277
STRIPS = 273
STRIP_BYTES = 279
TILES = 324
TILE_BYTES = 325
PLANES = 284
TILE_WIDTH = 322
INNER_DIRECTORIES = 330
EXTRA_SAMPLES = 338
SAMPLE_FORMAT = 339
EXIF = 34665
GPS = 34853
COLOR_SPACE = 40961
INTEROPERABILITY = 40965
DNG_VERSION = 50706

_PARTS = (STRIPS, STRIP_BYTES, TILES, TILE_BYTES, EXTRA_SAMPLES)

_SIZES = {1: "B", 2: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""`struct` formats of the types of values that are read: bytes, text, and unsigned integers of 2 to
8 bytes."""

_WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type; values of all other types have one byte."""

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""

_MOSAIC, _LINEAR_RAW = 32803, 34892
"""Photometric interpretations of a sensor's values."""

_WHITE_IS_ZERO, _PALETTE, _CMYK, _LAB, _ICC_LAB, _ITU_LAB = 0, 3, 5, 8, 9, 10
"""Photometric interpretations. Of the three kinds of CIE Lab, libvips reads the first."""

_OLD_JPEG, _JPEG = 6, 7
"""Values of Compression. TIFF 6.0 describes the old JPEG; its authors replaced it by the new."""

_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50001}
"""Supported values of Compression: none, those of facsimile, LZW, JPEG, PackBits, Deflate, WebP."""

_DEPTHS = {1, 2, 4, 8, 16, 32}
"""Supported numbers of bits per sample."""

_REDUCED_COPY = 2
"""Value of the old SubfileType for a reduced copy of another picture."""

_SIGNED, _FLOATS = 2, 3
"""Values of SampleFormat."""

_WIDEST_FLOATS, _DEEP, _BYTE = 32, 16, 8  # bits

_SEPARATE = 2
"""Value of PlanarConfiguration for channels that are stored one after another."""

_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3}
"""Number of samples that are stored without the extra ones, by photometric interpretation."""

ASSOCIATED, UNASSOCIATED = 1, 2
"""Kinds of extra samples that are alpha: the colors are multiplied by ASSOCIATED alpha only."""


Part = tuple[str, int, int]
"""`struct` format of a tag's values, and the offsets in the file of their count and of the field
that has the values or their offset."""


@dataclass(frozen=True)
class Directory:
    """A directory of a TIFF file.

    `tags` maps each tag with unsigned integers or text to its first _MAX_VALUES values; text is a
    tuple of bytes. `parts` maps the tags of _PARTS to the places of their values, which are read on
    demand, or changed.
    """

    tags: Mapping[int, tuple[int, ...]]
    parts: Mapping[int, Part] = field(default_factory=dict)
    size: int = 0
    """Bytes of all values in the directory."""

    def first(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag; `default` if the directory lacks the tag."""
        return self.tags.get(tag, (default,))[0]

    @property
    def is_picture(self) -> bool:
        """True if the directory is neither a reduced copy of another picture nor a mask."""
        is_copy = self.first(SUBFILE) & _REDUCED or self.first(OLD_SUBFILE) == _REDUCED_COPY
        return not (is_copy or self.first(SUBFILE) & _MASK)

    @property
    def is_raw(self) -> bool:
        """True if the directory has a sensor's values, which must be developed."""
        return self.first(PHOTOMETRIC) in (_MOSAIC, _LINEAR_RAW)

    @property
    def trouble(self) -> str:
        """Reason, for the user, to refuse the picture (law 18); empty if it is not refused.

        libvips would misread a refused picture.
        """
        kind = self.first(PHOTOMETRIC)
        is_float = self.first(SAMPLE_FORMAT) == _FLOATS
        bits = self.first(BITS, 1)
        samples = self.first(SAMPLES, 1)
        packed = self.first(COMPRESSION, 1)
        is_odd_lab = kind in (_ICC_LAB, _ITU_LAB) or (kind == _LAB and self.extra_samples > 0)
        reasons = {
            "has JPEG in the old style of TIFF, which is not read; save it as PNG": (
                self.first(COMPRESSION) == _OLD_JPEG
            ),
            "is CIE Lab of a kind that is not read; save it in RGB": is_odd_lab,
            "has signed values, which are not read; save it with 8 or 16 bits": (
                kind != _LAB and self.first(SAMPLE_FORMAT) == _SIGNED
            ),
            "has floats of 64 bits, which are not read; save it with floats of 32 bits": (
                is_float and bits > _WIDEST_FLOATS
            ),
            "says that white is zero in floats, which is not read; save it in RGB": (
                is_float and kind == _WHITE_IS_ZERO
            ),
            "is CMYK in floats, which is not read; save it in RGB": is_float and kind == _CMYK,
            "is CMYK of 32 bits, which is not read; save it with 8 or 16 bits": (
                kind == _CMYK and bits > _DEEP
            ),
            "is CMYK of 16 bits, multiplied by alpha, which is not read; save it without alpha": (
                kind == _CMYK and bits == _DEEP and self.alpha == ASSOCIATED
            ),
            f"has {bits} bits per channel, which are not read; save it with 8 or 16 bits": (
                bits not in _DEPTHS
            ),
            f"has {bits} bits in each of {samples} channels, which are not read; save it with 8 or "
            "16 bits": bits < _BYTE and samples > 1,
            f"has a palette of {bits} bits, which is not read; save it in RGB": (
                kind == _PALETTE and bits > _BYTE
            ),
            "has a palette beside colors multiplied by alpha, which is not read; save it in RGB": (
                kind == _PALETTE and self.alpha == ASSOCIATED
            ),
            f"is packed in a way that is not read (Compression {packed}); save it with LZW": (
                packed not in _COMPRESSIONS
            ),
            "has its channels in tiles of their own, which are not read; save it without": (
                self.first(PLANES) == _SEPARATE and TILE_WIDTH in self.tags and samples > 1
            ),
        }
        for reason, is_so in reasons.items():
            if is_so:
                return reason
        return ""

    @property
    def extra_samples(self) -> int:
        """Number of channels beside color; 0 for CMYK, whose alpha libvips does not read."""
        colors = _COLORS.get(self.first(PHOTOMETRIC), 0)
        if not colors or colors == len("CMYK"):
            return 0
        return max(0, self.first(SAMPLES, colors) - colors)

    @property
    def alpha(self) -> int:
        """Kind of the alpha: ASSOCIATED, UNASSOCIATED, or 0 if no extra sample is alpha."""
        kinds = self.tags.get(EXTRA_SAMPLES, ())
        return next((kind for kind in (ASSOCIATED, UNASSOCIATED) if kind in kinds), 0)

    @property
    def alpha_at(self) -> int:
        """Index of the alpha among the extra samples; 0 without alpha."""
        kinds = self.tags.get(EXTRA_SAMPLES, ())
        places = [place for place, kind in enumerate(kinds) if self.alpha and kind == self.alpha]
        if self.alpha == ASSOCIATED:
            return places[-1]  # by which libvips divides
        return places[0] if places else 0

    @property
    def is_divided_wrongly(self) -> bool:
        """True if libvips divides the colors by alpha with a wrong value for opaque."""
        is_float = self.first(SAMPLE_FORMAT) == _FLOATS
        return self.alpha == ASSOCIATED and (is_float or self.first(BITS) > _DEEP)


def directories(data: bytes) -> list[Directory]:
    """Return the directories of a file's pages, up to a damaged one.

    The list is empty if the file is no TIFF.
    """
    reader = _Reader.of(data)
    return [] if reader is None else list(reader.pages())


def exif(data: bytes) -> bytes:
    """Return the whole file as EXIF, whose format is TIFF; empty if it cannot serve as EXIF.

    It cannot if it is a BigTIFF, if its first directory is damaged, or if its values have more than
    _LARGEST_TAGS bytes, because readers of EXIF load all values.
    """
    reader = _Reader.of(data)
    page = None if reader is None or reader.is_big else next(reader.pages(), None)
    if reader is None or page is None:
        return b""
    inner = [reader.directory(page.first(tag)) for tag in (EXIF, GPS) if tag in page.tags]
    size = page.size + sum(each.size for each in inner if each is not None)
    return data if size <= _LARGEST_TAGS else b""


def undivided(data: bytes, page: Directory) -> bytes:
    """Return the file with a `page` of which libvips divides no colors by alpha."""
    reader = _Reader.of(data)
    if reader is None or EXTRA_SAMPLES not in page.parts:
        return data
    letter, count_at, at = page.parts[EXTRA_SAMPLES]
    kinds = [UNASSOCIATED if kind == ASSOCIATED else kind for kind in page.tags[EXTRA_SAMPLES]]
    packed = struct.pack(f"{reader.order}{len(kinds)}{letter}", *kinds)
    at = reader.place(letter, count_at, at)
    view = memoryview(data)
    return b"".join((view[:at], packed, view[at + len(packed) :]))


def color_space(data: bytes, page: Directory) -> tuple[int, str]:
    """Return ColorSpace and the index of interoperability in a page's EXIF.

    They are 0 and empty if they are not stated.
    """
    reader = _Reader.of(data)
    exif = None if reader is None else reader.directory(page.first(EXIF))
    if reader is None or exif is None:
        return 0, ""
    inner = reader.directory(exif.first(INTEROPERABILITY))
    index = () if inner is None else inner.tags.get(1, ())
    return exif.first(COLOR_SPACE), bytes(each & 0xFF for each in index).decode("latin-1")


def is_raw(data: bytes) -> bool:
    """Return whether a file is camera raw in the container of TIFF (law 18)."""
    reader = _Reader.of(data)
    if reader is None:
        return False
    inner = set[int]()
    for page in reader.pages():
        if DNG_VERSION in page.tags or page.is_raw:
            return True
        inner.update(page.tags.get(INNER_DIRECTORIES, ()))
    found = map(reader.directory, sorted(inner)[:_MAX_DIRECTORIES])
    return any(each is not None and each.is_raw for each in found)


def cut_raw(data: bytes) -> bool:
    """Return whether parts of a raw picture lie beyond the end of the file, or are damaged JPEG.

    In place of these parts LibRaw would silently show uninitialized memory.
    """
    reader = _Reader.of(data)
    if reader is None:
        return False
    pages = list(reader.pages())
    places = {at for page in pages for at in page.tags.get(INNER_DIRECTORIES, ())}
    inner = map(reader.directory, sorted(places)[:_MAX_DIRECTORIES])
    raw = [page for page in (*pages, *filter(None, inner)) if page.is_raw]
    return any(not _is_whole(reader, page) for page in raw[:_MAX_RAW])


def _is_whole(reader: "_Reader", page: Directory) -> bool:
    is_jpeg = page.first(COMPRESSION) == _JPEG
    data = reader.data
    for starts, lengths in ((STRIPS, STRIP_BYTES), (TILES, TILE_BYTES)):
        every = zip(reader.parts(page, starts), reader.parts(page, lengths), strict=False)
        for at, length in every:
            if at + length > len(data) or (is_jpeg and data[at : at + 2] != b"\xff\xd8"):
                return False
    return True


def main_page(pages: list[Directory]) -> int:
    """Return the index of the first page that is neither a reduced copy nor a mask.

    Without such a page it is 0.
    """
    for number, page in enumerate(pages):
        if page.is_picture:
            return number
    return 0


@dataclass(frozen=True)
class _Reader:
    data: bytes
    order: str
    """Byte order for `struct`: `<` or `>`."""
    is_big: bool
    """True for BigTIFF, with offsets of 8 bytes."""

    @classmethod
    def of(cls, data: bytes) -> "_Reader | None":
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None or len(data) < _SHORTEST:
            return None
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        return cls(data, order, version == _BIG) if version in (_PLAIN, _BIG) else None

    def pages(self) -> Iterator[Directory]:
        """Yield the directories of the pages, which form a chain, up to a damaged one."""
        at = self._offset(8 if self.is_big else 4)
        places = set[int]()
        while at and at not in places and len(places) < _MAX_DIRECTORIES:
            places.add(at)
            found = self._read(at)
            if found is None:
                return
            directory, at = found
            yield directory

    def directory(self, at: int) -> Directory | None:
        """Return the directory at the offset `at` in the file; None if it is damaged."""
        found = self._read(at)
        return None if found is None else found[0]

    def _offset(self, at: int) -> int:
        kind = "Q" if self.is_big else "I"
        try:
            (offset,) = struct.unpack_from(f"{self.order}{kind}", self.data, at)
        except struct.error:
            return 0
        return int(offset)

    def _read(self, at: int) -> tuple[Directory, int] | None:
        """Return the directory at the offset `at`, and the offset of the next one; 0 is the end.

        Return None if the directory is damaged.
        """
        count_format, entry, value = ("Q", 20, 12) if self.is_big else ("H", 12, 8)
        start = at + struct.calcsize(f"={count_format}")
        tags = dict[int, tuple[int, ...]]()
        where = dict[int, Part]()
        size = 0
        try:
            (count,) = struct.unpack_from(f"{self.order}{count_format}", self.data, at)
            if count > _MAX_ENTRIES:
                return None
            for index in range(count):
                place = start + index * entry
                tag, kind = struct.unpack_from(f"{self.order}HH", self.data, place)
                letter = _SIZES.get(kind)
                if letter is not None and tag not in tags:  # libtiff takes the first, too
                    tags[tag] = self._values(letter, place + 4, place + value)
                    where[tag] = letter, place + 4, place + value
                size += self._count(place + 4) * _WIDTHS.get(kind, 1)
        except struct.error:
            return None
        parts = {tag: where[tag] for tag in _PARTS if tag in where}
        return Directory(tags, parts, size), self._offset(start + count * entry)

    def parts(self, page: Directory, tag: int) -> tuple[int, ...]:
        """Return all values of a tag about strips or tiles; empty without sound values."""
        if tag not in page.parts:
            return ()
        try:
            return self._values(*page.parts[tag], _MOST_PARTS)
        except struct.error:
            return ()

    def place(self, letter: str, count_at: int, at: int) -> int:
        """Return the place of the values of a Part: `at`, unless they are too long for it."""
        size = self._count(count_at) * struct.calcsize(f"={letter}")
        return self._offset(at) if size > (8 if self.is_big else 4) else at

    def _count(self, at: int) -> int:
        kind = "Q" if self.is_big else "I"
        return int(struct.unpack_from(f"{self.order}{kind}", self.data, at)[0])

    def _values(
        self, letter: str, count_at: int, at: int, most: int = _MAX_VALUES
    ) -> tuple[int, ...]:
        count = min(self._count(count_at), most)
        at = self.place(letter, count_at, at)
        values = struct.unpack_from(f"{self.order}{count}{letter}", self.data, at)
        return values or (0,)
