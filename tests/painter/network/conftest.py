"""Without compiled kernels, where no C++ compiler was found, there is nothing to test of them."""

from stylewatch_painter.network import kernels

collect_ignore = [] if kernels.library() is not None else ["test_kernels.py"]
