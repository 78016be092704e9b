"""Films: their containers, packets and pictures, decoded by PyAV.

The frames of a film are the packets of its first video stream that show a picture, in the order of
their times. Therefore they can be counted without decoding, and a frame that cannot be decoded does
not change the numbers of the others: it repeats the previous frame. A film is always decoded from
its start, because seeking is exact in few containers and decoding is fast compared with painting.
"""

import logging
import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from io import SEEK_END, BufferedReader
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from stylewatch_painter.errors import NoMemoryError, PictureError
from stylewatch_painter.images import formats, video_color
from stylewatch_painter.images.clip import CLOCK, Clip, ClipLimits, Frame, check_length
from stylewatch_painter.images.formats import HEAD, film_container, foreign_film
from stylewatch_painter.images.loaders import check_size
from stylewatch_painter.images.read import open_file
from stylewatch_painter.installation import install_command, library
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes

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
"""Display names of the supported codecs, by the names of their decoders in FFmpeg. All other
decoders for pictures are disabled: FFmpeg has hundreds, and each is a risk with untrusted files."""

_SOUND = (
    "aac,ac3,alac,eac3,flac,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_f32le"
)

_MAX_STREAMS = 64
_PROBED = 5_000_000
"""Number of bytes in which FFmpeg looks for properties that a file's header does not state."""

_SHOW_FRAME = 0x10
"""Bit in the first byte of a frame of VP8 that is set if the frame is shown (RFC 6386, 9.1)."""

_WIDEST = 10  # maximum ratio of the sides of a pixel; a larger one is an error in the file
_USUAL_RATE = 25  # frames per second
_DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d\.\d{1,9})")
_MAY_BE_DAMAGED = "may be damaged: parts of it cannot be read"
_HARMLESS = re.compile(r"EXIF", re.IGNORECASE)
"""Pattern for messages of FFmpeg about errors that change no pixel."""
_NO_MEMORY = "takes more memory than there is; export it smaller"
_SAMPLE = Size(64, 64)
"""Size to which a film's first picture is converted, to test whether its colors can be
converted."""
_NOTHING = "has no frame that can be decoded; export it again"
_MAX_BOXES = 100_000  # number of top-level boxes of a film to read
_DATA_BOXES = (b"mdat", b"moof", b"moov")
_SEGMENT = re.compile(rb"\x1a\x45\xdf\xa3.*?\x18\x53\x80\x67([^\0])", re.DOTALL)
"""Pattern for the head of a Matroska file up to the first byte of the size of its segment."""


def is_film(path: Path) -> bool:
    """Return whether a file is a film; False also for a file that cannot be read.

    Only the head is read, because films, unlike pictures, may be larger than memory.
    """
    with suppress(PictureError), open_file(path) as file:
        return formats.is_film(file.read(HEAD))
    return False


@contextmanager
def opened(path: Path, said: list[str] | None = None) -> Iterator[tuple[Any, Any]]:
    """Open a film, and yield PyAV's container and the stream with the pictures.

    FFmpeg reads the first packets; its messages about damage in them are appended to `said`. Raises
    PictureError if the file cannot be read, is truncated, has no pictures, has an unsupported
    container or codec, or needs a missing extra, and for any error of FFmpeg inside the context.
    Raises LibraryError if PyAV cannot be loaded.
    """
    av = pyav()
    with open_file(path) as file:
        head = file.read(HEAD)
        name = foreign_film(head)
        if name:
            raise PictureError(
                f"is a film in {name}; films can be MP4, MOV, MKV and WebM: convert it"
            )
        kind = film_container(head)
        size = file.seek(0, SEEK_END)
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
        # until version 19 of PyAV a tag that is not in UTF-8 fails, unless it is to be replaced
        has_policy = hasattr(av.container.Container, "metadata_errors")
        tags = {"metadata_errors": "replace"} if has_policy else {}
        try:
            with _hearing([] if said is None else said):
                container = av.open(file, "r", kind, container_options=options, **tags)
            with container:
                yield container, _pictures_of(container)
        except av.FFmpegError as error:
            raise PictureError(_reason(error)) from error


