"""Makes `4bf28d14.tar.xz`, the folders of daemons of the first version, by running that version.

    git worktree add ../old 4bf28d14
    sudo unshare --mount .venv/bin/python tests/upgrade/make.py ../old

Each folder of the archive is a world: inboxes `in` (`after: archive`) and `keep` (`after: keep`),
the outbox `out`, and `state`, of a daemon that was killed at the moment in WORLDS. They are made
below PLACE, because ledgers and claims contain absolute paths: who unpacks them replaces PLACE.
All pictures are texts (PPM in digits), which tests can read.
"""

import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACE = Path("/srv/stylewatch-upgrade")
ARCHIVE = Path(__file__).with_name("4bf28d14.tar.xz")
PROGRAM = "from stylewatch_daemon.cli.main import main; main()"
CONFIG = """
inboxes:
- {path: in, outbox: out}
- {path: keep, outbox: out, after: keep}
state: {path: state}
watch: {quiet_s: 0, rescan_s: 1, truncated_s: 1}
limits: {free_bytes: 0}
job: {backend: sketch, recipe: neural-style, size: 16, steps: 6, save_every: 2}
"""
SIDE = 16
"""Sides of the pictures in pixels."""

TIME = 1_790_000_000
"""Time of all files in inboxes: whole seconds, which every archive keeps."""

WITHIN = 120.0
NOT_OURS = ("site", "changes", "happened", "thumbs", "wake", "lock", "worker.lock", "-shm")
"""Ends of names that are left out of the archive: of faults, caches, locks, which are made anew."""


@dataclass(frozen=True)
class Kill:
    """A kill of the daemon that runs once, at the n-th change of a kind."""

    kind: str
    nth: int = 1
    is_apart: bool = True
    """True if the inbox is another mount than the state folder."""


WORLDS = {
    "renaming": Kill("rename of _rename of _gather", 2, is_apart=False),
    "copying": Kill("replace of _copy of _gather", 2),
    "moved": Kill("fsync of _commit of move"),
    "copied": Kill("unlink of remove_originals of Intake._remove.<locals>.work"),
    "ending": Kill("rename of Outbox.clear of publish_output", is_apart=False),
    "refusing": Kill("fsync of Outbox.refuse of publish_refusal", 4, is_apart=False),
}
"""Worlds of one pair `job`: its first file is claimed; its first file is copied; all are copied,
which the ledger does not know; the originals are about to be removed; its output, or its refusal,
is published, which the ledger does not know. The world `house` is made by a function."""


