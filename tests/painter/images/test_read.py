"""A file becomes a picture with its digest, or a sentence that names the file and what helps."""

import hashlib
import io
import os
import struct
import threading
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.painter import deep, profiles

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import read as image_module
from stylewatch_painter.images.depth import Depth
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.read import decoded, decoding, filled, read, to_floats
from stylewatch_painter.images.reduced import Enough, Raster
from stylewatch_painter.stage import Pixels, Plane


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


def test_picture_has_size_digest_and_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "photo.png")
    picture = read(path)
    assert picture.size == (7, 5)
    assert picture.pixels.shape == (5, 7, 3) and picture.pixels.dtype == np.float32
    assert np.array_equal(picture.pixels, np.asarray(Image.open(path)))
    assert picture.alpha is None and picture.converted == ()
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture.bytes == path.stat().st_size


def test_conversions_are_listed_in_order(tmp_path: Path) -> None:
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


def test_symlink_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.png"
    link.symlink_to(written(tmp_path / "photo.png"))
    assert read(link).size == (7, 5)


def test_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    assert "is a folder" in refusal(folder)


def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert "is a pipe or a device" in refusal(pipe)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert "is empty" in refusal(path)


def test_too_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tiff"
    with path.open("wb") as file:
        file.truncate(image_module.MAX_BYTES + 1)  # a hole: it takes no room on the disk
    assert "536,870,913 bytes; the limit is 536,870,912" in refusal(path)


def test_broken_file_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("Dear diary,\n")
    assert "holds text, not a picture" in refusal(text)
    cut = tmp_path / "cut.jpg"
    whole = written(tmp_path / "whole.jpg", (60, 60)).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert "is cut off or damaged" in refusal(cut)


def test_digest_and_pixels_are_of_the_same_bytes(
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


def test_threads_can_read_in_parallel(tmp_path: Path) -> None:
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


FILLED = "transparent parts filled with the visible colors nearby, alpha kept beside"


def read_convert(data: bytes) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    with decoding("photo", data):
        return to_floats(decoded(data, 1_000_000))


def through(
    image: Image.Image, format: str = "PNG", **options: object
) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    """The picture after it was a file."""
    content = io.BytesIO()
    image.save(content, format, **options)
    return read_convert(content.getvalue())


def one(mode: str, color: tuple[int, ...], size: tuple[int, int] = (2, 2)) -> Image.Image:
    return Image.frombytes(mode, size, bytes(color) * (size[0] * size[1]))


def near(pixels: Pixels, color: tuple[float, ...], tolerance: float = 0.01) -> bool:
    return bool(np.abs(pixels - np.array(color)).max() <= tolerance)


def test_hidden_colors_are_filled() -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 0))  # red that nobody sees
    image.putpixel((1, 0), (100, 50, 0, 51))
    image.putpixel((2, 0), (9, 8, 7, 255))
    pixels, alpha, said = through(image)
    assert alpha is not None and alpha.dtype == np.float32
    assert np.allclose(alpha, [[0, 0.2, 1]])
    assert np.allclose(pixels[0, 2], [9, 8, 7])
    assert (pixels[0, :2, 0] < 101).all() and (pixels[0, 0] > [9, 8, 0]).any()
    assert pixels.dtype == np.float32 and said == (FILLED,)


def test_palette_with_transparency() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    assert np.array_equal(through(image)[0][0], 255 * np.eye(3))
    assert through(image)[2] == ("palette to RGB",)
    clear: dict[str, object] = {"PNG": bytes([0, 102]), "GIF": 0}
    for format, transparency in clear.items():
        pixels, alpha, said = through(image, format, transparency=transparency)
        assert alpha is not None and alpha[0, 0] == 0 and alpha[0, 2] == 1
        assert pixels[0, 0, 0] < 128 and near(pixels[0, 2], (0, 0, 255))
        assert said == ("palette to RGB", FILLED)
        if format == "PNG":
            assert pixels[0, 1, 1] > 102 and np.isclose(alpha[0, 1], 0.4)


