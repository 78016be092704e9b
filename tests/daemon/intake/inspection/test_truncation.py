"""Truncated files are told from whole ones, for every kind of picture and film."""

from pathlib import Path

import pytest
from tests.daemon.intake.inspection.files import (
    CAMERAS,
    KINDS,
    made,
    photograph,
    png,
    with_thumbnail,
)
from tests.painter.films import film

from stylewatch_daemon.intake.inspection.truncation import FileParts, is_cut_off, lacks_end
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import decoded, decoding

RAW = ("bmp", "ppm", "tiff", "big tiff")
"""Kinds whose black lower edge is a run of zeros at the end of the file."""

ENDS = ("jpeg", "progressive", "png", "webp", "lossless", "icc")
"""Kinds that mark or state their end: bytes behind it are padding."""


def can_be_read(data: bytes) -> bool:
    try:
        with decoding("it", data):
            decoded(data, 20_000)
    except PictureError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_may_grow_wherever_it_is_cut(kind: str) -> None:
    whole = made(kind)
    cuts = [whole[:length] for length in range(len(whole))]
    assert [len(data) for data in cuts if not is_cut_off(data) and not can_be_read(data)] == []
    assert kind not in ENDS or all(map(lacks_end, cuts))
    assert not lacks_end(whole) and not lacks_end(whole + whole)
    assert is_cut_off(bytes(9000)) and is_cut_off(whole[:90].ljust(9000, b"\0"))


@pytest.mark.parametrize(
    "data",
    [b"this is no picture", made("png").replace(b"IDAT", b"I\0AT"), png(9, 9),
     b"RIFF\x04\0\0\0" + b"RIFF" * 9],
)  # fmt: skip
def test_a_damaged_file_is_not_cut_off(data: bytes) -> None:
    assert (is_cut_off(data), can_be_read(data)) == (False, False)


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_photograph_without_its_tail_may_grow_and_a_whole_one_does_not(kind: str) -> None:
    whole = photograph(kind)
    cuts = {len(whole) * part // 23 for part in range(23)} | {len(whole) - 40, 4096, 8192}
    for cut in (cut for cut in cuts if cut <= len(whole) - 40):
        filled = whole[:cut].ljust(len(whole), b"\0")
        for data in (whole[:cut], filled):
            is_known = kind != "gif" or data is filled  # which is read without its tail, too
            assert not is_known or (lacks_end if can_be_read(data) else is_cut_off)(data), cut
    assert not lacks_end(whole)
    assert kind not in ENDS or not lacks_end(whole + bytes(5000))
    # A black lower edge in an uncompressed file may still be filled.
    assert lacks_end(photograph(kind, border=20)) == (kind in RAW)


def test_the_end_of_a_thumbnail_is_not_the_end_of_its_picture() -> None:
    whole = with_thumbnail(photograph("jpeg"), made("jpeg"))
    half = whole[: len(whole) // 2].ljust(len(whole), b"\0")
    assert can_be_read(half) and lacks_end(half)
    assert not lacks_end(whole)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "free.mov", "pnot.mov", "skip.mov"])
def test_a_film_made_of_boxes_lacks_its_end_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    """Films of old programs begin with a box that says nothing."""
    path = tmp_path / name
    whole = film(path).read_bytes()
    if path.stem != "a":
        whole = b"\0\0\0\x10" + path.stem.encode() + bytes(8) + whole
    assert [length for length in range(len(whole)) if not lacks_end(whole[:length])] == []
    part = tmp_path / "part"
    for length in (*range(0, len(whole), 97), len(whole)):
        part.write_bytes(whole[:length])
        assert lacks_end(FileParts(part)) == (length < len(whole)), length
    assert lacks_end(whole[:-40] + bytes(40)) and not lacks_end(whole)
    at = whole.index(b"mdat")  # as its length is stated last, and its index comes last
    assert lacks_end(whole[: at - 4] + bytes(4) + whole[at : whole.index(b"moov") - 4])


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx")])
def test_another_film_may_grow_if_it_cannot_be_decoded(
    tmp_path: Path, name: str, codec: str
) -> None:
    whole = film(tmp_path / name, codec).read_bytes()
    assert not lacks_end(whole) and lacks_end(whole[:-40] + bytes(40))
    assert [length for length in range(len(whole)) if not is_cut_off(whole[:length])] == []
