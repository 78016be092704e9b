"""Paint the pictures of docs/ again after a recipe has changed: `make illustrations`.

The code and the commands of a page's pictures are printed in bench/figures, or on the page itself.
They run as printed, in a folder for each page, so readers who repeat them get the same pictures.
docs/testing.md says where the other pictures come from.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bench.common import ROOT, STYLEWATCH, run
from PIL import Image
from tests.test_docs import blocks

PAGES = ROOT / "docs"
FIGURES = ROOT / "bench" / "figures"
GAP = 4
"""Pixels between the parts of a picture."""

_QUALITY = 88  # of JPEG

Names = dict[str, Any]
"""The names that the `python` blocks of a page define, with their values."""

Shares = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, in shares of its sides."""


def run_page(page: str) -> Names:
    """Run the `python` and `sh` blocks of a page and of its figures in the current folder.

    Returns the names that they define. Raises RuntimeError for a command that fails.
    """
    defined: Names = {"__name__": page}
    printed = [path for folder in (FIGURES, PAGES) if (path := folder / page).exists()]
    for block in chain.from_iterable(map(blocks, printed)):
        if block.kind == "python":
            exec(compile(block.body, page, "exec"), defined)
        elif block.kind == "sh":
            print(block.body, end="", flush=True)
            run("sh", "-ec", block.body)
    return defined


def opened(path: str, width: int | None = None, part: Shares = (0, 0, 1, 1)) -> Image.Image:
    """Open a part of a picture, resized to a width in pixels."""
    picture = Image.open(path).convert("RGB")
    left, top, right, bottom = part
    box = picture.width * left, picture.height * top, picture.width * right, picture.height * bottom
    wide = width or round(box[2] - box[0])
    tall = round(wide * (box[3] - box[1]) / (box[2] - box[0]))
    return picture.resize((wide, tall), Image.Resampling.LANCZOS, box=box)


def grid(*rows: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Put rows of pictures below each other; the pictures of a row have one height."""
    wide = max(sum(picture.width + gap for picture in row) for row in rows) - gap
    tall = sum(row[0].height + gap for row in rows) - gap
    sheet, top = Image.new("RGB", (wide, tall), "white"), 0
    for row in rows:
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width + gap
        top += row[0].height + gap
    return sheet


def files(names: str, width: int, part: Shares = (0, 0, 1, 1)) -> list[Image.Image]:
    """Open a part of each of several PNG files, at a width in pixels."""
    return [opened(f"{name}.png", width, part) for name in names.split()]


def alpha(page: Names) -> Image.Image:
    over = page["over"]
    return grid([opened("cut.png", 320), *(over("painted.png", on) for on in ("white", "black"))])


def prints(page: Names) -> Image.Image:
    names, around_the_tip = "try print without", (0.4, 0.25, 0.6, 0.45)
    return grid(files(names, 320), files(names, 320, around_the_tip))


def parts(_: Names) -> Image.Image:
    """Draw a whole picture, the same in tiles, and four parts that were painted separately."""
    joined = grid(files("part-0 part-1", 160), files("part-2 part-3", 160), gap=0)
    return grid([opened("whole.png", 320), opened("tiles.png", 320), joined.resize((320, 214))])


ILLUSTRATIONS: dict[str, dict[str, Callable[[Names], Image.Image]]] = {
    "files.md": {
        "sheet.jpg": lambda _: opened("painted/sheet.png", 760),
    },
    "large-pictures.md": {
        "prints.jpg": prints,
        "strokes.jpg": lambda _: grid(files("small usual large", 320, (0.35, 0.2, 0.65, 0.5))),
        "large.jpg": parts,
    },
    "painting.md": {
        "styles.jpg": lambda _: opened("sweep/sheet.png", 960),
        "blend.jpg": lambda _: opened("blend/sheet.png", 960),
        "color.jpg": lambda _: grid(files("style content luminance match", 240)),
        "smoothness.jpg": lambda _: grid(
            files("rough plain strong squared", 234, (0.34, 0.23, 0.58, 0.6))
        ),
        "texture.jpg": lambda _: opened("texture.png"),
    },
    "pictures.md": {"alpha.jpg": alpha},
    "regions.md": {
        "regions.jpg": lambda _: grid(
            files("field field.mask two", 256), files("soft free keep", 256)
        ),
    },
    "web.md": {
        "overview.jpg": lambda _: opened("overview.png", 1240),
        "job.jpg": lambda _: opened("job.png", 1240),
    },
}

DRAWN = {"files.md": {"losses.svg": "painted/losses.svg"}}
"""Files that commands of a page write, and that are shown as they are."""


def main(words: list[str]) -> int:
    """Paint the pictures of the named pages, by default of all, into docs/images."""
    programs = str(STYLEWATCH.parent)
    os.environ["PATH"] = os.pathsep.join([programs, os.environ["PATH"]])
    for page in words or ILLUSTRATIONS:
        folder = ROOT / "build" / "illustrations" / Path(page).stem
        shutil.rmtree(folder, ignore_errors=True)  # no command replaces a picture
        folder.mkdir(parents=True)
        os.chdir(folder)
        Path("bench").symlink_to(ROOT / "bench")  # commands name its pictures, as in a clone
        run(STYLEWATCH, "sample", ".")  # code opens content.jpg and style.jpg
        defined = run_page(page)
        for name, draw in ILLUSTRATIONS[page].items():
            draw(defined).save(PAGES / "images" / name, quality=_QUALITY)
        for name, path in DRAWN.get(page, {}).items():
            shutil.copyfile(path, PAGES / "images" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
