"""Files of other programs, read and painted: `python -m tests.formats`, or `make formats`.

Each file is made anew, read, compared with the colors and the conversions that are known
beforehand, and painted on the backend `sketch`. It ends with 1 if any is wrong; files whose program
is not installed are named.
"""

import argparse
import json
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.formats.files import Made, every, is_installed, squares

from stylewatch_daemon.cli.main import call
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import read_clip
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.read import read

ALPHA_WITHIN = 0.02
LIMITS = ClipLimits(max_pixels=1_000_000, max_frames=100)


def wrong_with(made: Made, folder: Path, *, paints: bool = True) -> str:
    """Make, read and paint a file; return what is wrong, or an empty string."""
    path = folder / made.name
    made.make(path)
    try:
        pixels, alpha, converted, warnings = _read(path)
    except PictureError as error:
        is_right = made.is_refused and made.says in str(error)
        return "" if is_right else f"refused: {error}"
    if made.is_refused:
        return "not refused"
    height, width, _ = pixels.shape
    seen = pixels[height // 4 :: height // 2, width // 4 :: width // 2].astype(float)
    away = np.abs(seen - made.colors).max()
    if away > made.within:
        return f"colors are {away:.0f} away: {seen.round().astype(int).tolist()} ({converted})"
    if not any(made.says in phrase for phrase in converted or [""]):
        return f"converted says {converted}, not {made.says!r}"
    found = _wrong_beside(made, alpha, converted, warnings)
    return found or (_painted(path, folder, converted) if paints else "")


def _wrong_beside(made: Made, alpha: Any, converted: Sequence[str], warnings: str) -> str:
    """Return what is wrong with the rest of a picture, or an empty string."""
    if any(made.unsaid in phrase for phrase in converted):
        return f"converted says {converted}"
    if made.warns not in warnings or (warnings and not made.warns):
        return f"warnings are {warnings!r}, not {made.warns!r}"
    if np.abs(alpha - (1 if made.alpha is None else made.alpha)).max() > ALPHA_WITHIN:
        return f"alpha is {alpha.min():.2f} .. {alpha.max():.2f}"
    return ""


def _read(path: Path) -> tuple[Any, Any, list[str], str]:
    """Return the pixels, the alpha, what was converted and the warnings."""
    opaque = np.ones(1)
    if read_clip.is_clip(path):
        found = read_clip.inspect(path, LIMITS)
        pixels = next(read_clip.frames(path, LIMITS)).pixels
        return pixels, opaque, list(found.converted), "; ".join(found.warnings)
    picture = read(path)
    alpha = opaque if picture.alpha is None else picture.alpha
    return picture.pixels, alpha, list(picture.converted), "; ".join(picture.warnings)


def _painted(path: Path, folder: Path, converted: Sequence[str]) -> str:
    """Paint a file; return what is wrong, or an empty string."""
    style = folder / "style.png"
    if not style.exists():
        Image.fromarray(squares(np.random.default_rng(1).random((2, 2, 3)))).save(style)
    suffix = ".mp4" if read_clip.is_clip(path) else ".png"
    words = ["render", str(path), str(style), "-o", str(folder / f"painted{suffix}"), "--backend",
             "sketch", "--steps", "2", "--size", "48", "-f", "--json"]  # fmt: skip
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = call(words)
    if code:
        return f"not painted ({code}): {err.getvalue()[-300:]}"
    told = json.loads(out.getvalue())["inputs"][0]["converted"]
    return "" if list(converted) == told[: len(converted)] else f"the receipt says {told}"


def main(arguments: Sequence[str]) -> int:
    """Try the files; print what is wrong, and how many of each program were tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.formats", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of files")
    parser.add_argument("--only-read", action="store_true", help="do not paint them")
    parser.add_argument("--keep", type=Path, help="a folder in which the files are left")
    options = parser.parse_args(arguments)
    tried, missing, wrong = Counter[str](), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="formats-") as name:
        folder = options.keep or Path(name)
        folder.mkdir(exist_ok=True)
        for made in every():
            if options.names and not any(part in made.name for part in options.names):
                continue
            if not is_installed(made.program):
                missing[made.program] += 1
                continue
            tried[made.program] += 1
            try:
                found = wrong_with(made, folder, paints=not options.only_read)
            except Exception as error:
                detail = getattr(error, "stderr", b"") or traceback.format_exc(limit=-2).encode()
                found = f"{type(error).__name__}: {detail.decode()[-300:]}"
            if found:
                wrong += 1
                print(f"{made.name}: {found}", flush=True)
    counts = ", ".join(f"{program} {number}" for program, number in tried.items())
    print(f"{tried.total()} files ({counts}), {wrong} wrong")
    for program, number in missing.items():
        print(f"not tried, as {program} is not installed: {number}")
    return 1 if wrong or not tried else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
