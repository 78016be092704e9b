"""The inside of an intake process: it is held to its limits, and leaves with its supervisor."""

import os
import resource
import subprocess
import sys
from pathlib import Path

from stylewatch_daemon.ingest.inspection import child
from stylewatch_painter.images import reduced

LIMITS = """
import resource
from multiprocessing import Pipe
from pathlib import Path
from stylewatch_daemon import processes
from stylewatch_daemon.ingest.inspection import child
from stylewatch_daemon.ingest.inspection.contract import Question

def look(question):
    print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])
    return iter(())

processes._leave_with_parent = lambda: None
ours, theirs = Pipe()
for pixels in (10, 500_000_000, 10):
    ours.send(Question("1", (), pixels, Path("thumbs")))
ours.close()
child.serve(theirs, "__main__:look")
"""
ORPHAN = """
import time
from multiprocessing import get_context
from tests.daemon.ingest.inspection.looks import LOOK
from stylewatch_daemon.ingest.inspection.process import _enter

if __name__ == "__main__":
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_enter, args=(theirs, LOOK))
    process.start()
    print(process.pid, flush=True)
    time.sleep(1000)
"""


def test_memory_is_bounded_and_grows_with_a_limit_above_the_usual_and_no_core_is_left() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LIMITS], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    memory, cores = [int(one) for one in said[::2]], said[1::2]
    usual = reduced.memory(250_000_000)
    assert memory[0] == memory[2] == memory[1] - usual
    assert usual < child.BESIDE + usual < min(memory[0], 1_450_000_000)
    assert cores == ["0"] * 3


def test_no_more_is_taken_than_may_be_at_all() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        child.limit(resource.RLIMIT_NOFILE, hard + 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        child.limit(resource.RLIMIT_NOFILE, soft - 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft - 1, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_it_leaves_when_its_supervisor_is_killed() -> None:
    root = Path(__file__).parents[4]
    process = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, cwd=root)
    with process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(pid, 0)
        process.kill()
    while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
        pass


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
