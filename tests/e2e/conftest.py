"""A folder with pictures, in which a daemon can be started."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.daemon import Daemon

from stylewatch_daemon.cli import control


@pytest.fixture
def daemon(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.chdir(pictures)
    monkeypatch.setattr(control, "ANSWER_WITHIN_S", 100.0)  # however busy the machine is
    (pictures / "content.jpg").rename("sea.jpg")
    (pictures / "style.jpg").rename("wave.jpg")
    (pictures / "inbox").mkdir()
    daemon = Daemon(pictures)
    yield daemon
    if daemon.process is not None:
        daemon.end()
