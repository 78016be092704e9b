"""What a probe tells the bench: one line of JSON."""

import json
import resource
import statistics
from collections.abc import Sequence
from itertools import pairwise


def report(ends: Sequence[float]) -> None:
    """Print `step`, median seconds between two of `ends`, and `peak`, most megabytes held."""
    gaps = [after - before for before, after in pairwise(ends)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"step": statistics.median(gaps), "peak": peak}))
