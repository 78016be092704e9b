"""Transfer of the style of one picture to another: decoding, losses, optimization and encoding.

This package imports no other package of stylewatch. Start with docs/library.md, then with the
module `paint.paint`.
"""

import os
from pathlib import Path

# Torch's threads busy-wait for one another, by default for milliseconds. When other programs run
# too, busy-waiting threads take the processor from the threads that they wait for: a step took up
# to five times as long. A short busy-wait is as fast on an idle machine. OpenMP reads this variable
# when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Feature maps are hundreds of megabytes that are allocated and freed in every step, and the kernel
# spends most of its time mapping their pages. With pages of 2 MiB a painting took 13 % less time
# and no more memory. Torch reads this variable at its first allocation; it would warn on a system
# without such pages.
if Path("/sys/kernel/mm/transparent_hugepage").is_dir():
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
