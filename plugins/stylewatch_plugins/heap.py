"""Keeps large freed blocks from staying with the process."""

import ctypes
import sys
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # as <malloc.h> of glibc has it
_LARGE = 1 << 20  # bytes: under the maps of any picture that matters, over everything else


def give_back_large_blocks() -> None:
    """Have the C library hand freed blocks of 1 MB and more back to the system at once.

    glibc stops doing so for sizes that it has seen freed, and maps of many sizes then leave
    holes between them that nothing else fits into. Where there is no glibc nothing is done.
    """
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
