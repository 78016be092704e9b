"""A short form of `make soak`, and what its verdict sees."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.samples import Sample, verdict
from tests.e2e.soak import Soak
from tests.e2e.workload import HUNDRED, mixture

STEADY = Sample(100, 1.0, 45.0, 17, 60.0, 9, 4.0, 0.5, 1.0)


def test_mixed_jobs_come_to_their_right_ends_through_kills(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 60, day=1.0)
    soak.run()
    assert soak.wrong == []
    assert soak.kills["daemon"] and soak.kills["worker"]
    assert soak.samples[-1].jobs == 60
    files = [one.daemon_files for one in soak.samples]
    assert max(files) < 2 * min(files)


def test_a_hundred_jobs_are_mixed_as_it_is_said() -> None:
    jobs = list(mixture(100))
    assert {kind: sum(job.kind == kind for job in jobs) for kind, _ in HUNDRED} == dict(HUNDRED)
    assert {job.ends for job in jobs} == {"done", "refused", "cancelled"}


def test_what_is_steady_is_flat() -> None:
    flat, rows = verdict([replace(STEADY, jobs=n, lasting_mb=n / 100) for n in range(1, 101)])
    assert flat
    assert all(row.endswith("| flat |") for row in rows[2:])


@pytest.mark.parametrize(
    ("what", "grown"),
    [
        ("daemon, memory, MB", {"daemon_mb": 0.1}),
        ("daemon, open files", {"daemon_files": 1}),
        ("worker late in its life, MB", {"worker_mb": 0.25}),
        ("worker, open files", {"worker_files": 1}),
        ("state folder, MB", {"state_mb": 0.1}),
        ("stages and inputs, MB", {"passing_mb": 0.1}),
    ],
)
def test_what_grows_is_seen(what: str, grown: dict[str, float]) -> None:
    samples = [
        replace(STEADY, **{key: getattr(STEADY, key) + n * more for key, more in grown.items()})
        for n in range(100)
    ]
    flat, rows = verdict(samples)
    assert not flat
    assert any(row.startswith(f"| {what} |") and row.endswith("| GROWS |") for row in rows)
