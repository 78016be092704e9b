"""Pictures of every mode become the colors they were meant to be, and it is said how."""

import io
import struct
from zlib import compress, crc32

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.painter import deep, profiles

from stylewatch_painter.images.decode import Raster, decoded, decoding
from stylewatch_painter.images.depth import Depth
from stylewatch_painter.images.read import to_floats
from stylewatch_painter.stage import Pixels, Plane

FILLED = "transparent parts filled with the visible colors nearby, alpha kept beside"


def read(data: bytes) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    with decoding("photo", data):
        return to_floats(decoded(data, 1_000_000))


def through(
    image: Image.Image, format: str = "PNG", **options: object
) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    """The picture after it was a file."""
    content = io.BytesIO()
    image.save(content, format, **options)
    return read(content.getvalue())


def one(mode: str, color: tuple[int, ...], size: tuple[int, int] = (2, 2)) -> Image.Image:
    return Image.frombytes(mode, size, bytes(color) * (size[0] * size[1]))


def near(pixels: Pixels, color: tuple[float, ...], tolerance: float = 0.01) -> bool:
    return bool(np.abs(pixels - np.array(color)).max() <= tolerance)


def test_alpha_is_kept_and_hidden_colors_do_not_show() -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 0))  # red that nobody sees
    image.putpixel((1, 0), (100, 50, 0, 51))
    image.putpixel((2, 0), (9, 8, 7, 255))
    pixels, alpha, said = through(image)
    assert alpha is not None and alpha.dtype == np.float32
    assert np.allclose(alpha, [[0, 0.2, 1]])
    assert np.allclose(pixels[0, 2], [9, 8, 7])
    assert (pixels[0, :2, 0] < 101).all() and (pixels[0, 0] > [9, 8, 0]).any()
    assert pixels.dtype == np.float32 and said == (FILLED,)


def test_a_palette_gives_its_colors_and_its_transparency() -> None:
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
def test_one_transparent_color_becomes_alpha(
    mode: str, other: int | tuple[int, ...], key: int | tuple[int, ...]
) -> None:
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), other)
    pixels, alpha, said = through(image, transparency=key)
    assert alpha is not None and alpha.tolist() == [[0, 1]]
    assert np.allclose(pixels[0, 0], pixels[0, 1], atol=0.01) and pixels[0, 1, 0] < 5
    assert said[-1] == FILLED


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_goes_by_the_inks(format: str) -> None:
    # In a JPEG the inks are stored upside down, as Adobe's programs do.
    options = {"quality": 100} if format == "JPEG" else {}
    pixels, _, said = through(one("CMYK", (51, 0, 255, 102), (8, 8)), format, **options)
    assert near(pixels, (255 * 0.8 * 0.6, 255 * 0.6, 0), 1.5 if format == "JPEG" else 0.01)
    assert said == ("CMYK to RGB without a profile",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_goes_by_its_profile_where_it_has_one(format: str) -> None:
    pixels, _, said = through(
        one("CMYK", (255, 0, 0, 0), (8, 8)), format, icc_profile=profiles.cmyk()
    )
    assert near(pixels, (119, 119, 119), 3)
    assert said == ("CMYK to RGB", "colors from profile 'hand made' to sRGB")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_of_another_profile_are_converted(mode: str) -> None:
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
def test_a_profile_that_is_damaged_or_does_not_fit_is_said_and_left_out(profile: bytes) -> None:
    pixels, _, said = through(Image.new("RGB", (2, 2), (200, 120, 60)), icc_profile=profile)
    assert near(pixels, (200, 120, 60))
    assert said == ("color profile left out, it is damaged or does not fit: taken as sRGB",)


def test_lab_and_ycbcr_become_srgb() -> None:
    lab, _, said = through(one("LAB", (128, 0, 0)), "TIFF")
    assert near(lab, (119, 119, 119), 2) and said == ("CIE Lab to sRGB",)
    ycbcr, _, said = through(one("YCbCr", (76, 85, 255)), "TIFF")
    assert near(ycbcr, (255, 0, 0), 2) and said == ("YCbCr to RGB",)


def test_color_pngs_of_16_bits_are_whole_or_cut_as_was_asked() -> None:
    head = struct.pack(">IIBBBBB", 1, 1, 16, 6, 0, 0, 0)
    values = struct.pack(">B4H", 0, 25_600, 51_300, 2_560, 13_107)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc32(name + content))
        for name, content in [(b"IHDR", head), (b"IDAT", compress(values)), (b"IEND", b"")]
    )
    pixels, alpha, said = read(data)
    assert alpha is not None and np.isclose(alpha[0, 0], 0.2)
    assert near(pixels, (100, 200, 10)) and said == ("16 bits a channel cut to 8", FILLED)
    with decoding("photo", data):
        pixels, alpha, said = to_floats(decoded(data, 1_000_000, uncut=True))
    assert alpha is not None and np.isclose(alpha[0, 0], 0.2)
    assert near(pixels, (25_600 / 257, 51_300 / 257, 2_560 / 257), 1e-4) and said == (FILLED,)


@pytest.mark.parametrize(("mode", "color"), [("La", (40, 51)), ("RGBa", (40, 40, 40, 51))])
def test_colors_already_multiplied_by_their_alpha_are_not_multiplied_twice(
    mode: str, color: tuple[int, ...]
) -> None:
    pixels, alpha, _ = to_floats(Raster(one(mode, color), Depth(), ()))
    assert alpha is not None and np.allclose(alpha, 0.2)
    assert near(pixels, (200, 200, 200), 0.5)


def test_colors_of_16_bits_follow_their_profile_without_being_cut() -> None:
    data = deep.tiff(deep.values())
    with decoding("photo", data):
        raster = decoded(data, 1_000_000, uncut=True)
    raster.image.info["icc_profile"] = profiles.rgb()
    pixels, _, said = to_floats(raster)
    assert said == ("colors from profile 'hand made' to sRGB",) and len(np.unique(pixels)) > 300
    raster.image.info["icc_profile"] = b"damaged"
    assert "16 bits a channel cut to 8" in to_floats(raster)[2]
