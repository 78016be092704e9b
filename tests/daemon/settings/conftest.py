"""A file of settings, and how to load it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import ServiceSettings

Load = Callable[..., ServiceSettings]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def load(file: Path) -> Load:
    """Load settings with this text."""

    def load(text: str, *args: Any, **more: Any) -> ServiceSettings:
        file.write_text(text)
        return config.load(file, *args, **more)

    return load
