"""Decoding of JPEG XL, which needs the extra `jxl`, and reading of its header, which does not."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

_DEPTHS, _FLOAT_DEPTHS = (8, 10, 12), (32, 16, 24)
"""Bits of a channel by their codes in the head, of whole numbers and of floats."""

_BYTE = 8  # bits

_ALPHA, _SPOT, _BLACK, _FILTER = 0, 2, 4, 5
"""Kinds of extra channels, with the color of a spot ink, and with a sensor's color filters."""

_LONGEST_HEAD = 1 << 14
"""Maximum bytes of a head, with the names of all extra channels."""

_BANDS = {"LA": 2, "RGB": 3, "RGBA": 4}
"""Number of channels by Pillow's modes; all others have one."""


class Decoded:
    """A decoded file: `values` are the bytes of a picture in Pillow's `mode`, or a JPEG file.

    `profile` and `exif` are bytes, empty if the file has none. `has_packed_exif` is True if the
    file has EXIF that is packed by Brotli, which is not read. The constructor raises PictureError
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
        self.has_packed_exif = any(
            box.box_type == b"brob" and bytes(box.data[:4]) == b"Exif" for box in boxes
        )

    def pixels(self, *, is_float: bool) -> NDArray[Any]:
        """Return the values (height, width, channels); they may have more than 8 bits in gray.

        `is_float` says whether the file has floats.
        """
        shape = (*self.size.shape, _BANDS.get(self.mode, 1))
        width = len(self.values) // (shape[0] * shape[1] * shape[2])  # bytes of a value
        kinds = {1: "u1", 2: "f2" if is_float else "u2", 4: "f4"}
        values = np.frombuffer(self.values, kinds[width]).reshape(shape)
        return values.astype(np.float32) if values.dtype == np.float16 else values


def _exif_of(boxes: Any) -> bytes:
    """Return the EXIF in `boxes`; empty if there is none.

    The first 4 bytes of the box `Exif` are the offset of the EXIF in the rest of the box; Pillow's
    plugin leaves them out.
    """
    for box in boxes:
        if box.box_type == b"Exif":
            content = bytes(box.data)
            if content[:4] in (b"II*\0", b"MM\0*"):
                return content
            return content[4 + int.from_bytes(content[:4]) :]
    return b""


def is_of_jpeg(data: bytes) -> bool:
    """Return whether a file has the box `jbrd`, with which the original JPEG can be restored."""
    return data[:12] == _CONTAINER and any(kind == b"jbrd" for kind, _ in boxes(data))


@dataclass(frozen=True)
class Head:
    """The head of a file, with the upright size and the bytes per pixel that decoding takes.

    `is_associated` is True if the colors are multiplied by alpha, and `is_float` if the file has
    floats. Colors are read in 8 bits per channel; `is_coarse` is True if that may lose shades: the
    file has more bits, or is lossy with a profile, so that its colors are read in linear light.
    """

    size: Size
    bytes_per_pixel: int
    is_associated: bool = False
    is_float: bool = False
    is_coarse: bool = False


def head_of(data: bytes) -> Head:
    """Read the size and the decoding cost of a picture from the head of its file.

    The format of the head is in ISO 18181-1, annex D. Raises EOFError if the head is cut off, and
    PictureError for CMYK, and for an animation, of which the decoder would return the last frame.
    """
    bits = _Bits(_codestream(data)[2:])
    size = _size(bits)
    if bits.take(1):  # nothing else is stated
        return Head(size, _BYTES)
    if bits.take(1):
        if bits.take(3) >= _FIRST_ON_ITS_SIDE:
            size = size.turned
        _pass_fields(bits)
    depth, is_float = _depth(bits)
    bits.take(1)  # buffers of 16 bits are enough
    channels = [_channel(bits) for _ in range(bits.chosen((0, 0), (1, 0), (2, 4), (1, 12)))]
    if any(channel.kind == _BLACK for channel in channels):
        raise PictureError("is JPEG XL in CMYK, which is not read; save it as PNG in RGB")
    alpha = next((channel for channel in channels if channel.kind == _ALPHA), None)
    is_lossy = bits.take(1)
    has_profile = not bits.take(1) and bits.take(1)
    return Head(
        size,
        _BYTES_WITH_ALPHA if channels else _BYTES,
        alpha is not None and alpha.is_associated,
        is_float,
        depth > _BYTE or bool(is_lossy and has_profile),
    )


def _pass_fields(bits: "_Bits") -> None:
    """Pass over the fields about display, a preview and an animation."""
    if bits.take(1):  # another size for display
        _size(bits)
    if bits.take(1):
        _pass_preview(bits)
    if bits.take(1):
        raise PictureError("is an animated JPEG XL, which is not read; export its first frame")


def _depth(bits: "_Bits") -> tuple[int, bool]:
    """Read the number of bits of a channel, and whether its values are floats."""
    is_float = bool(bits.take(1))
    code = bits.take(2)
    depths = _FLOAT_DEPTHS if is_float else _DEPTHS
    depth = bits.take(6) + 1 if code == _ANY_DEPTH else depths[code]
    bits.take(4 * is_float)  # bits of the exponent
    return depth, is_float


@dataclass(frozen=True)
class _Channel:
    kind: int
    is_associated: bool = False
    """True for alpha by which the colors are multiplied."""


def _channel(bits: "_Bits") -> _Channel:
    """Read what the head says of an extra channel."""
    if bits.take(1):  # nothing is stated
        return _Channel(_ALPHA)
    kind = bits.chosen((0, 0), (1, 0), (2, 4), (18, 6))
    _depth(bits)
    bits.chosen((0, 0), (3, 0), (4, 0), (1, 3))  # how often its sides are halved
    for _ in range(bits.chosen((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.take(_BYTE)  # of its name
    if kind == _ALPHA:
        return _Channel(kind, bool(bits.take(1)))
    if kind == _SPOT:
        bits.take(4 * 16)
    elif kind == _FILTER:
        bits.chosen((1, 0), (0, 2), (3, 4), (19, 8))
    return _Channel(kind)


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
    """Return the start of the codestream, which is the whole file or in its boxes.

    At most _LONGEST_HEAD bytes of the file or of each box are used. Raises EOFError if no box has a
    codestream.
    """
    if data[:12] != _CONTAINER:
        return data[:_LONGEST_HEAD]
    found = b""
    for kind, body in boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            found += body[4 * (kind == b"jxlp") :][:_LONGEST_HEAD]
        if len(found) >= _LONGEST_HEAD:
            break
    if not found:
        raise EOFError("it has no pictures")
    return found


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

    def chosen(self, *choices: tuple[int, int]) -> int:
        """Read a number by one of four choices: the least number, and the bits that are added."""
        least, count = choices[self.take(2)]
        return least + self.take(count)

    def number(self) -> int:
        """Read a side, which is stored minus 1 in 9, 13, 18 or 30 bits."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1
