"""A place with pictures, where a daemon can be started."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.daemon import Place


@pytest.fixture
def place(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(pictures)
    (pictures / "content.jpg").rename("sea.jpg")
    (pictures / "style.jpg").rename("wave.jpg")
    (pictures / "inbox").mkdir()
    place = Place(pictures)
    yield place
    if place.process is not None:
        place.end()
