"""Thousands of finished jobs, from one that was painted: other names, the same pictures."""

import os
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path

from stylewatch_daemon.base.model import End
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter

APART = timedelta(seconds=40)
"""Between the ends of two jobs."""


def repeat(root: Path, jobs: int) -> None:
    """Add `jobs` finished jobs to the ledger, through its real writer."""
    with closing(LedgerWriter.open(root / "state" / FILE_NAME)) as ledger, ledger.transaction():
        done = sorted(ledger.ended([End.DONE], jobs), key=lambda job: job.id)
        ended = datetime.fromisoformat(str(done[0].finished))
        for number, job in zip(range(jobs), cycle(done), strict=False):
            when, name = ended - (number + 1) * APART, f"holiday-{number:05}"
            copy = replace(
                job, id=f"{when:%Y%m%dT%H%M%S.%f}-{number:06x}", name=name, place=name,
                entered=(when - APART).isoformat(), finished=when.isoformat(),
            )  # fmt: skip
            shutil.copytree(Path(job.outbox, str(job.place)), Path(job.outbox, name),
                            copy_function=os.link)  # fmt: skip
            ledger.put(copy)
