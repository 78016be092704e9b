"""A short form of `make soak`, and its verdict."""

from dataclasses import replace
from pathlib import Path

from tests.e2e.soak import RULES, Sample, Soak, verdict

STEADY = Sample(100, 1.0, 45.0, 17, 60.0, 9, 4.0, 0.5, 1.0)
GROWTH = {"daemon_mb": 0.1, "daemon_files": 1, "worker_mb": 0.25, "worker_files": 1,
          "state_mb": 0.1, "passing_mb": 0.1, "lasting_mb": 0.1}  # fmt: skip


def test_mixed_jobs_end_as_they_should_through_kills(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 40, day=1.0)
    soak.run()
    assert soak.wrong == []
    assert soak.kills["daemon"] and soak.kills["worker"]
    assert soak.samples[-1].jobs == 40
    files = [sample.daemon_files for sample in soak.samples]
    assert max(files) < 2 * min(files)


def test_what_is_steady_is_flat_and_what_grows_is_found() -> None:
    flat, rows = verdict([replace(STEADY, jobs=n, lasting_mb=n / 100) for n in range(1, 101)])
    assert flat and all(row.endswith("| flat |") for row in rows[2:])
    growing = [
        replace(STEADY, **{key: getattr(STEADY, key) + n * GROWTH[key] for key in GROWTH})
        for n in range(100)
    ]
    flat, rows = verdict(growing)
    assert not flat and sum(row.endswith("| GROWS |") for row in rows) == len(RULES)
