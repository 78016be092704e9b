"""A file becomes a picture with its digest, or a sentence that names the file and what helps."""

import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import read as image_module
from stylewatch_painter.images.decode import Raster, decoded
from stylewatch_painter.images.read import read
from stylewatch_painter.images.reduced import Enough


def written(path: Path, size: tuple[int, int] = (7, 5)) -> Path:
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def refusal(path: Path, max_pixels: int = 40_000_000) -> str:
    with pytest.raises(PictureError) as refused:
        read(path, max_pixels=max_pixels)
    sentence = str(refused.value)
    assert sentence.startswith(path.name), "the name of the file, without its folder"
    assert "\n" not in sentence
    return sentence


def test_a_picture_comes_with_its_size_its_digest_and_its_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "photo.png")
    picture = read(path)
    assert picture.size == (7, 5)
    assert picture.pixels.shape == (5, 7, 3) and picture.pixels.dtype == np.float32
    assert np.array_equal(picture.pixels, np.asarray(Image.open(path)))
    assert picture.alpha is None and picture.converted == ()
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture.bytes == path.stat().st_size


def test_conversions_are_listed_in_the_order_they_were_made(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "scan.png"
    Image.new("LA", (3, 2), (40, 51)).save(path, exif=exif)
    picture = read(path)
    assert picture.converted == (
        "turned upright (EXIF orientation 3)",
        "gray to RGB",
        "transparent parts filled with the visible colors nearby, alpha kept beside",
    )
    assert np.allclose(picture.pixels, 40) and picture.alpha is not None


def test_a_link_to_a_picture_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.png"
    link.symlink_to(written(tmp_path / "photo.png"))
    assert read(link).size == (7, 5)


def test_a_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    assert "is a folder" in refusal(folder)


def test_a_pipe_without_a_writer_is_told_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert "is a pipe or a device" in refusal(pipe)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert "is empty" in refusal(path)


def test_a_file_of_too_many_bytes_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tiff"
    with path.open("wb") as file:
        file.truncate(image_module.MAX_BYTES + 1)  # a hole: it takes no room on the disk
    assert "536,870,913 bytes and at most 536,870,912" in refusal(path)


def test_text_and_broken_pictures_are_told_with_the_name(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("Dear diary,\n")
    assert "holds text, not a picture" in refusal(text)
    cut = tmp_path / "cut.jpg"
    whole = written(tmp_path / "whole.jpg", (60, 60)).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert "is cut off or damaged" in refusal(cut)


def test_digest_and_pixels_belong_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "photo.png", (7, 5))
    before = path.read_bytes()

    def replaced_meanwhile(
        data: bytes, max_pixels: int, *, uncut: bool, enough: Enough | None
    ) -> Raster:
        written(path, (2, 2))
        return decoded(data, max_pixels, uncut=uncut, enough=enough)

    monkeypatch.setattr(image_module, "decoded", replaced_meanwhile)
    picture = read(path)
    assert picture.size == (7, 5) and picture.sha256 == hashlib.sha256(before).hexdigest()


def test_threads_read_beside_one_another(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{side}.png", (side, 3)) for side in range(1, 9)]
    sizes: dict[str, tuple[int, int]] = {}

    def note(path: Path) -> None:
        sizes[path.name] = read(path).size

    threads = [threading.Thread(target=note, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == {f"{side}.png": (side, 3) for side in range(1, 9)}
