"""The order that most tests of workers run."""

from pathlib import Path

import pytest
from tests.daemon.worker.orders import order

from stylewatch_daemon.worker.messages import Order


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)
