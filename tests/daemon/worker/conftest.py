"""The order that most tests of workers run, and a record of what became durable meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon.faults import recorded_syncs
from tests.daemon.worker.orders import order

from stylewatch_daemon.worker import checkpoint
from stylewatch_daemon.worker.messages import Order


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Record as `recorded_syncs` does; checkpoints, which are not saved, are syncs too."""
    with recorded_syncs() as events:
        monkeypatch.setattr(checkpoint, "save", lambda *_: events.append(("sync", "checkpoint")))
        yield events
