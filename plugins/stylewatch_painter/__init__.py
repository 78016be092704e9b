"""The painter: reads pictures, paints one in the manner of another, knows nothing of folders."""

import os

# Threads of torch that wait for each other spin, by default for milliseconds. When other programs
# run too, they keep the processor from the very threads that they wait for: a step then took up to
# five times as long. A short spin is as fast on an idle machine. OpenMP reads this when torch is
# imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
