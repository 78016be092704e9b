"""Quality of faster settings: outputs next to those of pastiche after its 1000 steps.

`python -m bench.quality PEERS SAMPLES OUT`: PEERS has pictures as pastiche wrote them, called
CONTENT+STYLE-PIXELS-STEPS.png, SAMPLES the pictures themselves, content-CONTENT.jpg and
style-STYLE.jpg. Of each pair, its paintings of most steps are taken; the same pair is painted at
the same size by `best`, and by other recipes on the fast schedule. The referee gives the relative
objective of each picture as it was written, `patches.py` what nobody optimized. OUT gets the
paintings, quality.md and quality.json, and sheets to judge by eye, with their key in key.json.
Paintings that OUT has already are not painted again.
"""

import json
import random
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench import referee
from bench.common import final_picture, task
from bench.patches import distance, structure
from bench.publish import into_page
from PIL import Image, ImageDraw

from stylewatch_painter.recipes import book
from stylewatch_painter.stage import Pixels

PEER = "pastiche"
OURS = "best"
OTHERS = ("devos", "gatys", "blank-canvas", "keras", "pastiche", "neural-style")
NAME = re.compile(r"(?P<content>[^+]+)\+(?P<style>.+)-(?P<pixels>\d+)-(?P<steps>\d+)")
STRENGTH = 0.4  # the weight of the content in `best`, by default
FIGURES = ("relative", "distance", "structure")
GAP, LINE = 12, 22  # pixels on the sheets

Figures = dict[str, float]


@dataclass(frozen=True)
class Pair:
    """Output of pastiche: the files, its own picture, its size in pixels."""

    name: str
    content: Path
    style: Path
    peer: Path
    pixels: int


def pairs(peers: Path, samples: Path) -> list[Pair]:
    """The pairs whose pictures are in `peers`, each with the picture of most steps."""
    found: dict[str, tuple[int, Pair]] = {}
    for path in sorted(peers.glob("*.png")):
        if match := NAME.fullmatch(path.stem):
            name = f"{match['content']}+{match['style']}-{match['pixels']}"
            content = samples / f"content-{match['content']}.jpg"
            style = samples / f"style-{match['style']}.jpg"
            pair = Pair(name, content, style, path, int(match["pixels"]))
            steps = int(match["steps"])
            found[name] = max(found.get(name, (0, pair)), (steps, pair), key=lambda one: one[0])
    return [pair for _, pair in found.values()]


def paint(pair: Pair, recipe: str, size: tuple[int, int], device: str) -> Pixels:
    """The pair at `size`, (width, height), by a recipe on its fast schedule: the float picture.

    It gets the pictures as pastiche and the referee see them, already at their sizes: the loss of
    the shallow layers hangs on how a picture was made smaller.
    """
    found = book.find(recipe)
    way = found if recipe == OURS else book.fast(found)
    wanted = {"size": "{}x{}".format(*size), "fit": "stretch", "enlarge": True}
    content = referee.sized(pair.content, pair.pixels)
    style = referee.sized(pair.style, size[0] * size[1])
    return final_picture(task(way, (content, style), wanted), device)


def paintings(pair: Pair, out: Path, recipes: Sequence[str], device: str) -> dict[str, Path]:
    """The files of pastiche's picture and of ours, by whose they are."""
    with Image.open(pair.peer) as peer:
        size = peer.size
    made = {PEER: pair.peer}
    for recipe in recipes:
        path = out / "paintings" / f"{pair.name}-{recipe}.png"
        made[f"stylewatch {recipe}"] = path
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            written = referee.as_written(paint(pair, recipe, size, device))
            Image.fromarray(written.astype(np.uint8)).save(path)
    return made


def judge(pair: Pair, made: dict[str, Path]) -> dict[str, Figures]:
    """The figures of each painting as it was written; the style has the painting's area."""
    by_loss = referee.Referee(pair.content, pair.style, pair.pixels, STRENGTH)
    content = referee.sized(pair.content, pair.pixels)
    style = referee.sized(pair.style, by_loss.size[0] * by_loss.size[1])
    figures = {}
    for name, path in made.items():
        picture = referee.read(path)
        values = by_loss.loss(picture), distance(picture, style), structure(picture, content)
        figures[name] = dict(zip(FIGURES, values, strict=True))
    return figures


