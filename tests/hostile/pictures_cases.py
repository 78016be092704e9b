"""Hostile pictures: bombs, loops, absurd lengths, damage; as content, style, mask and start."""

import io
import struct
import zipfile
from collections.abc import Callable
from functools import partial

from hypothesis import strategies as st
from tests.daemon.ingest.inspection.files import KINDS, chunk, endless_gif, made
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


def _on_a_canvas(gif: bytes) -> bytes:
    return gif[:6] + struct.pack("<HH", 6_000, 6_000) + gif[10:]


IFD_LOOP = [(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8), (0x0112, 3, 1, 6)]
HUGE_COUNTS = [(0x0112, 3, 0xFFFFFFFF, 8), (0x9286, 7, 0x7FFFFFFF, 8), (0x010F, 2, 1 << 31, 0)]

PNG: dict[str, Callable[[], bytes]] = {
    "225 megapixels in 0.7 MB": lambda: bombs.flat_png(15_000, 15_000),
    "39 megapixels of 64 bits": lambda: bombs.flat_png(6_500, 6_000, bombs.DEEP),
    "a column of 30,000,000 pixels": lambda: bombs.flat_png(1, 30_000_000, bombs.GRAY),
    "10 gigapixels that are claimed only": lambda: bombs.png(100_000, 100_000, bombs.RGB, b""),
    "4 GB of data for 192 pixels": lambda: bombs.png(
        16, 12, bombs.RGB, bombs.deflated_zeros(4 * GIB)
    ),
    "a text of 2 GB in zTXt": lambda: bombs.png_with(
        chunk(b"zTXt", b"a\0\0" + bombs.deflated_zeros(2 * GIB))
    ),
    "a text of 2 GB in iTXt": lambda: bombs.png_with(
        chunk(b"iTXt", b"a\0\1\0\0\0" + bombs.deflated_zeros(2 * GIB))
    ),
    "a profile of 2 GB in iCCP": lambda: bombs.png_with(
        chunk(b"iCCP", b"bomb\0\0" + bombs.deflated_zeros(2 * GIB))
    ),
    "a chunk of 4 GB that ends at once": lambda: bombs.png_with(b"\xff\xff\xff\xffiCCPabcd"),
    "a million empty texts": lambda: bombs.png_with(chunk(b"tEXt", b"a\0b") * 1_000_000),
}
JPEG: dict[str, Callable[[], bytes]] = {
    "65,500 pixels square in 17 MB": lambda: bombs.flat_jpeg(65_500, 65_500),
    "3,000 scans over 36 megapixels": lambda: bombs.progressive_jpeg(6_000, 6_000, 3_000),
    "an EXIF that loops": lambda: bombs.jpeg_with(bombs.segment(0xE1, bombs.exif(IFD_LOOP, 8))),
    "an EXIF of absurd counts": lambda: bombs.jpeg_with(
        bombs.segment(0xE1, bombs.exif(HUGE_COUNTS))
    ),
    "a million comments": lambda: bombs.jpeg_with(bombs.segment(0xFE, b"") * 1_000_000),
}
TIFF: dict[str, Callable[[], bytes]] = {
    "225 megapixels in 0.2 MB": lambda: bombs.tiff_of(
        15_000, 15_000, 8, bombs.deflated_zeros(15_000**2)
    ),
    "a strip of 4 GB that is claimed only": lambda: bombs.tiff_of(
        6_000, 6_000, 1, b"\0", size=2**32 - 1
    ),
    "a directory that follows itself": lambda: bombs.tiff_of(1, 1, 1, b"\0", following=9),
}
GIF: dict[str, Callable[[], bytes]] = {
    "100,000 pictures on a canvas of 36 megapixels": lambda: _on_a_canvas(endless_gif(100_000)),
}
WEBP: dict[str, Callable[[], bytes]] = {
    "240 megapixels in 60 bytes": lambda: bombs.riff((b"VP8L", bombs.flat_vp8l(16_000, 15_000))),
    "a profile of 50 MB": lambda: bombs.riff(
        (b"VP8X", bombs.canvas(8, 8, 0x20)),
        (b"ICCP", bytes(50_000_000)),
        (b"VP8L", bombs.flat_vp8l(8, 8)),
    ),
}
PPM: dict[str, Callable[[], bytes]] = {
    "a width of 5,000 digits": lambda: b"P6\n" + b"1" * 5_000 + b" 1\n255\n\0\0\0",
    "50 MB of blanks": lambda: b"P3\n4 4\n255\n" + b" " * 50_000_000,
    "50 MB of blanks in its head": lambda: b"P6" + b" " * 50_000_000 + b"4 4 255 ",
    "36 megapixels in letters": lambda: b"P2 6000 6000 1 " + b"0 " * 36_000_000,
}
BMP: dict[str, Callable[[], bytes]] = {
    "2 to the 31st pixels high": lambda: bombs.bmp(1, -(2**31), 24, 0, b"\0"),
    "240 megapixels of runs": lambda: bombs.flat_bmp(16_000, 15_000),
}
BOXES: dict[str, Callable[[], bytes]] = {
    "HEIC of 2 to the 31st pixels square": lambda: bombs.resized(
        bombs.heic(), 2**31 - 1, 2**31 - 1
    ),
    "AVIF that says 6,000 pixels square": lambda: bombs.resized(made("avif"), 6_000, 6_000),
    "a box of 2 to the 63rd bytes": lambda: (
        bombs.heic()[:40] + struct.pack(">I4sQ", 1, b"mdat", 2**63)
    ),
}
NO_PICTURES: dict[str, Callable[[], bytes]] = {
    "an archive": _zipped,
    "a program for a printer": lambda: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"
    ),
    "zeros, 20 MB": lambda: bytes(20_000_000),
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
for title, data in NO_PICTURES.items():
    case("pictures", f"named content.jpg: {title}")(partial(_as, "content.jpg", data))

WORST: dict[str, Callable[[], bytes]] = {
    "png": PNG["225 megapixels in 0.7 MB"],
    "jpg": JPEG["3,000 scans over 36 megapixels"],
    "ppm": PPM["50 MB of blanks"],
}
for role in ("style", "content.mask", "init"):
    for ending, data in WORST.items():
        case("pictures", f"a bomb as {role}.{ending}")(partial(_as, f"{role}.{ending}", data))


@case("pictures", "many bombs at once, in an album")
def album_of_bombs(world: World) -> None:
    made_here = world.make("album")
    (made_here / "content.jpg").unlink()
    for ending, kinds in FORMATS.values():
        (made_here / f"picture.{ending}").write_bytes(next(iter(kinds.values()))())
    made_here.rename(world.inbox / "album")


def _damaged(kind: str, world: World) -> None:
    whole = bombs.heic() if kind == "heic" else made(kind)
    place = st.tuples(st.floats(0, 1), st.integers(0, 255))
    cuts = st.one_of(st.just(1.0), st.floats(0, 1))
    hurt = st.builds(bombs.damaged, st.just(whole), st.lists(place, max_size=6), cuts)
    for example in world.examples(hurt):
        world.drop_hostile({"content.jpg": example})


for kind in (*KINDS, "heic"):
    case("damage", f"cut off and damaged at random: {kind}")(partial(_damaged, kind))
