"""Picture files and films of other programs, with what is known of them beforehand.

All show four squares of COLORS. A row says by which program a file is made, how far its colors may
be away by compression, and what the receipt says under `converted`.
"""

import io
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.painter import deep, profiles
from tests.painter.light import coded_in, linear
from tests.painter.tiffs import (
    COLORS,
    FULL,
    MOSAIC,
    SMALL,
    Entry,
    directory,
    heic,
    large,
    tiff,
)

from stylewatch_painter.images.encoding import ADOBE_RGB, Encoding, of_numbers, profile_of

WIDTH, HEIGHT = 80, 60

SRGB = of_numbers(1, 13)
NUMBERS = {"sRGB": (1, 13, 6), "P3": (12, 13, 1), "PQ": (9, 16, 9), "HLG": (9, 18, 9)}
"""Numbers of ITU-T H.273 for primaries, transfer function and matrix."""

MEANINGS = {name: of_numbers(*numbers[:2]) for name, numbers in NUMBERS.items()}
PHRASES = {
    "sRGB": "",
    "P3": "Display P3 to sRGB",
    "PQ": "BT.2020 PQ mapped to the range of sRGB",
    "HLG": "BT.2020 HLG mapped to the range of sRGB",
}

Make = Callable[[Path], object]
"""Function that makes the file."""


@dataclass(frozen=True)
class Made:
    """A file: its name, the program that makes it, how far its colors may be away, in levels.

    `says` is a part of `converted`, or of the refusal if the file `is_refused`, and `unsaid` a part
    that no phrase may have. `warns` is a part of the warning. `seen` are the four colors if they
    are not COLORS, and `alpha` is 0..1; None if all is opaque.
    """

    name: str
    program: str
    make: Make
    within: float = 3.0
    says: str = ""
    is_refused: bool = False
    seen: Any = None
    unsaid: str = "damaged"
    warns: str = ""
    alpha: float | None = None

    @property
    def colors(self) -> Any:
        """The four colors that are expected."""
        return COLORS if self.seen is None else np.array(self.seen)


