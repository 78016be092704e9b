"""The rows of a cluster: what paints there is lost, hangs, is called off, or cannot be had."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from tests import nodes
from tests.e2e.hostile import until
from tests.e2e.invariants import Place
from tests.e2e.plan import Plan
from tests.e2e.strike import KEPT, Row, ended, strike, undisturbed

from stylewatch_daemon.cli.main import call

SLOW = Plan("", pause=0.1)
WAITS = 75
"""How a daemon ends that could not paint all there is, and will at its next start."""

ON_ONE_MACHINE = {"b": 1.0}
AGAIN, WAITED = f"tried again; {KEPT}", f"it waits; then {KEPT}"


def struck(fault: str, step: str, what: str, ends: int = 0, **more: Any) -> Row:
    """`what` befalls one who is at work, as a Plan has it, who then `ends`; `more` of the Plan."""

    def try_it(root: Path) -> list[str]:
        cluster = nodes.shared().address
        plan = replace(SLOW, cluster=cluster, step=step, fault=what, **{"nth": 2, **more})
        return strike(root, plan, ends, lambda: None)

    return Row(f"{fault}, on a cluster", step, WAITED if ends == WAITS else AGAIN, try_it)


def machine_dies(root: Path) -> list[str]:
    """A machine goes with all that is on it; another like it joins."""
    cluster = nodes.shared()
    third = nodes.add(cluster, "c")
    plan = replace(
        SLOW, cluster=cluster.address, labels={"zone": "c"}, step="stage staged", nth=2,
        fault="stop worker",
    )  # fmt: skip
    joined: list[Any] = []

    def goes() -> None:
        until((root / "struck").exists)
        cluster.remove_node(third, allow_graceful=False)
        joined.append(nodes.add(cluster, "c"))

    try:
        return strike(root, plan, 0, lambda: None, meanwhile=goes)
    finally:
        for one in joined:
            cluster.remove_node(one, allow_graceful=False)


def head_dies(root: Path) -> list[str]:
    """The head is killed; the daemon says so, and its next start finds another at its address."""
    address = {"gcs_server_port": nodes.unused_port()}
    clusters = [nodes.head(address)]
    plan = replace(
        SLOW, cluster=clusters[0].address, step="stage staged", nth=2, fault="stop worker"
    )

    def goes() -> None:
        until((root / "struck").exists)
        nodes.kill(clusters.pop())

    try:
        return strike(
            root, plan, WAITS, lambda: clusters.append(nodes.head(address)), meanwhile=goes
        )
    finally:
        for one in clusters:
            nodes.kill(one)


def called_off(root: Path) -> list[str]:
    """One that is painted and one that waits for its place are cancelled; a third is painted."""
    place = Place(root)
    cluster = nodes.shared().address
    plan = replace(SLOW, root=str(root), cluster=cluster, resources=ON_ONE_MACHINE, pause=0.5)
    place.drop("a", "b", "c")

    def cancel() -> None:
        steps = root / "steps"
        until(lambda: steps.exists() and "stage published" in steps.read_text("utf-8"))
        for job in "ab":
            with redirect_stdout(StringIO()):
                call(["cancel", job, "--state", str(place.state)])

    wrong = [] if (code := ended(plan.start(), cancel)) == 0 else [f"it ended with {code}"]
    if place.done() != ["c"]:
        wrong.append(f"done are {place.done()}")
    for job in "ab":
        if not (place.outbox / "_refused" / job / "content.jpg").exists():
            wrong.append(f"what was dropped of {job} is not where it should be")
    return [*wrong, *place.wrong_now({})]


def waits_until(
    said: tuple[str, ...], during: Callable[[], AbstractContextManager[object]], **more: Any
) -> Callable[[Path], list[str]]:
    """Under a condition nothing can be painted, and that is said; then it is as ever."""

    def try_it(root: Path) -> list[str]:
        place, wanted = Place(root), undisturbed("sketch", "ab")
        place.drop("a", "b")
        mended = replace(SLOW, root=str(root), cluster=nodes.shared().address)
        with during():
            code = ended(replace(mended, **more).start())
        wrong = [] if code == WAITS else [f"it ended with {code}, not {WAITS}"]
        told = (root / "said").read_text(encoding="utf-8")
        wrong += [f"it did not say {word!r}" for word in said if word not in told]
        wrong += place.wrong_now(wanted)
        if code := ended(mended.start()):
            wrong.append(f"the next start ended with {code}")
        return [*wrong, *place.wrong_at_the_end(wanted)]

    return try_it


def full_store(root: Path) -> list[str]:
    """Somebody else has filled the object store."""
    place, wanted = Place(root), undisturbed("sketch", "ab")
    place.drop("a", "b")
    with nodes.full_store():
        code = ended(replace(SLOW, root=str(root), cluster=nodes.shared().address).start())
    wrong = [f"it ended with {code}"] if code else []
    return [*wrong, *place.wrong_at_the_end(wanted)]


def rows() -> Iterator[Row]:
    """All of them; needs Ray."""
    for step, nth in (("stage staged", 2), ("checkpoint kept", 1), ("receipt staged", 2)):
        yield struck("kill -9: worker", step, "kill worker", nth=nth)
    yield struck("kill -9: Ray's process for a place", "stage staged", "kill place")
    yield struck("kill -9: driver", "stage published", "kill worker", WAITS)
    for step in ("attempt begun", "stage published", "archived"):
        yield struck("kill -9: supervisor", step, "kill supervisor", ends=-9)
    yield struck("hung worker", "stage staged", "stop worker", step_timeout_s=2.0)
    yield struck("hung: Ray's process for a place", "stage staged", "stop place", silent_s=8.0)
    yield Row("kill -9: a machine of a cluster", "stage staged", AGAIN, machine_dies)
    yield Row("kill -9: the head of a cluster", "stage staged", WAITED, head_dies)
    called = "these two end, with what was dropped; the third is done"
    yield Row("cancelled: one painted, one waiting, on a cluster", "watching", called, called_off)
    versions = waits_until(
        ("Ray: 1.0.0", "install the same Ray"),
        lambda: nodes.said_to_be(ray_version="1.0.0", python_version="3.10.1"),
    )
    yield Row("another version of Ray and Python, on a cluster", "submitted", WAITED, versions)
    impossible = waits_until(("no machine of the Ray cluster has GPU 1, tpu 1",), nullcontext,
                             resources={"tpu": 1.0})  # fmt: skip
    yield Row("more than any machine of a cluster has", "submitted", WAITED, impossible)
    yield Row("full object store, on a cluster", "whole run", f"it is painted; {KEPT}", full_store)
