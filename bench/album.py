"""Measure: how many pictures an hour the daemon paints out of an album, with recipe `best`."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import child
from bench.rows import Measure, Reading, Row, Setting

PARTS = 5
"""So many stretches of the album count by themselves: its spread."""

HOURLY = Row("pictures_per_hour", "recipe `best` over an album, 0.25 megapixels, by the daemon",
             must=250, aim=500, higher=True)  # fmt: skip


def album(setting: Setting) -> Iterator[Reading]:
    """Pictures an hour in each fifth of the album; the first has the daemon's start in it."""
    inbox, outbox, state = (setting.scratch / name for name in ("inbox", "outbox", "state"))
    fill(inbox / "album", setting)
    began = time.time()
    child.whole(
        child.STYLEWATCH, "run", "--once", "--quiet", "--inbox", inbox, "--outbox", outbox,
        "--state", state, "--set", "recipe=best", "--set", "enlarge=yes", "--set", "device=cpu",
        "--set", f"size={child.area(setting.pixels)}",
    )  # fmt: skip
    ends = sorted(path.stat().st_mtime for path in outbox.rglob("receipt.json"))
    assert len(ends) == setting.album, "each picture has its receipt"
    for rate in hourly([began, *ends]):
        yield HOURLY.key, rate


def fill(folder: Path, setting: Setting) -> None:
    """An album of the same photograph, again and again."""
    folder.mkdir(parents=True)
    shutil.copyfile(setting.style, folder / "style.jpg")
    for number in range(setting.album):
        shutil.copyfile(setting.content, folder / f"{number:03}.jpg")


def hourly(moments: Sequence[float]) -> Iterator[float]:
    """Pictures an hour in each of PARTS, given the start and when each picture was done."""
    pictures = len(moments) - 1
    parts = min(PARTS, pictures)
    for part in range(parts):
        first, last = pictures * part // parts, pictures * (part + 1) // parts
        yield (last - first) * 3600 / (moments[last] - moments[first])


MEASURES = (Measure((HOURLY,), album, once=True),)
