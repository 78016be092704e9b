"""The bits of a channel, and what white is, as the file has it and as Pillow hands it out."""

import io
import struct

from PIL import Image

from stylewatch_painter.images.depth import Depth, depth_of


def found(data: bytes) -> Depth:
    return depth_of(Image.open(io.BytesIO(data)), data)


def tiff(bits: list[int], photometric: int, content: bytes) -> bytes:
    """A little-endian TIFF of 2x1 pixels, written by hand."""
    many = len(bits) > 1
    after = 8 + 2 + 12 * 8 + 4
    entries = [
        (256, 4, 1, 2),
        (257, 4, 1, 1),
        (258, 3, len(bits), after if many else bits[0]),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, after + 2 * len(bits)),
        (277, 3, 1, len(bits)),
        (279, 4, 1, len(content)),
    ]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    sizes = struct.pack(f"<{len(bits)}H", *bits)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 8) + table + bytes(4) + sizes + content


def test_a_tiff_of_12_bits_has_its_white_at_4095() -> None:
    assert found(tiff([12], 1, b"\xff\xf0\x00")) == Depth(12, 4095)


def test_a_tiff_that_counts_from_white_to_black_is_inverted() -> None:
    assert found(tiff([16], 0, bytes(4))) == Depth(16, 65535, inverted=True)
