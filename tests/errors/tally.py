"""What was tried and what was wrong, counted, and as tables."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.errors.bench import Bench, Case, Setting, Violation
from tests.errors.calls import CLASSES
from tests.errors.scenarios import SCENARIOS


class Tally:
    """Counts of cases by setting and class, and of violations by kind and place."""

    def __init__(self) -> None:
        self.tried, self.wrong = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        self.places = Counter[tuple[str, str]]()

    def add(self, bench: Bench, case: Case, found: Sequence[Violation]) -> None:
        """Count a case, and each kind of violation in it once."""
        key = str(case.setting), case.group
        self.tried[key] += 1
        self.wrong[key] += bool(found)
        there = bench.call_of(case).place
        self.places.update({(each.kind, each.place or there) for each in found})

    def save(self, path: Path) -> None:
        """Write the counts to a file."""
        counts = self.tried, self.wrong, self.places
        path.write_text(json.dumps([list(each.items()) for each in counts]))

    def load(self, path: Path) -> None:
        """Add the counts of a file."""
        counts = self.tried, self.wrong, self.places
        for each, rows in zip(counts, json.loads(path.read_text()), strict=True):
            each.update({(first, second): number for (first, second), number in rows})

    @property
    def violations(self) -> int:
        """Number of cases with a violation."""
        return self.wrong.total()

    def tables(self) -> Iterator[str]:
        """Yield the lines of a table of cases, and of one of violations if there are any."""
        groups = [group for group in CLASSES if any(group == each for _, each in self.tried)]
        yield f"| scenario | {' | '.join(groups)} | all |"
        yield f"| --- |{' ---: |' * (len(groups) + 1)}"
        every = (str(Setting(scenario, apart)) for scenario in SCENARIOS for apart in (False, True))
        names = [name for name in every if any(name == each for each, _ in self.tried)]
        for row, members in [*((name, [name]) for name in names), ("all", names)]:
            columns = [*([group] for group in groups), groups]
            cells = (self._cell((name, group) for name in members for group in column)
                     for column in columns)  # fmt: skip
            yield f"| {row} | {' | '.join(cells)} |"
        yield "\nCases that were tried; in brackets those with a violation."
        if self.places:
            yield "\n| violation | function that met the error | cases |\n| --- | --- | ---: |"
        for (kind, place), number in sorted(self.places.items()):
            yield f"| {kind} | {place} | {number:,} |"

    def _cell(self, keys: Iterable[tuple[str, str]]) -> str:
        cases = list(keys)
        tried = sum(self.tried[case] for case in cases)
        wrong = sum(self.wrong[case] for case in cases)
        return f"{tried:,} ({wrong:,})" if wrong else f"{tried:,}"
