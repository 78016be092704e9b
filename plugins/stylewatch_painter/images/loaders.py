"""Opening of picture files by the library for their format, and reading of their metadata.

libvips decodes JPEG, PNG and TIFF in a stream, so that a large picture that is reduced is never in
memory as a whole. Pillow decodes BMP and PPM, pillow-heif HEIC, LibRaw camera raw, libjxl JPEG XL.
"""

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import boxes, jpeg, jxl, profiles, raw, stated, tiff
from stylewatch_painter.images.boxes import Numbers
from stylewatch_painter.images.encoding import Encoding
from stylewatch_painter.images.formats import JXL, RAW, kind_in
from stylewatch_painter.images.metadata import exif_orientation, orientation_of
from stylewatch_painter.images.vips import vips
from stylewatch_painter.installation import install_command, library
from stylewatch_painter.size import Size

MAX_SIDE = 100_000
"""Maximum side of a picture in pixels, far beyond any photograph."""

MAX_DECODING_BYTES = 1_350_000_000
"""Maximum bytes that decoding may take, for a limit of up to DEFAULT_LIMIT pixels."""

DEFAULT_LIMIT = 1_000_000_000
"""Default of `limits.max_pixels`, in pixels."""

_LOADERS = {
    "JPEG": "jpegload_source",
    "PNG": "pngload_source",
    "WebP": "webpload_source",
    "TIFF": "tiffload_source",
    "GIF": "gifload_source",
    "AVIF": "heifload_source",
}

_WHOLE_BYTES = {"WebP": 16, "GIF": 8, "AVIF": 16, "HEIC": 6, "BMP": 11, "PPM": 11, RAW: raw.BYTES}
"""Bytes per pixel that decoding takes, by format, for formats that are decoded as a whole."""

_DEEP_AVIF, _WEBP_WITH_ALPHA = 24, 20
"""Bytes per pixel that decoding takes for an AVIF of 10 or 12 bits, and for a WebP with alpha."""

_SAMPLES = {"4:2:0": 1.5, "4:2:2": 2.0}
"""Samples per pixel of a JPEG with subsampled colors."""

_MOST = {"uchar": 255, "ushort": 65535, "uint": 2**32 - 1}
"""Largest values of libvips's integer formats."""

_JPEG_SHRINKS = (8, 4, 2)
SWAPPED = range(5, 9)
"""EXIF orientations that exchange width and height."""

_MEGA = 1_000_000

# Pillow reads the header of a PPM byte by byte, with any number of blanks and comments.
_LONGEST_HEAD = 1 << 16
_WORD = rb"(?:\s|#[^\r\n]*+[\r\n])++[^\s#]{1,10}+"
_PPM_HEAD = re.compile(rb"P(?:[14](?:%b){2}|[2356f](?:%b){3})[\s#]" % (_WORD, _WORD))


def memory(max_pixels: int) -> int:
    """Return the maximum bytes that decoding may take, for a limit of `max_pixels`."""
    return round(MAX_DECODING_BYTES * max(1.0, max_pixels / DEFAULT_LIMIT))


@dataclass(frozen=True)
class Loaded:
    """A picture of libvips, whose pixels are decoded as they are used.

    `encoding` and `exif`, if they are set, replace those of the Source: some libraries tell them
    only when they load a picture. `has_packed_exif` is True for EXIF that is not read. `warnings`
    has sentences about possible faults.
    """

    image: Any
    encoding: Encoding | None = None
    exif: bytes = b""
    has_packed_exif: bool = False
    warnings: tuple[str, ...] = ()
    unread: Callable[[], int] = lambda: 0
    """Function that returns the number of bytes of pixel data that were not read, once all pixels
    have been used."""


Load = Callable[[int], Loaded]
"""Function that loads a picture at 1/shrink of its size."""


