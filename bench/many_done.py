"""Thousands of finished jobs, from a few that were painted: other names, the same pictures."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path

from PIL import Image, ImageOps

from stylewatch_daemon.base.model import End, Job
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_painter import sample

APART = timedelta(seconds=40)
"""Between the ends of two jobs."""


def paint(root: Path, variants: int) -> None:
    """Paint so many variants of the sample pair under `root`, each different, with `sketch`."""
    sample.write(root / "pair")
    photograph = Image.open(root / "pair/content.jpg").convert("RGB")
    for number in range(variants):
        folder = root / f"inbox/portrait-{number}"
        folder.mkdir(parents=True)
        seen = ImageOps.mirror(photograph) if number % 2 else photograph
        edge = 4 * number
        seen.crop((edge, edge, seen.width, seen.height)).save(folder / "content.jpg", quality=90)
        shutil.copy(root / "pair/style.jpg", folder)
    places = [word for name in ("inbox", "outbox", "state") for word in (f"--{name}", root / name)]
    settings = ("watch.quiet_s=0", "backend=sketch", "recipe=gatys", "size=320", "steps=6",
                "save_every=2")  # fmt: skip
    chosen = [word for setting in settings for word in ("--set", setting)]
    code = call(["run", "--once", *map(str, places), *chosen])
    if code:
        raise RuntimeError(f"the variants were not painted: exit code {code}")


def repeat(root: Path, jobs: int) -> None:
    """Add `jobs` finished jobs to the ledger, through its real writer."""
    with closing(LedgerWriter.open(root / "state" / FILE_NAME)) as ledger, ledger.transaction():
        done = sorted(ledger.ended([End.DONE], jobs), key=lambda job: job.id)
        for job, original in zip(_copies(done, jobs), cycle(done), strict=False):
            _link(Path(original.outbox, str(original.place)), Path(job.outbox, str(job.place)))
            ledger.put(job)


def _copies(done: Sequence[Job], jobs: int) -> Iterator[Job]:
    ended = datetime.fromisoformat(str(done[0].finished))
    for number, one in zip(range(jobs), cycle(done), strict=False):
        when = ended - (number + 1) * APART
        name = f"holiday-{number:05}"
        yield replace(
            one, id=f"{when:%Y%m%dT%H%M%S.%f}-{number:06x}", name=name, place=name,
            entered=(when - APART).isoformat(), finished=when.isoformat(),
        )  # fmt: skip


def _link(original: Path, copy: Path) -> None:
    for folder, _, files in os.walk(original):
        there = copy / Path(folder).relative_to(original)
        there.mkdir(parents=True)
        for name in files:
            os.link(Path(folder, name), there / name)