def sheets(pair: Pair, made: dict[str, Path], out: Path, chance: random.Random) -> dict[str, str]:
    """Write a sheet of `best` and pastiche, and one of all; the keys of both."""
    shown = [Image.open(path) for path in (pair.content, pair.style)]
    hidden = {name: Image.open(path).convert("RGB") for name, path in made.items()}
    two = {name: hidden[name] for name in (PEER, f"stylewatch {OURS}")}
    (out / "sheets").mkdir(exist_ok=True)
    keys: dict[str, str] = {}
    for kind, some in (("two", two), ("all", hidden)):
        sheet, key = blinded(shown, some, chance)
        sheet.save(out / "sheets" / f"{pair.name}-{kind}.png")
        keys |= {f"{pair.name}-{kind} {mark}": name for mark, name in key.items()}
    return keys


def blinded(
    shown: Sequence[Image.Image], hidden: Mapping[str, Image.Image], chance: random.Random
) -> tuple[Image.Image, dict[str, str]]:
    """Return a sheet with `shown` above `hidden` in a random order, and its key.

    Paintings have one size. They are marked A, B, C ...; the key has the name of each.
    """
    order = list(hidden)
    chance.shuffle(order)
    key = {chr(ord("A") + place): name for place, name in enumerate(order)}
    paintings = [hidden[name] for name in order]
    high = paintings[0].height
    above = [_with_height(picture, high) for picture in shown]
    rows = [([" "] * len(above), above), (list(key), paintings)]
    width = max(sum(picture.width + GAP for picture in row) for _, row in rows) + GAP
    sheet = Image.new("RGB", (width, 2 * (high + LINE + GAP) + GAP), "white")
    pen, top = ImageDraw.Draw(sheet), GAP
    for marks, row in rows:
        left = GAP
        for mark, picture in zip(marks, row, strict=True):
            sheet.paste(picture, (left, top))
            pen.text((left, top + high + 2), mark, fill="black", font_size=LINE - 6)
            left += picture.width + GAP
        top += high + LINE + GAP
    return sheet, key


def _with_height(picture: Image.Image, height: int) -> Image.Image:
    width = round(picture.width * height / picture.height)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def tally(figures: dict[str, dict[str, Figures]], whose: str, figure: str) -> tuple[int, int]:
    """On how many pairs a recipe is better than pastiche or equal, and of how many."""
    wins = [
        judged[whose][figure] <= judged[PEER][figure]
        for judged in figures.values()
        if whose in judged
    ]
    return sum(wins), len(wins)


def markdown(figures: dict[str, dict[str, Figures]]) -> Iterator[str]:
    """A table of all figures, and the tallies below it."""
    yield "| pair, pixels | painted by | relative objective | patch distance | structure |"
    yield "| --- | --- | --- | --- | --- |"
    for pair, painted in figures.items():
        for name, one in painted.items():
            yield f"| {pair} | {name} | " + " | ".join(f"{one[key]:.3f}" for key in FIGURES) + " |"
    names = dict.fromkeys(name for judged in figures.values() for name in judged if name != PEER)
    for whose in names:
        for figure in FIGURES[:2]:
            wins, of = tally(figures, whose, figure)
            yield f"\n{whose}: {figure} better than pastiche's or equal on {wins} of {of}."


def main(words: list[str]) -> int:
    """Paint, judge, and write it all down."""
    options = arguments(words)
    chance, figures = random.Random(options.seed), {}
    keys: dict[str, str] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for pair in pairs(options.peers, options.samples):
        if not options.only or pair.name in options.only:
            made = paintings(pair, options.out, (OURS, *options.others), options.device)
            figures[pair.name] = judge(pair, made)
            keys |= sheets(pair, made, options.out, chance)
            print(pair.name, json.dumps(figures[pair.name]), flush=True)
    (options.out / "key.json").write_text(json.dumps(keys, indent=1), encoding="utf-8")
    (options.out / "quality.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    text = "\n".join(markdown(figures))
    (options.out / "quality.md").write_text(f"{text}\n", encoding="utf-8")
    if options.publish:
        into_page(options.publish, text, "quality")
    return 0


def arguments(words: list[str]) -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("peers", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="PAIR", help="only these pairs")
    parser.add_argument("--others", nargs="*", default=OTHERS, metavar="RECIPE",
                        help="recipes to paint beside `best`")  # fmt: skip
    parser.add_argument("--publish", type=Path, metavar="PAGE", help="a page for the table, too")
    parser.add_argument("--device", default="auto", help="where backend `torch` paints")
    parser.add_argument("--seed", type=int, default=1, help="of the order on the sheets")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