@dataclass(frozen=True)
class Source:
    """A picture whose head was read: its format, its size as stored, and how to load it.

    `load` takes 1, or one of `shrinks`. `orientation` is that of EXIF, by which the loaded picture
    must still be turned. `encoding` is an encoding that takes precedence over the profile, or None.
    `dpi` are dots per inch, across and down, or None. `notes` are phrases about what was chosen in
    the file.
    """

    kind: str
    size: Size
    load: Load
    shrinks: tuple[int, ...] = ()
    orientation: int = 1
    encoding: Encoding | None = None
    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    bytes_per_pixel: float = 0.0
    """Bytes that the decoder holds for each pixel of the whole picture; 0 if it decodes in a
    stream."""
    profile: bytes = b""
    """The ICC profile in a file that libvips opens, even if libpng ignores it; or empty."""

    @property
    def upright(self) -> Size:
        """The size of the picture as it is shown."""
        return self.size.turned if self.orientation in SWAPPED else self.size

    def changed(self, change: Callable[[Any], Any], **fields: Any) -> "Source":
        """Return a source that applies `change` to loaded images, with the `fields` replaced."""

        def load(shrink: int) -> Loaded:
            loaded = self.load(shrink)
            return replace(loaded, image=change(loaded.image))

        return replace(self, load=load, **fields)

    def noted(self, phrase: str) -> "Source":
        """Return the source with one more phrase in `notes`."""
        return replace(self, notes=(*self.notes, phrase))


def opened(data: bytes, max_pixels: int) -> Source:
    """Read the head of a picture file, check its limits, and return its source.

    A JPEG XL that was made from a JPEG is decoded to that JPEG. Raises PictureError if a limit is
    exceeded, the file is unsupported or an extra is missing, LibraryError if a library cannot be
    loaded, and any error of a library for data that it cannot read.
    """
    kind = kind_in(data)
    openers = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "AVIF": _avif, "HEIC": _heic, RAW: _raw,
               JXL: _jxl, "BMP": _pillow, "PPM": _pillow}  # fmt: skip
    if kind == JXL:
        check_size(jxl.head_of(data).size, max_pixels)  # before a JPEG in it is decoded
    source = openers.get(kind, _streamed)(kind, data)
    check_size(source.size, max_pixels)
    _check_memory(source, len(data), max_pixels)
    return source


# Formats


def _streamed(kind: str, data: bytes, numbers: Numbers | None = None, **options: Any) -> Source:
    """Open a file with libvips.

    `numbers` are what its boxes state about its colors. `options` are passed to the loader.
    """
    image = _load(kind, data, **options)
    exif = bytes(image.get("exif-data")) if image.get_typeof("exif-data") else b""
    profile = profiles.profile_in(image)
    source = Source(
        kind,
        Size(image.width, image.height),
        lambda shrink: Loaded(_load(kind, data, **options)),
        orientation=_orientation(image),
        encoding=_meaning(numbers, profile, exif),
        exif=exif,
        dpi=_dpi(kind, image),
        bytes_per_pixel=_decoder_bytes(kind, image),
        profile=profile,
    )
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        return source.noted(f"picture {options.get('page', 0) + 1} of {pages} in the file taken")
    return source


def _meaning(numbers: Numbers | None, profile: bytes, exif: bytes = b"") -> Encoding | None:
    """Return the encoding that takes precedence over a file's `profile`, or None.

    With a profile it is HDR, as stated by `numbers` or by the profile. Without a profile it is that
    of `numbers`, or else that of `exif`.
    """
    if profile and not stated.are_hdr(numbers):
        return stated.by_profile(profile, profiles.name_of(profile))
    return stated.by_numbers(numbers) or stated.by_exif(exif)


def _jpeg(kind: str, data: bytes) -> Source:
    """Open a JPEG, and count the bytes that libvips reads of it."""
    feed = jpeg.Feed(data, jpeg.end_of(data))

    def load(shrink: int) -> Loaded:
        return Loaded(feed.load(shrink), unread=feed.unread)

    return replace(_streamed(kind, data), load=load, shrinks=_JPEG_SHRINKS)


def _png(kind: str, data: bytes) -> Source:
    """Open a PNG, whose EXIF may follow the pixels.

    A cICP chunk takes precedence over the profile. libpng silently ignores some profiles as
    invalid, so they are read here.
    """
    source = _streamed(kind, data)
    exif = source.exif or stated.png_exif(data)
    name, profile = stated.png_profile(data)
    by_profile = stated.by_profile(profile, f"{name} {profiles.name_of(profile)}")
    source = replace(
        source,
        exif=exif,
        orientation=exif_orientation(exif),
        encoding=stated.by_png(data) or by_profile or source.encoding,
    )
    if not profile or source.profile:
        return source
    with_profile = partial(profiles.with_profile, profile=profile)
    return source.changed(with_profile, profile=profile)


