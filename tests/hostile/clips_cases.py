"""Hostile clips: absurd claims, damage, odd times and sizes; in every role and under every name."""

import struct
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tests.daemon.intake.inspection.files import chunk, endless_gif, made
from tests.hostile import bombs
from tests.hostile.cases import case
from tests.hostile.files_cases import stalled
from tests.hostile.pictures_cases import DECODED_WITHIN, damaged
from tests.hostile.world import World
from tests.painter.films import changing_size, film, flat, pattern, sound
from tests.painter.images.test_clip import animation
from tests.painter.images.test_clip_damage import HOSTILE, TABLE, box_at, many_frames, put

PAINTED, ANY = "painted", ""
"""Ends of a job, in place of a part of its reason.txt."""


def _bytes(write: Callable[..., Path], name: str, *given: Any, **options: Any) -> bytes:
    with TemporaryDirectory() as folder:
        return write(Path(folder) / name, *given, **options).read_bytes()


@cache
def _mp4() -> bytes:
    return _bytes(film, "a.mp4", options={"bf": "2", "g": "8"})


def _index_first() -> bytes:
    """The same film as it can be played while it is loaded: half of it shows half of its frames."""
    data = _mp4()
    pictures, index = box_at(data, b"mdat"), box_at(data, b"moov")
    chunks = box_at(data, *TABLE, b"stco")
    begin = int.from_bytes(data[chunks + 16 : chunks + 20])
    data = put(data, chunks + 16, begin + len(data) - index)
    return data[:pictures] + data[index:] + data[pictures:index]


def _raw(width: int, height: int) -> bytes:
    """A film without compression whose head claims another size."""
    data = _bytes(film, "a.mov", "rawvideo", frames=3, pix_fmt="rgb24")
    return put(data, box_at(data, *TABLE, b"stsd") + 48, width << 16 | height)


def _unedited() -> bytes:
    """A film whose edit list, which hides frames, is ignored."""
    return _mp4().replace(b"edts", b"free")


def _endless() -> bytes:
    """A film of 30,000 frames of a byte."""
    free = struct.pack(">I4s", 60_008, b"free") + bytes(60_000)
    return many_frames(_unedited(), 30_000) + free


def _backwards() -> bytes:
    data = _unedited()
    offsets = box_at(data, *TABLE, b"ctts")
    for entry in range(int.from_bytes(data[offsets + 12 : offsets + 16])):
        data = put(data, offsets + 20 + 8 * entry, (entry * 7919) % 9 * 512)
    return data


