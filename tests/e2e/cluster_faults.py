"""Rows of the fault matrix with a cluster: its parts die, hang, are canceled, or are missing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from tests import nodes
from tests.e2e.fault_injection import INJECTED, PER_SEGMENT, STEPS, Plan
from tests.e2e.faults import KEPT, WAITS, Row, exit_code, inject, undisturbed, wait_for
from tests.e2e.invariants import FRAMES, Kind, Workspace

from stylewatch_daemon.cli.main import call

SLOW = Plan("", seconds_per_step=0.1)
WAITING = 75
"""Exit code of a daemon that could not run every job, and will at its next start."""

RETRIED = f"tried again; {KEPT}"


def injected(fault: str, step: str, action: str, expected: int = 0, **more: Any) -> Row:
    """Return a row in which a Plan's fault meets a process of the cluster."""

    def run(root: Path) -> list[str]:
        cluster = nodes.shared().address
        plan = replace(SLOW, cluster=cluster, step=step, fault=action, **{"nth": 2, **more})
        return inject(root, plan, expected)

    checked = WAITS if expected == WAITING else RETRIED
    return Row(f"{fault}, on a cluster", step, checked, run)


def machine_dies(
    root: Path, kind: Kind = "pictures", step: str = "stage staged", nth: int = 2
) -> list[str]:
    """Remove a machine with all that runs on it; another like it joins."""
    cluster = nodes.shared()
    third = nodes.add(cluster, "c")
    plan = replace(
        SLOW, cluster=cluster.address, labels={"zone": "c"}, step=step, nth=nth,
        fault="stop worker",
    )  # fmt: skip
    joined: list[Any] = []

    def replace_machine() -> None:
        wait_for((root / INJECTED).exists)
        cluster.remove_node(third, allow_graceful=False)
        joined.append(nodes.add(cluster, "c"))

    try:
        return inject(root, plan, 0, kind=kind, during=replace_machine)
    finally:
        for node in joined:
            cluster.remove_node(node, allow_graceful=False)


def machine_dies_over_a_clip(root: Path) -> list[str]:
    """Do the same while a clip is painted; the next machine has to take over its frames."""
    wrong = machine_dies(root, "clip", "frame staged", 4)
    painted = (root / STEPS).read_text(encoding="utf-8").splitlines().count("frame staged")
    again = painted - 2 * FRAMES  # at most an open segment
    return [*wrong, f"{again} frames were painted again"] if again > PER_SEGMENT else wrong


def head_dies(root: Path) -> list[str]:
    """Kill the head; the next start of the daemon finds another at its address."""
    address = {"gcs_server_port": nodes.unused_port()}
    clusters = [nodes.head(address)]
    plan = replace(
        SLOW, cluster=clusters[0].address, step="stage staged", nth=2, fault="stop worker"
    )

    def kill_head() -> None:
        wait_for((root / INJECTED).exists)
        nodes.kill(clusters.pop())

    try:
        return inject(
            root, plan, WAITING, lambda: clusters.append(nodes.head(address)), during=kill_head
        )
    finally:
        for cluster in clusters:
            nodes.kill(cluster)


def canceled(root: Path) -> list[str]:
    """Cancel a running job and one that waits for its place; a third is completed."""
    space = Workspace(root)
    plan = replace(
        SLOW, root=str(root), cluster=nodes.shared().address, resources={"b": 1.0},
        seconds_per_step=0.5,
    )  # fmt: skip
    space.drop("a", "b", "c")

    def cancel() -> None:
        steps = root / "steps"
        wait_for(lambda: steps.exists() and "stage published" in steps.read_text("utf-8"))
        for job in "ab":
            with redirect_stdout(StringIO()):
                call(["cancel", job, "--state", str(space.state)])

    wrong = [] if (code := exit_code(plan.start(), cancel)) == 0 else [f"exit code {code}"]
    if space.done() != ["c"]:
        wrong.append(f"done are {space.done()}")
    for job in "ab":
        if not (space.outbox / "_refused" / job / "content.jpg").exists():
            wrong.append(f"the files of {job} are not in _refused")
    return [*wrong, *space.violations({})]


def waits(
    messages: tuple[str, ...], during: Callable[[], AbstractContextManager[object]], **more: Any
) -> Callable[[Path], list[str]]:
    """Return a run in which nothing can start and the log has `messages`; then all is as ever."""

    def run(root: Path) -> list[str]:
        space, wanted = Workspace(root), undisturbed("sketch", "ab")
        space.drop("a", "b")
        plan = replace(SLOW, root=str(root), cluster=nodes.shared().address)
        with during():
            code = exit_code(replace(plan, **more).start())
        wrong = [] if code == WAITING else [f"exit code {code}, not {WAITING}"]
        log = (root / "log").read_text(encoding="utf-8")
        wrong += [f"the log lacks {text!r}" for text in messages if text not in log]
        wrong += space.violations(wanted)
        if code := exit_code(plan.start()):
            wrong.append(f"the next start ended with {code}")
        return [*wrong, *space.final_violations(wanted)]

    return run


def full_store(root: Path) -> list[str]:
    """Run jobs while someone else has filled the object store."""
    space, wanted = Workspace(root), undisturbed("sketch", "ab")
    space.drop("a", "b")
    with nodes.full_store():
        code = exit_code(replace(SLOW, root=str(root), cluster=nodes.shared().address).start())
    wrong = [f"exit code {code}"] if code else []
    return [*wrong, *space.final_violations(wanted)]


def rows() -> Iterator[Row]:
    """Yield all of them; needs Ray."""
    for step, nth in (("stage staged", 2), ("checkpoint kept", 1), ("receipt staged", 2)):
        yield injected("kill -9: worker", step, "kill worker", nth=nth)
    yield injected("kill -9: Ray's process for a place", "stage staged", "kill parent")
    yield injected("kill -9: driver", "stage published", "kill worker", WAITING)
    for step in ("attempt begun", "stage published", "archived"):
        yield injected("kill -9: daemon", step, "kill daemon", -9)
    yield injected("hung worker", "stage staged", "stop worker", step_timeout_s=2.0)
    yield injected("hung: Ray's process for a place", "stage staged", "stop parent", silent_s=8.0)
    yield Row("kill -9: a machine of a cluster", "stage staged", RETRIED, machine_dies)
    clips = "kill -9: a machine of a cluster, with clips"
    yield Row(clips, "frame staged", RETRIED, machine_dies_over_a_clip)
    yield Row("kill -9: the head of a cluster", "stage staged", WAITS, head_dies)
    checked = "these two end, with what was dropped; the third is done"
    yield Row("canceled: one painted, one waiting, on a cluster", "watching", checked, canceled)
    versions = waits(
        ("Ray: 1.0.0", "install the same Ray"),
        lambda: nodes.said_to_be(ray_version="1.0.0", python_version="3.10.1"),
    )
    yield Row("another version of Ray and Python, on a cluster", "submitted", WAITS, versions)
    impossible = waits(("no machine of the Ray cluster has GPU 1, tpu 1",), nullcontext,
                       resources={"tpu": 1.0})  # fmt: skip
    yield Row("more than any machine of a cluster has", "submitted", WAITS, impossible)
    yield Row("full object store, on a cluster", "whole run", f"it is painted; {KEPT}", full_store)
