"""The painter: decodes pictures and transfers the style of one to another; watches no folders."""

import os
from pathlib import Path

# Threads of torch that wait for each other spin, by default for milliseconds. When other programs
# run too, they keep the processor from the very threads that they wait for: a step then took up to
# five times as long. A short spin is as fast on an idle machine. OpenMP reads this when torch is
# imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Feature maps are hundreds of megabytes that are allocated and freed at every step, and most of the
# kernel's work is to map their pages: a painting took 13 % less time with pages of 2 MiB, and no
# more memory. Torch reads this at its first allocation; without such pages it would warn.
if Path("/sys/kernel/mm/transparent_hugepage").is_dir():
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
