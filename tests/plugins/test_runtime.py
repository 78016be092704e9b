"""ONNX Runtime reports to nobody, unless whoever runs us wants that."""

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from stylewatch_plugins.runtime import runtime

SAID = "ORT_DISABLE_TELEMETRY"


def test_it_is_the_runtime_that_is_installed() -> None:
    assert runtime() is onnxruntime


def test_no_journal_of_reports_is_begun(tmp_path: Path) -> None:
    """Which it is on import already; under CI there would be none anyway."""
    script = (
        "from stylewatch_plugins.onnx_vgg import OnnxVgg\n"
        "print(OnnxVgg({'device': 'cpu'}).devices())\n"
    )
    env = {name: value for name, value in os.environ.items() if name not in (SAID, "CI")}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "cpu" in done.stdout
    assert not list(tmp_path.rglob("*"))


def test_who_wants_reports_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SAID, "0")
    runtime()
    assert os.environ[SAID] == "0"
