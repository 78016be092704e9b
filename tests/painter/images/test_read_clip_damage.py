"""Clips that are damaged, odd or hostile are refused with a sentence, or keep all their frames."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from tests.painter.films import film, pattern
from tests.painter.images.test_read_clip import (
    LIMITS,
    animation,
    read,
    refusal,
    starts_anywhere,
)

from stylewatch_painter.images import read_clip

TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box_at(data: bytes, *kinds: bytes) -> int:
    """The position of a box of an MP4, by the kinds of the boxes around it and its own kind."""
    at = start = 0
    for kind in kinds:
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4])
        start, at = at, at + 8
    return start


def put(data: bytes, at: int, *numbers: int) -> bytes:
    new = struct.pack(f">{len(numbers)}I", *numbers)
    return data[:at] + new + data[at + len(new) :]


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A film of 20 frames, with B-frames and key frames at 0, 8 and 16."""
    options = {"bf": "2", "g": "8", "sc_threshold": "0"}
    return film(tmp_path_factory.mktemp("film") / "a.mp4", options=options).read_bytes()


def written(tmp_path: Path, data: bytes, name: str = "a.mp4") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def sample_at(data: bytes, number: int) -> int:
    """The position of a sample of an MP4 whose samples lie in one chunk."""
    sizes = box_at(data, *TABLE, b"stsz") + 20
    table: tuple[int, ...] = struct.unpack_from(f">{number}I", data, sizes)
    return box_at(data, b"mdat") + 8 + sum(table)


