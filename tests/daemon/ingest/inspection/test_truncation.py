"""What ends too early is told from what is damaged, for every kind of picture."""

import pytest
from tests.daemon.ingest.inspection.files import CAMERAS, KINDS, made, photograph, png

from stylewatch_daemon.ingest.inspection.truncation import is_cut_off, lacks_end
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.decode import decoded, decoding


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
    unseen = [len(data) for data in cuts if not is_cut_off(data) and not can_be_read(data)]
    assert unseen == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_is_not_cut_off_nor_one_with_something_behind_it(kind: str) -> None:
    assert not is_cut_off(made(kind))
    assert not is_cut_off(made(kind) + made(kind))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_a_file_that_was_made_in_its_length_and_is_being_filled_is_cut_off(kind: str) -> None:
    whole, length = made(kind), 9000
    assert is_cut_off(bytes(length))
    assert is_cut_off(whole[: len(whole) // 2].ljust(length, b"\0"))


@pytest.mark.parametrize(
    "text", [b"P1 2 2 1 0 1", b"P2\n# by hand\n2 2 9 1 2 3", b"P3 1 1 255 7 7", b"P4 9 2 \0\0\0"]
)
def test_plain_pictures_end_where_there_are_values_enough(text: bytes) -> None:
    assert is_cut_off(text)
    assert not is_cut_off(text + b" 1")
    assert not can_be_read(text)
    assert can_be_read(text + b" 1")


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
def test_what_is_damaged_or_something_else_is_not_cut_off(data: bytes) -> None:
    assert not is_cut_off(data)
    assert not can_be_read(data)


MARKED = ("jpeg", "progressive", "png", "gif")
RAW = ("bmp", "ppm", "tiff", "big tiff")
"""Kinds whose black lower edge is a run of zeros at the end of the file."""


def may_grow(data: bytes) -> bool:
    return lacks_end(data) if can_be_read(data) else is_cut_off(data)


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_photograph_whose_tail_is_not_written_yet_may_grow_wherever_that_begins(
    kind: str,
) -> None:
    whole = photograph(kind)
    cuts = sorted({len(whole) * part // 23 for part in range(23)} | {len(whole) - 40, 4096, 8192})
    cuts = [cut for cut in cuts if cut <= len(whole) - 40]
    filled = {cut: whole[:cut].ljust(len(whole), b"\0") for cut in cuts}
    assert [cut for cut, data in filled.items() if not may_grow(data)] == []
    assert [cut for cut in cuts if not may_grow(whole[:cut])] == []


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "bmp", "lossless"])
def test_decoders_fill_what_is_missing_and_report_no_error(kind: str) -> None:
    whole = photograph(kind)
    assert can_be_read(whole[: len(whole) // 2].ljust(len(whole), b"\0"))


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_whole_photograph_lacks_nothing(kind: str) -> None:
    assert not lacks_end(photograph(kind))


@pytest.mark.parametrize("kind", sorted(CAMERAS.keys() - set(RAW)))
def test_a_black_border_is_no_lack(kind: str) -> None:
    assert not lacks_end(photograph(kind, border=20))


@pytest.mark.parametrize("kind", RAW)
def test_a_black_lower_edge_in_an_uncompressed_file_may_still_be_filled(kind: str) -> None:
    assert lacks_end(photograph(kind, border=20))


@pytest.mark.parametrize("kind", [*MARKED, "webp", "lossless", "tiff", "lzw"])
def test_padding_behind_the_end_is_no_lack(kind: str) -> None:
    assert not lacks_end(photograph(kind) + bytes(5000))


def test_a_photograph_that_should_have_a_second_picture_behind_it_waits_for_it() -> None:
    several = photograph("jpeg")
    several = several[:2] + b"\xff\xe2\0\x08MPF\0II" + several[2:]
    assert lacks_end(several + bytes(5000))
    assert not lacks_end(several)
    assert not lacks_end(several + photograph("jpeg"))
