"""Paint pairs by several recipes, measure the paintings, and count judges' votes on them.

`sheets` paints each pair by each recipe and writes, for judges who must not know the recipes, a
sheet per pair with letters in random order; `key.json` has the recipe of each letter. `votes`
counts their votes.

A pair is CONTENT+STYLE, by the files; results of further pairs are added to those in the folder.
A painting in `paintings/` is kept: remove it after a change of the size, a recipe or the program.
To compare another program, put its paintings into `paintings/CONTENT+STYLE/NAME.png` and add NAME
to `--recipes`. `table.md` and `table.json` have the measures of each painting:

- content: the content loss of STROTSS: how differently the places of painting and photograph
  resemble each other; 0: the same
- style: the sliced Wasserstein distance between the features of painting and style on conv3_4,
  conv4_4 and conv5_4, in units of the style's standard deviation; 0: the same
- high frequencies: the share of spectral power above 0.4 cycles per pixel, relative to the style's;
  a checkerboard and moire appear there
- clipped: the share of pixels with a channel at 0 or 255, minus the style's
"""

import json
import random
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from string import ascii_uppercase
from typing import Any

import numpy as np
import yaml
from bench import measures
from bench.common import PICTURES, ROOT, task
from bench.referee import as_written
from PIL import Image

from stylewatch_painter.errors import PainterError
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.resize import resize
from stylewatch_painter.images.sheet import Cell, draw, in_rows
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_plugins.torch_autograd import TorchAutograd

RECIPES = ("best", "nnst", "strotss", "crowson", "pastiche", "gram")
PAIRS = (
    "astronaut+scream", "astronaut+composition-vii", "camera+wheat-field", "cat+starry-night",
    "cat+wave", "coffee+water-lilies", "poster+wave", "rocket+shipwreck",
)  # fmt: skip
COLUMNS = 3
SUFFIXES = (".jpg", ".jpeg", ".png")

Figures = dict[str, float]
"""Measures of a painting by name."""

Table = dict[str, dict[str, Figures]]
"""Measures by pair and painting."""

Key = Mapping[str, str]
"""The recipe of each letter of a sheet."""

Rankings = Mapping[str, Sequence[Sequence[str]]]
"""Votes by pair: the recipes, best first, of each judge who ranked the pair."""

FORMATS = {"content": ".3f", "style": ".3f", "high frequencies": ".2f", "clipped": "+.1%"}
"""How the measures are written."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A content and a style, named CONTENT+STYLE by their files."""

    name: str
    content: Picture
    style: Picture


def pairs(names: Iterable[str], folders: Sequence[Path]) -> list[Pair]:
    """Read the pictures of pairs named CONTENT+STYLE; the first folder that has one counts."""
    found = []
    for name in names:
        content, plus, style = name.partition("+")
        if not plus:
            raise ValueError(f"{name!r} names no pair; write CONTENT+STYLE, as in cat+wave")
        found.append(Pair(name, _picture(content, folders), _picture(style, folders)))
    return found


def _picture(name: str, folders: Sequence[Path]) -> Picture:
    for folder in folders:
        for suffix in SUFFIXES:
            if (path := folder / f"{name}{suffix}").is_file():
                return read(path)
    raise ValueError(f"no picture {name!r} ({', '.join(SUFFIXES)}) in {[*map(str, folders)]}")


def changed(name: str, options: Namespace) -> Recipe:
    """Return the recipe of RECIPE[:FIELD=VALUE...]."""
    recipe, *by_hand = name.split(":")
    pairs = (text.partition("=") for text in by_hand)
    changes = {key: yaml.safe_load(value) for key, _, value in pairs}
    always = {"size": str(options.size), "fit": "within", "enlarge": True}
    return book.change(book.find(recipe), always | changes)