class World:
    """Folders of a daemon of the `checkout`."""

    def __init__(self, name: str, checkout: Path) -> None:
        self.root, self.checkout = PLACE / name, checkout
        for folder in ("in", "keep", "out", "state"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "config.yaml").write_text(CONFIG)

    def drop(self, name: str, *files: str, text: str = "") -> None:
        """Put a folder with pictures into an inbox, all at once; they have that text, if any."""
        target = self.root / name
        made = target.with_name(f".{target.name}")
        made.mkdir()
        for file in files or ("content.ppm", "style.ppm"):
            path = made / file
            if file.endswith(".mp4"):
                path.write_bytes(self._old("tests.painter.films").film(path, frames=2).read_bytes())
            else:
                is_text = text and file.startswith("content")
                path.write_text(text if is_text else picture(target / file))
            os.utime(path, (TIME, TIME))
        made.rename(target)

    def run(self, *options: str, fault: dict[str, Any] | None = None) -> int:
        """Run what is in the inboxes; return the exit code."""
        process = self.begin("run", "--once", *options, fault=fault)
        return process.wait(WITHIN)

    def begin(
        self, command: str, *words: str, fault: dict[str, Any] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a command with a fault."""
        (self.root / "happened").unlink(missing_ok=True)
        planted = self._old("tests.daemon.faults").Fault(self.root, **(fault or {}))
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, command, *words, "--config", "config.yaml"],
            cwd=self.root, env=planted.environment(),
        )  # fmt: skip

    def ask(self, *words: str) -> None:
        """Run a command that leaves a request for the next daemon."""
        self.begin(*words).wait(WITHIN)

    def delete(self, name: str) -> None:
        """Ask the next daemon to delete a job, as the page does."""
        state = self.root / "state"
        with self._old("stylewatch_daemon.ledger.ledger").reading(state / "ledger.sqlite3") as read:
            self._old("stylewatch_daemon.jobs.operations").ask("delete", state, read.find(name))

    def status(self) -> dict[str, Any]:
        """Return what the daemon says of itself."""
        try:
            status: dict[str, Any] = json.loads((self.root / "state/status.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return status

    def _old(self, module: str) -> Any:
        return importlib.import_module(module)


def picture(path: Path) -> str:
    """Return a picture in digits, other ones for every path."""
    digest = hashlib.shake_256("/".join(path.parts[-2:]).encode()).digest(3 * SIDE * SIDE)
    values = " ".join(str(1 + value % 254) for value in digest)
    return f"P3\n# {path.parent.name} {path.name}\n{SIDE} {SIDE}\n255\n{values}\n"


def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the expected state was not reached")
        time.sleep(0.02)


def killed(world: World, kill: Kill) -> None:
    """Make a world by a kill."""
    mounted = [str(world.root / inbox) for inbox in ("in", "keep") if kill.is_apart]
    for folder in mounted:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
    world.drop("keep/pair")
    world.drop("in/before")
    assert world.run() == 0
    world.drop("in/job", text="no picture\n" if "refusal" in kill.kind else "")
    fault = {"action": "kill both", "kind": kill.kind, "nth": kill.nth}
    assert world.run(fault=fault) == -signal.SIGKILL, kill
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def house(world: World) -> None:
    """Make a world with jobs in all states, which was killed while a job ran."""
    world.drop("keep/expired")
    assert world.run(fault={"action": f"clock {-40 * 86400}"}) == 0
    assert world.run("--set", "retention.ledger=30") == 0
    world.drop("keep/album", "style.ppm", "1.ppm", "2.ppm", "2.mp4")
    world.drop("in/album", "style.ppm", "3.ppm", "3.mp4")
    for name in ("keep/pair", "keep/gone", "in/done"):
        world.drop(name)
    world.drop("in/refused", text="no picture\n")
    world.run()
    world.delete("gone")
    world.drop("in/failed")
    slow = "backends.sketch={seconds_per_step: 2}"
    world.run("--set", "limits.step_timeout_s=0.1", "--set", "limits.attempts=1", "--set", slow)
    world.ask("pause")
    world.drop("in/canceled")
    world.run()
    world.ask("cancel", "canceled")
    world.run()
    world.ask("resume")
    world.drop("in/running")
    daemon = world.begin("run", "--set", slow)
    until(lambda: world.status().get("running"))
    for name in ("in/queued", "in/asked"):
        world.drop(name)
    jobs = world.root / "state/jobs"
    until(lambda: len(list(jobs.iterdir())) == 3 and list(jobs.glob("*/checkpoint*")))
    until(lambda: world.status()["running"][0]["step"] >= 3)
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    for pid in (daemon.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    daemon.wait()
    world.ask("cancel", "asked")


def member(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return what becomes part of the archive, owned by nobody in particular."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    return None if info.name.endswith(NOT_OURS) else info


def main(checkout: Path) -> None:
    """Make all worlds, and the archive."""
    sys.path[:0] = [str(checkout), *(str(checkout / name) for name in
                                     ("daemon", "plugins", "export"))]  # fmt: skip
    PLACE.mkdir(parents=True)
    try:
        house(World("house", checkout))
        for name, kill in WORLDS.items():
            killed(World(name, checkout), kill)
        with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
            for world in sorted(PLACE.iterdir()):
                archive.add(world, world.name, filter=member)
    finally:
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