def squares(values: Any, bits: int = 8) -> Any:
    """The four squares, from colors in 0..1."""
    most = 2**bits - 1
    whole = np.rint(np.clip(values, 0, 1) * most).astype(np.uint8 if bits == 8 else np.uint16)
    return whole.repeat(HEIGHT // 2, 0).repeat(WIDTH // 2, 1)


def source(folder: Path, meaning: Encoding = SRGB, bits: int = 16) -> Path:
    """Write the squares in an encoding as PPM, which states none."""
    path = folder / "source.ppm"
    values = squares(coded_in(meaning, COLORS / 255), bits)
    head = f"P6 {WIDTH} {HEIGHT} {2**bits - 1}\n".encode()
    path.write_bytes(head + values.astype(">u2" if bits > 8 else ">u1").tobytes())
    return path


def run(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True, capture_output=True, timeout=120)


def magick(*options: object, meaning: Encoding = SRGB, bits: int = 8) -> Make:
    """Convert the squares by ImageMagick."""

    def make(path: Path) -> None:
        run("convert", source(path.parent, meaning, bits), *options, path)

    return make


GRAY = np.array([[40, 90], [160, 230]])[..., None].repeat(3, 2)


def make_gray(path: Path) -> None:
    shades = path.parent / "shades.png"
    Image.fromarray(squares(GRAY / 255)[..., 0]).save(shades)
    run("convert", shades, "-quality", 98, path)


HALF_OPAQUE = np.concatenate(
    [squares(COLORS / 255), np.full((HEIGHT, WIDTH, 1), 128, np.uint8)], axis=2
)
HALF = ("-alpha", "set", "-channel", "A", "-evaluate", "set", "50%")
FLOATS = ("-define", "quantum:format=floating-point", "-compress", "Zip", "-depth", 32)


def stills() -> Iterator[Made]:
    """Yield what ImageMagick writes."""
    plain: dict[str, tuple[tuple[object, ...], float, str]] = {
        "q95.jpg": (("-quality", 95, "-sampling-factor", "4:4:4"), 4, ""),
        "q90-420.jpg": (("-quality", 90), 8, ""),
        "progressive.jpg": (("-quality", 95, "-interlace", "JPEG"), 8, ""),
        "8.png": ((), 1, ""),
        "interlaced.png": (("-interlace", "PNG"), 1, ""),
        "palette.png": (("-type", "Palette"), 1, "palette to RGB"),
        "alpha.png": (HALF, 2, "alpha kept"),
        "8.tif": ((), 1, ""),
        "lzw.tif": (("-compress", "LZW"), 1, ""),
        "zip.tif": (("-compress", "Zip"), 1, ""),
        "rle.tif": (("-compress", "RLE"), 1, ""),
        "jpeg.tif": (("-compress", "JPEG", "-quality", 95), 8, ""),
        "planar.tif": (("-interlace", "Plane"), 1, ""),
        "tiled.tif": (("-define", "tiff:tile-geometry=16x16"), 1, ""),
        "big-endian.tif": (("-endian", "MSB"), 1, ""),
        "alpha.tif": (HALF, 2, "alpha kept"),
        "float.tif": (FLOATS, 1, "white at 1"),
        "palette.tif": (("-type", "Palette"), 1, ""),
        "lossless.webp": (("-define", "webp:lossless=true"), 1, ""),
        "q95.webp": (("-quality", 95), 9, ""),
        "alpha.webp": (("-define", "webp:lossless=true", *HALF), 2, "alpha kept"),
        "plain.gif": ((), 1, "palette to RGB"),
        "24.bmp": (("-type", "TrueColor", "BMP3:"), 1, ""),
        "palette.bmp": (("-type", "Palette"), 1, ""),
        "plain.ppm": ((), 1, ""),
        "ascii.ppm": (("-compress", "None"), 1, ""),
    }  # fmt: skip
    for name, (options, within, says) in plain.items():
        yield Made(
            f"im-{name}", "convert", magick(*(o for o in options if o != "BMP3:")), within, says,
            alpha=0.5 if says == "alpha kept" else None,
        )  # fmt: skip
    for name in ("16.png", "16.tif", "16.ppm"):
        yield Made(f"im-{name}", "convert", magick("-depth", 16, bits=16), 1)
    for suffix in ("png", "jpg", "tif", "pgm"):
        yield Made(f"im-gray.{suffix}", "convert", make_gray, 3, "gray to RGB", seen=GRAY)
    cmyk = ("-colorspace", "CMYK")
    for suffix in ("jpg", "tif"):
        make_cmyk = magick(*cmyk, "-quality", 95)
        yield Made(f"im-cmyk.{suffix}", "convert", make_cmyk, 120, "CMYK to RGB without a profile")
    gone = ("-alpha", "set", "-channel", "A", "-evaluate", "set", 0)
    for suffix in ("png", "tif", "bmp"):
        yield Made(f"im-hidden.{suffix}", "convert", magick(*gone), 2, "it hides everything")


def make_with_profile(meaning: Encoding, path: Path) -> None:
    profile = path.parent / "made.icc"
    profile.write_bytes(profile_of(meaning))
    exact = ("-quality", 98, "-sampling-factor", "4:4:4", "-define", "webp:lossless=true")
    magick(*exact, "-profile", profile, meaning=meaning)(path)


def with_profiles() -> Iterator[Made]:
    """Yield files with a profile that ImageMagick puts into them."""
    meanings = {
        "P3": MEANINGS["P3"],
        "Adobe RGB": Encoding("Adobe RGB", ADOBE_RGB, 563 / 256),
        "BT.2020": of_numbers(9, 1),
        "sRGB": SRGB,
    }
    for (name, meaning), suffix in product(meanings.items(), ("jpg", "png", "tif", "webp")):
        make = partial(make_with_profile, meaning)
        says = "" if name == "sRGB" else f"colors from profile '{meaning.name}' to sRGB"
        within = {"jpg": 12, "webp": 12}.get(suffix, 8)
        yield Made(f"icc-{name}.{suffix}".replace(" ", "-"), "convert", make, within, says)


_TURNS: tuple[Callable[[Any], Any], ...] = (
    lambda v: v, np.fliplr, lambda v: np.rot90(v, 2), np.flipud,
    lambda v: v.swapaxes(0, 1), np.rot90, lambda v: np.rot90(v, 2).swapaxes(0, 1),
    lambda v: np.rot90(v, 3),
)  # fmt: skip
"""Function that stores pixels for each orientation of EXIF."""


def make_turned(orientation: int, path: Path) -> None:
    stored = np.ascontiguousarray(_TURNS[orientation - 1](squares(COLORS / 255)))
    options: dict[str, dict[str, Any]] = {".jpg": {"quality": 98}, ".webp": {"lossless": True}}
    Image.fromarray(stored).save(path, **options.get(path.suffix, {}))
    run("exiftool", "-q", "-overwrite_original", "-n", f"-Orientation={orientation}", path)


def turned() -> Iterator[Made]:
    """Yield files with an orientation by exiftool."""
    for orientation, suffix in product(range(1, 9), ("jpg", "png", "tif", "webp")):
        make = partial(make_turned, orientation)
        says = f"turned upright (EXIF orientation {orientation})" if orientation > 1 else ""
        yield Made(f"turned-{orientation}.{suffix}", "exiftool", make, 8, says)


def make_avif(name: str, options: Sequence[object], path: Path) -> None:
    png = path.parent / "source.png"
    run("convert", source(path.parent, MEANINGS[name]), f"PNG48:{png}")
    exact = ("--min", 0, "--max", 4, "--speed", 8, "--ignore-icc")
    run("avifenc", *exact, *options, "--cicp", "/".join(map(str, NUMBERS[name])), png, path)


def avifs() -> Iterator[Made]:
    """Yield what libavif writes, in each depth, subsampling, range and meaning."""
    every = product((8, 10, 12), (444, 420), ("full", "limited"), NUMBERS)
    for depth, subsampling, range_, name in every:
        options = ("--depth", depth, "--yuv", subsampling, "--range", range_)
        make = partial(make_avif, name, options)
        is_coarse = depth == 8 and name in ("PQ", "HLG")
        within = 45 if is_coarse else 14 if depth == 8 else 9
        file = f"avif-{depth}-{subsampling}-{range_}-{name}.avif"
        yield Made(file, "avifenc", make, within, PHRASES[name])


def make_heic(name: str, path: Path) -> None:
    values = squares(coded_in(MEANINGS[name], COLORS / 255), 16)
    path.write_bytes(heic(*NUMBERS[name][:2], values))


def make_by_heif_enc(quality: int, path: Path) -> None:
    png = path.parent / "source.png"
    run("convert", source(path.parent, bits=8), f"PNG24:{png}")
    run("heif-enc", "-q", quality, "-o", path, png)


def heics() -> Iterator[Made]:
    """Yield HEIC files of libheif, by its own tool and through pillow-heif."""
    for name in ("sRGB", "P3", "PQ", "HLG"):
        make = partial(make_heic, name)
        yield Made(f"heic-{name}.heic", "pillow_heif", make, 6, PHRASES[name])
    for quality in (60, 95):
        make = partial(make_by_heif_enc, quality)
        yield Made(f"heif-enc-{quality}.heic", "heif-enc", make, 14)


def make_jxl(space: str, meaning: Encoding, distance: float, path: Path) -> None:
    run("cjxl", source(path.parent, meaning), path, "-d", distance, "-x", f"color_space={space}")


def make_jxl_of_jpeg(orientation: int, keeps: int, path: Path) -> None:
    """Make it of a JPEG, which it `keeps` (1) or not (0)."""
    jpeg = path.with_suffix(".jpg")
    make_turned(orientation, jpeg)
    run("cjxl", jpeg, path, f"--lossless_jpeg={keeps}")


def jxls() -> Iterator[Made]:
    """Yield what libjxl writes."""
    spaces = {
        "sRGB": ("RGB_D65_SRG_Rel_SRG", SRGB, ""),
        "P3": ("RGB_D65_DCI_Rel_SRG", MEANINGS["P3"], "colors from profile"),
        "PQ": ("RGB_D65_202_Rel_PeQ", MEANINGS["PQ"], PHRASES["PQ"]),
        "HLG": ("RGB_D65_202_Rel_HLG", MEANINGS["HLG"], PHRASES["HLG"]),
    }
    for (name, (space, meaning, says)), distance in product(spaces.items(), (0, 0.5)):
        make: Make = partial(make_jxl, space, meaning, distance)
        within = 50 if meaning.is_hdr else 14
        yield Made(f"jxl-{name}-{distance}.jxl", "cjxl", make, within, says)

    half = 128 / 255
    make = make_jxl_of_gray
    yield Made("jxl-gray-alpha-16.jxl", "cjxl", make, 1, "gray to RGB", seen=GRAY, alpha=half)
    yield Made("jxl-associated.jxl", "cjxl", make_associated_jxl, 3, alpha=half)
    for distance, warns in ((0, ""), (0.1, "few shades in the dark")):
        make = partial(make_jxl_with_profile, distance)
        yield Made(f"jxl-profile-{distance}.jxl", "cjxl", make, 14, "to sRGB", warns=warns)

    for orientation, keeps in product((1, 6, 8), (0, 1)):
        make = partial(make_jxl_of_jpeg, orientation, keeps)
        says = f"turned upright (EXIF orientation {orientation})"
        is_told = keeps and orientation > 1  # libjxl turns the others
        yield Made(
            f"jxl-of-jpeg-{orientation}-{keeps}.jxl", "cjxl", make, 14, says if is_told else ""
        )


def make_jxl_of_gray(path: Path) -> None:
    """Make it of grays of 16 bits, with alpha."""
    shades = squares(GRAY / 255, 16)[..., :1]
    png = path.with_suffix(".png")
    alpha = np.full_like(shades, 128 * 257)
    srgb = (b"sRGB", b"\0")
    png.write_bytes(deep.png(np.concatenate([shades, alpha], 2), srgb))
    run("cjxl", png, path, "-d", 0)


def make_jxl_with_profile(distance: float, path: Path) -> None:
    """Make it with a profile that is no set of numbers."""
    png = path.with_suffix(".png")
    scanned = Image.fromarray(squares(coded_in(TABLE, COLORS / 255)))
    scanned.save(png, icc_profile=profiles.scanner())
    run("cjxl", png, path, "-d", distance)


def make_associated_jxl(path: Path) -> None:
    """Make it of colors that are multiplied by alpha, and set the flag that says so.

    The flag is in the fields of the extra channel, which are all default in what cjxl writes
    (ISO 18181-1, annex D): they are inserted.
    """
    png = path.with_suffix(".png")
    values = HALF_OPAQUE.astype(np.float64)
    values[..., :3] *= 128 / 255
    Image.fromarray(np.rint(values).astype(np.uint8)).save(png)
    run("cjxl", png, path, "-d", 0)
    data = path.read_bytes()
    bits = "".join(f"{byte:08b}"[::-1] for byte in data[2:])
    at = 23  # after the size (15 bits), 2 flags, the depth (3), a flag, and one extra channel (2)
    assert bits[at - 2 : at + 1] == "101", bits
    end = at + 1 + 1 + 17 + 2 + 1  # XYB, encoding, extensions, transform
    head = bits[:at] + "00000000001" + bits[at + 1 : end]
    head += "0" * (-len(head) % 8)
    changed = head + bits[end + -end % 8 :]
    places = range(0, len(changed), 8)
    path.write_bytes(data[:2] + bytes(int(changed[k : k + 8][::-1], 2) for k in places))


def make_with_alpha(options: Sequence[object], path: Path) -> None:
    """Make an AVIF of the squares, half transparent."""
    png = path.parent / "source.png"
    Image.fromarray(HALF_OPAQUE).save(png)
    run("avifenc", "--min", 0, "--max", 2, "-s", 8, "-y", 444, *options, png, path)


def make_gray_with_profile(transparent: bool, path: Path) -> None:
    """Make a file of grays, coded as linear light, with the profile that says so."""
    png = path.parent / "shades.png"
    values = squares(linear(GRAY / 255))[..., 0]
    shades = Image.fromarray(values)
    if transparent:
        shades.putalpha(128)
    shades.save(png, icc_profile=profiles.gray(1.0))
    if path.suffix == ".png":
        png.rename(path)
    elif path.suffix == ".jxl":
        run("cjxl", "-d", 0, png, path)
    elif path.suffix == ".avif":
        run("avifenc", "--min", 0, "--max", 2, "-s", 8, "-y", 400, png, path)
    else:
        import pillow_heif

        pillow_heif.from_pillow(Image.open(png)).save(
            path, quality=-1, icc_profile=profiles.gray(1.0)
        )


def make_heic_with_alpha(mode: str, path: Path) -> None:
    import pillow_heif

    values = HALF_OPAQUE.astype(np.float64)
    if mode.startswith("RGBa"):
        values[..., :3] *= 128 / 255
    scale, kind = (257, np.uint16) if ";16" in mode else (1, np.uint8)
    data = np.rint(values * scale).astype(kind).tobytes()
    pillow_heif.from_bytes(mode, (WIDTH, HEIGHT), data).save(path, quality=-1, chroma=444)


def make_heic_with_exif(path: Path) -> None:
    """Make a HEIC whose EXIF states an orientation that its boxes do not: nobody turns it."""
    make_heic("sRGB", path)
    run("exiftool", "-q", "-overwrite_original", "-n", "-Orientation=6", path)


def make_adobe(path: Path) -> None:
    adobe = Encoding("", ADOBE_RGB, 563 / 256)
    exact: dict[str, Any] = {".jpg": {"quality": 98, "subsampling": 0}, ".webp": {"lossless": True}}
    values = squares(coded_in(adobe, COLORS / 255))
    Image.fromarray(values).save(path, **exact.get(path.suffix, {}))
    run("exiftool", "-q", "-overwrite_original", "-n", "-ColorSpace=2", path)


def make_cmyk_of_adobe(path: Path) -> None:
    magick("-colorspace", "CMYK", "-quality", 95)(path)
    run("exiftool", "-q", "-overwrite_original", "-n", "-ColorSpace=2", path)


def rare() -> Iterator[Made]:
    """Yield what few programs write: alpha, gray and orientation by boxes, and EXIF."""
    for name, options in {"plain": (), "premultiplied": ("-p",)}.items():
        for depth in (8, 10):
            make: Make = partial(make_with_alpha, (*options, "-d", depth))
            yield Made(f"avif-alpha-{name}-{depth}.avif", "avifenc", make, 9, alpha=128 / 255)
    for mode in ("RGBA", "RGBa", "RGBA;16", "RGBa;16"):
        file = f"heic-alpha-{mode}.heic".replace(";", "-")
        make = partial(make_heic_with_alpha, mode)
        yield Made(file, "pillow_heif", make, 9, alpha=128 / 255)
    programs = {"png": "python", "jxl": "cjxl", "avif": "avifenc", "heic": "pillow_heif"}
    for (suffix, program), alpha in product(programs.items(), (None, 128 / 255)):
        make = partial(make_gray_with_profile, alpha is not None)
        says = "colors from profile 'hand made'"
        yield Made(f"gray-{'alpha' if alpha else 'opaque'}.{suffix}", program, make, 10, says,
                   seen=GRAY, alpha=alpha)  # fmt: skip
    yield Made("heic-exif-alone.heic", "pillow_heif", make_heic_with_exif, 6, unsaid="turned")
    for suffix in ("jpg", "tif", "webp", "png"):
        yield Made(f"adobe.{suffix}", "exiftool", make_adobe, 9, "Adobe RGB to sRGB")
    yield Made("cmyk-of-adobe.jpg", "exiftool", make_cmyk_of_adobe, 120, "CMYK", unsaid="Adobe")


def write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def with_chunk(
    kind: bytes,
    content: bytes,
    *,
    is_last: bool = False,
    values: Any = COLORS / 255,
    **options: Any,
) -> bytes:
    """A PNG of four squares with a chunk before or after the pixels."""
    png = io.BytesIO()
    Image.fromarray(squares(values)).save(png, "PNG", **options)
    data, before = png.getvalue(), b"IEND" if is_last else b"IDAT"
    at = data.index(before) - 4
    chunk = struct.pack(">I", len(content)) + kind + content
    return data[:at] + chunk + struct.pack(">I", zlib.crc32(kind + content)) + data[at:]


def upside_down() -> bytes:
    """EXIF with the orientation 3."""
    exif = Image.Exif()
    exif[274] = 3
    return exif.tobytes().removeprefix(b"Exif\0\0")


def bmp_with_profile(values: Any, profile: bytes) -> bytes:
    """A BMP of version 5 whose profile follows the pixels."""
    height, width, _ = values.shape
    pixels = np.ascontiguousarray(values[::-1, :, ::-1]).tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    where = struct.pack("<4I", 4, 124 + len(pixels), len(profile), 0)
    head += bytes(16) + b"DEBM" + bytes(48) + where
    size = 14 + len(head) + len(pixels) + len(profile)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(head)) + head + pixels + profile


