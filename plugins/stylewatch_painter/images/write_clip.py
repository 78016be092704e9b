"""Writing of clips: segments of frames, and films that are joined from them with their sound."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

from stylewatch_painter.images import film, video_color
from stylewatch_painter.images.clip import CLOCK
from stylewatch_painter.images.film import pyav
from stylewatch_painter.images.flow import LONGEST_SIDE
from stylewatch_painter.stage import Bytes

Format = Literal["mp4", "webm", "mkv"]
"""File format of a clip: mp4 with H.264 that plays in every browser, webm with VP9, or mkv with the
lossless FFV1."""


@dataclass(frozen=True)
class _Output:
    """Encoder settings of a format, and the audio codecs that it can hold.

    `container`, `encoder`, `pixels` (the pixel format), `options` and `sound` are in FFmpeg's
    terms. `sound` is None for every codec that FFmpeg supports in the container. `longest` is the
    longest side in pixels. The options rule out B-frames, so that segments can be joined. With the
    single thread of `write_segment`, a frame has the same bytes on any number of cores.
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

_LEAST_CLOCK = 1000
_LEVEL_RATE = 30  # frames per second of segments, by which H.264 chooses its level


def longest_side(format: Format) -> int:
    """Return the longest side of clips in a format, in pixels."""
    return _OUTPUTS[format].longest


def write_segment(
    path: Path, frames: Iterable[Bytes], format: Format, quality: int
) -> Iterator[None]:
    """Encode uint8 sRGB frames (height, width, 3) as a segment, and yield after each frame.

    The segment is the file `path`, for `join`, and starts with a key frame. It is complete when the
    generator ends. `quality` is 1 to 100, and has no effect for FFV1, which is lossless. Sides must
    be even, except for FFV1.
    """
    output = _OUTPUTS[format]
    crf = {"libx264": 10 + 0.4 * (100 - quality), "libvpx-vp9": 12 + 0.5 * (100 - quality)}
    options = dict(output.options)
    if output.encoder in crf:
        options["crf"] = str(round(crf[output.encoder]))
    with pyav().open(
        f"file:{path}", "w", format="matroska", container_options={"fflags": "+bitexact"}
    ) as container:
        stream = container.add_stream(output.encoder, rate=_LEVEL_RATE, options=options)
        stream.pix_fmt = output.pixels
        stream.codec_context.thread_count = 1
        video_color.tag(stream.codec_context)
        for number, pixels in enumerate(frames):
            if number == 0:
                stream.height, stream.width, _ = pixels.shape
            picture = video_color.from_srgb(pixels, output.pixels)
            picture.pts = number
            picture.time_base = Fraction(1, _LEVEL_RATE)
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
    """Join segments to the file `target` without encoding them again, and return warnings.

    `times` are the start times of the frames and the end time of the last one, in seconds. If
    `sound` is a film, its first sound track between the first and the last of `times` is copied,
    unless the format cannot hold it. The warnings are sentences about sound that is left out.
    Raises ValueError if the number of frames in the segments does not match the number of times.
    """
    output = _OUTPUTS[format]
    av = pyav()
    try:
        return _joined(target, segments, times, output, sound)
    except (av.ArgumentError, av.InvalidDataError):  # for example MP3 of a low rate in MP4
        if sound is None:
            raise
    return (*_joined(target, segments, times, output, None), _sound_warning(output, "it"))


def _sound_warning(output: _Output, sound: str) -> str:
    """Return the warning that the format of an output cannot hold `sound`, which is left out."""
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
    rate = min(finest, CLOCK)
    options = {"fflags": "+bitexact"}
    if output.container == "mp4":  # put the index first, so that the film can play while it loads
        clocks = {"video_track_timescale": str(rate), "movie_timescale": str(rate)}
        options |= {"movflags": "+faststart", **clocks}
    warnings: list[str] = []
    with pyav().open(
        f"file:{target}", "w", format=output.container, container_options=options
    ) as container:
        with _opened(segments[0]) as source:
            stream = container.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, rate)
        heard: Iterable[Any] = ()
        if sound is not None and film.is_film(sound):
            heard = _rising(_sound(sound, container, output, times, warnings))
        # merging reads the first packet of both streams before the header is written
        pictures = _timed(segments, times, stream)
        for packet in merge(pictures, heard, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return tuple(warnings)


def _opened(segment: Path) -> Any:
    return pyav().open(f"file:{segment}", "r", format="matroska")


def _timed(segments: Iterable[Path], times: Sequence[Fraction], target: Any) -> Iterator[Any]:
    """Yield the packets of segments for the stream `target`, at the times of their frames.

    Raises ValueError if the number of packets does not match the number of times.
    """

    def of(segment: Path) -> Iterator[Any]:
        with _opened(segment) as container:
            yield from film.packets(container, container.streams.video[0])

    unit = target.time_base
    # round half up: `round` would give 1.5 and 2.5 the same tick
    ticks = [math.floor((time - times[0]) / unit + Fraction(1, 2)) for time in times]
    every = chain.from_iterable(map(of, segments))
    for packet, (tick, following) in zip(every, pairwise(ticks), strict=True):
        packet.stream = target
        packet.time_base = unit
        packet.pts = packet.dts = tick
        packet.duration = following - tick
        yield packet


def _sound(
    path: Path, container: Any, output: _Output, times: Sequence[Fraction], warnings: list[str]
) -> Iterator[Any]:
    """Add a film's first sound track to `container`, and yield its packets between `times`.

    Sound that the format cannot hold is left out, with a sentence in `warnings`. A film without
    sound between `times` adds no track.
    """
    with film.named(path.name), film.opened(path) as (source, _):
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
        first = next(packets, None)
        if first is None:  # the track is silent between the pictures
            return
        target = container.add_stream_from_template(tracks[0])
        for packet in chain([first], packets):
            packet.stream = target
            yield packet


def _during(source: Any, track: Any, times: Sequence[Fraction], *, early: bool) -> Iterator[Any]:
    """Yield the packets of a track between the first and the last of `times`.

    Their times are shifted so that the first of `times` is 0. With `early` a packet that begins
    before the pictures is included if it does not end before them.
    """
    shift = round(times[0] / track.time_base)
    end = times[-1] - times[0]
    for packet in film.packets(source, track):
        if packet.pts is None or packet.dts is None:
            continue
        packet.pts = packet.pts - shift
        packet.dts = packet.dts - shift
        if packet.pts * track.time_base >= end:
            return
        if packet.pts + ((early and packet.duration) or 0) >= 0:
            yield packet


def _rising(packets: Iterable[Any]) -> Iterator[Any]:
    """Yield packets, delayed if needed so that their times increase, as muxers require."""
    last: int | None = None
    for packet in packets:
        if last is not None and packet.dts <= last:
            packet.dts = last + 1
            packet.pts = max(packet.pts, packet.dts)
        last = packet.dts
        yield packet
