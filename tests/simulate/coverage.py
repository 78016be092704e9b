"""What the worlds have covered: transitions, pairs of features, calls and their errors."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations

from tests.simulate.plan import FAULTS, MORE, SETTINGS, USER
from tests.simulate.wiring import TRANSITIONS
from tests.simulate.world import Result

FEATURES = (*SETTINGS, *USER, *FAULTS, *chain(*MORE), "archive", "keep", "delete")
SHOWN = 12
_APART = ({"default style", "all styles"},
          *({"after", other} for other in ("cards", "restore", "deny", "inner disk")))  # fmt: skip
"""Features that never occur in one world."""


@dataclass
class Coverage:
    """Numbers of worlds and events."""

    worlds: int = 0
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    trainings: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count a world."""
        self.worlds += 1
        self.transitions += result.transitions
        self.errors += result.injected
        self.trainings += result.trainings
        self.pairs.update(combinations(result.plan.features, 2))

    def merge(self, other: "Coverage") -> None:
        """Count the worlds of another process."""
        self.worlds += other.worlds
        self.transitions += other.transitions
        self.pairs += other.pairs
        self.errors += other.errors
        self.trainings += other.trainings

    def lines(self) -> Iterator[str]:
        """Describe what was covered, and what was not."""
        known = {pair: n for pair, n in self.transitions.items() if pair in TRANSITIONS}
        lacking = sorted(f"{state} {event}" for state, event in TRANSITIONS - known.keys())
        yield f"transitions of the lifecycle: {len(known)} of {len(TRANSITIONS)}" + _more(lacking)
        every = {(a, b) for a, b in combinations(sorted(FEATURES), 2) if not _excluded(a, b)}
        missing = sorted(f"{a} with {b}" for a, b in every - self.pairs.keys())
        yield f"pairs of features: {len(every) - len(missing)} of {len(every)}" + _more(missing)
        yield f"pairs of features and file systems: {len(self.pairs)}"
        yield f"trainings: {', '.join(f'{how} {n}' for how, n in sorted(self.trainings.items()))}"
        calls = Counter(call for call, _ in self.errors.elements())
        yield f"calls and errors: {len(self.errors)} pairs, {calls.total()} errors"
        for call in sorted(calls):
            names = sorted(name for each, name in self.errors if each == call)
            yield f"  {call}: {', '.join(names)}"


def _excluded(first: str, second: str) -> bool:
    return {first, second} in _APART


def _more(lacking: list[str]) -> str:
    if not lacking:
        return ""
    rest = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
    return f"; not {', '.join(lacking[:SHOWN])}{rest}"