def paint(pair: Pair, name: str, options: Namespace) -> Pixels:
    """Paint a pair, unless the output folder has the painting."""
    path = options.out / "paintings" / pair.name / f"{name.rpartition('/')[2]}.png"
    if not path.is_file():
        given = task(changed(name, options), (pair.content.pixels, pair.style.pixels), {})
        *_, last = TorchAutograd({"device": options.device}).paint(given, go_on)
        assert isinstance(last, Stage), "a painting ends with a picture"
        _save(path, as_written(last.picture))
    return read(path).pixels


def measure(pair: Pair, picture: Pixels) -> Figures:
    """Measure a painting against its content, at its size, and its style, at its area."""
    size, own = Size.of(picture), Size.of(pair.style.pixels)
    content = np.clip(resize(pair.content.pixels, size), 0, 255)
    style = np.clip(resize(pair.style.pixels, own.times(size.relative_to(own))), 0, 255)
    high = measures.high_frequency_share(style)
    return {
        "content": measures.content_distance(picture, content),
        "style": measures.style_distance(picture, style),
        "high frequencies": measures.high_frequency_share(picture) / max(high, 1e-12),
        "clipped": measures.clipped_share(picture) - measures.clipped_share(style),
    }


def sheets(options: Namespace) -> None:
    """Paint, measure, and add the sheets, their key and the table to the output folder."""
    table: Table = _read(options.out / "table.json", {})
    keys: dict[str, Key] = _read(options.out / "key.json", {})
    for pair in pairs(options.pairs, options.pictures):
        made = {name: paint(pair, name, options) for name in options.recipes}
        table[pair.name] = {name: measure(pair, picture) for name, picture in made.items()}
        order = sorted(made)
        random.Random(f"{options.seed} {pair.name}").shuffle(order)
        keys[pair.name] = dict(zip(ascii_uppercase, order, strict=False))
        shown = {name: name for name in made} if options.names else keys[pair.name]
        cells = [Cell(label, made[name]) for label, name in shown.items()]
        inputs = [Cell("content", pair.content.pixels), Cell("style", pair.style.pixels)]
        sheet = draw([inputs, *in_rows(cells, COLUMNS)], options.size)
        _save(options.out / "sheets" / f"{pair.name}.png", sheet)
        print(pair.name, json.dumps(table[pair.name]), flush=True)
        _write(options.out / "key.json", keys)
        _write(options.out / "table.json", table)
        text = "\n".join([f"Long side {options.size} pixels.", "", *table_lines(table), ""])
        (options.out / "table.md").write_text(text, encoding="utf-8")


def table_lines(table: Table) -> Iterator[str]:
    """Yield a table: the means of each recipe, then every painting."""
    yield f"| pair | recipe | {' | '.join(FORMATS)} |"
    yield f"| --- | --- |{' --- |' * len(FORMATS)}"
    by_recipe: dict[str, list[Figures]] = {}
    for of_pair in table.values():
        for recipe, figures in of_pair.items():
            by_recipe.setdefault(recipe, []).append(figures)
    for recipe, found in by_recipe.items():
        means = {name: fmean(figures[name] for figures in found) for name in FORMATS}
        yield _row(f"mean of {len(found)}", recipe, means)
    for pair, of_pair in table.items():
        yield from (_row(pair, recipe, figures) for recipe, figures in of_pair.items())


def _row(pair: str, recipe: str, figures: Figures) -> str:
    cells = (format(figures[name], how) for name, how in FORMATS.items())
    return f"| {pair} | {recipe} | {' | '.join(cells)} |"


def rankings(files: Sequence[Path], keys: Mapping[str, Key]) -> Rankings:
    """Read the files of judges.

    Raises ValueError: a vote does not rank each letter of a known sheet once.
    """
    ranked: dict[str, list[list[str]]] = {}
    for file in files:
        for pair, letters in json.loads(file.read_text("utf-8")).items():
            if pair not in keys:
                raise ValueError(f"{file}: {pair!r} is no sheet of key.json; correct the name")
            if sorted(letters) != sorted(keys[pair]):
                raise ValueError(f"{file}: {pair!r} must rank each of {''.join(keys[pair])} once")
            ranked.setdefault(pair, []).append([keys[pair][letter] for letter in letters])
    return ranked


