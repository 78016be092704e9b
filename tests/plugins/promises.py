"""Runs single tests of the conformance suite, and returns the result."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from _pytest.outcomes import OutcomeException

from stylewatch_plugins.contract import Backend, BackendOptionError
from stylewatch_plugins.testing import BackendConformance

Make = Callable[[Mapping[str, object]], Backend]

PROMISES = [name for name in dir(BackendConformance) if name.startswith("test_")]
"""The names of all tests in the suite."""


def keeps(make: Make, promise: str) -> bool:
    """Run a test of the suite with all of its parameters; return whether the backend passes."""
    suite = type("Conformance", (BackendConformance,), {"make": lambda _, options: make(options)})()
    test = getattr(suite, promise)
    try:
        for given in _parameters(test):
            if "backend" in inspect.signature(test).parameters:
                given["backend"] = suite.make({})
            test(**given)
    except (AssertionError, IndexError, BackendOptionError, OutcomeException):
        return False
    return True


def _parameters(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """Yield every combination of a test's parameters."""
    marks = [mark.args for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    for values in product(*(choice for _, choice in marks)):
        yield dict(zip((name for name, _ in marks), values, strict=True))
