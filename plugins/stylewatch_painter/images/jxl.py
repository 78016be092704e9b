"""Decoding of JPEG XL, which needs the extra `jxl`, and reading of its header, which does not."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.boxes import boxes
from stylewatch_painter.installation import install_command, library
from stylewatch_painter.size import Size

_BYTES, _BYTES_WITH_ALPHA = 20, 38
"""Bytes per pixel that decoding takes, without and with alpha."""

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Ratios of width and height by their number in the head (ISO 18181-1, annex D)."""

_FIRST_ON_ITS_SIDE = 5 - 1
"""First orientation that swaps width and height, minus 1 as in the head."""

_ANY_DEPTH = 3
"""Code in the head for a depth that six further bits state."""


class Decoded:
    """A decoded file: `values` are the bytes of a picture in Pillow's `mode`, or a JPEG file.

    `profile` and `exif` are bytes, empty if the file has none. The constructor raises PictureError
    if the extra is missing, LibraryError if it cannot be loaded, and any error of libjxl.
    """

    def __init__(self, data: bytes) -> None:
        if find_spec("pillow_jxl") is None:
            raise PictureError(
                f"is JPEG XL, which needs an extra: {install_command('jxl')}, or save it as PNG"
            )
        decoder = library("pillow_jxl").Decoder(num_threads=0)
        self.is_jpeg: bool
        """True if `values` is the JPEG file from which the JPEG XL file was made."""
        self.is_jpeg, info, self.values, profile, boxes = decoder(data)
        self.mode: str = info.mode
        self.size = Size(info.width, info.height)
        self.profile = bytes(profile or b"")
        self.exif = _exif_of(boxes)


def _exif_of(boxes: Any) -> bytes:
    """Return the EXIF in `boxes`; empty if there is none.

    The first 4 bytes of the box `Exif` are the offset of the EXIF in the rest of the box.
    """
    for box in boxes:
        if box.box_type == b"Exif":
            content = bytes(box.data)
            return content[4 + int.from_bytes(content[:4]) :]
    return b""


def is_of_jpeg(data: bytes) -> bool:
    """Return whether a file has the box `jbrd`, with which the original JPEG can be restored."""
    return data[:12] == _CONTAINER and any(kind == b"jbrd" for kind, _ in boxes(data))


@dataclass(frozen=True)
class Head:
    """The upright size of a picture and the bytes per pixel that decoding takes, from its head."""

    size: Size
    bytes_per_pixel: int


def head_of(data: bytes) -> Head:
    """Read the size and the decoding cost of a picture from the head of its file.

    The format of the head is in ISO 18181-1, annex D. Raises EOFError if the head is cut off, and
    PictureError for an animation, of which the decoder would return the last frame.
    """
    bits = _Bits(_codestream(data)[2:34])
    size = _size(bits)
    if bits.take(1):  # nothing else is stated
        return Head(size, _BYTES)
    has_fields = bits.take(1)
    if has_fields and bits.take(3) >= _FIRST_ON_ITS_SIDE:
        size = size.turned
    return Head(size, _BYTES_WITH_ALPHA if _may_have_alpha(bits, has_fields) else _BYTES)


def _may_have_alpha(bits: "_Bits", has_fields: int) -> bool:
    """Return whether the picture may have more channels than colors.

    Raises PictureError for an animation.
    """
    if has_fields:
        if bits.take(1):  # another size for display
            _size(bits)
        if bits.take(1):
            _pass_preview(bits)
        if bits.take(1):
            raise PictureError("is an animated JPEG XL, which is not read; export its first frame")
    is_float = bits.take(1)
    depth = bits.take(2)
    if depth == _ANY_DEPTH:
        bits.take(6)
    bits.take(4 * is_float + 1)  # bits of the exponent; a flag for buffers of 16 bits
    return bits.take(2) > 0


def _pass_preview(bits: "_Bits") -> None:
    """Skip the size of a preview, whose sides have other numbers of bits than the picture's."""
    lengths = (0, 0, 5, 9) if bits.take(1) else (6, 8, 10, 12)  # in units of 8 pixels, or of one
    bits.take(lengths[bits.take(2)])
    if _RATIOS[bits.take(3)] is None:
        bits.take(lengths[bits.take(2)])


def _size(bits: "_Bits") -> Size:
    is_small = bits.take(1)
    height = _side(bits, is_small)
    ratio = _RATIOS[bits.take(3)]
    width = _side(bits, is_small) if ratio is None else height * ratio[0] // ratio[1]
    return Size(width, height)


def _side(bits: "_Bits", is_small: int) -> int:
    return 8 * (bits.take(5) + 1) if is_small else bits.number()


def _codestream(data: bytes) -> bytes:
    """Return the first 64 bytes of the codestream, which is the whole file or in its boxes.

    Raises EOFError if no box has a codestream.
    """
    if data[:12] != _CONTAINER:
        return data[:64]
    for kind, body in boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            return body[4 * (kind == b"jxlp") :][:64]
    raise EOFError("it has no pictures")


class _Bits:
    """Reader of the bits of a head; the lowest bit of each byte comes first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise EOFError("its head is cut off")
        self._left -= count
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def number(self) -> int:
        """Read a side, which is stored minus 1 in 9, 13, 18 or 30 bits."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1
