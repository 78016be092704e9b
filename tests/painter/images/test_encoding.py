"""Values mean what their file says, and become sRGB (laws 17 to 19)."""

import io
import itertools
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.painter import deep
from tests.painter.files import decoded, near, refusal, saved
from tests.painter.light import coded_in
from tests.painter.tiffs import COLORS, FULL, MOSAIC, SMALL, Entry, Page, directory, large, tiff

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import encoding, jxl
from stylewatch_painter.images.encoding import ADOBE_RGB, Encoding, of_numbers
from stylewatch_painter.images.formats import JXL, RAW, kind_in
from stylewatch_painter.images.tiff import directories
from stylewatch_painter.images.vips import vips

ADOBE = Encoding("Adobe RGB", ADOBE_RGB, 563 / 256)
PQ, HLG = of_numbers(9, 16), of_numbers(9, 18)

needs_raw = pytest.mark.skipif(not find_spec("rawpy"), reason="needs the extra raw")
needs_jxl = pytest.mark.skipif(not find_spec("pillow_jxl"), reason="needs the extra jxl")


def in16(meaning: Encoding) -> NDArray[np.uint16]:
    """The four colors in an encoding, in 16 bits."""
    coded: NDArray[np.float64] = large(coded_in(meaning, COLORS / 255))
    whole: NDArray[np.uint16] = np.rint(65535 * coded).astype(np.uint16)
    return whole


def shows_colors(picture: Any, within: float = 1.5) -> bool:
    height, width, _ = picture.pixels.shape
    seen = picture.pixels[height // 4 :: height // 2, width // 4 :: width // 2]
    return bool(np.abs(seen - COLORS).max() <= within)


# HDR


@pytest.mark.parametrize("meaning", [PQ, HLG], ids=lambda each: each.name)
def test_hdr_without_brighter_light_than_white_is_what_srgb_would_be(meaning: Encoding) -> None:
    shown = encoding.from_hdr(in16(meaning) / np.float32(65535), meaning)
    assert shown.dtype == np.float32 and np.abs(shown - large(COLORS)).max() < 0.5


@pytest.mark.parametrize("meaning", [PQ, HLG], ids=lambda each: each.name)
def test_brighter_light_is_compressed_in_order_and_colors_keep_their_hue(meaning: Encoding) -> None:
    steps = np.linspace(0, 1, 400)[None, :, None].repeat(3, 2)
    shown = encoding.from_hdr(steps, meaning)
    assert shown.min() >= 0 and shown.max() == pytest.approx(255, abs=0.5)
    assert (np.diff(shown[0, :, 0]) >= 0).all(), "never darker where the light is brighter"
    assert np.ptp(shown, axis=2).max() < 0.01, "gray stays gray"
    red = steps * np.array([1, 0.5, 0.5])
    bright = encoding.from_hdr(red, meaning, peak=4000)
    assert (bright[..., 0] >= bright[..., 1]).all()


def test_one_bright_pixel_darkens_no_picture() -> None:
    signal = np.full((300, 300, 3), 0.5)
    plain = encoding.from_hdr(signal, PQ)
    signal[7, 7] = 1
    assert np.abs(encoding.from_hdr(signal, PQ)[20:] - plain[20:]).max() < 0.01


def test_a_film_has_one_curve_whatever_its_frames_show() -> None:
    assert encoding.mastered(of_numbers(9, 16, peak=4000)) == 4000
    assert encoding.mastered(PQ) == 1000 and encoding.mastered(HLG) == pytest.approx(766, abs=1)
    assert encoding.mastered(of_numbers(9, 16, peak=1e9)) == 10_000


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 9), (1, 10), (10, 13), (9, 99)])
def test_colors_that_cannot_be_converted_are_refused(primaries: int, transfer: int) -> None:
    with pytest.raises(PictureError, match="has colors that cannot be converted"):
        of_numbers(primaries, transfer)


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (2, 1), (5, 6), (6, 2), (1, 4)])
def test_what_differs_little_from_srgb_is_taken_for_it(primaries: int, transfer: int) -> None:
    assert of_numbers(primaries, transfer).is_srgb


