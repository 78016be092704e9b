"""Environment variables that the painter sets for its libraries."""

import os
import subprocess
import sys
from pathlib import Path


def test_threads_wait_for_each_other_without_spinning_for_long() -> None:
    environment = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    environment.pop("GOMP_SPINCOUNT", None)
    program = "import stylewatch_painter, torch"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" in ended.stderr:  # the OpenMP of GCC, as in torch's wheels for Linux
        assert "GOMP_SPINCOUNT = '1000'" in ended.stderr


def test_maps_are_in_huge_pages() -> None:
    """Where the kernel has them; `hg` is its flag of memory that asked for them."""
    environment = dict(os.environ)
    environment.pop("THP_MEM_ALLOC_ENABLE", None)
    program = """
import stylewatch_painter, torch
maps = torch.empty(1 << 24)
flags, inside = "", False
for line in open("/proc/self/smaps"):
    first, *rest = line.split()
    if "-" in first:
        start, end = (int(address, 16) for address in first.split("-"))
        inside = start <= maps.data_ptr() < end
    elif inside and first == "VmFlags:":
        flags = rest
print("hg" in flags)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"{Path('/sys/kernel/mm/transparent_hugepage').is_dir()}\n"
    assert not ended.stderr
