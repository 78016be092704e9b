"""Memory of processes and of the machine."""

import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

_GROUP = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from <malloc.h> of glibc
_LARGE = 1 << 20  # bytes: smaller than the maps of a large picture, larger than all other blocks
_MAPPED_BLOCKS = 1 << 16  # number of blocks that may be mapped separately; glibc's default
_UNUSED = 1 << 30  # bytes that may remain unused at the end of the heap


def import_uncollected(name: str) -> ModuleType:
    """Return the module `name`, imported without garbage collection if it is not imported yet.

    The import exempts all objects that exist after it from later collections: classes and functions
    live until the process ends, and collecting garbage among torch's objects takes a sixth of the
    import time. The import runs in a new thread, whose stack is empty: on the stack of a command,
    Python mapped and unmapped the same stack chunk 13,000 times, because a loop in torch called
    functions across the end of that chunk.
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


def resident(pid: int | str = "self") -> int:
    """Return the resident memory of a process, by default this one, in bytes; 0 if unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def trim_heap() -> None:
    """Return freed memory to the system; do nothing without glibc.

    Python's garbage is not collected.
    """
    _call_glibc("malloc_trim", 0)


def give_back_large_blocks() -> None:
    """Make the C library return freed blocks of 1 MiB or more to the system at once.

    By default glibc keeps blocks of a size that was freed once; feature maps of many sizes then
    leave holes that no other block fits into. Without glibc, do nothing.
    """
    _call_glibc("mallopt", _M_MMAP_MAX, _MAPPED_BLOCKS)
    _call_glibc("mallopt", _M_MMAP_THRESHOLD, _LARGE)
    _call_glibc("mallopt", _M_TRIM_THRESHOLD, _LARGE)


def keep_large_blocks() -> None:
    """Make the C library keep freed blocks of any size for reuse. Without glibc, do nothing.

    It returns memory to the system only beyond 1 GiB of unused memory at the end of the heap.

    Feature maps are allocated and freed in every step. At 4 megapixels the kernel used a quarter of
    the processor time to map their pages. Keeping the blocks takes up to 50 % more memory.
    """
    _call_glibc("mallopt", _M_MMAP_MAX, 0)
    _call_glibc("mallopt", _M_TRIM_THRESHOLD, _UNUSED)


def _call_glibc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # the C library is not glibc
            getattr(ctypes.CDLL(None), function)(*arguments)


def available() -> float:
    """Return the number of bytes that the machine and this process's control groups still allow.

    The result is inf if nothing is known. Cached files count as free, as in `MemAvailable`: the
    system drops them when it needs memory.
    """
    free = _of_machine("MemAvailable")
    for group in _groups():
        limit = min(_limit(group / "memory.max"), _limit(group / "memory.high"))
        with suppress(OSError, ValueError):
            used = int((group / "memory.current").read_text(encoding="ascii"))
            stat = (group / "memory.stat").read_text(encoding="ascii")
            files = sum(map(int, re.findall(r"^(?:in)?active_file (\d+)$", stat, re.MULTILINE)))
            free = min(free, limit - used + files)
    return free


def installed() -> float:
    """Return the bytes of the machine's memory, or the lowest limit of a control group if lower.

    The control groups are those of this process. The result is inf if nothing is known.
    """
    limits = (_limit(group / "memory.max") for group in _groups())
    return min(_of_machine("MemTotal"), *limits)


def _groups() -> Iterator[Path]:
    """Yield the control groups (version 2) of this process, from its own to the root."""
    path = _GROUP
    with suppress(OSError):
        lines = _OWN_GROUP.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
        path = _GROUP.joinpath(*names[:1])
    while path != _GROUP:
        yield path
        path = path.parent
    yield _GROUP


def _limit(file: Path) -> float:
    """Return the limit in a control group's file, in bytes; inf if there is none."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return float("inf")


def _of_machine(field: str) -> float:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return float("inf")
    match = re.search(rf"{field}: +(\d+) kB", text)
    return int(match[1]) * 1024.0 if match else float("inf")