def _end_of_boxes(file: BufferedReader, size: int) -> int:
    """Return the offset in bytes where a truncated box of MP4 or MOV should end; 0 without one."""
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
    """Return the offset in bytes of the end of a Matroska file's segment; 0 if it is not stated."""
    start = segment.start(1)
    length = 9 - segment[1][0].bit_length()  # as many bytes as zeros before the first one, plus 1
    most = (1 << 7 * length) - 1
    stated = int.from_bytes(head[start : start + length]) & most
    return 0 if stated == most else start + length + stated


_FLUSH = None
"""Value that is given to a decoder in place of a packet, so that it returns its remaining
pictures."""


@dataclass(frozen=True)
class _Decoded:
    """A picture from FFmpeg's decoder."""

    picture: Any
    is_doubtful: bool
    """True if FFmpeg reported damage in the picture, or in an earlier one since the last key
    frame."""


class Film:
    """A film, whose frames can be decoded.

    `times` are the start times of the frames and the end time of the last one, in seconds. The
    constructor reads all packets without decoding them. It raises PictureError if the film cannot
    be opened, has no frames, or exceeds the limits.
    """

    def __init__(self, path: Path, limits: ClipLimits) -> None:
        self._path = path
        self._limits = limits
        self._said: list[str] = []
        """Messages of FFmpeg about damage, from reading the packets."""
        self._shown: video_color.Shown | None = None
        """Orientation and colors of the first picture, which apply to all pictures; None until the
        first picture is decoded."""
        with opened(path, self._said) as (container, stream):
            ratio = stream.sample_aspect_ratio or 1
            self._aspect = Fraction(ratio) if 1 / _WIDEST <= ratio <= _WIDEST else Fraction(1)
            self._size = Size(round(stream.width * self._aspect) or 1, stream.height)
            check_size(self._size, limits.most)
            self._ticks, last_duration = self._read_ticks(container, stream)
            self.times = _times(self._ticks, last_duration, stream)
            check_length(len(self._ticks), self.times[-1] - self.times[0], limits)

    def _read_ticks(self, container: Any, stream: Any) -> tuple[list[int], int]:
        """Read all packets; return the sorted times of the frames, and the last packet's duration.

        Both are in ticks of the stream, as the file states them; a duration of 0 is not stated.
        Raises PictureError if there are no frames, or more than the limit.
        """
        ticks: list[int] = []
        packet: Any = None
        most = self._limits.max_frames
        for number, packet in enumerate(_stamped(container, stream, self._said)):
            if not (packet.is_discard or _is_hidden(packet, stream.codec_context.name)):
                ticks.append(packet.pts)
            if len(ticks) > most or number >= 2 * most:
                check_length(most + 1, Fraction(0), self._limits)
        if not ticks:  # EOFError as the cause: the file may still be growing
            raise PictureError("has no frames; export it again") from EOFError("no packets")
        return sorted(ticks), packet.duration or 0

    def describe(self) -> Clip:
        """Decode the first picture, and return a description of the film.

        Raises PictureError if there is no picture, or if its colors cannot be converted.
        """
        first = next(self._pictures(), None)
        if first is None:
            raise PictureError(_NOTHING) from EOFError("no picture")
        how = self._shown or video_color.Shown()
        converted = video_color.conversions(first.picture, how)
        if self._aspect != 1:
            ratio = f"{self._aspect.numerator}:{self._aspect.denominator}"
            converted = (f"pixels of {ratio} to square ones", *converted)
        self._pixels(first.picture, _SAMPLE)  # raises if its colors cannot be converted
        size = self._size if video_color.keeps_sides(how) else self._size.turned
        warnings = (_MAY_BE_DAMAGED,) if self._said or first.is_doubtful else ()
        return Clip(size, self.times, converted, warnings)

    def frames(self, numbers: range) -> Iterator[Frame | None]:
        """Decode the film; yield the frames with these `numbers`, and None for other pictures.

        The frames are in order. A frame without a picture repeats the previous picture; at the
        start of the film it shows the first one. Raises PictureError if the film has no picture, or
        if its colors cannot be converted.
        """
        following = 0  # number of the frame after the latest one
        latest = None
        for decoded in self._pictures():
            picture = decoded.picture
            # frames with equal times get their pictures in turn
            number = max(following, bisect_left(self._ticks, picture.pts))
            if number == len(self._ticks) or self._ticks[number] != picture.pts:
                continue  # no packet announced it
            yield from self._repeated(latest or picture, range(following, number), numbers)
            if number in numbers:
                yield Frame(number, self._pixels(picture), is_doubtful=decoded.is_doubtful)
            else:
                yield None
            following = number + 1
            latest = picture
        if latest is None:
            raise PictureError(_NOTHING) from EOFError("no picture")
        yield from self._repeated(latest, range(following, len(self._ticks)), numbers)

    def _repeated(self, picture: Any, lacking: range, numbers: range) -> Iterator[Frame]:
        """Yield the frames in both `lacking` and `numbers`, with `picture`, marked as damaged."""
        for number in lacking:
            if number in numbers:
                yield Frame(number, self._pixels(picture), is_damaged=True)

    def _pictures(self) -> Iterator["_Decoded"]:
        """Decode the film; yield its pictures, except corrupt ones and those without a time.

        FFmpeg marks corrupt pictures. After a packet with reported damage all pictures are doubtful
        up to the next key frame, which is decoded without earlier frames. The first picture, even
        if it is corrupt, sets `_shown`.
        """
        said = list[str]()
        doubts = dict[int, bool]()
        """For each packet, by its time, whether its picture is doubtful: the decoder returns the
        picture some packets later."""
        with opened(self._path, said) as (container, stream):
            is_doubtful = _has_complained(said)
            decoder = stream.codec_context
            decoder.thread_count = 1  # threads take memory, and fail differently on damaged data
            # pictures may be larger than the header states, for example by their margins
            decoder.options = {"max_pixels": str(min(2 * self._limits.most, 2**31 - 1))}
            packets = (packet for packet in _stamped(container, stream, said) if packet.size)
            for packet in chain(packets, [_FLUSH]):
                pictures = _decoded(decoder, packet, said)
                is_corrupt = any(picture.is_corrupt for picture in pictures)
                has_fault = _has_complained(said) or is_corrupt
                if packet is not _FLUSH:
                    is_doubtful = has_fault or (is_doubtful and not packet.is_keyframe)
                    doubts[packet.pts] = is_doubtful
                for picture in pictures:
                    if self._shown is None:
                        self._shown = video_color.shown(picture)
                    decoded = _Decoded(picture, doubts.pop(picture.pts, is_doubtful))
                    if picture.pts is not None and not picture.is_corrupt:
                        yield decoded

    def _pixels(self, picture: Any, size: Size | None = None) -> Bytes:
        """Return the pixels of a picture, uint8 sRGB, upright.

        `size`, by default the film's own size, is the size before the picture is turned. Raises
        PictureError if memory is lacking, or if the colors cannot be converted.
        """
        how = self._shown or video_color.Shown()
        try:
            return video_color.to_srgb(picture, size or self._size, how)
        except MemoryError as error:
            raise NoMemoryError(_NO_MEMORY) from error
        except pyav().FFmpegError as error:
            raise PictureError(
                f"has colors that cannot be converted ({error.strerror}); export it as BT.709"
            ) from error


