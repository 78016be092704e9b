"""Reads clips frame by frame, films by PyAV and animated pictures by Pillow, and writes films.

The frames of a film are the packets of its first video stream that are to be shown, in the order
of their times. So they are counted without decoding, and a frame that cannot be decoded costs no
other its number: it repeats the frame before.
"""

import hashlib
import importlib
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from importlib.util import find_spec
from io import SEEK_END
from itertools import accumulate, chain, groupby, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import video_color
from stylewatch_painter.images.depth import depth_of
from stylewatch_painter.images.encode import over_black, over_white
from stylewatch_painter.images.metadata import orientation_of
from stylewatch_painter.images.read import (
    HEAD,
    MAX_BYTES,
    Picture,
    check_size,
    decoding,
    file_bytes,
    open_file,
    open_image,
    pixel_limit,
    unfilled,
)
from stylewatch_painter.images.reduced import Raster, Size, turned
from stylewatch_painter.images.video_color import OVER_BLACK, OVER_WHITE
from stylewatch_painter.installation import install_command
from stylewatch_painter.stage import Bytes

CONTAINERS = "MP4, MOV, MKV, WebM, GIF, animated WebP, PNG or AVIF"

CODECS = {
    "dnxhd": "DNxHD",
    "ffv1": "FFV1",
    "h264": "H.264",
    "hevc": "HEVC",
    "libdav1d": "AV1",
    "mjpeg": "Motion JPEG",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "png": "PNG",
    "prores": "ProRes",
    "qtrle": "Animation",
    "rawvideo": "uncompressed",
    "vp8": "VP8",
    "vp9": "VP9",
}
"""Decoders for pictures. FFmpeg has hundreds, most of them for formats nobody uses; each is a
risk with untrusted files."""

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders for the alpha of WebM, which FFmpeg's own skip."""

_SOUND = (
    "aac,ac3,alac,eac3,flac,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_f32le"
)

_MAX_STREAMS = 64
_PROBED = 5_000_000
"""Bytes in which FFmpeg looks for what the head of a file does not say."""

_MOV, _MATROSKA, _ANIMATED = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "animated"
_STILL_BRANDS = re.compile(rb"av(if|is)|mi[af]\d|mif2|msf1|he[iv][cmsx]|crx ")
"""Brands of pictures in boxes: AVIF, HEIC, Canon's CR3."""

_OLD_MOV = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

_SHORTEST, _INSTEAD = Fraction(11, 1000), Fraction(1, 10)
"""Seconds: browsers show a picture of an animation with less than the first for the second."""


@dataclass(frozen=True)
class ClipLimits:
    """Upper limits of a clip."""

    max_pixels: int
    max_frames: int
    max_seconds: float


