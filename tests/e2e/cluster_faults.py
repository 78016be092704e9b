"""Rows of the table of faults with a cluster: a worker dies, or the head with everything else."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import nodes
from tests.daemon.faults import WORKER
from tests.daemon.world import child_name, descendants
from tests.e2e.faults import WAITING, Row, daemon_at, undisturbed, wait_for
from tests.e2e.invariants import Workspace

JOBS = ("a", "b")


def run(
    root: Path,
    address: str,
    expected: int,
    fault: Callable[[], object],
    repair: Callable[[], object] = lambda: None,
) -> list[str]:
    """Run slow jobs with a fault, which ends with a code; repair, run what is left, check all."""
    space, wanted, daemon = Workspace(root), undisturbed(jobs=JOBS).pictures, daemon_at(root)
    space.drop(*JOBS)
    sets = ("executor.kind=ray", f"executor.address={address}",
            "backends.sketch={seconds_per_step: 0.3}")  # fmt: skip
    options = ["--once", "--config", "config.yaml", *(f"--set={text}" for text in sets)]
    process = daemon.begin(*options)
    try:
        wait_for(lambda: [*root.glob("out/*/stages/*")])
        fault()
        codes = [process.wait(300)]
        wrong = list(space.violations(wanted))
        repair()
        process = daemon.begin(*options)
        codes.append(process.wait(300))
    finally:
        process.kill()
    wrong += [] if codes == [expected, 0] else [f"exit codes {codes}, not {expected} and 0"]
    return [*wrong, *space.final_violations(wanted)]


def worker_dies(root: Path) -> list[str]:
    """Kill the workers of the cluster."""

    def kill_workers() -> None:
        for pid in descendants(os.getpid()):
            if child_name(pid) == WORKER:
                os.kill(pid, signal.SIGKILL)

    return run(root, nodes.shared().address, 0, kill_workers)


def head_dies(root: Path) -> list[str]:
    """Kill the head; the next start of the daemon finds another at its address."""
    address = {"gcs_server_port": nodes.unused_port()}
    clusters = [nodes.head(address)]
    try:
        return run(
            root,
            clusters[0].address,
            WAITING,
            lambda: nodes.kill(clusters.pop()),
            lambda: clusters.append(nodes.head(address)),
        )
    finally:
        for cluster in clusters:
            nodes.kill(cluster)


def rows() -> Iterator[Row]:
    """Yield all of them; needs Ray."""
    yield Row("kill -9: worker, on a cluster", "painting", worker_dies)
    yield Row("kill -9: the head, on a cluster", "painting", head_dies)
