"""Pictures are inspected as the painter reads them, and mistakes are reported in words."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.intake.inspection.files import KINDS, made, photograph, png
from tests.painter.films import film
from tests.painter.images.test_clip import animation

from stylewatch_daemon.base.child import decode, encode
from stylewatch_daemon.base.model import Cause, Picture
from stylewatch_daemon.intake.inspection.inspection_main import (
    EXTRA_MEMORY,
    LOWEST_PRIORITY,
    inspect,
    make_thumbnails,
)
from stylewatch_daemon.intake.inspection.messages import Begun, Inspected, Question
from stylewatch_daemon.ledger import thumbs
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import reduced
from stylewatch_painter.images.read import read

MOST = 40_000_000


def verdict(*files: Path, max_pixels: int = MOST, **more: Any) -> Inspected:
    question = Question("1", files, max_pixels, files[0].parent / "thumbs", **more)
    *begun, last = inspect(question)
    assert begun == [Begun(path.name) for path in files[: len(begun)]]
    assert isinstance(last, Inspected)
    assert decode(encode(last), Inspected) == last  # it goes through a pipe
    assert (last.cause == Cause.PICTURE) == bool(last.reason) == (not last.pictures)
    return last


def refusal(*files: Path, **more: Any) -> str:
    """Return the reason of a refusal; empty if the pictures are fine."""
    answer = verdict(*files, **more)
    assert answer.growing == ""
    return answer.reason


def thumb(file: Path, max_pixels: int = MOST) -> tuple[Picture, Image.Image]:
    """Inspect a picture that is fine; return it and its thumbnail."""
    answer = verdict(file, max_pixels=max_pixels)
    (picture,) = answer.pictures
    image = Image.open(thumbs.path_of(file.parent / "thumbs", picture.sha256))
    image.load()
    return picture, image


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "content.jpg"


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_a_digest_a_size_and_a_thumbnail_and_is_noticed_if_it_is_cut(
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
    cut = verdict(file)
    assert (cut.growing, cut.reason) == ("content.jpg", str(error.value))


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_is_reduced_and_noticed_if_it_is_cut(format: str, file: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    large = Image.radial_gradient("L").resize((5200, 8000))
    large.save(file, format, compress_level=1, exif=turned)
    picture, small = thumb(file, max_pixels=250_000_000)
    assert (picture.size, small.size) == ((8000, 5200), (256, 166)), "that of the upright picture"
    file.write_bytes(file.read_bytes()[:-1000])
    assert verdict(file, max_pixels=250_000_000).growing == "content.jpg"


def test_thumbnails_show_what_the_painter_sees(tmp_path: Path) -> None:
    modes: dict[str, Any] = {"I;16": 32768, "CMYK": (0, 0, 0, 127), "RGBA": (0, 0, 0, 127)}
    for mode, value in modes.items():
        Image.new(mode, (300, 9), value).save(tmp_path / "content.tif")
        _, small = thumb(tmp_path / "content.tif")
        assert abs(int(np.asarray(small).mean()) - 128) <= 1


def test_a_known_picture_is_not_decoded_again_unless_the_limit_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(made("png"))
    first = verdict(file)
    with monkeypatch.context() as patch:
        patch.setattr("stylewatch_daemon.intake.inspection.inspection_main.decoded", None)
        assert verdict(file) == first
    assert "the limit is 100 pixels" in refusal(file, max_pixels=100)


def test_make_thumbnails_has_the_lowest_priority_and_makes_the_wanted_size(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    priorities: list[int] = []
    monkeypatch.setattr(os, "nice", priorities.append)
    file.write_bytes(made("png"))
    *_, fine = make_thumbnails(Question("1", (file,), 1000, file.parent / "thumbs", side=5))
    assert isinstance(fine, Inspected) and priorities == [LOWEST_PRIORITY]
    with Image.open(thumbs.path_of(file.parent / "thumbs", fine.pictures[0].sha256, 5)) as small:
        assert max(small.size) == 5


LIMITS = """
import resource
from multiprocessing import Pipe
from pathlib import Path
from stylewatch_daemon.intake.inspection import inspection_main
from stylewatch_daemon.intake.inspection.messages import Question

def look(question):
    print(resource.getrlimit(resource.RLIMIT_AS)[0])
    return iter(())

ours, theirs = Pipe()
for pixels in (10, 500_000_000, 10):
    ours.send(Question("1", (), pixels, Path("thumbs")))
