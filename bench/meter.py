"""CPU time by parts of a program: functions are wrapped, each for a part.

The time of a function is that of its own part, but for what it calls of other parts. What the meter
itself takes is measured when it is made, and reported apart.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from inspect import isgeneratorfunction
from typing import Any

import pytest

REST = "all else"

TRIED = 20_000
"""Calls by which the meter measures itself."""


class Meter:
    """Nanoseconds by `clock` that each part took, and how often its functions were called.

    `calls` are by the part that was called, `called_by` by the one that did.
    """

    def __init__(self, clock: Callable[[], int] = time.process_time_ns) -> None:
        self.spent: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.called_by: Counter[str] = Counter()
        self._clock, self._stack, self._since = clock, [REST], clock()
        self._within, self._around = self._measured()
        self.reset()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time in the `with` block as part `name`."""
        self._book()
        self._stack.append(name)
        try:
            yield
        finally:
            self._book()
            self._stack.pop()

    def reset(self) -> None:
        """Begin anew."""
        self._since = self._clock()
        for counted in (self.spent, self.calls, self.called_by):
            counted.clear()

    def wrap(self, patch: pytest.MonkeyPatch, owner: Any, name: str, part: str) -> None:
        """Have the function `name` of `owner` belong to a part, as long as `patch` holds."""
        real = getattr(owner, name)
        patch.setattr(owner, name, self._steps(real, part) if isgeneratorfunction(real)
                      else self._call(real, part))  # fmt: skip

    def own(self, part: str) -> float:
        """Nanoseconds of a part that the meter itself took, in its functions and around others."""
        return self.calls[part] * self._within + self.called_by[part] * self._around

    def _measured(self) -> tuple[float, float]:
        """Nanoseconds that a call takes more by the meter: within the function, and around it."""

        def plain() -> None:
            pass

        for name, function in (("around", self._call(plain, "within")), ("bare", plain)):
            with self.part(name):
                for _ in range(TRIED):
                    function()
        within, around, bare = (self.spent[part] / TRIED for part in ("within", "around", "bare"))
        return within, max(0.0, around - bare)

    def _call(self, real: Callable[..., Any], part: str) -> Callable[..., Any]:
        def called(*args: Any, **more: Any) -> Any:
            self.calls[part] += 1
            self.called_by[self._stack[-1]] += 1
            self._book()
            self._stack.append(part)
            try:
                return real(*args, **more)
            finally:
                self._book()
                self._stack.pop()

        return called

    def _steps(self, real: Callable[..., Any], part: str) -> Callable[..., Any]:
        @wraps(real)
        def stepped(*args: Any, **more: Any) -> Any:
            step = self._call(partial(next, real(*args, **more), None), part)
            while (found := step()) is not None:
                yield found

        return stepped

    def _book(self) -> None:
        now = self._clock()
        self.spent[self._stack[-1]] += now - self._since
        self._since = now