@dataclass(frozen=True)
class Clip:
    """A clip as its file describes it.

    `size` is (width, height), upright, with square pixels. `converted` has a phrase for each
    conversion of the pictures.
    """

    size: Size
    frames: int
    has_audio: bool
    converted: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame; `time` and `duration` are in seconds, from the first frame.

    `pixels` is (height, width, 3). `is_damaged`: its picture cannot be decoded, so it repeats
    another.
    """

    number: int
    time: Fraction
    duration: Fraction
    pixels: Bytes
    is_damaged: bool = False


def is_clip(path: Path) -> bool:
    """Return whether a file is a film, or an animated picture with more than one frame."""
    with suppress(PictureError), open_file(path) as file:
        head = file.read(HEAD)
        kind = _kind(head)
        if kind != _ANIMATED or file.seek(0, SEEK_END) > MAX_BYTES:
            return kind not in ("", _ANIMATED)
        file.seek(0)
        with decoding(path.name, head):
            image = Image.open(file, formats=("AVIF", "GIF", "PNG", "WEBP"))
            # Pillow counts all pictures of a GIF, but knows sooner if there is a second one
            return bool(getattr(image, "is_animated", False))
    return False


def is_film(path: Path) -> bool:
    """Return whether a file is a film, of which only parts are read at a time."""
    with suppress(PictureError), open_file(path) as file:
        return _kind(file.read(HEAD)) in (_MOV, _MATROSKA)
    return False


def inspect(path: Path, limits: ClipLimits) -> Clip:
    """Describe the clip at `path`.

    All packets of a film are read, and one frame is decoded; of an animated picture all are.

    Raises PictureError: it is no clip, beyond `limits`, damaged, or the extra that is needed to
    paint it is missing.
    """
    kind = _kind_of(path)
    if find_spec("cv2") is None:  # `flow` uses it; without it nothing is begun
        raise PictureError(
            f"{path.name} is a clip, which needs an extra: {install_command('clips')}"
        )
    if kind == _ANIMATED:
        return _inspect_animation(path, limits)
    with _named(path.name):
        return _Film(path, limits).describe()


def frames(
    path: Path, limits: ClipLimits, first: int = 0, mask_side: int | None = None
) -> Iterator[Frame]:
    """Yield the frames of the clip at `path` from number `first` on, one at a time.

    With `mask_side` they are masks: transparent parts are black, not white, and pixels of large
    frames are picked, so that the long side has from so many to twice as many.

    Raises PictureError as `inspect` does, and as soon as an animated picture is damaged.
    """
    if _kind_of(path) == _ANIMATED:
        for frame, _ in _animation(path, limits, first, mask_side=mask_side):
            if frame.number >= first:
                yield frame
    else:
        with _named(path.name):
            yield from _Film(path, limits, mask_side).frames(first)


def first_picture(
    path: Path, limits: ClipLimits, clip: Clip, mask_side: int | None = None
) -> Picture:
    """Read the first frame of the `clip` at `path` as if it were the picture of its file.

    `mask_side` is as for `frames`. Raises PictureError as `frames` does.
    """
    pixels = next(frames(path, limits, mask_side=mask_side)).pixels.astype(np.float32)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    converted = clip.converted
    if mask_side is not None:
        converted = tuple(OVER_BLACK if text == OVER_WHITE else text for text in converted)
    return Picture(pixels, None, converted, sha256, size_of_file=clip.size)


def _kind(head: bytes) -> str:
    """Return FFmpeg's name of a container, `_ANIMATED`, or "" for any other file."""
    box, brand = head[4:8], head[8:12]
    if box in _OLD_MOV or (box == b"ftyp" and not _STILL_BRANDS.fullmatch(brand)):
        return _MOV
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _MATROSKA
    animated = (
        head[:4] == b"GIF8"
        or head[:8] == b"\x89PNG\r\n\x1a\n"
        or (head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2)
        or (box == b"ftyp" and b"avis" in head[8 : int.from_bytes(head[:4])])
    )
    return _ANIMATED if animated else ""


def _kind_of(path: Path) -> str:
    with open_file(path) as file:
        kind = _kind(file.read(HEAD))
    if not kind:
        raise PictureError(f"{path.name} is no clip; clips can be {CONTAINERS}")
    return kind


# Animated pictures


def _inspect_animation(path: Path, limits: ClipLimits) -> Clip:
    count, seconds = 0, Fraction(0)
    size, converted = (0, 0), tuple[str, ...]()
    for frame, conversions in _animation(path, limits, first=0, last=0):
        if count == 0:
            height, width, _ = frame.pixels.shape
            size, converted = (width, height), conversions
        count, seconds = count + 1, frame.time + frame.duration
    with _named(path.name):
        _check_length(count, seconds, limits)
    return Clip(size, count, False, converted)


