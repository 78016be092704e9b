"""Truncated files are told from damaged ones, for every kind of picture."""

import pytest
from tests.daemon.ingest.inspection.files import (
    CAMERAS,
    KINDS,
    made,
    photograph,
    png,
    with_thumbnail,
)

from stylewatch_daemon.ingest.inspection.truncation import is_cut_off, lacks_end
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import decoded, decoding

MARKED = ("jpeg", "progressive", "png", "gif")
RAW = ("bmp", "ppm", "tiff", "big tiff")
"""Kinds whose black lower edge is a run of zeros at the end of the file."""


def can_be_read(data: bytes) -> bool:
    try:
        with decoding("it", data):
            decoded(data, 20_000)
    except PictureError:
        return False
    return True


def may_grow(data: bytes) -> bool:
    return lacks_end(data) if can_be_read(data) else is_cut_off(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_cut_off_wherever_it_is_cut(kind: str) -> None:
    whole = made(kind)
    cuts = [whole[:length] for length in range(len(whole))]
    assert [len(data) for data in cuts if not is_cut_off(data) and not can_be_read(data)] == []
    assert not is_cut_off(whole)
    assert not is_cut_off(whole + whole)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_a_file_that_was_made_in_its_length_and_is_being_filled_is_cut_off(kind: str) -> None:
    whole, length = made(kind), 9000
    assert is_cut_off(bytes(length))
    assert is_cut_off(whole[: len(whole) // 2].ljust(length, b"\0"))


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
        b"<html>",
        b"\x7fELF" + bytes(100),
        made("png").replace(b"IDAT", b"I\0AT"),
        made("ppm").replace(b"13 9", b"13 x"),
        b"\0\0\0\x04ftyp" + bytes(8),
        png(9, 9),
    ],
)
def test_a_damaged_file_is_not_cut_off(data: bytes) -> None:
    assert (is_cut_off(data), can_be_read(data)) == (False, False)


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_photograph_without_its_tail_may_grow_and_a_whole_one_does_not(kind: str) -> None:
    whole = photograph(kind)
    cuts = sorted({len(whole) * part // 23 for part in range(23)} | {len(whole) - 40, 4096, 8192})
    for cut in cuts:
        if cut <= len(whole) - 40:
            assert may_grow(whole[:cut]), cut
            assert may_grow(whole[:cut].ljust(len(whole), b"\0")), cut
    assert not lacks_end(whole)
    # A black lower edge in an uncompressed file may still be filled.
    assert lacks_end(photograph(kind, border=20)) == (kind in RAW)


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "bmp", "lossless"])
def test_decoders_fill_what_is_missing_and_report_no_error(kind: str) -> None:
    whole = photograph(kind)
    assert can_be_read(whole[: len(whole) // 2].ljust(len(whole), b"\0"))


@pytest.mark.parametrize("kind", [*MARKED, "webp", "lossless", "tiff", "lzw"])
def test_padding_behind_the_end_is_ignored(kind: str) -> None:
    assert not lacks_end(photograph(kind) + bytes(5000))


def test_a_photograph_with_a_second_picture_waits_for_that() -> None:
    several = photograph("jpeg")
    several = several[:2] + b"\xff\xe2\0\x08MPF\0II" + several[2:]
    assert lacks_end(several + bytes(5000))
    assert not lacks_end(several)
    assert not lacks_end(several + photograph("jpeg"))


def test_the_end_of_a_thumbnail_is_not_the_end_of_its_picture() -> None:
    whole = with_thumbnail(photograph("jpeg"), made("jpeg"))
    half = whole[: len(whole) // 2].ljust(len(whole), b"\0")
    assert can_be_read(half)
    assert lacks_end(half)
    assert not lacks_end(whole)
