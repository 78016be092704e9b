"""A folder with pictures, in which a daemon can be started."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.daemon import Daemon


@pytest.fixture
def daemon(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.chdir(pictures)
    (pictures / "content.jpg").rename("sea.jpg")
    (pictures / "style.jpg").rename("wave.jpg")
    (pictures / "inbox").mkdir()
    daemon = Daemon(pictures)
    yield daemon
    if daemon.process is not None:
        daemon.end()