ours.close()
inspection_main.serve(theirs, "__main__:look")
print(resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


def test_memory_grows_with_max_pixels_above_the_default_and_no_core_is_written() -> None:
    words = [sys.executable, "-c", LIMITS]
    output = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
    small, large, again, core = [int(number) for number in output.split()]
    default = reduced.memory(250_000_000)
    assert small == again == large - default
    assert default < EXTRA_MEMORY + default < min(small, 1_450_000_000)
    assert core == 0


# Truncated, damaged and hostile files


@pytest.mark.parametrize("kind", ["jpeg", "bmp"])
def test_half_a_photograph_that_can_be_decoded_is_truncated_while_it_may_grow(
    kind: str, file: Path
) -> None:
    whole = photograph(kind)
    file.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    reason = "content.jpg lacks its end, as a file does that is still being written; copy it again"
    cut = verdict(file, growing=(file,))
    assert (cut.growing, cut.reason) == ("content.jpg", reason)
    assert refusal(file) == ""
    file.write_bytes(b"")
    assert verdict(file).growing == "content.jpg"


@pytest.mark.parametrize(
    ("codec", "reason"), [(b"FFV1", ""), (b"VP80", "has no frame that can be decoded")]
)
def test_a_film_that_cannot_be_decoded_is_waited_for_as_its_end_is_unknown(
    codec: bytes, reason: str, tmp_path: Path
) -> None:
    path = film(tmp_path / "content.mkv", "ffv1", frames=1, pix_fmt="bgr0")
    whole = path.read_bytes().replace(b"FFV1", codec)
    path.write_bytes(whole[: round(0.9 * len(whole))])
    assert verdict(path).growing == path.name
    path.write_bytes(whole)
    answer = verdict(path)
    assert (reason in answer.reason, answer.growing) == (True, path.name if reason else "")


def test_a_film_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "content.mp4")
    whole = path.read_bytes()
    monkeypatch.setattr("stylewatch_daemon.intake.inspection.inspection_main.file_bytes", None)
    answer = verdict(path)
    digest = hashlib.sha256(whole).hexdigest()
    assert [(picture.sha256, picture.frames) for picture in answer.pictures] == [(digest, 20)]
    path.write_bytes(whole[:-20])
    assert verdict(path, growing=(path,)).growing == path.name


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"this is no picture", "style.jpg holds text"),
        (bytes(range(256)), "in none of the formats"),
        (png(9000, 9000), "is 81 MP; the limit is 40 MP (limits.max_pixels)"),
        (png(9, 9), "damaged"),
    ],
)
def test_the_first_harmful_file_is_refused_in_a_sentence(
    data: bytes, reason: str, file: Path
) -> None:
    style = file.with_name("style.jpg")
    file.write_bytes(made("jpeg"))
    style.write_bytes(data)
    assert reason in refusal(file, style, file.with_name("not read"))


def test_masks_are_compared_with_their_pictures_and_one_another(tmp_path: Path) -> None:
    files = {"content": "content.jpg", "style-1": "style-1.jpg", "style-2": "style-2.jpg"}
    for name, size in zip(files.values(), ((60, 40), (30, 40), (50, 40)), strict=True):
        Image.new("RGB", size, "gray").save(tmp_path / name)

    def mask_refusal(**masks: tuple[int, int, str]) -> str:
        roles, paths = ["content", "style", "style"], [tmp_path / name for name in files.values()]
        for picture, (width, height, color) in masks.items():
            roles.append(f"{picture.replace('_', '-')}-mask")
            paths.append(tmp_path / f"{roles[-1]}.png")
            Image.new("RGB", (width, height), color).save(paths[-1])
        return refusal(*paths, max_pixels=10_000, roles=tuple(roles))

    red = (120, 80, "red")
    assert mask_refusal(content=red, style_2=(50, 40, "red")) == ""
    reason = "style-1-mask.png has 50x40 pixels and style-1.jpg 30x40, which is another"
    assert reason in mask_refusal(style_1=(50, 40, "white"))
    assert "content-mask.png is black all over" in mask_refusal(content=(60, 40, "black"))
    assert "the limit is 10,000 pixels" in mask_refusal(content=(600, 400, "white"))
    styles = {"style_1": (30, 40, "blue"), "style_2": (50, 40, "green")}
    assert "has the color #ff0000" in mask_refusal(content=red, **styles)


def test_a_mask_of_a_clip_may_be_a_clip(tmp_path: Path) -> None:
    content = film(tmp_path / "content.mp4", frames=5)
    picture, still = tmp_path / "content.jpg", tmp_path / "still.png"
    for path, color in ((picture, "gray"), (still, "white")):
        Image.new("RGB", (64, 48), color).save(path)
    mask = animation(tmp_path / "content.mask.gif", 5)
    other = film(tmp_path / "other.mask.webm", "libvpx", frames=6)

    def mask_refusal(content: Path, mask: Path, of: str = "content", **limits: int) -> str:
        roles = ("content", "style", f"{of}-mask")
        return refusal(content, picture, mask, roles=roles, **limits)

    fine = verdict(content, picture, mask, roles=("content", "style", "content-mask"))
    assert [seen.frames for seen in fine.pictures] == [5, 1, 5]
    assert mask_refusal(content, still) == ""
    assert "other.mask.webm has 6 frames and content.mp4 5" in mask_refusal(content, other)
    assert "other.mask.webm has more than 5 frames" in mask_refusal(content, other, max_frames=5)
    reason = "content.mask.gif is a clip, and content.jpg is used as a picture: give it a picture"
    assert reason in mask_refusal(picture, mask)
    assert "content.mask.gif is a clip, and content.jpg" in mask_refusal(content, mask, "style-1")
    single = film(tmp_path / "single.mp4", frames=1)
    assert "content.mask.gif has 5 frames and single.mp4 1" in mask_refusal(single, mask)
