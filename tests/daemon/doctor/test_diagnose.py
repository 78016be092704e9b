"""The doctor looks at everything, and leaves no more behind than the daemon itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.diagnose import diagnose
from stylewatch_daemon.settings.job import JobSettings


def test_all_is_looked_at_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "ask", lambda asked: {"words": "fine"})
    inbox = make_inbox(tmp_path / "in", tmp_path / "out")
    service = make_settings((inbox,), tmp_path / "state", job=JobSettings(size="64"))
    found = list(diagnose(service))
    kinds = {one.what.split()[0] for one in found}
    assert kinds == {"daemon", "inbox", "outbox", "state", "room", "inotify", "backend", "weights",
                     "clock", "extra", "sandbox", "file"}  # fmt: skip
    assert not [one for one in found if one.verdict == "mend"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_heavy_is_loaded_to_look() -> None:
    program = (
        "import sys; import stylewatch_daemon.doctor.diagnose, stylewatch_daemon.cli.doctor; "
        "print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
