"""Report of a probe to the benchmark: one line of JSON on its steps and its memory."""

import json
import resource
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path


def report(ends: Sequence[float]) -> None:
    """Print `step`, seconds a step, and `peak`, the most megabytes held."""
    print(json.dumps({"step": per_step(ends), "peak": peak()}))


def per_step(ends: Sequence[float]) -> float:
    """Median seconds a step, given when each was told of.

    A painter may tell of several steps at once, after it has waited for its device: moments
    that lie closer than a tenth of the usual distance are one, of as many steps.
    """
    near = (ends[-1] - ends[0]) / (len(ends) - 1) / 10
    bursts = [[ends[0]]]
    for before, after in pairwise(ends):
        if after - before < near:
            bursts[-1].append(after)
        else:
            bursts.append([after])
    return statistics.median(
        (after[-1] - before[-1]) / len(after) for before, after in pairwise(bursts)
    )


def peak() -> float:
    """The most megabytes that this process held, since it became the program that it is."""
    status = Path("/proc/self/status")
    if status.is_file():  # what is told to parents counts the process it was forked from, too
        (line,) = (one for one in status.read_text("ascii").splitlines() if "VmHWM" in one)
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
