"""Pictures just below and above the limit of each format: `python -m tests.formats.largest`.

The process that inspects pictures for the daemon must take the one, and refuse the other by its
size. It is part of `make formats`; each picture takes up to 1.4 GB of memory.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Answer, Question
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import loaders
from stylewatch_painter.images.vips import vips

MOST = loaders.DEFAULT_LIMIT
SIDE = 400
"""Side in pixels of the picture by which the limit is found out."""

MOST_HEIC = 140_000_000
"""Number of pixels that the encoder for HEIC takes."""

Save = Callable[[int, Path], object]
"""Function that saves a square picture with so many pixels on a side."""


def _plane(side: int, bands: int = 3, kind: str = "uchar") -> Any:
    ramp = vips().Image.xyz(side, side)[0] * (255 / side)
    return ramp.bandjoin([ramp] * (bands - 1)).cast(kind).copy(interpretation="srgb")


def _by_vips(method: str, bands: int = 3, kind: str = "uchar", **options: Any) -> Save:
    return lambda side, path: getattr(_plane(side, bands, kind), method)(str(path), **options)


def _by_pillow(mode: str, **options: Any) -> Save:
    def save(side: int, path: Path) -> None:
        Image.linear_gradient("L").resize((side, side)).convert(mode).save(path, **options)

    return save


def _heic(mode: str) -> Save:
    def save(side: int, path: Path) -> None:
        import pillow_heif

        deep = mode.endswith("16")
        values = np.zeros((side, side, 3), np.uint16 if deep else np.uint8)
        made = pillow_heif.from_bytes(mode, (side, side), values.tobytes())
        made.save(path, quality=30)

    return save


def _jxl(mode: str) -> Save:
    def save(side: int, path: Path) -> None:
        __import__("pillow_jxl")
        picture = Image.linear_gradient("L").resize((side, side)).convert(mode)
        picture.save(path, effort=1, quality=50)

    return save


FORMATS: Mapping[str, Save] = {
    "opaque.webp": _by_vips("webpsave", effort=0, Q=30),
    "alpha.webp": _by_vips("webpsave", 4, effort=0, Q=30),
    "8.avif": _by_vips("heifsave", compression="av1", effort=0, Q=30),
    "progressive.jpg": _by_vips("jpegsave", interlace=True),
    "interlaced.png": _by_vips("pngsave", interlace=True, compression=1),
    "16-interlaced.png": _by_vips("pngsave", 3, "ushort", interlace=True, compression=1),
    "a.gif": _by_vips("gifsave", effort=1, dither=0),
    "a.bmp": _by_pillow("RGB"),
    "a.ppm": _by_pillow("RGB"),
    "8.heic": _heic("RGB"),
    "10.heic": _heic("RGB;16"),
    "opaque.jxl": _jxl("RGB"),
    "alpha.jxl": _jxl("RGBA"),
}


def _side(save: Save, folder: Path, name: str) -> int:
    """Return the side of the largest square picture that the limit of memory allows."""
    small = folder / f"small-{name}"
    save(SIDE, small)
    data = small.read_bytes()
    per_pixel = loaders.opened(data, MOST).bytes_per_pixel + len(data) / SIDE**2
    return min(int((loaders.memory(MOST) / per_pixel) ** 0.5), loaders.MAX_SIDE)


def _asked(inspector: Inspector, calls: list[Callable[[], object]], path: Path) -> Answer:
    answers: list[Any] = []
    question = Question((path,), MOST, path.parent, side=256, max_frames=10)
    inspector.ask(question, answers.append)
    while not answers:
        while calls:
            calls.pop(0)()
        time.sleep(0.05)
    if isinstance(answers[0], Exception):
        return Answer(reason=str(answers[0]))
    assert isinstance(answers[0], Answer)
    return answers[0]


def tried(folder: Path) -> Iterator[str]:
    """Try all formats; yield what is wrong."""
    calls: list[Callable[[], object]] = []
    inspector = Inspector(calls.append)
    for name, save in FORMATS.items():
        side = _side(save, folder, name)
        for share, is_right in ((0.96, True), (1.06, False)):
            path = folder / name
            wanted = int(side * share**0.5)
            if path.suffix == ".heic" and wanted**2 > MOST_HEIC:
                continue
            save(wanted, path)
            try:
                loaders.opened(path.read_bytes(), MOST)
                is_allowed = True
            except PictureError:
                is_allowed = False
            found = _asked(inspector, calls, path)
            print(f"{name}, {wanted**2 / 1e6:.0f} MP: {found.reason or 'taken'}", flush=True)
            path.unlink()
            if is_allowed is not is_right:
                yield f"{name} of {wanted}x{wanted} pixels should be {is_right}"
            if is_allowed is not (not found.reason) or "damaged" in found.reason:
                yield f"{name} of {wanted}x{wanted} pixels: {found.reason or 'taken'}"
    inspector.close()


def main() -> int:
    """Try all formats; print what is wrong, and return 1 if anything is."""
    warnings.simplefilter("ignore")  # Pillow warns of large pictures
    with tempfile.TemporaryDirectory(prefix="largest-") as name:
        wrong = list(tried(Path(name)))
    print("\n".join(["", *wrong]) if wrong else f"{len(FORMATS)} formats hold at their limits")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
