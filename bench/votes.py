"""Counts of judges' votes on the sheets of `bench.quality`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

Key = Mapping[str, str]
"""The recipe of each letter of a sheet."""

Rankings = Mapping[str, Sequence[Sequence[str]]]
"""Votes by pair: the recipes, best first, of each judge who ranked the pair."""


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


def lines(ranked: Rankings) -> Iterator[str]:
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
