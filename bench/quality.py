"""Paint pairs by several recipes, measure the paintings, and count judges' votes on them.

`sheets` paints each pair by each recipe and writes, for judges who must not know the recipes, a
sheet per pair with letters in random order; `key.json` has the recipe of each letter. `votes`
counts their votes. `strength` paints pairs at several strengths. docs/quality.md explains the
files.
"""

import json
import math
import random
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean
from string import ascii_uppercase
from typing import Any

import numpy as np
import torch
import yaml
from bench import measures
from bench.common import ROOT, final_picture, task
from bench.referee import as_written
from bench.table import into_page
from PIL import Image

from stylewatch_painter.errors import PainterError
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.resize import resize
from stylewatch_painter.images.sheet import Cell, draw, in_rows
from stylewatch_painter.network.device import device_model
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.stage import Pixels
from stylewatch_plugins.torch_autograd import TorchAutograd

RECIPES = ("best", "nnst", "strotss", "crowson", "pastiche", "gram")
PICTURES = ROOT / "bench" / "pictures"
PAIRS = (
    "astronaut+scream", "astronaut+wheat-field", "camera+composition-vii", "camera+shipwreck",
    "cat+starry-night", "cat+wave", "coffee+water-lilies", "coffee+composition-vii",
    "poster+wave", "rocket+starry-night", "rocket+shipwreck", "wheat-field+wave",
)  # fmt: skip
STRENGTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
COLUMNS = 3
_SHEET_QUALITY = 88
"""Of published sheets: at 512 pixels they have about 700 kB."""
SUFFIXES = (".jpg", ".jpeg", ".png")
PARTS = ("table.md", "votes.md", "strength.md")

Figures = dict[str, float]
"""Measures of a painting by name; `seconds` is missing where another program painted."""

Key = dict[str, str]
"""The recipe of each letter of a sheet."""


@dataclass(frozen=True)
class Pair:
    """A content and a style, named CONTENT+STYLE by their files."""

    name: str
    content_file: Path
    style_file: Path

    @cached_property
    def content(self) -> Picture:
        return read(self.content_file)

    @cached_property
    def style(self) -> Picture:
        return read(self.style_file)


@dataclass(frozen=True)
class Variant:
    """A way to paint a pair; without a recipe, the paintings of another program."""

    label: str
    recipe: Recipe | None


@dataclass(frozen=True, eq=False)
class Painting:
    """A picture as it was written, and the seconds and the device that it took, if known."""

    picture: Pixels
    seconds: float | None = None
    device: str | None = None


def pairs(names: Iterable[str], folders: Sequence[Path]) -> list[Pair]:
    """Find the pictures of pairs named CONTENT+STYLE; the first folder that has one counts."""
    named = []
    for name in names:
        content, plus, style = name.partition("+")
        if not plus:
            raise ValueError(f"{name!r} names no pair; write CONTENT+STYLE, as in cat+wave")
        named.append(Pair(name, _file(content, folders), _file(style, folders)))
    return named


def _file(name: str, folders: Sequence[Path]) -> Path:
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.stem == name and path.suffix.lower() in SUFFIXES:
                return path
    raise ValueError(
        f"no folder has a picture {name!r}: looked for {name}.jpg, .jpeg and .png in "
        f"{', '.join(map(str, folders))}"
    )


def changed(name: str, options: Namespace, **changes: object) -> Recipe:
    """Return a recipe at the size of the run, with the changes of the command line."""
    always = {"size": str(options.size), "fit": "within", "enlarge": True}
    by_hand = (text.partition("=") for text in options.set)
    wanted = {key: yaml.safe_load(value) for key, _, value in by_hand}
    return book.change(book.find(name), always | wanted | changes)


def variant(name: str, options: Namespace) -> Variant:
    """Return the recipe called `name`, or the program whose paintings are called so."""
    foreign = any((options.out / "paintings").glob(f"*/{name}.png"))
    if foreign and name not in book.names():
        return Variant(name, None)
    return Variant(Path(name).stem, changed(name, options))


