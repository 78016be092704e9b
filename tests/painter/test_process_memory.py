"""What this process holds of memory, of this machine and of one that says nothing."""

from pathlib import Path

import pytest

from stylewatch_painter.process_memory import available, resident


def test_memory_is_reported() -> None:
    assert 50 * 2**20 < resident() < 2**40
    assert available() > 2**20


def test_unknown_memory_is_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", nothing)
    assert (resident(), available()) == (0, float("inf"))