@pytest.mark.parametrize(
    ("mode", "other", "key"), [("RGB", (1, 2, 4), (1, 2, 3)), ("L", 4, 3), ("I;16", 700, 701)]
)
def test_single_transparent_color_becomes_alpha(
    mode: str, other: int | tuple[int, ...], key: int | tuple[int, ...]
) -> None:
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), other)
    pixels, alpha, said = through(image, transparency=key)
    assert alpha is not None and alpha.tolist() == [[0, 1]]
    assert np.allclose(pixels[0, 0], pixels[0, 1], atol=0.01) and pixels[0, 1, 0] < 5
    assert said[-1] == FILLED


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile(format: str) -> None:
    # In a JPEG the inks are stored upside down, as Adobe's programs do.
    options = {"quality": 100} if format == "JPEG" else {}
    pixels, _, said = through(one("CMYK", (51, 0, 255, 102), (8, 8)), format, **options)
    assert near(pixels, (255 * 0.8 * 0.6, 255 * 0.6, 0), 1.5 if format == "JPEG" else 0.01)
    assert said == ("CMYK to RGB without a profile",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile(format: str) -> None:
    pixels, _, said = through(
        one("CMYK", (255, 0, 0, 0), (8, 8)), format, icc_profile=profiles.cmyk()
    )
    assert near(pixels, (119, 119, 119), 3)
    assert said == ("CMYK to RGB", "colors from profile 'hand made' to sRGB")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_are_converted_by_profile(mode: str) -> None:
    image = Image.new("RGB", (2, 2), (200, 120, 60)).convert(mode, palette=Image.Palette.ADAPTIVE)
    pixels, alpha, said = through(image, icc_profile=profiles.rgb())
    expected = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), (200, 120, 60)),
        ImageCms.ImageCmsProfile(io.BytesIO(profiles.rgb())),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert expected is not None
    color = np.asarray(expected)[0, 0]
    assert np.abs(color.astype(int) - (200, 120, 60)).max() > 9
    assert near(pixels, tuple(color), 1) and alpha is None
    assert said[-1] == "colors from profile 'hand made' to sRGB"


@pytest.mark.parametrize("profile", [b"nonsense", profiles.cmyk(), profiles.gray(2.2)])
def test_unusable_profile_is_reported(profile: bytes) -> None:
    pixels, _, said = through(Image.new("RGB", (2, 2), (200, 120, 60)), icc_profile=profile)
    assert near(pixels, (200, 120, 60))
    assert said == ("color profile left out, it is damaged or does not fit: taken as sRGB",)


def test_lab_and_ycbcr_become_srgb() -> None:
    lab, _, said = through(one("LAB", (128, 0, 0)), "TIFF")
    assert near(lab, (119, 119, 119), 2) and said == ("CIE Lab to sRGB",)
    ycbcr, _, said = through(one("YCbCr", (76, 85, 255)), "TIFF")
    assert near(ycbcr, (255, 0, 0), 2) and said == ("YCbCr to RGB",)


def test_png_of_16_bits_is_kept_or_reduced() -> None:
    head = struct.pack(">IIBBBBB", 1, 1, 16, 6, 0, 0, 0)
    values = struct.pack(">B4H", 0, 25_600, 51_300, 2_560, 13_107)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc32(name + content))
        for name, content in [(b"IHDR", head), (b"IDAT", compress(values)), (b"IEND", b"")]
    )
    pixels, alpha, said = read_convert(data)
    assert alpha is not None and np.isclose(alpha[0, 0], 0.2)
    assert near(pixels, (100, 200, 10)) and said == ("16 bits a channel cut to 8", FILLED)
    with decoding("photo", data):
        pixels, alpha, said = to_floats(decoded(data, 1_000_000, uncut=True))
    assert alpha is not None and np.isclose(alpha[0, 0], 0.2)
    assert near(pixels, (25_600 / 257, 51_300 / 257, 2_560 / 257), 1e-4) and said == (FILLED,)


@pytest.mark.parametrize(("mode", "color"), [("La", (40, 51)), ("RGBa", (40, 40, 40, 51))])
def test_premultiplied_alpha_is_not_applied_twice(mode: str, color: tuple[int, ...]) -> None:
    pixels, alpha, _ = to_floats(Raster(one(mode, color), Depth(), ()))
    assert alpha is not None and np.allclose(alpha, 0.2)
    assert near(pixels, (200, 200, 200), 0.5)


def test_16_bits_follow_their_profile_exactly() -> None:
    data = deep.tiff(deep.values())
    with decoding("photo", data):
        raster = decoded(data, 1_000_000, uncut=True)
    raster.image.info["icc_profile"] = profiles.rgb()
    pixels, _, said = to_floats(raster)
    assert said == ("colors from profile 'hand made' to sRGB",) and len(np.unique(pixels)) > 300
    raster.image.info["icc_profile"] = b"damaged"
    assert "16 bits a channel cut to 8" in to_floats(raster)[2]


def gray(
    image: Image.Image, depth: Depth | None = None, profile: bytes = b""
) -> tuple[Pixels, tuple[str, ...]]:
    if profile:
        image.info["icc_profile"] = profile
    pixels, _, conversions = to_floats(Raster(image, depth or Depth(), ()))
    return pixels, conversions


