"""Memory that was freed is not held on to."""

import subprocess
import sys

# a block of 30 MB teaches glibc to keep such; the next, freed under a smaller one, would stay
PROGRAM = """
import os, sys
from stylewatch_plugins.malloc import give_back_large_blocks

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1] == "asked":
    give_back_large_blocks()
first = bytearray(30_000_000)
del first
before = held()
blocks = [bytearray(20_000_000) for _ in range(3)]
for block in blocks:
    block[::4096] = b"x" * len(block[::4096])  # pages count once they are touched
pins = [bytearray(200_000) for _ in range(3)]
del block, blocks
print(held() - before)
"""


def left(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_large_blocks_go_back_to_the_system_when_they_are_freed() -> None:
    """Where there is glibc; elsewhere there is nothing to see, and nothing breaks."""
    assert left("asked") < 5_000_000 or sys.platform != "linux"


# small blocks, of which the last one pins all: the C library keeps what is freed below it
MANY = """
import os
from stylewatch_plugins.malloc import give_back_freed

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(b"x") * 100_000 for _ in range(600)]
pin = bytearray(b"x") * 100_000
circle = [blocks]
circle.append(circle)
before = held()
del blocks, circle
give_back_freed()
print(before - held())
"""


def test_what_was_freed_goes_back_when_that_is_asked_for() -> None:
    """Though it lies below what is in use, and though it referred to itself."""
    command = [sys.executable, "-c", MANY]
    given = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert given > 50_000_000 or sys.platform != "linux"