def _tiff(kind: str, data: bytes) -> Source:
    """Open the first page of a TIFF that is neither a reduced copy nor a mask.

    An extra sample is left out unless it is stated to be alpha, because it can mean anything (TIFF
    6.0, ExtraSamples). Raises PictureError for a page that libvips would misread.
    """
    pages = tiff.directories(data)
    number = tiff.main_page(pages)
    page = pages[number] if pages else tiff.Directory({})
    if page.trouble:
        raise PictureError(page.trouble)
    options: dict[str, Any] = {"page": number} if number else {}
    if page.is_divided_wrongly:
        source = _streamed(kind, tiff.undivided(data, page), **options)
        copied = len(data) / source.size.area
        source = replace(source, bytes_per_pixel=source.bytes_per_pixel + copied)
    else:
        source = _streamed(kind, data, **options)
    if not source.profile:  # libvips reads no EXIF here
        by_exif = stated.by_color_space(*tiff.color_space(data, page))
        source = replace(source, encoding=by_exif)
    if page.extra_samples > bool(page.alpha):
        source = source.noted("channels that are neither color nor alpha left out")
    return source.changed(partial(_with_stated_alpha, page), exif=tiff.exif(data))


def _with_stated_alpha(page: tiff.Directory, image: Any) -> Any:
    """Leave out extra samples but the alpha that a page states; the colors are those to show."""
    if not page.extra_samples:
        return image
    # not as many as are stored: the one sample of a palette is decoded to its color
    colors = image.bands - page.extra_samples
    shown = image[0] if colors == 1 else image[:colors]
    if not page.alpha:
        return shown
    alpha = image[colors + page.alpha_at]
    if page.is_divided_wrongly:  # else libvips has divided the colors where that is needed
        shown = (shown / alpha * _MOST.get(image.format, 1)).cast(image.format)
    return shown.bandjoin(alpha).copy(interpretation=image.interpretation)


def _avif(kind: str, data: bytes) -> Source:
    item = boxes.primary(data)
    return _of_item(item, _streamed(kind, data, item.numbers))


def _of_item(item: boxes.Item, source: Source, bits: int = 0) -> Source:
    """Return `source` with its images changed where libheif ignores what the `item` states.

    Values of 9 to 15 bits are spread over 16 bits, premultiplied colors are divided by alpha, and
    gray in three channels becomes one channel. `bits` is the depth of the file if the library does
    not tell it.
    """

    def as_stored(image: Any) -> Any:
        image = _unshifted(image, bits)
        if item.is_premultiplied:
            image = _divided(image)
        alpha = [image[-1]] if image.hasalpha() else []
        if item.is_gray and image.bands >= len("RGB"):
            kind = "grey16" if image.format == "ushort" else "b-w"
            image = image[0].bandjoin(alpha) if alpha else image[0]
            image = image.copy(interpretation=kind)
        return image

    source = source.changed(as_stored)
    return source.noted("turned upright (box irot or imir)") if item.is_turned else source


def _divided(image: Any) -> Any:
    """Divide colors by the alpha, if any, by which they are multiplied."""
    if not image.hasalpha():
        return image
    divided = image.unpremultiply(max_alpha=_MOST.get(image.format, 1))
    whole = divided if image.format == "float" else divided.rint().cast(image.format)
    return whole.copy(interpretation=image.interpretation)


def _unshifted(image: Any, bits: int) -> Any:
    """Spread values of 9 to 15 bits over the whole range of 16 bits; libraries only shift them."""
    bits = image.get("heif-bitdepth") if image.get_typeof("heif-bitdepth") else bits
    if image.format != "ushort" or not _BYTE < bits < 2 * _BYTE:
        return image
    most = (1 << 2 * _BYTE) - (1 << (2 * _BYTE - bits))
    spread = (image * (_MOST["ushort"] / most)).rint().cast("ushort")
    return spread.copy(interpretation=image.interpretation)


_BYTE = 8  # bits


