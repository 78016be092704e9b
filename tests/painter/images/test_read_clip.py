"""Clips are read frame by frame, from any frame on: each once, at its time, in its colors."""

import hashlib
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.painter.films import RATE, SIZE, film, flat, pattern, with_hidden
from tests.painter.light import coded_in

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import read_clip
from stylewatch_painter.images.clip import Clip, ClipLimits, Frame
from stylewatch_painter.images.encoding import of_numbers
from stylewatch_painter.images.read import Picture, picture_of
from stylewatch_painter.images.read_clip import (
    colored_like,
    first_picture,
    frames,
    inspect,
    is_clip,
)
from stylewatch_painter.stage import Bytes

LIMITS = ClipLimits(max_pixels=100_000, max_frames=100)

FILMS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"bf": "3", "g": "8"}},
    "hevc-open.mov": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=8:open-gop=1:pools=none"},
    },
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lag-in-frames": "8", "cpu-used": "8"}},
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
    """The description of a clip, and all its frames, whose number and size must agree with it."""
    clip, shown = inspect(path, LIMITS), list(frames(path, LIMITS))
    assert [frame.number for frame in shown] == list(range(clip.frames))
    assert {frame.pixels.shape for frame in shown} == {(clip.size[1], clip.size[0], 3)}
    assert min(durations(clip)) > 0
    return clip, shown


def times(clip: Clip) -> list[Fraction]:
    """The times of the frames in seconds after the first."""
    return [time - clip.times[0] for time in clip.times[:-1]]


def durations(clip: Clip) -> list[Fraction]:
    return [after - before for before, after in pairwise(clip.times)]


def distance(pixels: Bytes, other: Bytes) -> float:
    return float(np.abs(pixels.astype(float) - other).mean())


def refusal(path: Path, limits: ClipLimits = LIMITS) -> str:
    with pytest.raises(PictureError) as refused:
        inspect(path, limits)
    with pytest.raises(PictureError, match=path.name):
        list(frames(path, limits))
    assert str(refused.value).startswith(f"{path.name} ")
    return str(refused.value)


def starts_anywhere(path: Path, shown: list[Frame]) -> None:
    for number in range(len(shown)):
        frame = next(frames(path, LIMITS, number))
        assert frame.number == number
        assert frame.is_damaged == shown[number].is_damaged
        assert (frame.pixels == shown[number].pixels).all(), number
    assert list(frames(path, LIMITS, len(shown))) == []


@pytest.mark.parametrize("name", [*FILMS, *(f"a.{kind}" for kind in ANIMATIONS)])
def test_every_frame_is_read_from_any_number(tmp_path: Path, name: str) -> None:
    path, is_film = tmp_path / name, name in FILMS
    if is_film:
        film(path, **FILMS[name])
    else:
        animation(path, durations=[40, 70] * 10)
    clip, shown = read(path)
    assert is_clip(path)
    assert (clip.size, clip.frames) == (SIZE, 20)
    expected = [Fraction(1, RATE)] * 20 if is_film else [Fraction(4, 100), Fraction(7, 100)] * 10
    assert durations(clip) == expected
    assert not any(frame.is_damaged for frame in shown)
    for frame in shown:
        distances = [distance(frame.pixels, pattern(number)) for number in range(20)]
        assert np.argmin(distances) == frame.number
        assert min(distances) < (9 if is_film else 4)
    starts_anywhere(path, shown)


