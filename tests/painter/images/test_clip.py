"""Clips are read frame by frame: every frame once, at its time, in its colors, from any number."""

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.painter.films import RATE, SIZE, Bytes, film, flat, pattern

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.clip import Clip, ClipLimits, Frame, frames, inspect, is_clip

LIMITS = ClipLimits(max_pixels=100_000, max_frames=100, max_seconds=60)

FILMS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"bf": "3", "g": "8"}},
    "h264-open.mkv": {"options": {"bf": "2", "g": "8", "x264-params": "open-gop=1"}},
    "h264-refresh.mkv": {"options": {"g": "6", "x264-params": "intra-refresh=1"}},
    "hevc-open.mov": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=8:open-gop=1:pools=none"},
    },
    "mpeg4.mov": {"codec": "mpeg4", "options": {"bf": "2", "g": "6"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lag-in-frames": "8", "cpu-used": "8"}},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "color_range": 2},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
}
ANIMATIONS = ("gif", "png", "webp", "avif")


def animation(path: Path, count: int = 20, durations: Any = 40, **options: Any) -> Path:
    pictures = [Image.fromarray(pattern(number)) for number in range(count)]
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".webp":
        options |= {"lossless": True}
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options
    )
    return path


def read(path: Path) -> tuple[Clip, list[Frame]]:
    """The description of a clip and all its frames, which agree."""
    clip, shown = inspect(path, LIMITS), list(frames(path, LIMITS))
    assert [frame.number for frame in shown] == list(range(clip.frames))
    assert {frame.pixels.shape for frame in shown} == {(clip.size[1], clip.size[0], 3)}
    ends = [frame.time + frame.duration for frame in shown]
    assert [frame.time for frame in shown] == [0, *ends[:-1]]
    assert clip.seconds == float(ends[-1])
    return clip, shown


def distance(pixels: Bytes, other: Bytes) -> float:
    return float(np.abs(pixels.astype(float) - other).mean())


def refusal(path: Path, limits: ClipLimits = LIMITS) -> str:
    with pytest.raises(PictureError) as refused:
        inspect(path, limits)
    with pytest.raises(PictureError) as later:
        list(frames(path, limits))
    assert str(later.value).split()[:2] == str(refused.value).split()[:2]
    assert str(refused.value).startswith(f"{path.name} ")
    return str(refused.value)


def starts_anywhere(path: Path, shown: list[Frame]) -> None:
    for number in range(len(shown)):
        frame = next(frames(path, LIMITS, number))
        assert (frame.number, frame.time) == (number, shown[number].time)
        assert frame.is_damaged == shown[number].is_damaged
        assert (frame.pixels == shown[number].pixels).all(), number
    assert list(frames(path, LIMITS, len(shown))) == []


@pytest.mark.parametrize("name", FILMS)
def test_every_frame_of_a_film_is_read_from_any_number(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, **FILMS[name])
    clip, shown = read(path)
    assert is_clip(path)
    assert (clip.size, clip.frames, clip.seconds, clip.has_audio) == (SIZE, 20, 0.8, False)
    assert not any(frame.is_damaged for frame in shown)
    for frame in shown:
        distances = [distance(frame.pixels, pattern(number)) for number in range(20)]
        assert np.argmin(distances) == frame.number and min(distances) < 9
        assert frame.duration == Fraction(1, RATE)
    starts_anywhere(path, shown)


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_every_frame_of_an_animation_is_read_from_any_number(tmp_path: Path, kind: str) -> None:
    path = animation(tmp_path / f"a.{kind}", durations=[40, 70] * 10)
    clip, shown = read(path)
    assert is_clip(path)
    assert (clip.size, clip.frames, clip.seconds) == (SIZE, 20, 1.1)
    for frame in shown:
        distances = [distance(frame.pixels, pattern(number)) for number in range(20)]
        assert np.argmin(distances) == frame.number and min(distances) < 4
        assert frame.duration == Fraction(7 if frame.number % 2 else 4, 100)
    starts_anywhere(path, shown)
    assert "is more than" not in refusal(path, ClipLimits(100_000, 19, 60))