def tagged() -> Iterator[Made]:
    """Yield files whose tags say what their values alone do not."""
    p3 = MEANINGS["P3"]
    floats = (FULL / 255).astype(np.float32)
    alpha = np.full((40, 40, 1), 0.5, np.float32)
    in_255 = np.concatenate([floats * 255, alpha], 2)
    lights = floats.copy()
    lights[:4] = 1.6
    unusual: dict[str, tuple[Any, int, list[Entry], str]] = {
        "signed": (FULL.astype(np.int16) * 128, 2, [(339, 3, (2, 2, 2))], "has signed values"),
        "double": (FULL / 255, 2, [(339, 3, (3, 3, 3))], "has floats of 64 bits"),
        "negative-floats": (1 - floats[..., :1], 0, [(339, 3, (3,))], "white is zero in floats"),
        "cmyk-floats": (in_255 / 255, 5, [(339, 3, (3,) * 4)], "is CMYK in floats"),
        "cmyk-associated": (
            np.full((40, 40, 5), 9, np.uint16),
            5,
            [(338, 3, (1,))],
            "is CMYK of 16 bits, multiplied",
        ),
        "lab-alpha": (np.full((40, 40, 4), 9, np.uint16), 8, [(338, 3, (2,))], "is CIE Lab"),
        "icc-lab": (FULL, 9, [], "is CIE Lab"),
        "4-bits": (FULL, 2, [(258, 3, (4, 4, 4))], "has 4 bits in each of 3 channels"),
        "palette-2-bits": (
            FULL[..., :2],
            3,
            [(258, 3, (2, 2)), (338, 3, (2,))],
            "has 2 bits in each of 2 channels",
        ),
        "palette-16-bits": (FULL[..., :1].astype(np.uint16), 3, [], "has a palette of 16 bits"),
    }
    for name, (values, photometric, more, says) in unusual.items():
        data = tiff((values, photometric, more))
        make = partial(write, data)
        yield Made(f"{name}.tif", "python", make, says=says, is_refused=True)
    of_floats: Entry = (339, 3, (3,) * 3)
    files: dict[str, tuple[bytes, dict[str, Any]]] = {
        "float-lights.tif": (tiff((lights, 2, [of_floats])), {"warns": "white"}),
        "float-255.tif": (
            tiff((in_255, 2, [(339, 3, (3,) * 4), (338, 3, (2,))])),
            {"warns": "white", "alpha": 0.5},
        ),
        "v5.bmp": (
            bmp_with_profile(squares(coded_in(p3, COLORS / 255)), profile_of(p3)),
            {"says": "colors from profile"},
        ),
        "exif-last.png": (
            with_chunk(b"eXIf", upside_down(), is_last=True),
            {"says": "turned upright (EXIF orientation 3)", "seen": COLORS[::-1, ::-1]},
        ),
        "unspecified.png": (
            with_chunk(
                b"cICP",
                bytes((2, 2, 0, 1)),
                values=coded_in(p3, COLORS / 255),
                icc_profile=profile_of(p3),
            ),
            {"says": "colors from profile"},
        ),
        "narrow.png": (
            with_chunk(b"cICP", bytes((1, 1, 0, 0)), is_last=False),
            {"says": "narrow range", "is_refused": True},
        ),
    }
    for name, (data, known) in files.items():
        yield Made(name, "python", partial(write, data), 9, **known)


