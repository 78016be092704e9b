"""Bytes that a job may write, and the check that the disks have room for them.

It is an upper bound: each part counts with its largest size.
"""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.errors import FullError
from stylewatch_daemon.base.model import BEST_BATCH, CHECKPOINT, REFERENCES, SEGMENT, Job
from stylewatch_daemon.files import disks
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.algorithm import scales
from stylewatch_painter.recipes.recipe import Lbfgs, Recipe, Schedule

_COLORS = 3
_FLOAT = 4
"""Bytes."""

_WIDEST = 4
"""Ratio of sides that a picture is assumed to have at most."""

_SLACK = 1 << 16
"""Bytes of a file apart from its pixels: headers, profiles, and disk blocks that are half full."""

_ARTIFACT = 16 << 20
"""Bytes of an artifact; the largest is an animation of a picture full of grain."""

_ROW = 1 << 10
"""Bytes of a step in losses.csv, and of its share of the receipt."""

_CLIP_BYTES = {"mp4": 1.0, "webm": 1.0, "mkv": 3.5}
"""Bytes of a pixel of an encoded frame, at most: frames of noise at quality 100 take 0.92, 0.91
and 3.4."""

_DEFAULTS = JobSettings()


@dataclass(frozen=True)
class Need:
    """Bytes that a job may write at most, in the outbox and in the state folder."""

    outbox: int
    state: int


def need(
    recipe: Recipe,
    max_pixels: int,
    inputs: int = 0,
    content: scales.Size | None = None,
    settings: JobSettings = _DEFAULTS,
    frames: int = 1,
) -> Need:
    """Return what a job by `recipe` may need; `inputs` are the bytes of pictures to archive.

    `content` is its size, (width, height) in pixels; if that is unknown, the largest possible one
    counts. With several `frames` it is a clip, whose segments are joined in a second file. Pictures
    count as uncompressed, and the checkpoint twice: the new one is whole before the old one goes.
    """
    schedule = recipe.schedule
    if content is None or settings.only == "style":  # a texture is of any size
        pixels = int(min(max_pixels, most_pixels(schedule)))
    else:
        pixels = min(max_pixels, math.prod(scales.final_size(schedule, content)))
    bytes_ = _COLORS * settings.depth // 8
    side = settings.stages.size
    stage = (pixels if side is None else min(pixels, side**2)) * bytes_ + _SLACK
    if frames > 1:
        encoded = frames * (pixels * _CLIP_BYTES[settings.clip.format] + _ROW) + _SLACK
        # as many scenes have an open segment as are painted at once on a GPU
        planes, files = (3 * _COLORS + 1, 3) if settings.clip.backward else (_COLORS, 1)
        open_segment = min(frames, BEST_BATCH * SEGMENT) * (pixels * planes + files * _SLACK)
        painted = int(2 * encoded) + (frames // SEGMENT + 2) * stage + open_segment
        checkpoint = BEST_BATCH * 2 * (REFERENCES + 2) * pixels * _COLORS + frames * _ROW + _SLACK
    else:
        steps = scales.most_steps(schedule)
        stages = steps // schedule.save_every + 1 + schedule.save_start
        painted = stages * stage + pixels * bytes_ + _SLACK + steps * _ROW
        painted += len(settings.artifacts) * _ARTIFACT
        checkpoint = _arrays(schedule) * pixels * _COLORS * _FLOAT + steps * _ROW + _SLACK
    return Need(painted + inputs, 2 * checkpoint)


def most_pixels(schedule: Schedule) -> float:
    """Return the most pixels that a picture can have by the schedule's rule for its size."""
    rule = schedule.size
    if rule.endswith("mp"):
        return float(rule[:-2]) * 1e6
    sides = [int(side) for side in rule.replace("-short", "x").split("x") if side]
    if len(sides) == 1:
        sides.append(sides[0] if rule.isdecimal() else _WIDEST * sides[0])
    return math.prod(sides)


def _arrays(schedule: Schedule) -> int:
    """Return the most arrays, as large as the picture, that a checkpoint can have.

    These are the picture, the one that its scale started from, the average, and up to four of the
    optimizer; L-BFGS has two for each step in its history, too.
    """
    optimizer = schedule.optimizer
    history = min(optimizer.history, schedule.most_steps) if isinstance(optimizer, Lbfgs) else 0
    return 3 + 4 + 2 * history


def check_job(
    job: Job, archived: int, folder: Path, settings: JobSettings, service: ServiceSettings
) -> None:
    """Raise FullError if a disk has no room for `job`, in `folder`, and `limits.free_bytes`.

    `archived` are the bytes of inputs that will be archived. What the job has written already, in
    `folder` and in the outbox, is not counted again.
    """
    recipe, most = settings.resolve(*service.recipes), service.limits.max_pixels
    content, outbox = job.content_size, Path(job.outbox)
    wanted = need(recipe, most, archived, content, settings, job.frames)
    written = 0 if job.place is None else _written(outbox / job.place)
    checkpoint = folder / CHECKPOINT
    stored = checkpoint.stat().st_size if checkpoint.is_file() else 0
    needs = [(outbox, max(0, wanted.outbox - written)), (folder, max(0, wanted.state - stored))]
    try:
        disks.check(needs, service.limits.free_bytes)
    except FullError as error:
        if content is None or settings.only == "style":
            raise
        width, height = scales.final_size(recipe.schedule, content)
        raise FullError(
            f"{error}, or set a smaller `size`: this one makes it {width}x{height} pixels",
            error.folder,
            error.wanted,
            error.reserve,
        ) from error


def _written(folder: Path) -> int:
    """Return the bytes of the files in a job's folder, and in the folders directly in it.

    Others may make folders there too, of any depth.
    """
    total = 0
    for here, folders, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{here}/{name}").st_size
        if here != str(folder):
            folders.clear()
    return total