def paint(pair: Pair, way: Variant, options: Namespace) -> Painting:
    """Paint a pair, unless the output folder has the painting with the same settings."""
    path = options.out / "paintings" / pair.name / f"{way.label}.png"
    if way.recipe is None:
        return Painting(read(path).pixels)
    settings = {"content": pair.content.sha256, "style": pair.style.sha256,
                "recipe": way.recipe.model_dump(mode="json")}  # fmt: skip
    receipt = path.with_suffix(".json")
    if path.is_file() and receipt.is_file():
        kept = json.loads(receipt.read_text("utf-8"))
        if kept.pop("settings") == settings:
            return Painting(read(path).pixels, **kept)
    given = task(way.recipe, (pair.content.pixels, pair.style.pixels), {})
    begin = time.monotonic()
    picture = as_written(final_picture(given, options.device))
    seconds = round(time.monotonic() - begin, 1)
    made = Painting(picture, seconds, _device(options.device))
    path.parent.mkdir(parents=True, exist_ok=True)
    receipt.unlink(missing_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)
    _write(receipt, {"seconds": seconds, "device": made.device, "settings": settings})
    return made


def _device(name: str) -> str:
    devices = TorchAutograd({"device": name}).devices()
    used = next(device for device in devices if name == "auto" or device.name.startswith(name))
    return f"{device_model(torch.device(used.name))}, {used.description}"


def measure(pair: Pair, painting: Painting) -> Figures:
    """Measure a painting against its content, at its size, and its style, at its area."""
    picture = painting.picture
    height, width = picture.shape[:2]
    content = np.clip(resize(pair.content.pixels, (width, height)), 0, 255)
    style = pair.style.pixels
    scale = math.sqrt(width * height / (style.shape[0] * style.shape[1]))
    style = np.clip(
        resize(style, (round(style.shape[1] * scale), round(style.shape[0] * scale))), 0, 255
    )
    figures = {
        "content": measures.content_distance(picture, content),
        "style": measures.style_distance(picture, style),
        "high": measures.high_frequency_share(picture)
        / max(measures.high_frequency_share(style), 1e-12),
        "clipped": measures.clipped_share(picture) - measures.clipped_share(style),
    }
    return figures if painting.seconds is None else {**figures, "seconds": painting.seconds}


def sheets(options: Namespace) -> None:
    """Paint, measure, and add the sheets, their key and the table to the output folder."""
    ways = [variant(name, options) for name in options.recipes]
    table: dict[str, dict[str, Figures]] = _read(options.out / "table.json", {})
    keys: dict[str, Key] = _read(options.out / "key.json", {})
    devices: set[str] = set(_read(options.out / "devices.json", []))
    for pair in pairs(options.pairs, options.pictures):
        made = {way.label: paint(pair, way, options) for way in ways}
        devices |= {painting.device for painting in made.values() if painting.device}
        table[pair.name] = {label: measure(pair, painting) for label, painting in made.items()}
        order = sorted(made)
        random.Random(f"{options.seed} {pair.name}").shuffle(order)
        keys[pair.name] = dict(zip(ascii_uppercase, order, strict=False))
        cells = [Cell(letter, made[label].picture) for letter, label in keys[pair.name].items()]
        _save(options, "sheets", pair.name, [_shown(pair), *in_rows(cells, COLUMNS)])
        print(pair.name, json.dumps(table[pair.name]), flush=True)
        _write(options.out / "key.json", keys)
        _write(options.out / "table.json", table)
        _write(options.out / "devices.json", sorted(devices))
        about = f"Long side {options.size} pixels; seconds on {', '.join(sorted(devices))}."
        _write_lines(options.out / "table.md", [about, "", *table_lines(table)])


def _shown(pair: Pair) -> list[Cell]:
    return [Cell("content", pair.content.pixels), Cell("style", pair.style.pixels)]


def _save(options: Namespace, folder: str, name: str, rows: Sequence[Sequence[Cell]]) -> None:
    path = options.out / folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(rows, options.size).astype(np.uint8)).save(path)


def table_lines(table: Mapping[str, Mapping[str, Figures]]) -> Iterator[str]:
    """Yield a table: the means of each recipe, then every painting."""
    yield "| pair | recipe | content | style | seconds | high frequencies | clipped |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    labels = dict.fromkeys(label for figures in table.values() for label in figures)
    for label in labels:
        mine = [figures[label] for figures in table.values() if label in figures]
        names = [name for name in mine[0] if all(name in figures for figures in mine)]
        means = {name: fmean(figures[name] for figures in mine) for name in names}
        yield _row(f"mean of {len(mine)}", label, means)
    for pair, by_label in table.items():
        for label, figures in by_label.items():
            yield _row(pair, label, figures)


