"""Entries for inspection processes in tests; this loads little, so that they start soon."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.intake.inspection.messages import Answer, Opening, Question

read: list[Path] = []
"""The files that this process was asked about."""


def fake(question: Question) -> Iterator[Opening | Answer]:
    """In the child: do as the names of the files say, `once` only the first time."""
    read.extend(question.files)
    for path in question.files:
        yield Opening(path.name)
        sign = path.with_suffix(".sign")
        fault, _, once = path.stem.partition(" ")
        if once and sign.exists():
            continue
        sign.touch()
        if fault == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "endless":
            time.sleep(1000)
        elif fault == "wasteful":
            bytearray(4 << 30)
        elif fault == "huge" and len(read) > 1:
            yield Answer(reason="no memory is left", cause=Cause.PICTURE, lacks_memory=True)
            return
    yield Answer()
