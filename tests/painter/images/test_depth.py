"""The bits of a channel, and what white is, as the file has it and as Pillow hands it out."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.images.depth import Depth, depth_of


def found(data: bytes) -> Depth:
    return depth_of(Image.open(io.BytesIO(data)), data)


def saved(image: Image.Image, format: str) -> bytes:
    content = io.BytesIO()
    image.save(content, format)
    return content.getvalue()


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


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_usual_pictures_have_at_most_8_bits_and_a_known_white(mode: str) -> None:
    for format in ("PNG", "TIFF"):
        depth = found(saved(Image.new(mode, (2, 2)), format))
        assert depth.bits <= 8 and depth.white is None and not depth.inverted


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_gray_of_16_bits_has_its_white_at_the_top(format: str) -> None:
    image = Image.fromarray(np.zeros((2, 2), dtype=np.uint16))
    assert found(saved(image, format)) == Depth(16, 65535)


def test_a_tiff_of_12_bits_has_its_white_at_4095() -> None:
    assert found(tiff([12], 1, b"\xff\xf0\x00")) == Depth(12, 4095)


def test_a_tiff_that_counts_from_white_to_black_is_inverted() -> None:
    assert found(tiff([16], 0, bytes(4))) == Depth(16, 65535, inverted=True)


def test_colors_of_more_than_8_bits_are_noticed() -> None:
    assert found(tiff([16, 16, 16], 2, bytes(12))).bits == 16
    assert found(b"P6 1 1 1023\n" + bytes(6)).bits == 10
    assert found(b"P6 1 1 255\n" + bytes(3)).bits == 8
    assert found(b"P6 1 1 100\n" + bytes(3)).bits == 8
    assert found(b"P3 1 1 65535\n1 2 3").bits == 16


def test_a_plane_of_32_bits_leaves_white_open() -> None:
    for kind in (np.int32, np.float32):
        assert found(saved(Image.fromarray(np.zeros((2, 2), dtype=kind)), "TIFF")) == Depth(32)


def test_a_reader_that_knows_its_bits_is_believed() -> None:
    image = Image.new("RGB", (2, 2))
    image.info["bit_depth"] = 10  # as the reader of HEIC has it
    assert depth_of(image, b"") == Depth(10)
