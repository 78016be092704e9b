"""Clips: frames of films (PyAV) and animated pictures (Pillow), and writing of films.

The frames of a film are the packets of its first video stream, in the order of their times.
Therefore they can be counted without decoding, and a frame that cannot be decoded does not change
the numbers of the others: it repeats the previous frame. A film is always decoded from its start,
because seeking is exact in few containers and decoding is fast compared with painting.
"""

import hashlib
import importlib
import io
import math
import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from importlib.util import find_spec
from io import SEEK_END
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import video_color
from stylewatch_painter.images.flow import LONGEST_SIDE
from stylewatch_painter.images.formats import HEAD, film_container
from stylewatch_painter.images.loaders import Size, check_size
from stylewatch_painter.images.read import (
    MAX_BYTES,
    Picture,
    decoding,
    file_bytes,
    open_file,
)
from stylewatch_painter.images.video_color import OVER_WHITE
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
"""Decoders that are allowed for films. FFmpeg has hundreds, most of them for rare formats, and each
is a risk with untrusted files."""

_SOUND = (
    "aac,ac3,alac,eac3,flac,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_f32le"
)

_MAX_STREAMS = 64
_PROBED = 5_000_000
"""Number of bytes in which FFmpeg looks for properties that a file's header does not state."""

_ANIMATED = "animated"
_ANIMATIONS = ("AVIF", "GIF", "PNG", "WEBP")
"""Pillow's names of formats that can be animated."""

_OPAQUE = 255  # alpha

_SHORTEST, _INSTEAD = Fraction(11, 1000), Fraction(1, 10)
"""Shortest duration of an animation's frame, and the duration that replaces shorter ones as in
browsers, in seconds."""

LONGEST = 86_400
"""Maximum length of a clip in seconds, one day; a longer one has a damaged timestamp."""

LARGEST_FRAME = 250_000_000
"""Maximum number of pixels in a frame."""


@dataclass(frozen=True)
class ClipLimits:
    """Upper limits of a clip."""

    max_pixels: int
    max_frames: int

    @property
    def most(self) -> int:
        """Maximum number of pixels in a frame, which is decoded as a whole."""
        return min(self.max_pixels, LARGEST_FRAME)


@dataclass(frozen=True)
class Clip:
    """A clip as its file describes it.

    `size` is (width, height), upright, with square pixels. `times` are the start times of the
    frames and the end time of the last one, in seconds on the file's clock. `converted` has a
    phrase for each conversion of the pictures.
    """

    size: Size
    times: tuple[Fraction, ...]
    converted: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times) - 1

    @property
    def seconds(self) -> Fraction:
        """Length of the clip in seconds."""
        return self.times[-1] - self.times[0]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a clip; `pixels` is (height, width, 3).

    `is_damaged` is True if its picture cannot be decoded and another one is repeated.
    """

    number: int
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
            image = Image.open(file, formats=_ANIMATIONS)
            # Pillow would count all frames of a GIF, but detects a second one earlier
            return bool(getattr(image, "is_animated", False))
    return False


def is_film(path: Path) -> bool:
    """Return whether a file is a film, of which only parts are read at a time."""
    with suppress(PictureError), open_file(path) as file:
        return bool(film_container(file.read(HEAD)))
    return False


def inspect(path: Path, limits: ClipLimits) -> Clip:
    """Describe the clip at `path`.

    All packets of a film are read and one frame is decoded; all frames of an animated picture are
    decoded. Raises PictureError if the file is not a clip, exceeds `limits` or is damaged, or if
    the extra that is needed to paint it is missing.
    """
    kind = _kind_of(path)
    if find_spec("cv2") is None:  # `flow` needs it, so refuse the clip before painting begins
        raise PictureError(
            f"{path.name} is a clip, which needs an extra: {install_command('clips')}"
        )
    with _named(path.name):
        if kind == _ANIMATED:
            return _inspect_animation(path, limits)
        return _Film(path, limits).describe()


def frames(path: Path, limits: ClipLimits, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of the clip at `path` from number `first` on, one at a time.

    Raises PictureError as `inspect` does, and when it reaches a damaged part of an animated
    picture.
    """
    return (frame for frame in decoded(path, limits, first) if frame is not None)


