"""A short form of `make simulate`: a few worlds, in which a broken daemon is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulate.__main__ import run
from tests.simulate.plan import draw
from tests.simulate.world import World

REPOSITORY = Path(__file__).parents[2]
ONLY = {
    "once": "once", "writers": "once", "beside": "nested", "picked": "pick", "cloned": "clone",
    "anew": "finish restart kill", "blame": "drop submit cancel try", "astray": "astray",
}  # fmt: skip
"""Deeds that show some of the faults, which are rare among others."""

WORLDS = ("--seed", "2", "--worlds", "10", "--processes", "1", "--histories", "1")


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, in which sets have the same order each time."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-m", "tests.simulate", *options],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_world_violates_a_law() -> None:
    run = simulate(*WORLDS)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 worlds with a violation" in run.stdout


@pytest.mark.parametrize(
    ("broken", "world", "law"),
    [
        ("claim", 2, "law 1: a picture is lost"),
        ("publish", 2, "law 3: a receipt before its files"),
        ("worker", 2, "law 12: a job whose worker has ended"),
        ("request", 1, "law 5: a request is not answered"),
        ("hook", 3, "law 5: an end has had no hook"),
        ("settings", 2, "law 15: new settings are not in force"),
        ("priority", 39, "law 7: AssertionError escapes at loop.Loop._start_jobs"),
        ("hours", 11, "law 12: a worker outside of the hours"),
        ("trash", 169, "law 5: the trash was not emptied"),
        ("place", 353, "law 12: a worker in the place of a training"),
        ("preview", 107, "law 12: a preview waits for a training"),
        ("submit", 12, "law 2: submitted below the mount point"),
        ("listing", 96, "law 5: a part that came before its pair could be moved is left behind"),
        ("wish", 3, "law 3: what was submitted is not painted"),
        ("follow", 16, "law 5: a follower names another job"),
        ("chown", 0, "law 2: painted, though no pair"),
        ("renamed", 28, "law 2: painted, though no pair"),
        ("picked", 3, "law 5: a pair is not claimed in time"),
        ("cloned", 143, "law 5: a pair is not claimed in time"),
        ("later", 120, "law 5: a good job was refused"),
        ("finals", 16, "law 1: a painted job has no final picture"),
        ("records", 596, "law 4: a file was removed that was painted while files stayed"),
        ("stays", 12, "law 4: a file was removed that was painted while files stayed"),
        ("elsewhere", 16351, "law 5: a pair is not claimed in time"),
        ("once", 26, "law 5: a run with --once ends before all is done"),
        ("writers", 48, "law 5: a run with --once ends before all is done"),
        ("beside", 2, "law 4: a file was taken that is no job's"),
        ("anew", 102, "law 1: a job that was asked to finish shows less than it had"),
        ("blame", 7, "law 5: a fault of a disk cost an attempt"),
        ("astray", 18, "law 1: a picture is lost"),
    ],
)
def test_a_world_finds_a_broken_daemon(broken: str, world: int, law: str) -> None:
    only = [f"--only={deed}" for deed in ONLY.get(broken, "").split()]
    one = ("--seed", str(world), "--worlds", "1", "--processes", "1", "--histories", "1", *only)
    run = simulate(*one, "--shrink-s", "0", "--broken", broken)
    assert run.returncode == 1, run.stdout + run.stderr
    assert law in run.stdout
    assert f"violation: {law}" in run.stdout, "the history of one is printed"


def test_the_same_number_is_the_same_world() -> None:
    first, second = simulate("--world", "3"), simulate("--world", "3")
    assert "world: the ledger was " in first.stdout
    assert first.stdout == second.stdout


def test_a_fault_of_the_simulator_is_a_violation_of_its_world(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking: dict[str, str] = {}
    monkeypatch.setattr(World, "_begin", lambda self: lacking["deed"])
    violation = run(draw(3)).violation
    assert violation is not None
    assert violation.signature == "law 0: the simulator failed with KeyError"
    assert "deed" in violation.details
