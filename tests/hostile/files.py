"""The table of hostile files: bombs, loops, absurd claims and lengths, damage; in every role.

A row has the name of the file in its job's folder, its bytes, and how the job must end.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.daemon.intake.inspection.files import endless_gif, made
from tests.hostile import bombs, strategies
from tests.painter.films import changing_size, film, flat, sound

GIB = 1 << 30
ANY, PAINTED = "", "painted"
"""Ends of a job, in place of a part of the one line in its reason.txt."""

Row = tuple[str, Callable[[], bytes], str]


def of(write: Callable[..., Path], name: str, *given: Any, **options: Any) -> bytes:
    """Return the file that `write` makes."""
    with TemporaryDirectory() as folder:
        return write(Path(folder) / name, *given, **options).read_bytes()


@cache
def mp4() -> bytes:
    """Return a film of 20 frames."""
    return of(film, "a.mp4", options={"bf": "2", "g": "8"})


def webm() -> bytes:
    """Return the same in another container, which does not say where it ends."""
    return of(film, "a.webm", "libvpx")


def of_8k(count: int) -> bytes:
    """Return a film of so many frames of 33 megapixels."""
    wide = [flat((200, 90, 30), (7680, 4320))] * count
    return of(film, "a.mp4", frames=wide, options={"preset": "ultrafast"})


def zipped() -> bytes:
    """Return an archive that unfolds to 50 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("content.jpg", bytes(50_000_000))
    return file.getvalue()


