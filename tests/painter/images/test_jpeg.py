"""Damage in JPEGs is found up to their ends, and unsupported kinds are named."""

import io

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import jpeg
from stylewatch_painter.images.decode import NeededSize
from stylewatch_painter.images.read import picture_of
from stylewatch_painter.size import Size


def saved(side: int = 64) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "JPEG", quality=90)
    return content.getvalue()


@pytest.mark.parametrize(("frame", "bits", "sentence"), [
    (0xC3, 8, "a.jpg is a lossless JPEG, which is not read; save it as PNG"),
    (0xC9, 8, "a.jpg is a JPEG with arithmetic coding, which is not read; save it as PNG"),
    (0xC1, 12, "a.jpg is a JPEG of 12 bits per channel, which is not read; save it as PNG"),
])  # fmt: skip
def test_a_kind_that_is_not_read_is_named(frame: int, bits: int, sentence: str) -> None:
    data = bytearray(saved())
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = frame, bits
    with pytest.raises(PictureError) as caught:
        picture_of("a.jpg", bytes(data))
    assert str(caught.value) == sentence


def test_bytes_that_belong_to_no_pixel_are_told() -> None:
    data = saved()
    end = data.rindex(b"\xff\xd9")
    assert jpeg.end_of(data + b"clip of a motion photo \xff\xd9") == end
    assert picture_of("a.jpg", data + bytes(5000)).warnings == ()
    odd = picture_of("a.jpg", data[:end] + bytes(300) + data[end:])
    assert [each.partition(":")[0] for each in odd.warnings] == ["a.jpg may be damaged"]


def test_what_a_reduced_picture_does_not_need_is_no_damage() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (513, 400, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "JPEG", quality=90)
    box, nearest = NeededSize(Size(20, 20), above=10), NeededSize(Size(20, 20), "nearest", above=10)
    for needed in (box, nearest):
        assert picture_of("a.jpg", content.getvalue(), needed_size=needed).warnings == ()


def test_a_comment_may_follow_the_pixels() -> None:
    data = saved()
    end = data.rindex(b"\xff\xd9")
    with_comment = data[:end] + b"\xff\xfe\x01\x00" + bytes(254) + data[end:]
    assert picture_of("a.jpg", with_comment).warnings == ()


def test_a_signal_that_arrives_while_libvips_reads_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, asked = jpeg.Feed._part, list[int]()

    def interrupted(self: jpeg.Feed, size: int) -> bytes:
        asked.append(size)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return part(self, size)

    monkeypatch.setattr(jpeg.Feed, "_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        picture_of("a.jpg", saved(400))
