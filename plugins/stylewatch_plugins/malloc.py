"""How a process that paints gets its memory, and gives it back."""

import ctypes
import gc
import os
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


def give_back_freed() -> None:
    """Hand back to the system all that was freed, and what nothing refers to any more."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # where the C library is not glibc
            ctypes.CDLL(None).malloc_trim(0)


def ask_for_large_pages() -> None:
    """Have torch keep its tensors in pages of 2 MB, where the kernel leaves that to programs.

    Maps are made anew at every step, and in pages of 4 kB it takes a sixteenth of a step to have
    them all. Torch looks for it when it makes its first tensor, and never again.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