def _times(ticks: list[int], last_duration: int, stream: Any) -> tuple[Fraction, ...]:
    """Return the start times of the frames and the end time of the last one, in seconds.

    `ticks` are sorted times, some of which may be equal. The returned times increase by at least a
    tick of CLOCK, so that films can be written with them.
    """
    unit = Fraction(stream.time_base)
    step = math.ceil(1 / (unit * CLOCK))
    rising = accumulate(ticks, lambda previous, tick: max(tick, previous + step))
    times = [tick * unit for tick in rising]
    duration = last_duration * unit
    if duration <= 0:  # Matroska states the duration of the track, not of frames
        duration = _duration_of(stream) - times[-1]
    if duration <= 0 and len(times) > 1:
        duration = times[-1] - times[-2]
    if duration <= 0:
        duration = 1 / Fraction(stream.average_rate or _USUAL_RATE)
    return (*times, times[-1] + max(duration, Fraction(1, CLOCK)))


def _duration_of(stream: Any) -> Fraction:
    """Return the duration of a track in seconds, according to its tag; 0 if there is none."""
    tag = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    hours, minutes, seconds = tag.groups() if tag else ("0", "0", "0")
    return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of a stream, except the empty packet that marks the stream's end."""
    for packet in container.demux(stream):
        if packet.size or packet.dts is not None:
            yield packet