def test_a_picture_that_is_never_shown_is_no_frame(tmp_path: Path) -> None:
    path = with_hidden(tmp_path / "a.webm", 8)
    clip, shown = read(path)
    assert durations(clip) == [Fraction(1, RATE)] * 20
    assert not any(frame.is_damaged for frame in shown)
    whole = read(tmp_path / "whole.webm")[1]
    for frame, wanted in zip(shown, whole, strict=True):
        assert (frame.pixels == wanted.pixels).all()
    starts_anywhere(path, shown)


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    """Pictures of animations with a very short duration get the duration that browsers use."""
    uneven = [0, 40, 55, 200, 201, 900]
    for ending in ("mp4", "mkv"):
        path = film(tmp_path / f"a.{ending}", frames=6, ticks=uneven, time_base=Fraction(1, 1000))
        assert [time * 1000 for time in times(read(path)[0])] == uneven
    late = film(tmp_path / "late.mkv", frames=3, ticks=[10, 11, 12], sound="aac")
    assert read(late)[0].times == tuple(Fraction(number, 25) for number in (10, 11, 12, 13))
    short = animation(tmp_path / "a.gif", 4, durations=[0, 10, 20, 2000])
    assert durations(read(short)[0]) == [Fraction(1, 10), Fraction(1, 10), Fraction(1, 50), 2]


def test_a_tag_that_is_not_in_utf_8_changes_nothing(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", frames=2)
    clip, content = inspect(path, LIMITS), path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"L\xe4vf"))
    assert inspect(path, LIMITS) == clip


def test_films_are_turned_upright_and_their_pixels_become_square(tmp_path: Path) -> None:
    turns: list[tuple[Any, Any]] = [
        ((90, False, False), np.rot90),
        ((0, False, True), np.flipud),
        ((90, True, False), lambda pixels: np.fliplr(np.rot90(pixels))),
    ]
    for rotate, upright in turns:
        clip, shown = read(film(tmp_path / "a.mov", frames=1, rotate=rotate))
        wanted = upright(pattern(0))
        assert clip.size == wanted.shape[1::-1] and distance(shown[0].pixels, wanted) < 9
        assert clip.converted[0] == "turned upright (display matrix)"
    clip, shown = read(film(tmp_path / "a.mp4", frames=2, sample_aspect_ratio=Fraction(4, 3)))
    assert clip.size == (85, 48)
    assert clip.converted[0] == "pixels of 4:3 to square ones"
    wanted = np.asarray(Image.fromarray(pattern(1)).resize(clip.size, Image.Resampling.BICUBIC))
    assert distance(shown[1].pixels, wanted) < 9


COLOR = (190, 70, 40)


LIMITED = "as BT.2020 in limited range,"


@pytest.mark.parametrize(
    ("pix_fmt", "numbers", "matrix", "range_", "phrases"),
    [
        ("yuv420p", (1, 1), 5, 1, ["BT.601 in limited range to sRGB"]),
        ("yuv444p", (1, 1), 1, 2, ["BT.709 in full range to sRGB"]),
        ("yuv422p10le", (1, 1), 9, 1,
         ["10 bits a channel to 8", "BT.2020 in limited range to sRGB"]),
        ("yuv444p", (9, 16), 9, 1, [f"BT.2020 PQ, {LIMITED} mapped to the range of sRGB"]),
        ("yuv444p10le", (9, 18), 9, 1,
         ["10 bits a channel to 8", f"BT.2020 HLG, {LIMITED} mapped to the range of sRGB"]),
        ("yuv444p", (12, 1), 9, 1, [f"Display P3, {LIMITED} to sRGB"]),
    ],
)  # fmt: skip
def test_colors_are_converted_as_the_file_states(
    tmp_path: Path, pix_fmt: str, numbers: tuple[int, int], matrix: int, range_: int,
    phrases: list[str],
) -> None:  # fmt: skip
    """`numbers` are the numbers of the primaries and of the transfer function."""
    meaning = of_numbers(*numbers)
    signal = COLOR if meaning.is_srgb else np.rint(255 * coded_in(meaning, np.array(COLOR) / 255))
    stated: dict[str, Any] = {"pix_fmt": pix_fmt, "colorspace": matrix, "color_range": range_}
    if not meaning.is_srgb:
        stated |= {"color_primaries": numbers[0], "color_trc": numbers[1]}
    path = film(tmp_path / "a.mkv", "ffv1", frames=[flat(signal)], **stated)
    clip, shown = read(path)
    away = np.abs(shown[0].pixels.astype(int) - COLOR).max()
    assert away <= (2 if meaning.is_srgb else 9), "8 bits are few for HDR"
    assert sorted(clip.converted) == phrases


