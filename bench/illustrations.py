"""Paint the pictures of docs/ again after a recipe has changed: `make illustrations`.

Each page prints the code and the commands of its pictures. They run as printed, in a folder for
each page, so readers who repeat them get the same pictures. docs/testing.md says where the
other pictures come from.
"""

import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.common import ROOT
from PIL import Image
from tests.test_docs import blocks

PAGES = ROOT / "docs"
GAP = 4
"""Pixels between the parts of a picture."""

_QUALITY = 88  # of JPEG

Names = dict[str, Any]
"""The names that the `python` blocks of a page define, with their values."""

Shares = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, in shares of its sides."""


def run(commands: str) -> None:
    """Run shell commands with the programs that are installed beside this Python.

    Raises CalledProcessError at the first command that fails.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    print(commands, end="", flush=True)
    subprocess.run(
        ["sh", "-e"], input=commands, text=True, check=True, env={**os.environ, "PATH": path}
    )


def run_page(page: str) -> Names:
    """Run the `python` and `sh` blocks of a page in the current folder.

    Returns the names that they define. Raises CalledProcessError for a command that fails.
    """
    defined: Names = {"__name__": page}
    for block in blocks(PAGES / page):
        if block.kind == "python":
            exec(compile(block.body, page, "exec"), defined)
        elif block.kind == "sh":
            run(block.body)
    return defined


def opened(path: str, width: int | None = None, part: Shares = (0, 0, 1, 1)) -> Image.Image:
    """Open a part of a picture, resized to a width in pixels."""
    picture = Image.open(path).convert("RGB")
    left, top, right, bottom = part
    box = picture.width * left, picture.height * top, picture.width * right, picture.height * bottom
    wide = width or round(box[2] - box[0])
    tall = round(wide * (box[3] - box[1]) / (box[2] - box[0]))
    return picture.resize((wide, tall), Image.Resampling.LANCZOS, box=box)


def row(pictures: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Put pictures of one height side by side."""
    wide = sum(picture.width + gap for picture in pictures) - gap
    sheet, left = Image.new("RGB", (wide, pictures[0].height), "white"), 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet


def column(pictures: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Put pictures of one width below each other."""
    turned = [picture.transpose(Image.Transpose.TRANSPOSE) for picture in pictures]
    return row(turned, gap).transpose(Image.Transpose.TRANSPOSE)


def files(names: str, width: int, part: Shares = (0, 0, 1, 1)) -> Image.Image:
    """Put a part of each of several PNG files side by side, each at a width in pixels."""
    return row([opened(f"{name}.png", width, part) for name in names.split()])


def alpha(page: Names) -> Image.Image:
    over = page["over"]
    return row([opened("cut.png", 320), over("painted.png", "white"), over("painted.png", "black")])


def details(names: str, box: tuple[int, int, int, int], times: int) -> Image.Image:
    """Put the same part of several PNG files side by side, so many times as large, in pixels."""
    size = (times * (box[2] - box[0]), times * (box[3] - box[1]))
    parts = (Image.open(f"{name}.png").convert("RGB").crop(box) for name in names.split())
    return row([part.resize(size, Image.Resampling.NEAREST) for part in parts])


def prints(page: Names) -> Image.Image:
    names, around_the_tip = "try print without", (0.4, 0.25, 0.6, 0.45)
    return column([files(names, 320), files(names, 320, around_the_tip)])


def parts(page: Names) -> Image.Image:
    """Draw a whole picture, the same in tiles, and four parts that were painted separately."""
    quarters = []
    for number, (left, top) in enumerate([(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]):
        opened("pair/content.jpg", part=(left, top, left + 0.5, top + 0.5)).save(f"{number}.png")
        run(
            f"stylewatch render {number}.png pair/style.jpg -o quarter-{number}.png --size 160 "
            "--set objective.neighbors.largest=150 --set style_size=200% "
            "--set backends.torch.precision=fp32\n"
        )
        quarters.append(opened(f"quarter-{number}.png", 160))
    joined = column([row(quarters[:2], gap=0), row(quarters[2:], gap=0)], gap=0)
    return row([opened("whole.png", 320), opened("tiles.png", 320), joined.resize((320, 214))])


ILLUSTRATIONS: dict[str, dict[str, Callable[[Names], Image.Image]]] = {
    "files.md": {
        "sheet.jpg": lambda _: opened("painted/sheet.png", 760),
        "losses.png": lambda _: opened("painted/losses.png"),
    },
    "large-pictures.md": {
        "prints.jpg": prints,
        "strokes.jpg": lambda _: files("small usual large", 320, (0.35, 0.2, 0.65, 0.5)),
        "large.jpg": parts,
    },
    "painting.md": {
        "styles.jpg": lambda _: opened("sweep/sheet.png", 960),
        "blend.jpg": lambda _: opened("blend/sheet.png", 960),
        "color.jpg": lambda _: files("style content luminance match", 240),
        "smoothness.jpg": lambda _: details("rough plain strong squared", (110, 50, 188, 128), 3),
        "texture.jpg": lambda _: opened("texture.png"),
    },
    "pictures.md": {"alpha.jpg": alpha},
    "regions.md": {
        "regions.jpg": lambda _: column(
            [files("field field.mask two", 256), files("soft free keep", 256)]
        ),
    },
}


def main(words: list[str]) -> int:
    """Paint the pictures of the named pages, by default of all, into docs/images."""
    parser = ArgumentParser(prog="python -m bench.illustrations", description=main.__doc__)
    parser.add_argument("pages", nargs="*", default=list(ILLUSTRATIONS), metavar="PAGE")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "illustrations")
    options = parser.parse_args(words)
    work = options.work.absolute()
    for page in options.pages:
        folder = work / Path(page).stem
        shutil.rmtree(folder, ignore_errors=True)  # no command replaces a picture
        folder.mkdir(parents=True)
        os.chdir(folder)
        Path("bench").symlink_to(ROOT / "bench")  # commands name its pictures, as in a clone
        run("stylewatch sample .\n")  # code opens content.jpg and style.jpg
        defined = run_page(page)
        for name, draw in ILLUSTRATIONS[page].items():
            draw(defined).save(PAGES / "images" / name, quality=_QUALITY)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
