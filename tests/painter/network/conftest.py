"""Folders of the user. Without compiled kernels their tests are not collected."""

from pathlib import Path

import pytest

from stylewatch_painter.network import kernels

collect_ignore = [] if kernels.library() is not None else ["test_kernels.py"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed weights; their copies are below `tmp_path / "cache"`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data" / "stylewatch" / "weights"