# What files state


def cicp(primaries: int, transfer: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, 0, 1])


def adobe() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 65535, 0xA005: {1: "R03"}})
    values = np.rint(255 * large(coded_in(ADOBE, COLORS / 255))).astype(np.uint8)
    return saved(Image.fromarray(values), "JPEG", exif=exif, quality=98)


def avif(primaries: int, transfer: int) -> bytes:
    """An AVIF of 8 bits, whose box `colr` is overwritten."""
    coded = coded_in(of_numbers(primaries, transfer), COLORS / 255)
    picture = Image.fromarray(np.rint(255 * large(coded, 32)).astype(np.uint8))
    data = saved(picture, "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


GAMMA = Encoding("", ADOBE_RGB, 1.8)
CHROMATICITIES = struct.pack(
    ">8I", *(round(100_000 * each) for each in (*ADOBE_RGB[6:], *ADOBE_RGB[:6]))
)
GAMA = b"gAMA", struct.pack(">I", 55_556)
PQ_MAPPED = "BT.2020 PQ mapped to the range of sRGB"


@pytest.mark.parametrize(
    ("make", "phrase", "within"),
    [
        (lambda: deep.png(in16(PQ), cicp(9, 16)), PQ_MAPPED, 1.5),
        (
            lambda: deep.png(in16(GAMMA), GAMA, (b"cHRM", CHROMATICITIES)),
            "colors by the PNG's gamma to sRGB",
            6,
        ),
        (lambda: deep.png(in16(of_numbers(9, 1)), cicp(9, 14)), "BT.2020 to sRGB", 6),
        (lambda: avif(12, 13), "Display P3 to sRGB", 6),
        (adobe, "Adobe RGB to sRGB", 6),
    ],
    ids=["png-pq", "png-gamma", "png-2020", "avif-p3", "jpeg-adobe"],
)
def test_colors_are_what_the_file_states(
    make: Callable[[], bytes], phrase: str, within: float
) -> None:
    picture = decoded(make())
    assert shows_colors(picture, within)
    assert picture.converted == (phrase,)


def test_pq_of_8_bits_in_an_avif_is_mapped_too() -> None:
    picture = decoded(avif(9, 16))
    assert picture.converted == (PQ_MAPPED,)
    assert np.abs(picture.pixels[16, 16] - COLORS[0, 0]).max() < 5


def test_a_gamma_of_22_and_a_statement_of_srgb_change_nothing() -> None:
    values = deep.values()
    for chunks in ([(b"gAMA", struct.pack(">I", 45_455))], [cicp(1, 13)], [cicp(2, 2)],
                   [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 90_000))],
                   [(b"gAMA", b"\0")], [(b"gAMA", struct.pack(">I", 0))],
                   [(b"gAMA", struct.pack(">I", 90_000)), (b"cHRM", bytes(32))]):  # fmt: skip
        picture = decoded(deep.png(values, *chunks))
        assert picture.converted == () and np.abs(picture.pixels - values / 257).max() < 0.01


def test_hdr_in_a_reduced_picture_with_alpha_keeps_its_alpha() -> None:
    values = np.concatenate([in16(PQ), np.full((40, 40, 1), 30_000, np.uint16)], axis=2)
    picture = decoded(deep.png(values, cicp(9, 16)))
    assert picture.alpha is not None and near(picture.alpha, (30_000 / 65535,), 0.001)
    assert shows_colors(picture, 2)


# TIFF and raw


