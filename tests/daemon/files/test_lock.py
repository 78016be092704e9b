"""A lock is held by one, or shared by several, and goes with its process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stylewatch_daemon.files import lock

HOLDS = """
import sys, signal
from pathlib import Path
from stylewatch_daemon.files import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_one_who_holds_it_keeps_others_out(path: Path) -> None:
    with lock.held(path):
        assert lock.is_held(path)
        with pytest.raises(TimeoutError), lock.held(path, 0.01):
            pass
    assert not lock.is_held(path)
    with lock.held(path):
        pass


def test_those_who_share_it_keep_out_who_wants_it_alone(path: Path) -> None:
    with lock.shared(path), lock.shared(path):
        assert not lock.is_held(path)
        with pytest.raises(TimeoutError), lock.held(path):
            pass
    with lock.held(path):
        pass


def test_it_goes_with_the_process_that_holds_it(path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert lock.is_held(path)
        os.kill(process.pid, signal.SIGKILL)
    with lock.held(path, 10.0):
        pass


def test_a_lock_that_nobody_made_cannot_be_looked_at(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock.is_held(path)
