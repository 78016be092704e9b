"""Probe: paints some steps with the program pastiche itself; prints seconds and megabytes.

`python -m bench.theirs CONTENT STYLE PIXELS STEPS`
"""

import sys
import time

from bench.report import report
from pastiche.pastiche import PasticheArtist


def paint(content: str, style: str, pixels: int, steps: int, device: str = "cpu") -> list[float]:
    """The moments, in seconds, at which each step ended."""
    artist = PasticheArtist(content, [style], size_pixels=pixels, device=device)
    ends = []
    for _ in range(steps):
        artist.draw()
        ends.append(time.monotonic())
    return ends


if __name__ == "__main__":
    report(paint(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
