"""The painter: reads pictures, paints one in the manner of another, knows nothing of folders."""

import os

# A thread that has done its part of a computation sleeps until the others are ready. By default it
# would spin for milliseconds, and keep the processor from the threads that it waits for when other
# programs run too. OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
