"""Clips are written in segments; joined, they keep frames, times and sound, in the same bytes."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
from tests.painter.films import SIZE, film, pattern
from tests.painter.images.test_read_clip import LIMITS, animation, durations, read, times

from stylewatch_painter.images.read_clip import inspect
from stylewatch_painter.images.write_clip import Format, join, write_segment
from stylewatch_painter.stage import Bytes

FORMATS: tuple[Format, ...] = get_args(Format)
COUNT = 12
NTSC: dict[str, Any] = {"ticks": range(0, 1001 * COUNT, 1001), "time_base": Fraction(1, 30_000)}
UNEVEN: dict[str, Any] = {
    "ticks": (0, 40, 55, 200, 201, 900, *range(2900, 3500, 100)), "time_base": Fraction(1, 1000)
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return film(tmp_path / "source.mp4", frames=COUNT, **NTSC)


def made(count: int = COUNT, size: tuple[int, int] = SIZE) -> list[Bytes]:
    return [pattern(number, size) for number in range(count)]


def joined(
    folder: Path, format: Format, source: Path, shown: list[Bytes] | None = None, parts: int = 3
) -> tuple[Path, tuple[str, ...]]:
    """Write the first frames of a source again, by default COUNT frames of the pattern."""
    shown = made() if shown is None else shown
    folder.mkdir(exist_ok=True)
    size = -(-len(shown) // parts)
    segments = [folder / f"{number}.part" for number in range(parts)]
    for number, path in enumerate(segments):
        part = shown[number * size : (number + 1) * size]
        assert len([*write_segment(path, iter(part), format, 90)]) == len(part)
    target = folder / f"joined.{format}"
    times_of_source = inspect(source, LIMITS).times[: len(shown) + 1]
    return target, join(target, segments, times_of_source, format, source)


def packets(path: Path, kind: str) -> list[Any]:
    """Codec, times in seconds and contents of the packets of a kind."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [
            (stream.codec_context.name, float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def has_sound(path: Path) -> bool:
    with av.open(str(path)) as container:
        return bool(container.streams.audio)


@pytest.mark.parametrize("kind", ["ntsc", "uneven", "animation"])
@pytest.mark.parametrize("format", FORMATS)
def test_frames_come_back_at_the_times_of_the_source(
    tmp_path: Path, format: Format, kind: str
) -> None:
    if kind == "animation":
        source = animation(tmp_path / "a.gif", COUNT, durations=[100, 40, 60, 200] * 3)
    else:
        clock = NTSC if kind == "ntsc" else UNEVEN
        source = film(tmp_path / "source.mkv", frames=COUNT, **clock)
    path, warnings = joined(tmp_path, format, source)
    clip, shown = read(path)
    wanted = inspect(source, LIMITS)
    assert warnings == ()
    exact = 0 if format == "mp4" else Fraction(1, 1000)  # MKV counts milliseconds
    for each, other in zip(durations(clip), durations(wanted), strict=True):
        assert abs(each - other) <= 2 * exact
    for each, other in zip(times(clip), times(wanted), strict=True):
        assert abs(each - other) <= exact
    for frame in shown:
        difference = np.abs(frame.pixels.astype(int) - pattern(frame.number)).mean()
        assert difference == 0 if format == "mkv" else difference < 6
    colors = () if format == "mkv" else ("BT.709 in limited range to sRGB",)
    assert clip.converted == colors


@pytest.mark.parametrize("format", FORMATS)
def test_a_clip_has_the_same_bytes_each_time(tmp_path: Path, format: Format) -> None:
    """Neither the number of cores nor the names of the files change the bytes."""
    sound, shown = film(tmp_path / "s.mp4", sound="aac"), made(6, (640, 480))
    first = joined(tmp_path / "a", format, sound, shown)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        again = joined(tmp_path / "b", format, sound, shown)
    finally:
        os.sched_setaffinity(0, cores)
    assert first[0].read_bytes() == again[0].read_bytes()


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_colors_and_codec_are_those_that_browsers_play(
    tmp_path: Path, format: Format, source: Path
) -> None:
    path, _ = joined(tmp_path, format, source)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ({"mp4": "h264"}.get(format, "vp9"), "yuv420p")
        assert (context.colorspace, context.color_range) == (1, 1)
        assert not stream.metadata.get("encoder") and "creation_time" not in container.metadata
        assert [packet.is_keyframe for packet in container.demux(stream)][:10:4] == [True] * 3
    data = path.read_bytes()
    assert format == "webm" or data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("format", "name", "sound", "codec"),
    [
        ("mp4", "a.mp4", "aac", "aac"),
        ("webm", "a.webm", "libopus", "opus"),
        ("mkv", "a.mov", "pcm_s16le", "pcm_s16le"),
    ],
)
def test_sound_is_copied_where_it_can_be(
    tmp_path: Path, format: Format, name: str, sound: str, codec: str
) -> None:
    video = "libvpx" if name.endswith("webm") else "libx264"
    original = film(tmp_path / name, video, frames=40, sound=sound)
    path, warnings = joined(tmp_path, format, original)
    assert read(path)[0].frames == 12
    assert warnings == ()
    copied, before = packets(path, "audio"), packets(original, "audio")
    end = COUNT / 25
    assert -0.03 < copied[0][1] <= 0 and end - 0.03 < copied[-1][1] < end
    contents, kept = ([content for _, _, content in each] for each in (before, copied))
    at = contents.index(kept[0])
    assert at <= 1 and contents[at : at + len(kept)] == kept