def _animation(
    path: Path,
    limits: ClipLimits,
    first: int,
    last: int | None = None,
    mask_side: int | None = None,
) -> Iterator[tuple[Frame, tuple[str, ...]]]:
    """Yield all frames with their conversions; those before `first` or after `last` are empty."""
    data = file_bytes(path)
    name, head = path.name, data[:HEAD]
    with decoding(name, head), pixel_limit(limits.max_pixels):
        image = open_image(data, limits.max_pixels)
        # a PNG may begin with a picture for programs that show no animations
        skipped = int(image.info.get("default_image", False))
        count = getattr(image, "n_frames", 1) - skipped
        _check_length(count, Fraction(0), limits)
        depth, orientation = depth_of(image, data), orientation_of(image)
    time, nothing = Fraction(0), np.empty((0, 0, 3), np.uint8)
    for number in range(count):
        pixels, conversions = nothing, tuple[str, ...]()
        # not around `yield`: whoever gets the frame may decode another picture
        with decoding(name, head), pixel_limit(limits.max_pixels):
            image.seek(number + skipped)
            image.load()
            if number >= first and (last is None or number <= last):
                upright = ImageOps.exif_transpose(image)
                raster = Raster(upright, depth, turned(orientation))
                pixels, conversions = _flat(raster, mask_side)
        duration = Fraction(image.info.get("duration") or 0).limit_denominator(10**6) / 1000
        duration = duration if duration >= _SHORTEST else _INSTEAD
        yield Frame(number, time, duration, pixels), conversions
        time += duration