def compare(ranked: Rankings, first: str, second: str) -> tuple[list[int], list[int]]:
    """Return how many pairs each of two recipes wins, and how many votes prefer each.

    The majority of its votes decides a pair; equal numbers count for neither.
    """
    won, preferred = [0, 0], [0, 0]
    for votes in ranked.values():
        both = [vote for vote in votes if first in vote and second in vote]
        ahead = sum(vote.index(first) < vote.index(second) for vote in both)
        counts = ahead, len(both) - ahead
        won = [total + (count > len(both) / 2) for total, count in zip(won, counts, strict=True)]
        preferred = [total + count for total, count in zip(preferred, counts, strict=True)]
    return won, preferred


def lines_of_votes(ranked: Rankings) -> Iterator[str]:
    """Yield the mean ranks, of which 1 is the best, and a row for each two recipes."""
    ranks: dict[str, list[int]] = {}
    votes = [vote for of_pair in ranked.values() for vote in of_pair]
    for vote in votes:
        for rank, recipe in enumerate(vote, start=1):
            ranks.setdefault(recipe, []).append(rank)
    best_first = sorted(ranks, key=lambda recipe: fmean(ranks[recipe]))
    yield (f"{len(votes)} rankings of {len(ranked)} pairs; "
           "a pair is won by the majority of its votes.\n")  # fmt: skip
    yield "| recipe | mean rank |"
    yield "| --- | --- |"
    yield from (f"| {recipe} | {fmean(ranks[recipe]):.2f} |" for recipe in best_first)
    yield "\n| recipes | pairs won | votes |"
    yield "| --- | --- | --- |"
    for first, second in combinations(best_first, 2):
        cells = (" : ".join(map(str, counts)) for counts in compare(ranked, first, second))
        yield f"| {first} : {second} | {' | '.join(cells)} |"


def count(options: Namespace) -> None:
    """Count the votes of judges."""
    ranked = rankings(options.files, _read(options.out / "key.json", {}))
    print("\n".join(lines_of_votes(ranked)))


def _save(path: Path, picture: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)


def _read(path: Path, missing: Any) -> Any:
    """Return the JSON value in a file, or `missing` without one."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else missing


def _write(path: Path, plain: object) -> None:
    path.write_text(f"{json.dumps(plain, indent=1)}\n", encoding="utf-8")


def arguments(words: Sequence[str]) -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
        prog="python -m bench.quality",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("sheets", help=sheets.__doc__)
    command.set_defaults(run=sheets)
    add = command.add_argument
    add("--pairs", nargs="+", default=PAIRS, metavar="CONTENT+STYLE",
        help="pairs of pictures, by the names of their files")  # fmt: skip
    add("--recipes", nargs="+", default=RECIPES, metavar="RECIPE[:FIELD=VALUE...]",
        help="recipes to paint with, and changes to each")  # fmt: skip
    add("--size", type=int, default=512, help="pixels of a painting's long side")
    add("--names", action="store_true", help="names on the sheets, in place of letters")
    add("--pictures", nargs="+", type=Path, default=[], metavar="FOLDER",
        help=f"folders searched before {PICTURES.relative_to(ROOT)}")  # fmt: skip
    add("--device", default="auto", help="where backend `torch` paints")
    add("--seed", type=int, default=1, help="of the letters on the sheets")
    add("--out", type=Path, default=ROOT / "build" / "quality", help="the output folder")
    command = commands.add_parser("votes", help=count.__doc__)
    command.set_defaults(run=count, pictures=[])
    command.add_argument("out", type=Path, help="the output folder of the sheets")
    command.add_argument("files", type=Path, nargs="+", metavar="VOTES", help="a file per judge")
    options = parser.parse_args(words)
    options.pictures = [*options.pictures, PICTURES]
    return options


def main(words: Sequence[str]) -> int:
    """Run a command; mistakes of the caller end it with a sentence."""
    options = arguments(words)
    try:
        options.run(options)
    except (PainterError, OSError, ValueError) as error:
        print(f"bench.quality: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