def _clear(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A frame whose lower half is transparent."""
    alpha = np.repeat([255, 0], 24)[:, None, None] * np.ones((1, 64, 1))
    return np.concatenate([pattern(number), alpha.astype(np.uint8)], axis=2)


def _of_8k(count: int) -> bytes:
    wide = [flat((200, 90, 30), (7680, 4320))] * count
    return _bytes(film, "a.mp4", frames=wide, options={"preset": "ultrafast"})


NOTHING, LIMIT = "has no frame that can be decoded", "the limit is"
AS_CONTENT: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "65,535 pixels square that are claimed only": ("mov", lambda: _raw(65_535, 65_535), NOTHING),
    "three frames of 33 megapixels": ("mp4", lambda: _of_8k(3), PAINTED),
    "30,000 frames of a byte": ("mp4", _endless, "more than 20,000 frames"),
    "sound alone": ("mp4", lambda: _bytes(sound, "a.mp4"), "has no pictures, only sound or text"),
    "times that run backwards": ("mp4", _backwards, PAINTED),
    "frames that grow in the middle": (
        "webm", lambda: _bytes(changing_size, "a.webm", (128, 96)), PAINTED
    ),
    "alpha in PNG": (
        "mov", lambda: _bytes(film, "a.mov", "png", frames=[*map(_clear, range(4))],
                              pix_fmt="rgba"), PAINTED,
    ),
    "a GIF of 200 pictures in no time": ("gif", lambda: endless_gif(200), PAINTED),
    "a GIF of five pictures that takes an hour": (
        "gif", lambda: _bytes(animation, "a.gif", 5, durations=[655_350] * 5), LIMIT
    ),
    "WebP: 60 pictures on a canvas of 36 megapixels": (  # a second each, whatever they show
        "webp", lambda: bombs.animated_webp(6_000, 6_000, 60), ANY
    ),
    "PNG: an animation of a billion pictures": (
        "png", lambda: bombs.png_with(chunk(b"acTL", struct.pack(">II", 10**9, 0))),
        "more than 20,000 frames",
    ),
}  # fmt: skip
"""Contents with the endings of their names and what becomes of the job."""
OTHERS = {"more frames than the limit": NOTHING}
"""Those of HOSTILE that end otherwise under the limits of a daemon."""


def _ends(files: dict[str, Callable[[], bytes]], end: str, world: World) -> None:
    contents = {name: data() for name, data in files.items()}
    folder = world.drop_hostile(contents, DECODED_WITHIN)
    if end == PAINTED:
        world.expect("it was not painted", lambda: world.is_painted(folder.name))
    elif end:
        reason = world.outbox / "_refused" / folder.name / "reason.txt"
        world.expect(f"it was not refused in a line with {end!r}", partial(_is_line, reason, end))


def _is_line(reason: Path, part: str) -> bool:
    text = reason.read_text(encoding="utf-8") if reason.is_file() else ""
    return part in text and text.count("\n") == 1


def _spoiled(spoil: Callable[[bytes], bytes]) -> bytes:
    return spoil(_mp4())


for title, (spoil, sentence) in HOSTILE.items():
    end = OTHERS.get(title, sentence)
    case("clips", f"MP4: {title}")(partial(_ends, {"content.mp4": partial(_spoiled, spoil)}, end))
for title, (ending, data, end) in AS_CONTENT.items():
    case("clips", title)(partial(_ends, {f"content.{ending}": data}, end))

ROLES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a film named content.jpg": ("content.jpg", _mp4, PAINTED),
    "a picture named content.mp4": ("content.mp4", partial(made, "jpeg"), PAINTED),
    "a film named style.jpg": ("style.jpg", _mp4, "style.jpg is a film"),
    "a film as content.mask.mp4": ("content.mask.mp4", _mp4, "content.mask.mp4 is a film"),
    "an animation as style.mask.gif": (
        "style.mask.gif", lambda: _bytes(animation, "a.gif", 5), "style.mask.gif is a clip, and"
    ),
}  # fmt: skip
for title, (name, data, end) in ROLES.items():
    case("clips", title)(partial(_ends, {name: data}, end))


@case("clips", "a film with an initial picture, and with a style that is a film, too")
def film_and_others(world: World) -> None:
    _ends({"content.mp4": _mp4, "init.jpg": partial(made, "jpeg")}, "content.mp4 is a clip", world)
    _ends({"content.mp4": _mp4, "style.webm": WHOLE["WebM"][1]}, "style.webm is a film", world)


WHOLE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "MP4, its index first": ("mp4", _index_first),
    "WebM": ("webm", lambda: _bytes(film, "a.webm", "libvpx")),
    "GIF": ("gif", lambda: _bytes(animation, "a.gif")),
}


def _stalled(title: str, world: World) -> None:
    """Write a film in two parts; MKV, WebM and GIF that grow later do not show that they will."""
    ending, data = WHOLE[title]
    in_full = (True, False) if ending in ("mp4", "webp") else (True,)
    stalled(title, f"content.{ending}", data(), world, in_full=in_full)


def _damaged(title: str, world: World) -> None:
    ending, data = WHOLE[title]
    damaged(f"content.{ending}", data(), world)


for title in WHOLE:
    case("clips", f"a film that is written in two parts: {title}")(partial(_stalled, title))
for title in WHOLE:
    case("clips", f"cut off and damaged at random: {title}", alone=True)(partial(_damaged, title))
