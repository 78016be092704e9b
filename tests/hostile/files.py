"""The table of hostile files: bombs, loops, absurd claims and lengths, damage; in every role.

A row has the name of the file in its job's folder, its bytes, and how the job must end.
"""

import struct
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from tests.daemon.intake.inspection.files import endless_gif
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


def of_8k(count: int) -> bytes:
    """Return a film of so many frames of 33 megapixels."""
    wide = [flat((200, 90, 30), (7680, 4320))] * count
    return of(film, "a.mp4", frames=wide, options={"preset": "ultrafast"})


def on_a_canvas(gif: bytes) -> bytes:
    """Return a GIF that says its pictures lie on 36 megapixels."""
    return gif[:6] + struct.pack("<HH", 6_000, 6_000) + gif[10:]


def exif(entries: list[bombs.Entry], following: int = 0) -> bytes:
    """Return a JPEG with these entries in its EXIF, and a next directory."""
    return bombs.jpeg_with(bombs.segment(0xE1, b"Exif\0\0" + bombs.tiff(entries, b"", following)))


LOOP: list[bombs.Entry] = [(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)]
COUNTS: list[bombs.Entry] = [(0x0112, 3, 0xFFFFFFFF, 8), (0x9286, 7, 0x7FFFFFFF, 8)]

PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "225 megapixels in 0.7 MB": ("png", lambda: bombs.flat_png(15_000, 15_000)),
    "10 gigapixels that are claimed only": ("png", lambda: bombs.png((100_000, 100_000), b"")),
    "4 GB for 192 pixels": (
        "png", lambda: bombs.png((16, 12), bombs.deflated_zeros(4 * GIB))),
    "a text of 2 GB": (
        "png", lambda: bombs.png_with(b"zTXt", b"a\0\0" + bombs.deflated_zeros(2 * GIB))),
    "a profile of 2 GB": (
        "png", lambda: bombs.png_with(b"iCCP", b"bomb\0\0" + bombs.deflated_zeros(2 * GIB))),
    "4 gigapixels in 17 MB": ("jpg", lambda: bombs.progressive_jpeg(65_500, 65_500, 1)),
    "3,000 scans over 36 megapixels": (
        "jpg", lambda: bombs.progressive_jpeg(6_000, 6_000, 3_000)),
    "an EXIF that loops": ("jpg", lambda: exif(LOOP, 8)),
    "an EXIF of absurd counts": ("jpg", lambda: exif(COUNTS)),
    "225 megapixels in 0.2 MB": (
        "tif", lambda: bombs.tiff_of(15_000, 15_000, 8, bombs.deflated_zeros(15_000**2))),
    "a directory that follows itself": (
        "tif", lambda: bombs.tiff_of(1, 1, 1, b"\0", following=9)),
    "100,000 pictures on 36 megapixels": ("gif", lambda: on_a_canvas(endless_gif(100_000))),
    "268 megapixels in 60 bytes": (
        "webp", lambda: bombs.riff((b"VP8L", bombs.flat_vp8l(16_384, 16_384)))),
    "2 to the 24th pixels square": ("webp", lambda: bombs.riff(
        (b"VP8X", bombs.canvas(2**24, 2**24)), (b"VP8L", bombs.flat_vp8l(1, 1)))),
    "100,000 pictures on 36 megapixels, lossless": (
        "webp", lambda: bombs.animated_webp(6_000, 6_000, 100_000)),
    "a width of 5,000 digits": ("ppm", lambda: b"P6\n" + b"1" * 5_000 + b" 1\n255\n\0\0\0"),
    "50 MB of blanks": ("ppm", lambda: b"P3\n4 4\n255\n" + b" " * 50_000_000),
    "2 to the 31st pixels square": (
        "heic", lambda: bombs.resized(bombs.heic(), 2**31 - 1, 2**31 - 1)),
    "a box of 2 to the 63rd bytes": (
        "heic", lambda: bombs.heic()[:40] + struct.pack(">I4sQ", 1, b"mdat", 2**63)),
    "1,000 pages that name a large directory 64 times each": (
        "tif", lambda: bombs.tiff_of_directories(1_000)),
    "4,000 lists of a million places": (
        "tif", lambda: bombs.tiff_of_tags([324] * 4_000, bombs.LONG, 10**6)),
    "1,000 lists of a million numbers": (
        "tif", lambda: bombs.tiff_of_tags(range(40_000, 41_000), bombs.LONG, 10**6)),
    "2 to the 30th pixels square (JPEG XL)": ("jxl", lambda: bombs.jxl_head(2**30)),
    "a gigapixel that is claimed only": ("jxl", lambda: bombs.jxl_head(2**15) + bytes(5_000)),
    "a sensor of 10 gigapixels": ("dng", lambda: bombs.dng(100_000, 100_000)),
    "a sensor of 225 megapixels in 200 bytes": ("dng", lambda: bombs.dng(15_000, 15_000)),
    "Canon's head before noise": ("cr2", lambda: bombs.CR2 + Random(1).randbytes(2_000_000)),
    "Fujifilm's head before zeros": ("raf", lambda: b"FUJIFILMCCD-RAW 0201" + bytes(500_000)),
    "zeros, 20 MB": ("jpg", lambda: bytes(20_000_000)),
}  # fmt: skip
"""Contents that are pictures, or say so, with the ending of the file's name."""

WORST = {"style": "225 megapixels in 0.7 MB", "content.mask": "3,000 scans over 36 megapixels",
         "init": "50 MB of blanks"}  # fmt: skip
"""Pictures that are also tried in another role, by role."""

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
    "five pictures that take an hour": (
        "content.gif", lambda: bombs.gif(5, 655_350), PAINTED),
    "an animation of a billion pictures": (
        "content.png", lambda: bombs.png_with(b"acTL", struct.pack(">II", 10**9, 0)),
        "more than 20,000 frames"),
    "a film named content.jpg": ("content.jpg", mp4, PAINTED),
    "a film as a style": ("style.jpg", mp4, "style.jpg is a film"),
    "a film as a mask": ("content.mask.mp4", mp4, "content.mask.mp4 is a film"),
}  # fmt: skip

SETTINGS: dict[str, bytes] = {
    "an empty bool with a tag": b"priority: !!bool foo\n",
    "a name with a surrogate": b'name: "a\\ud800"\n',
    "lists that are 10,000 deep": b"set: " + b"[" * 10_000 + b"]" * 10_000 + b"\n",
    "a name that leads out": b'name: "../../elsewhere"\n',
    "anchors that unfold to 9 to the 40th": (
        b"artifacts: " + strategies.anchors(40).encode() + b"\n"
    ),
    "a million lines": b"#\n" * 1_000_000,
}
"""Texts of job.yaml; the generated ones vary these."""


def rows() -> dict[str, dict[str, Row]]:
    """Return all of the table, by family."""
    pictures = {f"{title} ({ending})": (f"content.{ending}", make, ANY)
                for title, (ending, make) in PICTURES.items()}  # fmt: skip
    roles = {f"{title}, as {role}": (f"{role}.{PICTURES[title][0]}", PICTURES[title][1], ANY)
             for role, title in WORST.items()}  # fmt: skip
    settings: dict[str, Row] = {f"job.yaml: {title}": ("job.yaml", partial(bytes, text), ANY)
                for title, text in SETTINGS.items()}  # fmt: skip
    return {"job.yaml": settings, "pictures": {**pictures, **roles}, "clips": CLIPS}
