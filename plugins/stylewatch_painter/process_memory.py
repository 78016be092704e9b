"""Memory of this process and of the machine."""

import ctypes
import gc
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

_GROUP = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # as <malloc.h> of glibc has them
_LARGE = 1 << 20  # bytes: less than the maps of any large picture, more than all other blocks
_MAPPED_BLOCKS = 1 << 16  # number of blocks that may be mapped by themselves; glibc's default
_UNUSED = 1 << 30  # bytes that may stay unused at the end of the heap


def import_uncollected(name: str) -> ModuleType:
    """Import a module without searching its objects for garbage, now or later.

    Classes and functions stay until the process ends. Searching through those of torch takes a
    sixth of its import. The import runs in a thread, whose stack is empty: below the
    stack of a command, Python mapped and unmapped a piece of its stack 13,000 times, as a loop of
    torch happened to call functions across the end of a piece.
    """
    if name in sys.modules:
        return sys.modules[name]
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(import_module, name).result()
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def resident() -> int:
    """Resident memory of this process in bytes; 0 if unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * 4096


def give_back_freed() -> None:
    """Collect garbage and return all freed memory to the system."""
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Return freed memory to the system, without collecting garbage. It needs glibc."""
    _call_glibc("malloc_trim", 0)


def give_back_large_blocks() -> None:
    """Make the C library return freed blocks of 1 MB and more to the system at once.

    glibc stops doing so for sizes that were freed before; feature maps of many sizes then leave
    holes that nothing else fits into. Without glibc this does nothing.
    """
    _call_glibc("mallopt", _M_MMAP_MAX, _MAPPED_BLOCKS)
    _call_glibc("mallopt", _M_MMAP_THRESHOLD, _LARGE)
    _call_glibc("mallopt", _M_TRIM_THRESHOLD, _LARGE)


def keep_large_blocks() -> None:
    """Make the C library keep freed blocks of any size for later ones. It needs glibc.

    Feature maps are allocated and freed at every step. At 4 megapixels the kernel took a quarter of
    the processor's time to map their pages; kept, they need up to half as much memory again.
    """
    _call_glibc("mallopt", _M_MMAP_MAX, 0)
    _call_glibc("mallopt", _M_TRIM_THRESHOLD, _UNUSED)


def _call_glibc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # where the C library is another one
            getattr(ctypes.CDLL(None), function)(*arguments)


def available() -> float:
    """Bytes that can still be allocated, by machine and control group; inf if unknown."""
    free = _of_machine("MemAvailable")
    with suppress(OSError, ValueError):  # without a limit the file contains `max`
        limit = int((_GROUP / "memory.max").read_text(encoding="ascii"))
        free = min(free, limit - int((_GROUP / "memory.current").read_text(encoding="ascii")))
    return free


def installed() -> float:
    """Bytes of memory of the machine or the control group; inf if unknown."""
    total = _of_machine("MemTotal")
    with suppress(OSError, ValueError):
        total = min(total, int((_GROUP / "memory.max").read_text(encoding="ascii")))
    return total


def _of_machine(field: str) -> float:
    with suppress(OSError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        if match := re.search(rf"{field}: +(\d+) kB", text):
            return int(match[1]) * 1024.0
    return float("inf")
