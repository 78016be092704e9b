"""Bytes that a job may write, and the check that the disks have room for them."""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.files.disk_space import check
from stylewatch_daemon.model import CHECKPOINT, Job
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.algorithm import scales, upscale
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.recipe import Lbfgs, Recipe, Schedule, Sgd

_COLORS = 3


_FLOAT = 4  # bytes


WIDEST = 4
"""How many times as long as high a picture is reckoned to be at most."""


SLACK = 1 << 16
"""Bytes of a file beside its pixels: heads, profiles, blocks of the disk that are half full."""


_AS_EVER = JobSettings()


_KEEPSAKE = 16 << 20
"""Bytes of a keepsake; the largest is an animation of a painting full of grain."""


_ROW = 1 << 10
"""Bytes of a step in losses.csv, and of its share of the receipt."""


@dataclass(frozen=True)
class Need:
    """Bytes that a job may write at most: in the outbox, and beside them in the state folder."""

    outbox: int
    state: int


def need(
    recipe: Recipe,
    max_pixels: int,
    inputs: int = 0,
    content: scales.Size | None = None,
    settings: JobSettings = _AS_EVER,
) -> Need:
    """What a painting by `recipe` may take; `inputs` are the bytes of pictures to archive.

    Where the size of the `content` is not known, the largest there may be is reckoned with.
    Pictures count as if no format could make them smaller than their pixels, stages as large as
    `settings` let them be, and the checkpoint twice: the new one is whole before the old one goes.
    """
    schedule = recipe.schedule
    if settings.only == "style":  # a texture is of any size
        content = None
    if content is None:
        pixels = int(min(max_pixels, most_pixels(schedule)))
    else:
        pixels = min(max_pixels, math.prod(scales.final_size(schedule, content)))
    steps = _most_steps(schedule, content)
    each = pixels if settings.stages.size is None else min(pixels, settings.stages.size**2)
    stages = steps // schedule.save_every + 1
    bytes_ = _COLORS * settings.depth // 8
    painted = stages * (each * bytes_ + SLACK) + pixels * bytes_ + SLACK + steps * _ROW
    painted += len(settings.artifacts) * _KEEPSAKE
    checkpoint = pixels * _COLORS * _FLOAT * _vectors(schedule) + steps * _ROW + SLACK
    return Need(painted + inputs, 2 * checkpoint)


def most_pixels(schedule: Schedule) -> float:
    """The most pixels that a painting can have by its rule for the size, whatever is painted.

    Where the rule gives one side only, the other is taken to be at most WIDEST times as long.
    """
    rule = schedule.size
    if rule.endswith("mp"):
        return float(rule[:-2]) * 1e6
    columns, cross, rows = rule.partition("x")
    if not cross:
        return int(columns) ** 2
    return int(columns) * int(rows) if columns and rows else WIDEST * int(columns or rows) ** 2


def _most_steps(schedule: Schedule, content: scales.Size | None) -> int:
    try:
        return upscale.most_steps(schedule, content)
    except PictureError:  # which whoever paints it is going to tell
        return schedule.most_steps


def _vectors(schedule: Schedule) -> int:
    """Arrays of the picture's size in a checkpoint: the picture, and what the optimizer knows."""
    averaged = 1 if schedule.average else 0
    match schedule.optimizer:
        case Lbfgs(history=history):
            return 2 * min(history, schedule.most_steps) + 3 + averaged
        case Sgd():
            return 1 + averaged
    return 3 + averaged


def check_job(job: Job, place: str | None, settings: JobSettings, service: ServiceSettings) -> None:
    """Raise FullError where a disk has no room for `job` beside `limits.free_bytes`.

    What it has written already, in the folder `place` of its outbox, is there already.
    """
    recipe = settings.resolve(*service.recipes)
    wanted = need(recipe, service.limits.max_pixels, job.archived, job.size, settings)
    painted = 0 if place is None else _written(job.outbox / place)
    kept = job.folder / CHECKPOINT
    needs = [
        (job.outbox, max(0, wanted.outbox - painted)),
        (job.folder, max(0, wanted.state - (kept.stat().st_size if kept.is_file() else 0))),
    ]
    check(needs, service.limits.free_bytes)


def _written(folder: Path) -> int:
    """The bytes of the files of a job: those in its folder, and in the folders directly there.

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