def plane(*values: float, kind: type[np.generic]) -> Image.Image:
    return Image.fromarray(np.array([values], dtype=kind))


def test_gray_of_16_bits_keeps_its_steps() -> None:
    values = (0, 1, 25700, 25701, 65535)
    pixels, said = gray(plane(*values, kind=np.uint16), Depth(16, 65535))
    assert np.allclose(pixels[0, :, 1], np.array(values) / 257, rtol=1e-6)
    assert pixels[0, 2, 0] != pixels[0, 3, 0]
    assert said == ("16-bit gray to RGB, unrounded, white at 65535",)


def test_12_bits_and_inverted_planes() -> None:
    twelve, _ = gray(plane(0, 4095, kind=np.uint16), Depth(12, 4095))
    assert twelve[0, :, 0].tolist() == [0, 255]
    inverted, _ = gray(plane(0, 257, 65535, kind=np.uint16), Depth(16, 65535, inverted=True))
    assert np.allclose(inverted[0, :, 0], [255, 254, 0])


@pytest.mark.parametrize(
    ("values", "white"), [((0, 200), 255), ((-9, 40_000), 65535), ((0, 2**30), 2**31 - 1)]
)
def test_32_bits_are_scaled_by_the_smallest_white(values: tuple[int, int], white: int) -> None:
    pixels, said = gray(plane(*values, kind=np.int32), Depth(32))
    assert np.allclose(pixels[0, :, 0], [0, values[1] * 255 / white])
    assert said == (f"32-bit gray to RGB, unrounded, white at {white}",)


@pytest.mark.parametrize(
    ("values", "white"),
    [((0, 0.25, 1), 1), ((0, 1.5, 200.25), 255), ((0, 2.0**31 - 128), 2**31 - 1)],
)
def test_floats_are_scaled_by_the_smallest_white(values: tuple[float, ...], white: int) -> None:
    pixels, said = gray(plane(*values, kind=np.float32), Depth(32))
    assert np.allclose(pixels[0, :, 0], np.array(values) * 255 / white)
    assert said == (f"float gray to RGB, unrounded, white at {white}",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gray_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(PictureError, match="no numbers; export it again"):
        gray(plane(0, value, kind=np.float32))


def test_gray_profile_is_applied_between_levels() -> None:
    values = np.arange(25_700, 26_215, 8)
    pixels, said = gray(
        plane(*values, kind=np.uint16), Depth(16, 65535), profile=profiles.gray(gamma=1.0)
    )
    light = values / 65535
    srgb = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(pixels[0, :, 0] - srgb).max() < 1
    assert len(np.unique(pixels[0, :, 0])) == len(values)
    assert said[1:] == ("colors from profile 'hand made' to sRGB",)


def disc(side: int = 41) -> tuple[Pixels, Plane]:
    """A red disc with a soft edge; what is hidden around it is green."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    away = np.hypot(rows - side // 2, columns - side // 2)
    alpha = np.clip((side / 3 - away) / 4 + 0.5, 0, 1).astype(np.float32)
    pixels = np.where(alpha[..., None] > 0, (200, 40, 30), (0, 255, 0)).astype(np.float32)
    return pixels, alpha


def test_nearer_color_fills() -> None:
    pixels = np.full((9, 64, 3), 128, dtype=np.float32)
    alpha = np.zeros((9, 64), dtype=np.float32)
    pixels[:, :8], pixels[:, -8:] = (250, 0, 0), (0, 0, 250)
    alpha[:, :8] = alpha[:, -8:] = 1
    found = filled(pixels, alpha)
    assert found[4, 12, 0] > 2 * found[4, 12, 2] and found[4, 50, 2] > 2 * found[4, 50, 0]
    assert np.array_equal(found[:, :8], pixels[:, :8])


def test_visible_colors_stay() -> None:
    pixels = np.array([[[10, 20, 30], [90, 90, 90]]], dtype=np.float32)
    found = filled(pixels, np.array([[1, 0.5]], dtype=np.float32))
    assert np.array_equal(found[0, 0], [10, 20, 30])
    assert 10 < found[0, 1, 0] < 90


def test_invisible_picture_is_white() -> None:
    pixels, alpha = disc()
    assert (filled(pixels, 0 * alpha) == 255).all()


def test_over_white_composites() -> None:
    pixels, alpha = np.full((1, 1, 3), 55, dtype=np.float32), np.full((1, 1), 0.5, dtype=np.float32)
    assert over_white(pixels, alpha).ravel().tolist() == [155, 155, 155]
