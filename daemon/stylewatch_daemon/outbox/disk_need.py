"""Bytes that a job may write, and the check that the disks have room for them."""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.files.disk_space import check
from stylewatch_daemon.model import BEST_BATCH, CHECKPOINT, REFERENCES, SEGMENT
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.journal import Journal
from stylewatch_painter.algorithm import scales
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.recipe import Adam, Lbfgs, Recipe, Rmsprop, Schedule

_COLORS = 3
_FLOAT = 4
"""Bytes."""

WIDEST = 4
"""Ratio of sides that a picture is assumed to have at most."""

SLACK = 1 << 16
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
    counts. With several `frames` it is a clip. Pictures count as uncompressed, stages as large as
    `settings` let them be, and the checkpoint twice: the new one is whole before the old one goes.
    """
    schedule = recipe.schedule
    if settings.only == "style":  # a texture is of any size
        content = None
    if content is None:
        pixels = int(min(max_pixels, most_pixels(schedule)))
    else:
        pixels = min(max_pixels, math.prod(scales.final_size(schedule, content)))
    try:
        steps = scales.most_steps(schedule, content)
    except PictureError:  # the worker will report it
        steps = schedule.most_steps
    each = pixels if settings.stages.size is None else min(pixels, settings.stages.size**2)
    stages = steps // schedule.save_every + 1 + schedule.save_start
    bytes_ = _COLORS * settings.depth // 8
    painted = stages * (each * bytes_ + SLACK) + pixels * bytes_ + SLACK + steps * _ROW
    painted += len(settings.artifacts) * _ARTIFACT
    if frames > 1:
        return _clip_need(pixels, each, frames, inputs, settings)
    checkpoint = pixels * _COLORS * _FLOAT * _arrays(recipe) + steps * _ROW + SLACK
    return Need(painted + inputs, 2 * checkpoint)


def _clip_need(pixels: int, stage: int, frames: int, inputs: int, settings: JobSettings) -> Need:
    """Return what a clip needs: its segments, and the same joined; the frames of open segments.

    As many scenes have an open segment as are painted at once on a GPU, or on so many machines.
    """
    segments = frames // SEGMENT + 1
    encoded = frames * (pixels * _CLIP_BYTES[settings.clip.format] + _ROW) + SLACK
    stages = (segments + 1) * (stage * _COLORS + SLACK)
    planes, files = (3 * _COLORS + 1, 3) if settings.clip.backward else (_COLORS, 1)
    painted = min(frames, BEST_BATCH * SEGMENT) * (pixels * planes + files * SLACK)
    kept = BEST_BATCH * 2 * (REFERENCES + 2) * pixels * _COLORS + frames * _ROW + SLACK
    return Need(int(2 * encoded) + stages + painted + inputs, 2 * kept)


def most_pixels(schedule: Schedule) -> float:
    """Return the most pixels that a picture can have by the schedule's rule for its size.

    Where the rule gives one side, the other is assumed to be at most WIDEST times as long.
    """
    rule = schedule.size
    if rule.endswith("mp"):
        return float(rule[:-2]) * 1e6
    columns, cross, rows = rule.replace("-short", "x").partition("x")
    if not cross:
        return int(columns) ** 2
    return int(columns) * int(rows) if columns and rows else WIDEST * int(columns or rows) ** 2


def _arrays(recipe: Recipe) -> int:
    """Return the number of arrays in a checkpoint, at most.

    These are the picture, the one that its scale started from, the average, and the optimizer's
    state. A pyramid has a third more coefficients than pixels, and as many of each moment.
    """
    schedule, objective = recipe.schedule, recipe.objective
    of_terms = (objective, objective.coarse)
    needs_start = any(terms is not None and terms.needs_start for terms in of_terms)
    arrays = 1 + needs_start + (1 if schedule.ema_decay else 0)
    match schedule.optimizer:
        case Lbfgs(history=history, step_back=step_back):
            pairs = min(history, schedule.most_steps)
            return arrays + 2 * pairs + (2 if step_back is None else 4)
        case Adam(pyramid=pyramid):
            return arrays + (4 if pyramid else 2)
        case Rmsprop(pyramid=pyramid):
            return arrays + (3 if pyramid else 1)
    return arrays


def check_job(job: Journal, folder: Path, settings: JobSettings, service: ServiceSettings) -> None:
    """Raise FullError where a disk has no room for `job`, in `folder`, and `limits.free_bytes`.

    What the job has written already, there and in the outbox, is not counted again.
    """
    recipe = settings.resolve(*service.recipes)
    most = service.limits.max_pixels
    wanted = need(recipe, most, job.archived, job.size, settings, job.frames)
    written = 0 if job.place is None else _written(job.outbox / job.place)
    checkpoint = folder / CHECKPOINT
    stored = checkpoint.stat().st_size if checkpoint.is_file() else 0
    needs = [
        (job.outbox, max(0, wanted.outbox - written)),
        (folder, max(0, wanted.state - stored)),
    ]
    check(needs, service.limits.free_bytes)


def _written(folder: Path) -> int:
    """Return the bytes of the files in a job's folder, and in the folders directly in it.

    Others may make folders there too, of any depth.
    """
    folders, total = [(folder, 0)], 0
    while folders:
        here, depth = folders.pop()
        with suppress(OSError), os.scandir(here) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
                elif depth == 0 and entry.is_dir(follow_symlinks=False):
                    folders.append((Path(entry.path), 1))
    return total
