"""A throw-away machine with a real systemd: an overlay of this one's root, booted in nspawn.

Services that this one's administrator has enabled are not: one of them may hold a port.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE = 240.0
"""Seconds that anything may take."""

UP = ("running", "degraded")
"""States of systemd once it has started everything; the second, except for some unit."""

FRESH = ("/tmp", "/run", "/dev", "/var/tmp")
"""Folders that a booted system has of its own: they hide those of this machine."""

ENABLED = "etc/systemd/system/*.wants/*.service"
"""Links to the services that start when a system does, by the choice of its administrator."""

LOCKED_IN = ("ProtectSystem=strict", "PrivateUsers=yes", "PrivateNetwork=yes",
             "SystemCallFilter=@system-service")  # fmt: skip
"""Features of the kernel that a unit needs for the service to be tried at all."""


class Machine:
    """The machine whose first process is `leader` here; `root` is its root."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def run(self, *words: str, check: bool = True) -> str:
        """Return the output of a command there."""
        enter = ["nsenter", "--target", str(self._leader), "--all", "--"]
        ended = subprocess.run(
            [*enter, *words], check=False, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if check and ended.returncode != 0:
            raise AssertionError(f"{words}: exit code {ended.returncode}\n{ended.stdout}")
        return ended.stdout.strip()

    def property(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", "stylewatch", "--value", f"--property={name}")

    def log(self) -> str:
        """Return the log of the service."""
        return self.run("journalctl", "--unit=stylewatch", "--no-pager", "--output=cat")

    def receipt(self, job: str) -> dict[str, Any]:
        """The receipt of a job that is done."""
        path = self.root / "srv/stylewatch/outbox" / job / "receipt.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something holds."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > PATIENCE:
                raise AssertionError(f"in vain waited for: {what}\n{self.log()[-4000:]}")
            time.sleep(0.1)
        print(f"  {what} ({time.monotonic() - began:.1f} s)", flush=True)


def obstacle() -> str | None:
    """Why no machine can be booted here; None where one can, as far as is known beforehand."""
    if os.geteuid() != 0:
        return "it takes root"
    if shutil.which("systemd-nspawn") is None or not Path("/lib/systemd/systemd").exists():
        return "systemd-nspawn and systemd are not installed"
    here = Path(__file__).resolve()
    hidden = [folder for folder in FRESH if here.is_relative_to(folder)]
    return f"a booted system has a {hidden[0]} of its own, and this lies in it" if hidden else None


@contextmanager
def booted() -> Iterator[Machine]:
    """A machine that is up; OSError or CalledProcessError where the kernel does not let us."""
    base = Path(tempfile.mkdtemp(prefix="stylewatch-boot-"))
    root = base / "root"
    try:
        _run("mount", "-t", "tmpfs", "tmpfs", str(base))
        for name in ("root", "up", "work"):
            (base / name).mkdir()
        layers = f"lowerdir=/,upperdir={base / 'up'},workdir={base / 'work'}"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
        for enabled in root.glob(ENABLED):
            enabled.unlink()
        with _up(root) as machine:
            yield machine
    finally:
        for mount in (root, base):
            subprocess.run(["umount", "--lazy", str(mount)], check=False, capture_output=True)
        base.rmdir()


@contextmanager
def _up(root: Path) -> Iterator[Machine]:
    words = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
        f"--directory={root}", f"--machine=stylewatch-{os.getpid()}", "--boot",
        "systemd.unit=multi-user.target",
    ]  # fmt: skip
    none = subprocess.DEVNULL
    with subprocess.Popen(words, stdin=none, stdout=none, stderr=none) as nspawn:
        leader = 0
        try:
            leader = _leader(nspawn)
            machine = Machine(root, leader)
            _wait_for(machine)
            yield machine
            machine.run("systemctl", "poweroff", check=False)
            nspawn.wait(PATIENCE)
        finally:
            if leader and nspawn.poll() is None:
                with suppress(ProcessLookupError):  # with it goes all that runs there
                    os.kill(leader, signal.SIGKILL)
            nspawn.kill()


def _leader(nspawn: "subprocess.Popen[bytes]") -> int:
    """The first process of the new machine, once it is there."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    for _ in range(100):
        if nspawn.poll() is not None:
            break
        if found := children.read_text(encoding="ascii").split():
            return int(found[0])
        time.sleep(0.1)
    raise OSError("systemd-nspawn did not start")


def _wait_for(machine: Machine) -> None:
    is_up = ("systemctl", "is-system-running")
    machine.until("the machine is up", lambda: machine.run(*is_up, check=False) in UP)
    locked = [f"--property={setting}" for setting in LOCKED_IN]
    if output := machine.run("systemd-run", "--quiet", "--wait", *locked, "true", check=False):
        raise OSError(f"no unit can be locked in on it: {output}")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