def decoded(path: Path, limits: ClipLimits, first: int = 0) -> Iterator[Frame | None]:
    """Yield what `frames` yields, and None for each frame before, which may take long to decode."""
    if _kind_of(path) == _ANIMATED:
        wanted = range(first, sys.maxsize)
        for number, (_, pixels, _) in enumerate(_animation(path, limits, wanted)):
            yield Frame(number, pixels) if number in wanted else None
    else:
        with _named(path.name):
            yield from _Film(path, limits).frames(first)


def first_picture(path: Path, limits: ClipLimits, clip: Clip) -> Picture:
    """Read the first frame of the `clip` at `path` as a Picture.

    Raises PictureError as `frames` does.
    """
    pixels = next(frames(path, limits)).pixels.astype(np.float32)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Picture(pixels, None, clip.converted, sha256, size_of_file=clip.size)


def _kind(head: bytes) -> str:
    """Return FFmpeg's name of a container, `_ANIMATED`, or "" for any other file."""
    if container := film_container(head):
        return container
    animated = (
        head[:4] == b"GIF8"
        or head[:8] == b"\x89PNG\r\n\x1a\n"
        or (head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2)
        or (head[4:8] == b"ftyp" and b"avis" in head[8 : int.from_bytes(head[:4])])
    )
    return _ANIMATED if animated else ""


def _kind_of(path: Path) -> str:
    with open_file(path) as file:
        kind = _kind(file.read(HEAD))
    if not kind:
        raise PictureError(f"{path.name} is not a clip; clips can be {CONTAINERS}")
    return kind


# Animated pictures


def _inspect_animation(path: Path, limits: ClipLimits) -> Clip:
    durations, pictures, converted = zip(*_animation(path, limits, range(1)), strict=True)
    times = tuple(accumulate(durations, initial=Fraction(0)))
    _check_length(len(durations), times[-1], limits)
    height, width, _ = pictures[0].shape
    return Clip((width, height), times, converted[0])


def _animation(
    path: Path, limits: ClipLimits, wanted: range
) -> Iterator[tuple[Fraction, Bytes, tuple[str, ...]]]:
    """Yield the duration of each frame, its pixels and its conversions.

    Frames that are not `wanted` have no pixels.
    """
    data = file_bytes(path)
    name, head = path.name, data[:HEAD]
    with decoding(name, head):
        image = Image.open(io.BytesIO(data), formats=_ANIMATIONS)
        check_size(image.size, limits.most)
        # a PNG may begin with a picture for programs that do not support animations
        skipped = int(image.info.get("default_image", False))
        count = max(1, getattr(image, "n_frames", 1) - skipped)
        _check_length(count, Fraction(0), limits)
    for number in range(count):
        pixels, conversions = np.empty((0, 0, 3), np.uint8), tuple[str, ...]()
        # `yield` is outside, because the caller may decode another picture
        with decoding(name, head):
            image.seek(number + skipped)
            image.load()
            if number in wanted:
                pixels, conversions = _flat(image)
        duration = Fraction(image.info.get("duration") or 0).limit_denominator(10**6) / 1000
        yield duration if duration >= _SHORTEST else _INSTEAD, pixels, conversions


def _flat(image: Image.Image) -> tuple[Bytes, tuple[str, ...]]:
    """Return the pixels of a decoded picture, upright and without alpha, and its conversions."""
    upright, conversions = image, list[str]()
    with suppress(Exception):  # damaged EXIF raises nearly any error; the picture is still usable
        if image.getexif().get(Base.Orientation, 1) != 1:
            upright = ImageOps.exif_transpose(image)
            conversions.append("turned upright")
    if upright.mode in ("P", "PA"):
        conversions.append("palette to RGB")
    if upright.mode.startswith("I"):  # 16-bit gray, which Pillow would clip
        upright = Image.fromarray(np.rint(np.asarray(upright) / 257).astype(np.uint8))
        conversions.append("16 bits a channel to 8")
    pixels = np.asarray(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))
    if pixels[..., 3:].min(initial=_OPAQUE) < _OPAQUE:
        conversions.append(OVER_WHITE)
    return video_color.opaque(pixels), tuple(conversions)


