"""Files without their end are told from whole ones, by few bytes of them."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.intake.inspection.files import (
    CAMERAS,
    KINDS,
    made,
    photograph,
    with_thumbnail,
)
from tests.painter.films import film

from stylewatch_daemon.intake.truncation import START, TAILS, lacks_end

ENDS = ("jpeg", "progressive", "png", "webp", "lossless", "icc", "avif", "heic")
"""Kinds that mark or state their end."""

HEAD = 12
"""Bytes from which on such a kind is recognized."""

SHARES = st.floats(0, 1, exclude_max=True)


def lacks(data: bytes) -> bool:
    return lacks_end(io.BytesIO(data))


@pytest.mark.parametrize("kind", CAMERAS)
@given(share=SHARES)
def test_a_picture_is_unfinished_wherever_it_is_cut_and_a_whole_one_is_not(
    kind: str, share: float
) -> None:
    for whole in (photograph(kind), *([made(kind)] if kind in KINDS else [])):
        cut = HEAD + int(share * (len(whole) - HEAD))
        filled = whole[: min(cut, len(whole) - 32)].ljust(len(whole), b"\0")
        assert lacks(filled) and not lacks(whole)
        assert kind not in ENDS or lacks(whole[:cut])


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
    assert lacks(b"") and lacks(bytes(9000)) and lacks(bytes(START) + b"the end")
    assert not lacks(b"this is no picture") and not lacks(b"RIFF\x04\0\0\0" + b"RIFF" * 9)
    assert not lacks(b"\0\0\0\x08ftyp\0\0\0\x07mdat" + b"x" * 99)