@pytest.mark.parametrize(("height", "name"), [(576, "BT.601"), (578, "BT.709")])
def test_colors_that_are_not_stated_go_by_the_height(
    tmp_path: Path, height: int, name: str
) -> None:
    """The film is encoded by BT.601, and the file does not say so."""
    path = film(tmp_path / "a.mp4", frames=[flat(COLOR, (16, height))], options={"crf": "1"})
    clip, shown = read(path)
    is_right = np.abs(shown[0].pixels.astype(int) - COLOR).max() <= 3
    assert is_right == (name == "BT.601")
    assert clip.converted == (f"{name} (not stated) in limited range to sRGB",)


def test_colors_that_nobody_converts_are_refused(tmp_path: Path) -> None:
    odd = film(tmp_path / "b.mkv", frames=2, options={"x264-params": "colormatrix=ICtCp"})
    assert "has colors that cannot be converted" in refusal(odd)


def test_transparent_parts_are_laid_over_white(tmp_path: Path) -> None:
    pixels = flat((*COLOR, 255))
    pixels[:, :32, 3] = 51
    animated = tmp_path / "a.webp"
    still, mirrored = Image.fromarray(pixels), Image.fromarray(pixels[:, ::-1])
    still.save(animated, save_all=True, append_images=[mirrored, still], lossless=True)
    for path in (film(tmp_path / "a.mov", "qtrle", frames=[pixels], pix_fmt="argb"), animated):
        clip, shown = read(path)
        assert np.abs(shown[-1].pixels[24, 48].astype(int) - COLOR).max() <= 4
        assert np.abs(shown[-1].pixels[24, 8].astype(int) - (242, 218, 212)).max() <= 4
        assert clip.converted[-1] == "transparent parts laid over white"
    first = first_picture(animated, LIMITS, clip)
    assert np.array_equal(first.pixels, shown[0].pixels)
    assert first.sha256 == hashlib.sha256(animated.read_bytes()).hexdigest()


def test_gray_of_16_bits_is_rounded_to_8(tmp_path: Path) -> None:
    levels = [np.full((48, 64), level, np.uint16) for level in (257 * 40 + 100, 257 * 200)]
    first, second = map(Image.fromarray, levels)
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    clip, shown = read(tmp_path / "a.png")
    assert [frame.pixels.mean() for frame in shown] == [40, 200]
    assert clip.converted == ("16 bits a channel to 8",)


def test_what_is_a_clip_goes_by_content(tmp_path: Path) -> None:
    picture = Image.fromarray(pattern(0))
    for kind in (*ANIMATIONS, "jpg", "tif", "bmp"):
        picture.save(tmp_path / f"still.{kind}")
        assert not is_clip(tmp_path / f"still.{kind}")
    (tmp_path / "head.gif").write_bytes(b"GIF8")
    for name in ("head.gif", "", "missing"):
        assert not is_clip(tmp_path / name)
    animation(tmp_path / "a.gif").rename(tmp_path / "a.jpg")
    assert is_clip(tmp_path / "a.jpg")
    assert "is not a clip; clips can be MP4, MOV," in refusal(tmp_path / "still.jpg")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\0\0\0\x18ftypcrx ", "is camera raw|is cut off"),
        (b"\0\0\0\x18ftypqt  ", "is a film"),
        (b"\0\0\0\x08wide", "is a film"),
        (b"\x1a\x45\xdf\xa3", "is a film"),
    ],
)
def test_a_film_is_a_film_as_a_picture_too(tmp_path: Path, head: bytes, what: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(head + bytes(16))
    assert is_clip(path) == (what == "is a film")
    with pytest.raises(PictureError, match=what):
        picture_of("a", path.read_bytes())


def chosen(path: Path, shown: list[Bytes]) -> tuple[Picture, Picture]:
    """The first frame of a film of these frames, and the picture with the colors of the film."""
    film(path, "ffv1", frames=shown, pix_fmt="bgr0")
    clip = inspect(path, LIMITS)
    first = first_picture(path, LIMITS, clip)
    return first, colored_like(path, LIMITS, clip, first)


@pytest.mark.parametrize("after", [lambda _: None, os.mkfifo])
def test_a_clip_that_is_taken_away_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: Callable[[Path], None]
) -> None:
    """A pipe in its place is not waited for (law 11)."""
    path = animation(tmp_path / "a.gif", 3)
    clip = inspect(path, LIMITS)
    opening = list(frames(path, LIMITS))
    path.unlink()
    after(path)
    monkeypatch.setattr(read_clip, "frames", lambda *_: iter(opening))
    with pytest.raises(PictureError, match=r"a\.gif is (not there|a pipe)"):
        first_picture(path, LIMITS, clip)


