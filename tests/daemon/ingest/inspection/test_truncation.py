"""Truncated files are told from damaged ones, for every kind of picture and film."""

import tracemalloc
from pathlib import Path

import pytest
from tests.daemon.ingest.inspection.files import (
    CAMERAS,
    KINDS,
    made,
    photograph,
    png,
    with_thumbnail,
)
from tests.painter.films import film

from stylewatch_daemon.ingest.inspection.truncation import FileParts, is_cut_off, lacks_end
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import decoded, decoding

RAW = ("bmp", "ppm", "tiff", "big tiff")
"""Kinds whose black lower edge is a run of zeros at the end of the file."""

ENDS = ("jpeg", "progressive", "png", "gif", "webp", "lossless", "tiff", "lzw")
"""Kinds that mark or state their end: bytes behind it are padding."""


def can_be_read(data: bytes) -> bool:
    try:
        with decoding("it", data):
            decoded(data, 20_000)
    except PictureError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_cut_off_wherever_it_is_cut(kind: str) -> None:
    whole = made(kind)
    cuts = [whole[:length] for length in range(len(whole))]
    assert [len(data) for data in cuts if not is_cut_off(data) and not can_be_read(data)] == []
    assert not is_cut_off(whole) and not is_cut_off(whole + whole)
    assert is_cut_off(bytes(9000)) and is_cut_off(whole[:90].ljust(9000, b"\0"))


@pytest.mark.parametrize(
    "text", [b"P1 2 2 1 0 1", b"P2\n# by hand\n2 2 9 1 2 3", b"P3 1 1 255 7 7", b"P4 9 2 \0\0\0"]
)
def test_plain_pictures_end_where_there_are_enough_values(text: bytes) -> None:
    assert (is_cut_off(text), can_be_read(text)) == (True, False)
    assert (is_cut_off(text + b" 1"), can_be_read(text + b" 1")) == (False, True)


@pytest.mark.parametrize(
    "data",
    [
        b"this is no picture",
        made("png").replace(b"IDAT", b"I\0AT"),
        made("ppm").replace(b"13 9", b"13 x"),
        png(9, 9),
    ],
)
def test_a_damaged_file_is_not_cut_off(data: bytes) -> None:
    assert (is_cut_off(data), can_be_read(data)) == (False, False)


def test_a_tag_of_an_unknown_type_takes_no_memory() -> None:
    tag = b"".join(part.to_bytes(size, "little") for part, size in ((325, 2), (0, 2), (1 << 20, 4)))
    data = (b"II*\0\x08\0\0\0\x01\0" + tag).ljust(100, b"\x01")
    tracemalloc.start()
    try:
        assert not is_cut_off(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_photograph_without_its_tail_may_grow_and_a_whole_one_does_not(kind: str) -> None:
    whole = photograph(kind)
    cuts = {len(whole) * part // 23 for part in range(23)} | {len(whole) - 40, 4096, 8192}
    for cut in (cut for cut in cuts if cut <= len(whole) - 40):
        for data in (whole[:cut], whole[:cut].ljust(len(whole), b"\0")):
            assert lacks_end(data) if can_be_read(data) else is_cut_off(data), cut
    assert not lacks_end(whole)
    assert kind not in ENDS or not lacks_end(whole + bytes(5000))
    # A black lower edge in an uncompressed file may still be filled.
    assert lacks_end(photograph(kind, border=20)) == (kind in RAW)


def test_a_photograph_with_a_second_picture_waits_for_that() -> None:
    several = photograph("jpeg")
    several = several[:2] + b"\xff\xe2\0\x08MPF\0II" + several[2:]
    assert lacks_end(several + bytes(5000))
    assert not lacks_end(several) and not lacks_end(several + photograph("jpeg"))


def test_the_end_of_a_thumbnail_is_not_the_end_of_its_picture() -> None:
    whole = with_thumbnail(photograph("jpeg"), made("jpeg"))
    half = whole[: len(whole) // 2].ljust(len(whole), b"\0")
    assert can_be_read(half) and lacks_end(half)
    assert not lacks_end(whole)


@pytest.mark.parametrize(
    "name", ["a.mp4", "a.mov", "free.mov", "pnot.mov", "skip.mov", "a.mkv", "a.webm"]
)
def test_a_film_is_cut_off_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    """Films of old programs begin with a box that says nothing."""
    path = tmp_path / name
    whole = film(path, "libvpx" if "webm" in name else "libx264").read_bytes()
    if path.stem != "a":
        whole = b"\0\0\0\x10" + path.stem.encode() + bytes(8) + whole
    assert not is_cut_off(whole) and not lacks_end(whole)
    for length in range(len(whole)):
        assert is_cut_off(whole[:length]), length
    part = tmp_path / "part"
    for length in (*range(0, len(whole), 97), len(whole)):
        part.write_bytes(whole[:length])
        assert is_cut_off(FileParts(part)) == (length < len(whole)), length
    assert not lacks_end(FileParts(part))


def test_a_film_whose_length_is_not_stated_yet(tmp_path: Path) -> None:
    """MP4 lacks its index then; MKV may be a live recording, whose length is never stated."""
    whole = film(tmp_path / "a.mp4").read_bytes()
    at = whole.index(b"mdat")
    assert is_cut_off(whole[: at - 4] + bytes(4) + whole[at : whole.index(b"moov") - 4])
    whole = film(tmp_path / "a.mkv").read_bytes()
    at = whole.index(b"\x18S\x80g") + 4
    for length in (b"\x01" + b"\xff" * 7, b"\xff"):
        unknown = whole[:at] + length + whole[at + 8 :]
        assert is_cut_off(unknown[: len(whole) // 2]) and lacks_end(unknown)
