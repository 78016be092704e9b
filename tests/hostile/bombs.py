"""Pictures that mean harm, as bytes: small files that claim, or unfold to, far too much.

Nothing is ever unfolded here: compressed data is written as blocks that repeat.
"""

import io
import struct
import zlib
from collections.abc import Iterable, Sequence

from PIL import Image
from tests.daemon.intake.inspection.files import chunk, made, saved

MIB = 1 << 20
ADLER = 65521


def deflated_zeros(count: int) -> bytes:
    """Return `count` zero bytes, compressed by zlib."""
    compressor = zlib.compressobj(9)
    first = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(max(count, MIB), MIB)
    tail = zlib.compressobj(9, zlib.DEFLATED, -15)
    ending = tail.compress(bytes(rest)) + tail.flush()
    checksum = (max(count, MIB) % ADLER) << 16 | 1
    return first + block * (blocks - 1) + ending + struct.pack(">I", checksum)


def png(size: tuple[int, int], data: bytes, extra: bytes = b"") -> bytes:
    """Return a PNG that says it has this size; `extra` is further chunks."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flat_png(width: int, height: int) -> bytes:
    """Return a whole PNG of one color, however large."""
    return png((width, height), deflated_zeros((1 + 3 * width) * height))


def png_with(kind: bytes, data: bytes) -> bytes:
    """Return a small PNG with one chunk more."""
    return png((16, 12), zlib.compress((b"\0" + bytes(48)) * 12), chunk(kind, data))


def segment(marker: int, data: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _frame(marker: int, width: int, height: int) -> bytes:
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    frame = segment(marker, struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0))
    return b"\xff\xd8" + tables + frame


def _codes(table: int, symbol: int) -> bytes:
    """Return a Huffman table whose one code, a zero bit, means `symbol`."""
    return segment(0xC4, bytes([table, 1]) + bytes(15) + bytes([symbol]))


def _scan(first: int, last: int, data: bytes) -> bytes:
    return segment(0xDA, bytes([1, 1, 0, first, last, 0])) + data


def progressive_jpeg(width: int, height: int, scans: int) -> bytes:
    """Return a gray JPEG of so many scans, each of which goes over the whole picture."""
    blocks = -(-width // 8) * -(-height // 8)
    start = _codes(0x00, 0) + _codes(0x10, 0xE0) + _scan(0, 0, bytes(-(-blocks // 8)))
    runs = -(-blocks // (1 << 14))  # one code and 14 bits say that so many blocks are empty
    again = _scan(1, 63, bytes(-(-15 * runs // 8)))
    return _frame(0xC2, width, height) + start + again * scans + b"\xff\xd9"


def jpeg_with(segment: bytes) -> bytes:
    """Return a small JPEG with another segment at its beginning."""
    whole = made("jpeg")
    return whole[:2] + segment + whole[2:]


Entry = tuple[int, int, int, int]
SHORT, LONG = 3, 4


def tiff(entries: Iterable[Entry], data: bytes = b"", following: int = 0) -> bytes:
    """Return a TIFF whose one directory follows its `data`, which begins at byte 8."""
    listed = sorted(entries)
    at = 8 + len(data)
    directory = b"".join(struct.pack("<HHII", *entry) for entry in listed)
    head = b"II*\0" + struct.pack("<I", at) + data
    return head + struct.pack("<H", len(listed)) + directory + struct.pack("<I", following)


def tiff_of(width: int, height: int, compression: int, data: bytes, following: int = 0) -> bytes:
    """Return a gray TIFF of one strip."""
    return tiff(
        [(256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, 8),
         (259, SHORT, 1, compression), (262, SHORT, 1, 1), (273, LONG, 1, 8), (277, SHORT, 1, 1),
         (278, LONG, 1, height), (279, LONG, 1, len(data))],
        data, following,
    )  # fmt: skip


def tiff_of_directories(pages: int) -> bytes:
    """Return a TIFF of so many pages, each of which names one large directory 64 times."""
    entry = struct.pack("<HHII", 270, LONG, 64, 8)
    page, large = 2 + 12 + 4, 8
    named = large + 2 + 12 * 4096 + 4
    first = named + 64 * 4
    head = b"II*\0" + struct.pack("<I", first) + struct.pack("<H", 4096) + entry * 4096 + bytes(4)
    head += struct.pack("<64I", *[large] * 64)
    inner = struct.pack("<HHHII", 1, 330, LONG, 64, named)
    following = (first + page * (number + 1) for number in range(pages))
    return head + b"".join(inner + struct.pack("<I", at) for at in following)


def tiff_of_tags(tags: Iterable[int], kind: int, count: int) -> bytes:
    """Return a TIFF of one gray pixel with these tags as well, each with so many values."""
    size = {SHORT: 2, LONG: 4}[kind]
    entries = [(256, LONG, 1, 1), (257, LONG, 1, 1), (258, SHORT, 1, 8), (259, SHORT, 1, 1),
               (262, SHORT, 1, 1), (277, SHORT, 1, 1), (278, LONG, 1, 1)]  # fmt: skip
    last = [(273, LONG, 1, 8), (279, LONG, 1, 1)]
    return tiff([*entries, *[(tag, kind, count, 8) for tag in tags], *last], bytes(size * count))


CR2 = b"II*\0\x10\0\0\0CR\2\0"
"""Head of a raw file of Canon."""


def dng(width: int, height: int) -> bytes:
    """Return a DNG whose sensor has this size, and no values."""
    byte = 1
    return tiff(
        [(254, LONG, 1, 0), (256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, 16),
         (259, SHORT, 1, 1), (262, SHORT, 1, 32803), (273, LONG, 1, 8), (277, SHORT, 1, 1),
         (278, LONG, 1, height), (279, LONG, 1, min(2 * width * height, 2**32 - 1)),
         (33421, SHORT, 2, 0x20002), (33422, byte, 4, 0x02010100), (50706, byte, 4, 0x0401)],
        b"\0\0",
    )  # fmt: skip


def jxl_head(side: int) -> bytes:
    """Return the head of a square JPEG XL: the side, less 1, in 30 bits, and a ratio of 1 to 1."""
    bits = 3 << 1 | (side - 1) << 3 | 1 << 33
    return b"\xff\x0a" + bits.to_bytes(8, "little")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def flat_vp8l(width: int, height: int) -> bytes:
    """Return the data of a lossless picture of one color: no bits at all for a pixel."""
    data = saved(Image.new("RGB", (1, 1)), {"format": "WEBP", "lossless": True})[20:]
    (head,) = struct.unpack("<I", data[1:5])
    return data[:1] + struct.pack("<I", head | (width - 1) | (height - 1) << 14) + data[5:]


def canvas(width: int, height: int, flags: int = 0) -> bytes:
    """Return the data of the chunk that says how large a WebP is."""
    sizes = ((side - 1).to_bytes(3, "little") for side in (width, height))
    return struct.pack("<B3x", flags) + b"".join(sizes)


def animated_webp(width: int, height: int, frames: int) -> bytes:
    """Return an animation of frames of one pixel on a canvas of this size."""
    still = flat_vp8l(1, 1)
    still += b"\0" * (len(still) % 2)
    inner = b"VP8L" + struct.pack("<I", len(still)) + still
    frame = (b"ANMF", bytes(6) + bytes(6) + b"\x0a\0\0" + b"\0" + inner)
    head = [(b"VP8X", canvas(width, height, 2)), (b"ANIM", bytes(6))]
    return riff(*head, *[frame] * frames)


def resized(data: bytes, width: int, height: int) -> bytes:
    """Return an AVIF or HEIC that says it has another size, wherever it says so."""
    at, found = 0, bytearray(data)
    while (at := data.find(b"ispe", at) + 4) > 3:
        found[at + 4 : at + 12] = struct.pack(">II", width, height)
    return bytes(found)


def gif(pictures: int, milliseconds: int) -> bytes:
    """Return an animation of small pictures, each of which lasts so long."""
    file = io.BytesIO()
    first, *rest = (Image.new("RGB", (16, 12), (number % 256, 9, 99)) for number in range(pictures))
    first.save(file, "GIF", save_all=True, append_images=rest, duration=milliseconds)
    return file.getvalue()


def heic() -> bytes:
    """Return a small HEIC."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(file, quality=50)
    return file.getvalue()


def damaged(data: bytes, places: Sequence[tuple[float, int]], cut: float) -> bytes:
    """Return `data` cut off at a share of its length, with other bytes at shares of that."""
    found = bytearray(data[: max(1, round(len(data) * cut))])
    for share, byte in places:
        found[min(len(found) - 1, int(share * len(found)))] = byte
    return bytes(found)