def _heic(kind: str, data: bytes) -> Source:
    if find_spec("pillow_heif") is None:
        raise PictureError(
            f"is a HEIC picture, which needs an extra: {install_command('heic')},"
            " or save it as JPEG"
        )
    file = library("pillow_heif").open_heif(data, convert_hdr_to_8bit=False)
    info = file.info
    profile = info.get("icc_profile") or b""
    exif = info.get("exif") or b""
    nclx = info.get("nclx_profile")
    numbers = None
    if nclx:
        numbers = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
    source = Source(
        kind,
        Size(*file.size),
        lambda shrink: Loaded(from_array(np.asarray(file), profile)),
        encoding=_meaning(numbers, profile, exif),
        exif=exif,
        bytes_per_pixel=_WHOLE_BYTES[kind] + (_WHOLE_BYTES[kind] if ";16" in file.mode else 0),
    )
    if len(file) > 1:
        source = source.noted(f"picture {file.primary_index + 1} of {len(file)} in the file taken")
    return _of_item(boxes.primary(data), source, info.get("bit_depth", 0))


def _raw(kind: str, data: bytes) -> Source:
    if tiff.cut_raw(data):
        raise PictureError("is cut off or damaged (parts of it are missing); copy it again")
    return Source(
        kind,
        raw.size(data),
        lambda shrink: Loaded(from_array(raw.develop(data, half=shrink > 1))),
        shrinks=(2,),
        exif=tiff.exif(data),  # most of them are TIFF inside; they are developed upright
        notes=(raw.DEVELOPED,),
        bytes_per_pixel=_WHOLE_BYTES[kind],
    )


def _jxl(kind: str, data: bytes) -> Source:
    if jxl.is_of_jpeg(data):  # its orientation, its profile and its size are those of the JPEG
        restored = jxl.Decoded(data)
        if restored.is_jpeg:
            return _jpeg("JPEG", restored.values)

    head = jxl.head_of(data)

    def load(shrink: int) -> Loaded:
        decoded = jxl.Decoded(data)
        image = from_array(decoded.pixels(is_float=head.is_float), decoded.profile)
        is_linear = profiles.name_of(decoded.profile).endswith(_LINEAR)
        is_coarse = head.is_coarse and is_linear and image.format == "uchar"
        return Loaded(
            _divided(image) if head.is_associated else image,
            _meaning(None, decoded.profile),
            decoded.exif,
            decoded.has_packed_exif,
            (_COARSE,) if is_coarse else (),
        )

    return Source(kind, head.size, load, bytes_per_pixel=head.bytes_per_pixel)


_LINEAR = "_Lin"
"""End of the names that libjxl gives profiles of linear light."""

_COARSE = (
    "has few shades in the dark, as a JPEG XL of linear light, or with loss and a profile, is read "
    "in 8 bits: save it as PNG to keep them"
)


def _pillow(kind: str, data: bytes) -> Source:
    if kind == "PPM" and len(data) > _LONGEST_HEAD and not _PPM_HEAD.match(data):
        raise PictureError("has a damaged head; save it as PNG")
    picture = Image.open(io.BytesIO(data), formats=(kind,))
    profile = _bmp_profile(data) if kind == "BMP" else b""
    return Source(
        kind,
        Size(*picture.size),
        lambda shrink: Loaded(_from_pillow(picture, profile)),
        bytes_per_pixel=_WHOLE_BYTES[kind],
    )


_BMP_V5 = 124
"""Length in bytes of the head of a BMP of version 5."""


def _bmp_profile(data: bytes) -> bytes:
    """Return the profile in a BMP (Microsoft, BITMAPV5HEADER); empty if it has none."""
    length = int.from_bytes(data[14:18], "little")
    space = data[14 + 56 : 14 + 60]
    if length != _BMP_V5 or space != b"DEBM":  # PROFILE_EMBEDDED
        return b""
    at, size = struct.unpack_from("<II", data, 14 + 112)
    return data[14 + at : 14 + at + size]


# Libraries


def _load(kind: str, data: bytes, **options: Any) -> Any:
    """Return a picture whose pixels are decoded from `data` as they are used.

    The caller must keep `data` until the pixels have been decoded. Raises PictureError for CIE Lab
    of 8 bits, and pyvips's error for other data that libvips cannot read.
    """
    loader = getattr(vips().Image, _LOADERS[kind])
    source = vips().Source.new_from_memory(data)  # a loader for buffers would copy it
    try:
        return loader(source, access="sequential", fail_on="error", **options)
    except vips().Error as error:
        if "bad labq format" not in error.detail:
            raise
        raise PictureError(
            "is a CIE Lab picture of 8 bits per channel, which cannot be read; save it in RGB"
        ) from error


