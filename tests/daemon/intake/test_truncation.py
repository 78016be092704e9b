"""Files without their end are told from whole ones, by few bytes of them."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.intake.inspection.files import (
    CAMERAS,
    KINDS,
    chunk,
    made,
    photograph,
    with_thumbnail,
)
from tests.painter.films import film

from stylewatch_daemon.intake.truncation import START, TAILS, lacks_end

RAW = ("bmp", "ppm", "tiff", "big tiff")
"""Kinds whose black lower edge is a run of zeros at the end of the file."""

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


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_black_lower_edge_in_an_uncompressed_file_may_still_be_filled(kind: str) -> None:
    assert lacks(photograph(kind, border=20)) == (kind in RAW)


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


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx")])
def test_another_film_lacks_its_end_while_it_is_filled(
    tmp_path: Path, name: str, codec: str
) -> None:
    whole = film(tmp_path / name, codec).read_bytes()
    assert not lacks(whole) and lacks(whole[:-40] + bytes(40))


class Counted(io.BytesIO):
    """A file that counts its reads and the bytes read."""

    reads = length = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.reads, self.length = self.reads + 1, self.length + len(data)
        return data


def large() -> Iterator[bytes]:
    """Large files, and files of very many parts."""
    data = b"x" * 9_000_000
    yield made("jpeg")[:-2] + data + b"\xff\xd9"
    yield made("png")[:-12] + chunk(b"IDAT", data) + made("png")[-12:]
    yield b"RIFF" + (len(data) + 4).to_bytes(4, "little") + b"WEBP" + data
    yield b"\0\0\0\x08ftyp" + (len(data) + 8).to_bytes(4) + b"mdat" + data
    yield b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000
    yield b"\0\0\0\x08ftyp" * 1_000_000


def test_little_of_a_file_is_read() -> None:
    for data in large():
        file = Counted(data)
        lacks_end(file)
        assert file.length <= 1_200_000 + 16 * file.reads, data[:50]
        assert file.reads < 10_010, data[:50]


def test_nothing_written_is_unfinished_and_a_damaged_file_is_not() -> None:
    assert lacks(b"") and lacks(bytes(9000)) and lacks(bytes(START) + b"the end")
    assert not lacks(b"this is no picture") and not lacks(b"RIFF\x04\0\0\0" + b"RIFF" * 9)
    assert not lacks(b"\0\0\0\x08ftyp\0\0\0\x07mdat" + b"x" * 99)
