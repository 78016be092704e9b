"""Real disks for tests: small ones in memory, where this machine lets us mount them."""

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A file system of its own in memory at `folder`, of so many KiB; OSError where we may not."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise PermissionError(error.stderr) from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as root:
        try:
            with small_disk(Path(root) / "disk", 64):
                return True
        except OSError:
            return False


CAN_MOUNT = _can_mount()


def fill_up(folder: Path) -> Path:
    """Write until the disk of `folder` is full; the file that fills it."""
    filler = folder / ".filler"
    with filler.open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def let_children_write(bytes_: int) -> None:
    """Let worker processes make no file longer than that, as if their disk were full."""
    for child in active_children():
        assert child.pid is not None
        _, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (bytes_, hard))
