"""Files without their end are told from whole ones, by few bytes of them."""

import io
import struct
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.daemon.intake.inspection.files import (
    CAMERAS,
    KINDS,
    endless_gif,
    made,
    photograph,
    saved,
    with_thumbnail,
)
from tests.painter.films import film

from stylewatch_daemon.intake.truncation import BLOCK, BLOCK_WORK, LIST, TAILS, WORK, lacks_end
from stylewatch_painter.images.vips import vips

HEAD = 12
"""Bytes from which on every format is recognized."""

SHARES = st.floats(0, 1, exclude_max=True)


def lacks(data: bytes) -> bool:
    return lacks_end(io.BytesIO(data))


def cuts(whole: bytes) -> list[int]:
    """Lengths at which to cut a file: all near its ends, and some between."""
    between = range(100, len(whole) - 100, 1 + len(whole) // 101)
    ends = {*range(HEAD, 100), *range(len(whole) - 100, len(whole))}
    return sorted(length for length in ends.union(between) if HEAD <= length < len(whole))


def check(whole: bytes) -> None:
    """Check that a file is whole, and that none of its beginnings is."""
    assert not lacks(whole)
    assert [length for length in cuts(whole) if not lacks(whole[:length])] == []


@pytest.mark.parametrize("kind", CAMERAS)
@given(share=SHARES)
def test_a_picture_is_unfinished_wherever_it_is_cut_and_a_whole_one_is_not(
    kind: str, share: float
) -> None:
    for whole in (photograph(kind), *([made(kind)] if kind in KINDS else [])):
        cut = HEAD + int(share * (len(whole) - HEAD))
        filled = whole[: min(cut, len(whole) - 32)].ljust(len(whole), b"\0")
        assert lacks(filled) and lacks(whole[:cut]) and not lacks(whole)


# -- all ways of writing a format

PIXELS = np.random.default_rng(5).integers(1, 255, (70, 90, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)
PAGES = [PICTURE.rotate(90), PICTURE.convert("L")]


def with_tags() -> Image.Exif:
    """Tags with directories of their own."""
    tags = Image.Exif()
    tags[270] = "a long description " * 9
    tags.get_ifd(34665)[36867] = "2020:01:01 00:00:00"
    tags.get_ifd(34853)[2] = (1.0, 2.0, 3.0)
    return tags


TIFFS: dict[str, dict[str, Any]] = {
    **{f"{how}": {"compression": how}
       for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd")},
    "pages": {"save_all": True, "append_images": PAGES},
    "rows": {"compression": "tiff_lzw", "tiffinfo": {278: 1}},
    "tags": {"exif": with_tags()},
}  # fmt: skip


@pytest.mark.parametrize("how", TIFFS)
@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_of_pillow_lacks_its_end_wherever_it_is_cut(how: str, is_big: bool) -> None:
    modes = ["RGB", "L", "RGBA", "CMYK"]
    if not is_big and how not in ("jpeg", "pages"):  # those are not valid in this order of bytes
        modes.append("I;16B")
    for mode in modes:
        picture = PICTURE.convert("L").convert(mode)
        whole = saved(picture, {"format": "TIFF", "big_tiff": is_big, **TIFFS[how]})
        check(whole.rstrip(b"\0") if how == "pages" else whole)  # each page fills whole words


@pytest.mark.parametrize("compression", ["none", "lzw", "jpeg", "webp"])
def test_a_tiff_of_libvips_lacks_its_end_wherever_it_is_cut(compression: str) -> None:
    picture = vips().Image.new_from_array(PIXELS)
    sides = {"tile_width": 32, "tile_height": 32}
    for is_big, tile, pyramid, subifd in product((False, True), repeat=4):
        layout = {"bigtiff": is_big, "tile": tile, "pyramid": pyramid, "subifd": subifd}
        if pyramid or not subifd:
            check(picture.write_to_buffer(".tif", compression=compression, **sides, **layout))


PARTS = ("page", "reduced", "text", "positions", "lengths", "pixels")


def tiff(order: str, is_big: bool, names: Sequence[str]) -> bytes:
    """A TIFF with a page that names a reduced one; its PARTS are in the order of `names`."""
    offset, count, kind = ("Q", "Q", 16) if is_big else ("I", "H", 4)

    def pack(layout: str, *values: int) -> bytes:
        return struct.pack(f"{order}{layout}", *values)

    def directory(*tags: tuple[int, int, int, int]) -> bytes:
        entries = b"".join(pack(f"HH{offset * 2}", *tag) for tag in tags)
        return pack(count, len(tags)) + entries + pack(offset, 0)

    def parts(at: Mapping[str, int]) -> dict[str, bytes]:
        return {
            "page": directory((270, 2, 30, at["text"]), (273, kind, 4, at["positions"]),
                              (279, 4, 4, at["lengths"]), (330, kind, 1, at["reduced"])),
            "reduced": directory((513, kind, 1, at["pixels"]), (514, kind, 1, 30)),
            "text": b"t" * 30,
            "positions": pack(f"4{offset}", *(at["pixels"] + 20 * strip for strip in range(3)), 0),
            "lengths": pack("4I", 20, 20, 20, 0),
            "pixels": b"p" * 60,
        }  # fmt: skip

    at, end = dict.fromkeys(PARTS, 0), 16 if is_big else 8
    for name in names:
        at[name], end = end, end + len(parts(at)[name])
    head = pack("HHHQ", 43, 8, 0, at["page"]) if is_big else pack("HI", 42, at["page"])
    return (b"II" if order == "<" else b"MM") + head + b"".join(parts(at)[name] for name in names)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_big", [False, True])
def test_every_part_of_a_tiff_may_be_the_last(order: str, is_big: bool) -> None:
    for first in range(len(PARTS)):
        whole = tiff(order, is_big, PARTS[first:] + PARTS[:first])
        assert [n for n in range(HEAD, len(whole)) if not lacks(whole[:n])] == []
        assert not lacks(whole) and not lacks(whole + b"what else follows")


def test_a_tiff_is_unfinished_while_its_directory_is_not_written() -> None:
    assert lacks(b"II*\0" + bytes(4) + b"pixels") and lacks(b"II*\0\x08\0\0\0" + bytes(900) + b"p")
    whole = tiff("<", False, PARTS)
    assert not lacks(whole.replace(whole[8:10], b"\xff\xff", 1)), "this is no directory"


def test_a_tiff_of_many_strips_is_known_by_the_last_ones() -> None:
    lines = Image.new("L", (1, LIST + 9), 7)
    whole = saved(lines, {"format": "TIFF", "tiffinfo": {278: 1}, "compression": "packbits"})
    assert not lacks(whole) and lacks(whole[:-1])


GIFS: dict[str, dict[str, Any]] = {
    "plain": {"interlace": 0},
    "interlaced": {"interlace": 1},
    "film": {"save_all": True, "append_images": PAGES, "comment": b"seen", "loop": 0},
}


@pytest.mark.parametrize("how", GIFS)
def test_a_gif_lacks_its_end_wherever_it_is_cut(how: str) -> None:
    for mode in ("RGB", "L", "1", "P", "RGBA"):
        whole = saved(PICTURE.convert(mode), {"format": "GIF", **GIFS[how]})
        check(whole)
        assert not lacks(whole + bytes(99)) and not lacks(whole + b"what else follows")
        assert not lacks(whole[:-1] + bytes(7) + b";"), "as some programs write it"
    check(endless_gif(20))
    check(vips().Image.new_from_array(PIXELS).write_to_buffer(".gif", interlace=how == "plain"))


def bmp(mode: str, top_down: bool = False, **fields: int) -> bytes:
    """A BMP in which some fields of the head have other values."""
    whole = bytearray(saved(PICTURE.convert(mode), {"format": "BMP"}))
    if top_down:
        struct.pack_into("<i", whole, 22, -PICTURE.height)
    for name, value in fields.items():
        struct.pack_into("<I", whole, {"size": 2, "packing": 30}[name], value)
    return bytes(whole)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("top_down", [False, True])
def test_a_bmp_lacks_its_end_whatever_length_it_states(mode: str, top_down: bool) -> None:
    for stated in ({}, {"size": 0}, {"size": 54}):
        check(bmp(mode, top_down, **stated))
    check(bmp(mode, top_down, size=len(bmp(mode)) + 9) + b"a profile")
    check(bmp(mode, top_down, size=0, packing=1))  # its rows have any length, which it states


def test_a_bmp_of_os2_lacks_its_end_wherever_it_is_cut() -> None:
    rows = PIXELS.tobytes().ljust(272 * 70, b"x")
    check(b"BM" + struct.pack("<I4xIIHHHH", 0, 26, 12, 90, 70, 1, 24) + rows)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "F"])
def test_a_picture_of_netpbm_lacks_its_end_wherever_it_is_cut(mode: str) -> None:
    picture = PICTURE.convert("L").convert(mode) if mode == "I;16" else PICTURE.convert(mode)
    whole = saved(picture, {"format": "PPM"})
    check(whole)
    kind, head = whole[:2], b"# by hand #\r\n 90\t# wide\n70 "
    check(kind + head + whole[2:].split(b"70", 1)[1].lstrip())
    assert not lacks(whole + b"P6 another")


@pytest.mark.parametrize(("head", "count"), [("P1", 6300), ("P2 # a\n", 6300), ("P3", 18900)])
def test_digits_are_counted(head: str, count: int) -> None:
    """The last number may have more digits."""
    most = "" if head == "P1" else "65535"
    values = PIXELS.reshape(-1)[:count] % 2 if head == "P1" else PIXELS.reshape(-1)[:count]
    for between in (" ", "\n", "\r\n  ", *([""] if head == "P1" else [])):
        whole = f"{head} 90 70 {most}\n{between.join(map(str, values))}".encode()
        last = len(str(values[-1]))
        assert not lacks(whole) and not lacks(whole + b"\n")
        assert [n for n in cuts(whole) if n <= len(whole) - last and not lacks(whole[:n])] == []


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx")])
def test_a_matroska_film_lacks_its_end_wherever_it_is_cut(
    tmp_path: Path, name: str, codec: str
) -> None:
    whole = film(tmp_path / name, codec).read_bytes()
    check(whole)
    at = whole.index(b"\x18\x53\x80\x67") + 4
    assert not lacks(whole[:at] + b"\x01" + b"\xff" * 7 + whole[at + 8 : -9]), "while it is made"


# -- work

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "markers": (b"\xff\xd8", b"\xff"),
    "blocks": (b"GIF89a" + bytes(7) + b"!\xf9", b"\1x"),
    "boxes": (b"", b"\0\0\0\x08free"),
    "elements": (b"\x1a\x45\xdf\xa3\x80", b"\xec\x80"),
    "digits": (b"P3 9999 9999 255 ", b"1 "),
}
"""The start of each file, and what follows it without end."""