def _flat(raster: Raster, mask_side: int | None) -> tuple[Bytes, tuple[str, ...]]:
    """Return the pixels of a decoded picture without alpha, and its conversions."""
    pixels, alpha, conversions = unfilled(raster)
    if alpha is not None and mask_side is None:
        pixels, conversions = over_white(pixels, alpha), (*conversions, OVER_WHITE)
    elif alpha is not None:
        pixels, conversions = over_black(pixels, alpha), (*conversions, OVER_BLACK)
    if mask_side is not None:
        step = _step(raster.image.size, mask_side)
        pixels = pixels[step // 2 :: step, step // 2 :: step]
    return np.rint(pixels).clip(0, 255).astype(np.uint8), conversions


def _step(size: Size, mask_side: int) -> int:
    """Return the distance of the pixels that are picked from a mask of `size`."""
    return max(1, max(size) // mask_side)


# Films


class _Film:
    """A film with the order of its packets.

    The file is always read from its start: seeking by time is exact in few containers, and
    reading packets takes little time beside decoding them.

    Attributes:
        count: the number of frames.
        times: the times of the frames in seconds.
        seconds: the end of the last frame.
        origin: the time of the first frame by the clock of the file.
    """

    def __init__(self, path: Path, limits: ClipLimits, mask_side: int | None = None) -> None:
        self._path, self._limits, self._is_mask = path, limits, mask_side is not None
        self._axes = video_color.UPRIGHT
        with self.opened() as (container, stream):
            self._has_audio = bool(container.streams.audio)
            ratio = stream.sample_aspect_ratio or 1
            self._aspect = Fraction(ratio) if 1 / _WIDEST <= ratio <= _WIDEST else Fraction(1)
            self._size = (round(stream.width * self._aspect) or 1, stream.height)
            check_size(self._size, limits.max_pixels)
            if mask_side is not None:
                step = _step(self._size, mask_side)
                self._size = (self._size[0] // step or 1, self._size[1] // step or 1)
            self._read_order(container, stream)

    @contextmanager
    def opened(self) -> Iterator[tuple[Any, Any]]:
        """Open the file; yield the container and the stream with the pictures."""
        av = _pyav()
        with open_file(self._path) as file:
            kind = _kind(file.read(HEAD))
            file.seek(0)
            options = {
                "protocol_whitelist": "none",  # no other file, no network
                "codec_whitelist": ",".join((*CODECS, *_WITH_ALPHA.values(), _SOUND)),
                "max_streams": str(_MAX_STREAMS),
                "probesize": str(_PROBED),
            }
            try:
                with av.open(
                    file, "r", kind, container_options=options, metadata_errors="replace"
                ) as container:
                    yield container, _pictures_of(container)
            except av.FFmpegError as error:
                raise PictureError(_reason(error)) from error

    def _read_order(self, container: Any, stream: Any) -> None:
        """Read all packets: their times, and at which decoding can start."""
        ticks: list[int] = []
        shown: list[int] = []
        keys: list[int] = []
        is_vp8 = stream.codec_context.name == "vp8"
        packet: Any = None
        for number, packet in enumerate(_packets(container, stream)):
            stamps = (packet.pts, packet.dts, ticks[-1] + 1 if ticks else 0)
            ticks.append(next(stamp for stamp in stamps if stamp is not None))
            if not packet.is_discard and not (is_vp8 and _is_hidden(packet)):
                shown.append(number)
            if packet.is_keyframe:
                keys.append(number)
            if len(ticks) > 2 * self._limits.max_frames or len(shown) > self._limits.max_frames:
                _check_length(self._limits.max_frames + 1, Fraction(0), self._limits)
        if not shown:  # with a cause: the rest of the file may still come
            raise PictureError("has no frames; export it again") from EOFError("no packets")
        shown.sort(key=lambda number: ticks[number])
        self._numbers = [-1] * len(ticks)
        for frame, number in enumerate(shown):
            self._numbers[number] = frame
        self.count = len(shown)
        self._shown_ticks = [ticks[number] for number in shown]
        self._set_times(stream, packet.duration)
        _check_length(self.count, self.seconds, self._limits)
        # A key frame needs nothing before it if no other changes places with it; decoders leave
        # out what they could only show in part.
        highest = [ticks[0] - 1, *accumulate(ticks, max)]
        lowest = list(accumulate(reversed(ticks), min))[::-1]
        self._starts = [key for key in keys if highest[key] < ticks[key] <= lowest[key]]
        self._start_ticks = [ticks[key] for key in self._starts]
        self._start_numbers = sorted({self._numbers[key] for key in self._starts} - {-1})

    def _set_times(self, stream: Any, last_duration: int | None) -> None:
        """Set the times, each after the one before, also by the clock of our own films."""
        unit = Fraction(stream.time_base)
        step = math.ceil(1 / (unit * _CLOCK))
        times = list(accumulate(self._shown_ticks, lambda before, tick: max(tick, before + step)))
        self.origin = times[0] * unit
        self.times = [(time - times[0]) * unit for time in times]
        # Matroska states no durations of frames, but that of the track
        rest = _duration_of(stream) - times[-1] * unit
        last = (last_duration or 0) * unit
        if last <= 0:
            usual = 1 / Fraction(stream.average_rate or _USUAL_RATE)
            before = self.times[-1] - self.times[-2] if len(times) > 1 else usual
            last = rest if rest > 0 else before
        self.seconds = self.times[-1] + max(last, Fraction(1, _CLOCK))

    def describe(self) -> Clip:
        """Describe the film by its first picture."""
        picture = self._look()
        height, width, _ = self._pixels(picture).shape
        converted = video_color.conversions(picture, self._axes)
        if self._aspect != 1:
            ratio = f"{self._aspect.numerator}:{self._aspect.denominator}"
            converted = (f"pixels of {ratio} to square ones", *converted)
        return Clip((width, height), self.count, self._has_audio, converted)

    def _look(self) -> Any:
        """Return the first picture, whose orientation goes for all."""
        for _, picture in self._pictures_for(0):
            self._axes = video_color.axes(picture)
            return picture
        raise PictureError(_NOTHING) from EOFError("no picture")

    def frames(self, first: int) -> Iterator[Frame]:
        """Yield the frames from number `first` on; missing ones repeat the one before."""
        self._look()
        number, latest = first, None
        for shown, picture in self._pictures_for(first):
            for missing in range(number, shown):
                yield self._frame(missing, latest or picture, is_damaged=True)
            if shown >= first:
                yield self._frame(shown, picture)
                number = shown + 1
            latest = picture
        for missing in range(number, self.count):
            yield self._frame(missing, latest, is_damaged=True)

    def _pictures_for(self, first: int) -> Iterator[tuple[int, Any]]:
        """Decode what frame `first` and those behind it need."""
        if first >= self.count:
            return
        usable = bisect_right(self._start_ticks, self._shown_ticks[first])
        for start in reversed(self._starts[:usable]):
            pictures = self._intact(self._pictures(start))
            opening = next(pictures, None)
            # else the key frame is damaged or hidden: frames before it are needed
            if opening is not None and opening[0] == self._numbers[start]:
                yield from chain([opening], pictures)
                return
        yield from self._intact(self._pictures(0))

    def _intact(self, pictures: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Leave out pictures out of order, and what follows a damaged key frame, up to the next.

        The latter show what the decoder's memory held before.
        """
        decoded = latest = -1
        for number, picture in pictures:
            at = bisect_right(self._start_numbers, number)
            start = self._start_numbers[at - 1] if at else -1
            if number == start and not picture.is_corrupt:
                decoded = start
            if start == decoded and number > latest:
                latest = number
                yield number, picture

    def _pictures(self, start: int) -> Iterator[tuple[int, Any]]:
        """Decode from a packet on; yield the numbers of frames with their pictures."""
        with self.opened() as (container, stream):
            decoder = self._decoder(stream)
            for number, packet in enumerate(_packets(container, stream)):
                if number >= start and packet.size:
                    packet.pts = self._numbers[number]  # decoders hand this on
                    yield from self._numbered(decoder, packet)
            yield from self._numbered(decoder, None)

    def _numbered(self, decoder: Any, packet: Any) -> Iterator[tuple[int, Any]]:
        for picture in _decoded(decoder, packet):
            if picture.pts is not None and picture.pts >= 0:
                yield picture.pts, picture

    def _decoder(self, stream: Any) -> Any:
        decoder = stream.codec_context
        if stream.metadata.get("alpha_mode") == "1" and decoder.name in _WITH_ALPHA:
            decoder = _pyav().CodecContext.create(_WITH_ALPHA[decoder.name], "r")
        decoder.thread_count = 1  # threads take memory, and fail differently over damaged data
        # pictures may be larger than the head of the file states, as by their margins
        decoder.options = {"max_pixels": str(min(2 * self._limits.max_pixels, 2**31 - 1))}
        return decoder

    def _frame(self, number: int, picture: Any, *, is_damaged: bool = False) -> Frame:
        time = self.times[number]
        end = self.times[number + 1] if number + 1 < self.count else self.seconds
        return Frame(number, time, end - time, self._pixels(picture), is_damaged)

    def _pixels(self, picture: Any) -> Bytes:
        try:
            return video_color.to_srgb(picture, self._size, self._axes, is_mask=self._is_mask)
        except _pyav().FFmpegError as error:
            raise PictureError(
                f"has colors that cannot be converted ({error.strerror}); export it as BT.709"
            ) from error


_ANY_LENGTH = ClipLimits(2**31 - 1, 2**62, math.inf)
_WIDEST = 10  # times as wide as high, or the other way round; beyond this it is an error


_USUAL_RATE = 25  # frames per second
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d\.\d+)")


def _duration_of(stream: Any) -> Fraction:
    """Return the end of a track that its tag states; 0 for none."""
    tag = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    hours, minutes, seconds = tag.groups() if tag else ("0", "0", "0")
    return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)


_NOTHING = "has no frame that can be decoded; export it again"


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        if packet.size or packet.dts is not None:  # else it only marks the end
            yield packet


def _is_hidden(packet: Any) -> bool:
    """Return whether a picture of VP8 is only referred to by others."""
    return not int.from_bytes(bytes(packet)[:1]) & 0x10


def _decoded(decoder: Any, packet: Any) -> list[Any]:
    """Decode a packet; a damaged one is nothing."""
    with suppress(_pyav().FFmpegError):
        return list(decoder.decode(packet))
    return []


def _reason(error: Any) -> str:
    if isinstance(error, MemoryError):  # also for too many streams
        return f"takes too much memory, or has more than {_MAX_STREAMS} tracks; export it again"
    return f"is cut off or damaged ({error.strerror}); copy or export it again"


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Add the name of the file to the sentence of a PictureError."""
    try:
        yield
    except PictureError as error:
        sentence = str(error)
        if sentence.startswith(f"{name} "):
            raise
        raise PictureError(f"{name} {sentence}") from error.__cause__


def _pyav() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise PictureError(
            f"is a film, which needs an extra: {install_command('clips')}"
        ) from error


def _pictures_of(container: Any) -> Any:
    """Return the first video stream that is no cover."""
    cover = 0x0400 | 0x0800  # attached picture, timed thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise PictureError("has no pictures, only sound or text; check that it is the right file")
    if (decoder := streams[0].codec_context) is None or decoder.name not in CODECS:
        name = "an unknown codec" if decoder is None else decoder.name
        raise PictureError(
            f"has pictures in {name}; they can be {', '.join(CODECS.values())}: convert it"
        )
    return streams[0]


def _check_length(count: int, seconds: Fraction, limits: ClipLimits) -> None:
    """Raise PictureError for too many frames or seconds."""
    if count > limits.max_frames:
        raise PictureError(
            f"has more than {limits.max_frames:,} frames, which is the limit (limits.max_frames):"
            " cut it into parts"
        )
    if seconds > limits.max_seconds:
        raise PictureError(
            f"is {float(seconds):,.1f} s; the limit is {limits.max_seconds:,g} s"
            " (limits.max_seconds): cut it into parts"
        )


# Writing

Format = Literal["mp4", "webm", "mkv"]
"""H.264 that plays in every browser; VP9; FFV1, which is lossless."""


@dataclass(frozen=True)
class _Output:
    """How the pictures of a format are encoded, and which sound it holds.

    `longest` is the longest side that the encoder takes, in pixels; None: any that is read.
    `sound` are FFmpeg's names of codecs, `fallback` the encoder for others. Without threads and
    frames out of order a frame has the same bytes on any number of cores, and segments join.
    """

    container: str
    encoder: str
    pixels: str
    options: dict[str, str]
    longest: int | None
    sound: frozenset[str] | None
    fallback: str


_OUTPUTS = {
    "mp4": _Output(
        "mp4",
        "libx264",
        "yuv420p",
        {"bf": "0", "g": "120", "preset": "medium"},
        16_384,
        frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}),
        "aac",
    ),
    "webm": _Output(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        {"b:v": "0", "cpu-used": "2", "deadline": "good", "g": "120", "row-mt": "0"},
        65_536,
        frozenset({"opus", "vorbis"}),
        "libopus",
    ),
    "mkv": _Output(
        "matroska",
        "ffv1",
        video_color.RGB,
        {"g": "1", "level": "3", "slicecrc": "1", "slices": "4"},
        None,
        None,
        "aac",
    ),
}

_CLOCK = 5_760_000
"""Ticks per second: all usual rates of films and screens divide it, or it times 1,001."""

_LEAST_CLOCK = 1000
_LEVEL_RATE = 30  # frames per second by which H.264 chooses its level; times are kept as they are
_END = b"\0"
"""A packet behind the last frame of a segment; its time is the frame's end."""

_SAMPLES = 48_000  # per second, where sound is encoded


def longest_side(format: Format) -> int | None:
    """Return the longest side that clips of a format can have, in pixels; None for any."""
    return _OUTPUTS[format].longest


def write_segment(path: Path, frames: Iterable[Frame], format: Format, quality: int) -> None:
    """Encode frames into a part of a clip, which `join` makes a file of.

    It starts with a key frame and keeps the frames' times. `quality` is 1 to 100.

    Raises ValueError: there are no frames, or for H.264 and VP9 one with an odd side.
    """
    av, output = _pyav(), _OUTPUTS[format]
    with av.open(f"file:{path}", "w", format="nut") as container:
        stream, end = None, Fraction(0)
        for frame in frames:
            if stream is None:
                stream = _encoder(container, output, frame.pixels.shape, quality)
            picture = video_color.from_srgb(frame.pixels, output.pixels)
            picture.pts, picture.time_base = _ticks(frame.time), Fraction(1, _CLOCK)
            container.mux(stream.encode(picture))
            end = frame.time + frame.duration
        if stream is None:
            raise ValueError("a segment needs a frame")
        container.mux(stream.encode())
        marker = av.Packet(_END)
        marker.stream, marker.time_base = stream, Fraction(1, _CLOCK)
        marker.pts = marker.dts = _ticks(end)
        container.mux(marker)


def _encoder(container: Any, output: _Output, shape: tuple[int, ...], quality: int) -> Any:
    height, width, _ = shape
    if output.pixels != video_color.RGB and (width % 2 or height % 2):
        raise ValueError(f"{width}x{height}: sides must be even")
    crf = {"libx264": 10 + 0.4 * (100 - quality), "libvpx-vp9": 12 + 0.5 * (100 - quality)}
    options = dict(output.options)
    if output.encoder in crf:
        options["crf"] = str(round(crf[output.encoder]))
    stream = container.add_stream(output.encoder, rate=_LEVEL_RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, output.pixels
    context = stream.codec_context
    context.time_base, context.thread_count = Fraction(1, _CLOCK), 1
    video_color.tag(context)
    return stream


def _ticks(seconds: Fraction) -> int:
    # halves go up: `round` takes 1.5 and 2.5 to the same tick
    return math.floor(seconds * _CLOCK + Fraction(1, 2))


def join(
    target: Path, segments: Sequence[Path], format: Format, audio: Path | None = None
) -> tuple[str, ...]:
    """Make a file of segments without encoding them again; return warnings.

    The sound of the clip `audio` is copied up to the end of the pictures; it is encoded only if
    the format cannot hold it.

    Raises ValueError: a segment is not complete, or encoded unlike the others.
    """
    output = _OUTPUTS[format]
    parts = [_Segment(path) for path in segments]
    if len({part.head for part in parts}) != 1:
        raise ValueError("segments of one clip have one size, format and quality")
    ticks = [tick for part in parts for tick in part.ticks]
    if ticks != sorted(ticks):
        raise ValueError("segments have to be in order")
    step, end = math.gcd(_CLOCK, *ticks), Fraction(ticks[-1], _CLOCK)
    rate = _CLOCK // step * max(1, math.ceil(_LEAST_CLOCK * step / _CLOCK))
    options = {"fflags": "+bitexact"}
    if output.container == "mp4":  # its index comes first, so that it plays while it loads
        clocks = {"video_track_timescale": str(rate), "movie_timescale": str(rate)}
        options |= {"movflags": "+faststart", **clocks}
    warnings: list[str] = []
    with _pyav().open(
        f"file:{target}", "w", format=output.container, container_options=options
    ) as container:
        with parts[0].opened() as source:
            stream = container.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, rate)
        sound: Iterable[Any] = ()
        if audio is not None and _kind_of(audio) != _ANIMATED:
            sound = _rising(_sound(audio, container, output, end, warnings))
        # merging takes the first packet of each before the head is written with both streams
        pictures = chain.from_iterable(part.packets(stream) for part in parts)
        for packet in merge(pictures, sound, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return tuple(warnings)


class _Segment:
    """A file of `write_segment`; `ticks` are the times of its frames and the end of the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.opened() as container:
            stream = container.streams.video[0]
            packets = [(packet.pts, packet.size) for packet in _packets(container, stream)]
            context = stream.codec_context
            self.head = (context.name, context.width, context.height, context.extradata)
        if len(packets) <= 1 or packets[-1][1] != len(_END):
            raise ValueError(f"{path.name} is not complete")
        self.ticks = [int(pts * stream.time_base * _CLOCK) for pts, _ in packets]

    def opened(self) -> Any:
        return _pyav().open(f"file:{self._path}", "r", format="nut")

    def packets(self, target: Any) -> Iterator[Any]:
        """Yield the packets of the frames for the stream `target`."""
        with self.opened() as container:
            spans = pairwise(self.ticks)
            for packet, (tick, following) in zip(
                _packets(container, container.streams.video[0]), spans, strict=False
            ):
                packet.duration = following - tick
                packet.stream = target
                yield packet


def _sound(
    path: Path, container: Any, output: _Output, end: Fraction, warnings: list[str]
) -> Iterator[Any]:
    """Add the first sound of a clip to `container`, and yield its packets up to second `end`."""
    film = _Film(path, _ANY_LENGTH)
    with _named(path.name), film.opened() as (source, _):
        tracks = [track for track in source.streams.audio if track.codec_context is not None]
        if not tracks:
            return
        if len(tracks) > 1:
            warnings.append(f"of {len(tracks)} sound tracks the first is kept")
        codec = tracks[0].codec_context.codec
        is_copied = codec.canonical_name in (output.sound or container.supported_codecs)
        # decoders begin with a packet before the first sound; MKV would delay the pictures for it
        early = not is_copied or output.container == "mp4" or codec.canonical_name == "opus"
        packets = _during(source, tracks[0], film.origin, end, early=early)
        if (first := next(packets, None)) is None:
            return
        packets = chain([first], packets)
        if is_copied:
            target = container.add_stream_from_template(tracks[0])
            for packet in packets:
                packet.stream = target
                yield packet
        elif codec.name not in _SOUND.split(","):
            warnings.append(f"the sound is left out, as {codec.long_name} is not decoded")
        else:
            warnings.append(
                f"the sound was encoded anew, as {output.container} cannot hold {codec.long_name}"
            )
            yield from _encoded(tracks[0].codec_context, packets, container, output)


def _encoded(
    decoder: Any, packets: Iterable[Any], container: Any, output: _Output
) -> Iterator[Any]:
    """Decode the packets of a track, and encode them for a new one of `container`."""
    layout = "mono" if decoder.layout.nb_channels == 1 else "stereo"
    target = container.add_stream(output.fallback, _SAMPLES, layout=layout)
    pieces = chain.from_iterable(_decoded(decoder, packet) for packet in packets)
    audible = (piece for piece in pieces if piece.pts is not None and piece.pts >= 0)
    # a resampler takes no other kind of samples than its first; None gets the rest out of it
    for _, alike in groupby(audible, lambda s: (s.format.name, s.layout.name, s.sample_rate)):
        resampler = _pyav().AudioResampler(target.codec_context.format, layout, _SAMPLES)
        for samples in chain(alike, [None]):
            for resampled in resampler.resample(samples):
                yield from target.encode(resampled)
    yield from target.encode(None)


def _during(
    source: Any, track: Any, origin: Fraction, end: Fraction, *, early: bool
) -> Iterator[Any]:
    """Yield packets of a track with times from `origin` on, up to second `end`.

    With `early` there may be one more, which ends where the pictures begin.
    """
    shift = round(origin / track.time_base)
    for packet in _packets(source, track):
        if packet.pts is None or packet.dts is None:
            continue
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if packet.pts * track.time_base >= end:
            return
        if packet.pts + ((early and packet.duration) or 0) >= 0:
            yield packet


def _rising(packets: Iterable[Any]) -> Iterator[Any]:
    """Move each packet behind the one before: muxers refuse times that do not rise."""
    last: int | None = None
    for packet in packets:
        if last is not None and packet.dts <= last:
            packet.dts = last + 1
            packet.pts = max(packet.pts, packet.dts)
        last = packet.dts
        yield packet