def palettes() -> Iterator[Made]:
    """Yield TIFF with a palette of colors or of grays, and each kind of a further sample."""
    numbers = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    left_out = "channels that are neither color nor alpha left out"
    kinds: dict[str, tuple[list[Entry], dict[str, Any]]] = {
        "unstated": ([], {"says": left_out}),
        "other": ([(338, 3, (0,))], {"says": left_out}),
        "associated": ([(338, 3, (1,))], {"says": "has a palette beside", "is_refused": True}),
        "alpha": ([(338, 3, (2,))], {"alpha": 100 / 255}),
    }
    values = large(np.concatenate([numbers, np.full_like(numbers, 100)], 2))
    for (name, colors), (kind, (extra, known)) in product(
        {"color": COLORS, "gray": GRAY}.items(), kinds.items()
    ):
        table = np.zeros((256, 3), int)
        table[:4] = colors.reshape(4, 3)
        entry: Entry = (320, 3, tuple((table.T * 257).ravel().tolist()))
        make = partial(write, tiff((values, 3, [entry, *extra])))
        yield Made(f"palette-{name}-{kind}.tif", "python", make, 1, seen=colors, **known)


def associated() -> Iterator[Made]:
    """Yield TIFF whose colors are multiplied by alpha, in each depth, in color and in gray."""
    depths = {
        "8": (np.uint8, 255, ""),
        "16": (np.uint16, 65535, ""),
        "32": (np.uint32, 2**32 - 1, "which is white"),
        "half": (np.float16, 1, ""),
        "float": (np.float32, 1, ""),
        "float-255": (np.float32, 255, ""),
    }
    for (depth, (dtype, most, warns)), colors in product(depths.items(), (COLORS, GRAY)):
        is_gray = colors is GRAY
        values = large(colors[..., :1] if is_gray else colors) / 255
        alpha = np.full((*values.shape[:2], 1), 0.4)
        stored = (np.concatenate([values * alpha, alpha], 2) * most).astype(dtype)
        of_floats: Entry = (339, 3, (3 if issubclass(dtype, np.floating) else 1,) * stored.shape[2])
        data = tiff((stored, 1 if is_gray else 2, [(338, 3, (1,)), of_floats]))
        name = f"associated-{depth}-{'gray' if is_gray else 'color'}.tif"
        within = 3 if depth == "8" else 1
        yield Made(name, "python", partial(write, data), within, seen=colors, warns=warns,
                   alpha=0.4)  # fmt: skip
    extra = np.full((40, 40, 1), 9, np.uint8)
    half = np.full((40, 40, 1), 128, np.uint8)
    for kinds in ((0, 1), (2, 1), (1, 0), (1,)):
        others = [half, extra] if kinds[0] == 1 else [extra, half]
        data = tiff((np.concatenate([FULL // 2, *others], 2), 2, [(338, 3, kinds)]))
        name = f"associated-{'-'.join(map(str, kinds))}.tif"
        yield Made(name, "python", partial(write, data), 3, alpha=0.5)


def make_animation(meaning: Encoding, path: Path, values: Any = None, **options: Any) -> None:
    """Make an animated picture whose first frame shows the squares, and the second others."""
    first = coded_in(meaning, COLORS / 255) if values is None else values
    frames = [Image.fromarray(squares(each)) for each in (first, 1 - first)]
    if path.suffix == ".webp":
        options["lossless"] = True
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, **options)


def make_avif_sequence(name: str, path: Path) -> None:
    pictures = []
    for number, colors in enumerate((COLORS / 255, 1 - COLORS / 255)):
        pictures.append(path.parent / f"frame{number}.png")
        Image.fromarray(squares(coded_in(MEANINGS[name], colors))).save(pictures[-1])
    exact = ("--min", 0, "--max", 4, "--speed", 8, "--ignore-icc", "-y", 444)
    numbers = "/".join(map(str, NUMBERS[name]))
    run("avifenc", *exact, "-d", 10, "--cicp", numbers, *pictures, path)


def animations() -> Iterator[Made]:
    """Yield animated pictures, which are clips, in each meaning that their formats can state."""
    p3, gray = MEANINGS["P3"], linear(GRAY[..., 0] / 255)
    says = f"colors from profile '{p3.name}' to sRGB"
    for suffix in ("png", "webp", "avif"):
        options: dict[str, Any] = {"icc_profile": profile_of(p3)}
        if suffix == "avif":
            options |= {"quality": 100, "subsampling": "4:4:4"}
        make: Make = partial(make_animation, p3, **options)
        yield Made(f"animated-P3.{suffix}", "python", make, 9, says)
    yield Made("animated.gif", "python", partial(make_animation, SRGB), 5, "palette to RGB")
    make = partial(make_animation, SRGB, values=gray, icc_profile=profiles.gray(1.0))
    yield Made("animated-gray.png", "python", make, 10, "hand made", seen=GRAY)
    for name in NUMBERS:
        file, make = f"animated-numbers-{name}.avif", partial(make_avif_sequence, name)
        yield Made(file, "avifenc", make, 40 if MEANINGS[name].is_hdr else 12, PHRASES[name])
    for name in ("PQ", "P3"):
        first = coded_in(MEANINGS[name], COLORS / 255)
        others: dict[str, Any] = {
            "save_all": True,
            "append_images": [Image.fromarray(squares(1 - first))],
        }
        numbers = bytes((*NUMBERS[name][:2], 0, 1))
        make = partial(write, with_chunk(b"cICP", numbers, values=first, **others))
        within = 45 if MEANINGS[name].is_hdr else 9
        yield Made(f"animated-cicp-{name}.png", "python", make, within, PHRASES[name])


TABLE = Encoding("", ADOBE_RGB, 1.8)
"""Encoding of the values by `profiles.scanner`."""


def odd_profile(values: Any) -> bytes:
    """A PNG with a profile that libpng leaves out, as its length is no multiple of 4."""
    profile = profile_of(MEANINGS["P3"]) + b"\0"
    profile = struct.pack(">I", len(profile)) + profile[4:]
    return with_chunk(b"iCCP", b"odd\0\0" + zlib.compress(profile), values=values)


def in_tiles(values: Any, side: int = 16) -> bytes:
    """A TIFF in tiles, packed, whose head comes first."""
    height, width, bands = values.shape
    places = product(range(0, height, side), range(0, width, side))
    parts = [zlib.compress(np.ascontiguousarray(values[y : y + side, x : x + side]).tobytes())
             for y, x in places]  # fmt: skip

    def head(at: int) -> list[Entry]:
        starts = [at + sum(map(len, parts[:number])) for number in range(len(parts))]
        return [(256, 4, (width,)), (257, 4, (height,)), (258, 3, (8,) * bands), (259, 3, (8,)),
                (262, 3, (2,)), (277, 3, (bands,)), (322, 4, (side,)), (323, 4, (side,)),
                (324, 4, tuple(starts)), (325, 4, tuple(map(len, parts)))]  # fmt: skip

    at = 8 + len(directory(8, head(0)))
    return b"II*\0" + struct.pack("<I", 8) + directory(8, head(at)) + b"".join(parts)


def make_avif_with_profile(path: Path) -> None:
    """Make an AVIF with a profile, and numbers that do not count beside it."""
    png = path.parent / "source.png"
    shown = Image.fromarray(squares(coded_in(MEANINGS["P3"], COLORS / 255)))
    shown.save(png, icc_profile=profile_of(MEANINGS["P3"]))
    run("avifenc", "--min", 0, "--max", 2, "-s", 8, "-y", 444, "--cicp", "10/8/6", png, path)


def make_deep_heic(path: Path) -> None:
    import pillow_heif

    values = np.concatenate([squares(COLORS / 255, 16), np.full((HEIGHT, WIDTH, 1), 65535)], 2)
    made = pillow_heif.from_bytes("RGBA;16", (WIDTH, HEIGHT), values.astype("<u2").tobytes())
    made.save(path, quality=-1, chroma=444)


def make_animated_jxl(path: Path) -> None:
    make_animation(SRGB, gif := path.with_suffix(".gif"))
    run("cjxl", gif, path)


def misread() -> Iterator[Made]:
    """Yield files that libraries misread without an error: profiles, damage, odd depths."""
    scanned = Image.fromarray(squares(coded_in(TABLE, COLORS / 255)))
    for suffix in ("tif", "png"):
        make: Make = partial(_save, scanned, {"icc_profile": profiles.scanner()})
        yield Made(f"scanner.{suffix}", "python", make, 9, "colors from profile 'hand made'")
    linked = bytearray(profiles.scanner())
    linked[12:16] = b"link"
    make = partial(_save, scanned, {"icc_profile": bytes(linked)})
    yield Made("link.tif", "python", make, 99, "color profile left out", unsaid="hand made")
    pq, p3 = coded_in(MEANINGS["PQ"], COLORS / 255), coded_in(MEANINGS["P3"], COLORS / 255)
    named = b"ITUR_2100_PQ_FULL\0\0" + zlib.compress(profiles.rgb())
    files: dict[str, tuple[bytes, dict[str, Any]]] = {
        "named.png": (
            with_chunk(b"iCCP", named, values=pq), {"within": 45, "says": PHRASES["PQ"]}
        ),
        "odd-profile.png": (odd_profile(p3), {"within": 9, "says": "colors from profile"}),
        "tiles.tif": (in_tiles(FULL[:32, :32]), {"within": 99}),
        "cut-tiles.tif": (
            in_tiles(FULL)[:-60], {"says": "some of its pixels", "is_refused": True}
        ),
        "12-bits.tif": (
            tiff((FULL, 2, [(258, 3, (12, 12, 12))])),
            {"says": "has 12 bits per channel", "is_refused": True},
        ),
        "zstd.tif": (
            tiff((FULL, 2, [(259, 3, (50000,))])),
            {"says": "(Compression 50000)", "is_refused": True},
        ),
        "old-copy.tif": (
            tiff((SMALL, 2, [(255, 3, (2,))]), (FULL, 2, [])),
            {"within": 1, "says": "picture 2 of 2"},
        ),
        "second-alpha.tif": (
            tiff((np.concatenate([FULL, np.full((40, 40, 2), (9, 128), np.uint8)], 2), 2,
                  [(338, 3, (0, 2))])),
            {"within": 2, "alpha": 128 / 255},
        ),
    }  # fmt: skip
    for name, (data, known) in files.items():
        yield Made(name, "python", partial(write, data), **known)
    shades = Image.fromarray(squares(GRAY / 255)[..., 0])
    make = partial(_save, shades, {"icc_profile": profile_of(SRGB)})
    yield Made("gray-srgb.png", "python", make, 1, "gray to RGB", seen=GRAY, unsaid="profile")
    about: list[Entry] = [(284, 3, (1,)), (50706, 1, (1, 4, 0, 0)), (33421, 3, (2, 2)),
                          (33422, 1, (0, 1, 1, 2)), (279, 4, (10**7,))]  # fmt: skip
    make = partial(write, tiff((MOSAIC, 32803, about)))
    yield Made("cut-mosaic.dng", "python", make, says="parts of it are missing", is_refused=True)
    yield Made("foreign.jpg", "python", make_foreign, 999, warns="belong to no pixel")
    make = make_avif_with_profile
    yield Made("profile-beside-numbers.avif", "avifenc", make, 9, "colors from profile")
    yield Made("opaque-10.heic", "pillow_heif", make_deep_heic, 2, unsaid="transparent")
    yield Made("animated.jxl", "cjxl", make_animated_jxl, says="animated", is_refused=True)


def _save(picture: Image.Image, options: dict[str, Any], path: Path) -> None:
    picture.save(path, **options)


def make_foreign(path: Path) -> None:
    """Make a JPEG with a block of another one: what follows it is shifted."""
    pictures = []
    for seed in (0, 50):
        noise = np.random.default_rng(seed).integers(0, 256, (25, 25, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(noise).resize((400, 400)).save(content, "JPEG", quality=90)
        pictures.append(content.getvalue())
    one, other = pictures
    path.write_bytes(one[:8192] + other[12288:16384] + one[12288:])


def pages_and_raw() -> Iterator[Made]:
    """Yield TIFF with several pages, and DNG, by a writer of the tests."""
    thumbnail: tuple[Any, int, list[Entry]] = (SMALL, 2, [(254, 4, (1,))])
    about: list[Entry] = [(254, 4, (0,)), (284, 3, (1,)), (50706, 1, (1, 4, 0, 0))]
    mosaic = tiff((MOSAIC, 32803, [*about, (33421, 3, (2, 2)), (33422, 1, (0, 1, 1, 2))]))
    files: dict[str, tuple[bytes, float, str]] = {
        "pages.tif": (tiff(thumbnail, (FULL, 2, [])), 1, "picture 2 of 2 in the file taken"),
        "mosaic.dng": (mosaic, 999, "camera raw developed to sRGB"),
        "mosaic-named.tif": (mosaic, 999, "camera raw developed to sRGB"),
    }
    for name, (data, within, says) in files.items():
        yield Made(name, "python", partial(write, data), within, says)


def damaged() -> Iterator[Made]:
    """Yield files that must be refused."""
    noise = np.random.default_rng(2).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for format, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("TIFF", "tif"), ("WEBP", "webp"),
                           ("GIF", "gif"), ("BMP", "bmp"), ("AVIF", "avif")):  # fmt: skip
        content = io.BytesIO()
        Image.fromarray(noise).save(content, format)
        data = content.getvalue()
        cut = data[: int(0.7 * len(data))]
        yield Made(f"cut.{suffix}", "python", partial(write, cut),
                   says="damaged", is_refused=True)  # fmt: skip
        if format in ("JPEG", "PNG"):
            middle = len(data) // 2
            hole = data[:middle] + data[middle + 9000 :]
            yield Made(f"hole.{suffix}", "python", partial(write, hole),
                       says="damaged", is_refused=True)  # fmt: skip
    old = bytearray(tiff((FULL, 2, [])))
    old[old.index(struct.pack("<HHIH", 259, 3, 1, 1)) + 8] = 6
    yield Made("old-jpeg.tif", "python", partial(write, bytes(old)),
               says="old style of TIFF", is_refused=True)  # fmt: skip


def make_film(
    encoder: tuple[str, str, Sequence[object]], name: str, tags: Sequence[str], path: Path
) -> None:
    codec, pixels, options = encoder
    primaries, transfer, matrix, range_ = tags
    scale = f"scale=out_color_matrix={matrix.removesuffix('nc')}:out_range={range_}"
    stated = f"color_primaries={primaries}:color_trc={transfer}:colorspace={matrix}:range={range_}"
    filters = f"{scale},format={pixels},setparams={stated}"
    again = ("-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix,
             "-color_range", range_)  # fmt: skip
    run("ffmpeg", "-loop", 1, "-i", source(path.parent, MEANINGS[name]), "-frames:v", 3, "-vf",
        filters, "-c:v", codec, *options, *again, "-y", path)  # fmt: skip


def films() -> Iterator[Made]:
    """Yield what FFmpeg writes: codecs, depths, ranges and meanings."""
    encoders: dict[str, tuple[str, str, Sequence[object]]] = {
        "h264-8.mp4": ("libx264", "yuv444p", ("-crf", 1)),
        "h265-10.mp4": ("libx265", "yuv444p10le", ("-x265-params", "log-level=none:crf=2")),
        "vp9-8.webm": ("libvpx-vp9", "yuv444p", ("-crf", 4, "-b:v", 0)),
        "prores-10.mov": ("prores_ks", "yuv444p10le", ("-profile:v", 4)),
        "ffv1-10.mkv": ("ffv1", "yuv444p10le", ()),
    }
    stated = {
        "sRGB": ("bt709", "bt709", "bt709"),
        "P3": ("smpte432", "bt709", "bt709"),
        "PQ": ("bt2020", "smpte2084", "bt2020nc"),
        "HLG": ("bt2020", "arib-std-b67", "bt2020nc"),
    }
    for (file, (codec, pixels, options)), (name, tags), range_ in product(
        encoders.items(), stated.items(), ("tv", "pc")
    ):
        if range_ == "pc" and codec in ("prores_ks", "libvpx-vp9"):
            continue
        make = partial(make_film, (codec, pixels, options), name, (*tags, range_))
        phrase = {"sRGB": "to sRGB", "P3": "Display P3"}.get(name, f"BT.2020 {name}")
        within = {"PQ": 22, "HLG": 16}.get(name, 8)
        is_coarse = pixels == "yuv444p" and name in ("PQ", "HLG")
        yield Made(
            f"film-{name}-{range_}-{file}", "ffmpeg", make, 45 if is_coarse else within, phrase
        )


def make_odd_film(path: Path) -> None:
    filters = "scale=79:59:flags=neighbor,format=yuv444p"
    run("ffmpeg", "-loop", 1, "-i", source(path.parent, bits=8), "-frames:v", 3, "-vf", filters,
        "-c:v", "libx264", "-crf", 1, "-y", path)  # fmt: skip


def make_turned_film(path: Path) -> None:
    plain = path.parent / "plain.mp4"
    run("ffmpeg", "-loop", 1, "-i", source(path.parent, bits=8), "-frames:v", 3, "-vf",
        "hflip,vflip,format=yuv444p", "-c:v", "libx264", "-crf", 1, "-y", plain)  # fmt: skip
    run("ffmpeg", "-i", plain, "-c", "copy", "-metadata:s:v", "rotate=180", "-y", path)


def make_film_with_cover(path: Path) -> None:
    plain, cover = path.parent / "plain.mp4", path.parent / "cover.jpg"
    run("convert", "-size", "32x32", "xc:black", cover)
    make_odd_film(plain)
    run("ffmpeg", "-i", plain, "-i", cover, "-map", 1, "-map", 0, "-c", "copy", "-disposition:v:0",
        "attached_pic", "-y", path)  # fmt: skip


def make_film_of_variable_rate(path: Path) -> None:
    times = "setpts='if(eq(N,0),0,if(eq(N,1),0.2/TB,1.5/TB))',format=yuv444p"
    run("ffmpeg", "-loop", 1, "-i", source(path.parent, bits=8), "-frames:v", 3, "-vf", times,
        "-vsync", "vfr", "-c:v", "libx264", "-crf", 1, "-y", path)  # fmt: skip


def make_damaged_film(path: Path) -> None:
    """Make a film whose parts lack a piece in the middle."""
    run("ffmpeg", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=3", "-c:v", "libx264", "-g", 25,
        "-y", path)  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(2048) + data[len(data) // 2 + 2048 :])


def make_cut_sequence(path: Path) -> None:
    make_avif_sequence("sRGB", path)
    path.write_bytes(path.read_bytes()[:-40])


def troubled_films() -> Iterator[Made]:
    """Yield films that are damaged, or that are not read."""
    make: Make = make_damaged_film
    yield Made("film-hole.mkv", "ffmpeg", make, 999, warns="parts of it cannot be read")
    yield Made("sequence-cut.avif", "avifenc", make_cut_sequence, says="damaged", is_refused=True)
    for suffix, name in (("avi", "AVI"), ("ts", "MPEG-TS"), ("mpg", "MPEG"), ("flv", "FLV")):
        says = f"is a film in {name}; films can be"
        yield Made(f"film.{suffix}", "ffmpeg", make_foreign_film, says=says, is_refused=True)


def make_foreign_film(path: Path) -> None:
    run("ffmpeg", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-y", path)


def odd_films() -> Iterator[Made]:
    """Yield films with odd sides, turned, with a cover beside, with frames of unequal length."""
    yield Made("film-odd.mp4", "ffmpeg", make_odd_film, 6, "to sRGB")
    yield Made("film-turned.mp4", "ffmpeg", make_turned_film, 6, "turned upright")
    yield Made("film-cover.mp4", "ffmpeg", make_film_with_cover, 6, "to sRGB")
    yield Made("film-variable.mp4", "ffmpeg", make_film_of_variable_rate, 6, "to sRGB")


def every() -> list[Made]:
    """Return all rows."""
    groups = (stills, with_profiles, turned, avifs, heics, jxls, rare, animations, misread,
              pages_and_raw, tagged, palettes, associated, damaged, films, odd_films,
              troubled_films)  # fmt: skip
    return [made for group in groups for made in group()]


def is_installed(program: str) -> bool:
    """Return whether the program that makes a file is here."""
    if program == "python":
        return True
    if program == "pillow_heif":
        try:
            __import__(program)
        except ImportError:
            return False
        return True
    return shutil.which(program) is not None