def _row(pair: str, label: str, figures: Figures) -> str:
    seconds = f"{figures['seconds']:.1f}" if "seconds" in figures else "-"
    return (f"| {pair} | {label} | {figures['content']:.3f} | {figures['style']:.3f} | {seconds} "
            f"| {figures['high']:.2f} | {100 * figures['clipped']:+.1f} % |")  # fmt: skip


def strength(options: Namespace) -> None:
    """Paint pairs at several strengths; write a row of pictures for each, and a table."""
    rows = []
    for pair in pairs(options.pairs, options.pictures):
        for name in options.recipes:
            stem = Path(name).stem
            ways = [Variant(f"{stem}-{level}", changed(name, options, strength=level))
                    for level in STRENGTHS]  # fmt: skip
            made = [paint(pair, way, options) for way in ways]
            figures = [measure(pair, painting) for painting in made]
            content, style = _shown(pair)
            levels = [Cell(str(level), painting.picture)
                      for level, painting in zip(STRENGTHS, made, strict=True)]  # fmt: skip
            _save(options, "strength", f"{pair.name}-{stem}", [[content, *levels, style]])
            rows.append(StrengthRow(pair.name, stem, *([distances[key] for distances in figures]
                                               for key in ("content", "style"))))  # fmt: skip
            print(rows[-1].line, flush=True)
    _write_lines(options.out / "strength.md", strength_lines(rows))


@dataclass(frozen=True)
class StrengthRow:
    """The distances of a pair to its content and its style, by rising strength."""

    pair: str
    recipe: str
    content: list[float]
    style: list[float]

    @property
    def is_monotonic(self) -> bool:
        """True if each strength is farther from the content and nearer to the style."""
        rises = all(less < more for less, more in pairwise(self.content))
        return rises and all(less > more for less, more in pairwise(self.style))

    @property
    def line(self) -> str:
        """A row of the table."""
        cells = [self.pair, self.recipe]
        for values in (self.content, self.style):
            steps = [abs(after - before) for before, after in pairwise(values)]
            largest = max(steps) / max(sum(steps), 1e-12)
            cells += [" ".join(f"{value:.3f}" for value in values), f"{largest:.2f}"]
        return f"| {' | '.join(cells)} | {'yes' if self.is_monotonic else 'no'} |"


def strength_lines(rows: Sequence[StrengthRow]) -> Iterator[str]:
    """Yield the table of strengths, and the count below it."""
    yield (f"| pair | recipe | content at {' '.join(map(str, STRENGTHS))} | largest step | style "
           "| largest step | monotonic |")  # fmt: skip
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    yield from (row.line for row in rows)
    yield ""
    yield f"Monotonic in both distances: {sum(row.is_monotonic for row in rows)} of {len(rows)}."


def rankings(files: Sequence[Path], keys: Mapping[str, Key]) -> dict[str, list[list[str]]]:
    """Read votes: the recipes on each pair, best first, of each judge who ranked the pair."""
    ranked: dict[str, list[list[str]]] = {}
    for file in files:
        for pair, letters in json.loads(file.read_text("utf-8")).items():
            if pair not in keys:
                raise ValueError(f"{file}: {pair!r} is no sheet of key.json; correct the name")
            if sorted(letters) != sorted(keys[pair]):
                raise ValueError(f"{file}: {pair!r} must rank each of {''.join(keys[pair])} once")
            ranked.setdefault(pair, []).append([keys[pair][letter] for letter in letters])
    return ranked


def compare(
    ranked: Mapping[str, Sequence[Sequence[str]]], first: str, second: str
) -> tuple[list[int], list[int]]:
    """Return how many votes prefer the first recipe, and the second; then how many pairs.

    The majority of its votes decides a pair; equal numbers count for neither.
    """
    votes, won = [0, 0], [0, 0]
    for rankings_of_pair in ranked.values():
        both = [vote for vote in rankings_of_pair if first in vote and second in vote]
        ahead = sum(vote.index(first) < vote.index(second) for vote in both)
        behind = len(both) - ahead
        votes = [votes[0] + ahead, votes[1] + behind]
        won = [won[0] + (ahead > behind), won[1] + (ahead < behind)]
    return votes, won


