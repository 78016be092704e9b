"""The child that makes the doctor's checks for the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.daemon.web.world import settings

from stylewatch_daemon.web import doctor_child
from stylewatch_daemon.web.doctor_runner import _CHILD


def test_the_doctors_findings_are_told_with_the_settings_that_hold(tmp_path: Path) -> None:
    for name in ("in", "out", "state"):
        (tmp_path / name).mkdir()
    plain = settings(tmp_path).model_dump(mode="json")
    asked = json.dumps({"settings": plain, "within": 100})
    ended = subprocess.run(
        [sys.executable, *_CHILD], input=asked, capture_output=True, text=True, check=True
    )
    told = json.loads(ended.stdout)
    what = {one["what"]: one["verdict"] for one in told["findings"]}
    assert what["backend sketch"] == "ok" and f"inbox {tmp_path / 'in'}" in what
    assert all(isinstance(one["memory"], int) for one in told["devices"])


def test_only_devices_whose_memory_is_known_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [{"name": "cuda:0", "memory": 5, "description": ""}, {"name": "cpu", "memory": None}]
    monkeypatch.setattr(doctor_child, "ask", lambda asked: {"devices": devices})
    assert list(doctor_child.devices(settings(tmp_path))) == [{"name": "cuda:0", "memory": 5}]
    monkeypatch.setattr(doctor_child, "ask", lambda asked: {"problem": "it is not there"})
    assert list(doctor_child.devices(settings(tmp_path))) == []
