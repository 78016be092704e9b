"""The inspection process sets its resource limits."""

import resource
import subprocess
import sys

from stylewatch_daemon.ingest.inspection import child
from stylewatch_painter.images import reduced

LIMITS = """
import resource
from multiprocessing import Pipe
from pathlib import Path
from stylewatch_daemon.ingest.inspection import child
from stylewatch_daemon.ingest.inspection.contract import Question

def look(question):
    print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])
    return iter(())

ours, theirs = Pipe()
for pixels in (10, 500_000_000, 10):
    ours.send(Question("1", (), pixels, Path("thumbs")))
ours.close()
child.serve(theirs, "__main__:look")
"""


def test_memory_grows_with_max_pixels_above_the_default_and_no_core_is_written() -> None:
    output = subprocess.run(
        [sys.executable, "-c", LIMITS], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    memory, cores = [int(number) for number in output[::2]], output[1::2]
    default = reduced.memory(250_000_000)
    assert memory[0] == memory[2] == memory[1] - default
    assert default < child.EXTRA_MEMORY + default < min(memory[0], 1_450_000_000)
    assert cores == ["0"] * 3


def test_no_limit_exceeds_the_hard_one() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        child.limit(resource.RLIMIT_NOFILE, hard + 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        child.limit(resource.RLIMIT_NOFILE, soft - 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft - 1, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