@pytest.mark.parametrize(
    ("format", "name", "sound", "rate", "reason"),
    [
        ("mp4", "a.mkv", "libmp3lame", 11_025, "mp4 cannot hold it; clip.format: mkv holds more"),
        ("webm", "a.mp4", "aac", 48_000, "webm cannot hold AAC"),
        ("mkv", "a.mov", "pcm_mulaw", 8_000, "matroska cannot hold PCM mu-law / G.711 mu-law"),
        ("mkv", "a.mp4", "aac", 48_000, "its codec is unknown"),
    ],
)
def test_sound_that_cannot_be_kept_is_left_out_with_a_warning(
    tmp_path: Path, format: Format, name: str, sound: str, rate: int, reason: str
) -> None:
    original = film(tmp_path / name, sound=sound, sound_rate=rate)
    if "unknown" in reason:
        data = original.read_bytes().replace(b"mp4a", b"apac").replace(b"esds", b"dapa")
        original.write_bytes(data)
    path, (warning,) = joined(tmp_path, format, original)
    assert warning.startswith(f"the sound is left out, as {reason}")
    assert ("clip.format: mkv" in warning) == (format != "mkv")
    assert read(path)[0].frames == COUNT and not has_sound(path)


@pytest.mark.parametrize("format", FORMATS)
def test_sound_begins_with_the_first_frame(tmp_path: Path, format: Format) -> None:
    """The original has half a second of sound before its pictures."""
    late = film(tmp_path / "late.mkv", frames=20, ticks=range(13, 33), sound="libopus")
    path, _ = joined(tmp_path, format, late)
    before, after = packets(late, "audio"), packets(path, "audio")
    times = {content: time for _, time, content in before}
    for _, time, content in after:
        assert abs(times[content] - 0.52 - time) < 0.015
    assert len(after) >= 14
    assert packets(path, "video")[0][1] <= 0.02


def test_no_frame_is_lost_between_segments(tmp_path: Path, source: Path) -> None:
    segments = [tmp_path / "a", tmp_path / "b"]
    for path in segments:
        assert len([*write_segment(path, made(3), "mp4", 90)]) == 3
    for count in (5, 7):
        with pytest.raises(ValueError, match="zip"):
            join(tmp_path / "a.mp4", segments, inspect(source, LIMITS).times[: count + 1], "mp4")