def _is_hidden(packet: Any, codec: str) -> bool:
    """Return whether a packet holds a reference picture that is never shown.

    Only VP8 has such packets, for alternate references. In files of VP9 and AV1 a hidden picture
    shares a packet with a shown one (a superframe or a temporal unit).
    """
    return codec == "vp8" and packet.size > 0 and not memoryview(packet)[0] & _SHOW_FRAME


def _stamped(container: Any, stream: Any, said: list[str]) -> Iterator[Any]:
    """Yield the packets of a stream, each with a presentation time.

    A packet without one gets its decoding time, or else the time of the previous packet plus 1.
    FFmpeg's messages about damage are appended to `said`.
    """
    latest = -1
    remaining = packets(container, stream)
    while True:
        with _hearing(said):  # not around `yield`: the caller collects messages itself
            packet = next(remaining, None)
        if packet is None:
            return
        if packet.pts is None:
            packet.pts = latest + 1 if packet.dts is None else packet.dts
        latest = packet.pts
        yield packet


def _decoded(decoder: Any, packet: Any, said: list[str]) -> list[Any]:
    """Decode a packet, and return its pictures; the list is empty for a damaged packet.

    FFmpeg's messages about damage are appended to `said`. Raises NoMemoryError if memory is
    lacking.
    """
    try:
        with _hearing(said):
            return list(decoder.decode(packet))
    except MemoryError as error:
        raise NoMemoryError(_NO_MEMORY) from error
    except pyav().FFmpegError as error:
        said.append(str(error.strerror))
    return []


def _has_complained(said: list[str]) -> bool:
    """Empty `said`, and return whether it had messages of FFmpeg."""
    has_complained = bool(said)
    said.clear()
    return has_complained


@contextmanager
def _hearing(said: list[str]) -> Iterator[None]:
    """Append FFmpeg's messages about damage, as logged in this thread, to `said` on exit.

    An exception inside the context discards them.
    """
    with pyav().logging.Capture() as heard:
        yield
    said.extend(message for _, _, message in heard if not _HARMLESS.search(message))


def _reason(error: Any) -> str:
    if isinstance(error, MemoryError):  # also for too many streams
        return f"{_NO_MEMORY}, or with fewer than {_MAX_STREAMS} tracks"
    return f"is cut off or damaged ({error.strerror}); copy or export it again"


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put `name` before the message of a PictureError raised inside, unless it is there already."""
    try:
        yield
    except PictureError as error:
        sentence = str(error)
        if sentence.startswith(f"{name} "):
            raise
        raise type(error)(f"{name} {sentence}") from error.__cause__


def pyav() -> Any:
    """Return the module of PyAV, set up so that `_hearing` gets FFmpeg's messages.

    Raises PictureError if the extra is missing, LibraryError if it cannot be loaded.
    """
    if find_spec("av") is None:
        raise PictureError(f"is a film, which needs an extra: {install_command('clips')}")
    av = library("av")
    _let_tell(av)
    return av


@cache
def _let_tell(av: Any) -> None:
    """Make FFmpeg report damage to `_hearing`, and nowhere else."""
    log = logging.getLogger("libav")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # the same message about another film is new


def _pictures_of(container: Any) -> Any:
    """Return the first video stream that is not cover art.

    Raises PictureError if there is no such stream, or if its codec is not in CODECS.
    """
    cover = 0x0400 | 0x0800  # attached picture, timed thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise PictureError("has no pictures, only sound or text; check that it is the right file")
    decoder = streams[0].codec_context
    if decoder is None or decoder.name not in CODECS:
        name = "an unknown codec" if decoder is None else decoder.name
        raise PictureError(
            f"has pictures in {name}; they can be {', '.join(CODECS.values())}: convert it"
        )
    return streams[0]