def test_reduced_pages_and_masks_are_no_pictures() -> None:
    small: Page = (SMALL, 2, [(254, 4, (1,))])
    mask: Page = (SMALL, 2, [(254, 4, (4,))])
    data = tiff(small, mask, (FULL, 2, []), (FULL // 2, 2, []))
    picture = decoded(data)
    assert picture.size == (40, 40) and shows_colors(picture)
    assert picture.converted == ("picture 3 of 4 in the file taken",)
    only = decoded(tiff(small))
    assert only.size == (10, 10), "better than nothing"


@pytest.mark.parametrize(
    ("extra", "shown", "has_alpha"), [(0, FULL, False), (1, FULL // 2, True), (2, FULL, True)]
)
def test_extra_samples_are_what_the_file_says(
    extra: int, shown: NDArray[Any], has_alpha: bool
) -> None:
    """The three kinds: no alpha, alpha that the colors are multiplied by, and other alpha."""
    values = np.concatenate([shown, np.full((40, 40, 1), 128, np.uint8)], axis=2)
    picture = decoded(tiff((values, 2, [(338, 3, (extra,))])))
    assert shows_colors(picture, 2.5)
    assert (picture.alpha is not None) is has_alpha


def test_further_channels_are_left_out_and_named() -> None:
    values = np.concatenate([FULL, FULL[..., :2]], axis=2)
    picture = decoded(tiff((values, 2, [(338, 3, (0, 0))])))
    assert shows_colors(picture)
    assert picture.converted == ("channels that are neither color nor alpha left out",)


def test_the_first_of_two_entries_for_a_tag_counts() -> None:
    """As in libtiff, which would decode another picture than the one that was checked."""
    (page,) = directories(b"II*\0\x08\0\0\0" + directory(8, [(262, 3, (1,)), (262, 3, (2,))]))
    assert page.first(262) == 1


RAWS = {
    "a thumbnail first": tiff((SMALL, 2, [(254, 4, (1,)), (50706, 4, (1,))])),
    "a mosaic": tiff((MOSAIC, 32803, [(33421, 3, (2, 2))])),
    "linear": tiff((FULL, 34892, [])),
    "Canon's": b"II*\0\x10\0\0\0CR\2\0",
    "Canon's boxes": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "Fujifilm's": b"FUJIFILMCCD-RAW 0201",
    "Olympus's": b"IIRO\x08\0\0\0",
    "Panasonic's": b"IIU\0\x18\0\0\0",
}


@pytest.mark.parametrize("name", RAWS)
def test_a_raw_file_is_told_from_a_tiff_and_needs_an_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind_in(RAWS[name]) == RAW
    monkeypatch.setitem(sys.modules, "rawpy", None)
    sentence = refusal(RAWS[name])
    assert "is camera raw" in sentence and "[raw]'`, or export it as JPEG" in sentence


def test_a_damaged_directory_is_no_raw_and_no_loop_without_end() -> None:
    plain = tiff((FULL, 2, []))
    at = struct.unpack_from("<I", plain, 4)[0]
    loop = plain[:-4] + struct.pack("<I", at)
    for data in (plain[:20], plain[: at + 30], loop, b"II*\0" + b"\xff" * 30, b"MM\0*" + bytes(12)):
        assert kind_in(data) == "TIFF"


@needs_raw
def test_a_raw_file_is_developed_in_its_whole_size() -> None:
    ramp = np.tile(np.arange(120, dtype=np.uint16)[None, :, None] * 400, (80, 1, 1))
    about: list[Entry] = [(254, 4, (0,)), (284, 3, (1,)), (50706, 1, (1, 4, 0, 0))]
    data = tiff((ramp, 32803, [*about, (33421, 3, (2, 2)), (33422, 1, (0, 1, 1, 2))]))
    picture = decoded(data)
    assert picture.size == (120, 80)
    assert picture.converted == (
        "camera raw developed to sRGB, with the white balance of the camera",
    )
    columns = picture.pixels[10:-10].mean(axis=(0, 2))
    assert (np.diff(columns[10:100]) > -2).all() and np.ptp(columns) > 100
    assert "is 9,600 pixels; the limit is 100 pixels" in refusal(data, limit=100)


Bits = tuple[tuple[int, int], ...]
"""Numbers of bits, and values."""


def jxl_head(*fields: Bits) -> bytes:
    """Return the head of a JPEG XL of 24x24 pixels that states these fields, and zeros."""
    size: Bits = ((1, 1), (5, 2), (3, 1), (1, 0))
    bits = place = 0
    for length, value in itertools.chain(size, *fields):
        bits |= value << place
        place += length
    return b"\xff\x0a" + bits.to_bytes(32, "little")


PLAIN: Bits = ((1, 0), (1, 0), (2, 0), (1, 1))
"""No fields about display, 8 bits, small buffers."""

ONE_CHANNEL: Bits = ((2, 1), (1, 0))
NAMED: Bits = ((1, 0), (2, 1), (1, 0), (2, 1), (4, 2), (8, 65), (8, 66))  # 10 bits, whole, "AB"
SPOT: Bits = ((2, 2), (4, 0), (1, 0), (2, 0), (2, 0), (2, 0), (64, 7))
ASSOCIATED: Bits = ((2, 0), (1, 0), (2, 0), (2, 0), (2, 0), (1, 1))


@pytest.mark.parametrize(
    ("fields", "is_associated"),
    [
        ((PLAIN, ((2, 0),)), False),
        ((PLAIN, ((2, 1), (1, 1))), False),  # alpha of which nothing is stated
        ((PLAIN, ONE_CHANNEL, ASSOCIATED), True),
        ((PLAIN, ONE_CHANNEL, ((2, 0),), NAMED, ((1, 1),)), True),
        ((PLAIN, ((2, 2), (4, 0), (1, 0)), SPOT, ((1, 0),), ASSOCIATED), True),
        ((PLAIN, ONE_CHANNEL, ((2, 1),), NAMED, ((1, 1),)), False),  # depth
    ],
)
def test_the_head_of_a_jpeg_xl_tells_how_its_alpha_is_meant(
    fields: tuple[Bits, ...], is_associated: bool
) -> None:
    assert jxl.head_of(jxl_head(*fields)).is_associated is is_associated


def test_a_jpeg_xl_in_cmyk_is_refused() -> None:
    with pytest.raises(PictureError, match="is JPEG XL in CMYK"):
        jxl.head_of(jxl_head(PLAIN, ONE_CHANNEL, ((2, 2), (4, 2)), NAMED))


@pytest.mark.parametrize(
    ("fields", "is_coarse"),
    [
        ((PLAIN, ((2, 0), (1, 1), (1, 1))), False),  # with loss, sRGB
        ((PLAIN, ((2, 0), (1, 1), (1, 0), (1, 1))), True),  # with loss, a profile
        ((PLAIN, ((2, 0), (1, 0), (1, 0), (1, 1))), False),
        ((((1, 0), (1, 0), (2, 3), (6, 15), (1, 1)), ((2, 0),)), True),  # 16 bits
        ((((1, 0), (1, 1), (2, 0), (4, 7), (1, 1)), ((2, 0),)), True),  # floats
    ],
)
def test_the_head_of_a_jpeg_xl_tells_whether_8_bits_are_enough(
    fields: tuple[Bits, ...], is_coarse: bool
) -> None:
    assert jxl.head_of(jxl_head(*fields)).is_coarse is is_coarse


def test_a_head_in_two_parts_of_a_codestream_is_read_whole() -> None:
    head = jxl_head(PLAIN, ONE_CHANNEL, ASSOCIATED)
    data = bytes.fromhex("0000000c4a584c200d0a870a")
    for number, part in enumerate((head[:3], head[3:])):
        data += struct.pack(">I4sI", 12 + len(part), b"jxlp", number) + part
    assert jxl.head_of(data).is_associated


@pytest.mark.parametrize("is_animated", [False, True])
@pytest.mark.parametrize(
    "preview",
    [
        ((1, 1), (2, 1), (3, 1)),  # 32 pixels, a ratio of 1 to 1
        ((1, 1), (2, 2), (5, 31), (3, 0), (2, 3), (9, 511)),  # in units of 8 pixels, with a width
        ((1, 0), (2, 3), (12, 4095), (3, 0), (2, 0), (6, 63)),  # in pixels
    ],
)
def test_a_preview_of_a_jpeg_xl_hides_no_animation(
    preview: tuple[tuple[int, int], ...], is_animated: bool
) -> None:
    data = jxl_head(
        ((1, 1), (3, 0), (1, 0), (1, 1)),  # fields of its own, upright, a preview
        preview,
        ((1, is_animated), (1, 0), (2, 0), (1, 0), (2, 0)),
    )
    if is_animated:
        with pytest.raises(PictureError, match="animated"):
            jxl.head_of(data)
    else:
        assert jxl.head_of(data).size == (24, 24)


@needs_jxl
def test_jpeg_xl_is_read_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import pillow_jxl

    encoder: Any = pillow_jxl.Encoder
    values = np.concatenate([FULL, np.full((40, 40, 1), 128, np.uint8)], axis=2)
    data = encoder(mode="RGBA", lossless=True)(values.tobytes(), 40, 40, jpeg_encode=False)
    assert kind_in(data) == JXL
    picture = decoded(data)
    assert picture.size == (40, 40) and shows_colors(picture) and picture.alpha is not None
    assert "the limit is 100 pixels" in refusal(data, limit=100)
    assert "cut off" in refusal(data[: len(data) // 2])
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert "[jxl]'`, or save it as PNG" in refusal(data)


@needs_jxl
def test_packed_exif_of_a_jpeg_xl_is_told() -> None:
    import pillow_jxl

    encoder: Any = pillow_jxl.Encoder
    exif = Image.Exif()
    exif[271] = "Cam"
    for compress in (False, True):
        made = encoder(mode="RGB", lossless=True, use_container=True)
        data = made(FULL.tobytes(), 40, 40, jpeg_encode=False, exif=exif.tobytes()[6:],
                    jumb=None, xmp=None, compress=compress)  # fmt: skip
        tags = decoded(data).tags
        assert tags.packed is compress and tags.main == ({} if compress else {271: "Cam"})


@needs_jxl
def test_jpeg_xl_made_of_a_jpeg_is_read_as_that_jpeg() -> None:
    import pillow_jxl

    encoder: Any = pillow_jxl.Encoder
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(file, "JPEG", quality=90, exif=exif)
    data = encoder(mode="RGB", lossless=True)(file.getvalue(), 640, 480, jpeg_encode=True)
    assert kind_in(data) == JXL
    wanted = decoded(file.getvalue())
    for _ in range(5):
        picture = decoded(data)
        assert picture.size == wanted.size == (480, 640)
        assert np.array_equal(picture.pixels, wanted.pixels)
    assert "the limit is 100 pixels" in refusal(data, limit=100)


# Nothing to see, and damage


def test_white_of_floats_is_told_by_most_values() -> None:
    pixels = np.full((50, 50, 3), 0.5, np.float32)
    pixels[3, 3] = 200.0
    image = vips().Image.new_from_array(pixels, interpretation="srgb")
    picture = decoded(image.tiffsave_buffer())
    assert near(picture.pixels[20:], (127.5,), 0.1) and near(picture.pixels[3, 3], (255,))
    assert picture.converted == ("float color to RGB, unrounded, white at 1",)


def test_a_picture_of_one_color_is_painted_with_a_warning() -> None:
    assert decoded(saved(Image.new("RGB", (9, 9), (7, 8, 9)), "PNG")).warnings == (
        "photo shows one color alone",
    )
    assert decoded(saved(Image.fromarray(FULL), "PNG")).warnings == ()


def test_a_jpeg_with_a_hole_is_refused_and_stray_bytes_are_told() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", quality=90)
    middle = len(data) // 2
    hole = data[:middle] + data[middle + 8000 :]
    assert "is damaged (premature end of data segment); copy" in refusal(hole)
    assert decoded(data).warnings == (), "nothing is left of the earlier complaint"
    progressive = saved(Image.fromarray(noise), "JPEG", quality=90, progressive=True)
    few, many = (progressive[:-2] + b"\x11" * count + progressive[-2:] for count in (17, 4000))
    assert decoded(few).warnings == ()
    (warning,) = decoded(many).warnings
    assert "photo may be damaged" in warning
