"""Hostile pictures: bombs, loops, absurd lengths, damage; as content, style, mask and start."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

from hypothesis import strategies as st
from tests.daemon.intake.inspection.files import KINDS, chunk, endless_gif, made
from tests.hostile import bombs
from tests.hostile.cases import case
from tests.hostile.world import World

GIB = 1 << 30
DECODED_WITHIN = 90.0
"""Seconds; a picture may be looked at for half a minute, twice."""


def _zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("content.jpg", bytes(50_000_000))
    return file.getvalue()


def _text_chunks(count: int) -> bytes:
    return chunk(b"tEXt", b"a\0b") * count


def _overlong(kind: bytes, length: int) -> bytes:
    return struct.pack(">I", length) + kind + b"abcd"


def _laughs() -> bytes:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 9}">' for n in range(1, 30))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{levels}]><x>&l29;</x>'.encode()


def _on_a_canvas(gif: bytes) -> bytes:
    return gif[:6] + struct.pack("<HH", 6_000, 6_000) + gif[10:]


def _several() -> bytes:
    """Return an MPO that says it has four billion pictures."""
    index = bombs.tiff(
        [(45056, 7, 4, 0x30303130), (45057, 4, 1, 0xFFFFFFFF), (45058, 7, 1 << 31, 8)]
    )
    flat = bombs.flat_jpeg(64, 64)
    return flat[:2] + bombs.segment(0xE2, b"MPF\0" + index) + flat[2:]


def _gray(width: int, height: int, compression: int = 1) -> list[bombs.Entry]:
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression),
            (262, 3, 1, 1)]  # fmt: skip


def _tiles(side: int, count: int, size: int) -> list[bombs.Entry]:
    return [(322, 4, 1, side), (323, 4, 1, side), (324, 4, count, 8), (325, 4, count, size)]


IFD_LOOP = [(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8), (0x0112, 3, 1, 6)]
HUGE_COUNTS = [(0x0112, 3, 0xFFFFFFFF, 8), (0x9286, 7, 0x7FFFFFFF, 8), (0x010F, 2, 1 << 31, 0)]
PROFILE = b"bomb\0\0"
WHOLE_APP1 = b"Exif\0\0" + b"\xff" * 65_000

PNG: dict[str, Callable[[], bytes]] = {
    "225 megapixels in 0.7 MB": lambda: bombs.flat_png(15_000, 15_000),
    "100 megapixels of 64 bits": lambda: bombs.flat_png(10_000, 10_000, bombs.DEEP),
    "39 megapixels": lambda: bombs.flat_png(6_500, 6_000),
    "a line of 60,000,000 pixels": lambda: bombs.flat_png(60_000_000, 1, bombs.GRAY),
    "10 gigapixels that are claimed only": lambda: bombs.png(100_000, 100_000, bombs.RGB, b""),
    "no pixels at all": lambda: bombs.png(0, 0, bombs.RGB, zlib.compress(b"")),
    "4 GB of data for 192 pixels": lambda: bombs.png(
        16, 12, bombs.RGB, bombs.deflated_zeros(4 * GIB)
    ),
    "a text of 2 GB in zTXt": lambda: bombs.png_with(
        chunk(b"zTXt", b"a\0\0" + bombs.deflated_zeros(2 * GIB))
    ),
    "a profile of 2 GB in iCCP": lambda: bombs.png_with(
        chunk(b"iCCP", PROFILE + bombs.deflated_zeros(2 * GIB))
    ),
    "an EXIF of 50 MB": lambda: bombs.png_with(
        chunk(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 50_000_000)
    ),
    "a chunk of 4 GB that ends at once": lambda: bombs.png_with(_overlong(b"iCCP", 0xFFFFFFFF)),
    "a million empty texts": lambda: bombs.png_with(_text_chunks(1_000_000)),
    "an animation of 2 to the 32nd pictures": lambda: bombs.png_with(
        chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0))
    ),
}
JPEG: dict[str, Callable[[], bytes]] = {
    "65,500 pixels square in 17 MB": lambda: bombs.flat_jpeg(65_500, 65_500),
    "3,000 scans over 36 megapixels": lambda: bombs.progressive_jpeg(6_000, 6_000, 3_000),
    "an EXIF that loops": lambda: bombs.jpeg_with(bombs.segment(0xE1, bombs.exif(IFD_LOOP, 8))),
    "an EXIF of absurd counts": lambda: bombs.jpeg_with(
        bombs.segment(0xE1, bombs.exif(HUGE_COUNTS))
    ),
    "100 MB of EXIF": lambda: bombs.jpeg_with(bombs.segment(0xE1, WHOLE_APP1) * 1_600),
    "255 parts of a profile of garbage": lambda: bombs.jpeg_with(
        *(
            bombs.segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + b"x" * 60_000)
            for n in range(1, 256)
        )
    ),
    "an XMP that unfolds to 9 to the 29th": lambda: bombs.jpeg_with(
        bombs.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _laughs())
    ),
    "four billion pictures in an MPO": _several,
}
TIFF: dict[str, Callable[[], bytes]] = {
    "225 megapixels in 0.2 MB": lambda: bombs.tiff_of(
        15_000, 15_000, 8, bombs.deflated_zeros(15_000**2)
    ),
    "a strip of 4 GB that is claimed only": lambda: bombs.tiff_of(
        6_000, 6_000, 1, b"\0", size=2**32 - 1
    ),
    "a directory that follows itself": lambda: bombs.tiff_of(1, 1, 1, b"\0", following=9),
    "100,000 pages": lambda: bombs.many_directories(100_000),
    "tiles of one pixel over 36 megapixels": lambda: bombs.tiff(
        [*_gray(6_000, 6_000), *_tiles(1, 36_000_000, 8)]
    ),
    "absurd counts": lambda: bombs.tiff([*HUGE_COUNTS, (256, 4, 1, 9), (257, 4, 1, 9)]),
    "offsets of 2 to the 63rd (BigTIFF)": lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63),
}  # fmt: skip
GIF: dict[str, Callable[[], bytes]] = {
    "65,535 pixels square in 3 MB": lambda: bombs.flat_gif(65_535, 65_535),
    "100,000 pictures on a canvas of 36 megapixels": lambda: _on_a_canvas(endless_gif(100_000)),
}
WEBP: dict[str, Callable[[], bytes]] = {
    "268 megapixels in 60 bytes": lambda: bombs.riff((b"VP8L", bombs.flat_vp8l(16_384, 16_384))),
    "a canvas of 2 to the 24th pixels square": lambda: bombs.riff(
        (b"VP8X", bombs.canvas(2**24, 2**24)), (b"VP8L", bombs.flat_vp8l(1, 1))
    ),
    "100,000 pictures on a canvas of 36 megapixels": lambda: bombs.animated_webp(
        6_000, 6_000, 100_000
    ),
    "a profile of 50 MB": lambda: bombs.riff(
        (b"VP8X", bombs.canvas(8, 8, 0x20)),
        (b"ICCP", bytes(50_000_000)),
        (b"VP8L", bombs.flat_vp8l(8, 8)),
    ),
    "a chunk of 4 GB that ends at once": lambda: (
        b"RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff\x2f"
    ),
}
PPM: dict[str, Callable[[], bytes]] = {
    "a width of 5,000 digits": lambda: b"P6\n" + b"1" * 5_000 + b" 1\n255\n\0\0\0",
    "50 MB of blanks": lambda: b"P3\n4 4\n255\n" + b" " * 50_000_000,
    "a comment of 50 MB": lambda: b"P6\n#" + b"x" * 50_000_000 + b"\n4 4 255 " + bytes(48),
    "36 megapixels in letters": lambda: b"P2 6000 6000 1 " + b"0 " * 36_000_000,
    "numbers below zero": lambda: b"P6\n-4 -4\n255\n" + bytes(48),
}
BMP: dict[str, Callable[[], bytes]] = {
    "240 megapixels of runs": lambda: bombs.flat_bmp(16_000, 15_000),
    "36 megapixels of which there are none": lambda: bombs.bmp(6_000, 6_000, 8, 1, b"\0\1"),
    "jumps that leave the picture": lambda: bombs.bmp(600, 600, 8, 1, b"\0\2\xff\xff" * 100_000),
}
BOXES: dict[str, Callable[[], bytes]] = {
    "HEIC of 2 to the 31st pixels square": lambda: bombs.resized(
        bombs.heic(), 2**31 - 1, 2**31 - 1
    ),
    "AVIF of 2 to the 31st pixels square": lambda: bombs.resized(
        made("avif"), 2**31 - 1, 2**31 - 1
    ),
    "a box of no length": lambda: struct.pack(">I", 0) + bombs.heic()[4:],
    "a box of 2 to the 63rd bytes": lambda: (
        bombs.heic()[:40] + struct.pack(">I4sQ", 1, b"mdat", 2**63)
    ),
    "a million empty boxes": lambda: bombs.heic() + struct.pack(">I4s", 8, b"free") * 1_000_000,
}
NO_PICTURES: dict[str, Callable[[], bytes]] = {
    "a drawing (SVG) that unfolds": lambda: (
        _laughs().replace(b"<x>", b"<svg>").replace(b"</x>", b"</svg>")
    ),
    "an archive": _zipped,
    "a program": lambda: b"\x7fELF\2\1\1" + bytes(4096),
    "zeros, 20 MB": lambda: bytes(20_000_000),
}
POLYGLOTS: dict[str, Callable[[], bytes]] = {
    "a JPEG that is an archive too": lambda: made("jpeg") + _zipped(),
}
FORMATS = {
    "PNG": ("png", PNG),
    "JPEG": ("jpg", JPEG),
    "TIFF": ("tif", TIFF),
    "GIF": ("gif", GIF),
    "WebP": ("webp", WEBP),
    "PPM": ("ppm", PPM),
    "BMP": ("bmp", BMP),
    "HEIF": ("heic", BOXES),
}
"""Bombs by their format, with the ending of its files."""


def _as(name: str, data: Callable[[], bytes], world: World) -> None:
    world.drop_hostile({name: data()}, DECODED_WITHIN)


for kind, (ending, bombs_of_it) in FORMATS.items():
    for title, data in bombs_of_it.items():
        case("pictures", f"{kind}: {title}")(partial(_as, f"content.{ending}", data))
for title, data in {**NO_PICTURES, **POLYGLOTS}.items():
    case("pictures", f"named content.jpg: {title}")(partial(_as, "content.jpg", data))

WORST: dict[str, Callable[[], bytes]] = {
    "png": PNG["225 megapixels in 0.7 MB"],
    "jpg": JPEG["3,000 scans over 36 megapixels"],
    "ppm": PPM["50 MB of blanks"],
}
for role in ("style", "content.mask", "init"):
    for ending, data in WORST.items():
        case("pictures", f"a bomb as {role}.{ending}")(partial(_as, f"{role}.{ending}", data))


@case("pictures", "many bombs at once, in an album", alone=True)
def album_of_bombs(world: World) -> None:
    made_here = world.make("album")
    (made_here / "content.jpg").unlink()
    for ending, kinds in FORMATS.values():
        (made_here / f"picture.{ending}").write_bytes(next(iter(kinds.values()))())
    made_here.rename(world.inbox / "album")


def damaged(name: str, whole: bytes, world: World) -> None:
    """Drop contents of this name that are cut off and damaged."""
    place = st.tuples(st.floats(0, 1), st.integers(0, 255))
    cuts = st.one_of(st.just(1.0), st.floats(0, 1))
    hurt = st.builds(bombs.damaged, st.just(whole), st.lists(place, max_size=6), cuts)
    for example in world.examples(hurt):
        world.drop_hostile({name: example})


def _damaged(kind: str, world: World) -> None:
    damaged("content.jpg", bombs.heic() if kind == "heic" else made(kind), world)


for kind in (*KINDS, "heic"):
    case("damage", f"cut off and damaged at random: {kind}", alone=True)(partial(_damaged, kind))
