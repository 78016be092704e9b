"""The table of faults: real daemons, with a fault at every kind of change: `make faults`.

Words select rows: `python -m tests.e2e.faults clock hung`. A row for each fault is printed, and at
the end how many there were and how many failed.

- `kill -9` of the daemon, of the worker, of both, of the inspection process: at each kind of change
  in the daemon and in the worker, and at each kind of file that the inspection opens, for a picture
  and a clip
- `kill -9` of the daemon: at each change of the disk and each commit of the ledger, with simulated
  workers, on one mount and on three; a power cut at the same changes: files that were not synced
  lose half of their bytes
- a full outbox or state folder, a read-only outbox: in the middle of the changes of the daemon and
  of the worker; an unmounted outbox: as soon as the daemon has started
- a hung worker, a clock that is set back or forward: in the middle of a run
- an inbox that is renamed and made again: while the daemon watches
- a worker or the head of a cluster that dies: with Ray installed, on two machines that are
  simulated by processes
"""

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import cycle, product
from pathlib import Path

from tests import nodes
from tests.daemon.disks import CAN_MOUNT, remount, same_folder, small_disk
from tests.daemon.faults import DAEMON, INSPECTION, WORKER, Fault
from tests.e2e import changes
from tests.e2e.daemon import Daemon, until
from tests.e2e.invariants import CLIP, Bytes, Workspace

WITHIN = 90.0
"""Seconds that anything here may take, many times what it needs."""

DISK_KIB = 64 << 10
KILLED, WAITING = -9, 75
"""Exit codes of a daemon."""

CONFIG = """
inboxes: [{path: in, outbox: out}]
state: {path: state}
watch: {rescan_s: 1}
job: {recipe: neural-style, size: 24, steps: 6, save_every: 2,
      artifacts: [progress.webp], clip: {format: mkv}}
backends: {sketch: {seconds_per_step: 0.02}}
"""
JOBS = ("a", CLIP)
KILLS = {
    DAEMON: (DAEMON, "both"),
    WORKER: (WORKER, DAEMON, "both"),
    INSPECTION: (INSPECTION, DAEMON),
}
"""The processes to kill at the changes of each process, in turn."""

FIRST_STATUS = "rename of StatusFiles._write_json"
"""Beginning of the kind of what a daemon does first once it has started."""

CLOCKS = {"back a day": -24, "forward a year": 24 * 365}


@dataclass(frozen=True)
class Row:
    """A row of the table; `run` returns what is wrong."""

    fault: str
    at: str
    run: Callable[[Path], list[str]]


def daemon_at(root: Path, fault: Fault | None = None) -> Daemon:
    """Return a daemon with the settings of this table, and a fault."""
    (root / "config.yaml").write_text(CONFIG)
    daemon = Daemon(root)
    daemon.environment = (fault or Fault(root)).environment()
    return daemon


