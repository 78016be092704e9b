"""A file of settings, and how to load it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config

Load = Callable[..., Config]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def load(file: Path) -> Load:
    """Load settings with this text."""

    def load(text: str, *args: Any, **more: Any) -> Config:
        file.write_text(text)
        return config.load(file, *args, **more)

    return load