def laughs(tag: str) -> bytes:
    """Return an XML document whose entities unfold to 9 to the 29th."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 9}">' for n in range(1, 30))
    head = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{levels}]>'
    return f"{head}<{tag}>&l29;</{tag}>".encode()


def on_a_canvas(gif: bytes) -> bytes:
    """Return a GIF that says its pictures lie on 36 megapixels."""
    return gif[:6] + struct.pack("<HH", 6_000, 6_000) + gif[10:]


def mpo() -> bytes:
    """Return a JPEG that says it has four billion pictures."""
    index = bombs.tiff(
        [(45056, 7, 4, 0x30303130), (45057, 4, 1, 0xFFFFFFFF), (45058, 7, 1 << 31, 8)]
    )
    return bombs.jpeg_with(bombs.segment(0xE2, b"MPF\0" + index))


def exif(entries: list[bombs.Entry], following: int = 0) -> bytes:
    """Return a JPEG with these entries in its EXIF, and a next directory."""
    return bombs.jpeg_with(bombs.segment(0xE1, b"Exif\0\0" + bombs.tiff(entries, b"", following)))


def profile_in_parts() -> bytes:
    """Return a JPEG with a profile of garbage in 255 parts."""
    heads = (b"ICC_PROFILE\0" + bytes([n, 255]) for n in range(1, 256))
    return bombs.jpeg_with(*(bombs.segment(0xE2, head + b"x" * 60_000) for head in heads))


LOOP: list[bombs.Entry] = [
    (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8), (0x0112, 3, 1, 6)
]  # fmt: skip
COUNTS: list[bombs.Entry] = [
    (0x0112, 3, 0xFFFFFFFF, 8), (0x9286, 7, 0x7FFFFFFF, 8), (0x010F, 2, 1 << 31, 0)
]  # fmt: skip
TILES: list[bombs.Entry] = [
    (256, 4, 1, 6000), (257, 4, 1, 6000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
    (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, 36_000_000, 8), (325, 4, 36_000_000, 8),
]  # fmt: skip

PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "225 megapixels in 0.7 MB": ("png", lambda: bombs.flat_png(15_000, 15_000)),
    "100 megapixels of 64 bits": ("png", lambda: bombs.flat_png(10_000, 10_000, bombs.DEEP)),
    "a line of 60,000,000 pixels": ("png", lambda: bombs.flat_png(60_000_000, 1, bombs.GRAY)),
    "10 gigapixels that are claimed only": ("png", lambda: bombs.png((100_000, 100_000), b"")),
    "no pixels at all": ("png", lambda: bombs.png((0, 0), zlib.compress(b""))),
    "4 GB for 192 pixels": (
        "png", lambda: bombs.png((16, 12), bombs.deflated_zeros(4 * GIB))),
    "a text of 2 GB": (
        "png", lambda: bombs.png_with(b"zTXt", b"a\0\0" + bombs.deflated_zeros(2 * GIB))),
    "a profile of 2 GB": (
        "png", lambda: bombs.png_with(b"iCCP", b"bomb\0\0" + bombs.deflated_zeros(2 * GIB))),
    "an EXIF of 50 MB": (
        "png", lambda: bombs.png_with(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 50_000_000)),
    "a million texts": ("png", lambda: bombs.png_with(b"tEXt", b"a\0b", 1_000_000)),
    "a part of 4 GB that ends at once": (
        "png", lambda: made("png")[:33] + b"\xff\xff\xff\xffiCCPabcd" + made("png")[33:]),
    "4 gigapixels in 17 MB": ("jpg", lambda: bombs.progressive_jpeg(65_500, 65_500, 1)),
    "3,000 scans over 36 megapixels": (
        "jpg", lambda: bombs.progressive_jpeg(6_000, 6_000, 3_000)),
    "an EXIF that loops": ("jpg", lambda: exif(LOOP, 8)),
    "an EXIF of absurd counts": ("jpg", lambda: exif(COUNTS)),
    "100 MB of EXIF": (
        "jpg", lambda: bombs.jpeg_with(bombs.segment(0xE1, b"Exif\0\0" + b"\xff" * 65_000) * 1600)),
    "a profile of garbage in 255 parts": ("jpg", profile_in_parts),
    "an XMP that unfolds to 9 to the 29th": ("jpg", lambda: bombs.jpeg_with(
        bombs.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + laughs("x")))),
    "four billion pictures": ("jpg", mpo),
    "225 megapixels in 0.2 MB": (
        "tif", lambda: bombs.tiff_of(15_000, 15_000, 8, bombs.deflated_zeros(15_000**2))),
    "a strip of 4 GB that is claimed only": (
        "tif", lambda: bombs.tiff_of(6_000, 6_000, 1, b"\0", size=2**32 - 1)),
    "a directory that follows itself": (
        "tif", lambda: bombs.tiff_of(1, 1, 1, b"\0", following=9)),
    "100,000 pages": ("tif", lambda: bombs.many_directories(100_000)),
    "tiles of one pixel over 36 megapixels": ("tif", lambda: bombs.tiff(TILES)),
    "absurd counts": ("tif", lambda: bombs.tiff([*COUNTS, (256, 4, 1, 9), (257, 4, 1, 9)])),
    "a directory at byte 2 to the 63rd": (
        "tif", lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63)),
    "100,000 pictures on 36 megapixels": ("gif", lambda: on_a_canvas(endless_gif(100_000))),
    "268 megapixels in 60 bytes": (
        "webp", lambda: bombs.riff((b"VP8L", bombs.flat_vp8l(16_384, 16_384)))),
    "2 to the 24th pixels square": ("webp", lambda: bombs.riff(
        (b"VP8X", bombs.canvas(2**24, 2**24)), (b"VP8L", bombs.flat_vp8l(1, 1)))),
    "100,000 pictures on 36 megapixels, lossless": (
        "webp", lambda: bombs.animated_webp(6_000, 6_000, 100_000)),
    "a profile of 50 MB": ("webp", lambda: bombs.riff(
        (b"VP8X", bombs.canvas(8, 8, 0x20)), (b"ICCP", bytes(50_000_000)),
        (b"VP8L", bombs.flat_vp8l(8, 8)))),
    "a picture of 4 GB that ends at once": (
        "webp", lambda: b"RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff\x2f"),
    "a width of 5,000 digits": ("ppm", lambda: b"P6\n" + b"1" * 5_000 + b" 1\n255\n\0\0\0"),
    "50 MB of blanks": ("ppm", lambda: b"P3\n4 4\n255\n" + b" " * 50_000_000),
    "36 megapixels in letters": ("ppm", lambda: b"P2 6000 6000 1 " + b"0 " * 36_000_000),
    "36 megapixels of which there are none": (
        "bmp", lambda: bombs.bmp(6_000, 6_000, b"\0\1")),
    "jumps that leave the picture": ("bmp", lambda: bombs.bmp(600, 600, b"\0\2\xff\xff" * 100_000)),
    "2 to the 31st pixels square": (
        "heic", lambda: bombs.resized(bombs.heic(), 2**31 - 1, 2**31 - 1)),
    "2 to the 31st pixels square, AV1": (
        "avif", lambda: bombs.resized(made("avif"), 2**31 - 1, 2**31 - 1)),
    "a box of no length": ("heic", lambda: struct.pack(">I", 0) + bombs.heic()[4:]),
    "a box of 2 to the 63rd bytes": (
        "heic", lambda: bombs.heic()[:40] + struct.pack(">I4sQ", 1, b"mdat", 2**63)),
    "a million empty boxes": (
        "heic", lambda: bombs.heic() + struct.pack(">I4s", 8, b"free") * 1_000_000),
    "a drawing (SVG) that unfolds": ("jpg", lambda: laughs("svg")),
    "an archive": ("jpg", zipped),
    "a picture that is an archive too": ("jpg", lambda: made("jpeg") + zipped()),
    "a program": ("jpg", lambda: b"\x7fELF\2\1\1" + bytes(4096)),
    "zeros, 20 MB": ("jpg", lambda: bytes(20_000_000)),
}  # fmt: skip
"""Contents that are pictures, or say so, with the ending of the file's name."""

