"""Draws progress.webp and progress.gif: from the photograph, by the stages, to the painting."""

import io
from collections.abc import Iterator

from PIL import Image

from stylewatch_daemon.artifacts.contract import Keepsakes, Seen
from stylewatch_daemon.artifacts.pictures import image_of, small
from stylewatch_daemon.artifacts.sampling import evenly
from stylewatch_painter.errors import PictureError

SIDES = {"webp": 800, "gif": 480}
"""Pixels of the long side of a frame, at most; a GIF is many times as large as the same WebP."""

MOST = {"webp": 40, "gif": 24}
"""Frames, at most: so many are held at once, all of them small."""

FIRST_MS, LAST_MS = 1000, 2500
"""How long the photograph is shown, and the painting, in milliseconds."""

WHOLE_MS, SLOWEST_MS, FASTEST_MS = 6000, 400, 80
"""How long all stages together are shown, and one of them at most and at least."""

QUALITY = 84
COLORS = 256


def draw(asked: Keepsakes, format: str) -> bytes:
    """The animation, in `format` webp or gif. Raises PictureError where nothing is left to show."""
    frames = list(_frames(asked, SIDES[format], MOST[format]))
    if not frames:
        raise PictureError("none of its pictures is there any more")
    times = _times(len(frames), has_content=asked.content is not None)
    if format == "gif":
        frames = [_in_few_colors(frame) for frame in frames]
    content = io.BytesIO()
    first, *others = frames
    how = {"quality": QUALITY, "method": 4} if format == "webp" else {"optimize": False}
    first.save(
        content, format.upper(), save_all=True, append_images=others, duration=times, loop=0, **how
    )
    return content.getvalue()


def _frames(asked: Keepsakes, side: int, most: int) -> Iterator[Image.Image]:
    """All of the size of the painting, however large it was at its time."""
    last = small(asked.final, side, asked.max_pixels)
    stages = [asked.stages[number] for number in evenly(len(asked.stages), most - 2)]
    before: list[Seen] = [*([asked.content] if asked.content else []), *stages]
    size: tuple[int, int] | None = None if last is None else (last.shape[1], last.shape[0])
    for seen in before:
        found = small(seen, side, asked.max_pixels)
        if found is not None:
            size = size or (found.shape[1], found.shape[0])
            yield image_of(found).resize(size, Image.Resampling.LANCZOS)
    if last is not None:
        yield image_of(last)


def _times(count: int, *, has_content: bool) -> list[int]:
    """How long each frame is shown, in milliseconds."""
    head = [FIRST_MS] if has_content and count > 1 else []
    between = count - len(head) - 1
    each = min(SLOWEST_MS, max(FASTEST_MS, WHOLE_MS // max(1, between)))
    return [*head, *[each] * between, LAST_MS]


def _in_few_colors(frame: Image.Image) -> Image.Image:
    """In the colors that suit this frame best; what lies between them is dithered."""
    best = frame.quantize(COLORS, Image.Quantize.MEDIANCUT)
    return frame.quantize(palette=best, dither=Image.Dither.FLOYDSTEINBERG)