def _from_pillow(picture: Image.Image, profile: bytes) -> Any:
    """Decode a Pillow picture, and convert it to a picture of libvips with this ICC `profile`."""
    if picture.mode.startswith("I"):
        return from_array(np.asarray(picture).astype(np.uint16), profile)
    if picture.mode in ("L", "LA", "F"):
        return from_array(np.asarray(picture), profile)
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    shown = picture if picture.mode == mode else picture.convert(mode)  # which would copy
    return from_array(np.asarray(shown), profile)


def from_array(values: np.ndarray[Any, Any], profile: bytes = b"") -> Any:
    """Return a picture of libvips with these values, (height, width) or (height, width, bands).

    It has the ICC `profile`, unless that is empty.
    """
    is_gray = values.ndim < len("hwc") or values.shape[2] <= len("LA")
    is_deep = values.dtype == np.uint16
    kinds = {(True, True): "grey16", (True, False): "b-w", (False, True): "rgb16"}
    interpretation = kinds.get((is_gray, is_deep), "srgb")
    image = vips().Image.new_from_array(values, interpretation=interpretation)
    if profile:
        image.set_type(vips().GValue.blob_type, profiles.FIELD, profile)
    return image


def _orientation(image: Any) -> int:
    """Return the EXIF orientation of an opened picture; 1 if it is upright or not stated."""
    return orientation_of(image.get("orientation")) if image.get_typeof("orientation") else 1


_PNG_DEFAULT = 2.83
"""Pixels per millimeter that libvips gives a PNG without a resolution; equal to 72 dpi."""

_INCH = 25.4


def _dpi(kind: str, image: Any) -> tuple[float, float] | None:
    is_stated = image.get_typeof("resolution-unit") or kind == "PNG"
    if is_stated and kind not in ("WebP", "AVIF") and round(image.xres, 2) != _PNG_DEFAULT:
        return image.xres * _INCH, image.yres * _INCH
    return None


# Limits


def check_size(size: Size, max_pixels: int) -> None:
    """Raise PictureError if `size` has more than `max_pixels`, or a side longer than MAX_SIDE."""
    if size.area > max_pixels:
        raise PictureError(_too_large(size.area, max_pixels))
    if size.long > MAX_SIDE:
        raise PictureError(
            f"is {size} pixels; the limit for a side is {MAX_SIDE:,} pixels: crop it"
        )


def _too_large(pixels: int, max_pixels: int) -> str:
    """Describe a size and the limit in megapixels, or in pixels if both would look the same."""
    shown, limit = (
        f"{number / _MEGA:,.1f}".removesuffix(".0") + " MP" for number in (pixels, max_pixels)
    )
    if shown == limit or max_pixels < _MEGA:
        shown, limit = (f"{number:,} pixels" for number in (pixels, max_pixels))
    return f"is {shown}; the limit is {limit} (limits.max_pixels)"


def _check_memory(source: Source, file_bytes: int, max_pixels: int) -> None:
    """Raise PictureError if decoding takes more bytes than `memory` allows for `max_pixels`."""
    pixels = source.size.area
    allowed = memory(max_pixels)
    kind = source.kind
    needed = file_bytes + source.bytes_per_pixel * pixels
    if needed > allowed:
        how = "progressive JPEG" if kind == "JPEG" else "interlaced PNG" if kind == "PNG" else kind
        raise PictureError(
            f"is {pixels / _MEGA:.4g} MP, which takes about {needed / 1e9:.3g} GB to decode as "
            f"{how}; the limit is {allowed / 1e9:.3g} GB, and grows with limits.max_pixels above "
            f"{DEFAULT_LIMIT:,}: make it smaller, or save it as baseline JPEG or as PNG without "
            "interlacing"
        )


def _decoder_bytes(kind: str, image: Any) -> float:
    """Return the bytes per pixel that a decoder of libvips holds; 0 if it decodes in a stream."""
    if kind == "AVIF" and image.format == "ushort":
        return _DEEP_AVIF
    if kind == "WebP" and image.hasalpha():
        return _WEBP_WITH_ALPHA
    if kind in _WHOLE_BYTES:
        return _WHOLE_BYTES[kind]
    if kind == "JPEG" and image.get_typeof("jpeg-multiscan") and image.get("jpeg-multiscan"):
        return 2 * _SAMPLES.get(image.get("jpeg-chroma-subsample"), float(image.bands))
    if kind == "PNG" and image.get_typeof("interlaced"):
        return float(image.bands * (2 if image.format == "ushort" else 1))
    return 0