def mean_ranks(ranked: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, float]:
    """Return the mean rank of each recipe over all votes; 1 is the best."""
    ranks: dict[str, list[int]] = {}
    for votes in ranked.values():
        for vote in votes:
            for rank, recipe in enumerate(vote, start=1):
                ranks.setdefault(recipe, []).append(rank)
    return {recipe: fmean(values) for recipe, values in ranks.items()}


def votes_lines(ranked: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[str]:
    """Yield the mean ranks, and a row for each two recipes."""
    total = sum(map(len, ranked.values()))
    yield f"{total} rankings of {len(ranked)} pairs; a pair is won by the majority of its votes."
    yield ""
    yield "| recipe | mean rank |"
    yield "| --- | --- |"
    ranks = sorted(mean_ranks(ranked).items(), key=lambda item: item[1])
    yield from (f"| {recipe} | {rank:.2f} |" for recipe, rank in ranks)
    yield ""
    yield "| recipes | pairs won | votes |"
    yield "| --- | --- | --- |"
    for first, second in combinations([recipe for recipe, _ in ranks], 2):
        cells = (" : ".join(map(str, count)) for count in reversed(compare(ranked, first, second)))
        yield f"| {first} : {second} | {' | '.join(cells)} |"


def votes(options: Namespace) -> None:
    """Count the votes, if there are any, and copy all results to a page, if one is given.

    The sheets become JPEG files in `images/quality` beside the page.
    """
    if options.files:
        keys = json.loads((options.out / "key.json").read_text("utf-8"))
        lines = list(votes_lines(rankings(options.files, keys)))
        _write_lines(options.out / "votes.md", lines)
        print("\n".join(lines))
    if options.publish:
        parts = [options.out / name for name in PARTS if (options.out / name).is_file()]
        text = "\n".join(path.read_text("utf-8") for path in parts)
        into_page(options.publish, text, "quality")
        images = options.publish.parent / "images" / "quality"
        for sheet in (options.out / "sheets").glob("*.png"):
            images.mkdir(parents=True, exist_ok=True)
            with Image.open(sheet) as image:
                image.save(images / f"{sheet.stem}.jpg", quality=_SHEET_QUALITY)


def _read(path: Path, missing: Any) -> Any:
    """The JSON value in a file, or `missing` without one."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else missing


def _write(path: Path, plain: object) -> None:
    path.write_text(f"{json.dumps(plain, indent=1)}\n", encoding="utf-8")


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def arguments(words: Sequence[str]) -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="python -m bench.quality", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for run, recipes in ((sheets, RECIPES), (strength, RECIPES[:1])):
        command = commands.add_parser(run.__name__, help=(run.__doc__ or "").rstrip("."))
        command.set_defaults(run=run)
        add = command.add_argument
        add("--pairs", nargs="+", default=PAIRS, metavar="CONTENT+STYLE",
            help="pairs of pictures, by the names of their files")  # fmt: skip
        add("--recipes", nargs="+", default=recipes, metavar="RECIPE", help="recipes to paint with")
        add("--size", type=int, default=512, help="pixels of a painting's long side")
        add("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="changes to all recipes")
        add("--pictures", nargs="+", type=Path, default=[], metavar="FOLDER",
            help=f"folders searched before {PICTURES.relative_to(ROOT)}")  # fmt: skip
        add("--device", default="auto", help="where backend `torch` paints")
        add("--seed", type=int, default=1, help="of the letters on the sheets")
        add("--out", type=Path, default=ROOT / "build" / "quality", help="the output folder")
    command = commands.add_parser("votes", help=(votes.__doc__ or "").rstrip("."))
    command.set_defaults(run=votes, pictures=[])
    command.add_argument("out", type=Path, help="the output folder of the sheets")
    command.add_argument("files", type=Path, nargs="*", metavar="VOTES", help="a file per judge")
    command.add_argument("--publish", type=Path, metavar="PAGE", help="a page for all results")
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
