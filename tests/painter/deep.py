"""Pictures of 16 bits a channel, and files of them that other programs write."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Deep = NDArray[np.uint16]


def values(channels: int = 3, shape: tuple[int, int] = (9, 14)) -> Deep:
    found = np.random.default_rng(3).integers(0, 65536, (*shape, channels))
    return found.astype(np.uint16)


def png(picture: Deep) -> bytes:
    """A PNG without filters, of gray with alpha (2 channels), RGB (3) or RGBA (4)."""
    height, width, channels = picture.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def tiff(picture: Deep, *, big: bool = False, planar: bool = False, packed: bool = False) -> bytes:
    """A TIFF in one strip (or one for each plane), high or low bytes first, deflated or not."""
    height, width, channels = picture.shape
    end = ">" if big else "<"
    planes = [picture[..., c] for c in range(channels)] if planar else [picture]
    strips = [plane.astype(end + "u2").tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    fields: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (16,) * channels, 259: (8 if packed else 1,), 262: (2,),
        273: (0,) * len(strips), 277: (channels,), 278: (height,),
        279: tuple(len(strip) for strip in strips), 284: (2 if planar else 1,),
    }  # fmt: skip
    if channels == 4:
        fields[338] = (2,)
    beside = 8 + 2 + 12 * len(fields) + 4
    data = beside + sum(4 * len(one) for one in fields.values() if len(one) > 1)
    starts = [data + sum(map(len, strips[:at])) for at in range(len(strips))]
    fields[273] = tuple(starts)
    table, extra = struct.pack(end + "H", len(fields)), b""
    for tag, told in sorted(fields.items()):
        packed_values = struct.pack(f"{end}{len(told)}L", *told)
        inline = packed_values if len(told) == 1 else struct.pack(end + "L", beside + len(extra))
        extra += b"" if len(told) == 1 else packed_values
        table += struct.pack(end + "HHL", tag, 4, len(told)) + inline
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(end + "L", 8)
    return head + table + bytes(4) + extra + b"".join(strips)
