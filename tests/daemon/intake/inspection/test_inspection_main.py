"""Pictures are inspected as the painter reads them, and mistakes are reported in words."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.intake.inspection.files import KINDS, made, png

from stylewatch_daemon.base.child import decode, encode
from stylewatch_daemon.base.model import Cause, Picture
from stylewatch_daemon.intake.inspection.inspection_main import (
    inspect,
)
from stylewatch_daemon.intake.inspection.messages import Answer, Opening, Question
from stylewatch_daemon.ledger import thumbs
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import read

MOST = 250_000_000


def verdict(*files: Path, max_pixels: int = MOST) -> Answer:
    question = Question(files, max_pixels, files[0].parent / "thumbs")
    *begun, last = inspect(question)
    assert begun == [Opening(path.name) for path in files[: len(begun)]]
    assert isinstance(last, Answer)
    assert decode(encode(last), Answer) == last  # it goes through a pipe
    assert (last.cause == Cause.PICTURE) == bool(last.reason) == (not last.pictures)
    return last


def thumb(file: Path) -> tuple[Picture, Image.Image]:
    """Inspect a picture that is fine; return it and its thumbnail."""
    (picture,) = verdict(file).pictures
    image = Image.open(thumbs.path_of(file.parent / "thumbs", picture.sha256))
    image.load()
    return picture, image


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "content.jpg"


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_a_digest_a_size_and_a_thumbnail_and_is_refused_if_it_is_cut(
    kind: str, file: Path
) -> None:
    file.write_bytes(made(kind))
    digest = hashlib.sha256(made(kind)).hexdigest()
    picture, small = thumb(file)
    assert picture == Picture("content.jpg", digest, (13, 9))
    assert (small.size, small.format) == ((13, 9), "JPEG")
    file.write_bytes(made(kind)[:-20])
    with pytest.raises(PictureError) as error:
        read(file)
    assert verdict(file).reason == str(error.value)


def test_a_known_picture_is_not_decoded_again_unless_the_limit_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(made("png"))
    first = verdict(file)
    with monkeypatch.context() as patch:
        patch.setattr("stylewatch_daemon.intake.inspection.inspection_main.picture_of", None)
        assert verdict(file) == first
    assert "the limit is 100 pixels" in verdict(file, max_pixels=100).reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"this is no picture", "style.jpg holds text"),
        (bytes(range(256)), "in none of the formats"),
        (png(90_000, 9000), "is 810 MP; the limit is 250 MP (limits.max_pixels)"),
        (png(9, 9), "damaged"),
    ],
)
def test_the_first_harmful_file_is_refused_in_a_sentence(
    data: bytes, reason: str, file: Path
) -> None:
    style = file.with_name("style.jpg")
    file.write_bytes(made("jpeg"))
    style.write_bytes(data)
    assert reason in verdict(file, style, file.with_name("not read")).reason
