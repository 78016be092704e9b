"""Rows of the table of faults with a cluster: its parts die, hang, or are missing."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests import nodes
from tests.daemon.faults import WORKER
from tests.daemon.world import child_name, descendants
from tests.e2e.daemon import Daemon
from tests.e2e.faults import KEPT, WAITING, WAITS, Row, daemon_at, undisturbed, wait_for
from tests.e2e.invariants import Workspace

JOBS = ("a", "b")
RETRIED = f"tried again; {KEPT}"


def on(address: str, *sets: str) -> list[str]:
    """Return the options of a daemon that runs slow jobs there."""
    sets = ("executor.kind=ray", f"executor.address={address}",
            "backends.sketch={seconds_per_step: 0.3}", *sets)  # fmt: skip
    return [word for text in sets for word in ("--set", text)]


def run(
    root: Path,
    options: list[str],
    expected: int,
    during: Callable[[Daemon], object] = lambda daemon: None,
    repair: Callable[[], object] = lambda: None,
) -> list[str]:
    """Run jobs, which must end with a code; repair, run what is left, and check all."""
    space, wanted = Workspace(root), undisturbed(jobs=JOBS).pictures
    space.drop(*JOBS)
    wrong = list[str]()
    for code, act in ((expected, during), (0, None)):
        daemon = daemon_at(root)
        process = daemon.begin("--once", "--config", "config.yaml", *options)
        try:
            if act is not None:
                act(daemon)
            if (ended := process.wait(300)) != code:
                wrong.append(f"exit code {ended}, not {code}")
        finally:
            process.kill()
        if act is not None:
            wrong += space.violations(wanted)
            repair()
    return [*wrong, *space.final_violations(wanted)]


def painting(daemon: Daemon) -> None:
    """Wait for the first stage, while more of the job is to come."""
    wait_for(lambda: [*daemon.root.glob("out/*/stages/*")])


def signaled(which: str, number: int, daemon: Daemon) -> None:
    """Send a signal to the process of the cluster of this name."""
    painting(daemon)
    for pid in descendants(os.getpid()):
        if child_name(pid) == which:
            os.kill(pid, number)


def fault(which: str, number: int, expected: int, *sets: str) -> Callable[[Path], list[str]]:
    """Return a run in which a process gets a signal."""
    act = partial(signaled, which, number)
    return lambda root: run(root, on(nodes.shared().address, *sets), expected, act)


def machine_dies(root: Path) -> list[str]:
    """Remove a machine with all that runs on it; another like it joins."""
    cluster = nodes.shared()
    machines = [nodes.add(cluster, "c")]

    def replace_machine(daemon: Daemon) -> None:
        painting(daemon)
        cluster.remove_node(machines.pop(), allow_graceful=False)
        machines.append(nodes.add(cluster, "c"))

    try:
        return run(root, on(cluster.address, "executor.resources={c: 0.1}"), 0, replace_machine)
    finally:
        for machine in machines:
            cluster.remove_node(machine, allow_graceful=False)


def head_dies(root: Path) -> list[str]:
    """Kill the head; the next start of the daemon finds another at its address."""
    address = {"gcs_server_port": nodes.unused_port()}
    clusters = [nodes.head(address)]

    def kill_head(daemon: Daemon) -> None:
        painting(daemon)
        nodes.kill(clusters.pop())

    try:
        options = on(clusters[0].address)
        return run(root, options, WAITING, kill_head, lambda: clusters.append(nodes.head(address)))
    finally:
        for cluster in clusters:
            nodes.kill(cluster)


def rows() -> Iterator[Row]:
    """Yield all of them; needs Ray."""
    tables: list[tuple[str, str, Callable[[Path], list[str]]]] = [
        ("kill -9: worker", RETRIED, fault(WORKER, signal.SIGKILL, 0)),
        ("kill -9: driver", WAITS, fault("cluster", signal.SIGKILL, WAITING)),
        ("hung worker", RETRIED, fault(WORKER, signal.SIGSTOP, 0, "limits.step_timeout_s=3")),
        ("kill -9: a machine", RETRIED, machine_dies),
        ("kill -9: the head", WAITS, head_dies),
    ]
    for name, checked, act in tables:
        yield Row(f"{name}, on a cluster", "painting", checked, act)