def run_once(root: Path, fault: Fault | None = None, options: Sequence[str] = ()) -> int:
    """Run what is in the inbox, with a fault; return the exit code."""
    process = daemon_at(root, fault).begin("--once", "--config", "config.yaml", *options)
    try:
        return process.wait(300)
    finally:
        process.kill()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait for `condition`; raises TimeoutError after WITHIN seconds."""
    if not until(condition, WITHIN):
        raise TimeoutError("the expected state was not reached")


@dataclass(frozen=True)
class Undisturbed:
    """The pictures of jobs without faults, and the changes by process: kind and how often."""

    pictures: Bytes
    changes: dict[str, Counter[str]]


@cache
def undisturbed(options: tuple[str, ...] = (), jobs: tuple[str, ...] = JOBS) -> Undisturbed:
    """Run jobs without faults."""
    with tempfile.TemporaryDirectory() as folder:
        space, fault = Workspace(Path(folder)), Fault(Path(folder))
        space.drop(*jobs)
        if code := run_once(space.root, fault, options):
            raise RuntimeError(f"exit code {code}: {(space.root / 'daemon.log').read_text()}")
        found, processes = dict[str, Counter[str]](), dict[str, str]()
        for name, pid, kind in fault.changes:
            if processes.setdefault(name, pid) == pid:
                found.setdefault(name, Counter())[kind] += 1
        return Undisturbed(space.pictures(), found)


def inject(
    root: Path,
    fault: Fault,
    expected: Sequence[int],
    repair: Callable[[], list[str] | None] = lambda: None,
    options: tuple[str, ...] = (),
) -> list[str]:
    """Run with a fault, which must end with a code that is `expected`; repair, run again, check."""
    space, wanted = Workspace(root), undisturbed(options).pictures
    space.drop(*JOBS)
    fault = replace(fault, root=root)
    code, wrong = run_once(root, fault, options), []
    if not fault.happened:
        wrong.append("the change was not reached")
    if code not in expected:
        wrong.append(f"exit code {code}, not {expected}")
    wrong += repair() or []
    wrong += space.violations(wanted)
    if code := run_once(root, options=options):
        wrong.append(f"the next start ended with {code}")
    return [*wrong, *space.final_violations(wanted)]


def middle(process: str, kind: str = "") -> Fault:
    """Return a fault at the middle one of the changes of a kind (empty: of all)."""
    counts = undisturbed().changes[process]
    nth = (counts[kind] if kind else counts.total()) + 1
    return Fault(Path(), process=process, kind=kind, nth=nth // 2)


def kills() -> Iterator[Row]:
    """Yield a row for each kind of change in a daemon or child, with a kill and a new start.

    The daemon itself replaces a child that was killed alone.
    """
    for process, targets in KILLS.items():
        found = undisturbed().changes[process]
        kinds = [kind for kind in found if not kind.startswith(("fsync", "mkdir"))]
        for kind, target in zip(kinds, cycle(targets), strict=False):
            fault = replace(middle(process, kind), action=f"kill {target}")
            expected = [KILLED] if target in (DAEMON, "both") else [0]
            run = partial(inject, fault=fault, expected=expected)
            yield Row(f"kill -9: {target}", f"{process}: {kind}", run)


def shortage(action: str, process: str, root: Path) -> list[str]:
    """Fill, lock or unmount a disk in the middle of the changes; then it is as it was before."""
    disk, fault = root / action.split()[1], replace(middle(process), action=action)
    with ExitStack() as stack:
        if action.startswith("unmount"):
            changes_of_daemon = undisturbed().changes[DAEMON]
            (kind,) = (kind for kind in changes_of_daemon if kind.startswith(FIRST_STATUS))
            fault = replace(fault, kind=kind, nth=1)
            shown = stack.enter_context(small_disk(root / "shown", DISK_KIB))
            stack.enter_context(same_folder(shown, disk))
            return inject(root, fault, (0, WAITING), partial(mount_again, shown, disk))
        for name in ("out", "state"):
            stack.enter_context(small_disk(root / name, DISK_KIB))
        repair = partial(remount, disk, "rw") if "lock" in action else (disk / ".filler").unlink
        return inject(root, fault, (0, WAITING), repair)


def mount_again(shown: Path, folder: Path) -> list[str]:
    """Mount a folder again; return which files were written in its place."""
    if folder.is_mount():  # the fault was not reached
        return []
    written = [f"{path} was written" for path in folder.rglob("*") if path.is_file()]
    subprocess.run(["mount", "--bind", str(shown), str(folder)], check=True)
    return written


def shortages() -> Iterator[Row]:
    """Yield the rows with full, read-only and unmounted disks.

    A disk that is unmounted later is not tried: its job waits until its owner mounts it or cancels.
    """
    tried = [*product(("fill out", "fill state", "lock out"), (DAEMON, WORKER))]
    for action, process in (*tried, ("unmount out", DAEMON)):
        at = "as it starts" if action.startswith("unmount") else "the middle of its changes"
        yield Row(action, f"{process}: {at}", partial(shortage, action, process))


def others() -> Iterator[Row]:
    """Yield the rows with clocks that someone sets, a worker that hangs, and an inbox that goes."""
    for name, hours in CLOCKS.items():
        fault = replace(middle(DAEMON), action=f"clock {3600 * hours}")
        run = partial(inject, fault=fault, expected=[0])
        yield Row(f"clock set {name}", "the middle of the run", run)
    hung = replace(middle(WORKER), action="stop worker")
    options = ("--set", "limits.step_timeout_s=2")
    run = partial(inject, fault=hung, expected=[0], options=options)
    yield Row("hung worker", "the middle of its changes", run)
    yield Row("inbox removed, and back", "watching", inbox_renamed)


def wrong_at_the_end(space: Workspace, daemon: Daemon) -> list[str]:
    """Wait until all jobs are done, stop the daemon, start it again; return what is wrong."""
    wait_for(lambda: space.done() == sorted(space.dropped))
    codes = daemon.end(), run_once(space.root)
    wrong = [f"exit codes {codes}"] if any(codes) else []
    return [*wrong, *space.final_violations(space.pictures())]


def inbox_renamed(root: Path) -> list[str]:
    """Rename the inbox under a daemon that watches, and make a new one with a pair in it."""
    space, daemon = Workspace(root), daemon_at(root)
    space.drop("first")
    daemon.start("--config", "config.yaml")
    try:
        wait_for(lambda: space.done() == ["first"])
        space.inbox.rename(root / "away")
        wait_for(lambda: str(space.inbox) in str(daemon.published["health"]["trouble"]))
        space.inbox.mkdir()
        space.drop("second")
        return wrong_at_the_end(space, daemon)
    finally:
        daemon.end(signal.SIGKILL)


def rows() -> Iterator[Row]:
    """Yield the whole table, as far as it can be tried here."""
    yield from others()
    if CAN_MOUNT:
        yield from shortages()
    yield from kills()
    yield Row("kill -9, cut power", "every change of the disk", changes.wrong)
    if nodes.HERE:
        from tests.e2e import cluster_faults

        yield from cluster_faults.rows()


def result(row: Row) -> list[str]:
    """Run a row; return what is wrong."""
    with tempfile.TemporaryDirectory() as root:
        try:
            return row.run(Path(root))
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            return [f"{type(error).__name__}: {error}"]


def main(words: Sequence[str]) -> int:
    """Print the table, or the rows with one of `words`; return 1 if anything is wrong."""
    print("| fault | at | result |\n| --- | --- | --- |")
    tried = failed = 0
    with tempfile.TemporaryDirectory() as folder, nodes.with_a_token(Path(folder)):
        for row in rows():
            if words and not any(word in f"{row.fault}, {row.at}" for word in words):
                continue
            wrong = result(row)
            print(f"| {row.fault} | {row.at} | {'; '.join(wrong) or 'holds'} |", flush=True)
            tried, failed = tried + 1, failed + bool(wrong)
    print(f"\n{tried} faults, {failed} of them with something wrong.")
    for can_be_tried, what in ((CAN_MOUNT, "disks: no mounts"), (nodes.HERE, "a cluster: no Ray")):
        if not can_be_tried:
            print(f"Left out are the rows of {what} here.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
