"""Pictures are looked at as the painter will, and what is wrong with them is told in words."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.ingest.inspection.files import KINDS, chunk, endless_gif, made, photograph, png

from stylewatch_daemon.ingest.inspection.contract import (
    Begun,
    CutOff,
    Fine,
    NotNow,
    Question,
    Refused,
)
from stylewatch_daemon.ingest.inspection.inspect import examine
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store import thumbs
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import read

MOST = 40_000_000


def verdict(*files: Path, max_pixels: int = MOST) -> Fine | Refused | CutOff:
    small = files[0].parent / "thumbs"
    *begun, last = examine(Question("1", files, max_pixels, small))
    assert all(isinstance(one, Begun) for one in begun)
    assert not isinstance(last, Begun | NotNow)
    return last


def refusal(path: Path, max_pixels: int = MOST) -> str:
    said = verdict(path, max_pixels=max_pixels)
    assert isinstance(said, Refused)
    return said.reason


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "content.jpg"


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_a_digest_a_size_and_a_thumbnail(kind: str, file: Path) -> None:
    file.write_bytes(made(kind))
    digest = hashlib.sha256(made(kind)).hexdigest()
    assert verdict(file) == Fine("1", (Picture("content.jpg", digest, (13, 9)),))
    with Image.open(thumbs.path_of(file.parent / "thumbs", digest)) as small:
        assert (small.size, small.format) == ((13, 9), "JPEG")


def test_the_size_is_that_of_the_upright_picture_and_thumbnails_are_small(file: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (600, 400)).save(file, exif=turned)
    said = verdict(file)
    assert isinstance(said, Fine)
    assert said.pictures[0].size == (400, 600) == read(file).size
    with Image.open(thumbs.path_of(file.parent / "thumbs", said.pictures[0].sha256)) as small:
        assert small.size == (171, 256)


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [("I;16", 32768, 128), ("CMYK", (0, 0, 0, 127), 128), ("RGBA", (0, 0, 0, 127), 128),
     ("F", 0.5, 128), ("1", 255, 255)],
)  # fmt: skip
def test_thumbnails_show_what_the_painter_sees(
    mode: str, value: Any, seen: int, tmp_path: Path
) -> None:
    file = tmp_path / "content.tif"
    Image.new(mode, (300, 9), value).save(file)
    said = verdict(file)
    assert isinstance(said, Fine)
    with Image.open(thumbs.path_of(tmp_path / "thumbs", said.pictures[0].sha256)) as small:
        assert abs(int(np.asarray(small).mean()) - seen) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_told_as_that(kind: str, file: Path) -> None:
    file.write_bytes(made(kind)[:-20])
    said = verdict(file)
    assert isinstance(said, CutOff)
    assert said.name == "content.jpg"
    with pytest.raises(PictureError) as error:
        read(file)
    assert said.reason == str(error.value)


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "bmp", "lossless"])
def test_half_a_photograph_that_can_be_decoded_waits_while_it_may_grow(
    kind: str, file: Path
) -> None:
    whole = photograph(kind)
    file.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    *_, said = examine(Question("1", (file,), MOST, file.parent / "thumbs", growing=(file,)))
    assert isinstance(said, CutOff)
    assert said.reason == (
        "content.jpg lacks its end, as a file does that is still being written; copy it again"
    )
    assert isinstance(verdict(file), Fine)


def test_an_empty_file_is_cut_off_and_one_that_is_not_there_is_not(file: Path) -> None:
    file.touch()
    assert isinstance(verdict(file), CutOff)
    file.unlink()
    assert "is not there" in refusal(file)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"this is no picture", "holds text"),
        (bytes(range(256)), "in none of the formats"),
        (png(100_000, 100_000), "is 10,000 MP; the limit is 40 MP"),
        (png(100_000, 100_000)[:-14], "the limit is 40 MP"),
        (png(9000, 9000), "is 81 MP; the limit is 40 MP (limits.max_pixels)"),
        (png(9, 9), "damaged"),
        (made("jpeg")[:300] + made("jpeg")[400:], None),
        (b"II*\0" + b"\x08\0\0\0" + b"\xff\xff" + bytes(range(256)) * 4000, None),
        (b"\0\0\0\x18ftypheic" + b"\0\0\0\x08mdat", None),
    ],
)
def test_what_means_harm_is_refused_in_a_sentence(data: bytes, why: str | None, file: Path) -> None:
    file.write_bytes(data)
    if why is None:  # decoders differ in whether, and in what they say
        said = verdict(file)
        assert isinstance(said, Fine) or said.reason.startswith("content.jpg ")
    else:
        assert why in refusal(file)


def test_a_gif_of_many_pictures_and_a_broken_profile_do_no_harm(file: Path) -> None:
    file.write_bytes(endless_gif(3000))
    assert isinstance(verdict(file), Fine)
    profile = chunk(b"iCCP", b"broken\0\0" + b"no zip")
    file.write_bytes(png(2, 2, profile, data=b"\0" * 14))
    assert isinstance(verdict(file), Fine)
    Image.new("RGB", (2, 2)).save(file, "JPEG", icc_profile=b"no profile" * 20)
    assert isinstance(verdict(file), Fine)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "content.tif"
    Image.fromarray(np.full((400, 400), np.nan, np.float32)).save(file)
    assert "content.tif" in refusal(file)


def test_the_first_picture_with_something_wrong_is_told(tmp_path: Path) -> None:
    content, style = tmp_path / "content.jpg", tmp_path / "style.jpg"
    content.write_bytes(made("jpeg"))
    style.write_bytes(b"no picture")
    said = list(examine(Question("1", (content, style), MOST, tmp_path / "thumbs")))
    assert said[:2] == [Begun("1", "content.jpg"), Begun("1", "style.jpg")]
    assert isinstance(said[2], Refused)
    assert said[2].reason.startswith("style.jpg holds text")


def test_a_picture_that_was_seen_is_known_again_but_not_if_less_is_let_in(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(made("png"))
    first = verdict(file)
    monkeypatch.setattr("stylewatch_daemon.ingest.inspection.inspect.decoded", None)
    assert verdict(file) == first
    monkeypatch.undo()
    assert "the limit is 100 pixels" in refusal(file, max_pixels=100)


def test_a_full_disk_costs_no_more_than_the_thumbnail(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file.write_bytes(made("bmp"))
    monkeypatch.setattr(Image.Image, "save", full)
    assert isinstance(verdict(file), Fine)


def test_torch_is_not_loaded() -> None:
    program = (
        "import sys, stylewatch_daemon.ingest.inspection.inspect; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_has_its_whole_size_and_a_thumbnail_and_is_missed_if_cut(
    format: str, file: Path
) -> None:
    Image.radial_gradient("L").resize((8000, 5200)).save(file, format, compress_level=1)
    said = verdict(file, max_pixels=250_000_000)
    assert isinstance(said, Fine)
    assert said.pictures[0].size == (8000, 5200)
    with Image.open(thumbs.path_of(file.parent / "thumbs", said.pictures[0].sha256)) as small:
        assert small.size == (256, 166)
    file.write_bytes(file.read_bytes()[:-1000])
    assert isinstance(verdict(file, max_pixels=250_000_000), CutOff)


@pytest.mark.parametrize(
    "data",
    [
        b"P6\n" + b"9" * 5000 + b" 1\n255\n" + bytes(99),
        b"P6" + b" " * 1_000_000,
        b"P3 9 9 255 " + b" " * 1_000_000,
        b"P5\n" + b"#\n" * 500_000,
        b"P4 9 #" + b"9" * 1_000_000,
    ],
)
def test_endless_numbers_blanks_and_comments_take_no_time(data: bytes, file: Path) -> None:
    file.write_bytes(data)
    said = verdict(file)
    assert isinstance(said, Refused | CutOff)
    assert "content.jpg" in said.reason
