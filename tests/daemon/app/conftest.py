"""Fixtures of the tests of the application."""

import signal
from collections.abc import Iterator

import pytest

from stylewatch_daemon.base.wakeup import SIGNALS


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the handlers of signals, which a daemon that ends or starts anew does not."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