WORST = ("225 megapixels in 0.7 MB", "3,000 scans over 36 megapixels", "50 MB of blanks")
"""Those that are tried in other roles, too."""

CLIPS: dict[str, Row] = {
    "three frames of 33 megapixels": ("content.mp4", lambda: of_8k(3), PAINTED),
    "half of a film": (
        "content.mp4", lambda: mp4()[: len(mp4()) // 2], "is cut off or damaged"),
    "sound alone": (
        "content.mp4", lambda: of(sound, "a.mp4"), "has no pictures, only sound or text"),
    "frames that grow in the middle": (
        "content.webm", lambda: of(changing_size, "a.webm", (128, 96)), PAINTED),
    "30,000 frames": (
        "content.gif", lambda: endless_gif(30_000), "more than 20,000 frames"),
    "200 pictures in no time": ("content.gif", lambda: endless_gif(200), PAINTED),
    "five pictures that take an hour": (
        "content.gif", lambda: bombs.gif(5, 655_350), "the limit is"),
    "60 pictures on 36 megapixels": (
        "content.webp", lambda: bombs.animated_webp(6_000, 6_000, 60), ANY),
    "an animation of a billion pictures": (
        "content.png", lambda: bombs.png_with(b"acTL", struct.pack(">II", 10**9, 0)),
        "more than 20,000 frames"),
    "a film named content.jpg": ("content.jpg", mp4, PAINTED),
    "a picture named content.mp4": ("content.mp4", partial(made, "jpeg"), PAINTED),
    "a film as a style": ("style.jpg", mp4, "style.jpg is a film"),
    "a film as a mask": ("content.mask.mp4", mp4, "content.mask.mp4 is a film"),
    "an animation as a mask": (
        "style.mask.gif", lambda: bombs.gif(5, 40), "style.mask.gif is a clip, and"),
}  # fmt: skip

SETTINGS: dict[str, bytes] = {
    "an empty bool with a tag": b"priority: !!bool foo\n",
    "a name with a surrogate": b'name: "a\\ud800"\n',
    "lists that are 10,000 deep": b"set: " + b"[" * 10_000 + b"]" * 10_000 + b"\n",
    "a timestamp that is none": b"name: !!timestamp foo\n",
    "an object of Python": b"name: !!python/object/apply:os.abort []\n",
    "a sexagesimal float of 3,000 parts": b"strength: " + b":".join([b"1"] * 3000) + b".5\n",
    "a hexadecimal number of 90,000 digits": b"seed: 0x" + b"f" * 90_000 + b"\n",
    "steps of 1 and 400 zeros": b"steps: 1" + b"0" * 400 + b"\n",
    "a device with a NUL": b'device: "a\\0"\n',
    "a name that leads out": b'name: "../../elsewhere"\n',
    "anchors that unfold to 9 to the 40th": (
        b"artifacts: " + strategies.anchors(40).encode() + b"\n"
    ),
    "a list that holds itself": b"artifacts: &a [*a]\n",
    "a key of 100 KB": b"k" * 100_000 + b": 1\n",
    "UTF-16": "seed: 1\n".encode("utf-16"),
    "all bytes there are": bytes(range(256)) * 300,
    "a million lines": b"#\n" * 1_000_000,
}
"""Texts of job.yaml, the worst three first."""


def rows() -> dict[str, dict[str, Row]]:
    """Return all of the table, by family."""
    pictures = {f"{title} ({ending})": (f"content.{ending}", make, ANY)
                for title, (ending, make) in PICTURES.items()}  # fmt: skip
    roles = {f"{title}, as {role}": (f"{role}.{PICTURES[title][0]}", PICTURES[title][1], ANY)
             for title in WORST for role in ("style", "content.mask", "init")}  # fmt: skip
    settings: dict[str, Row] = {f"job.yaml: {title}": ("job.yaml", partial(bytes, text), ANY)
                for title, text in SETTINGS.items()}  # fmt: skip
    return {"job.yaml": settings, "pictures": {**pictures, **roles}, "clips": CLIPS}
