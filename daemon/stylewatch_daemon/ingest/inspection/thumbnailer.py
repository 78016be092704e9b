"""Makes pictures small for people to look at, as intake does it, and behind all other work."""

import os
from collections.abc import Iterator

from stylewatch_daemon.ingest.inspection.contract import Begun, NotNow, Question, Verdict
from stylewatch_daemon.ingest.inspection.inspect import examine

LAST = 19
"""How nice a process can be to the others."""


def shrink(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """As `examine`, once this process lets all others go first."""
    os.nice(LAST)  # more than that is never counted
    yield from examine(question)
