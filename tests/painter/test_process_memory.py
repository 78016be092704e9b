"""Memory of this process and machine, also where the system does not tell."""

from pathlib import Path

import pytest

from stylewatch_painter.process_memory import available, resident


def test_memory_is_reported_or_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 50 * 2**20 < resident() < 2**40
    assert available() > 2**20

    def fail(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", fail)
    assert (resident(), available()) == (0, float("inf"))