# Films

_WIDEST = 10  # maximum ratio of the sides of a pixel; a larger one is an error in the file
_USUAL_RATE = 25  # frames per second
_DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d\.\d{1,9})")
_NOTHING = "has no frame that can be decoded; export it again"
_MAX_BOXES = 100_000  # number of top-level boxes of a film to read
_DATA_BOXES = (b"mdat", b"moof", b"moov")
_SEGMENT = re.compile(rb"\x1a\x45\xdf\xa3.*?\x18\x53\x80\x67([^\0])", re.DOTALL)
"""Pattern for the head of a Matroska file up to the first byte of the size of its segment."""


@contextmanager
def _film(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a film; yield the container and the stream with the pictures."""
    av = _pyav()
    with open_file(path) as file:
        head = file.read(HEAD)
        kind, size = _kind(head), file.seek(0, SEEK_END)
        segment = _SEGMENT.match(head)
        end = _end_of_boxes(file, size) if segment is None else _end_of_segment(head, segment)
        if end > size:
            raise PictureError(
                f"is cut off or damaged ({size:,} of {end:,} bytes); copy or export it again"
            ) from EOFError("its end is missing")
        file.seek(0)
        options = {
            "protocol_whitelist": "none",  # no other file, no network
            "codec_whitelist": ",".join((*CODECS, _SOUND)),
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


def _end_of_boxes(file: io.FileIO, size: int) -> int:
    """Return the end of a box of MP4 or MOV that exceeds the file; 0 if there is none."""
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:])
        if length < len(b"sizekind") or at + length > size:  # other data may follow the boxes
            return at + length if head[4:8] in _DATA_BOXES else 0
        at += length
    return 0


def _end_of_segment(head: bytes, segment: re.Match[bytes]) -> int:
    """Return the end of a Matroska file as its segment states it; 0 if its size is unknown."""
    start = segment.start(1)
    length = 9 - segment[1][0].bit_length()  # as many bytes as zeros before the first one, plus 1
    most = (1 << 7 * length) - 1
    stated = int.from_bytes(head[start : start + length]) & most
    return 0 if stated == most else start + length + stated


class _Film:
    """A film, with the times of its frames as in `Clip.times`."""

    def __init__(self, path: Path, limits: ClipLimits) -> None:
        self._path, self._limits = path, limits
        self._shown: video_color.Shown | None = None
        """Direction and colors of the first picture, which apply to all."""
        with _film(path) as (container, stream):
            ratio = stream.sample_aspect_ratio or 1
            self._aspect = Fraction(ratio) if 1 / _WIDEST <= ratio <= _WIDEST else Fraction(1)
            self._size = (round(stream.width * self._aspect) or 1, stream.height)
            check_size(self._size, limits.most)
            self._read_times(container, stream)

    def _read_times(self, container: Any, stream: Any) -> None:
        """Read all packets and set strictly increasing times of the frames."""
        ticks: list[int] = []
        packet: Any = None
        most = self._limits.max_frames
        for number, packet in enumerate(_stamped(container, stream)):
            if not packet.is_discard:
                ticks.append(packet.pts)
            if len(ticks) > most or number >= 2 * most:
                _check_length(most + 1, Fraction(0), self._limits)
        if not ticks:  # EOFError as the cause: the file may still be growing
            raise PictureError("has no frames; export it again") from EOFError("no packets")
        self._ticks = sorted(ticks)
        unit = Fraction(stream.time_base)
        step = math.ceil(1 / (unit * _CLOCK))  # at least a tick of the clock of written films
        rising = accumulate(self._ticks, lambda before, tick: max(tick, before + step))
        times = [tick * unit for tick in rising]
        last = (packet.duration or 0) * unit
        if last <= 0:  # Matroska states the duration of the track, not of frames
            last = _duration_of(stream) - times[-1]
        if last <= 0:
            usual = 1 / Fraction(stream.average_rate or _USUAL_RATE)
            last = times[-1] - times[-2] if len(times) > 1 else usual
        self.times = (*times, times[-1] + max(last, Fraction(1, _CLOCK)))
        _check_length(len(ticks), self.times[-1] - self.times[0], self._limits)

    def describe(self) -> Clip:
        """Describe the film by its first picture."""
        picture = next(self._pictures(), None)
        if picture is None:
            raise PictureError(_NOTHING) from EOFError("no picture")
        height, width, _ = self._pixels(picture).shape
        converted = video_color.conversions(picture, self._shown or video_color.Shown())
        if self._aspect != 1:
            ratio = f"{self._aspect.numerator}:{self._aspect.denominator}"
            converted = (f"pixels of {ratio} to square ones", *converted)
        return Clip((width, height), self.times, converted)

    def frames(self, first: int) -> Iterator[Frame | None]:
        """Yield the frames from number `first` on, and None for each picture before.

        A missing frame repeats the previous one.
        """
        number, latest = 0, None
        for picture in self._pictures():
            at = max(number, bisect_left(self._ticks, picture.pts))
            if at == len(self._ticks) or self._ticks[at] != picture.pts:
                continue
            for missing in range(max(number, first), at):
                yield Frame(missing, self._pixels(latest or picture), is_damaged=True)
            yield Frame(at, self._pixels(picture)) if at >= first else None
            number, latest = at + 1, picture
        if latest is None:
            raise PictureError(_NOTHING) from EOFError("no picture")
        for missing in range(max(number, first), len(self._ticks)):
            yield Frame(missing, self._pixels(latest), is_damaged=True)

    def _pictures(self) -> Iterator[Any]:
        """Decode the film and yield its undamaged pictures."""
        with _film(self._path) as (container, stream):
            decoder = stream.codec_context
            decoder.thread_count = 1  # threads take memory, and fail differently on damaged data
            # pictures may be larger than the header states, for example by their margins
            decoder.options = {"max_pixels": str(min(2 * self._limits.most, 2**31 - 1))}
            packets = (packet for packet in _stamped(container, stream) if packet.size)
            for packet in chain(packets, [None]):
                for picture in _decoded(decoder, packet):
                    if self._shown is None:
                        self._shown = video_color.shown(picture)
                    if picture.pts is not None and not picture.is_corrupt:
                        yield picture

    def _pixels(self, picture: Any) -> Bytes:
        try:
            return video_color.to_srgb(picture, self._size, self._shown or video_color.Shown())
        except _pyav().FFmpegError as error:
            raise PictureError(
                f"has colors that cannot be converted ({error.strerror}); export it as BT.709"
            ) from error


def _duration_of(stream: Any) -> Fraction:
    """Return the duration of a track in seconds, according to its tag; 0 if there is none."""
    tag = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    hours, minutes, seconds = tag.groups() if tag else ("0", "0", "0")
    return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        if packet.size or packet.dts is not None:  # otherwise it only marks the end
            yield packet


def _stamped(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of a stream; a packet without a time gets one after the previous packet."""
    latest = -1
    for packet in _packets(container, stream):
        if packet.pts is None:
            packet.pts = latest + 1 if packet.dts is None else packet.dts
        latest = packet.pts
        yield packet


def _decoded(decoder: Any, packet: Any) -> list[Any]:
    """Decode a packet and return its pictures; a damaged packet has none."""
    with suppress(_pyav().FFmpegError):
        return list(decoder.decode(packet))
    return []


def _reason(error: Any) -> str:
    if isinstance(error, MemoryError):  # also for too many streams
        return f"takes too much memory, or has more than {_MAX_STREAMS} tracks; export it again"
    return f"is cut off or damaged ({error.strerror}); copy or export it again"


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Add the name of the file to the message of a PictureError."""
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
    """Return the first video stream that is not cover art."""
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
    if seconds > LONGEST:
        raise PictureError(
            f"is {float(seconds):,.1f} s long; the limit is {LONGEST:,} s: cut it into parts"
        )


# Writing

Format = Literal["mp4", "webm", "mkv"]
"""File format of a clip. mp4 is H.264 that plays in every browser, webm VP9, mkv the lossless
FFV1."""


@dataclass(frozen=True)
class _Output:
    """Encoder settings of a format, and the sound codecs that it can hold.

    `longest` is the longest side in pixels. `sound` are FFmpeg's names of codecs, or None for all
    that FFmpeg supports in the container. Threads and out-of-order frames are disabled, so that a
    frame has the same bytes on any number of cores and segments can be joined.
    """

    container: str
    encoder: str
    pixels: str
    options: dict[str, str]
    longest: int
    sound: frozenset[str] | None


_OUTPUTS = {
    "mp4": _Output(
        "mp4",
        "libx264",
        "yuv420p",
        {"bf": "0", "g": "120", "preset": "medium"},
        16_384,
        frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}),
    ),
    "webm": _Output(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        {"b:v": "0", "cpu-used": "2", "deadline": "good", "g": "120", "row-mt": "0"},
        LONGEST_SIDE,
        frozenset({"opus", "vorbis"}),
    ),
    "mkv": _Output(
        "matroska",
        "ffv1",
        video_color.RGB,
        {"g": "1", "level": "3", "slicecrc": "1", "slices": "4"},
        LONGEST_SIDE,
        None,
    ),
}

_CLOCK = 5_760_000
"""Ticks per second. All usual frame rates of films and screens divide it, or 1,001 times it."""

_LEAST_CLOCK = 1000
_LEVEL_RATE = 30  # frames per second of segments, by which H.264 chooses its level


def longest_side(format: Format) -> int:
    """Return the longest side of clips in a format, in pixels."""
    return _OUTPUTS[format].longest


def write_segment(
    path: Path, frames: Iterable[Bytes], format: Format, quality: int
) -> Iterator[None]:
    """Encode frames (height, width, 3) as a segment, for `join`; yield after each frame.

    A segment starts with a key frame. `quality` is 1 to 100. Sides must be even, except for FFV1.
    """
    output = _OUTPUTS[format]
    crf = {"libx264": 10 + 0.4 * (100 - quality), "libvpx-vp9": 12 + 0.5 * (100 - quality)}
    options = dict(output.options)
    if output.encoder in crf:
        options["crf"] = str(round(crf[output.encoder]))
    with _pyav().open(
        f"file:{path}", "w", format="matroska", container_options={"fflags": "+bitexact"}
    ) as container:
        stream = container.add_stream(output.encoder, rate=_LEVEL_RATE, options=options)
        stream.pix_fmt, stream.codec_context.thread_count = output.pixels, 1
        video_color.tag(stream.codec_context)
        for number, pixels in enumerate(frames):
            if number == 0:
                stream.height, stream.width, _ = pixels.shape
            picture = video_color.from_srgb(pixels, output.pixels)
            picture.pts, picture.time_base = number, Fraction(1, _LEVEL_RATE)
            container.mux(stream.encode(picture))
            yield
        container.mux(stream.encode())


def join(
    target: Path,
    segments: Sequence[Path],
    times: Sequence[Fraction],
    format: Format,
    sound: Path | None = None,
) -> tuple[str, ...]:
    """Join segments to a file without encoding them again, and return warnings.

    `times` are as in `Clip.times`. If `sound` is a film, its sound between the first and the last
    of them is copied, unless the format cannot hold it. Raises ValueError if the number of frames
    in the segments does not match the number of times.
    """
    output, av = _OUTPUTS[format], _pyav()
    try:
        return _joined(target, segments, times, output, sound)
    except (av.ArgumentError, av.InvalidDataError):  # for example MP3 of a low rate in MP4
        if sound is None:
            raise
    return (*_joined(target, segments, times, output, None), _sound_warning(output, "it"))


def _sound_warning(output: _Output, sound: str) -> str:
    """Return the warning that an output has no sound, because its format cannot hold `sound`."""
    advice = "" if output.sound is None else "; clip.format: mkv holds more kinds of sound"
    return f"the sound is left out, as {output.container} cannot hold {sound}{advice}"


def _joined(
    target: Path,
    segments: Sequence[Path],
    times: Sequence[Fraction],
    output: _Output,
    sound: Path | None,
) -> tuple[str, ...]:
    """Join segments as `join` does; raise FFmpeg's error if its muxer refuses the sound."""
    finest = math.lcm(_LEAST_CLOCK, *((time - times[0]).denominator for time in times))
    rate = min(finest, _CLOCK)
    options = {"fflags": "+bitexact"}
    if output.container == "mp4":  # put the index first, so that the film can play while it loads
        clocks = {"video_track_timescale": str(rate), "movie_timescale": str(rate)}
        options |= {"movflags": "+faststart", **clocks}
    warnings: list[str] = []
    with _pyav().open(
        f"file:{target}", "w", format=output.container, container_options=options
    ) as container:
        with _opened(segments[0]) as source:
            stream = container.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, rate)
        heard: Iterable[Any] = ()
        if sound is not None and is_film(sound):
            heard = _rising(_sound(sound, container, output, times, warnings))
        # merging reads the first packet of both streams before the header is written
        pictures = _timed(segments, times, stream)
        for packet in merge(pictures, heard, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return tuple(warnings)


def _opened(segment: Path) -> Any:
    return _pyav().open(f"file:{segment}", "r", format="matroska")


def _timed(segments: Iterable[Path], times: Sequence[Fraction], target: Any) -> Iterator[Any]:
    """Yield the packets of segments for the stream `target`, at the times of their frames."""

    def packets(segment: Path) -> Iterator[Any]:
        with _opened(segment) as container:
            yield from _packets(container, container.streams.video[0])

    unit = target.time_base
    # round half up: `round` would give 1.5 and 2.5 the same tick
    ticks = [math.floor((time - times[0]) / unit + Fraction(1, 2)) for time in times]
    every = chain.from_iterable(map(packets, segments))
    for packet, (tick, following) in zip(every, pairwise(ticks), strict=True):
        packet.stream, packet.time_base = target, unit
        packet.pts = packet.dts = tick
        packet.duration = following - tick
        yield packet


def _sound(
    path: Path, container: Any, output: _Output, times: Sequence[Fraction], warnings: list[str]
) -> Iterator[Any]:
    """Add the first sound track of a film to `container` and yield its packets."""
    with _named(path.name), _film(path) as (source, _):
        tracks = [track for track in source.streams.audio if track.codec_context is not None]
        if not tracks:
            if source.streams.audio:
                warnings.append("the sound is left out, as its codec is unknown")
            return
        if len(tracks) > 1:
            warnings.append(f"only the first of {len(tracks)} sound tracks is kept")
        codec = tracks[0].codec_context.codec
        if codec.canonical_name not in (output.sound or container.supported_codecs):
            warnings.append(_sound_warning(output, codec.long_name))
            return
        # decoders need a packet before the first sound; MKV would delay the pictures for it
        early = output.container == "mp4" or codec.canonical_name == "opus"
        packets = _during(source, tracks[0], times, early=early)
        if (first := next(packets, None)) is None:
            return
        target = container.add_stream_from_template(tracks[0])
        for packet in chain([first], packets):
            packet.stream = target
            yield packet


def _during(source: Any, track: Any, times: Sequence[Fraction], *, early: bool) -> Iterator[Any]:
    """Yield the packets of a track between the first and the last of `times`.

    Their times are shifted so that the first of `times` is 0. With `early` there may be one more
    packet, which ends where the pictures begin.
    """
    shift, end = round(times[0] / track.time_base), times[-1] - times[0]
    for packet in _packets(source, track):
        if packet.pts is None or packet.dts is None:
            continue
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if packet.pts * track.time_base >= end:
            return
        if packet.pts + ((early and packet.duration) or 0) >= 0:
            yield packet


def _rising(packets: Iterable[Any]) -> Iterator[Any]:
    """Move each packet after the previous one, because muxers require increasing times."""
    last: int | None = None
    for packet in packets:
        if last is not None and packet.dts <= last:
            packet.dts = last + 1
            packet.pts = max(packet.pts, packet.dts)
        last = packet.dts
        yield packet
