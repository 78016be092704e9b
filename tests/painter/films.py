"""Small films made from a moving pattern, 64x48 pixels."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from stylewatch_painter.stage import Bytes

SIZE = (64, 48)
RATE = 25


def pattern(number: int, size: tuple[int, int] = SIZE) -> Bytes:
    """Return frame `number` of a film: four areas of color, and a bar that moves."""
    width, height = size
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (200, 40, 40)
    pixels[: height // 2, width // 2 :] = (40, 180, 60)
    pixels[height // 2 :, : width // 2] = (50, 60, 190)
    pixels[height // 2 :, width // 2 :] = (220, 210, 200)
    at = number * 5 % (width - 8)
    pixels[:, at : at + 8] = 20 + number * 7 % 200
    return pixels


def flat(color: Sequence[int], size: tuple[int, int] = SIZE) -> Bytes:
    width, height = size
    return np.full((height, width, len(color)), color, np.uint8)


def film(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int | Sequence[Bytes] = 20,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    **others: Any,
) -> Path:
    """Write a film whose container goes by the name's ending.

    `others` are attributes of the encoder, and: `ticks`, the time of each frame in `time_base`;
    `sound`, the encoder of a tone of `sound_rate`, in Hz; `rotate`, (degrees, is flipped aside, is
    flipped down); `container`, options of the container.
    """
    ticks, sound, rotate = (others.pop(name, None) for name in ("ticks", "sound", "rotate"))
    container_options = others.pop("container", {})
    sound_rate = others.pop("sound_rate", 48_000)
    attributes = {"time_base": Fraction(1, RATE), "thread_count": 1, **others}
    pictures = [pattern(number) for number in range(frames)] if isinstance(frames, int) else frames
    with av.open(str(path), "w", container_options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt = pix_fmt
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        if rotate is not None:
            stream.set_display_rotation(rotate[0], hflip=rotate[1], vflip=rotate[2])
        track = container.add_stream(sound, rate=sound_rate, layout="stereo") if sound else None
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24" if pixels.shape[2] == 3 else "rgba")
            if "yuv" in pix_fmt:
                frame = frame.reformat(
                    format=pix_fmt,
                    dst_colorspace=attributes.get("colorspace", 5),
                    dst_color_range=attributes.get("color_range", 1),
                )
            frame.pts, frame.time_base = ticks[number] if ticks else number, attributes["time_base"]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            container.mux(_tone(track, len(pictures) / RATE))
    return path


def changing_size(path: Path, size: tuple[int, int]) -> Path:
    """Write a WebM of five frames of 64x48 and five of `size`; its head has the first size."""
    with av.open(str(path), "w") as target:
        stream = None
        for part, each in enumerate((SIZE, size)):
            source_path = path.with_name(f"part-{part}.webm")
            film(source_path, "libvpx", frames=[pattern(number, each) for number in range(5)])
            with av.open(str(source_path)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + part * 200, packet.dts + part * 200
                        packet.stream = stream
                        target.mux(packet)
    return path


def with_hidden(path: Path, key: int) -> Path:
    """Write a WebM in VP8 of 20 frames, with two hidden ones before frame `key`, a key frame.

    They are copies of it that are not shown: one a millisecond after the frame before, one at the
    time of `key`. Encoders write such frames only in two passes.
    """
    whole = film(path.with_name("whole.webm"), "libvpx", options={"g": str(key)})
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        shown: list[Any] = [packet for packet in source.demux(video=0) if packet.size]
        data = bytes(shown[key])
        hidden: list[Any] = [av.Packet(bytes([data[0] & ~0x10]) + data[1:]) for _ in range(2)]
        hidden[0].pts = hidden[0].dts = shown[key - 1].pts + 1
        hidden[1].pts = hidden[1].dts = shown[key].pts
        hidden[0].time_base = hidden[1].time_base = shown[key].time_base
        for packet in (*shown[:key], *hidden, *shown[key:]):
            packet.stream = stream
            target.mux(packet)
    return path


def sound(path: Path) -> Path:
    """Write a tone without pictures."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48_000, layout="stereo")
        container.mux(_tone(track, 1))
    return path


def _tone(track: Any, seconds: float) -> list[Any]:
    """Encode a rising tone of `seconds` for a new track; return all of its packets."""
    times = np.arange(round(seconds * track.rate)) / track.rate
    wave = np.sin((300 + 500 * times) * times * 2 * np.pi).astype(np.float32) / 2
    samples = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
    samples.sample_rate, samples.pts, samples.time_base = track.rate, 0, Fraction(1, track.rate)
    return [*track.encode(samples), *track.encode(None)]