class Counting(io.BytesIO):
    """A file that counts what is read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self.count += len(part)
        return part


def limited(whole: bytes) -> None:
    """Check that only a part of a file is read."""
    file = Counting(whole)
    assert not lacks_end(file)
    assert file.count <= WORK / BLOCK_WORK * BLOCK + max(TAILS)


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_file_without_end_takes_no_more_than_some_work(kind: str) -> None:
    start, part = ENDLESS[kind]
    limited(start + part * (60_000_000 // len(part)))


def test_nor_does_a_tiff_with_too_many_lists_or_a_directory_that_leads_to_itself() -> None:
    directory = struct.Struct("<HHHIII")
    one = directory.pack(1, 273, 3, LIST, 8, 8)
    many = (directory.pack(1, 273, 3, LIST, 8, 26 + 18 * number) for number in range(40_000))
    limited(b"II*\0\x08\0\0\0" + b"".join(many))
    limited(b"II*\0\x08\0\0\0" + one.ljust(9 * LIST, b"x"))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_what_follows_the_end_of_a_picture_does_not_count(kind: str) -> None:
    whole = photograph(kind)
    for behind in (bytes(5000), b"trailer", bytes(TAILS[0]) + b"trailer"):
        assert not lacks(whole + behind)
        assert lacks(whole[: len(whole) // 2] + bytes(len(behind)))


@given(SHARES)
def test_the_end_of_a_thumbnail_is_not_the_end_of_its_picture(share: float) -> None:
    whole = with_thumbnail(photograph("jpeg"), made("jpeg"))
    cut = whole[: HEAD + int(share * (len(whole) - HEAD))]
    assert lacks(cut) and lacks(cut.ljust(len(whole), b"\0")) and not lacks(whole)
    assert not lacks(whole[:2] + b"\xff" + whole[2:]), "a marker may have fill bytes"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "free.mov", "pnot.mov", "skip.mov"])
def test_a_film_made_of_boxes_lacks_its_end_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    """Films of old programs begin with a box that says nothing."""
    whole = film(tmp_path / name).read_bytes()
    if not name.startswith("a."):
        whole = b"\0\0\0\x10" + name[:4].encode() + bytes(8) + whole
    assert [length for length in range(HEAD, len(whole)) if not lacks(whole[:length])] == []
    assert lacks(whole[:-40] + bytes(40)) and not lacks(whole)
    at = whole.index(b"mdat")  # as its length is stated last, and its index comes last
    assert lacks(whole[: at - 4] + bytes(4) + whole[at : whole.index(b"moov") - 4])


def test_nothing_written_is_unfinished_and_a_damaged_file_is_not() -> None:
    assert lacks(b"") and lacks(bytes(9000)) and lacks(bytes(BLOCK) + b"the end")
    assert not lacks(b"this is no picture") and not lacks(b"RIFF\x04\0\0\0" + b"RIFF" * 9)
    assert not lacks(b"\0\0\0\x08ftyp\0\0\0\x07mdat" + b"x" * 99)
    assert not lacks(b"GIF89a" + bytes(7) + b"?" * 99) and not lacks(b"BM" + b"?" * 99)
    assert not lacks(b"P6 wide high 255\n" + b"?" * 99) and not lacks(b"P5\n" + b"#" * BLOCK)


class Shrinking(io.BytesIO):
    """A file that loses all of its bytes but the first block while it is looked at."""

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        return super().read(size) if start == 0 else b""


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_file_that_is_cut_meanwhile_lacks_its_end(kind: str) -> None:
    assert lacks_end(Shrinking(photograph(kind)))
