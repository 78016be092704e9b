"""Size and duration of an installation for the CPU, as a new user has it: `make install-size`.

It builds the wheel, installs it into a fresh environment, and paints the sample pair outside of the
checkout. The words of the command line are options for pip.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.common import ROOT, run

SMALL = ("--size", "256", "--quiet")

MOST_BYTES, MOST_SECONDS = 1_200_000_000, 90
"""Goals: bytes on disk after the first picture; seconds to install and paint, from a mirror."""


def main(words: list[str]) -> int:
    """Measure and print the figures; return 1 where more bytes are taken than the goal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, pair, cache = folder / "environment", folder / "pair", folder / "cache"
        os.environ["XDG_CACHE_HOME"] = str(cache)
        os.chdir(folder)
        built = cost([sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, ROOT])
        (wheel,) = folder.glob("*.whl")
        installed = cost(
            [sys.executable, "-m", "venv", home], [home / "bin/pip", "install", *words, wheel]
        )
        pictures = pair / "content.jpg", pair / "style.jpg"
        painted = cost(
            [home / "bin/stylewatch", "sample", pair],
            [home / "bin/stylewatch", "render", *pictures, "-o", "painted.png", *SMALL],
        )
        sizes = bytes_on_disk(home), bytes_on_disk(cache)
    together = installed[0] + painted[0], installed[1] + painted[1]
    print("                      time   processor time   on disk")
    for what, seconds, size in (
        ("build the wheel", built, 0),
        ("install", installed, sizes[0]),
        ("paint a picture", painted, sizes[1]),
        ("install and paint", together, sum(sizes)),
        ("goal", (MOST_SECONDS, MOST_SECONDS), MOST_BYTES),
    ):
        print(f"{what:18} {seconds[0]:5.0f} s {seconds[1]:14.0f} s {size / 1e6:6.0f} MB")
    return int(sum(sizes) > MOST_BYTES)


def cost(*commands: Sequence[object]) -> tuple[float, float]:
    """Run commands; return their seconds, and those of processor time, which other work spares."""
    before = os.times()
    for command in commands:
        run(*command)
    after = os.times()
    processor = (clock.children_user + clock.children_system for clock in (after, before))
    return after.elapsed - before.elapsed, next(processor) - next(processor)


def bytes_on_disk(folder: Path) -> int:
    """Return the bytes that the files below `folder` take, each file once."""
    looks = [path.lstat() for path in [folder, *folder.rglob("*")]]
    return sum({look.st_ino: look.st_blocks * 512 for look in looks}.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