def test_the_colors_of_a_clip_are_not_those_of_a_fade(tmp_path: Path) -> None:
    """The first frame decides, unless others show twice as much; then a typical one does."""
    full = [pattern(number) for number in range(24)]
    lit = [min(1, number / 8) for number in range(24)]
    fade = [(light * each).astype(np.uint8) for light, each in zip(lit, full, strict=True)]
    for start in (0, 1, 2):
        first, typical = chosen(tmp_path / "fade.mkv", fade[start:])
        assert any((typical.pixels == each).all() for each in full[8:]), start
        assert typical.sha256 == first.sha256 and not typical.warnings
    title = [flat((20, 30, 160))] * 6 + full
    assert any((chosen(tmp_path / "title.mkv", title)[1].pixels == each).all() for each in full)
    night = [(each / 8).astype(np.uint8) for each in full]
    for shown in (full[:1], full, full[:3] + [flat((0, 0, 0))] * 20, night):
        first, typical = chosen(tmp_path / "sound.mkv", shown)
        assert typical is first


def test_a_clip_with_no_colors_to_take_is_told(tmp_path: Path) -> None:
    first, typical = chosen(tmp_path / "black.mkv", [flat((0, 0, 0))] * 12)
    assert typical.pixels is first.pixels
    (warning,) = typical.warnings
    assert warning.startswith("black.mkv shows one color alone")


def test_clips_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    for path in (film(tmp_path / "a.mp4"), animation(tmp_path / "a.gif")):
        assert inspect(path, ClipLimits(64 * 48, 20)).frames == 20
        assert "has more than 19 frames" in refusal(path, ClipLimits(9999, 19))
        assert "(limits.max_frames): cut it" in refusal(path, ClipLimits(9999, 19))
        assert "is 3,072 pixels; the limit is 3,071 pixels" in refusal(path, ClipLimits(3071, 20))
    long = animation(tmp_path / "a.webp", 6, durations=2**24 - 1)
    with pytest.raises(PictureError, match=r"a\.webp is 100,663\.3 s long; the limit is 86,400 s"):
        inspect(long, LIMITS)


def test_a_missing_extra_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", frames=2)
    monkeypatch.setitem(sys.modules, "av", None)
    assert is_clip(path)
    assert "a.mp4 is a film, which needs an extra: " in refusal(path)
    assert refusal(path).endswith("[clips]'`")
    gif = animation(tmp_path / "a.gif")
    assert len(list(frames(gif, LIMITS))) == 20
    assert inspect(gif, LIMITS).frames == 20
    monkeypatch.setitem(sys.modules, "cv2", None)  # which finds the motion between its frames
    with pytest.raises(PictureError, match=r"a\.gif is a clip, which needs an extra: .*\[clips\]"):
        inspect(gif, LIMITS)
