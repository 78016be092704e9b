"""The doctor's look at the machine: its clock, its limits, what is installed, what is hidden."""

import importlib.util
import mmap
import time
from collections.abc import Iterator
from pathlib import Path

from stylewatch_daemon.doctor.finding import Finding, mend, note, ok
from stylewatch_daemon.files import shortages
from stylewatch_daemon.ingest.scan import scan

_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_FEW = 1024
"""File descriptors below which some uses of the daemon run short."""
_EXTRAS = {
    "heic": ("pillow_heif", "pictures of telephones (.heic, .avif) can be read"),
    "notify": ("apprise", "alerts can be sent"),
    "web": ("starlette", "the page can be served"),
    "keras": ("h5py", "weights of Keras (.h5) can be imported"),
}
_TOLD_BY_KERNEL = ("/proc/cpuinfo", "/proc/meminfo", "/proc/sys/fs/inotify/max_user_watches")


def watches(inboxes: list[Path]) -> Finding:
    """Whether the kernel lets us watch as many folders as there are in the inboxes."""
    folders = sum(1 + len(scan(inbox).folders) for inbox in inboxes if inbox.is_dir())
    try:
        allowed = int(_WATCHES.read_text())
    except (OSError, ValueError):
        return note("inotify", "how many folders may be watched is not told here")
    if folders >= allowed:
        return note(
            "inotify",
            f"the inboxes have {folders} folders, and {allowed} may be watched: they are looked "
            "through now and then instead. `sysctl fs.inotify.max_user_watches` raises that",
        )
    return ok("inotify", f"{folders} folders to watch, {allowed} may be")


def descriptors() -> Finding:
    """Whether the daemon may have as many file descriptors as it needs."""
    limit, what = shortages.highest(), "file descriptors"
    helps = "raise the limit with LimitNOFILE= in the unit or with ulimit -Hn"
    if limit < shortages.MINIMUM:
        words = f"the limit is {limit} and the daemon needs {shortages.MINIMUM}: {helps}"
        return mend(what, words, 78)
    if limit < _FEW:
        words = f"the limit is {limit}, which is low for a page or for several devices: {helps}"
        return note(what, words)
    return ok(what, f"the limit is {limit}")


def clock(state: Path) -> Finding:
    """Whether it is later now than when the program and the folder `state` were written."""
    now = time.time()
    written = [path.stat().st_mtime for path in (Path(__file__), state) if path.exists()]
    if now + 1 < max(written):
        return mend(
            "clock",
            "it is behind the time at which files here were written: set it (`timedatectl`), or "
            "receipts tell wrong times and `retention` counts wrong days",
            78,
        )
    return ok("clock", f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC")


def extras() -> Iterator[Finding]:
    """What was installed beyond the needful."""
    for name, (module, use) in _EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield ok(f"extra {name}", use)
        else:
            yield note(f"extra {name}", f"with `pip install 'stylewatch[{name}]'` {use}")


def sandbox(root: Path) -> Iterator[Finding]:
    """What a sandbox around us takes away; `root` is where /proc lies."""
    hidden = [path for path in _TOLD_BY_KERNEL if not (root / path[1:]).exists()]
    if hidden:
        yield note(
            "sandbox",
            f"{', '.join(hidden)} cannot be seen, so that libraries do not know the processor "
            "and paint many times slower: let the unit have ProcSubset=all",
        )
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        yield note(
            "sandbox",
            "no memory may be written and executed, and torch cannot paint on the processor "
            "without: let the unit have MemoryDenyWriteExecute=no",
        )
    else:
        if not hidden:
            yield ok("sandbox", "nothing is hidden that painting needs")
