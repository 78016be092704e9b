"""A command leaves with its code and all that it said, and leaves torch to the system."""

import subprocess
import sys

import pytest

LAST_WORDS = """
import atexit, sys, types
from stylewatch_daemon.cli.leave import leave

class Last:
    def __del__(self):
        print("taken apart")

atexit.register(print, "at the end")
kept = Last()
print("said", end=" ")
print("told", file=sys.stderr)
"""


def left(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LAST_WORDS + code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("code", [0, 65])
def test_with_torch_all_is_told_and_nothing_taken_apart(code: int) -> None:
    done = left(f"sys.modules['torch'] = types.ModuleType('torch'); leave({code})")
    assert (done.returncode, done.stdout) == (code, "said at the end\n")
    assert done.stderr == "told\n"


def test_without_torch_python_ends_as_it_does() -> None:
    done = left("leave(65)")
    assert (done.returncode, done.stdout) == (65, "said at the end\ntaken apart\n")


def test_a_thread_that_still_works_is_waited_for() -> None:
    done = left(
        "import threading, time\n"
        "sys.modules['torch'] = types.ModuleType('torch')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('worked'))).start()\n"
        "leave(0)"
    )
    assert "worked" in done.stdout


def test_a_profiler_gets_to_write() -> None:
    done = left("sys.modules['torch'] = 1; sys.setprofile(eval('lambda *_: None', {})); leave(0)")
    assert "taken apart" in done.stdout
