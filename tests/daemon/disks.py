"""Real disks for tests: small ones in memory, where this machine lets us mount them."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


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


@contextmanager
def full_stream() -> Iterator[TextIO]:
    """A text file on a full disk."""
    stream = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


@contextmanager
def same_folder(folder: Path, at: Path) -> Iterator[None]:
    """Show `folder` at the path `at` too: by a bind mount, or a link where we may not mount."""
    if not CAN_MOUNT:
        at.symlink_to(folder)
        yield
        return
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(folder), str(at)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


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


def remount(disk: Path, how: str) -> None:
    """Remount `disk` read-only (`ro`) or writable (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


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
