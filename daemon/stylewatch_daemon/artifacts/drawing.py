"""Drawing of losses, animations and contact sheets; pictures are read and shrunk one by one."""

import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_daemon.artifacts import loss_curve
from stylewatch_daemon.artifacts.request import ArtifactRequest, Drawn, Source
from stylewatch_daemon.base import words
from stylewatch_painter.errors import PainterError, PictureError
from stylewatch_painter.images import read_clip, sheet
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.decode import NeededSize, long_side
from stylewatch_painter.images.encode import encode, over_white
from stylewatch_painter.images.film import is_film
from stylewatch_painter.images.read import file_bytes, open_file, picture_of
from stylewatch_painter.stage import Pixels

FRAME_SIDE = {"webp": 800, "gif": 480}
"""Maximum long side of a frame in pixels, by the format of the animation.

A GIF has smaller and fewer frames, because its file is many times as large as the same WebP.
"""

MAX_FRAMES = {"webp": 40, "gif": 24}

FIRST_MS, LAST_MS = 1000, 2500
"""Durations in milliseconds of the content and of the final picture."""

STAGES_MS, SLOWEST_MS, FASTEST_MS = 6000, 400, 80
"""Durations in milliseconds: of all stages together, and the longest and the shortest of one stage,
which take precedence."""

QUALITY = 84
COLORS = 256

MIN_SIDE = 200
"""Minimum side of a cell of the sheet in pixels, so that labels have enough room."""

MAX_STAGES = 9
MAX_COLUMNS = 5
MIN_COLUMNS = 3


def draw(request: ArtifactRequest) -> Iterator[Drawn]:
    """Yield for each file in `request.wanted`, in order, its content or a problem."""
    for name in request.wanted:
        try:
            yield Drawn(name, _draw_file(request, name))
        except MemoryError:
            yield Drawn(name, problem="there was not enough memory")
        except PainterError as error:
            yield Drawn(name, problem=str(error))
        except Exception as error:  # an error here must not affect the job
            yield Drawn(name, problem=words.fault(error))


def _draw_file(request: ArtifactRequest, name: str) -> bytes:
    if name == "losses.svg":
        return loss_curve.svg(request.losses)
    if name == "sheet.png":
        return job_sheet(request)
    return animation(request, Path(name).suffix[1:])


def animation(request: ArtifactRequest, format: str) -> bytes:
    """Return the file of the animation in `format`, webp or gif: content, stages, final picture.

    Pictures that are missing or have changed are left out. Raises PictureError if no picture is
    left, or if one cannot be decoded.
    """
    frames, has_content = _frames(request, FRAME_SIDE[format], MAX_FRAMES[format])
    if not frames:
        raise PictureError("none of its pictures exists any more")
    first_ms = [FIRST_MS] if has_content and len(frames) > 1 else []
    stages = len(frames) - len(first_ms) - 1
    stage_ms = min(SLOWEST_MS, max(FASTEST_MS, STAGES_MS // max(1, stages)))
    times = [*first_ms, *[stage_ms] * stages, LAST_MS]
    if format == "gif":
        cut = Image.Quantize.MEDIANCUT
        dither = Image.Dither.FLOYDSTEINBERG
        frames = [
            frame.quantize(palette=frame.quantize(COLORS, cut), dither=dither) for frame in frames
        ]
    content = io.BytesIO()
    first, *others = frames
    options = {"quality": QUALITY, "method": 4} if format == "webp" else {"optimize": False}
    first.save(
        content, format.upper(), save_all=True, append_images=others, duration=times, loop=0,
        **options,
    )  # fmt: skip
    return content.getvalue()


def job_sheet(request: ArtifactRequest) -> bytes:
    """Return the sheet as PNG: content, styles and final picture, then rows of chosen stages.

    The stages are evenly spaced. Raises PictureError if a picture cannot be decoded, and SaveError
    if the sheet is larger than a PNG may be.
    """
    # a small final picture is not enlarged: the others are shown at its size
    final = thumbnail(request.final, sheet.SIDE, request.max_pixels)
    side = sheet.SIDE if final is None else max(MIN_SIDE, *final.shape[:2])
    head = [*([request.content] if request.content else []), *request.styles, request.final]
    columns = min(MAX_COLUMNS, max(MIN_COLUMNS, len(head)))
    # as many stages as fill whole rows, if there are enough for a row
    count = min(len(request.stages), MAX_STAGES)
    count -= count % columns if count > columns else 0
    chosen = [request.stages[number] for number in evenly(len(request.stages), count)]

    def cell(source: Source) -> sheet.Cell:
        if source is request.final:
            return sheet.Cell(source.label, final)
        return sheet.Cell(source.label, thumbnail(source, side, request.max_pixels))

    stages = [stage for stage in map(cell, chosen) if stage.picture is not None]
    rows = [*sheet.in_rows([*map(cell, head)], columns), *sheet.in_rows(stages, columns)]
    return encode(sheet.draw(rows, side))


def thumbnail(source: Source, side: int, max_pixels: int) -> Pixels | None:
    """Return `source` on white, float32 (height, width, 3), 0..255, with sides up to `side` pixels.

    For a film it is the first frame. Returns None if no file of `source.paths` can be read and has
    the right SHA-256. Raises PictureError if the picture cannot be decoded, or has more than
    `max_pixels`.
    """
    for path in map(Path, source.paths):
        if is_film(path):
            try:
                with open_file(path) as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except PictureError:
                continue
            if source.sha256 in ("", digest):
                frame = next(read_clip.frames(path, ClipLimits(max_pixels, sys.maxsize)))
                return sheet.shrunk(frame.pixels.astype(np.float32), side)
            continue
        try:
            data = file_bytes(path)
        except PictureError:
            continue
        if source.sha256 in ("", hashlib.sha256(data).hexdigest()):
            needed = NeededSize(long_side(side), above=0)
            picture = picture_of(path.name, data, max_pixels, needed)
            return sheet.shrunk(over_white(picture.pixels, picture.alpha), side)
    return None


def _frames(request: ArtifactRequest, side: int, count: int) -> tuple[list[Image.Image], bool]:
    """Return at most `count` frames, and whether the first one is the content image.

    All frames have the size of the final picture or, if that is missing, of the first frame.
    """
    final = thumbnail(request.final, side, request.max_pixels)
    chosen = [request.stages[number] for number in evenly(len(request.stages), count - 2)]
    frames: list[Image.Image] = []
    size = None if final is None else (final.shape[1], final.shape[0])
    has_content = False
    for source in (request.content, *chosen):
        pixels = thumbnail(source, side, request.max_pixels) if source else None
        if pixels is not None:
            has_content |= source is request.content
            size = size or (pixels.shape[1], pixels.shape[0])
            frames.append(_image(pixels).resize(size, Image.Resampling.LANCZOS))
    return (frames if final is None else [*frames, _image(final)]), has_content


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))


def evenly(count: int, limit: int) -> list[int]:
    """Return at most `limit` evenly spaced numbers from 0 to `count` - 1, both included.

    If `limit` is 1 and `count` is larger, the last number alone is returned.
    """
    if count <= limit:
        return list(range(count))
    if limit == 1:
        return [count - 1]
    return [round(number * (count - 1) / (limit - 1)) for number in range(limit)]