def test_a_damaged_end_costs_no_frame(tmp_path: Path, mp4: bytes) -> None:
    at, end = sample_at(mp4, 17), sample_at(mp4, 20)
    clip, shown = read(written(tmp_path, mp4[:at] + bytes(end - at) + mp4[end:]))
    assert clip.frames == 20 and shown[19].is_damaged


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("a.mp4", {"movflags": "faststart"}),
        ("a.mov", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", {}),
        ("a.webm", {"cues_to_front": "1"}),
    ],
)
def test_a_film_without_its_end_is_refused(
    tmp_path: Path, name: str, container: dict[str, str]
) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    data = film(tmp_path / name, codec, options={"g": "8"}, container=container).read_bytes()
    for length in (len(data) * 3 // 5, len(data) - 400):
        sentence = refusal(written(tmp_path, data[:length], name))
        assert sentence.startswith(f"{name} is cut off or damaged ({length:,} of ")
    assert read(written(tmp_path, data + b"a trailer of the camera", name))[0].frames == 20


def test_a_film_of_unknown_length_is_read(tmp_path: Path) -> None:
    """A recording that was broken off, or a stream, has no known length."""
    data = film(tmp_path / "a.mkv", container={"live": "1"}, options={"g": "8"}).read_bytes()
    assert 5 < read(written(tmp_path, data[: len(data) * 3 // 5], "a.mkv"))[0].frames < 20


def test_a_damaged_packet_costs_its_frame_alone(tmp_path: Path, mp4: bytes) -> None:
    at = sample_at(mp4, 5)
    path = written(tmp_path, mp4[:at] + b"\xff" * 12 + mp4[at + 12 :])
    clip, shown = read(path)
    damaged = [frame.number for frame in shown if frame.is_damaged]
    assert clip.frames == 20 and 1 <= len(damaged) <= 4
    for number in damaged:
        assert (shown[number].pixels == shown[number - 1].pixels).all()
    starts_anywhere(path, shown)


def test_frames_after_damage_are_doubtful_up_to_the_next_whole_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    path = film(
        tmp_path / "a.mp4", frames=[*noise], options={"g": "10", "bf": "0", "sc_threshold": "0"}
    )
    data = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    middle = data.index(bytes(packets[4])) + packets[4].size // 2
    path.write_bytes(data[:middle] + b"\xa5" * 900 + data[middle + 900 :])
    shown = [*read_clip.frames(path, LIMITS)]
    doubtful = [frame.number for frame in shown if frame.is_doubtful or frame.is_damaged]
    assert {*range(5, 10)} <= {*doubtful} <= {*range(3, 10)}


def test_what_was_said_of_one_film_is_said_of_the_next(tmp_path: Path, mp4: bytes) -> None:
    for name in ("a.mkv", "b.mkv"):
        data = film(tmp_path / name, frames=30).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2] + bytes(900) + data[len(data) // 2 :])
        assert read_clip.inspect(tmp_path / name, LIMITS).warnings


def test_damage_of_a_first_picture_that_comes_out_late_is_told(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:keyint=20:bframes=3:pools=none"}
    path = film(tmp_path / "a.mp4", "libx265", options=options)
    data = path.read_bytes()
    with av.open(str(path)) as container:
        first = bytes(next(container.demux(video=0)))
    middle = data.index(first) + len(first) // 3
    path.write_bytes(data[:middle] + b"\xff" * 200 + data[middle + 200 :])
    assert read_clip.inspect(path, LIMITS).warnings
    shown = [*read_clip.frames(path, LIMITS)]
    assert sum(frame.is_doubtful or frame.is_damaged for frame in shown) >= 18


def test_a_damaged_first_frame_shows_the_next(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mov", "mjpeg", pix_fmt="yuvj420p", color_range=2, frames=3)
    data = path.read_bytes()
    at, end = sample_at(data, 0), sample_at(data, 1)
    written(tmp_path, data[:at] + bytes(end - at) + data[end:], "a.mov")
    _, shown = read(path)
    assert [frame.is_damaged for frame in shown] == [True, False, False]
    assert (shown[0].pixels == shown[1].pixels).all()


def test_an_edit_list_hides_frames(tmp_path: Path, mp4: bytes) -> None:
    """Frames before its start are decoded, because other frames need them, but not shown."""
    elst = box_at(mp4, b"moov", b"trak", b"edts", b"elst")
    start = int.from_bytes(mp4[elst + 20 : elst + 24])
    path = written(tmp_path, put(mp4, elst + 16, 17 * 40, start + 3 * 512))
    clip, shown = read(path)
    assert clip.frames == 17
    assert np.abs(shown[0].pixels.astype(int) - pattern(3)).mean() < 9
    starts_anywhere(path, shown)


def test_frames_at_one_time_keep_their_number(tmp_path: Path) -> None:
    data = film(tmp_path / "b.mp4", options={"bf": "0"}).read_bytes()
    path = written(tmp_path, put(data, box_at(data, *TABLE, b"stts") + 16, 20, 0))
    clip, shown = read(path)
    assert clip.frames == 20
    starts_anywhere(path, shown)


def many_frames(mp4: bytes) -> bytes:
    """Claim 2000 frames of a byte each."""
    sizes, times = (box_at(mp4, *TABLE, kind) for kind in (b"stsz", b"stts"))
    chunks = box_at(mp4, *TABLE, b"stsc")
    return put(put(put(mp4, sizes + 12, 1, 2000), times + 16, 2000, 512), chunks + 16, 1, 2000)


def zeros(mp4: bytes) -> bytes:
    """Let all samples be zeros."""
    at, end = box_at(mp4, b"mdat") + 8, box_at(mp4, b"moov")
    return mp4[:at] + bytes(end - at) + mp4[end:]


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "zeros for frames": (zeros, "has no frame that can be decoded"),
    "more frames than the limit": (many_frames, "more than 100 frames"),
    "no index": (lambda mp4: mp4[: box_at(mp4, b"moov")], "is cut off or damaged (Invalid data"),
    "a head of GIF": (lambda mp4: b"GIF89a" + mp4, "has too many pixels"),
    "no pictures": (lambda mp4: mp4.replace(b"vide", b"soun"), "has no pictures, only sound or"),
    "an odd codec": (lambda mp4: mp4.replace(b"avc1", b"SVQ3"), "has pictures in svq3; they can"),
    "no codec": (lambda mp4: mp4.replace(b"avc1", b"zzzz"), "has pictures in an unknown codec"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_film_is_refused(tmp_path: Path, mp4: bytes, name: str) -> None:
    spoil, sentence = HOSTILE[name]
    assert sentence in refusal(written(tmp_path, spoil(mp4)))


def test_a_film_that_names_other_files_opens_none(tmp_path: Path, mp4: bytes) -> None:
    """A reference to another file, and a playlist that poses as a film."""
    film(tmp_path / "other.mp4")
    url = f"file://{tmp_path}/other.mp4\0".encode()
    assert b"url \0\0\0\1" in mp4
    playlist = written(tmp_path, b"#EXTM3U\n#EXTINF:1,\nother.mp4\n", "list.mp4")
    assert "is not a clip" in refusal(playlist)
    at = mp4.index(b"url \0\0\0\1") - 4
    grown = mp4[:at] + struct.pack(">I4sI", 12 + len(url), b"url ", 0) + url + mp4[at + 12 :]
    kinds = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    for depth in range(1, len(kinds) + 1):
        start = box_at(grown, *kinds[:depth])
        grown = put(grown, start, int.from_bytes(grown[start : start + 4]) + len(url))
    refusal(written(tmp_path, zeros(grown)))


def test_damaged_animations_are_refused(tmp_path: Path) -> None:
    for kind in ("gif", "png", "webp", "avif"):
        data = animation(tmp_path / f"a.{kind}").read_bytes()
        assert "damaged" in refusal(written(tmp_path, data[: len(data) // 2], f"a.{kind}"))
